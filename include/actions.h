/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a pf rule made of a state beyond letting it pass (pf: its rule actions), and what else of it
 * Linux has no word for: tag, routing table, route-to, queues, dummynet, type of
 * service, logging. It is told again as it was told. All states of one rule have the same, so
 * they share it: a half has its number, and pays two bytes.
 */
#ifndef PFSYNC_ACTIONS_H
#define PFSYNC_ACTIONS_H

#include "pfstate.h"

enum { ACTIONS_MAX = 16384, ACTIONS_BUCKETS = 1024 };

/* No padding: compared and hashed as bytes. */
struct pf_actions {
	int32_t rtableid[2];  /* -1: none */
	uint16_t state_flags; /* without what is said anew: NOSYNC, ACK, of TCP SLOPPY */
	uint16_t max_mss, qid, pqid, dnpipe, dnrpipe;
	uint8_t min_ttl, set_tos, set_prio[2], rt, rt_af, log, sync_flags;
	uint8_t rt_addr[16];
	char rt_ifname[PF_IFNAME_LEN], orig_ifname[PF_IFNAME_LEN], tag[PF_TAG_LEN];
	uint32_t layout; /* enum pf_layout in which it was told: numbers are those of its system */
};

struct actions_slot {
	struct pf_actions actions;
	uint32_t hash, users;
	uint16_t next; /* of its bucket, or of the free ones; 0: none */
};

/* All that are in use, each once, counted. */
struct actions {
	struct actions_slot *slot; /* [0] is not used */
	size_t used, room;
	uint16_t free, last; /* last: the one that was taken last, perhaps free since */
	uint16_t bucket[ACTIONS_BUCKETS];
};

/* How much of it a dialect can say. */
enum actions_told {
	ACTIONS_WHOLE,
	ACTIONS_PART, /* without it the state is the same one, treated less well */
	ACTIONS_NONE, /* it would be another state: one that takes another route */
};

/* What a state says, made such that a pf could have said it. */
void actions_of(const struct pf_state *s, enum pf_layout layout, struct pf_actions *a);

/*
 * Puts it into a state of which the rest is filled, as far as the dialect has the words: unchanged
 * in its own layout, else without what means something else there. NULL: of a state of ours.
 */
enum actions_told actions_tell(const struct pf_actions *a, const struct dialect *d,
			       struct pf_state *s);

void actions_free(struct actions *t);

/* The number of equal actions, one user more; 0 if there is no room for others, or no memory. */
uint16_t actions_take(struct actions *t, const uint8_t key[16], const struct pf_actions *a);
/* One user less. 0 is nobody's. */
void actions_drop(struct actions *t, uint16_t number);
/* Valid until the next actions_take(); NULL of 0. */
const struct pf_actions *actions_get(const struct actions *t, uint16_t number);

#endif
