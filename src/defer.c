/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * First packets of new flows, held back until a peer has the state: what comes back through that
 * peer finds it there. As pf does it: the flow is told at once, and asks in its out state to be
 * acknowledged; at most HELD_MAX packets are held, each for HOLD_NS at most.
 */
#include <errno.h>
#include <string.h>

#include "engine_internal.h"

#define HOLD_NS (20 * NS_PER_MS)

enum {
	IN_VAIN = 8, /* packets in a row that nobody acknowledged: then nobody does it */
};

/* ---- letting go ------------------------------------------------------------------------ */

static void let_go(struct engine *e, size_t i, enum counter why)
{
	struct defer *d = &e->defer;
	uint32_t token = d->held[i].token;

	d->count--;
	memmove(&d->held[i], &d->held[i + 1], (d->count - i) * sizeof(d->held[0]));
	engine_count(e, why);
	e->ops.release(e->ctx, token);
}

/* All packets of a flow, in the order in which they came. */
static void let_go_flow(struct engine *e, const struct flow *f, enum counter why)
{
	size_t i = 0;

	while (i < e->defer.count)
		if (e->defer.held[i].flow == f)
			let_go(e, i, why);
		else
			i++;
}

bool defer_holds(const struct engine *e, const struct flow *f)
{
	for (size_t i = 0; i < e->defer.count; i++)
		if (e->defer.held[i].flow == f)
			return true;
	return false;
}

void defer_end(struct engine *e, const struct flow *f)
{
	let_go_flow(e, f, C_DEFER_ENDED);
}

void defer_finish(struct engine *e)
{
	while (e->defer.count)
		let_go(e, 0, C_DEFER_ENDED);
}

/* ---- telling --------------------------------------------------------------------------- */

bool defer_asks(const struct engine *e, const struct link *l, const struct flow *f, int half)
{
	if (half != HALF_OUT || !l->config.defer)
		return false;
	for (size_t i = 0; i < e->defer.count; i++)
		if (e->defer.held[i].flow == f && !e->defer.held[i].asked)
			return true;
	return false;
}

void defer_asked(struct engine *e, const struct flow *f)
{
	for (size_t i = 0; i < e->defer.count; i++)
		if (e->defer.held[i].flow == f)
			e->defer.held[i].asked = true;
}

/*
 * The answer to a SYN may pass at a peer, unseen here. conntrack takes the acknowledgement of an
 * answer that it has not seen for invalid, or for new, and checks what follows against windows
 * that it does not know: so the entry is made one that has seen it, and liberal. At once, for the
 * acknowledgement comes as soon as the far end has answered. If that was so fast that it is here
 * already, the entry is as it should be; and its timeout is never touched, for the connection may
 * go on between the look and the change, and then rest.
 */
static void expect_reply_elsewhere(struct engine *e, struct flow *f)
{
	struct kernel_op op = {.verb = KERNEL_GET};
	struct kernel_entry *k = &op.entry;

	if (f->proto != PROTO_TCP || f->tcp_state != CT_TCP_SYN_SENT || f->flags & F_LIBERAL)
		return;
	flow_tuples(f, &k->tuples);
	e->ops.kernel(e->ctx, &op, 1);
	if (op.error || k->tcp_state != CT_TCP_SYN_SENT)
		return; /* or another rule has dropped the packet */
	op = (struct kernel_op){.verb = KERNEL_CHANGE};
	flow_tuples(f, &k->tuples);
	k->status = CT_STATUS_CONFIRMED | CT_STATUS_SEEN_REPLY;
	k->has_tcp_flags = true;
	k->tcp_state = CT_TCP_SYN_RECV;
	k->tcp_flags[0] = k->tcp_flags[1] = CT_TCP_FLAG_LIBERAL;
	e->ops.kernel(e->ctx, &op, 1);
	if (op.error) {
		if (op.error != ENOENT)
			e->counters.refused[R_KERNEL_ERROR]++;
		return;
	}
	engine_count(e, C_COMMIT_UPDATED);
	f->flags |= F_LIBERAL | F_REPLIED;
}

void defer_known(struct engine *e, struct flow *f)
{
	e->defer.in_vain = 0;
	let_go_flow(e, f, C_DEFER_ACKED);
	expect_reply_elsewhere(e, f);
}

/* It may come late: the packet has left, but what follows it has not yet. */
void defer_acknowledged(struct engine *e, uint64_t id, uint32_t creatorid)
{
	struct half *half = table_find_half(&e->table, id, creatorid);

	e->defer.in_vain = 0;
	if (half && half_index(half) == HALF_OUT && half_flow(half)->flags & F_LIVE)
		defer_known(e, half_flow(half));
}

/* A peer that did not acknowledge in time may have the state all the same. */
void defer_run(struct engine *e)
{
	while (e->defer.count && e->defer.held[0].until <= e->now) {
		struct flow *f = e->defer.held[0].flow;

		let_go(e, 0, C_DEFER_TIMEOUT);
		expect_reply_elsewhere(e, f);
		if (e->defer.in_vain < IN_VAIN)
			e->defer.in_vain++;
	}
}

uint64_t defer_next(const struct engine *e)
{
	return e->defer.count ? e->defer.held[0].until : NEVER;
}

/* ---- holding --------------------------------------------------------------------------- */

/* Somebody who may acknowledge: on a link that defers, and not known to be deaf. */
static bool somebody(const struct engine *e)
{
	struct list *n;

	list_for_each (n, &e->peers) {
		const struct peer *p = container_of(n, struct peer, node);
		const struct link *l = &e->link[p->link];

		if (l->config.defer && l->config.mode != MODE_RECEIVE_ONLY && l->up &&
		    l->dialects && !p->deaf)
			return true;
	}
	return false;
}

/* Where nobody acknowledges anything, only one packet a second is held, to see whether it lasts. */
static bool in_vain(struct engine *e)
{
	struct defer *d = &e->defer;

	if (d->in_vain < IN_VAIN)
		return false;
	if (e->now < d->try_at)
		return true;
	d->try_at = e->now + NS_PER_S;
	return false;
}

static void pass(struct engine *e, uint32_t token, enum counter why)
{
	engine_count(e, why);
	e->ops.release(e->ctx, token);
}

void engine_on_held(struct engine *e, const struct kernel_entry *entry, uint32_t token,
		    uint64_t now)
{
	struct defer *d = &e->defer;
	struct flow *f;
	bool again; /* of a burst: its flow waits already */

	e->now = now;
	e->ds = engine_ns_to_ds(e, now);
	if (!somebody(e)) {
		pass(e, token, C_DEFER_NO_PEER);
		return;
	}
	f = entry ? local_begin_held(e, entry) : NULL;
	if (!f || !(f->half[HALF_OUT].flags & H_PRESENT)) {
		pass(e, token, C_DEFER_PASSED);
		return;
	}
	again = defer_holds(e, f);
	if (!again && in_vain(e)) {
		pass(e, token, C_DEFER_NO_PEER);
		return;
	}
	if (d->count == HELD_MAX)
		let_go(e, 0, C_DEFER_CROWDED);
	d->held[d->count++] =
		(struct held){.flow = f, .token = token, .asked = again, .until = now + HOLD_NS};
	engine_count(e, C_DEFERRED);
	sendq_first(e, f);
}
