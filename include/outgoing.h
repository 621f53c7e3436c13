/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Judges a packet that is about to leave: would a real pf of this dialect send it? A malformed
 * message can panic a pf kernel, so a debug build asks this of each packet and drops what fails.
 */
#ifndef PFSYNC_OUTGOING_H
#define PFSYNC_OUTGOING_H

#include "dialect.h"

/* NULL if it may leave, else what is wrong with it (a constant string). */
const char *outgoing_wrong(const struct dialect *d, const void *data, size_t len);

#endif
