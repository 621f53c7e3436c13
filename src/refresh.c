/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Live flows kept alive at the peers. pf expires imported states by its own clock and conntrack
 * has no event for a packet, so when half of the peers' timeout has gone the kernel entry is read:
 * if its own timeout was set anew, traffic passed, and UPD_C goes out. Work grows with the flows
 * that are due. Idle flows are not told again: they expire on both sides alike.
 */
#include <errno.h>

#include "engine_internal.h"

enum {
	SOON = 35,  /* ds until a flow is looked at whose carrier is not known; what is less than
		     * the slack of local_touched() after the last look is not seen */
	QUIET = 40, /* ds after a peer's word, which may have been an old one */
	LONG_AGO = 200, /* ds */
	AGAIN = 12,	/* ds until a take-over is told once more */
	RETRY = 50,	/* ds until a flow that could not be installed is tried again */
	STEP_MIN = 100, /* ds between two looks at a young flow */
	STEP_MAX = 6000,
	IDLE_TIMES = 3,	   /* as long as it is old: until the next look at a flow without traffic */
	DUE_MAX = 2048,	   /* timers served in one call, and entries read: a millisecond or so, */
	LOOKS_MAX = 256,   /* in which nothing is told */
	WAIT = 50,	   /* ds that a look waits, again and again, while states are told to all */
	UNKNOWN = 1 << 26, /* an expiry further off is none: see failed() of commit.c */
	LEFT = 50,	   /* ds from a last packet here to a word that it passes elsewhere */
	SLACK = 20,	   /* ds; the kernel tells whole seconds */
};

/* The kernel's trackers of these make an entry ASSURED when both sides have spoken. */
static bool gets_assured(uint8_t proto)
{
	return proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_GRE;
}

/*
 * A peer carries the flow, and no event will tell when its traffic passes here again, or still, for
 * our entry is ASSURED or of a kind that never is.
 */
static bool returns_unseen(const struct flow *f)
{
	return !(f->flags & F_LIVE) && (f->flags & F_ASSURED || !gets_assured(f->proto));
}

static uint32_t timeout_ds(const struct engine *e, const struct flow *f)
{
	return 10 * commit_seconds(e, f);
}

/* As long as the flow is old, within bounds. */
static uint32_t step_at(uint32_t age)
{
	if (age < STEP_MIN)
		return STEP_MIN;
	return age < STEP_MAX ? age : STEP_MAX;
}

/*
 * When the flow is to be looked at next: after half of the peers' timeout, but sooner while it is
 * young. So an INS that was lost is made up for within seconds where pf would repeat itself each
 * second, and traffic that returns to an entry without an event is noticed within minutes.
 */
static uint32_t due_at(const struct engine *e, const struct flow *f)
{
	uint32_t whole = timeout_ds(e, f), step, due, pause, next;
	/* what lives here is looked at in time, whoever else claims it */
	bool theirs = !(f->flags & F_LIVE) && (int32_t)(f->heard - f->told) > 0;
	uint32_t base = theirs ? f->heard : f->told;

	if (f->flags & F_PROBE)
		return f->checked + SOON;
	if (f->again && f->flags & F_KERNEL) /* not all flows at once */
		return f->told + AGAIN + (uint32_t)(f->half[HALF_IN].id >> 1 & 7);
	if (!(f->flags & F_KERNEL)) { /* not installed: it ends when its timeout is over */
		pause = f->checked - f->heard;
		return f->kept || f->flags & F_HELD ? f->heard + whole
						    : f->checked + (pause < RETRY ? RETRY : pause);
	}
	/* by what does not move: a time that is counted from now never comes */
	step = step_at(base - f->created);
	if (returns_unseen(f)) /* soon after the last word, then ever later */
		step = (int32_t)(f->checked - base) < QUIET ? QUIET : f->checked - base;
	else if (!(f->flags & F_LIVE)) /* an event tells of the first reply that crosses here */
		step = STEP_MAX;
	due = base + (step < whole / 2 ? step : whole / 2);
	/* of what merely passes elsewhere a dump may have shown the entry since: as good as a look
	 */
	if ((int32_t)(f->checked - due) < 0 && (f->flags & F_LIVE || returns_unseen(f)))
		return due;
	if (f->flags & F_LIVE) /* looked at, and idle */
		step = step_at(IDLE_TIMES * (f->checked - f->created));
	pause = step < whole / 8 ? step : whole / 8;
	next = f->checked + (pause < 10 ? 10 : pause);
	return (int32_t)(next - due) > 0 ? next : due;
}

void refresh_arm(struct engine *e, struct flow *f)
{
	wheel_set(&e->wheel, &f->timer, due_at(e, f));
}

static bool tuples_same(const struct flow *f, const struct tuples *t)
{
	struct tuples mine;

	flow_tuples(f, &mine);
	return tuples_equal(&mine, t);
}

/*
 * What refreshes a state: UPD_C. But of a state that it lacks a FreeBSD up to 14 keeps its request
 * back until something else pushes it, an idle one for ever (observed on 12.1). A full update it
 * takes as it is, known or not, and at this pace the size does not matter.
 */
bool refresh_by_upd(const struct engine *e)
{
	for (size_t i = 0; i < e->links; i++)
		if (refresh_link_by_upd(&e->link[i]))
			return true;
	return false;
}

bool refresh_link_by_upd(const struct link *l)
{
	return l->dialects & (1u << DIALECT_FREEBSD_13 | 1u << DIALECT_FREEBSD_14);
}

/* Peers took its names back before it was known whether it lives: see delete_half(). */
static bool deleted(const struct flow *f)
{
	return !((f->half[HALF_IN].flags | f->half[HALF_OUT].flags) & H_PRESENT) &&
	       !(f->flags & (F_LIVE | F_UNDECIDED));
}

/* A peer has spoken since the last packet here; where its time cannot be told, since we looked. */
static bool spoken_since(const struct engine *e, const struct flow *f, const struct kernel_entry *k)
{
	uint32_t age = local_age(e, k);

	if (age)
		return (int32_t)(f->heard - (e->ds - age)) > SLACK;
	return (int32_t)(f->heard - f->checked) > SLACK && !local_touched(e, f, k);
}

/*
 * Packets have passed since we looked, but a peer has said long after the last one that it carries
 * the flow: two that each take what was before for traffic would claim it in turns.
 */
static bool left_since(const struct engine *e, const struct flow *f, const struct kernel_entry *k)
{
	uint32_t age = local_age(e, k);

	return f->flags & F_LIVE && age && (int32_t)(f->heard - (e->ds - age)) > LEFT;
}

/* What a probe found: traffic shows as another expiry than the one known. */
static void probed(struct engine *e, struct flow *f, const struct kernel_op *op)
{
	const struct kernel_entry *k = &op->entry;
	uint32_t age = local_age(e, k);
	bool traffic, again, fixed = !op->error && k->status & CT_STATUS_FIXED_TIMEOUT;

	f->checked = e->ds;
	f->flags &= (uint16_t)~F_PROBE;
	if (op->error == ENOENT || (!op->error && !tuples_same(f, &k->tuples))) {
		local_ran_out(e, f);
		return;
	}
	if (op->error) {
		refresh_arm(e, f);
		return;
	}
	fixed = fixed && k->status & CT_STATUS_ASSURED;
	traffic = local_touched(e, f, k) || fixed;
	if (!(f->flags & F_LIVE) && spoken_since(e, f, k))
		traffic = false;
	if (local_before_gap(e, k) || (traffic && left_since(e, f, k))) {
		traffic = false; /* it is ours again when a packet passes */
		f->flags &= (uint16_t)~F_LIVE;
	}
	/* nothing acknowledges a take-over: unless somebody has spoken since, it is told twice */
	again = f->again && f->flags & F_LIVE && (int32_t)(f->told - f->heard) > 0;
	f->again = 0;
	if (f->flags & F_LIVE && (traffic || again)) {
		local_update(e, f, k, true);
		engine_count(e, C_REFRESHED);
		/* UPD_C says that we carry it, which after a while may not be so any more; a
		 * take-over was told by UPD where none but pf hears it */
		sendq_pend_told(e, f,
				(refresh_by_upd(e) && !(again && local_only_pf(e))) ||
						age > LONG_AGO
					? PEND_UPD
					: PEND_UPD_C);
	} else if (!traffic && deleted(f)) {
		commit_delete(e, f);
		engine_forget(e, f);
		return;
	} else {
		local_update(e, f, k, traffic);
	}
	if (fixed)
		commit_renew(e, f);
	refresh_arm(e, f);
}

/*
 * A dump shows the entry before it is taken over: it is as good as a look that finds no traffic,
 * and one that would find some comes at once unless the flow was told lately.
 */
void refresh_dumped(struct engine *e, struct flow *f, const struct kernel_entry *k)
{
	bool fixed = k->status & CT_STATUS_FIXED_TIMEOUT;

	if (!(f->flags & F_KERNEL) || f->flags & (F_PROBE | F_UNDECIDED) || f->kept || f->again ||
	    fixed || !k->has_timeout || deleted(f))
		return;
	if (!local_touched(e, f, k))
		f->checked = e->ds;
	else if (f->flags & F_LIVE)
		f->checked = e->ds - STEP_MAX;
}

static void probe(struct engine *e, struct flow **flow, size_t n)
{
	struct kernel_op op[ENGINE_BATCH];

	if (!n)
		return;
	for (size_t i = 0; i < n; i++) {
		op[i] = (struct kernel_op){.verb = KERNEL_GET, .flow = flow[i]};
		flow_tuples(flow[i], &op[i].entry.tuples);
	}
	e->ops.kernel(e->ctx, op, n);
	e->counters.done[C_PROBES] += n;
	for (size_t i = 0; i < n; i++)
		probed(e, flow[i], &op[i]);
}

/*
 * What we write at most to an entry like that of the flow. Ours are not ASSURED, and what was found
 * looks as if one side had not spoken again.
 */
static uint32_t written_ds(const struct engine *e, const struct flow *f)
{
	uint8_t index = pf_timeout_of(f->proto, PF_OTHER_MULTIPLE, PF_OTHER_MULTIPLE,
				      f->half[HALF_IN].timeout);
	uint32_t most = f->proto == PROTO_TCP || f->proto == PROTO_SCTP
				? 0
				: 10 * timeout_seconds(&e->config.timeouts, index);

	return most > timeout_ds(e, f) ? most : timeout_ds(e, f);
}

/* An entry that lasts until then has its time from the kernel: more than we ever write. */
bool refresh_own_timeout(const struct engine *e, const struct flow *f, uint32_t expires)
{
	int32_t left = (int32_t)(expires - e->ds);

	return f->flags & F_KERNEL && left > (int32_t)written_ds(e, f) + SLACK && left < UNKNOWN;
}

/*
 * Reads one entry now: has traffic passed that nothing was heard of yet? Then the flow is ours. So
 * it is if packets gave the entry its time before we started, and no peer has spoken of it since.
 */
bool refresh_lives(struct engine *e, struct flow *f)
{
	struct kernel_op op = {.verb = KERNEL_GET};

	if (f->flags & F_COMMIT)
		commit_run(e);
	if (f->kept || !(f->flags & F_KERNEL))
		return false;
	flow_tuples(f, &op.entry.tuples);
	e->ops.kernel(e->ctx, &op, 1);
	engine_count(e, C_PROBES);
	if (op.error || !tuples_same(f, &op.entry.tuples) || local_before_gap(e, &op.entry) ||
	    !(local_touched(e, f, &op.entry) ||
	      (!(f->flags & F_LIVE) && refresh_own_timeout(e, f, e->ds + 10 * op.entry.timeout))))
		return false;
	local_update(e, f, &op.entry, !(f->flags & F_LIVE));
	return f->flags & F_LIVE;
}

/*
 * A peer seems to carry a flow that lives here. If packets have passed since the last look it is
 * ours, which is said again; who really carries it repeats itself. Not if they were the last for
 * long: two that look as seldom as that would both believe themselves.
 */
bool refresh_claims(struct engine *e, struct flow *f)
{
	struct kernel_op op = {.verb = KERNEL_GET};

	if (f->kept || !(f->flags & F_KERNEL))
		return false;
	flow_tuples(f, &op.entry.tuples);
	e->ops.kernel(e->ctx, &op, 1);
	engine_count(e, C_PROBES);
	if (op.error || !tuples_same(f, &op.entry.tuples) || !local_touched(e, f, &op.entry) ||
	    local_age(e, &op.entry) > LONG_AGO)
		return false;
	local_update(e, f, &op.entry, true);
	sendq_pend_told(e, f, PEND_UPD_C);
	f->told = e->ds; /* in a moment: the word about the other half comes before that */
	return true;
}

/*
 * A live flow that was not looked at since we stood still: false if its last packet is of before.
 * It is ours again when one passes.
 */
bool refresh_after_gap(struct engine *e, struct flow *f)
{
	struct kernel_op op = {.verb = KERNEL_GET};

	if (!e->gap_ds || (int32_t)(e->gap_ds - f->checked) <= 0)
		return true;
	f->checked = e->ds;
	flow_tuples(f, &op.entry.tuples);
	e->ops.kernel(e->ctx, &op, 1);
	engine_count(e, C_PROBES);
	if (op.error || !tuples_same(f, &op.entry.tuples)) /* an event will tell */
		return false;
	if (local_before_gap(e, &op.entry))
		f->flags &= (uint16_t)~F_LIVE;
	refresh_arm(e, f);
	return f->flags & F_LIVE;
}

/* Its last packet here was long ago. */
bool refresh_rests(struct engine *e, const struct flow *f)
{
	struct kernel_op op = {.verb = KERNEL_GET};

	flow_tuples(f, &op.entry.tuples);
	e->ops.kernel(e->ctx, &op, 1);
	engine_count(e, C_PROBES);
	return !op.error && tuples_same(f, &op.entry.tuples) && local_age(e, &op.entry) > LONG_AGO;
}

/* Nobody has spoken of the flow since its last packet here. */
bool refresh_last_word(struct engine *e, struct flow *f)
{
	struct kernel_op op = {.verb = KERNEL_GET};

	flow_tuples(f, &op.entry.tuples);
	e->ops.kernel(e->ctx, &op, 1);
	engine_count(e, C_PROBES);
	return !op.error && tuples_same(f, &op.entry.tuples) && !spoken_since(e, f, &op.entry);
}

/* Without a kernel entry: expired, or to be tried again. */
static void not_installed(struct engine *e, struct flow *f)
{
	if ((int32_t)(e->ds - f->heard) >= (int32_t)timeout_ds(e, f)) {
		engine_forget(e, f);
		return;
	}
	f->checked = e->ds;
	commit_want(e, f);
	refresh_arm(e, f);
}

/*
 * While somebody who asked is told all states, that makes up for what was lost of them, and looks
 * would hold it up. Those that keep the flow alive at the peers do not wait.
 */
static bool can_wait(const struct engine *e, const struct flow *f)
{
	return f->flags & F_LIVE && !(f->flags & F_PROBE) && !f->again &&
	       (int32_t)(f->told + timeout_ds(e, f) / 2 - e->ds) > WAIT;
}

void refresh_run(struct engine *e)
{
	struct flow *flow[ENGINE_BATCH];
	bool answers = bulk_answers(e);
	struct list *n;
	size_t count = 0, looks = 0;

	wheel_turn(&e->wheel, e->ds);
	for (int i = 0; i < DUE_MAX && looks < LOOKS_MAX && (n = wheel_take(&e->wheel)); i++) {
		struct flow *f = container_of(n, struct flow, timer);

		if ((int32_t)(due_at(e, f) - e->ds) > 0) {
			refresh_arm(e, f);
		} else if (!(f->flags & F_KERNEL)) {
			not_installed(e, f);
		} else if (answers && can_wait(e, f)) {
			wheel_set(&e->wheel, &f->timer, e->ds + WAIT);
		} else {
			f->checked = e->ds; /* not due again within this batch */
			flow[count++] = f;
			looks++;
			if (count == ENGINE_BATCH) {
				probe(e, flow, count);
				count = 0;
			}
		}
	}
	probe(e, flow, count);
	commit_run(e);
}
