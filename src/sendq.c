/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What waits to be told, collapsed to one message per state, and the packets it leaves in. A
 * state that ends before it was told is never told.
 */
#include <string.h>

#include "engine_internal.h"
#include "outgoing.h"

enum {
	IPV6_HEADER = 40,
	LIVE_RATE = 50000, /* states a second, an UPD_C is a third of one; real kernels lose packets
			      silently above 100,000 */
	LIVE_BURST = 2000, /* states that may leave without a pause */
	FLUSH_FLOWS = 1000, /* flows looked at in one flush */
};

/* ---- what waits ------------------------------------------------------------------------ */

static unsigned pending(const struct flow *f, int half)
{
	return f->pend >> (4 * half) & PEND_ALL;
}

static void enqueue(struct engine *e, struct flow *f)
{
	const struct link *l = &e->link[0];
	uint32_t flush_ms = l->config.flush_ms;

	if (!list_empty(&f->queue))
		return;
	list_append(&e->queue, &f->queue);
	e->queued++;
	for (size_t i = 1; i < e->links; i++)
		if (e->link[i].config.flush_ms < flush_ms)
			flush_ms = e->link[i].config.flush_ms;
	engine_wake(&e->flush_at, e->now + flush_ms * NS_PER_MS);
}

static void dequeue(struct engine *e, struct flow *f)
{
	if (list_empty(&f->queue))
		return;
	list_remove(&f->queue);
	e->queued--;
}

/* A half without a name has nothing to be told under. PEND_INS covers what is less than it. */
static void pend(struct engine *e, struct flow *f, int half, unsigned what, uint8_t scope)
{
	unsigned all;

	/* told as a state that pf learns by itself: an update would put made-up numbers into it */
	if (what & PEND_UPD_C && f->proto == PROTO_TCP &&
	    (f->half[half].flags & (H_TOLD | H_SLOPPY | H_NUMBERS)) == H_TOLD)
		what = (what & ~(unsigned)PEND_UPD_C) | PEND_DEL | PEND_INS;
	all = pending(f, half) | what;
	if (!what || !(f->half[half].flags & H_PRESENT))
		return;
	if (all & PEND_INS)
		all &= ~(unsigned)(PEND_UPD | PEND_UPD_C);
	else if (all & PEND_UPD)
		all &= ~(unsigned)PEND_UPD_C;
	f->scope = f->pend ? relay_widen(f->scope, scope) : scope;
	f->pend = (uint8_t)((f->pend & ~(PEND_ALL << 4 * half)) | all << 4 * half);
	enqueue(e, f);
}

void sendq_pend(struct engine *e, struct flow *f, int half, unsigned what)
{
	pend(e, f, half, what, SCOPE_ALL);
}

/* Only to those of a segment, who asked or lag behind. */
void sendq_answer(struct engine *e, struct flow *f, int half, unsigned what, uint8_t segment)
{
	pend(e, f, half, what, SCOPE_ONLY | segment);
}

/* What a peer has said of the half, to those who could not hear it. */
void sendq_relay(struct engine *e, struct flow *f, int half, unsigned what)
{
	pend(e, f, half, what, SCOPE_EXCEPT | f->from);
}

/* The same for both halves, INS in place of an update where a half was never told. */
void sendq_pend_told(struct engine *e, struct flow *f, unsigned what)
{
	for (int h = HALF_IN; h <= HALF_OUT; h++)
		sendq_pend(e, f, h, f->half[h].flags & H_TOLD ? what : PEND_INS);
}

void sendq_drop(struct engine *e, struct flow *f)
{
	f->pend = 0;
	dequeue(e, f);
}

void sendq_drop_half(struct engine *e, struct flow *f, int half)
{
	f->pend &= (uint8_t)(PEND_ALL << 4 * !half);
	if (!f->pend)
		dequeue(e, f);
}

void sendq_urgent(struct engine *e)
{
	e->flush_at = e->now;
}

/* Before all others, and now: a packet waits for it. */
void sendq_first(struct engine *e, struct flow *f)
{
	if (list_empty(&f->queue))
		return;
	list_remove(&f->queue);
	list_append(e->queue.next, &f->queue);
	sendq_urgent(e);
}

/* Its place, or the count if it is not there. */
static size_t ids_find(const struct ids *ids, uint64_t id, uint32_t creatorid)
{
	size_t i = 0;

	while (i < ids->count && (ids->id[i].id != id || ids->id[i].creatorid != creatorid))
		i++;
	return i;
}

/* False if it is not there. */
static bool ids_drop(struct ids *ids, uint64_t id, uint32_t creatorid)
{
	size_t i = ids_find(ids, id, creatorid);

	if (i == ids->count)
		return false;
	ids->id[i] = ids->id[--ids->count];
	return true;
}

static void ids_add(struct engine *e, struct ids *ids, uint64_t id, uint32_t creatorid)
{
	if (ids_find(ids, id, creatorid) < ids->count)
		return;
	if (ids->count == QUEUE_IDS)
		sendq_flush(e);
	if (ids->count < QUEUE_IDS)
		ids->id[ids->count++] = (struct msg_id){id, creatorid};
}

void sendq_ack(struct engine *e, struct link *l, const struct half *h)
{
	ids_add(e, &l->acks, h->id, h->creatorid);
	sendq_urgent(e);
}

/* Not before what else is about to come. */
void sendq_request_later(struct engine *e, struct link *l, uint64_t id, uint32_t creatorid)
{
	ids_add(e, &l->requests, id, creatorid);
	engine_wake(&e->flush_at, e->now + l->config.flush_ms * NS_PER_MS);
}

void sendq_request(struct engine *e, struct link *l, uint64_t id, uint32_t creatorid)
{
	sendq_request_later(e, l, id, creatorid);
	sendq_urgent(e);
}

/* The state has come without. */
void sendq_unrequest(struct link *l, uint64_t id, uint32_t creatorid)
{
	(void)ids_drop(&l->requests, id, creatorid);
}

/* Of a state that was relayed; version: index of struct link's deletions. */
void sendq_delete(struct engine *e, struct link *l, int version, uint64_t id, uint32_t creatorid)
{
	ids_add(e, &l->deletions[version], id, creatorid);
	engine_wake(&e->flush_at, e->now + l->config.flush_ms * NS_PER_MS);
}

/* The same was heard there; false if it has left already. */
bool sendq_undelete(struct link *l, uint8_t version, uint64_t id, uint32_t creatorid)
{
	return ids_drop(&l->deletions[version == PFSYNC_VERSION_OPENBSD], id, creatorid);
}

/* A deletion of it waits to be told there. */
bool sendq_deletes(const struct link *l, uint8_t version, const struct half *h)
{
	const struct ids *ids = &l->deletions[version == PFSYNC_VERSION_OPENBSD];

	return ids_find(ids, h->id, h->creatorid) < ids->count;
}

/* ---- packets --------------------------------------------------------------------------- */

size_t sendq_payload(const struct link *l, const struct dialect *d)
{
	size_t mtu = l->mtu < 576 ? 576 : l->mtu;
	size_t header = l->config.ipv6 && d->ip_overhead < IPV6_HEADER ? IPV6_HEADER
								       : d->ip_overhead;
	size_t len;

	if (mtu > 1500) /* FreeBSD before 15 cannot answer longer ones, and nobody sends them */
		mtu = 1500;
	len = mtu - header;
	return len < PACKET_MAX ? len : PACKET_MAX;
}

/* Sends what the builder holds, if anything, and starts the next packet. */
bool sendq_packet(struct engine *e, unsigned link, struct builder *b)
{
	struct link *l = &e->link[link];
	const struct dialect *d = b->dialect;
	bool single = b->section_max == 1, sent = true;
	size_t len = builder_finish(b);

	if (len) {
#ifdef CHECK_OUTGOING
		const char *wrong = outgoing_wrong(d, e->packet, len);

		if (wrong) {
			e->counters.refused[R_OUTGOING]++;
			engine_note(e, &(struct note){.kind = NOTE_REFUSED,
						      .reason = R_OUTGOING,
						      .action = ACT_UNKNOWN,
						      .link = (int)link,
						      .detail = wrong});
			sent = false;
		}
#endif
		if (sent && e->ops.send(e->ctx, link, e->packet, len)) {
			e->counters.refused[R_SEND_ERROR]++;
			sent = false;
		}
		if (sent) {
			l->packets_out++;
			engine_count(e, C_PACKETS_OUT);
			e->counters.done[C_BYTES_OUT] += len;
		}
	}
	builder_start(b, d, e->packet, sendq_payload(l, d), single);
	return sent;
}

static void told(struct engine *e, struct flow *f, int h, enum pf_action action)
{
	const struct half *half = &f->half[h];
	struct tuples t;

	if (!e->ops.note)
		return;
	flow_tuples(f, &t);
	e->ops.note(e->ctx, &(struct note){.kind = NOTE_SENT,
					   .action = action,
					   .link = -1,
					   .tuples = &t,
					   .id = half->id,
					   .creatorid = half->creatorid});
}

/* One message of one half; starts another packet when this one is full. */
static void put(struct engine *e, unsigned link, struct builder *b, struct flow *f, int h,
		unsigned what)
{
	const struct half *half = &f->half[h];
	struct pf_state s;
	struct msg_upd_c u;

	for (int attempt = 0; attempt < 2; attempt++) {
		bool done = false;

		switch (what) {
		case PEND_DEL:
			done = builder_add_id(b, ACT_DEL_C, half->id, half->creatorid);
			break;
		case PEND_INS:
		case PEND_UPD:
			if (!attempt && !announce_state(e, f, h, &e->link[link], b->dialect, &s))
				return;
			if (what == PEND_INS && defer_asks(e, &e->link[link], f, h))
				s.state_flags |= PF_FLAG_ACK;
			done = builder_add_state(b, what == PEND_INS ? ACT_INS : ACT_UPD, &s);
			break;
		default:
			if (half->timeout >= b->dialect->timeouts)
				return;
			if (!attempt)
				announce_upd_c(e, f, h, &u);
			done = builder_add_upd_c(b, &u);
		}
		if (done)
			return;
		(void)sendq_packet(e, link, b);
	}
}

/*
 * The deletion of a state that is inserted again: in the same packet, for they must not overtake
 * each other on their way, nor one be lost without the other.
 */
static void put_deletion(struct engine *e, unsigned link, struct builder *b, struct flow *f, int h)
{
	size_t need = dialect_message_size(b->dialect->version, ACT_DEL_C, LAYOUT_NONE) +
		      pfstate_size(b->dialect->layout) + 2 * PFSYNC_SUBHEADER_LEN;

	if (writer_left(&b->w) < need)
		(void)sendq_packet(e, link, b);
	put(e, link, b, f, h, PEND_DEL);
}

static void put_ids(struct engine *e, unsigned link, struct builder *b, const struct ids *ids,
		    enum pf_action action)
{
	for (size_t i = 0; i < ids->count; i++) {
		const struct msg_id *m = &ids->id[i];

		if (builder_add_id(b, action, m->id, m->creatorid))
			continue;
		(void)sendq_packet(e, link, b);
		(void)builder_add_id(b, action, m->id, m->creatorid);
	}
}

/* Which messages are meant: all, those that are full states, those that are none. */
enum part { PART_STATES = PEND_INS | PEND_UPD, PART_SHORT = PEND_DEL | PEND_UPD_C, PART_ALL = 15 };

/* What one half has to say of one kind. */
static void put_half(struct engine *e, unsigned link, struct builder *b, struct flow *f, int h,
		     unsigned kind, enum part part)
{
	unsigned what = pending(f, h), replace = PEND_DEL | PEND_INS;
	bool both = part == PART_ALL && (what & replace) == replace;

	if (!(what & kind) || (both && kind == PEND_DEL) ||
	    !relay_reaches(f->scope, link, b->dialect, kind & PART_STATES) ||
	    (kind == PEND_INS && !(what & PEND_DEL) && relay_has(f, h, link) &&
	     !sendq_deletes(&e->link[link], b->dialect->version, &f->half[h])))
		return;
	if (both && kind == PEND_INS)
		put_deletion(e, link, b, f, h);
	put(e, link, b, f, h, relay_kind(&e->link[link], f, kind));
}

/*
 * All that a batch of flows has to say, to one link in one dialect. Acknowledgements first: a
 * packet is held back at the peer until they come. Deletions before insertions of the same name.
 */
static void flush_dialect(struct engine *e, unsigned link, const struct dialect *d,
			  struct flow **batch, size_t n, enum part part)
{
	static const unsigned order[] = {PEND_DEL, PEND_INS, PEND_UPD, PEND_UPD_C};
	struct link *l = &e->link[link];
	struct builder b;
	unsigned all = 0;

	builder_start(&b, d, e->packet, sendq_payload(l, d), peer_single(e, link, d));
	if (part & PART_SHORT) {
		put_ids(e, link, &b, &l->acks, ACT_INS_ACK);
		put_ids(e, link, &b, &l->deletions[d->version == PFSYNC_VERSION_OPENBSD],
			ACT_DEL_C);
	}
	for (size_t i = 0; i < n; i++)
		all |= (unsigned)(batch[i]->pend | batch[i]->pend >> 4);
	for (size_t o = 0; o < sizeof(order) / sizeof(order[0]); o++) {
		if (!(all & part & order[o]))
			continue;
		for (size_t i = 0; i < n; i++)
			for (int h = HALF_IN; h <= HALF_OUT; h++)
				put_half(e, link, &b, batch[i], h, order[o], part);
	}
	if (part & PART_SHORT)
		put_ids(e, link, &b, &l->requests, ACT_UPD_REQ);
	(void)sendq_packet(e, link, &b);
}

/*
 * To those of one header version. Where they speak several dialects, full states leave in packets
 * of their own: who does not know the layout loses the rest of the packet. The newest first, for
 * the others can be read by newer ones, too, and say less.
 */
static void flush_version(struct engine *e, unsigned link, uint8_t version, struct flow **batch,
			  size_t n)
{
	const struct dialect *spoken[DIALECT_COUNT];
	size_t dialects = 0;

	for (int i = DIALECT_COUNT - 1; i >= 0; i--) {
		const struct dialect *d = dialect_get((enum dialect_id)i);

		if (d->version == version && e->link[link].dialects & 1u << i)
			spoken[dialects++] = d;
	}
	if (dialects == 1) {
		flush_dialect(e, link, spoken[0], batch, n, PART_ALL);
		return;
	}
	if (dialects)
		flush_dialect(e, link, spoken[0], batch, n, PART_SHORT);
	for (size_t i = 0; i < dialects; i++)
		flush_dialect(e, link, spoken[i], batch, n, PART_STATES);
}

/* Before any peer of a link was heard, what does not depend on the dialect goes to both families.
 */
static void flush_link(struct engine *e, unsigned link, struct flow **batch, size_t n)
{
	struct link *l = &e->link[link];

	if (l->config.mode == MODE_RECEIVE_ONLY)
		n = 0;
	if (l->up && l->dialects) {
		flush_version(e, link, PFSYNC_VERSION_FREEBSD, batch, n);
		flush_version(e, link, PFSYNC_VERSION_OPENBSD, batch, n);
	} else if (l->up) {
		flush_dialect(e, link, dialect_get(DIALECT_FREEBSD_13), batch, n, PART_SHORT);
		flush_dialect(e, link, dialect_get(DIALECT_OPENBSD), batch, n, PART_SHORT);
	}
	if (l->up) {
		size_t relayed = l->deletions[0].count + l->deletions[1].count;

		e->counters.done[C_INS_ACK_OUT] += l->acks.count;
		e->counters.done[C_UPD_REQ_OUT] += l->requests.count;
		e->counters.done[C_DEL_C_OUT] += relayed;
		e->counters.done[C_RELAYED] += relayed;
	}
	l->acks.count = l->requests.count = 0;
	l->deletions[0].count = l->deletions[1].count = 0;
}

/* Somebody may have heard full states: a link is up, may send, and its dialect is known. */
static bool anybody(const struct engine *e)
{
	for (size_t i = 0; i < e->links; i++)
		if (e->link[i].up && e->link[i].dialects &&
		    e->link[i].config.mode != MODE_RECEIVE_ONLY)
			return true;
	return false;
}

/* handover = strict somewhere: pf follows the sequence, and lags behind when we carry the flow. */
static bool told_strict(const struct engine *e, const struct flow *f)
{
	for (size_t i = 0; i < e->links; i++)
		if (e->link[i].config.handover_strict && f->flags & F_WSCALE)
			return true;
	return false;
}

static void settle_half(struct engine *e, struct flow *f, int h, bool heard)
{
	static const struct {
		unsigned what;
		enum counter counter;
		enum pf_action action;
	} kinds[] = {
		{PEND_DEL, C_DEL_C_OUT, ACT_DEL_C},
		{PEND_INS, C_INS_OUT, ACT_INS},
		{PEND_UPD, C_UPD_OUT, ACT_UPD},
		{PEND_UPD_C, C_UPD_C_OUT, ACT_UPD_C},
	};
	struct half *half = &f->half[h];
	unsigned what = pending(f, h);
	bool relayed = f->scope & SCOPE_SEGMENT && !(f->scope & SCOPE_ONLY);

	if (!heard || !what)
		return;
	if (relayed)
		engine_count(e, C_RELAYED);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!(what & kinds[i].what))
			continue;
		engine_count(e, kinds[i].counter);
		told(e, f, h, kinds[i].action);
	}
	if ((what & PEND_DEL) && (what & PEND_INS)) {
		relay_replaced(e, half, true);
		engine_count(e, C_REPLACED_OUT);
	}
	if (what & (PEND_INS | PEND_UPD)) {
		half->flags |= H_TOLD;
		if (relay_needed(e))
			f->half[h].links |= relay_readers(e, f->scope);
		if (!relayed && !(half->flags & H_NUMBERS) && !told_strict(e, f))
			half->flags |= H_SLOPPY;
	}
}

/* After a batch has left: what was told is noted, the dead are released. */
static void settle(struct engine *e, struct flow *f, bool heard)
{
	bool restarted = f->pend & ~(PEND_DEL | PEND_DEL << 4);
	unsigned halves = (f->pend & PEND_ALL ? 1 : 0) | (f->pend >> 4 ? 2 : 0);

	settle_half(e, f, HALF_IN, heard);
	settle_half(e, f, HALF_OUT, heard);
	if (restarted)
		defer_asked(e, f);
	if (f->flags & F_DEAD) {
		sendq_drop(e, f);
		table_release(&e->table, f);
		return;
	}
	if (!heard) { /* what it has to say is kept for when somebody hears it: see retell() */
		dequeue(e, f);
		return;
	}
	sendq_drop(e, f);
	/* two that are told what the other says are told the same: then it has no scope */
	if ((f->scope || relay_needed(e)) && !(f->flags & F_LIVE)) {
		relay_settle(e, f, halves);
	} else if (restarted) {
		f->told = e->ds;
		refresh_arm(e, f);
	}
}

/* A flow that closed before anybody heard of it is not told any more. */
static bool never_told(struct engine *e, struct flow *f)
{
	if (!half_closed(f, HALF_IN) || f->flags & F_DEAD ||
	    (f->half[HALF_IN].flags | f->half[HALF_OUT].flags) & H_TOLD)
		return false;
	sendq_drop(e, f);
	return true;
}

#define THIRD_NS (NS_PER_S / LIVE_RATE / 3)

/* What a half has to say, in thirds of a full state. */
static unsigned thirds_of(unsigned pend)
{
	if (pend & (PEND_INS | PEND_UPD))
		return 3;
	return pend & PEND_UPD_C ? 1 : 0;
}

/* How many thirds of a state may leave now. */
static size_t allowance(struct engine *e)
{
	uint64_t burst = LIVE_BURST * (NS_PER_S / LIVE_RATE);

	if (e->tokens_at + burst < e->now)
		e->tokens_at = e->now - burst;
	return e->tokens_at < e->now ? (size_t)((e->now - e->tokens_at) / THIRD_NS) : 0;
}

void sendq_flush(struct engine *e)
{
	struct flow *batch[FLUSH_FLOWS];
	size_t n = 0, thirds = 0, may = allowance(e);
	bool heard = anybody(e);
	struct list *at, *next;

	e->flush_at = NEVER;
	list_for_each_safe (at, next, &e->queue) {
		struct flow *f = container_of(at, struct flow, queue);
		unsigned cost = thirds_of(f->pend & PEND_ALL) + thirds_of(f->pend >> 4);

		if (n == FLUSH_FLOWS || (cost && thirds + cost > may)) {
			e->flush_at = e->now + 5 * NS_PER_MS;
			break;
		}
		if (never_told(e, f))
			continue;
		thirds += cost;
		batch[n++] = f;
	}
	e->tokens_at += thirds * THIRD_NS;
	for (unsigned i = 0; i < e->links; i++)
		flush_link(e, i, batch, n);
	for (size_t i = 0; i < n; i++)
		settle(e, batch[i], heard);
	e->ops.flush_packets(e->ctx);
}
