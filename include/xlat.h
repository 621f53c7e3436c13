/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One conntrack flow and its two pf states. The join is the middle tuple, as the routing code
 * sees the connection (client → real server):
 *
 *	original = wire tuple of the in state
 *	middle   = stack tuple of both states: ORIG_SRC → REPLY_SRC
 *	reply    = wire tuple of the out state, turned round
 *
 * In a key, index 0 is the endpoint outside, 1 the one on the firewall's side: for in states
 * source, destination; for out states destination, source (pfsync-protocol 6). This file is the
 * only one that knows that rule.
 */
#ifndef PFSYNC_XLAT_H
#define PFSYNC_XLAT_H

#include "flow.h"
#include "pfstate.h"
#include "reason.h"

/* Fills both keys of one half (PF_IN or PF_OUT) of a flow. typed: ICMP keys hold id and type. */
void xlat_keys(const struct tuples *t, int direction, bool typed, struct pf_key key[2]);

/*
 * The flow that one half shows; what it does not show (reply destination of an in state, original
 * destination of an out state) is filled in as untranslated. Any reason but R_NONE says why Linux
 * does not carry it: R_AF_TO, R_SEQDIFF, R_SYNPROXY, R_SCTP_TAGS, R_TS_MODULATED, R_ROUTE_TO,
 * R_RDOMAIN and R_NAT_FORM leave *t filled as far as it goes (af-to: what is on the wire, not
 * translated), the others do not.
 */
enum reason xlat_half(const struct pf_state *s, enum pf_layout layout, struct tuples *t);

/*
 * What of a state conntrack cannot say by its tuples, as it stands now: R_NONE if there is
 * nothing. R_SEQDIFF is told only where there is nothing else: see carry.c.
 */
enum reason xlat_carries(const struct pf_state *s);

/*
 * The entry has ports or keys that pf's states have no place for: PPTP's GRE, UDP-Lite, DCCP. Two
 * of them between the same hosts would be one state there.
 */
bool xlat_is_keyed(const struct tuples *t);

/*
 * SCTP's verification tag as a number and scrub.ts_mod, both ways: pf keeps the tag as it stands in
 * the packet, but sends it as a number, which on the little-endian machines that pf runs on turns
 * its bytes round.
 */
uint32_t xlat_tag(uint32_t tag);

/* A state that is refused for this reason is kept in the table, and handed back to a peer. */
bool xlat_is_kept(enum reason r);

/* Takes from half what it shows of its side of the flow, keeps in t what only the other half shows.
 */
void xlat_merge_half(struct tuples *t, const struct tuples *half, int direction);

#endif
