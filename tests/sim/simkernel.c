/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "simkernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	WINDOW = 65535, /* bytes that may pass elsewhere before a strict entry is lost */
	UDP_STREAM_S = 2,
};

/* ---- the two ways ---------------------------------------------------------------------- */

static uint32_t way_hash(const struct tuples *t, int from)
{
	const struct endpoint *a = &t->end[from], *b = &t->end[from + 1];
	uint64_t h = (uint64_t)t->proto << 32 | (uint32_t)a->port << 16 | b->port;
	uint64_t x, y;

	memcpy(&x, a->addr + (t->family == 6 ? 8 : 0), 8);
	memcpy(&y, b->addr + (t->family == 6 ? 8 : 0), 8);
	h = (h ^ x) * 0x9e3779b97f4a7c15ull;
	h = (h ^ h >> 29 ^ y) * 0xbf58476d1ce4e5b9ull;
	return (uint32_t)(h >> 40) % KERNEL_BUCKETS;
}

static bool same_way(const struct tuples *a, int a_from, const struct tuples *b, int b_from)
{
	return a->family == b->family && a->proto == b->proto && a->icmp_type == b->icmp_type &&
	       endpoint_equal(&a->end[a_from], &b->end[b_from]) &&
	       endpoint_equal(&a->end[a_from + 1], &b->end[b_from + 1]);
}

static void link_entry(struct ktable *k, struct kent *m)
{
	for (int i = 0; i < 2; i++) {
		struct kway **b = &k->bucket[way_hash(&m->k.tuples, i ? REPLY_SRC : ORIG_SRC)];

		m->way[i] = (struct kway){.next = *b, .entry = m, .reply = i};
		*b = &m->way[i];
	}
	k->count++;
}

static void unlink_entry(struct ktable *k, struct kent *m)
{
	for (int i = 0; i < 2; i++) {
		struct kway **b = &k->bucket[way_hash(&m->k.tuples, i ? REPLY_SRC : ORIG_SRC)];

		while (*b && *b != &m->way[i])
			b = &(*b)->next;
		if (*b)
			*b = m->way[i].next;
	}
	m->used = false;
	k->count--;
}

static struct kent *add(struct ktable *k, const struct kernel_entry *e, bool imported)
{
	struct kent *m = NULL;

	for (size_t i = 0; i < k->entries && !m; i++)
		if (!k->entry[i]->used)
			m = k->entry[i];
	if (!m) {
		k->entry = sim_grow(k->entry, &k->room, k->entries, sizeof(struct kent *));
		m = k->entry[k->entries++] = malloc(sizeof(*m));
		if (!m)
			abort();
	}
	*m = (struct kent){.k = *e, .used = true, .imported = imported, .made = sim.now};
	m->k.id = ++k->next_id * 2654435761u | 1u;
	m->expires = sim.now + e->timeout * S;
	link_entry(k, m);
	return m;
}

/* ---- events ---------------------------------------------------------------------------- */

static void raise(struct ktable *k, enum kernel_event event, const struct kernel_entry *e,
		  bool by_packet)
{
	struct kevent *v;
	uint64_t at = sim.now + 50000 + sim_below(MS);

	if (k->deaf) {
		k->lost = true;
		return;
	}
	if (k->event_first == k->events)
		k->event_first = k->events = 0;
	k->event = sim_grow(k->event, &k->event_room, k->events, sizeof(*k->event));
	if (k->events > k->event_first && k->event[k->events - 1].at > at)
		at = k->event[k->events - 1].at;
	v = &k->event[k->events++];
	*v = (struct kevent){.event = event, .k = *e, .by_packet = by_packet, .at = at};
}

struct kevent *kernel_event(struct ktable *k)
{
	if (k->event_first == k->events || k->event[k->event_first].at > sim.now)
		return NULL;
	return &k->event[k->event_first++];
}

uint64_t kernel_event_at(const struct ktable *k)
{
	return k->event_first == k->events ? NEVER : k->event[k->event_first].at;
}

struct kernel_entry kernel_seen(const struct kent *m)
{
	struct kernel_entry e = m->k;

	e.timeout = m->expires > sim.now ? (uint32_t)((m->expires - sim.now) / S) : 0;
	e.has_timeout = true;
	e.has_tcp_flags = e.tuples.proto == PROTO_TCP;
	return e;
}

/* As a DESTROY has it: of TCP the state alone, no timeout if it ran out by itself. */
static void destroy(struct ktable *k, struct kent *m, bool ran_out, bool by_packet)
{
	struct kernel_entry e = kernel_seen(m);

	e.has_timeout = !ran_out;
	if (ran_out)
		e.timeout = 0;
	e.has_tcp_flags = false;
	memset(e.tcp_flags, 0, sizeof(e.tcp_flags));
	memset(e.wscale, 0, sizeof(e.wscale));
	e.status |= CT_STATUS_DYING;
	unlink_entry(k, m);
	raise(k, KERNEL_DESTROY, &e, by_packet);
}

void kernel_kill(struct ktable *k, struct kent *m)
{
	destroy(k, m, false, false);
}

/* ---- finding --------------------------------------------------------------------------- */

/* What a packet with this tuple meets, either way; what has run out is removed when it is met. */
struct kent *kernel_find(struct ktable *k, const struct tuples *t, bool reply)
{
	int from = reply ? REPLY_SRC : ORIG_SRC;

	for (struct kway *w = k->bucket[way_hash(t, from)]; w; w = w->next) {
		struct kent *m = w->entry;

		if (!same_way(&m->k.tuples, w->reply ? REPLY_SRC : ORIG_SRC, t, from))
			continue;
		if (m->expires > sim.now)
			return m;
		destroy(k, m, true, true);
		return NULL;
	}
	return NULL;
}

struct kent *kernel_exact(struct ktable *k, const struct tuples *t)
{
	struct kent *m = kernel_find(k, t, false);

	return m && tuples_equal(&m->k.tuples, t) ? m : NULL;
}

void kernel_gc(struct ktable *k, unsigned percent)
{
	for (size_t i = 0; i < k->entries; i++) {
		struct kent *m = k->entry[i];

		if (m->used && m->expires <= sim.now && sim_chance(percent))
			destroy(k, m, true, true);
	}
}

void kernel_clear(struct ktable *k)
{
	for (size_t i = 0; i < k->entries; i++)
		k->entry[i]->used = false;
	memset(k->bucket, 0, sizeof(k->bucket));
	k->count = 0;
	k->event_first = k->events = 0;
	k->lost = k->deaf = false;
	k->evicted = 0;
	k->most = 0;
}

void kernel_free(struct ktable *k)
{
	for (size_t i = 0; i < k->entries; i++)
		free(k->entry[i]);
	free(k->entry);
	free(k->event);
}

/* ---- packets --------------------------------------------------------------------------- */

/* As the sysctls have them. */
void kernel_timeouts(struct kernel_timeouts *t)
{
	*t = (struct kernel_timeouts){
		.tcp = {[CT_TCP_NONE] = 60,
			[CT_TCP_SYN_SENT] = 120,
			[CT_TCP_SYN_RECV] = 60,
			[CT_TCP_ESTABLISHED] = sim.kernel_established, /* the administrator's */
			[CT_TCP_FIN_WAIT] = 120,
			[CT_TCP_CLOSE_WAIT] = 60,
			[CT_TCP_LAST_ACK] = 30,
			[CT_TCP_TIME_WAIT] = 120,
			[CT_TCP_CLOSE] = 10,
			[CT_TCP_SYN_SENT2] = 120},
		.udp = 30,
		.udp_stream = 120,
		.icmp = 30,
		.icmpv6 = 30,
	};
}

static uint64_t timeout_of(const struct kent *m)
{
	struct kernel_timeouts t;

	kernel_timeouts(&t);
	switch (m->k.tuples.proto) {
	case PROTO_TCP:
		return t.tcp[m->k.tcp_state] * S;
	case PROTO_UDP:
		return (m->k.status & CT_STATUS_ASSURED ? t.udp_stream : t.udp) * S;
	default:
		return t.icmp * S;
	}
}

/* A full table drops somebody who is not assured to make room. */
static bool make_room(struct ktable *k)
{
	if (!k->most || k->count < k->most)
		return true;
	for (size_t i = 0; i < k->entries; i++) {
		struct kent *m = k->entry[i];

		if (!m->used || (m->k.status & CT_STATUS_ASSURED && m->expires > sim.now))
			continue;
		destroy(k, m, m->expires <= sim.now, true);
		k->evicted = sim.now;
		return true;
	}
	return false;
}

static enum verdict begin(struct ktable *k, const struct conn *c, const struct pkt *p)
{
	struct kernel_entry e = {.tuples = c->t, .status = CT_STATUS_CONFIRMED, .timeout = 30};
	struct kent *m;

	if (p->reply || (c->t.proto == PROTO_TCP && p->flags != TH_SYN))
		return DROP_NONE;
	if (!make_room(k))
		return DROP_FULL;
	if (c->t.proto == PROTO_TCP) {
		e.tcp_state = CT_TCP_SYN_SENT;
		e.tcp_flags[0] = e.tcp_flags[1] = CT_TCP_FLAG_WINDOW_SCALE;
		e.wscale[0] = 7;
		e.wscale[1] = 10;
	}
	m = add(k, &e, false);
	m->expires = sim.now + timeout_of(m);
	m->bytes = c->bytes;
	e = kernel_seen(m);
	raise(k, KERNEL_NEW, &e, true);
	return PASS_NEW;
}

static void tcp_step(struct kent *m, bool reply, unsigned flags)
{
	uint8_t *state = &m->k.tcp_state;
	bool first_closed = m->k.tcp_flags[reply] & CT_TCP_FLAG_CLOSE_INIT;

	if (flags & TH_RST) {
		*state = CT_TCP_CLOSE;
		return;
	}
	switch (*state) {
	case CT_TCP_SYN_SENT:
		if (reply && flags & TH_SYN)
			*state = CT_TCP_SYN_RECV;
		break;
	case CT_TCP_SYN_RECV:
		if (flags & TH_FIN)
			*state = CT_TCP_FIN_WAIT;
		else if (!reply && !(flags & TH_SYN))
			*state = CT_TCP_ESTABLISHED;
		break;
	case CT_TCP_ESTABLISHED:
		if (flags & TH_FIN)
			*state = CT_TCP_FIN_WAIT;
		break;
	case CT_TCP_FIN_WAIT:
		if (first_closed)
			return;
		*state = flags & TH_FIN ? CT_TCP_LAST_ACK : CT_TCP_CLOSE_WAIT;
		return;
	case CT_TCP_CLOSE_WAIT:
		if (flags & TH_FIN)
			*state = CT_TCP_LAST_ACK;
		return;
	case CT_TCP_LAST_ACK:
		if (!(flags & TH_FIN))
			*state = CT_TCP_TIME_WAIT;
		return;
	default:
		return;
	}
	if (*state == CT_TCP_FIN_WAIT)
		m->k.tcp_flags[reply] |= CT_TCP_FLAG_CLOSE_INIT;
}

static void assure(struct kent *m, bool reply, uint8_t before)
{
	uint32_t *status = &m->k.status;
	bool seen = *status & CT_STATUS_SEEN_REPLY;

	if (reply)
		*status |= CT_STATUS_SEEN_REPLY;
	switch (m->k.tuples.proto) {
	case PROTO_TCP:
		if (m->k.tcp_state == CT_TCP_ESTABLISHED &&
		    (before == CT_TCP_SYN_RECV || (reply && seen)))
			*status |= CT_STATUS_ASSURED;
		break;
	case PROTO_UDP:
		if (seen && (m->imported || sim.now >= m->made + UDP_STREAM_S * S))
			*status |= CT_STATUS_ASSURED;
		break;
	default:
		break;
	}
}

/*
 * An entry that checks windows and has not seen what passed elsewhere. An imported one learns from
 * the first packets if it was told the window scales.
 */
static bool out_of_window(const struct kent *m, const struct conn *c)
{
	if (c->t.proto != PROTO_TCP || m->k.tcp_flags[0] & m->k.tcp_flags[1] & CT_TCP_FLAG_LIBERAL)
		return false;
	if (m->imported && !m->learnt)
		return !(m->k.tcp_flags[0] & m->k.tcp_flags[1] & CT_TCP_FLAG_WINDOW_SCALE);
	return c->bytes - m->bytes > WINDOW;
}

enum verdict kernel_packet(struct ktable *k, const struct conn *c, const struct pkt *p)
{
	struct kent *m = kernel_find(k, &c->t, p->reply);
	struct kernel_entry e;
	uint32_t status;
	uint8_t state;
	bool reply;

	if (m && p->flags == TH_SYN && c->t.proto == PROTO_TCP &&
	    (m->k.tcp_state == CT_TCP_TIME_WAIT || m->k.tcp_state == CT_TCP_CLOSE)) {
		destroy(k, m, false, true);
		m = NULL;
	}
	if (!m)
		return begin(k, c, p);
	if (out_of_window(m, c) || !tuples_equal(&m->k.tuples, &c->t))
		return DROP_WINDOW;
	reply = p->reply;
	status = m->k.status;
	state = m->k.tcp_state;
	if (c->t.proto == PROTO_TCP)
		tcp_step(m, reply, p->flags);
	assure(m, reply, state);
	m->expires = sim.now + timeout_of(m);
	m->bytes = c->bytes;
	m->learnt = true;
	if (status != m->k.status || state != m->k.tcp_state) {
		e = kernel_seen(m);
		raise(k, KERNEL_UPDATE, &e, true);
	}
	return PASS;
}

/* ---- netlink --------------------------------------------------------------------------- */

int kernel_create(struct ktable *k, const struct kernel_entry *e)
{
	if (!(e->status & CT_STATUS_CONFIRMED) ||
	    e->status & (CT_STATUS_EXPECTED | CT_STATUS_DYING))
		return EBUSY;
	if (!e->has_timeout)
		return EINVAL;
	if (kernel_find(k, &e->tuples, false) || kernel_find(k, &e->tuples, true))
		return EEXIST;
	if (k->most && k->count >= k->most)
		return ENOMEM;
	(void)add(k, e, true);
	return 0;
}

/* Bits are only added, and those that are set must not be taken away. */
int kernel_change(struct ktable *k, const struct kernel_entry *e)
{
	struct kent *m = kernel_find(k, &e->tuples, false);
	uint32_t keep = CT_STATUS_SEEN_REPLY | CT_STATUS_ASSURED | CT_STATUS_CONFIRMED;

	if (!m)
		return ENOENT;
	if (e->status && m->k.status & keep & ~e->status)
		return EBUSY;
	m->k.status |= e->status;
	m->expires = sim.now + e->timeout * S;
	if (e->tuples.proto != PROTO_TCP)
		return 0;
	if (e->tcp_state)
		m->k.tcp_state = e->tcp_state;
	if (e->has_tcp_flags)
		for (int i = 0; i < 2; i++)
			m->k.tcp_flags[i] |= e->tcp_flags[i];
	return 0;
}

int kernel_delete(struct ktable *k, const struct tuples *t)
{
	struct kent *m = kernel_find(k, t, false);

	if (!m)
		return ENOENT;
	unlink_entry(k, m);
	return 0;
}
