/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events and dumps of our own kernel: flows that begin, change, end, and whose traffic passes here.
 */
#include <string.h>

#include "engine_internal.h"
#include "hash.h"

enum {
	LATER = 12,	   /* ds; the kernel tells whole seconds */
	EARLIER = 30,	   /* an event may have lain in its queue for a while */
	UNKNOWN = 1 << 26, /* an expiry further off is none */
	ROUNDED = 10,	   /* an age is as coarse as that */
	LATELY_S = 5,
	SAID_SINCE = 200, /* ds */
	TRANSIENT_S = 30, /* the shortest timeout that a new entry has in the kernel */
};

/*
 * A packet has passed since the entry was last seen or written: it gave the entry the kernel's own
 * timeout, which may be longer than the one that was known, or shorter. An entry at rest runs out
 * when it was known to.
 */
bool local_touched(const struct engine *e, const struct flow *f, const struct kernel_entry *k)
{
	int32_t moved = (int32_t)(e->ds + 10 * k->timeout - f->expires);

	if ((int32_t)(f->expires - e->ds) > UNKNOWN)
		return false;
	return k->has_timeout && (moved > LATER || moved < -EARLIER);
}

static size_t timeout_class(uint8_t proto, uint8_t tcp_state, bool assured)
{
	switch (proto) {
	case PROTO_TCP:
		return tcp_state < CT_TCP_COUNT ? tcp_state : 0;
	case PROTO_ICMP:
		return KERNEL_ICMP;
	case PROTO_ICMPV6:
		return KERNEL_ICMPV6;
	case PROTO_UDP:
		return assured ? KERNEL_UDP_STREAM : KERNEL_UDP;
	default:
		return KERNEL_OTHER;
	}
}

static size_t class_of(const struct kernel_entry *k)
{
	return timeout_class(k->tuples.proto, k->tcp_state, k->status & CT_STATUS_ASSURED);
}

/* The kernel gives an entry its whole timeout when it raises an event for a packet. */
static void learn_timeout(struct engine *e, const struct kernel_entry *k)
{
	size_t kind = class_of(k);

	if (kind != KERNEL_OTHER && e->own_timeout[kind] < k->timeout)
		e->own_timeout[kind] = k->timeout;
}

/* Who has only taken over flows of peers has seen no event that shows it. */
static uint32_t own_timeout(const struct engine *e, size_t kind)
{
	return e->own_timeout[kind] ? e->own_timeout[kind] : e->set_timeout[kind];
}

void engine_on_timeouts(struct engine *e, const struct kernel_timeouts *t)
{
	memcpy(e->set_timeout, t->tcp, sizeof(t->tcp));
	e->set_timeout[KERNEL_ICMP] = t->icmp;
	e->set_timeout[KERNEL_ICMPV6] = t->icmpv6;
	e->set_timeout[KERNEL_UDP] = t->udp;
	e->set_timeout[KERNEL_UDP_STREAM] = t->udp_stream;
}

/* Time (ds) since the last packet, 0 if that cannot be told. */
uint32_t local_age(const struct engine *e, const struct kernel_entry *k)
{
	uint32_t own = own_timeout(e, class_of(k));

	return k->has_timeout && k->timeout < own ? 10 * (own - k->timeout) : 0;
}

/* Its last packet has passed in the last seconds, if it was not written with the kernel's own time.
 */
bool local_lately(const struct engine *e, const struct kernel_entry *k)
{
	uint32_t own = own_timeout(e, class_of(k));

	return own && k->has_timeout && k->timeout <= own && own - k->timeout <= LATELY_S;
}

/*
 * Its last packet passed before we stood still for a while, as a machine does that is suspended or
 * moved. Others may have carried it on since, and said so when we could not hear it.
 */
bool local_before_gap(const struct engine *e, const struct kernel_entry *k)
{
	uint32_t age = local_age(e, k);

	return e->gap_ds && age && (int32_t)(e->gap_ds - ROUNDED - (e->ds - age)) > 0;
}

/* When the last packet of an entry passed that has run out just now (ds); false: not known. */
static bool last_packet(const struct engine *e, const struct flow *f, uint32_t *at)
{
	uint32_t own = own_timeout(e, timeout_class(f->proto, f->tcp_state, f->flags & F_ASSURED));

	*at = e->ds - 10 * own;
	return own != 0;
}

/* Takes over what the kernel says of an entry. */
static void learn(struct engine *e, struct flow *f, const struct kernel_entry *k)
{
	/* what moves less than can be seen adds up: many small steps are traffic, too */
	if (k->has_timeout && (!(f->flags & F_KERNEL) || local_touched(e, f, k) ||
			       (int32_t)(f->expires - e->ds) > UNKNOWN))
		f->expires = e->ds + 10 * k->timeout;
	f->flags = (uint16_t)((f->flags & ~F_HELD) | F_KERNEL);
	f->flags = (uint16_t)(e->mark ? f->flags | F_MARK : f->flags & ~F_MARK);
	if (k->id)
		f->kernel_id = k->id;
	f->flags = (uint16_t)(f->flags & ~(F_ASSURED | F_REPLIED));
	if (k->status & CT_STATUS_ASSURED)
		f->flags |= F_ASSURED;
	if (k->status & CT_STATUS_SEEN_REPLY)
		f->flags |= F_REPLIED;
	if (f->proto == PROTO_TCP) {
		f->tcp_state = k->tcp_state;
		if (k->has_tcp_flags) {
			uint8_t both = k->tcp_flags[0] & k->tcp_flags[1];

			f->flags = (uint16_t)(f->flags & ~(F_LIBERAL | F_REPLY_FIN));
			if (both & CT_TCP_FLAG_LIBERAL)
				f->flags |= F_LIBERAL;
			if (k->tcp_flags[1] & CT_TCP_FLAG_CLOSE_INIT)
				f->flags |= F_REPLY_FIN;
			if (both & CT_TCP_FLAG_WINDOW_SCALE) {
				f->flags |= F_WSCALE;
				f->wscale = (uint8_t)((k->wscale[0] & 15) | k->wscale[1] << 4);
			}
		}
	}
	if (f->proto == PROTO_SCTP) {
		f->tcp_state = k->sctp_state;
		if (k->vtag[0] && k->vtag[1] && flow_extra(f))
			memcpy(f->extra->vtag, k->vtag, sizeof(k->vtag));
	}
	announce_marked(e, f, k->mark);
	if (k->has_counters && flow_extra(f)) {
		f->extra->counted = true;
		memcpy(f->extra->packets, k->packets, sizeof(k->packets));
		memcpy(f->extra->bytes, k->bytes, sizeof(k->bytes));
	}
}

/* Raises both halves to what the kernel sees; true if there is something to tell. */
static bool raise(struct engine *e, struct flow *f)
{
	struct pf_pair p;

	announce_pair(e, f, &p);
	return announce_merge(f, &p);
}

/* No Linux node hears us: UPD_C is what says to one that we carry a flow. */
bool local_only_pf(const struct engine *e)
{
	struct list *n;

	list_for_each (n, &e->peers)
		if (!container_of(n, struct peer, node)->pf)
			return false;
	return true;
}

/*
 * The traffic of a flow begins to pass here. What peers hold of a TCP flow as strictly tracked
 * state grows stale with every byte, and no update can mend that: its states are deleted and
 * inserted again under their names, sloppy (verified on FreeBSD and OpenBSD; echoing the last
 * numbers is deadly). Numbers that pf told are worthless from now on. Of the rest an older FreeBSD
 * is told by UPD: see refresh_by_upd().
 */
void local_take_over(struct engine *e, struct flow *f)
{
	unsigned update = refresh_by_upd(e) && local_only_pf(e) ? PEND_UPD : PEND_UPD_C;

	f->flags |= F_LIVE;
	f->half[HALF_IN].carrier = f->half[HALF_OUT].carrier = 0;
	f->again = 1;
	f->told = e->ds; /* in a moment */
	f->checked = e->ds;
	if (f->flags & F_REMOTE) {
		engine_count(e, C_TAKEN_OVER);
		engine_note_flow(e, NOTE_TAKEN_OVER, f);
	}
	for (int h = HALF_IN; h <= HALF_OUT; h++) {
		struct half *half = &f->half[h];

		if (!(half->flags & H_PRESENT))
			continue;
		if (half->flags & H_RAW) {
			carry_move(e, f, h);
			continue;
		}
		half->flags &= (uint8_t)~H_NUMBERS;
		if (f->proto != PROTO_TCP || half->flags & H_SLOPPY) {
			sendq_pend(e, f, h, half->flags & H_TOLD ? update : PEND_INS);
			continue;
		}
		for (int i = 0; i < 2; i++)
			if (half->state[i] < PF_TCP_ESTABLISHED)
				half->state[i] = PF_TCP_ESTABLISHED;
		half->timeout = pf_timeout_of(f->proto, half->state[0], half->state[1], 0);
		sendq_pend(e, f, h, half->flags & H_TOLD ? PEND_DEL | PEND_INS : PEND_INS);
		f->flags |= F_TAKEN;
	}
	/* a half that the peer never told: both are needed to carry a flow on */
	announce_name(e, f);
	for (int h = HALF_IN; h <= HALF_OUT; h++)
		if (!(f->half[h].flags & H_TOLD))
			sendq_pend(e, f, h, PEND_INS);
}

/* A known flow as the kernel has it now. traffic: a packet caused this, not a program. */
void local_update(struct engine *e, struct flow *f, const struct kernel_entry *k, bool traffic)
{
	bool was_assured = f->flags & F_ASSURED, was_live = f->flags & F_LIVE, rose;
	bool known = f->flags & F_KERNEL;
	bool untold = was_live && !traffic && known && local_touched(e, f, k);
	uint32_t expires = f->expires;
	bool anew = f->proto == PROTO_SCTP && was_live && k->vtag[0] && k->vtag[1] && f->extra &&
		    memcmp(f->extra->vtag, k->vtag, sizeof(k->vtag)) != 0;

	learn(e, f, k);
	if (untold) /* the next probe must still find it, to tell it */
		f->expires = expires;
	if (f->kept)
		return;
	/* an entry that we made is not ASSURED: the bit comes with the first reply that crosses. Of
	 * one that is seen first it may be of long ago */
	traffic = traffic || (known && !was_assured && !was_live && f->flags & F_ASSURED);
	/* what a peer told is not raised by the entry that was made of it: nothing is echoed */
	rose = ((was_live || traffic) && raise(e, f)) || anew;
	if (!was_live && traffic && f->flags & F_UNDECIDED) {
		f->flags |= F_LIVE; /* told when it is decided under which name */
	} else if (!was_live && traffic) {
		local_take_over(e, f);
	} else if (rose && !(f->flags & F_UNDECIDED)) {
		sendq_pend_told(e, f, PEND_UPD_C);
	}
	refresh_arm(e, f);
}

/*
 * A flow that is new to us. live: traffic of it was seen. Undecided ones wait for the peers to name
 * them; those without a sign of traffic are not ours to delete anywhere: a standby never kills.
 */
static struct flow *begin(struct engine *e, const struct kernel_entry *k, bool undecided, bool live,
			  bool early)
{
	enum reason r = announce_check(e, k, early);
	struct flow *f;

	if (r != R_NONE) {
		e->counters.refused[r]++;
		return NULL;
	}
	f = table_add(&e->table, &k->tuples);
	if (!f) {
		e->counters.refused[R_NO_MEMORY]++;
		return NULL;
	}
	f->told = f->heard = f->checked = e->ds;
	f->created = e->ds - 10 * (k->age < 100000000 ? k->age : 0);
	if (live)
		f->flags |= F_LIVE;
	learn(e, f, k);
	(void)raise(e, f);
	if (undecided) {
		f->flags |= F_UNDECIDED;
		return f;
	}
	announce_name(e, f);
	sendq_pend_told(e, f, 0);
	return f;
}

/*
 * The kernel entry is gone. A flow that merely ran out here, without traffic since the peers' last
 * word, is forgotten silently: a standby never kills.
 */
void local_gone(struct engine *e, struct flow *f)
{
	not_in_kernel(f);
	if (f->kept) {
		refresh_arm(e, f); /* it ends by the peers' clock */
		return;
	}
	if (f->flags & F_LIVE)
		engine_end(e, f);
	else
		engine_forget(e, f);
}

/*
 * The kernel has let it go by its timeout. A packet of after we stood still would have kept the
 * entry; so would one of after another node has said that it carries the flow, in words that were
 * taken for a copy of ours: it is made again as any other of a peer.
 */
void local_ran_out(struct engine *e, struct flow *f)
{
	uint32_t last;

	if (f->flags & F_LIVE && !f->kept && last_packet(e, f, &last)) {
		if (e->gap_ds && (int32_t)(e->gap_ds - last) > 0) {
			f->flags &= (uint16_t)~F_LIVE;
		} else if (relay_needed(e) && (int32_t)(f->heard - last) > SAID_SINCE) {
			f->flags &= (uint16_t)~F_LIVE;
			not_in_kernel(f);
			commit_want(e, f);
			return;
		}
	}
	local_gone(e, f);
}

/*
 * The kernel has a translation of a flow of which a peer told one half only: what that half does
 * not show is as the kernel says. An entry that was made of the half alone, by guess, goes, unless
 * it is this very one by its original tuple. False if the half shows something else.
 */
bool local_adopt(struct engine *e, struct flow *f, const struct tuples *t)
{
	bool in = f->half[HALF_IN].flags & H_PRESENT, out = f->half[HALF_OUT].flags & H_PRESENT;
	enum flow_end known = in ? ORIG_DST : REPLY_DST;
	struct tuples mine;

	flow_tuples(f, &mine);
	if (in == out || f->kept || mine.family != t->family || mine.proto != t->proto ||
	    !endpoint_equal(&mine.end[ORIG_SRC], &t->end[ORIG_SRC]) ||
	    !endpoint_equal(&mine.end[REPLY_SRC], &t->end[REPLY_SRC]) ||
	    !endpoint_equal(&mine.end[known], &t->end[known]))
		return false;
	if (!endpoint_equal(&mine.end[ORIG_DST], &t->end[ORIG_DST]))
		commit_delete(e, f);
	flow_set_tuples(f, t);
	return true;
}

/*
 * The start found an entry without translation, and a peer has told a flow with one that the kernel
 * does not take beside it: we made the entry by guess before the start, when one half was known.
 * True if it and its flow are gone; so is the flow of an entry that had to make room for the other.
 */
bool local_gives_way(struct engine *e, struct flow *f)
{
	struct flow *told = NULL;
	struct tuples t, theirs;

	if (!(f->flags & (F_KERNEL | F_LIVE))) {
		engine_forget(e, f);
		return true;
	}
	flow_tuples(f, &t);
	if (f->flags & F_LIVE || tuples_have_snat(&t) || tuples_have_dnat(&t))
		return false;
	while ((told = table_next_middle(&e->table, &t, told))) {
		flow_tuples(told, &theirs);
		if ((told->flags & (F_REMOTE | F_KERNEL)) == F_REMOTE && !told->kept &&
		    (endpoint_equal(&theirs.end[ORIG_DST], &t.end[ORIG_DST]) ||
		     endpoint_equal(&theirs.end[REPLY_DST], &t.end[REPLY_DST])))
			break;
	}
	if (!told || refresh_lives(e, f))
		return false;
	commit_delete(e, f);
	engine_forget(e, f);
	engine_count(e, C_COMMIT_REPLACED);
	commit_want(e, told);
	return true;
}

/* The flow has closed, and the entry is of a connection that has not. */
static bool has_reopened(const struct flow *f, const struct kernel_entry *k)
{
	return k->tcp_state != CT_TCP_NONE && k->tcp_state <= CT_TCP_ESTABLISHED &&
	       half_closed(f, HALF_IN) && half_closed(f, HALF_OUT);
}

/*
 * A closed connection whose end was never told is not the one that has its ports now. NULL if so,
 * and the old one has ended.
 */
static struct flow *still_same(struct engine *e, struct flow *f, const struct kernel_entry *k)
{
	if (f->kept || (k->id && k->id == f->kernel_id) || !has_reopened(f, k))
		return f;
	/* of a peer's entry that we have written the id is not known, but we write none that opens
	 */
	if ((f->flags & (F_REMOTE | F_LIVE)) == F_REMOTE && !(k->id && f->kernel_id) &&
	    k->tcp_state == CT_TCP_ESTABLISHED)
		return f;
	f->flags |= F_LIVE; /* its end is our news */
	local_gone(e, f);
	return NULL;
}

static uint64_t hash_of(const struct engine *e, const struct tuples *t)
{
	struct tuples whole = *t;

	whole.icmp_code = 0;
	return hash_bytes(e->config.hash_key, &whole, sizeof(whole)) | 1;
}

/* An entry has ended. A dump that is under way may have read it before, and tells it later. */
void local_note_gone(struct engine *e, const struct tuples *t)
{
	uint64_t h;

	if (!e->dumping)
		return;
	h = hash_of(e, t);
	e->gone[h >> 32 & (GONE_MAX - 1)] = h;
}

static bool gone_meanwhile(const struct engine *e, const struct tuples *t)
{
	uint64_t h = hash_of(e, t);

	return e->gone[h >> 32 & (GONE_MAX - 1)] == h;
}

/* The flow of a kernel entry. */
static struct flow *find(struct engine *e, const struct tuples *t)
{
	struct flow *f, *first = table_next_middle(&e->table, t, NULL);

	for (f = first; f; f = table_next_middle(&e->table, t, f))
		if (table_is(f, t))
			return f;
	for (f = first; f; f = table_next_middle(&e->table, t, f))
		if (local_adopt(e, f, t))
			return f;
	return NULL;
}

/* At the start, while peers are about to tell their names for what the kernel has already. */
static bool named_soon(const struct engine *e)
{
	return e->undecided && !bulk_idle(e);
}

/*
 * The flow of a first packet that is held back, begun now: the kernel makes its entry when the
 * packet leaves. NULL if it is not told, or the peers have it already.
 */
struct flow *local_begin_held(struct engine *e, const struct kernel_entry *k)
{
	struct kernel_entry entry = *k;
	struct flow *f = find(e, &k->tuples);

	if (!entry.has_timeout) { /* until its event says better */
		entry.timeout = TRANSIENT_S;
		entry.has_timeout = true;
	}
	if (f)
		f = still_same(e, f, &entry);
	if (f)
		return defer_holds(e, f) ? f : NULL;
	return begin(e, &entry, false, true, true);
}

/*
 * An entry ran out before its time: it is one that we have written anew meanwhile, of which we
 * know no id. Then there is one still.
 */
static bool made_anew(struct engine *e, struct flow *f, const struct kernel_entry *gone)
{
	struct kernel_op op = {.verb = KERNEL_GET, .entry.tuples = gone->tuples};

	if (gone->has_timeout || (int32_t)(f->expires - e->ds) <= LATER)
		return false;
	e->ops.kernel(e->ctx, &op, 1);
	if (op.error || !tuples_equal(&op.entry.tuples, &gone->tuples))
		return false;
	if (!has_reopened(f, &op.entry)) /* or its ports have a new connection: see still_same() */
		f->kernel_id = op.entry.id;
	return true;
}

/*
 * The kernel made room in a full table: the entry went before its time and nobody asked for it. The
 * connection has not ended, and whoever else knows it may carry it on.
 */
static bool evicted(const struct flow *f, const struct kernel_entry *k)
{
	return k->has_timeout && !half_closed(f, HALF_IN) && !f->kept;
}

/* An event that lay in its queue while we stood still: true, and the entry, if there still is one.
 */
static bool still_there(struct engine *e, const struct kernel_entry *entry, struct kernel_op *op)
{
	*op = (struct kernel_op){.verb = KERNEL_GET, .entry.tuples = entry->tuples};
	e->ops.kernel(e->ctx, op, 1);
	return !op->error && tuples_equal(&op->entry.tuples, &entry->tuples);
}

void engine_on_event(struct engine *e, enum kernel_event event, const struct kernel_entry *entry,
		     bool caused_by_packet, uint64_t now)
{
	bool ends = event == KERNEL_DESTROY, old = false;
	struct kernel_op op;
	struct flow *f;

	engine_clock(e, now);
	engine_count(e, C_EVENTS);
	if (!ends && caused_by_packet)
		learn_timeout(e, entry);
	if (!ends && e->now < e->old_until) {
		if (!still_there(e, entry, &op))
			return;
		entry = &op.entry;
		old = local_before_gap(e, entry);
		caused_by_packet = caused_by_packet && !old;
	}
	f = ends ? table_find(&e->table, &entry->tuples) : find(e, &entry->tuples);
	if (f && !ends)
		f = still_same(e, f, entry);
	if (ends) {
		local_note_gone(e, &entry->tuples);
		/* an entry that was made anew meanwhile has another id */
		if (f && f->flags & F_KERNEL &&
		    (!entry->id || !f->kernel_id || entry->id == f->kernel_id) &&
		    !made_anew(e, f, entry)) {
			if (caused_by_packet && evicted(f, entry))
				engine_forget(e, f);
			else if (entry->has_timeout)
				local_gone(e, f);
			else
				local_ran_out(e, f);
		}
	} else if (f) {
		if (!caused_by_packet && entry->status & CT_STATUS_ASSURED)
			f->flags |= F_ASSURED; /* set by another program: no sign of a reply */
		local_update(e, f, entry, caused_by_packet);
	} else {
		(void)begin(e, entry, old || (named_soon(e) && event == KERNEL_UPDATE), !old,
			    false);
	}
}

/*
 * A known flow in a dump. An expiry that moved is traffic without an event: of a peer's
 * flow it says that it passes here. What an entry shows of which nothing was known may be of long
 * ago, when the flow was carried here before the start: who carries it now shows when we look.
 */
static void dumped(struct engine *e, struct flow *f, const struct kernel_entry *k)
{
	bool known = f->flags & F_KERNEL;
	bool pushed = (known ? local_touched(e, f, k) : !e->undecided && local_lately(e, k)) &&
		      !local_before_gap(e, k);

	if (!known && !f->kept) {
		f->flags |= F_PROBE;
		f->checked = e->ds;
	}
	refresh_dumped(e, f, k);
	local_update(e, f, k, pushed && !(f->flags & F_LIVE));
}

void engine_on_dump(struct engine *e, const struct kernel_entry *entry, uint64_t now)
{
	struct flow *f = table_find(&e->table, &entry->tuples);

	e->now = now;
	e->ds = engine_ns_to_ds(e, now);
	if (gone_meanwhile(e, &entry->tuples) && !(f && f->flags & F_KERNEL))
		return; /* nor is it the translation of an entry that there is now */
	if (!f)
		f = find(e, &entry->tuples);
	/* what was written or heard since the dump began is newer than its record */
	if (f && e->dumping && f->flags & F_KERNEL && !!(f->flags & F_MARK) == e->mark)
		return;
	if (f)
		f = still_same(e, f, entry);
	if (f)
		dumped(e, f, entry);
	else
		(void)begin(e, entry, e->undecided, !e->undecided, false);
}

void engine_on_dump_end(struct engine *e, bool complete, uint64_t now)
{
	e->now = now;
	e->ds = engine_ns_to_ds(e, now);
	e->dumping = false;
	e->dump_took = now - e->dumped_at;
	if (!complete) {
		engine_wake(&e->dump_at, now + NS_PER_S);
		return;
	}
	engine_count(e, C_DUMPS);
	e->first_dump_done = true;
	bulk_walk(e, WALK_SWEEP);
}

void engine_on_overrun(struct engine *e, uint64_t now)
{
	uint64_t earliest = e->dumped_at + 3 * NS_PER_S;

	e->now = now;
	e->ds = engine_ns_to_ds(e, now);
	engine_count(e, C_EVENT_OVERRUN);
	engine_note(e, &(struct note){.kind = NOTE_OVERRUN, .link = -1});
	/* not at once: whatever floods us is still at it */
	engine_wake(&e->dump_at, now + NS_PER_S > earliest ? now + NS_PER_S : earliest);
}
