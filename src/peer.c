/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is on the link: by address; what it speaks, when it was heard, whether it withholds halves.
 */
#include <stdlib.h>
#include <string.h>

#include "engine_internal.h"

enum {
	GONE_S = 60,	   /* a peer heard again after this long has appeared anew */
	ALONE_WORDS = 4,   /* in a row, of one half: the other is silent */
	LOOK_S = 4,	   /* a flow told in one half only may wait this long for the other */
	LOOK_LEAST_S = 30, /* between two bulk requests for withheld halves */
	LOOK_MOST_S = 3600,
	RATE_BURST = 1000, /* states */
	MANY_S = 2,	   /* in this time one that speaks both versions has done so */
	MANY_LAST_S = 300,
};

/*
 * The table of peers is full: whoever forges sources must not lock the real peers out, nor get more
 * by it. The one with the fewest flows goes, of those the longest silent; the newcomer takes its
 * place with all that counted for it.
 */
static struct peer *replace_one(struct engine *e)
{
	struct peer *least = e->place[1], old;

	for (size_t i = 2; i <= e->peer_count; i++) {
		struct peer *p = e->place[i];

		if (p->held < least->held || (p->held == least->held && p->heard < least->heard))
			least = p;
	}
	e->counters.refused[R_PEERS]++;
	list_remove(&least->node);
	old = *least;
	*least = (struct peer){
		.place = old.place, .held = old.held, .wanted_at = old.wanted_at, .rate = old.rate};
	return least;
}

static struct peer *one_more(struct engine *e)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->place = (uint8_t)++e->peer_count;
	e->place[p->place] = p;
	return p;
}

struct peer *peer_find(struct engine *e, unsigned link, const struct address *addr)
{
	struct list *n;
	struct peer *p;

	list_for_each (n, &e->peers) {
		p = container_of(n, struct peer, node);
		if (p->link == link && p->addr.family == addr->family &&
		    !memcmp(p->addr.addr, addr->addr, family_len(addr->family)))
			return p;
	}
	p = e->peer_count == PEERS_MAX ? replace_one(e) : one_more(e);
	if (!p)
		return NULL;
	p->link = link;
	p->addr = *addr;
	p->look_every = LOOK_LEAST_S * NS_PER_S;
	p->gone_after = GONE_S * NS_PER_S;
	list_append(&e->peers, &p->node);
	return p;
}

/* Some peer goes by that hostid, or has told states of it. */
bool peer_known(const struct engine *e, uint32_t hostid)
{
	struct list *n;

	list_for_each (n, &e->peers) {
		const struct peer *p = container_of(n, struct peer, node);

		for (size_t i = 0; i < sizeof(p->hostid) / sizeof(p->hostid[0]); i++)
			if (p->hostid[i] == hostid)
				return true;
	}
	return false;
}

/* A creator was seen; true if it is new: the peer, or one that it knows, began anew. */
bool peer_hostid(struct engine *e, struct peer *p, uint32_t hostid)
{
	size_t n = sizeof(p->hostid) / sizeof(p->hostid[0]);

	if (hostid == e->config.hostid) {
		e->counters.refused[R_HOSTID_CLASH]++;
		engine_note(e, &(struct note){.kind = NOTE_HOSTID_CLASH,
					      .link = (int)p->link,
					      .peer = &p->addr,
					      .creatorid = hostid});
	}
	for (size_t i = 0; i < n; i++)
		if (p->hostid[i] == hostid)
			return false;
	memmove(&p->hostid[1], &p->hostid[0], (n - 1) * sizeof(p->hostid[0]));
	p->hostid[0] = hostid;
	return true;
}

/*
 * What is spoken on a link whose dialect is learned. Nodes like us follow the pf nodes: they count
 * where there is nobody else.
 */
static unsigned spoken_on(const struct engine *e, unsigned link)
{
	unsigned ones = 0, all = 0;
	struct list *n;

	list_for_each (n, &e->peers) {
		const struct peer *p = container_of(n, struct peer, node);

		if (p->link != link)
			continue;
		all |= p->spoken;
		ones |= p->many ? 0 : p->spoken;
	}
	return ones ? ones : all;
}

void peer_dialects(struct engine *e, unsigned link)
{
	struct link *l = &e->link[link];
	unsigned spoken = spoken_on(e, link);

	if (l->config.dialect || !spoken)
		return;
	if (spoken & ~l->dialects) { /* it could not understand what was told so far */
		if (l->dialects)
			relay_retell(e, link);
		bulk_walk_asked(e, WALK_RETELL);
	}
	l->dialects = spoken;
}

/* Full states show what it speaks. Where the configuration says auto, we follow. */
void peer_dialect(struct engine *e, struct peer *p, enum pf_layout layout)
{
	const struct dialect *d = dialect_by_layout(layout);
	unsigned bit = d ? 1u << d->id : 0;

	if (!d || (p->many ? p->spoken & bit : p->dialect == d))
		return;
	p->spoken = p->many ? p->spoken | bit : bit;
	p->dialect = d;
	engine_note(e, &(struct note){.kind = NOTE_PEER_DIALECT,
				      .link = (int)p->link,
				      .peer = &p->addr,
				      .detail = d->name});
	peer_dialects(e, p->link);
}

/*
 * A pf speaks one header version. Whoever speaks both within a moment is a node like us, until it
 * has spoken one alone for minutes.
 */
static void hear_version(struct engine *e, struct peer *p, uint8_t version)
{
	int v = version == PFSYNC_VERSION_OPENBSD;
	uint64_t other = p->version_at[!v];
	bool many = p->many;

	p->version = version;
	p->version_at[v] = e->now;
	if (other && e->now - other < MANY_S * NS_PER_S)
		p->many = true;
	else if (!other || e->now - other > MANY_LAST_S * NS_PER_S)
		p->many = false;
	if (p->many == many)
		return;
	if (!p->many && p->dialect)
		p->spoken = 1u << p->dialect->id;
	peer_dialects(e, p->link);
}

/* A packet of it was accepted; true if it appears: for the first time, or after a long silence. */
bool peer_heard(struct engine *e, struct peer *p, uint8_t version)
{
	bool appears = !p->first || e->now - p->heard > p->gone_after;

	if (!p->first)
		p->first = e->now;
	else if (appears)
		p->returned = e->now;
	if (p->first != e->now && appears && p->gone_after < LOOK_MOST_S * NS_PER_S)
		p->gone_after *= 2; /* one that is often silent has not gone each time */
	if (appears)
		p->pf = p->dense = false;
	p->heard = e->now;
	p->packets++;
	hear_version(e, p, version);
	return appears;
}

/*
 * FreeBSD 13 and 14 changed the way in which ICMP states are keyed within their releases: what a
 * peer sends shows it, what we send to those of its dialect follows the latest of them. An id that
 * is the number of a type as well shows nothing.
 */
void peer_icmp(struct engine *e, struct peer *p, const struct pf_state *s, enum pf_layout layout)
{
	unsigned bit = 1u << dialect_by_layout(layout)->id;
	uint16_t echo = s->proto == PROTO_ICMP ? 8 : 128;
	uint16_t outside = s->key[PF_WIRE].port[PF_OUTSIDE];
	uint16_t inside = s->key[PF_WIRE].port[PF_INSIDE];
	struct link *l = &e->link[p->link];

	/* twice the id, or the id and the type; anything else tells nothing */
	if (!proto_is_icmp(s->proto) || (outside == echo && inside == echo) ||
	    (outside != inside && outside != echo && inside != echo))
		return;
	p->icmp_told = true;
	p->icmp_typed = outside != inside;
	l->icmp_typed = p->icmp_typed ? l->icmp_typed | bit : l->icmp_typed & ~bit;
}

/*
 * Whether a section may hold one state only: FreeBSD 14 misreads the second one of layout 1301,
 * which it may have been set to speak. Those up to 13 show by six in a packet that they are none.
 */
bool peer_single(const struct engine *e, unsigned link, const struct dialect *d)
{
	struct list *n;

	if (d->layout != LAYOUT_1301 || e->link[link].config.dialect)
		return false;
	list_for_each (n, &e->peers) {
		const struct peer *p = container_of(n, struct peer, node);

		if (p->link == link && p->version == d->version && !p->dense)
			return true;
	}
	return false;
}

/* import.max-rate: a bucket of RATE_BURST states. */
bool peer_rate_ok(struct engine *e, struct peer *p)
{
	uint32_t rate = e->config.max_rate;

	return !rate || engine_bucket(&p->rate, e->now, NS_PER_S / rate, RATE_BURST);
}

/* How many flows a peer may have: as many as each other one that has told new ones lately. */
static uint32_t share_of(const struct engine *e, const struct peer *p)
{
	uint32_t most = e->config.peer_max_states, n = 0;
	struct list *at;

	list_for_each (at, &e->peers) {
		const struct peer *other = container_of(at, struct peer, node);

		n += other == p ||
		     (other->wanted_at && e->now - other->wanted_at < GONE_S * NS_PER_S);
	}
	return most && most < e->config.max_states / n ? most : e->config.max_states / n;
}

/* Whether the peer may tell one more flow; R_NONE if so. What it has already is not taken away. */
enum reason peer_quota(struct engine *e, struct peer *p)
{
	p->wanted_at = e->now;
	if (e->remote >= e->config.max_states)
		return R_MAX_STATES;
	return p->held >= share_of(e, p) ? R_PEER_MAX_STATES : R_NONE;
}

/* From now on, until it ends, the flow counts for this peer. */
void peer_take_flow(struct engine *e, struct peer *p, struct flow *f)
{
	f->flags |= F_REMOTE;
	f->place = p->place;
	p->held++;
	e->remote++;
}

void peer_drop_flow(struct engine *e, struct flow *f)
{
	if (!(f->flags & F_REMOTE))
		return;
	f->flags &= (uint16_t)~F_REMOTE;
	e->place[f->place]->held--;
	e->remote--;
}

/*
 * A peer says by UPD_C that a flow lives. Packets touch both of its states, and a FreeBSD tells
 * each of them within a second or two, unless it withholds one bucket: then the other is all that
 * is heard, also of flows that it has told as a whole.
 */
void peer_word(struct engine *e, struct peer *p, const struct flow *f, int half)
{
	if (p->version != PFSYNC_VERSION_FREEBSD ||
	    !(f->half[HALF_IN].flags & f->half[HALF_OUT].flags & H_PRESENT))
		return;
	if (p->alone != half || !p->alone_words) {
		p->alone = (uint8_t)half;
		p->alone_since = e->now;
		p->alone_words = 1;
	} else if (p->alone_words < ALONE_WORDS &&
		   e->now - p->alone_since >= p->alone_words * NS_PER_S) {
		p->alone_words++;
	}
}

/* One half of its flows has fallen silent. */
static bool half_is_silent(const struct engine *e, const struct peer *p)
{
	return p->alone_words == ALONE_WORDS && e->now - p->alone_since > LOOK_S * NS_PER_S;
}

/*
 * A FreeBSD whose own bulk request was not answered withholds the messages of one bucket, about
 * half of its states. It shows as flows of which only one half is ever told; asking it makes it
 * speak (observed on 12.1). Asked ever more seldom, for flows that end on the peer itself have one
 * half only.
 */
static void look_at_peer(struct engine *e, struct peer *p)
{
	if (!p->look_at) {
		if (p->half > p->seen_half || half_is_silent(e, p)) {
			p->look_at = e->now + LOOK_S * NS_PER_S;
			if (p->look_at < p->look_after)
				p->look_at = p->look_after;
		}
		return;
	}
	if (e->now < p->look_at)
		return;
	p->look_at = 0;
	if ((p->half > p->seen_half && p->whole == p->seen_whole) || half_is_silent(e, p)) {
		bulk_ask(e, &e->link[p->link], false);
		p->look_after = e->now + p->look_every;
		p->look_every *= 2;
		if (p->look_every > LOOK_MOST_S * NS_PER_S)
			p->look_every = LOOK_MOST_S * NS_PER_S;
	}
	p->seen_half = p->half;
	p->seen_whole = p->whole;
	p->alone_words = 0;
}

void peer_look(struct engine *e)
{
	struct list *n;

	list_for_each (n, &e->peers)
		look_at_peer(e, container_of(n, struct peer, node));
}

uint64_t peer_next(const struct engine *e)
{
	uint64_t next = NEVER;
	struct list *n;

	list_for_each (n, &e->peers) {
		const struct peer *p = container_of(n, struct peer, node);

		if (p->look_at)
			engine_wake(&next, p->look_at);
	}
	return next;
}
