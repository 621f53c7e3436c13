/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pf node on the sync link. FreeBSD: messages of a bucket wait for the timer that the first of
 * them started, and a request that was put into an empty bucket starts none: it withholds all that
 * follow until something pushes. OpenBSD: slices, and what is asked is answered at once.
 */
#include <stdlib.h>
#include <string.h>

#include "simpf.h"

enum { FILL = 1300, BULK_FREEBSD_NS = 1000000, BULK_OPENBSD_NS = 20000000 };

/* ---- sending --------------------------------------------------------------------------- */

static void full_state(const struct pf *p, const struct pfs *s, struct pf_state *m)
{
	uint64_t left = s->base + timeout_seconds(&sim.timeouts, s->timeout) * S;

	*m = (struct pf_state){.id = s->id,
			       .creatorid = s->creatorid,
			       .ifname = "all",
			       .af = s->family,
			       .stack_af = s->family,
			       .proto = s->proto,
			       .stack_proto = s->proto,
			       .direction = s->direction,
			       .src = s->peer[0],
			       .dst = s->peer[1],
			       .rule = s->foreign ? UINT32_MAX : 1,
			       .anchor = UINT32_MAX,
			       .nat_rule = UINT32_MAX,
			       .creation = (uint32_t)((sim.now - s->created) / S),
			       .expire = left > sim.now ? (uint32_t)((left - sim.now) / S) : 0,
			       .timeout = s->timeout,
			       .state_flags = s->sloppy ? PF_FLAG_SLOPPY : 0,
			       .rtableid = {-1, -1}};
	memcpy(m->key, s->key, sizeof(m->key));
	if (p->openbsd)
		m->rtableid[s->direction == PF_IN] = 0;
}

static void packet(struct pf *p, struct builder *b, uint8_t *buf)
{
	size_t len = builder_finish(b);

	if (len)
		wire_send(p->fw, p->fw->wires >> 1, buf, len);
	builder_start(b, p->dialect, buf, WIRE_MTU - 20, false);
}

/* One message; starts another packet when this one is full. */
static void put(struct pf *p, struct builder *b, uint8_t *buf, const struct pfs *s,
		enum queued what)
{
	struct msg_upd_c u = {.id = s->id,
			      .creatorid = s->creatorid,
			      .src = s->peer[0],
			      .dst = s->peer[1],
			      .timeout = s->timeout};
	struct pf_state m;

	full_state(p, s, &m);
	sim.messages++;
	for (int i = 0; i < 2; i++) {
		bool done;

		if (what == Q_INS || what == Q_UPD)
			done = builder_add_state(b, what == Q_INS ? ACT_INS : ACT_UPD, &m);
		else
			done = builder_add_upd_c(b, &u);
		if (done)
			return;
		packet(p, b, buf);
	}
}

static void put_ids(struct pf *p, struct builder *b, uint8_t *buf, const struct msg_id *id,
		    size_t n, enum pf_action action)
{
	for (size_t i = 0; i < n; i++)
		if (!builder_add_id(b, action, id[i].id, id[i].creatorid)) {
			packet(p, b, buf);
			(void)builder_add_id(b, action, id[i].id, id[i].creatorid);
		}
}

static void flush(struct pf *p, struct pfqueue *q)
{
	static const enum queued order[] = {Q_INS, Q_UPD, Q_UPD_C};
	uint8_t buf[WIRE_MTU];
	struct builder b;

	builder_start(&b, p->dialect, buf, WIRE_MTU - 20, false);
	put_ids(p, &b, buf, q->ack, q->acks, ACT_INS_ACK);
	for (size_t o = 0; o < sizeof(order) / sizeof(order[0]); o++)
		for (size_t i = 0; i < q->states; i++)
			if (q->state[i]->queued == order[o])
				put(p, &b, buf, q->state[i], order[o]);
	put_ids(p, &b, buf, q->gone, q->gones, ACT_DEL_C);
	put_ids(p, &b, buf, q->request, q->requests, ACT_UPD_REQ);
	if (q->bus) {
		struct msg_bus m = {.creatorid = p->hostid, .status = q->bus};

		if (q->bus == BUS_END && !p->openbsd)
			m.endtime = (uint32_t)((sim.now - q->bus_since) / S);
		if (!builder_add_bus(&b, &m)) {
			packet(p, &b, buf);
			(void)builder_add_bus(&b, &m);
		}
	}
	if (q->clr) {
		struct msg_clr m = {.creatorid = p->hostid};

		(void)builder_add_clr(&b, &m);
	}
	for (size_t i = 0; i < q->states; i++) {
		q->state[i]->queued = Q_NONE;
		q->state[i]->updates = 0;
	}
	q->states = q->requests = q->acks = q->gones = q->bytes = 0;
	q->bus = 0;
	q->clr = false;
	q->at = NEVER;
	packet(p, &b, buf);
}

static struct pfqueue *queue_of(struct pf *p, const struct pfs *s)
{
	return &p->queue[s->queue];
}

static bool empty(const struct pfqueue *q)
{
	return !q->states && !q->requests && !q->acks && !q->gones && !q->bus && !q->clr;
}

static void enqueue(struct pf *p, struct pfs *s, enum queued what)
{
	struct pfqueue *q = queue_of(p, s);

	if (s->queued != Q_NONE) {
		s->queued = what;
		return;
	}
	if (empty(q))
		q->at = sim.now + S;
	q->state = sim_grow(q->state, &q->room, q->states, sizeof(struct pfs *));
	q->state[q->states++] = s;
	s->queued = what;
	q->bytes += what == Q_INS || what == Q_UPD ? pfstate_size(p->dialect->layout)
		    : what == Q_UPD_C		   ? 84
						   : 12;
	if (q->bytes > FILL)
		flush(p, q);
}

static void request(struct pf *p, uint64_t id, uint32_t creatorid)
{
	struct pfqueue *q = &p->queue[0];

	for (size_t i = 0; i < q->requests; i++)
		if (q->request[i].id == id && q->request[i].creatorid == creatorid)
			return;
	if (q->requests == PF_REQUESTS)
		flush(p, q);
	q->request[q->requests++] = (struct msg_id){id, creatorid};
	if (p->dialect->id != DIALECT_FREEBSD_13) /* FreeBSD 15 pushes it as well */
		flush(p, q);
}

/* ---- what the table does --------------------------------------------------------------- */

void pfsync_added(struct pf *p, struct pfs *s)
{
	enqueue(p, s, Q_INS);
}

void pfsync_touched(struct pf *p, struct pfs *s)
{
	if (s->queued == Q_NONE)
		enqueue(p, s, Q_UPD_C);
	else
		s->updates++;
	if (s->queued != Q_NONE && ((s->heard && sim.now - s->heard < 2 * S) ||
				    (s->proto == PROTO_TCP && s->updates >= 128)))
		flush(p, queue_of(p, s));
}

/* Takes it out of its queue without a word. */
static void unqueue(struct pf *p, struct pfs *s)
{
	struct pfqueue *q = queue_of(p, s);

	for (size_t i = 0; i < q->states; i++)
		if (q->state[i] == s) {
			memmove(&q->state[i], &q->state[i + 1],
				(--q->states - i) * sizeof(struct pfs *));
			break;
		}
	s->queued = Q_NONE;
}

static void forget(struct pf *p, struct pfs *s)
{
	if (s->queued != Q_NONE)
		unqueue(p, s);
	pf_remove(p, s);
}

/* An INS that never left is forgotten with its state; else DEL_C within a second. */
void pfsync_removed(struct pf *p, struct pfs *s)
{
	struct msg_id gone = {s->id, s->creatorid};
	struct pfqueue *q = queue_of(p, s);
	bool told = s->queued != Q_INS;

	sim_trace("node %d (pf): port %u removed id %llx/%x timeout %u", p->fw->index,
		  s->key[PF_STACK].port[s->direction == PF_OUT], (unsigned long long)s->id,
		  s->creatorid, s->timeout);
	forget(p, s);
	if (!told)
		return;
	if (empty(q))
		q->at = sim.now + S;
	q->gone = sim_grow(q->gone, &q->gone_room, q->gones, sizeof(*q->gone));
	q->gone[q->gones++] = gone;
	q->bytes += 12;
	sim.messages++;
	if (q->bytes > FILL)
		flush(p, q);
}

void pfsync_flushed(struct pf *p)
{
	while (p->all)
		forget(p, p->all);
	p->queue[0].clr = true;
	flush(p, &p->queue[0]);
}

/* ---- bulk ------------------------------------------------------------------------------ */

/* FreeBSD only puts its request into bucket 0; nothing pushes it. */
static void ask(struct pf *p)
{
	p->bulk = PF_BULK_ASKED;
	request(p, 0, 0);
	p->asked_at = sim.now;
	p->bulk_at = sim.now + (p->openbsd ? 2 : 5) * S;
}

void pfsync_up(struct pf *p)
{
	p->tries = 1;
	p->gave_up = false;
	ask(p);
}

static void bulk_timer(struct pf *p)
{
	if (p->bulk == PF_BULK_ASKED && p->tries < (p->openbsd ? 12u : 13u)) {
		p->tries++;
		ask(p);
		return;
	}
	p->bulk = PF_BULK_DONE;
	p->gave_up = true;
	p->bulk_at = NEVER;
}

static void take_bus(struct pf *p, const struct msg_bus *m)
{
	if (p->bulk == PF_BULK_DONE)
		return;
	if (m->status == BUS_START) {
		if (p->openbsd && p->bulk == PF_BULK_RUNS)
			return;
		p->bulk = PF_BULK_RUNS;
		p->bulk_at = sim.now + (p->openbsd ? 1600 : 21) * S;
	} else if (m->status == BUS_END) {
		if (p->openbsd ? p->bulk != PF_BULK_RUNS : sim.now - m->endtime * S < p->asked_at)
			return;
		p->bulk = PF_BULK_DONE;
		p->gave_up = false;
		p->bulk_at = NEVER;
	}
}

static void begin_answer(struct pf *p)
{
	if (p->openbsd && p->answering)
		return;
	p->answers = p->answered = 0;
	for (struct pfs *s = p->all; s; s = s->next) {
		if (!p->openbsd && s->queued != Q_NONE)
			continue;
		p->answer = sim_grow(p->answer, &p->answer_room, p->answers, sizeof(struct pfs *));
		p->answer[p->answers++] = s;
	}
	p->answering = true;
	p->started = !p->openbsd;
	p->requested_at = p->answer_at = sim.now;
	if (!p->openbsd) { /* the push takes along what bucket 0 has withheld */
		p->queue[0].bus = BUS_START;
		flush(p, &p->queue[0]);
		p->answer_at += BULK_FREEBSD_NS;
	}
}

static void answer_portion(struct pf *p)
{
	struct msg_bus m = {.creatorid = p->hostid, .status = BUS_START};
	uint8_t buf[WIRE_MTU];
	struct builder b;
	bool any = p->answered < p->answers;

	builder_start(&b, p->dialect, buf, WIRE_MTU - 20, false);
	if (!p->started && any) /* an empty table has an END alone */
		(void)builder_add_bus(&b, &m);
	p->started = true;
	for (int i = 0; i < (p->openbsd ? 5 : 1) && p->answered < p->answers;) {
		const struct pfs *s = p->answer[p->answered++];

		if (!s)
			continue;
		put(p, &b, buf, s, Q_UPD);
		i++;
	}
	if (p->openbsd && p->answered == p->answers) {
		m.status = BUS_END;
		if (!builder_add_bus(&b, &m)) {
			packet(p, &b, buf);
			(void)builder_add_bus(&b, &m);
		}
	}
	packet(p, &b, buf);
	p->answer_at = sim.now + (p->openbsd ? BULK_OPENBSD_NS : BULK_FREEBSD_NS);
	if (p->answered < p->answers)
		return;
	p->answering = false;
	if (!p->openbsd) {
		p->queue[0].bus = BUS_END;
		p->queue[0].bus_since = p->requested_at;
		flush(p, &p->queue[0]);
	}
}

/* ---- time ------------------------------------------------------------------------------ */

uint64_t pfsync_next(const struct pf *p)
{
	uint64_t next = p->bulk == PF_BULK_DONE ? NEVER : p->bulk_at;

	for (int i = 0; i < PF_QUEUES; i++)
		if (p->queue[i].at < next)
			next = p->queue[i].at;
	if (p->answering && p->answer_at < next)
		next = p->answer_at;
	return next;
}

void pfsync_due(struct pf *p)
{
	if (p->bulk != PF_BULK_DONE && p->bulk_at <= sim.now)
		bulk_timer(p);
	for (int i = 0; i < PF_QUEUES; i++)
		if (p->queue[i].at <= sim.now)
			flush(p, &p->queue[i]);
	if (p->answering && p->answer_at <= sim.now)
		answer_portion(p);
}

/* ---- hearing --------------------------------------------------------------------------- */

static void import(struct pf *p, const struct pf_state *m, bool ins)
{
	uint32_t whole = timeout_seconds(&sim.timeouts, m->timeout);
	struct pfs like = {.id = m->id,
			   .creatorid = m->creatorid,
			   .family = (uint8_t)layout_family(p->dialect->layout, m->af),
			   .proto = m->proto,
			   .direction = m->direction,
			   .peer = {m->src, m->dst},
			   .timeout = m->timeout,
			   .sloppy = m->state_flags & PF_FLAG_SLOPPY,
			   .foreign = true,
			   .base = sim.now,
			   .created = sim.now - m->creation * S,
			   .heard = sim.now};
	struct pfs *s;

	if (!like.family || !m->creatorid || m->timeout >= p->dialect->timeouts ||
	    m->src.state > PF_PEER_STATE_MAX || m->dst.state > PF_PEER_STATE_MAX ||
	    (strcmp(m->ifname, "all") && !p->openbsd))
		return;
	memcpy(like.key, m->key, sizeof(like.key));
	if (m->expire && m->expire < whole)
		like.base = sim.now - (whole - m->expire) * S;
	s = pf_add(p, &like);
	sim_trace("node %d (pf): port %u %s %s id %llx/%x", p->fw->index,
		  m->key[PF_STACK].port[m->direction == PF_OUT],
		  m->direction == PF_IN ? "in" : "out", s ? "imported" : "refused",
		  (unsigned long long)m->id, m->creatorid);
	if (s && ins && m->state_flags & PF_FLAG_ACK) {
		struct pfqueue *q = queue_of(p, s);

		q->ack[q->acks++] = (struct msg_id){s->id, s->creatorid};
		flush(p, q);
	}
}

/* True if that side is stale. */
static bool merge_side(const struct pf *p, const struct pfs *s, struct pf_peer *known,
		       const struct pf_peer *in, bool dst)
{
	bool behind = (int32_t)(known->seqlo - in->seqlo) > 0;

	(void)p;
	if (known->state > in->state)
		return true;
	if (s->proto == PROTO_TCP && behind &&
	    (known->state == in->state || (dst && !p->openbsd && known->state >= PF_TCP_SYN_SENT)))
		return true;
	*known = *in;
	return false;
}

static void update(struct pf *p, struct pfs *s, const struct pf_peer *src,
		   const struct pf_peer *dst, uint8_t timeout)
{
	int stale = merge_side(p, s, &s->peer[0], src, false);

	stale += merge_side(p, s, &s->peer[1], dst, true);
	if (stale < 2) {
		s->base = sim.now;
		s->timeout = timeout;
		if (!p->openbsd) /* the old fault: dst is copied whether it was stale or not */
			s->peer[1] = *dst;
	}
	s->heard = sim.now;
	if (stale) {
		if (s->queued == Q_NONE)
			enqueue(p, s, Q_UPD_C);
		if (s->queued != Q_NONE)
			flush(p, queue_of(p, s));
	}
}

static void take_states(struct pf *p, struct section *sec)
{
	struct pf_state m;

	while (section_next_state(sec, &m)) {
		struct pfs *s = pf_by_name(p, m.id, m.creatorid);

		if (m.state_flags & PF_FLAG_ACK)
			sim_fail(NULL, "an acknowledgement is asked for that nothing waits for");
		if (sec->action == ACT_UPD && s)
			update(p, s, &m.src, &m.dst, m.timeout);
		else if (!s)
			import(p, &m, sec->action == ACT_INS);
	}
}

static void take_ids(struct pf *p, struct section *sec)
{
	struct msg_id m;

	while (section_next_id(sec, &m)) {
		struct pfs *s = pf_by_name(p, m.id, m.creatorid);

		if (sec->action == ACT_DEL_C) {
			if (s)
				sim_trace("node %d (pf): port %u deleted id %llx/%x", p->fw->index,
					  s->key[PF_STACK].port[s->direction == PF_OUT],
					  (unsigned long long)s->id, s->creatorid);
			if (s)
				forget(p, s);
		} else if (sec->action == ACT_UPD_REQ && !m.id && !m.creatorid) {
			begin_answer(p);
		} else if (sec->action == ACT_UPD_REQ && s) {
			if (s->queued == Q_NONE || s->queued == Q_UPD_C)
				enqueue(p, s, Q_UPD);
			if (s->queued != Q_NONE)
				flush(p, queue_of(p, s));
		}
	}
}

/* A FreeBSD reads what older ones send, too. */
static bool reads(const struct pf *p, enum pf_layout layout)
{
	const struct dialect *d = dialect_by_layout(layout);

	return d && d->version == p->dialect->version && d->id <= p->dialect->id;
}

void pf_receive(struct fw *f, const uint8_t *data, size_t len)
{
	struct pf *p = f->pf;
	struct packet packet;
	struct section sec;
	struct msg_upd_c u;
	struct msg_bus bus;
	struct msg_clr clr;

	if (packet_open(&packet, data, len) != R_NONE || packet.version != p->dialect->version) {
		p->badver++;
		return;
	}
	while (packet_next(&packet, &sec)) {
		switch (sec.action) {
		case ACT_INS:
		case ACT_UPD:
			if (!reads(p, sec.layout))
				return; /* an action that it does not know */
			take_states(p, &sec);
			break;
		case ACT_UPD_REQ:
		case ACT_DEL_C:
			take_ids(p, &sec);
			break;
		case ACT_UPD_C:
			while (section_next_upd_c(&sec, &u)) {
				struct pfs *s = pf_by_name(p, u.id, u.creatorid);

				if (s)
					update(p, s, &u.src, &u.dst, u.timeout);
				else
					request(p, u.id, u.creatorid);
			}
			break;
		case ACT_BUS:
			if (section_next_bus(&sec, &bus))
				take_bus(p, &bus);
			break;
		case ACT_CLR:
			while (section_next_clr(&sec, &clr))
				for (struct pfs *s = p->all, *next; s; s = next) {
					next = s->next;
					if (s->creatorid == clr.creatorid)
						forget(p, s);
				}
			break;
		default:
			break;
		}
	}
}
