/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Through which interfaces the packets of a flow enter and leave, as the routing table has it now
 * (libnl). Answers are remembered, in bounded memory, until something changes.
 */
#ifndef PFSYNC_ROUTES_H
#define PFSYNC_ROUTES_H

#include "flow.h"

struct routes;

/* 0 or -errno. */
int routes_open(struct routes **routes);
void routes_close(struct routes *r);

/* A route, rule, nexthop, link or address has changed: nothing that was found holds any more. */
void routes_changed(struct routes *r);

/*
 * Indexes of the interfaces towards the source, and towards where the destination really is; 0
 * where there is no route. Where rules choose among tables the kernel is asked as a packet would:
 * with its source and the interface it comes from. It is not told of marks and ports, of which
 * rules may ask, too; and of several paths of one route it names one.
 */
void routes_find(struct routes *r, const struct tuples *t, unsigned index[2]);

#endif
