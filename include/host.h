/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc/net says of this host: groups that interfaces are in, neighbours that answer. */
#ifndef PFSYNC_HOST_H
#define PFSYNC_HOST_H

#include "engine.h"

/* 1 if the interface is in the group, 0 if not, -1 if that cannot be told. */
int host_in_group(const char *interface, const struct address *group);

/*
 * 0 if that IPv4 address was asked for on the interface and does not answer, 1 if it does; -1 if
 * nobody asked, or it is IPv6.
 */
int host_has_neighbour(const char *interface, const struct address *addr);

#endif
