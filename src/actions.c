/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "actions.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"

_Static_assert(sizeof(struct pf_actions) == 4 * 2 + 2 * 6 + 8 + 16 + 16 + 16 + 64 + 4,
	       "padding in struct pf_actions");

enum { RT_FREEBSD_MAX = 4, RT_OPENBSD_MAX = 3 }; /* pfsync-protocol 3.5: kinds of route-to */

/* ---- from a state ---------------------------------------------------------------------- */

/* What stands behind the NUL is left over from something else. */
static void copy_name(char *to, const char *from, size_t size)
{
	memcpy(to, from, strnlen(from, size - 1));
}

void actions_of(const struct pf_state *s, enum pf_layout layout, struct pf_actions *a)
{
	unsigned anew = PF_FLAG_NOSYNC | PF_FLAG_ACK | (s->proto == 6 ? PF_FLAG_SLOPPY : 0u);

	memset(a, 0, sizeof(*a));
	a->layout = layout;
	for (int i = 0; i < 2; i++)
		a->rtableid[i] = s->rtableid[i] < 0 ? -1 : s->rtableid[i];
	a->state_flags = s->state_flags & dialect_by_layout(layout)->flags & (uint16_t)~anew;
	a->max_mss = s->max_mss;
	a->qid = s->qid;
	a->pqid = s->pqid;
	a->dnpipe = s->dnpipe;
	a->dnrpipe = s->dnrpipe;
	a->min_ttl = s->min_ttl;
	a->set_tos = s->set_tos;
	memcpy(a->set_prio, s->set_prio, sizeof(a->set_prio));
	a->log = s->log;
	a->sync_flags = s->sync_flags;
	copy_name(a->orig_ifname, s->orig_ifname, sizeof(a->orig_ifname));
	copy_name(a->tag, s->tag, sizeof(a->tag));
	a->rt = s->rt;
	if (a->rt || layout == LAYOUT_1301) /* which has the next hop alone */
		memcpy(a->rt_addr, s->rt_addr, sizeof(a->rt_addr));
	if (!a->rt)
		return;
	a->rt_af = s->rt_af;
	copy_name(a->rt_ifname, s->rt_ifname, sizeof(a->rt_ifname));
}

/* ---- into a state ---------------------------------------------------------------------- */

static bool any(const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len--)
		if (*p++)
			return true;
	return false;
}

static bool is_freebsd_14(uint32_t layout)
{
	return layout == LAYOUT_1400 || layout == LAYOUT_1500;
}

/* A route that a pf could have told: a peer may make up any number. */
static bool route_good(const struct pf_actions *a, enum pf_layout layout)
{
	if (!a->rt)
		return true;
	if (layout == LAYOUT_OPENBSD)
		return a->rt <= RT_OPENBSD_MAX;
	return a->rt <= RT_FREEBSD_MAX && a->rt_ifname[0] &&
	       (!a->rt_af || layout_family(layout, a->rt_af));
}

/*
 * No table, the interface that it is bound to. No rule either, whatever a peer said: its number
 * means something next to the checksum of its ruleset alone, which we do not send.
 */
static void plain(enum pf_layout layout, struct pf_state *s)
{
	s->rule = s->anchor = s->nat_rule = UINT32_MAX;
	s->rtableid[PF_WIRE] = s->rtableid[PF_STACK] = -1;
	if (layout == LAYOUT_OPENBSD) /* as recorded: 0 on the side where the packet came from */
		s->rtableid[s->direction == PF_IN ? PF_STACK : PF_WIRE] = 0;
	s->state_flags &= PF_FLAG_SLOPPY;
	s->max_mss = s->qid = s->pqid = s->dnpipe = s->dnrpipe = 0;
	s->min_ttl = s->set_tos = s->set_prio[0] = s->set_prio[1] = 0;
	s->rt = s->rt_af = s->log = s->sync_flags = s->updates = 0;
	memset(s->rt_addr, 0, sizeof(s->rt_addr));
	memset(s->rt_ifname, 0, sizeof(s->rt_ifname));
	memset(s->orig_ifname, 0, sizeof(s->orig_ifname));
	memset(s->tag, 0, sizeof(s->tag));
	if (layout == LAYOUT_1500 && strcmp(s->ifname, "all") != 0)
		memcpy(s->orig_ifname, s->ifname, sizeof(s->orig_ifname));
}

static void unchanged(const struct pf_actions *a, struct pf_state *s)
{
	memcpy(s->rtableid, a->rtableid, sizeof(s->rtableid));
	s->state_flags |= a->state_flags;
	s->max_mss = a->max_mss;
	s->qid = a->qid;
	s->pqid = a->pqid;
	s->dnpipe = a->dnpipe;
	s->dnrpipe = a->dnrpipe;
	s->min_ttl = a->min_ttl;
	s->set_tos = a->set_tos;
	memcpy(s->set_prio, a->set_prio, sizeof(s->set_prio));
	s->rt = a->rt;
	s->rt_af = a->rt_af;
	s->log = a->log;
	s->sync_flags = a->sync_flags;
	memcpy(s->rt_addr, a->rt_addr, sizeof(s->rt_addr));
	memcpy(s->rt_ifname, a->rt_ifname, sizeof(s->rt_ifname));
	memcpy(s->orig_ifname, a->orig_ifname, sizeof(s->orig_ifname));
	memcpy(s->tag, a->tag, sizeof(s->tag));
}

/*
 * In another layout. Sync flags are those of another table: nobody misses them. Queues, pipes and
 * tables have the same numbers in FreeBSD 14 and 15 alone.
 */
static enum actions_told converted(const struct pf_actions *a, const struct dialect *d,
				   struct pf_state *s)
{
	bool both = is_freebsd_14(a->layout) && is_freebsd_14(d->layout), part;

	part = a->tag[0] || (a->state_flags & ~d->flags) || any(a->rt_addr, sizeof(a->rt_addr));
	s->state_flags |= a->state_flags & d->flags;
	s->log = a->log;
	if (d->layout == LAYOUT_1301) {
		part |= a->max_mss || a->min_ttl;
	} else {
		s->max_mss = a->max_mss;
		s->min_ttl = a->min_ttl;
		s->set_tos = a->set_tos;
		memcpy(s->set_prio, a->set_prio, sizeof(s->set_prio));
	}
	if (both) {
		s->rtableid[0] = a->rtableid[0];
		s->qid = a->qid;
		s->pqid = a->pqid;
		s->dnpipe = a->dnpipe;
		s->dnrpipe = a->dnrpipe;
	} else {
		part |= a->qid || a->pqid || a->dnpipe || a->dnrpipe;
	}
	return part ? ACTIONS_PART : ACTIONS_WHOLE;
}

enum actions_told actions_tell(const struct pf_actions *a, const struct dialect *d,
			       struct pf_state *s)
{
	plain(d->layout, s);
	if (!a)
		return ACTIONS_WHOLE;
	if (a->layout == d->layout) {
		unchanged(a, s);
		return route_good(a, d->layout) ? ACTIONS_WHOLE : ACTIONS_NONE;
	}
	if (a->rt || ((a->rtableid[0] > 0 || a->rtableid[1] > 0) &&
		      !(is_freebsd_14(a->layout) && is_freebsd_14(d->layout))))
		return ACTIONS_NONE;
	return converted(a, d, s);
}

/* ---- all that are in use --------------------------------------------------------------- */

void actions_free(struct actions *t)
{
	free(t->slot);
	*t = (struct actions){0};
}

/* A slot that nobody uses; 0 if there is none. */
static uint16_t slot_take(struct actions *t)
{
	size_t room = t->room ? 2 * t->room : 64;
	struct actions_slot *slot;
	uint16_t n = t->free;

	if (n) {
		t->free = t->slot[n].next;
		return n;
	}
	if (!t->used)
		t->used = 1;
	if (t->used == ACTIONS_MAX)
		return 0;
	if (t->used >= t->room) {
		slot = realloc(t->slot, room * sizeof(*slot));
		if (!slot)
			return 0;
		t->slot = slot;
		t->room = room;
	}
	return (uint16_t)t->used++;
}

uint16_t actions_take(struct actions *t, const uint8_t key[16], const struct pf_actions *a)
{
	uint16_t *bucket, n = t->last;
	uint32_t hash;

	/* states that come together are mostly of the same rules */
	if (n && t->slot[n].users && !memcmp(&t->slot[n].actions, a, sizeof(*a))) {
		t->slot[n].users++;
		return n;
	}
	hash = (uint32_t)hash_bytes(key, a, sizeof(*a));
	bucket = &t->bucket[hash % ACTIONS_BUCKETS];
	for (n = *bucket; n; n = t->slot[n].next)
		if (t->slot[n].hash == hash && !memcmp(&t->slot[n].actions, a, sizeof(*a)))
			break;
	if (!n) {
		n = slot_take(t);
		if (!n)
			return 0;
		t->slot[n] = (struct actions_slot){.actions = *a, .hash = hash, .next = *bucket};
		*bucket = n;
	}
	t->slot[n].users++;
	t->last = n;
	return n;
}

void actions_drop(struct actions *t, uint16_t number)
{
	struct actions_slot *s;
	uint16_t *at;

	if (!number)
		return;
	s = &t->slot[number];
	if (--s->users)
		return;
	for (at = &t->bucket[s->hash % ACTIONS_BUCKETS]; *at != number; at = &t->slot[*at].next)
		;
	*at = s->next;
	s->next = t->free;
	t->free = number;
}

const struct pf_actions *actions_get(const struct actions *t, uint16_t number)
{
	return number ? &t->slot[number].actions : NULL;
}
