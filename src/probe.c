/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does each peer still hear us? pfsync has no keepalive: a pf that stands by says nothing for
 * hours, and one that died says just as little. So whoever has not answered for a while is told an
 * update of a state that does not exist, for which every pf asks back. A FreeBSD with nothing else
 * to say keeps that question for itself until it is asked for a state; and at last for all of them.
 * Only who answers nothing of that is deaf. Nothing of it changes a state here or there.
 *
 * On a link with a small MTU some states are asked for besides: the answers fill a packet. Where
 * they do not come and the answer for one state does, the peer sends longer packets than arrive.
 */
#include "engine_internal.h"

enum {
	PATIENCE_S = 2, /* for an answer */
	BULK_PATIENCE_S = 4,
	BULK_LEAST_S = 10, /* between two bulk requests of a probe, and .. */
	BULK_MOST_S = 600,
	BULK_SHARE = 20, /* .. so many times as long as the last bulk took */
	WIDE_S = 60,	 /* between two questions for many states */
	WIDE_MTU = 1500, /* from this on nothing is too long */
	LOOKED_AT = 256, /* flows, for what to ask for */
};

#define ECHO_ID 0xfffffffe00000000u /* behind the ids of any state; the round in its low half */

enum { STEP_REST, STEP_ECHO, STEP_ONE, STEP_ALL };

static uint64_t echo_id(const struct link *l)
{
	return ECHO_ID | (uint32_t)l->probed_rounds;
}

static void send_echo(struct engine *e, struct link *l)
{
	struct msg_upd_c m = {.id = echo_id(l),
			      .creatorid = e->config.hostid,
			      .src.state = 2,
			      .dst.state = 2,
			      .timeout = PFTM_UDP_MULTIPLE};
	static const enum dialect_id one_of[] = {DIALECT_FREEBSD_13, DIALECT_OPENBSD};
	struct builder b;

	if (l->config.mode == MODE_RECEIVE_ONLY)
		return;
	for (int i = 0; i < 2; i++) {
		const struct dialect *d = dialect_get(one_of[i]);

		if (!bulk_speaks(e, l, d->version))
			continue;
		builder_start(&b, d, e->packet, sendq_payload(l, d), false);
		(void)builder_add_upd_c(&b, &m);
		(void)sendq_packet(e, (unsigned)(l - e->link), &b);
	}
	e->ops.flush_packets(e->ctx);
}

/* States that every peer should have, preferably of flows that live here. */
static size_t choose(struct engine *e, struct link *l, struct msg_id id[PROBE_IDS])
{
	size_t live = 0, idle = 0;

	for (int i = 0; i < LOOKED_AT && live < PROBE_IDS; i++) {
		const struct flow *f = table_walk(&e->table, &l->probe_cursor);

		if (!f) {
			l->probe_cursor = 0;
			break;
		}
		for (int h = HALF_IN; h <= HALF_OUT && live < PROBE_IDS; h++) {
			const struct half *half = &f->half[h];

			if (~half->flags & (H_PRESENT | H_TOLD) || f->pend || f->kept ||
			    half_closed(f, h) || (live && !(f->flags & F_LIVE)))
				continue;
			if (!live && f->flags & F_LIVE)
				idle = 0;
			if (live + idle < PROBE_IDS)
				id[live + idle] = (struct msg_id){half->id, half->creatorid};
			if (f->flags & F_LIVE)
				live++;
			else if (idle < PROBE_IDS)
				idle++;
		}
	}
	return live + idle;
}

static void ask_for(struct engine *e, struct link *l, size_t most)
{
	l->probes = choose(e, l, l->probe);
	if (l->probes > most)
		l->probes = most;
	for (size_t i = 0; i < l->probes; i++)
		sendq_request(e, l, l->probe[i].id, l->probe[i].creatorid);
}

static void ask_for_all(struct engine *e, struct link *l)
{
	uint64_t pause = BULK_SHARE * l->bulk_took;

	l->probe_pause *= 2;
	if (l->probe_pause < BULK_LEAST_S * NS_PER_S)
		l->probe_pause = BULK_LEAST_S * NS_PER_S;
	if (l->probe_pause > BULK_MOST_S * NS_PER_S)
		l->probe_pause = BULK_MOST_S * NS_PER_S;
	l->probe_bulk_at = e->now + (pause > l->probe_pause ? pause : l->probe_pause);
	bulk_probe(e, l);
}

/* Since when there is no word of one of the link's peers; having appeared is one. */
static uint64_t oldest_answer(const struct engine *e, unsigned link)
{
	uint64_t oldest = e->now;
	struct list *n;

	list_for_each (n, &e->peers) {
		const struct peer *p = container_of(n, struct peer, node);

		if (p->link == link)
			engine_wake(&oldest, p->answered ? p->answered : p->first);
	}
	return oldest;
}

static void conclude(struct engine *e, unsigned link)
{
	struct link *l = &e->link[link];
	struct list *n;

	list_for_each (n, &e->peers) {
		struct peer *p = container_of(n, struct peer, node);

		if (p->link == link && p->answered < l->probed && p->first < l->probed && !p->deaf)
			p->deaf = l->probed;
	}
}

static void step(struct engine *e, struct link *l)
{
	l->probe_at = e->now + PATIENCE_S * NS_PER_S;
	switch (++l->probe_step) {
	case STEP_ECHO:
		l->probed = e->now;
		l->probed_rounds++;
		l->probes = 0;
		l->wide = e->peer_count && l->mtu < WIDE_MTU && e->now >= l->wide_at;
		l->wide_heard = false;
		if (l->wide) {
			ask_for(e, l, PROBE_IDS);
			l->wide = l->probes == PROBE_IDS;
			l->wide_at = e->now + WIDE_S * NS_PER_S;
		}
		send_echo(e, l);
		break;
	case STEP_ONE:
		ask_for(e, l, 1);
		send_echo(e, l);
		break;
	default:
		ask_for_all(e, l);
		l->probe_at = e->now + BULK_PATIENCE_S * NS_PER_S;
	}
}

static void probe_link(struct engine *e, unsigned link)
{
	struct link *l = &e->link[link];
	uint64_t every = l->config.probe_s * NS_PER_S;
	uint64_t answered = oldest_answer(e, link);
	bool missed = l->wide && !l->wide_heard && l->probe_step == STEP_ECHO;
	bool over;

	if (!every || e->now < l->probe_at)
		return;
	if (!l->up || e->undecided || l->config.mode == MODE_SEND_ONLY)
		over = true;
	else if (l->probe_step == STEP_REST)
		over = e->now - answered < every && (l->mtu >= WIDE_MTU || e->now < l->wide_at);
	else
		over = answered >= l->probed && !missed;
	if (!over && l->probe_step == STEP_ALL) {
		conclude(e, link);
		over = true;
	} else if (!over && l->probe_step == STEP_ONE && e->now < l->probe_bulk_at) {
		over = true; /* it may be one that answers bulk requests only */
	}
	if (!over) {
		step(e, l);
		return;
	}
	l->probe_step = STEP_REST;
	l->probe_at = answered + every;
	if (l->probe_at <= e->now)
		l->probe_at = e->now + every;
}

void probe_run(struct engine *e)
{
	for (unsigned i = 0; e->peer_count && i < e->links; i++)
		probe_link(e, i);
}

uint64_t probe_next(const struct engine *e)
{
	uint64_t next = NEVER;

	for (size_t i = 0; e->peer_count && i < e->links; i++)
		if (e->link[i].config.probe_s)
			engine_wake(&next, e->link[i].probe_at);
	return next;
}

void probe_answered(struct engine *e, struct peer *p)
{
	p->answered = e->now;
	p->deaf = 0;
}

/* The same question of another one like us: answered as any unknown state is, but no fault. */
bool probe_is_echo(const struct msg_upd_c *m)
{
	return m->id >> 32 == ECHO_ID >> 32;
}

bool probe_request(struct engine *e, struct peer *p, const struct msg_id *m)
{
	struct link *l = &e->link[p->link];

	if (m->creatorid != e->config.hostid || m->id >> 32 != ECHO_ID >> 32)
		return false;
	if (m->id == echo_id(l)) {
		probe_answered(e, p);
		l->probe_pause = 0;
	}
	return true;
}

bool probe_state(struct engine *e, struct peer *p, const struct pf_state *s)
{
	struct link *l = &e->link[p->link];
	struct half *half;
	size_t i = 0;

	if (l->probe_step == STEP_REST)
		return false;
	while (i < l->probes && (l->probe[i].id != s->id || l->probe[i].creatorid != s->creatorid))
		i++;
	if (i == l->probes)
		return false;
	if (l->probe_step == STEP_ECHO) {
		l->wide_heard = true;
		l->narrow = 0;
	} else if (l->wide && !l->wide_heard) {
		l->wide = false;
		l->narrow++;
		l->wide_at = e->now;
	}
	probe_answered(e, p);
	l->probe_pause = 0;
	half = table_find_half(&e->table, s->id, s->creatorid);
	return half && half_flow(half)->flags & F_LIVE;
}
