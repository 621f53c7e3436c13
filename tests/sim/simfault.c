/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes wrong in a run: the wire, the nodes, their tables, other programs, the clock. */
#include "simlinux.h"
#include "simpf.h"

enum { FAULTS = 18 };

static struct {
	uint64_t wire_until; /* what is wrong with the wire now */
	uint64_t deaf_until, full_until;
	int deaf, full; /* nodes, -1: none */
	int hunted;	/* its engine is killed in a bulk update or a dump; -1: none */
} fault;

/* ---- nodes ----------------------------------------------------------------------------- */

void fault_node_up(struct fw *f)
{
	f->up = f->link = true;
	f->up_at = NEVER;
	f->excuse = sim.now;
	sim_trace("node %d is up", f->index);
	if (f->kind == FW_LINUX)
		lin_up(f);
	else
		pf_up(f);
}

void fault_node_down(struct fw *f, uint64_t until)
{
	sim_trace("node %d is down", f->index);
	f->up = f->link = false;
	f->up_at = until;
	f->link_at = f->restart_at = f->stalled_until = NEVER;
	if (f->kind == FW_LINUX)
		lin_down(f);
	else
		pf_down(f);
}

static void node_link(struct fw *f, bool up)
{
	sim_trace("link of node %d is %s", f->index, up ? "up" : "down");
	f->link = up;
	if (f->kind == FW_LINUX)
		lin_link(f);
	else
		pf_link(f);
}

static unsigned running(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sim.fws; i++)
		n += fw_works(&sim.fw[i]);
	return n;
}

/* SIGKILL: nothing is said or written any more; the kernel's table stays. */
void fault_kill(struct fw *f, uint64_t down)
{
	sim_trace("node %d: engine stops", f->index);
	lin_stop(f);
	f->restart_at = sim.now + down;
	fault.hunted = -1;
}

/* ---- faults ---------------------------------------------------------------------------- */

static void wire_fault(unsigned kind)
{
	struct wire *w = &sim.wire;
	int a = (int)sim_below(sim.fws), b = (int)sim_below(sim.fws);

	fault.wire_until = sim.now + S + sim_below(20 * S);
	switch (kind) {
	case FAULT_LOSS:
		w->loss = 1 + (unsigned)sim_below(40);
		break;
	case FAULT_TWICE:
		w->twice = 1 + (unsigned)sim_below(40);
		break;
	case FAULT_REORDER:
		w->reorder = true;
		w->jitter = (1 + sim_below(100)) * MS;
		break;
	case FAULT_DELAY:
		w->delay = sim_below(300) * MS;
		w->jitter = sim_below(100) * MS;
		break;
	default: /* a node apart, or two that do not hear each other, or one not the other */
		for (unsigned i = 0; i < sim.fws; i++) {
			if (sim_chance(50) && i != (unsigned)b)
				continue;
			w->cut[a][i] = true;
			if (sim_chance(70))
				w->cut[i][a] = true;
		}
	}
	sim_trace("wire: fault %x nodes %d %d", kind, a, b);
}

static void wire_good(void)
{
	sim.wire = (struct wire){0};
	fault.wire_until = NEVER;
	sim_trace("wire: good");
}

/* What a message that is under way now may still do to flows at others. */
static void excuse_all(void)
{
	uint64_t late = sim.now + sim.wire.delay + sim.wire.jitter;

	for (unsigned i = 0; i < sim.fws; i++)
		sim.fw[i].excuse = late + conn_announced(&sim.fw[i]);
}

static void pf_fault(struct fw *f, unsigned kind)
{
	sim.trouble = sim.now;
	if (kind == FAULT_NAME) {
		f->pf->hostid = (uint32_t)sim_random() | 1;
		sim_trace("node %d has a new creatorid", f->index);
		return;
	}
	sim_trace("node %d flushes its states", f->index);
	/* what nobody has seen passing elsewhere goes there, too */
	excuse_all();
	pfsync_flushed(f->pf);
}

/* conntrack -D, or -F: others may take that for the end of what they have not seen passing. */
static void other_program(struct fw *f)
{
	struct ktable *k = &f->lin->kernel;
	bool all = sim_chance(20);

	sim_trace("node %d: conntrack -%c", f->index, all ? 'F' : 'D');
	for (size_t i = 0; i < k->entries; i++) {
		struct kent *m = k->entry[i];
		struct conn *c;

		if (!m->used || !(all || sim_chance(20)))
			continue;
		c = conn_find(&m->k.tuples);
		if (c)
			conn_killed(c, f, lin_claims(f, &c->t) || c->owner == f->index);
		kernel_kill(k, m);
	}
}

/* Everything stands still, as when all are suspended: only the clocks go on. */
static void clock_jump(void)
{
	uint64_t by = sim_chance(60) ? sim_below(600 * S) : sim_below(3 * 3600 * S);

	sim.now += by;
	sim_trace("the clock jumps by %u s", (unsigned)(by / S));
	excuse_all();
	conn_suspended();
}

static void stall(struct fw *f)
{
	uint64_t most = sim_chance(70) ? 20 * S : 300 * S;

	if (running() < 2 || !fw_works(f))
		return;
	f->stalled_until = sim.now + sim_below(most);
	f->excuse = f->stalled_until;
	sim_trace("node %d stands still for %u s", f->index,
		  (unsigned)((f->stalled_until - sim.now) / S));
	if (sim.carrier == f->index)
		plan_move();
}

static void linux_fault(struct fw *f, unsigned kind)
{
	struct lin *l = f->lin;

	if (!l->e)
		return;
	switch (kind) {
	case FAULT_RESTART:
		if (sim_chance(40))
			fault.hunted = f->index;
		else
			fault_kill(f, MS + sim_below(sim_chance(80) ? 2 * S : 30 * S));
		break;
	case FAULT_OVERRUN:
		if (fault.deaf >= 0)
			break;
		sim_trace("node %d loses events", f->index);
		l->kernel.deaf = true;
		fault.deaf = f->index;
		fault.deaf_until = sim.now + sim_below(5 * S);
		break;
	case FAULT_FULL:
		if (fault.full >= 0)
			break;
		sim_trace("node %d: its kernel table is full", f->index);
		l->kernel.most = l->kernel.count ? l->kernel.count : 1;
		fault.full = f->index;
		fault.full_until = sim.now + sim_below(10 * S);
		break;
	case FAULT_OTHERS:
		other_program(f);
		break;
	default:
		engine_resync(l->e, sim.now);
		l->next = sim.now;
	}
}

static void node_fault(struct fw *f, unsigned kind)
{
	switch (kind) {
	case FAULT_REBOOT:
		if (running() < 2)
			return;
		if (sim.carrier == f->index)
			plan_move();
		fault_node_down(f, sim.now + S + sim_below(30 * S));
		break;
	case FAULT_LINK:
		if (f->link) {
			node_link(f, false);
			f->link_at = sim.now + MS + sim_below(20 * S);
		}
		break;
	case FAULT_STALL:
		stall(f);
		break;
	case FAULT_JUMP:
		if (sim_chance(25))
			clock_jump();
		break;
	case FAULT_NAME:
	case FAULT_FLUSH:
		if (f->kind != FW_LINUX)
			pf_fault(f, kind);
		break;
	default:
		if (f->kind == FW_LINUX)
			linux_fault(f, kind);
	}
}

void fault_some(void)
{
	unsigned kind;
	struct fw *f = &sim.fw[sim_below(sim.fws)];

	do {
		kind = 1u << sim_below(FAULTS);
	} while (!(sim.faults & kind));
	if (kind <= FAULT_CUT)
		wire_fault(kind);
	else if (fw_works(f))
		node_fault(f, kind);
}

/* Everything that is broken is mended now. */
void fault_mend(void)
{
	wire_good();
	for (unsigned i = 0; i < sim.fws; i++) {
		struct fw *f = &sim.fw[i];

		if (f->up_at != NEVER)
			f->up_at = sim.now;
		if (f->link_at != NEVER)
			f->link_at = sim.now;
		if (f->restart_at != NEVER)
			f->restart_at = sim.now;
		if (f->stalled_until != NEVER)
			f->stalled_until = sim.now;
	}
	fault.deaf_until = fault.full_until = sim.now;
	fault.hunted = -1;
}

void fault_reset(void)
{
	fault.wire_until = NEVER;
	fault.deaf = fault.full = fault.hunted = -1;
}

bool fault_is(void)
{
	if (fault.wire_until != NEVER || fault.deaf >= 0 || fault.full >= 0)
		return true;
	for (unsigned i = 0; i < sim.fws; i++)
		if (!fw_works(&sim.fw[i]) || !sim.fw[i].link ||
		    (sim.fw[i].kind == FW_LINUX && !sim.fw[i].lin->e))
			return true;
	return false;
}

/* ---- time ------------------------------------------------------------------------------ */

uint64_t fault_next(void)
{
	uint64_t next = fault.wire_until;

	if (fault.deaf >= 0)
		sim_earlier(&next, fault.deaf_until);
	if (fault.full >= 0)
		sim_earlier(&next, fault.full_until);
	for (unsigned i = 0; i < sim.fws; i++) {
		sim_earlier(&next, sim.fw[i].up_at);
		sim_earlier(&next, sim.fw[i].link_at);
		sim_earlier(&next, sim.fw[i].restart_at);
		sim_earlier(&next, sim.fw[i].stalled_until);
	}
	return next;
}

/* An engine in the middle of a bulk update or a dump. */
void fault_hunt(struct fw *f)
{
	struct link_view v;

	if (fault.hunted != f->index || !f->lin->e || !engine_link_view(f->lin->e, 0, &v))
		return;
	if ((v.bulk == BULK_RECEIVING || v.answering || f->lin->dump_at != NEVER) && sim_chance(40))
		fault_kill(f, MS + sim_below(2 * S));
}

static void node_due(struct fw *f)
{
	if (f->up_at <= sim.now)
		fault_node_up(f);
	if (f->stalled_until <= sim.now) {
		f->stalled_until = NEVER;
		sim_trace("node %d goes on", f->index);
		if (f->kind != FW_LINUX) /* what it had in its queue is old news */
			excuse_all();
	}
	if (f->link_at <= sim.now) {
		f->link_at = NEVER;
		node_link(f, true);
	}
	if (f->restart_at <= sim.now) {
		f->restart_at = NEVER;
		sim_trace("node %d: engine starts", f->index);
		lin_start(f);
	}
}

void fault_due(void)
{
	if (fault.wire_until <= sim.now)
		wire_good();
	for (unsigned i = 0; i < sim.fws; i++)
		node_due(&sim.fw[i]);
	if (fault.deaf >= 0 && fault.deaf_until <= sim.now) {
		if (sim.fw[fault.deaf].lin->e)
			sim.fw[fault.deaf].lin->kernel.deaf = false;
		fault.deaf = -1;
	}
	if (fault.full >= 0 && fault.full_until <= sim.now) {
		sim.fw[fault.full].lin->kernel.most = 0;
		sim.fw[fault.full].excuse = sim.now; /* it may have dropped what was not assured */
		fault.full = -1;
	}
}
