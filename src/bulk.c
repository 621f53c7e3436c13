/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bulk update in both roles, and the other passes through the whole table. As requester we accept
 * an END without START (OpenBSD with an empty table) and states behind the END (FreeBSD buckets),
 * and never take what comes for the whole picture. As responder we always send START and END, END
 * last: without it an OpenBSD peer stays demoted for half an hour.
 */
#include <string.h>

#include "engine_internal.h"

enum {
	TRIES_MAX = 12,
	STEP_MS = 5,	   /* between two portions of a bulk answer */
	WALK_FLOWS = 500,  /* flows looked at in one portion of a walk */
	PACKETS_STEP = 25, /* packets of a portion at most: 500 in 100 ms */

	SPARE_STATES = 20, /* beyond those that are known when a bulk comes */
	TAIL_MS = 1500,	   /* until the answer that is asked for during another has begun */
	PAUSE_S = 2,	   /* within an answer: its end was lost, for that of another */
	RECEIVE_S = 10,	   /* without a word in a bulk: its end was lost */
	SLOWEST_MS = 100,  /* between two packets of a bulk on the whole; OpenBSD: 20 */
	RETRY_S = 60, /* after a request that failed, while peers are heard; then ever longer */
	RETRY_MAX_S = 3600,
	RETRY_TRIES = 3,

	/* What peers ask for again and again is done so often at once, then once a second. */
	ASKED_BURST = 5,
	GREETINGS_BURST = 20,
};

/* ---- asking ---------------------------------------------------------------------------- */

/* Somebody of that header version is there who has not shown its dialect, for it has no states. */
static bool undeclared(const struct engine *e, const struct link *l, uint8_t version)
{
	struct list *n;

	list_for_each (n, &e->peers) {
		const struct peer *p = container_of(n, struct peer, node);

		if (&e->link[p->link] == l && !p->dialect && p->version == version)
			return true;
	}
	return false;
}

/* Whether that header version may be understood on the link. */
bool bulk_speaks(const struct engine *e, const struct link *l, uint8_t version)
{
	bool any = !l->dialects || (!l->config.dialect && undeclared(e, l, version));

	for (int d = 0; d < DIALECT_COUNT; d++)
		if (l->dialects & 1u << d && dialect_get((enum dialect_id)d)->version == version)
			any = true;
	return any;
}

/* FreeBSD waits 5 s for an answer, OpenBSD 2 s (pfsync-protocol 4.7). */
static uint64_t answer_time(const struct engine *e, const struct link *l)
{
	return (bulk_speaks(e, l, PFSYNC_VERSION_FREEBSD) ? 5 : 2) * NS_PER_S;
}

/* One of each header version. */
static const enum dialect_id one_of[] = {DIALECT_FREEBSD_13, DIALECT_OPENBSD};

/* UPD_REQ 0/0, in each header version that may be understood. */
static void send_request(struct engine *e, struct link *l)
{
	unsigned index = (unsigned)(l - e->link);
	struct builder b;

	for (int i = 0; i < 2; i++) {
		const struct dialect *d = dialect_get(one_of[i]);

		if (!bulk_speaks(e, l, d->version))
			continue;
		builder_start(&b, d, e->packet, sendq_payload(l, d), false);
		(void)builder_add_id(&b, ACT_UPD_REQ, 0, 0);
		(void)sendq_packet(e, index, &b);
	}
	e->ops.flush_packets(e->ctx);
	engine_count(e, C_BULK_REQUEST_OUT);
	if (!l->quiet)
		engine_note(e, &(struct note){.kind = NOTE_BULK_ASKED, .link = (int)index});
	l->asked_at = e->now;
	l->bulk_at = e->now + answer_time(e, l);
}

/* Asks the peers of a link for all they have; now: even if that was just done. */
void bulk_ask(struct engine *e, struct link *l, bool now)
{
	if (!l->up || l->config.mode == MODE_SEND_ONLY)
		return;
	if (!now && ((l->bulk != BULK_IDLE && !l->quiet) ||
		     (l->asked_at && !l->bulk_failed && e->now - l->asked_at < 5 * NS_PER_S)))
		return;
	l->bulk = BULK_ASKED;
	l->bulk_failed = l->quiet = false;
	l->tries = 1;
	send_request(e, l);
}

/* Asks once, only to see whether anybody answers; that nobody does changes nothing. */
void bulk_probe(struct engine *e, struct link *l)
{
	if (l->bulk != BULK_IDLE)
		return;
	l->bulk = BULK_ASKED;
	l->quiet = true;
	l->tries = TRIES_MAX;
	send_request(e, l);
}

/* A peer is there that was not: it has not heard what we asked before. */
void bulk_on_peer(struct engine *e, struct link *l)
{
	if (l->bulk == BULK_ASKED && !l->quiet && l->up && l->asked_at != e->now) {
		if (engine_bucket(&l->greetings, e->now, NS_PER_S, GREETINGS_BURST))
			send_request(e, l);
	} else {
		bulk_ask(e, l, false);
	}
}

/* No bulk answer is under way to us, but for one that was asked for in vain twice already. */
bool bulk_idle(const struct engine *e)
{
	struct list *n;

	for (size_t i = 0; i < e->links; i++)
		if (e->link[i].up && e->link[i].bulk == BULK_RECEIVING && e->link[i].tries <= 2)
			return false;
	list_for_each (n, &e->peers) /* the first that comes to its END is not the last one */
		if (import_in_bulk(e, container_of(n, struct peer, node)))
			return false;
	return true;
}

static bool has_peer(const struct engine *e, unsigned link)
{
	struct list *n;

	list_for_each (n, &e->peers)
		if (container_of(n, struct peer, node)->link == link)
			return true;
	return false;
}

/* Somebody is there, but has not answered what we asked first; that packet may be lost. */
static bool first_try_lost(const struct engine *e)
{
	for (unsigned i = 0; i < e->links; i++)
		if (e->link[i].up && e->link[i].bulk == BULK_ASKED && has_peer(e, i) &&
		    (e->link[i].tries < 2 || e->now - e->link[i].asked_at < NS_PER_S))
			return true;
	return false;
}

static void bulk_over(struct engine *e, struct link *l, bool good)
{
	bool news = !l->quiet || (good && (l->bulk_failed || !l->ever_synced));

	l->bulk = BULK_IDLE;
	l->bulk_at = NEVER;
	l->quiet = false;
	if (good)
		l->bulk_took = e->now - l->asked_at;
	if (!news)
		return;
	l->behind = false;
	l->bulk_failed = !good;
	l->ever_synced |= good;
	if (good)
		l->retry_every = 0;
	else if (!l->retry_every)
		l->retry_every = RETRY_S * NS_PER_S;
	else if (l->retry_every < RETRY_MAX_S * NS_PER_S)
		l->retry_every *= 2;
	l->retry_at = e->now + l->retry_every;
	engine_count(e, good ? C_BULK_DONE : C_BULK_FAILED);
	engine_note(e, &(struct note){.kind = good ? NOTE_BULK_DONE : NOTE_BULK_FAILED,
				      .link = (int)(l - e->link)});
	if (good && e->undecided) /* FreeBSD may send states behind its END */
		e->decide_at = e->now + 300 * NS_PER_MS;
}

/* Another one on the link is still telling what it has: one END is not that of all. */
static bool answered(const struct engine *e, const struct link *l)
{
	struct list *n;

	list_for_each (n, &e->peers) {
		const struct peer *p = container_of(n, struct peer, node);

		if (&e->link[p->link] == l && import_in_bulk(e, p))
			return false;
	}
	return true;
}

void bulk_on_status(struct engine *e, struct link *l, struct peer *p, const struct msg_bus *m)
{
	bool late = l->bulk == BULK_IDLE && l->bulk_failed && m->status == BUS_END;
	/* states and an END without a START: perhaps of an answer that began before we asked, and
	 * ours comes a second later */
	bool tail = m->status == BUS_END && !p->answers && p->received;

	(void)peer_hostid(e, p, m->creatorid);
	p->clash = m->creatorid == e->config.hostid;
	p->answers_until = m->status == BUS_START ? e->now + PAUSE_S * NS_PER_S : 0;
	p->answers_from = e->now;
	p->answers = m->status == BUS_START;
	p->received = 0;
	if ((l->bulk == BULK_IDLE && !late) || (m->status != BUS_START && m->status != BUS_END)) {
		e->counters.refused[R_BUS_IGNORED]++;
		return;
	}
	probe_answered(e, p);
	if (m->status == BUS_END) {
		if (answered(e, l))
			bulk_over(e, l, true);
		if (tail && e->undecided)
			e->decide_at = e->now + TAIL_MS * NS_PER_MS;
		return;
	}
	l->bulk = BULK_RECEIVING;
	l->bulk_at = e->now + RECEIVE_S * NS_PER_S;
}

/*
 * States come in: the bulk goes on, however long it takes (OpenBSD: 250 states a second). But older
 * FreeBSDs are refreshed by UPD, too, and single states are asked for: more than there are do not
 * belong to it, nor what comes slower than anybody answers. Who died in its answer, and is back and
 * refreshed, would else go on with it for minutes.
 */
void bulk_on_states(struct engine *e, struct link *l, struct peer *p)
{
	uint64_t most = RECEIVE_S * NS_PER_S + p->received * (SLOWEST_MS * NS_PER_MS);

	if (p->received++ >= 2 * e->table.flows + SPARE_STATES || e->now - p->answers_from > most)
		return;
	if (import_in_bulk(e, p))
		p->answers_until = e->now + PAUSE_S * NS_PER_S;
	if (l->bulk == BULK_RECEIVING)
		l->bulk_at = e->now + RECEIVE_S * NS_PER_S;
}

/* Somebody has spoken since the request was given up: the link may have worked one way only. */
static bool heard_since(const struct engine *e, const struct link *l)
{
	struct list *n;

	list_for_each (n, &e->peers) {
		const struct peer *p = container_of(n, struct peer, node);

		if (&e->link[p->link] == l && p->heard + l->retry_every > l->retry_at)
			return true;
	}
	return false;
}

/* A request that nobody answered is not the last one. */
static void ask_later(struct engine *e, struct link *l)
{
	if (!l->bulk_failed || e->now < l->retry_at)
		return;
	if (heard_since(e, l)) {
		bulk_ask(e, l, false);
		l->tries = TRIES_MAX - RETRY_TRIES + 1;
	} else {
		l->retry_at = e->now + l->retry_every;
	}
}

static void ask_again(struct engine *e, struct link *l)
{
	if (e->now < l->bulk_at)
		return;
	if (l->tries >= TRIES_MAX) {
		bulk_over(e, l, false);
		return;
	}
	l->bulk = BULK_ASKED; /* an answer without an end may have lost more than that */
	l->tries++;
	send_request(e, l);
}

/* ---- answering ------------------------------------------------------------------------- */

bool bulk_answers(const struct engine *e)
{
	for (size_t i = 0; i < e->links; i++)
		if (e->link[i].answer.active)
			return true;
	return false;
}

void bulk_on_request(struct engine *e, struct link *l)
{
	struct bulk_answer *a = &l->answer;

	engine_count(e, C_BULK_REQUEST_IN);
	/* it began anew, and a FreeBSD that still waits for its answer withholds half of its states
	 */
	if (!l->asked_at || l->bulk_failed || e->now - l->asked_at > 10 * NS_PER_S)
		bulk_ask(e, l, false);
	else if (l->bulk == BULK_ASKED && l->tries > 2)
		l->tries = 2; /* now there is somebody who will answer */
	if (a->active) {
		a->again = a->started;
		return;
	}
	*a = (struct bulk_answer){
		.active = true,
		.next_at = engine_bucket_at(&l->answers, e->now, NS_PER_S, ASKED_BURST)};
}

static void put_bus(struct engine *e, unsigned link, struct builder *b, uint8_t status)
{
	struct msg_bus m = {.creatorid = e->config.hostid, .status = status};

	if (builder_add_bus(b, &m))
		return;
	(void)sendq_packet(e, link, b);
	(void)builder_add_bus(b, &m);
}

/* The flows of one portion in one dialect; status is said before (START) or behind (END) them. */
static void answer_portion(struct engine *e, struct link *l, const struct dialect *d,
			   struct flow **flow, size_t n, bool first, bool last)
{
	unsigned index = (unsigned)(l - e->link);
	struct builder b;
	struct pf_state s;

	builder_start(&b, d, e->packet, sendq_payload(l, d), peer_single(e, index, d));
	if (first)
		put_bus(e, index, &b, BUS_START);
	for (size_t i = 0; i < n; i++) {
		for (int h = HALF_IN; h <= HALF_OUT; h++) {
			if (!(flow[i]->half[h].flags & H_PRESENT) ||
			    !announce_state(e, flow[i], h, l, d, &s))
				continue;
			if (!builder_add_state(&b, ACT_UPD, &s)) {
				(void)sendq_packet(e, index, &b);
				(void)builder_add_state(&b, ACT_UPD, &s);
			}
			engine_count(e, C_UPD_OUT);
		}
	}
	if (last)
		put_bus(e, index, &b, BUS_END);
	(void)sendq_packet(e, index, &b);
}

/* States in a portion: the configured rate, and no more packets than a pf takes without loss. */
static size_t portion_flows(const struct link *l, const struct dialect *d)
{
	size_t states = (size_t)l->config.bulk_rate * STEP_MS / 1000;
	size_t fit = sendq_payload(l, d) / pfstate_size(d->layout);
	size_t most = l->config.bulk_rate > 20000 ? states : PACKETS_STEP * fit;

	if (states > most)
		states = most;
	return states < 2 ? 1 : states / 2;
}

/* Its entry has run out here, which no event has told yet, and no packet gave it more time. */
static bool has_run_out(struct engine *e, struct flow *f)
{
	return (f->flags & (F_LIVE | F_KERNEL)) == F_KERNEL && (int32_t)(f->expires - e->ds) <= 0 &&
	       !refresh_lives(e, f);
}

static void answer_run(struct engine *e, struct link *l)
{
	struct bulk_answer *a = &l->answer;
	struct flow *flow[1024];
	size_t n = 0, want = sizeof(flow) / sizeof(flow[0]);
	unsigned versions = 0;
	bool last = false;

	/* what the start found and nobody has named yet is told later: two nodes that start
	 * together must not wait for each other */
	if (!a->active || e->now < a->next_at || !l->up)
		return;
	if (!a->started) /* who asks may still hold what it had: see retell() */
		bulk_walk_asked(e, WALK_REPLACE);
	for (int d = 0; d < DIALECT_COUNT; d++)
		if (l->dialects & 1u << d &&
		    portion_flows(l, dialect_get((enum dialect_id)d)) < want)
			want = portion_flows(l, dialect_get((enum dialect_id)d));
	for (size_t looked = 0; n < want && looked < 20 * want; looked++) {
		struct flow *f;

		if (l->config.mode == MODE_RECEIVE_ONLY ||
		    !(f = table_walk(&e->table, &a->cursor))) {
			last = true;
			break;
		}
		if ((f->half[HALF_IN].flags | f->half[HALF_OUT].flags) & H_PRESENT &&
		    !has_run_out(e, f))
			flow[n++] = f;
	}
	for (int d = 0; d < DIALECT_COUNT; d++) {
		const struct dialect *dialect = dialect_get((enum dialect_id)d);

		versions |= l->dialects & 1u << d ? 1u << dialect->version : 0;
		if (l->dialects & 1u << d)
			answer_portion(e, l, dialect, flow, n, !a->started, last);
	}
	for (size_t i = 0; i < 2; i++) { /* START and END alone */
		const struct dialect *dialect = dialect_get(one_of[i]);

		if (!(versions & 1u << dialect->version) && bulk_speaks(e, l, dialect->version))
			answer_portion(e, l, dialect, flow, 0, !a->started, last);
	}
	e->ops.flush_packets(e->ctx);
	a->started = true;
	l->answered_at = e->now;
	/* a portion that left a little late does not make the next one late */
	if (a->next_at + STEP_MS * NS_PER_MS > e->now)
		a->next_at += STEP_MS * NS_PER_MS;
	else
		a->next_at = e->now + STEP_MS * NS_PER_MS;
	if (!last)
		return;
	engine_count(e, C_BULK_ANSWER_OUT);
	engine_note(e, &(struct note){.kind = NOTE_BULK_ANSWERED, .link = (int)(l - e->link)});
	*a = (struct bulk_answer){.active = a->again, .next_at = e->now + NS_PER_S};
}

/* ---- walks ----------------------------------------------------------------------------- */

/* Begins at once, or when the one under way is over: that one is never begun anew. */
void bulk_walk(struct engine *e, unsigned what)
{
	if (e->walk) {
		e->walk_next |= what;
		return;
	}
	e->walk = what;
	e->walk_cursor = 0;
	e->walk_at = e->now;
}

static void begin_asked(struct engine *e)
{
	if (!e->walk_asked || e->now < e->walk_asked_at)
		return;
	bulk_walk(e, e->walk_asked);
	e->walk_asked = 0;
}

/* The same for what a peer can bring about by a packet: not as often as it likes. */
void bulk_walk_asked(struct engine *e, unsigned what)
{
	if (!e->walk_asked)
		e->walk_asked_at = engine_bucket_at(&e->walks, e->now, NS_PER_S, ASKED_BURST);
	e->walk_asked |= what;
	begin_asked(e);
}

bool bulk_walks(const struct engine *e, unsigned what)
{
	return (e->walk | e->walk_next | e->walk_asked) & what;
}

/* Live flows again. Their states that pf tracked strictly have grown stale: replaced once more. */
static void retell(struct engine *e, struct flow *f)
{
	bool ours_now = f->flags & F_REMOTE && (int32_t)(f->told - f->heard) > 0;

	if (!(f->flags & F_LIVE) || f->flags & F_UNDECIDED)
		return;
	if (!(e->walk & (WALK_CLEAR | WALK_RETELL) || f->flags & F_TAKEN || ours_now))
		return; /* nothing to tell, and not worth a look */
	if (!refresh_after_gap(e, f))
		return;
	if (f->flags & F_TAKEN) {
		for (int h = HALF_IN; h <= HALF_OUT; h++) /* one that rewrites must stay strict */
			sendq_pend(e, f, h,
				   f->half[h].flags & H_RAW ? PEND_UPD : PEND_DEL | PEND_INS);
	} else if (e->walk & WALK_CLEAR) { /* who has cleared has nothing that could be updated */
		sendq_pend_told(e, f, PEND_INS);
	} else if (e->walk & WALK_RETELL) {
		/* what nobody heard; the rest only if traffic shows that the flow is still ours */
		sendq_pend(e, f, HALF_IN, f->pend & PEND_ALL);
		sendq_pend(e, f, HALF_OUT, f->pend >> 4);
		sendq_pend_told(e, f, 0);
		f->flags |= F_PROBE;
		f->checked = e->ds;
		refresh_arm(e, f);
	} else if (ours_now && refresh_last_word(e, f)) {
		/* that we took it over: who was away has not heard it, and nobody has spoken since.
		 * Two that claim it at each such walk would not believe each other */
		sendq_pend_told(e, f, PEND_UPD_C);
	}
}

static void walk_flow(struct engine *e, struct flow *f)
{
	if (e->walk & WALK_SWEEP && f->flags & F_KERNEL && !!(f->flags & F_MARK) != e->mark) {
		engine_count(e, C_SWEPT);
		local_gone(e, f);
		return; /* it may not exist any more */
	}
	if (e->walk & WALK_CLEAR) {
		receive_clear(e, f);
		if (!(f->flags & F_USED))
			return;
	}
	if (e->walk & WALK_ANNOUNCE && f->flags & F_UNDECIDED) {
		if (local_gives_way(e, f))
			return;
		f->flags &= (uint16_t)~F_UNDECIDED;
		if (!(f->flags & F_LIVE)) /* whether its traffic passes here shows when we look */
			f->flags |= F_PROBE;
		f->checked = e->ds;
		announce_name(e, f);
		sendq_pend_told(e, f, 0);
		refresh_arm(e, f);
	}
	if (e->walk & WALK_ROUTES)
		announce_reroute(e, f);
	if (e->walk & (WALK_RETELL | WALK_REPLACE))
		retell(e, f);
	if (e->walk & (WALK_RETELL | WALK_ANNOUNCE))
		relay_flow(e, f);
}

static void walk_run(struct engine *e)
{
	begin_asked(e);
	if (!e->walk || e->now < e->walk_at)
		return;
	if (e->queued > 4 * WALK_FLOWS) { /* the queue leaves at its own pace */
		e->walk_at = e->now + STEP_MS * NS_PER_MS;
		return;
	}
	for (int i = 0; i < WALK_FLOWS; i++) {
		struct flow *f = table_walk(&e->table, &e->walk_cursor);

		if (!f) {
			if (!e->undecided && e->walk & (WALK_RETELL | WALK_ANNOUNCE) &&
			    !((e->walk_next | e->walk_asked) & (WALK_RETELL | WALK_ANNOUNCE)))
				e->retell_links = 0;
			e->walk = 0;
			bulk_walk(e, e->walk_next);
			e->walk_next = 0;
			break;
		}
		walk_flow(e, f);
	}
	commit_run(e);
}

/*
 * The start is over: what no peer has named is ours. Peers are asked first and have DECIDE_S to
 * begin an answer, so that a restarted node does not tell their flows under names of its own.
 */
void bulk_decide(struct engine *e)
{
	if (!e->undecided || e->now < e->decide_at || !e->first_dump_done)
		return;
	if (!bulk_idle(e) || first_try_lost(e)) {
		e->decide_at = e->now + 100 * NS_PER_MS;
		return;
	}
	e->undecided = false;
	e->decide_at = NEVER;
	bulk_walk(e, WALK_ANNOUNCE);
}

void bulk_run(struct engine *e)
{
	for (size_t i = 0; i < e->links; i++) {
		struct link *l = &e->link[i];

		if (l->bulk != BULK_IDLE && l->up)
			ask_again(e, l);
		else if (l->up)
			ask_later(e, l);
	}
	bulk_decide(e);
	walk_run(e);
	for (size_t i = 0; i < e->links; i++)
		answer_run(e, &e->link[i]);
}

uint64_t bulk_next(const struct engine *e)
{
	uint64_t next = e->walk ? e->walk_at : NEVER;

	if (e->undecided && e->first_dump_done)
		engine_wake(&next, e->decide_at);
	if (e->walk_asked)
		engine_wake(&next, e->walk_asked_at);
	for (size_t i = 0; i < e->links; i++) {
		const struct link *l = &e->link[i];

		if (!l->up)
			continue;
		if (l->bulk != BULK_IDLE)
			engine_wake(&next, l->bulk_at);
		else if (l->bulk_failed)
			engine_wake(&next, l->retry_at);
		if (l->answer.active)
			engine_wake(&next, l->answer.next_at);
	}
	return next;
}
