/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pf node: its states, the packets that meet them, and their end. */
#include "simpf.h"

#include <stdlib.h>
#include <string.h>

enum { WINDOW = 65535, SLACK = 1500 };

/* ---- table ----------------------------------------------------------------------------- */

/* What two keys have to share: addresses and ports. */
static bool same_key(const struct pf_key *a, const struct pf_key *b)
{
	return !memcmp(a->addr, b->addr, sizeof(a->addr)) && a->port[0] == b->port[0] &&
	       a->port[1] == b->port[1];
}

bool pf_same_keys(const struct pfs *s, const struct pf_key key[2])
{
	return same_key(&s->key[PF_WIRE], &key[PF_WIRE]) &&
	       same_key(&s->key[PF_STACK], &key[PF_STACK]);
}

/* The ports of the stack key are in both translations of a flow, and that is enough to find it. */
static unsigned key_bucket(const struct pf_key *k)
{
	return (k->port[0] * 31u + k->port[1] * 7u) % PF_BUCKETS;
}

static unsigned name_bucket(uint64_t id, uint32_t creatorid)
{
	uint64_t h = (id ^ creatorid) * 0x9e3779b97f4a7c15ull;

	return (unsigned)(h >> 40) % PF_BUCKETS;
}

struct pfs *pf_by_key(const struct pf *p, int direction, uint8_t proto, const struct pf_key key[2])
{
	for (struct pfs *s = p->by_key[key_bucket(&key[PF_STACK])]; s; s = s->by_key)
		if (s->direction == direction && s->proto == proto && pf_same_keys(s, key))
			return s;
	return NULL;
}

struct pfs *pf_by_name(const struct pf *p, uint64_t id, uint32_t creatorid)
{
	for (struct pfs *s = p->by_name[name_bucket(id, creatorid)]; s; s = s->by_name)
		if (s->id == id && s->creatorid == creatorid)
			return s;
	return NULL;
}

/* Another state of this direction has one of its keys. The wire key may stand in another bucket. */
static struct pfs *collides(const struct pf *p, const struct pfs *like)
{
	for (struct pfs *s = p->all; s; s = s->next)
		if (s->direction == like->direction && s->proto == like->proto &&
		    s->family == like->family &&
		    (same_key(&s->key[PF_WIRE], &like->key[PF_WIRE]) ||
		     same_key(&s->key[PF_STACK], &like->key[PF_STACK])))
			return s;
	return NULL;
}

struct pfs *pf_add(struct pf *p, const struct pfs *like)
{
	struct pfs *old = collides(p, like), *s;
	struct pfs **b;

	if (old) {
		if (old->proto != PROTO_TCP || old->peer[0].state < PF_TCP_FIN_WAIT_2 ||
		    old->peer[1].state < PF_TCP_FIN_WAIT_2)
			return NULL;
		pfsync_removed(p, old);
	}
	if (pf_by_name(p, like->id, like->creatorid))
		return NULL;
	s = p->free;
	if (s)
		p->free = s->next;
	else
		s = malloc(sizeof(*s));
	if (!s)
		abort();
	*s = *like;
	s->used = true;
	s->queued = Q_NONE;
	s->queue = (uint8_t)(s->direction == PF_OUT ? 0 : 1);
	b = &p->by_key[key_bucket(&s->key[PF_STACK])];
	s->by_key = *b;
	*b = s;
	b = &p->by_name[name_bucket(s->id, s->creatorid)];
	s->by_name = *b;
	*b = s;
	s->next = p->all;
	p->all = s;
	p->count++;
	return s;
}

void pf_remove(struct pf *p, struct pfs *s)
{
	struct pfs **at = &p->by_key[key_bucket(&s->key[PF_STACK])];

	while (*at != s)
		at = &(*at)->by_key;
	*at = s->by_key;
	at = &p->by_name[name_bucket(s->id, s->creatorid)];
	while (*at != s)
		at = &(*at)->by_name;
	*at = s->by_name;
	at = &p->all;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	for (size_t i = p->answered; i < p->answers; i++)
		if (p->answer[i] == s)
			p->answer[i] = NULL;
	s->used = false;
	s->next = p->free;
	p->free = s;
	p->count--;
}

void pf_clear(struct pf *p)
{
	while (p->all)
		pf_remove(p, p->all);
	for (int i = 0; i < PF_QUEUES; i++) {
		struct pfqueue *q = &p->queue[i];

		q->states = q->requests = q->acks = q->gones = q->bytes = 0;
		q->bus = 0;
		q->clr = false;
		q->at = NEVER;
	}
}

/* ---- life ------------------------------------------------------------------------------ */

void pf_init(struct fw *f)
{
	struct pf *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	f->pf = p;
	p->fw = f;
	p->openbsd = f->kind == FW_OPENBSD;
	p->dialect = dialect_get(p->openbsd ? DIALECT_OPENBSD : DIALECT_FREEBSD_13);
	pf_clear(p);
}

void pf_free(struct fw *f)
{
	struct pf *p = f->pf;

	pf_clear(p);
	while (p->free) {
		struct pfs *s = p->free;

		p->free = s->next;
		free(s);
	}
	for (int i = 0; i < PF_QUEUES; i++) {
		free(p->queue[i].state);
		free(p->queue[i].gone);
	}
	free(p->answer);
	free(p);
	f->pf = NULL;
}

void pf_up(struct fw *f)
{
	struct pf *p = f->pf;

	pf_clear(p);
	if (sim.scenario->upgrade && p->began && !p->openbsd)
		p->dialect = dialect_get(DIALECT_FREEBSD_15);
	p->began = true;
	p->answering = false;
	p->hostid = (uint32_t)sim_random() | 1;
	p->next_id = (1700000000ull + sim.now / S) << 32;
	p->purge_at = sim.now + sim_below(10 * S);
	p->own_at = sim.now + sim_below(10 * S);
	pfsync_up(p);
}

void pf_down(struct fw *f)
{
	pf_clear(f->pf);
}

void pf_link(struct fw *f)
{
	if (f->link)
		pfsync_up(f->pf);
}

bool pf_due_out(const struct pfs *s)
{
	return s->base + timeout_seconds(&sim.timeouts, s->timeout) * S <= sim.now;
}

static void purge(struct pf *p)
{
	for (struct pfs *s = p->all, *next; s; s = next) {
		next = s->next;
		if (pf_due_out(s))
			pfsync_removed(p, s);
	}
	p->purge_at = sim.now + (p->openbsd ? 1 : 10) * S;
}

/* The box itself asks for a name or is logged in to now and then: a state of one direction. */
static void own_flow(struct pf *p)
{
	struct pfs like = {.id = p->next_id++,
			   .creatorid = p->hostid,
			   .family = 4,
			   .proto = PROTO_UDP,
			   .direction = sim_chance(50) ? PF_IN : PF_OUT,
			   .timeout = PFTM_UDP_SINGLE,
			   .base = sim.now,
			   .created = sim.now};
	struct pf_key *k = &like.key[PF_WIRE];
	struct pfs *s;

	k->addr[0][0] = k->addr[1][0] = 10;
	k->addr[0][3] = 53;
	k->addr[1][1] = 9;
	k->addr[1][3] = (uint8_t)(1 + p->fw->index);
	k->port[0] = 53;
	k->port[1] = (uint16_t)sim_random();
	like.key[PF_STACK] = *k;
	like.peer[0].state = PF_OTHER_MULTIPLE; /* a question and its answer */
	like.peer[1].state = PF_OTHER_SINGLE;
	s = pf_add(p, &like);
	if (s)
		pfsync_added(p, s);
	p->own_at = sim.now + sim_below(40 * S);
}

uint64_t pf_next(const struct fw *f)
{
	uint64_t next = pfsync_next(f->pf);

	if (!f->up)
		return NEVER;
	if (sim.busy && f->pf->own_at < next)
		next = f->pf->own_at;
	return f->pf->purge_at < next ? f->pf->purge_at : next;
}

void pf_due(struct fw *f)
{
	if (!f->up)
		return;
	if (f->pf->purge_at <= sim.now)
		purge(f->pf);
	if (sim.busy && f->pf->own_at <= sim.now)
		own_flow(f->pf);
	pfsync_due(f->pf);
}

/* ---- packets --------------------------------------------------------------------------- */

static struct pfs *create(struct pf *p, const struct conn *c, int half, const struct pkt *k)
{
	struct pfs like = {.id = p->next_id++,
			   .creatorid = p->hostid,
			   .family = c->t.family,
			   .proto = c->t.proto,
			   .direction = half ? PF_OUT : PF_IN,
			   .base = sim.now,
			   .created = sim.now};
	struct pfs *s;

	memcpy(like.key, c->key[p->dialect->icmp_typed][half], sizeof(like.key));
	if (c->t.proto == PROTO_TCP) {
		like.peer[0] = (struct pf_peer){.state = PF_TCP_SYN_SENT,
						.seqlo = k->end,
						.seqhi = k->end + 1,
						.max_win = 1};
		like.peer[1] = (struct pf_peer){.seqhi = 1, .max_win = 1};
		like.timeout = PFTM_TCP_FIRST;
	} else if (proto_is_icmp(c->t.proto)) {
		like.timeout = PFTM_ICMP_FIRST;
	} else {
		like.peer[0].state = PF_OTHER_SINGLE;
		like.timeout = PFTM_UDP_FIRST;
	}
	s = pf_add(p, &like);
	if (s)
		pfsync_added(p, s);
	return s;
}

/*
 * pf's window checks, shifts left out: data not beyond the window nor a window behind, an
 * acknowledgement near what the other side has sent.
 */
static bool in_window(const struct pf_peer *from, const struct pf_peer *to, const struct pkt *k)
{
	int32_t ahead = (int32_t)(k->end - from->seqlo), acked = (int32_t)(k->ack - to->seqlo);

	if (!from->seqlo || k->flags & TH_SYN)
		return true;
	if (ahead > WINDOW || ahead < -WINDOW)
		return false;
	return to->state < PF_TCP_SYN_SENT || (acked <= WINDOW + SLACK && acked >= -WINDOW - SLACK);
}

static bool track_tcp(struct pf *p, struct pfs *s, const struct pkt *k)
{
	struct pf_peer *from = &s->peer[k->reply], *to = &s->peer[!k->reply];

	if (!s->sloppy) {
		if (!in_window(from, to, k)) {
			p->mismatches++;
			return false;
		}
		if (!from->seqlo && from->state < PF_TCP_SYN_SENT) /* its first packet */
			from->state = PF_TCP_SYN_SENT;
		if (!from->seqlo || k->flags & TH_SYN || (int32_t)(k->end - from->seqlo) > 0)
			from->seqlo = k->end;
		from->seqhi = from->seqlo + WINDOW;
		from->max_win = WINDOW;
	}
	if (k->flags & TH_SYN && from->state < PF_TCP_SYN_SENT)
		from->state = PF_TCP_SYN_SENT;
	if (k->flags & TH_FIN && from->state < PF_TCP_CLOSING)
		from->state = PF_TCP_CLOSING;
	if (k->flags & TH_ACK) {
		if (to->state == PF_TCP_SYN_SENT)
			to->state = PF_TCP_ESTABLISHED;
		else if (to->state == PF_TCP_CLOSING)
			to->state = PF_TCP_FIN_WAIT_2;
	}
	if (k->flags & TH_RST)
		from->state = to->state = PF_TCP_TIME_WAIT;
	return true;
}

static bool track(struct pf *p, struct pfs *s, const struct pkt *k)
{
	struct pf_peer *from = &s->peer[k->reply], *to = &s->peer[!k->reply];

	if (s->proto == PROTO_TCP) {
		if (!track_tcp(p, s, k))
			return false;
	} else if (proto_is_icmp(s->proto)) {
		s->timeout = PFTM_ICMP_ERROR;
	} else {
		if (from->state < PF_OTHER_SINGLE)
			from->state = PF_OTHER_SINGLE;
		if (to->state == PF_OTHER_SINGLE)
			to->state = PF_OTHER_MULTIPLE;
	}
	s->timeout = pf_timeout_of(s->proto, s->peer[0].state, s->peer[1].state, s->timeout);
	s->base = sim.now;
	return true;
}

/* A packet goes through the in state and the out state of its flow, a reply the other way round. */
enum verdict pf_forward(struct fw *f, struct conn *c, const struct pkt *k)
{
	struct pf *p = f->pf;
	bool first = !k->reply && (c->t.proto != PROTO_TCP || k->flags == TH_SYN), made = false;

	for (int i = 0; i < 2; i++) {
		int half = k->reply ? !i : i;
		struct pfs *s = pf_by_key(p, half ? PF_OUT : PF_IN, c->t.proto,
					  c->key[p->dialect->icmp_typed][half]);

		if (!s && !first)
			return DROP_NONE;
		if (!s) {
			s = create(p, c, half, k);
			if (!s)
				return DROP_NONE; /* its key belongs to another state */
			made = true;
			continue;
		}
		if (!track(p, s, k))
			return DROP_WINDOW;
		pfsync_touched(p, s);
	}
	return made ? PASS_NEW : PASS;
}
