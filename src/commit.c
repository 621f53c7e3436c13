/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Peers' flows into our kernel: batched, errors matched to flows. TCP entries are liberal in both
 * directions, for conntrack cannot be told sequence numbers; they are made without ASSURED, so
 * that the kernel raises one event when the first reply crosses.
 */
#include <errno.h>
#include <string.h>

#include "engine_internal.h"

enum { MOVE_FLOWS = 500 }; /* flows looked at in one call */

static const struct half *any_half(const struct flow *f)
{
	return f->half[HALF_IN].flags & H_PRESENT ? &f->half[HALF_IN] : &f->half[HALF_OUT];
}

uint32_t commit_seconds(const struct engine *e, const struct flow *f)
{
	return timeout_seconds(&e->config.timeouts, any_half(f)->timeout);
}

/* Both halves' word on each side, the further one. */
static void pair_of(const struct flow *f, uint8_t pair[2])
{
	for (int side = 0; side < 2; side++) {
		uint8_t in = f->half[HALF_IN].state[side], out = f->half[HALF_OUT].state[side];

		pair[side] = in > out ? in : out;
	}
}

/*
 * The kernel's tracker of GRE takes the timeout from where only the packet writes it that makes an
 * entry: one that was made by netlink ends with the first packet. So it is made with a timeout
 * that is fixed, and made anew in place of a change, or when packets have passed: as it is made
 * without ASSURED, the first of them shows.
 */
static bool is_renewed(const struct flow *f)
{
	return f->proto == PROTO_GRE;
}

/* ---- what is wanted -------------------------------------------------------------------- */

/*
 * conntrack.tcp = strict keeps the window check where both scales are known: from the kernel, or
 * from the bytes that pf told (0x80: the option was seen, low 4 bits: the shift).
 */
static bool scales(const struct flow *f, uint8_t scale[2])
{
	if (f->flags & F_WSCALE) {
		scale[0] = f->wscale & 15;
		scale[1] = f->wscale >> 4;
		return true;
	}
	for (int h = HALF_IN; h <= HALF_OUT; h++) {
		const struct pf_peer *p = f->extra ? f->extra->num[h] : NULL;

		if (!p || !(f->half[h].flags & H_NUMBERS) || !(p[0].wscale & p[1].wscale & 0x80))
			continue;
		scale[0] = p[0].wscale & 15;
		scale[1] = p[1].wscale & 15;
		return true;
	}
	return false;
}

static void entry_of(const struct engine *e, const struct flow *f, struct kernel_entry *k)
{
	const struct half *half = any_half(f);
	uint8_t pair[2];

	memset(k, 0, sizeof(*k));
	flow_tuples(f, &k->tuples);
	pair_of(f, pair);
	k->status = ctstatus_from_pf(f->proto, pair[1], half->timeout);
	if (e->tight && k->status & CT_STATUS_SEEN_REPLY)
		k->status |=
			CT_STATUS_ASSURED; /* else it is the first to go when the table is full */
	k->timeout = commit_seconds(e, f);
	k->has_timeout = true;
	if (is_renewed(f))
		k->status |= CT_STATUS_FIXED_TIMEOUT;
	if (f->proto == PROTO_SCTP && f->extra) {
		k->sctp_state = ctstate_sctp_from_pf(pair[0], pair[1]);
		memcpy(k->vtag, f->extra->vtag, sizeof(k->vtag));
	}
	if (f->proto != PROTO_TCP)
		return;
	k->tcp_state = ctstate_from_pf(pair[0], pair[1]);
	k->has_tcp_flags = true;
	if (f->extra)
		memcpy(k->seqadj, f->extra->adjust, sizeof(k->seqadj));
	if (scales(f, k->wscale))
		k->tcp_flags[0] = k->tcp_flags[1] = CT_TCP_FLAG_WINDOW_SCALE;
	if (!e->config.tcp_strict || !k->tcp_flags[0]) {
		k->tcp_flags[0] |= CT_TCP_FLAG_LIBERAL;
		k->tcp_flags[1] |= CT_TCP_FLAG_LIBERAL;
	}
}

/*
 * Whether the entry in the kernel lags behind. Its timeout is written only when a quarter of it has
 * gone, not at each word of a peer.
 */
static bool change_needed(const struct engine *e, const struct flow *f,
			  const struct kernel_entry *k)
{
	int32_t behind = (int32_t)(e->ds + 10 * k->timeout - f->expires);

	if (is_renewed(f) && f->flags & F_ASSURED)
		return true;
	if (f->proto == PROTO_TCP &&
	    (k->tcp_state != f->tcp_state ||
	     (k->tcp_flags[0] & CT_TCP_FLAG_LIBERAL && !(f->flags & F_LIBERAL))))
		return true;
	if (k->status & CT_STATUS_SEEN_REPLY && !(f->flags & F_REPLIED))
		return true;
	return behind > (int32_t)(10 * k->timeout / 4);
}

/* Bits are only ever added; what is there already must be named again, or is left alone (0). */
static uint32_t added_status(const struct flow *f, const struct kernel_entry *k)
{
	if (!(k->status & CT_STATUS_SEEN_REPLY) || f->flags & F_REPLIED)
		return 0;
	return k->status | (f->flags & F_ASSURED ? (uint32_t)CT_STATUS_ASSURED : 0);
}

/* ---- doing it -------------------------------------------------------------------------- */

/* The kernel has the entry as k says. */
static void in_kernel(struct engine *e, struct flow *f, const struct kernel_entry *k)
{
	f->flags = (uint16_t)((f->flags & ~(F_MARK | F_LIBERAL | F_HELD)) | F_KERNEL);
	if (e->mark)
		f->flags |= F_MARK;
	if (k->tcp_flags[0] & CT_TCP_FLAG_LIBERAL)
		f->flags |= F_LIBERAL;
	if (k->status & CT_STATUS_SEEN_REPLY)
		f->flags |= F_REPLIED;
	if (k->status & CT_STATUS_ASSURED)
		f->flags |= F_ASSURED;
	f->tcp_state = f->proto == PROTO_SCTP ? k->sctp_state : k->tcp_state;
	f->expires = e->ds + 10 * k->timeout;
	refresh_arm(e, f);
}

static void failed(struct engine *e, struct flow *f, int error)
{
	enum reason r = R_KERNEL_ERROR;
	struct tuples t;

	if (error == ENOMEM)
		r = R_KERNEL_FULL;
	else if (error == EEXIST)
		r = R_KERNEL_CLASH;
	e->counters.refused[r]++;
	flow_tuples(f, &t);
	engine_note(e, &(struct note){.kind = NOTE_REFUSED,
				      .reason = r,
				      .action = ACT_UNKNOWN,
				      .link = -1,
				      .tuples = &t});
	f->half[HALF_IN].flags &= (uint8_t)~H_ACK;
	f->half[HALF_OUT].flags &= (uint8_t)~H_ACK;
	if (f->flags &
	    F_KERNEL) /* its expiry is not known: not a sign of traffic until it is read */
		f->expires = e->ds + (1u << 27);
	f->checked = e->ds;
	refresh_arm(e, f); /* tried again later */
}

static void run_one(struct engine *e, struct kernel_op *op)
{
	op->error = 0;
	e->ops.kernel(e->ctx, op, 1);
}

static bool adjusts_alike(const struct kernel_entry *has, const struct kernel_entry *want)
{
	return !has->seqadj_moves && has->seqadj[0] == want->seqadj[0] &&
	       has->seqadj[1] == want->seqadj[1];
}

/* What a change cannot write is as it should be. */
static bool fits(const struct kernel_entry *has, const struct kernel_entry *want)
{
	if (want->status & CT_STATUS_FIXED_TIMEOUT)
		return false;
	if (want->tuples.proto == PROTO_SCTP)
		return has->vtag[0] == want->vtag[0] && has->vtag[1] == want->vtag[1];
	return !carry_adjusts(want->seqadj) || adjusts_alike(has, want);
}

/*
 * The entry that was just made rewrites sequence numbers as it should: without that it breaks the
 * connection, so the kernel is asked, and an entry that does not goes away again.
 */
static bool holds(struct engine *e, struct flow *f, const struct kernel_entry *want)
{
	struct kernel_op op = {.verb = KERNEL_GET, .entry.tuples = want->tuples};

	if (!carry_adjusts(want->seqadj))
		return true;
	run_one(e, &op);
	if (!op.error && adjusts_alike(&op.entry, want))
		return true;
	op = (struct kernel_op){.verb = KERNEL_DELETE, .entry.tuples = want->tuples};
	run_one(e, &op);
	carry_bar(e, f);
	return false;
}

/*
 * Two creators say that they have given the same tuple to a connection: the first one stays. One
 * that gives it anew has ended what had it before.
 */
static bool of_another_creator(const struct flow *f, const struct flow *other)
{
	const struct half *out = &f->half[HALF_OUT], *had = &other->half[HALF_OUT];

	return out->flags & had->flags & H_PRESENT && out->creatorid != had->creatorid;
}

/*
 * The entry that is there takes the same packets as of a flow without translation: so it looks to
 * whoever knows one half only. Of one tuple there is one connection, and this is not it.
 */
static bool is_guess_of(const struct tuples *guess, const struct tuples *t)
{
	const struct endpoint *g = guess->end, *e = t->end;

	if (!endpoint_equal(&g[ORIG_SRC], &e[ORIG_SRC]) ||
	    !endpoint_equal(&g[REPLY_SRC], &e[REPLY_SRC]) || tuples_have_snat(guess) ||
	    tuples_have_dnat(guess))
		return false;
	return endpoint_equal(&g[ORIG_DST], &e[ORIG_DST]) ||
	       endpoint_equal(&g[REPLY_DST], &e[REPLY_DST]);
}

static void note_committed(struct engine *e, const struct flow *f, const char *verb)
{
	struct tuples t;

	if (!e->ops.note)
		return;
	flow_tuples(f, &t);
	engine_note(e, &(struct note){
			       .kind = NOTE_COMMITTED, .link = -1, .tuples = &t, .detail = verb});
}

/* What became of a create or a change for which nothing stood in the way. */
static void settle_made(struct engine *e, struct flow *f, const struct kernel_op *op)
{
	const struct kernel_entry *want = &op->entry;
	bool create = op->verb == KERNEL_CREATE;

	if (op->error) {
		f->flags &= (uint16_t)(create ? ~F_KERNEL : 0xffff);
		failed(e, f, op->error);
		if (create && carry_adjusts(want->seqadj) && op->error != ENOMEM &&
		    op->error != EEXIST)
			carry_bar(e, f);
		return;
	}
	if (create && !holds(e, f, want))
		return;
	engine_count(e, create ? C_COMMIT_CREATED : C_COMMIT_UPDATED);
	if (create)
		f->kernel_id = 0; /* another entry, whose id is not known yet */
	note_committed(e, f, create ? "created" : "changed");
	if (create && !e->nat_chain &&
	    (tuples_have_snat(&want->tuples) || tuples_have_dnat(&want->tuples)))
		engine_refuse(e, R_NO_NAT_CHAIN, NULL, NULL); /* installed, but not rewritten */
	in_kernel(e, f, want);
}

/*
 * The kernel has an entry of the same tuple that we did not know: one that never raised an event,
 * or one of another translation. Also when only the reply tuple belongs to another flow.
 */
static void settle_existing(struct engine *e, struct flow *f, struct kernel_entry want)
{
	struct kernel_op op = {.verb = KERNEL_GET, .entry.tuples = want.tuples};
	uint32_t status;
	bool same;

	run_one(e, &op);
	if (op.error == ENOENT) { /* so it is the reply tuple that is taken */
		op.entry.tuples = want.tuples;
		op.entry.tuples.end[ORIG_SRC] = want.tuples.end[REPLY_SRC];
		op.entry.tuples.end[ORIG_DST] = want.tuples.end[REPLY_DST];
		run_one(e, &op);
	}
	if (op.error) {
		failed(e, f, op.error == ENOENT ? EEXIST : op.error);
		return;
	}
	if (local_adopt(e, f, &op.entry.tuples))
		want.tuples = op.entry.tuples;
	same = tuples_equal(&op.entry.tuples, &want.tuples);
	if (same && !fits(&op.entry, &want)) {
		op = (struct kernel_op){.verb = KERNEL_DELETE, .entry.tuples = want.tuples};
		run_one(e, &op);
		local_note_gone(e, &want.tuples);
		engine_count(e, C_COMMIT_REPLACED);
		op = (struct kernel_op){.verb = KERNEL_CREATE, .entry = want};
		run_one(e, &op);
		settle_made(e, f, &op);
		return;
	}
	if (same && half_closed(f, HALF_IN) && op.entry.tcp_state != CT_TCP_NONE &&
	    op.entry.tcp_state <= CT_TCP_SYN_RECV) {
		failed(e, f, EEXIST); /* its ports have a new connection already */
		return;
	}
	if (!same) {
		struct flow *other = table_find(&e->table, &op.entry.tuples);
		bool guess = is_guess_of(&op.entry.tuples, &want.tuples);

		/* not ours to judge, or not yet read */
		if (!other || other->flags & F_LIVE ||
		    is_guess_of(&want.tuples, &op.entry.tuples) ||
		    (!guess &&
		     (of_another_creator(f, other) || (int32_t)(f->heard - other->heard) < 0)) ||
		    refresh_lives(e, other)) {
			failed(e, f, EEXIST);
			return;
		}
		op = (struct kernel_op){.verb = KERNEL_DELETE, .entry.tuples = op.entry.tuples};
		run_one(e, &op);
		local_note_gone(e, &op.entry.tuples);
		not_in_kernel(other);
		refresh_arm(e, other);
		engine_count(e, C_COMMIT_REPLACED);
	}
	/* its own packets have made it, and it was not far enough yet to be told */
	if (same && !e->undecided && local_lately(e, &op.entry)) {
		local_update(e, f, &op.entry, true);
		return;
	}
	status = op.entry.status & (CT_STATUS_SEEN_REPLY | CT_STATUS_ASSURED);
	if (same && op.entry.has_timeout && op.entry.timeout > want.timeout)
		want.timeout = op.entry.timeout; /* it may be alive: not cut short */
	op = (struct kernel_op){.verb = same ? KERNEL_CHANGE : KERNEL_CREATE, .entry = want};
	if (same)
		op.entry.status |= status;
	run_one(e, &op);
	if (op.error) {
		failed(e, f, op.error);
		return;
	}
	if (!same && !holds(e, f, &want))
		return;
	engine_count(e, same ? C_COMMIT_UPDATED : C_COMMIT_CREATED);
	if (!same)
		f->kernel_id = 0; /* of what we have made we know no id yet */
	if (same) {		  /* it may be alive: that shows when we look */
		f->flags |= F_PROBE;
		f->checked = e->ds;
	}
	in_kernel(e, f, &op.entry); /* with the bits that it had */
}

static void settle(struct engine *e, struct flow *f, struct kernel_op *op)
{
	struct kernel_entry want = op->entry;

	if (op->verb == KERNEL_CREATE && op->error == EEXIST) {
		settle_existing(e, f, want);
		return;
	}
	if (op->verb == KERNEL_CHANGE && op->error == ENOENT) { /* gone without an event */
		struct kernel_op again = {.verb = KERNEL_CREATE};

		entry_of(e, f, &want); /* a change names less than all */
		again.entry = want;
		run_one(e, &again);
		op->error = again.error;
		op->verb = KERNEL_CREATE;
	}
	op->entry = want;
	settle_made(e, f, op);
}

/* INS_ACK for what was asked for and is in the kernel now, or waits for the command. */
static void acknowledge(struct engine *e, struct flow *f)
{
	for (int h = HALF_IN; h <= HALF_OUT; h++) {
		struct half *half = &f->half[h];

		if (half->flags & H_ACK && half->flags & H_PRESENT &&
		    f->flags & (F_KERNEL | F_HELD))
			sendq_ack(e, &e->link[f->from ? relay_link(f->from) : 0], half);
		half->flags &= (uint8_t)~H_ACK;
	}
}

/* What comes of an operation may queue others while these are still looked at. */
static void run_ops(struct engine *e)
{
	struct kernel_op op[ENGINE_BATCH];
	size_t n = e->ops_n;

	if (!n)
		return;
	memcpy(op, e->op, n * sizeof(op[0]));
	e->ops_n = 0;
	e->ops.kernel(e->ctx, op, n);
	for (size_t i = 0; i < n; i++) {
		struct flow *f = op[i].flow;

		if (op[i].verb == KERNEL_DELETE) {
			if (!op[i].error)
				engine_count(e, C_COMMIT_DELETED);
			else if (op[i].error != ENOENT)
				e->counters.refused[R_KERNEL_ERROR]++;
			continue;
		}
		settle(e, f, &op[i]);
		acknowledge(e, f);
	}
}

static struct kernel_op *next_op(struct engine *e)
{
	if (e->ops_n == ENGINE_BATCH)
		run_ops(e);
	e->op[e->ops_n] = (struct kernel_op){0};
	return &e->op[e->ops_n++];
}

/*
 * Writes what waits. Deletions were queued as operations already and so come first. May be called
 * again from within, by what comes of an operation; it goes on then with what still waits.
 */
void commit_run(struct engine *e)
{
	while (e->commits_begun < e->commits) {
		struct flow *f = e->commit[e->commits_begun++];
		struct kernel_entry k;
		struct kernel_op *op;

		f->flags &= (uint16_t)~F_COMMIT;
		entry_of(e, f, &k);
		if (f->flags & F_KERNEL && !change_needed(e, f, &k)) {
			acknowledge(e, f);
			continue;
		}
		if (!(f->flags & F_KERNEL) && (int32_t)(f->expires - e->ds) > 0 &&
		    f->expires - e->ds <
			    10 * k.timeout) /* as the peer said: less than a whole one */
			k.timeout = (f->expires - e->ds + 9) / 10;
		if (is_renewed(f))
			commit_delete(e, f);
		op = next_op(e);
		op->verb = f->flags & F_KERNEL ? KERNEL_CHANGE : KERNEL_CREATE;
		op->entry = k;
		if (op->verb == KERNEL_CHANGE && refresh_own_timeout(e, f, f->expires))
			op->entry.timeout = (f->expires - e->ds + 9) / 10; /* not cut short */
		if (op->verb == KERNEL_CHANGE)
			op->entry.status = added_status(f, &k);
		op->flow = f;
	}
	e->commits = e->commits_begun = 0;
	run_ops(e);
}

static void put(struct engine *e, struct flow *f)
{
	if (e->commits == ENGINE_BATCH)
		commit_run(e);
	f->flags |= F_COMMIT;
	e->commit[e->commits++] = f;
}

/* The flow shall be in the kernel as its halves say. Flows that live here are the kernel's own. */
void commit_want(struct engine *e, struct flow *f)
{
	if (f->kept || f->flags & (F_COMMIT | F_DEAD))
		return;
	if (f->flags & F_LIVE && f->flags & F_KERNEL) {
		acknowledge(e, f);
		return;
	}
	if (!(f->flags & F_KERNEL) && (f->flags & F_HELD || (e->config.takeover && !e->direct))) {
		f->flags |= F_HELD;
		acknowledge(e, f);
		refresh_arm(e, f);
		return;
	}
	put(e, f);
}

/* Packets have passed an entry of ours that they do not prolong: made anew. */
void commit_renew(struct engine *e, struct flow *f)
{
	if (f->flags & F_COMMIT)
		return;
	commit_delete(e, f);
	f->expires = e->ds; /* with its whole time */
	put(e, f);
}

/* Removes the kernel entry of a flow, under the tuples it has now. */
void commit_delete(struct engine *e, struct flow *f)
{
	struct kernel_op *op;

	if (!(f->flags & F_KERNEL))
		return;
	op = next_op(e);
	op->verb = KERNEL_DELETE;
	flow_tuples(f, &op->entry.tuples);
	local_note_gone(e, &op->entry.tuples);
	not_in_kernel(f);
}

/* What flush takes out of the kernel: what lives here is no longer only imported. */
bool commit_withdraws(const struct flow *f)
{
	return (f->flags & (F_REMOTE | F_KERNEL | F_LIVE)) == (F_REMOTE | F_KERNEL) && !f->kept;
}

/* A walk of its own: what is to be told does not hold it up. */
void commit_move(struct engine *e, enum move move)
{
	e->move = move;
	e->move_cursor = 0;
}

/* A portion of it. */
void commit_move_run(struct engine *e)
{
	for (int i = 0; e->move != MOVE_NONE && i < MOVE_FLOWS; i++) {
		struct flow *f = table_walk(&e->table, &e->move_cursor);

		if (!f) {
			e->move = MOVE_NONE;
		} else if (e->move == MOVE_IN && f->flags & F_HELD) {
			f->flags &= (uint16_t)~F_HELD;
			commit_want(e, f);
		} else if (e->move == MOVE_OUT && commit_withdraws(f)) {
			commit_drop(e, f);
			commit_delete(e, f);
			commit_want(e, f);
		}
	}
}

/* The flow is about to be released, or withdrawn: it is not written any more. */
void commit_drop(struct engine *e, struct flow *f)
{
	if (!(f->flags & F_COMMIT))
		return;
	f->flags &= (uint16_t)~F_COMMIT;
	for (size_t i = e->commits_begun; i < e->commits; i++)
		if (e->commit[i] == f) {
			e->commit[i] = e->commit[--e->commits];
			return;
		}
}
