/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is what a peer says of one side of a state newer than what is known? Each direction by itself,
 * never backwards (pfsync-protocol 4.3, without FreeBSD's second copy of dst).
 */
#ifndef PFSYNC_MERGE_H
#define PFSYNC_MERGE_H

#include <stdbool.h>

#include "pfstate.h"

enum merge { MERGE_EQUAL, MERGE_NEWER, MERGE_STALE };

/* known_numbers: known->seqlo is what some pf told, not a number that we made up. */
enum merge merge_peer(uint8_t proto, const struct pf_peer *known, bool known_numbers,
		      const struct pf_peer *incoming);

#endif
