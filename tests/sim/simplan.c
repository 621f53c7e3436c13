/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens in a run: a storm of faults, a quiet time in which everybody has to find back to
 * the same picture, moves of the traffic that no flow may notice, silence, and the end of all.
 */
#include <string.h>

#include "simlinux.h"
#include "simpf.h"

#define L FW_LINUX
#define F FW_FREEBSD
#define O FW_OPENBSD

static const struct scenario scenarios[] = {
	{.name = "linux-pair", .fw = {L, L}, .fws = 2, .linuxes = 2, .flows = 60},
	{.name = "linux-three", .fw = {L, L, L}, .fws = 3, .linuxes = 3, .flows = 40},
	{.name = "freebsd", .fw = {L, F}, .fws = 2, .linuxes = 1, .flows = 40},
	{.name = "openbsd", .fw = {L, O}, .fws = 2, .linuxes = 1, .flows = 40},
	{.name = "churn", .fw = {L, L}, .fws = 2, .linuxes = 2, .flows = 100, .churn = true},
	{.name = "mixed", .fw = {L, L, F}, .fws = 3, .linuxes = 2, .flows = 30, .apart = true},
};

static struct {
	uint64_t fault_at, move_at, open_at;
	uint64_t wire_until; /* what is wrong with the wire now */
	uint64_t deaf_until, full_until;
	int deaf, full; /* nodes, -1: none */
	bool storm, moves;
} plan;

const struct scenario *plan_nth(size_t n)
{
	return n < sizeof(scenarios) / sizeof(scenarios[0]) ? &scenarios[n] : NULL;
}

const struct scenario *plan_scenario(const char *name)
{
	const struct scenario *sc;

	for (size_t i = 0; (sc = plan_nth(i)); i++)
		if (!strcmp(sc->name, name))
			return sc;
	return NULL;
}

/* ---- nodes ----------------------------------------------------------------------------- */

static void node_up(struct fw *f)
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

static void node_down(struct fw *f, uint64_t until)
{
	sim_trace("node %d is down", f->index);
	f->up = f->link = false;
	f->up_at = until;
	f->link_at = f->restart_at = NEVER;
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
		n += sim.fw[i].up;
	return n;
}

static void move_somewhere(void)
{
	int to = (int)sim_below(sim.fws);

	for (unsigned i = 0; i < sim.fws; i++, to = (to + 1) % (int)sim.fws)
		if (to != sim.carrier && sim.fw[to].up) {
			conn_move(to);
			return;
		}
}

/* ---- faults ---------------------------------------------------------------------------- */

static void wire_fault(unsigned kind)
{
	struct wire *w = &sim.wire;
	int a = (int)sim_below(sim.fws), b = (int)sim_below(sim.fws);

	plan.wire_until = sim.now + S + sim_below(20 * S);
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
	default:
		w->cut[a][b] = true;
		if (sim_chance(70))
			w->cut[b][a] = true;
	}
	sim_trace("wire: fault %x nodes %d %d", kind, a, b);
}

static void wire_good(void)
{
	sim.wire = (struct wire){0};
	plan.wire_until = NEVER;
	sim_trace("wire: good");
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
	for (unsigned i = 0; i < sim.fws; i++)
		sim.fw[i].excuse = sim.now;
	pfsync_flushed(f->pf);
}

static void node_fault(struct fw *f, unsigned kind)
{
	switch (kind) {
	case FAULT_REBOOT:
		if (running() < 2)
			return;
		if (sim.carrier == f->index)
			move_somewhere();
		node_down(f, sim.now + S + sim_below(30 * S));
		break;
	case FAULT_LINK:
		if (f->link) {
			node_link(f, false);
			f->link_at = sim.now + MS + sim_below(20 * S);
		}
		break;
	case FAULT_RESTART:
		if (f->kind == FW_LINUX && f->lin->e) {
			sim_trace("node %d: engine stops", f->index);
			lin_stop(f);
			f->restart_at = sim.now + MS + sim_below(sim_chance(80) ? 2 * S : 30 * S);
		}
		break;
	case FAULT_OVERRUN:
		if (f->kind == FW_LINUX && f->lin->e && plan.deaf < 0) {
			sim_trace("node %d loses events", f->index);
			f->lin->kernel.deaf = true;
			plan.deaf = f->index;
			plan.deaf_until = sim.now + sim_below(5 * S);
		}
		break;
	case FAULT_FULL:
		if (f->kind == FW_LINUX && plan.full < 0) {
			sim_trace("table of node %d is full", f->index);
			f->lin->kernel.most = f->lin->kernel.count ? f->lin->kernel.count : 1;
			plan.full = f->index;
			plan.full_until = sim.now + sim_below(10 * S);
		}
		break;
	default:
		if (f->kind != FW_LINUX)
			pf_fault(f, kind);
	}
}

static void some_fault(void)
{
	unsigned kind;
	struct fw *f = &sim.fw[sim_below(sim.fws)];

	do {
		kind = 1u << sim_below(12);
	} while (!(sim.faults & kind));
	if (kind <= FAULT_CUT)
		wire_fault(kind);
	else if (f->up)
		node_fault(f, kind);
}

/* Everything that is broken is mended now. */
static void mend(void)
{
	plan.storm = false;
	wire_good();
	for (unsigned i = 0; i < sim.fws; i++) {
		struct fw *f = &sim.fw[i];

		if (f->up_at != NEVER)
			f->up_at = sim.now;
		if (f->link_at != NEVER)
			f->link_at = sim.now;
		if (f->restart_at != NEVER)
			f->restart_at = sim.now;
	}
	plan.deaf_until = plan.full_until = sim.now;
}

static bool is_trouble(void)
{
	if (plan.wire_until != NEVER || plan.deaf >= 0 || plan.full >= 0)
		return true;
	for (unsigned i = 0; i < sim.fws; i++)
		if (!sim.fw[i].up || !sim.fw[i].link ||
		    (sim.fw[i].kind == FW_LINUX && !sim.fw[i].lin->e))
			return true;
	return false;
}

/* ---- time ------------------------------------------------------------------------------ */

static void earlier(uint64_t *at, uint64_t when)
{
	if (when < *at)
		*at = when;
}

uint64_t plan_next(void)
{
	uint64_t next = plan.wire_until;

	if (plan.storm)
		earlier(&next, plan.fault_at);
	if (plan.moves)
		earlier(&next, plan.move_at);
	if (sim.opening)
		earlier(&next, plan.open_at);
	if (plan.deaf >= 0)
		earlier(&next, plan.deaf_until);
	if (plan.full >= 0)
		earlier(&next, plan.full_until);
	for (unsigned i = 0; i < sim.fws; i++) {
		earlier(&next, sim.fw[i].up_at);
		earlier(&next, sim.fw[i].link_at);
		earlier(&next, sim.fw[i].restart_at);
	}
	return next;
}

static void nodes_due(void)
{
	for (unsigned i = 0; i < sim.fws; i++) {
		struct fw *f = &sim.fw[i];

		if (f->up_at <= sim.now)
			node_up(f);
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
	if (plan.deaf >= 0 && plan.deaf_until <= sim.now) {
		if (sim.fw[plan.deaf].lin->e)
			sim.fw[plan.deaf].lin->kernel.deaf = false;
		plan.deaf = -1;
	}
	if (plan.full >= 0 && plan.full_until <= sim.now) {
		sim.fw[plan.full].lin->kernel.most = 0;
		sim.fw[plan.full].excuse = sim.now; /* it may have dropped what was not assured */
		plan.full = -1;
	}
}

static size_t open_conns(void)
{
	size_t n = 0;

	for (size_t i = 0; i < sim.conns; i++)
		n += sim.conn[i].phase != CONN_OVER;
	return n;
}

void plan_due(void)
{
	bool trouble = is_trouble();

	if (plan.wire_until <= sim.now)
		wire_good();
	nodes_due();
	if (plan.storm && plan.fault_at <= sim.now) {
		some_fault();
		plan.fault_at = sim.now + S + sim_below(15 * S);
	}
	if (trouble || is_trouble())
		sim.trouble = sim.now;
	if (plan.moves && plan.move_at <= sim.now) {
		move_somewhere();
		plan.move_at = sim.now +
			       (sim_chance(20) ? sim_below(2 * S) : S + sim_below(30 * S));
	}
	if (sim.opening && plan.open_at <= sim.now) {
		if (open_conns() < sim.wanted && sim.fw[sim.carrier].up)
			(void)conn_open();
		plan.open_at = sim.now + (sim.scenario->churn ? 5 : 50) * MS + sim_below(300 * MS);
	}
}

/* ---- the run --------------------------------------------------------------------------- */

static void draw(void)
{
	static const uint32_t established[] = {60, 60, 120, 600};

	memset(&plan, 0, sizeof(plan));
	plan.wire_until = NEVER;
	plan.deaf = plan.full = -1;
	timeouts_default(&sim.timeouts);
	sim.established = established[sim_below(4)];
	sim.faults = sim_chance(25) ? 0 : (unsigned)sim_random() & FAULT_ALL;
	if (sim.faults)
		sim.established = established[sim_below(3)];
	sim.timeouts.seconds[PFTM_TCP_ESTABLISHED] = sim.established;
	sim.timeouts.seconds[PFTM_TCP_CLOSING] = 120;
	sim.recovery = (sim.established + 40) * S;
	/* version 6 tells all, a FreeBSD without states does not tell which one it is */
	sim.told_dialect = sim.scenario->fw[sim.scenario->fws - 1] != FW_OPENBSD || sim_chance(50);
	sim.wanted = 2 + (unsigned)sim_below(sim.scenario->flows);
}

static void start(void)
{
	sim.fws = sim.scenario->fws;
	for (unsigned i = 0; i < sim.fws; i++) {
		struct fw *f = &sim.fw[i];

		*f = (struct fw){.index = (int)i, .kind = sim.scenario->fw[i]};
		f->address = (struct address){.family = 4, .addr = {203, 0, 113, (uint8_t)(i + 1)}};
		f->up_at = f->link_at = f->restart_at = NEVER;
		if (f->kind == FW_LINUX)
			lin_init(f);
		else
			pf_init(f);
	}
	for (unsigned i = 0; i < sim.fws; i++)
		node_up(&sim.fw[i]);
	/* pf begins: what it says shows the engines its dialect */
	sim.carrier = (int)sim.fws - 1;
	sim.carrier_since = sim.trouble = sim.now;
}

static void storm(void)
{
	plan.storm = sim.faults != 0;
	plan.moves = true;
	plan.fault_at = sim.now + 5 * S;
	plan.move_at = sim.now + 10 * S;
	sim_run(sim.now + 30 * S + sim_below(90 * S));
	plan.moves = false;
	mend();
}

static void calm(void)
{
	sim_run(sim.now + sim.recovery + 5 * S);
	sim.opening = false;
	sim_run(sim.now + 5 * S);
	check_everywhere();
	check_bulks();
	check_counters();
}

static void moves(void)
{
	sim.opening = plan.moves = true;
	plan.move_at = plan.open_at = sim.now;
	sim_run(sim.now + 20 * S + sim_below(100 * S));
	plan.moves = false;
}

/* Flows are steady: nobody begins, nobody ends. */
static void silence(void)
{
	uint64_t window = 60 * S;

	sim.opening = false;
	for (size_t i = 0; i < sim.conns; i++)
		sim.conn[i].ends_at = sim.conn[i].phase == CONN_OVER ? sim.conn[i].ends_at : NEVER;
	/* what was closed has to be over, and a return must have shown itself */
	sim_run(sim.now + (sim.hung		   ? 460
			   : sim.established > 100 ? sim.established + 60
						   : 160) *
				  S);
	check_everywhere();
	check_silence_begin();
	sim_run(sim.now + window);
	check_silence_end(window);
	check_everywhere();
	check_bulks();
}

/* The connections end, in good order or by falling silent. */
static void finish(void)
{
	uint64_t packets;

	for (size_t i = 0; i < sim.conns; i++)
		if (sim.conn[i].phase != CONN_OVER && sim_chance(50))
			sim.conn[i].ends_at = sim.now;
	sim_run(sim.now + 20 * S);
	sim.busy = false;
	sim_run(sim.now + (sim.established > 300 ? 2 * sim.established : 2 * 300) * S + 150 * S);
	check_empty();
	packets = sim.packets;
	sim_run(sim.now + 100 * S);
	/* a look for states that a pf withholds may be due still */
	if (sim.packets - packets >
	    (sim.fws > sim.scenario->linuxes ? 12 * sim.scenario->linuxes : 0))
		sim_fail(NULL, "%llu packets after everything has ended",
			 (unsigned long long)(sim.packets - packets));
	check_counters();
}

void plan_run(void)
{
	draw();
	start();
	sim_run(sim.now + 3 * S);
	sim.opening = sim.busy = true;
	plan.open_at = sim.now;
	for (int i = 0; i < 1 + (int)sim_below(2) && !sim.failed; i++) {
		storm();
		calm();
		moves();
	}
	if (!sim.failed)
		silence();
	if (!sim.failed)
		finish();
}
