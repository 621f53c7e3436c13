/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens in a run: a storm of faults, a quiet time in which everybody has to find back to
 * the same picture, a restart in peace, moves of the traffic that no flow may notice, silence, and
 * the end of all.
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
	{.name = "mixed-freebsd", .fw = {L, L, F}, .fws = 3, .linuxes = 2, .flows = 30},
	{.name = "mixed-openbsd", .fw = {L, L, O}, .fws = 3, .linuxes = 2, .flows = 30},
	{.name = "linux-four", .fw = {L, L, L, L}, .fws = 4, .linuxes = 4, .flows = 25},
	{.name = "linux-five", .fw = {L, L, L, L, L}, .fws = 5, .linuxes = 5, .flows = 20},
	{.name = "both-pf", .fw = {L, F, O}, .fws = 3, .linuxes = 1, .flows = 25},
	{.name = "five", .fw = {L, L, L, F, O}, .fws = 5, .linuxes = 3, .flows = 15},
	{.name = "relay", .fw = {L, F, O}, .wires = {3, 1, 2}, .fws = 3, .linuxes = 1, .flows = 25},
	{.name = "relay-linux",
	 .fw = {L, L, L},
	 .wires = {3, 1, 2},
	 .fws = 3,
	 .linuxes = 3,
	 .flows = 25},
	{.name = "upgrade", .fw = {L, F, F}, .fws = 3, .linuxes = 1, .flows = 25, .upgrade = true},
	{.name = "relay-two",
	 .fw = {L, L, F, O},
	 .wires = {3, 3, 1, 2},
	 .fws = 4,
	 .linuxes = 2,
	 .flows = 20},
};

static struct {
	uint64_t fault_at, move_at, open_at;
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

static bool has(enum fw_kind kind)
{
	for (unsigned i = 0; i < sim.scenario->fws; i++)
		if (sim.scenario->fw[i] == kind)
			return true;
	return false;
}

void plan_move(void)
{
	int to = (int)sim_below(sim.fws);

	for (unsigned i = 0; i < sim.fws; i++, to = (to + 1) % (int)sim.fws)
		if (to != sim.carrier && fw_works(&sim.fw[to])) {
			conn_move(to);
			return;
		}
}

/* ---- time ------------------------------------------------------------------------------ */

uint64_t plan_next(void)
{
	uint64_t next = fault_next();

	if (plan.storm)
		sim_earlier(&next, plan.fault_at);
	if (plan.moves)
		sim_earlier(&next, plan.move_at);
	if (sim.opening)
		sim_earlier(&next, plan.open_at);
	return next;
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
	bool trouble = fault_is();

	fault_due();
	if (plan.storm && plan.fault_at <= sim.now) {
		fault_some();
		plan.fault_at = sim.now + S + sim_below(15 * S);
	}
	if (trouble || fault_is())
		sim.trouble = sim.now;
	if (plan.moves && plan.move_at <= sim.now) {
		plan_move();
		plan.move_at = sim.now +
			       (sim_chance(20) ? sim_below(2 * S) : S + sim_below(30 * S));
	}
	if (sim.opening && plan.open_at <= sim.now) {
		if (open_conns() < sim.wanted && fw_works(&sim.fw[sim.carrier]))
			(void)conn_open();
		plan.open_at = sim.now + (sim.scenario->churn ? 5 : 50) * MS + sim_below(300 * MS);
	}
}

/* ---- what is drawn --------------------------------------------------------------------- */

static void draw_timeouts(void)
{
	static const uint32_t established[] = {60, 60, 120, 600}, kernels[] = {300, 300, 90, 900};

	timeouts_default(&sim.timeouts);
	sim.established = established[sim_below(sim.faults ? 3 : 4)];
	sim.timeouts.seconds[PFTM_TCP_ESTABLISHED] = sim.established;
	sim.timeouts.seconds[PFTM_TCP_CLOSING] = 120;
	sim.kernel_established = kernels[sim_below(4)];
	if (sim_chance(15)) {
		sim.timeouts.seconds[PFTM_UDP_MULTIPLE] = 30;
		sim.timeouts.seconds[PFTM_UDP_SINGLE] = 20;
		sim.timeouts.seconds[PFTM_UDP_FIRST] = 20;
	}
	sim.recovery = (sim.established + 40) * S;
}

static void draw_config(void)
{
	static const enum announce_from udp[] = {FROM_REPLIED, FROM_REPLIED, FROM_NEW,
						 FROM_ASSURED};

	/* version 6 tells all, a FreeBSD without states does not tell which one it is */
	sim.auto_dialect = has(F) ? has(O) || sim.scenario->upgrade : has(O) && sim_chance(50);
	for (int i = 0; i < 2; i++)
		sim.dialect[i] = has(F)	  ? DIALECT_FREEBSD_13
				 : has(O) ? DIALECT_OPENBSD
					  : (enum dialect_id)sim_below(DIALECT_COUNT);
	sim.tcp = sim_chance(20) ? FROM_NEW : FROM_REPLIED;
	sim.udp = udp[sim_below(4)];
	sim.icmp = sim_chance(20) ? FROM_NEW : FROM_REPLIED;
	/* of two Linux nodes one would tell made-up numbers of what the other lets pf learn */
	/* two FreeBSDs that learned different numbers correct each other for ever */
	sim.strict = sim.scenario->linuxes == 1 && !sim.scenario->upgrade && sim_chance(20);
	sim.takeover = sim_chance(15);
	sim.max_states = sim_chance(3) ? 1 + (uint32_t)sim_below(20) : 0;
	sim.bulk_rate = sim_chance(60) ? 20000 : 1000 + (uint32_t)sim_below(3000);
}

static void draw(void)
{
	memset(&plan, 0, sizeof(plan));
	fault_reset();
	sim.faults = sim_chance(25) ? 0 : (unsigned)sim_random() & FAULT_ALL;
	draw_timeouts();
	draw_config();
	sim.wanted = 2 + (unsigned)sim_below(sim.scenario->flows);
	sim_trace("faults %x, tcp.established %u (kernel %u), from tcp %d udp %d icmp %d%s%s%s, "
		  "dialect %s, at most %u states",
		  sim.faults, sim.established, sim.kernel_established, sim.tcp, sim.udp, sim.icmp,
		  sim.strict ? ", strict" : "", sim.takeover ? ", takeover" : "",
		  sim.tcp_strict ? ", tcp strict" : "",
		  sim.auto_dialect ? "auto" : dialect_get(sim.dialect[0])->name, sim.max_states);
}

/* ---- the run --------------------------------------------------------------------------- */

static void start(void)
{
	sim.fws = sim.scenario->fws;
	for (unsigned i = 0; i < sim.fws; i++) {
		struct fw *f = &sim.fw[i];

		*f = (struct fw){.index = (int)i, .kind = sim.scenario->fw[i]};
		f->wires = sim.scenario->wires[i] ? sim.scenario->wires[i] : 1;
		f->up_at = f->link_at = f->restart_at = f->stalled_until = NEVER;
		if (f->kind == FW_LINUX)
			lin_init(f);
		else
			pf_init(f);
	}
	/* pf begins: what it says shows the engines its dialect */
	sim.carrier = (int)sim.fws - 1;
	sim.carrier_since = sim.trouble = sim.now;
	for (unsigned i = 0; i < sim.fws; i++)
		fault_node_up(&sim.fw[i]);
}

static void storm(void)
{
	plan.storm = sim.faults != 0;
	plan.moves = true;
	plan.fault_at = sim.now + 5 * S;
	plan.move_at = sim.now + 10 * S;
	sim_run(sim.now + 30 * S + sim_below(90 * S));
	plan.moves = plan.storm = false;
	if (!sim.failed)
		fault_mend();
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

/* A daemon is killed and started again, while its kernel goes on. */
static void restart(void)
{
	struct fw *f = &sim.fw[sim_below(sim.scenario->linuxes)];

	if (sim.failed || f->kind != FW_LINUX || !f->lin->e)
		return;
	check_names_keep();
	fault_kill(f, MS + sim_below(2 * S));
	sim_run(sim.now + 8 * S);
	check_names_kept();
}

/* A FreeBSD 13 pair becomes 15 node by node, the traffic on the other one meanwhile. */
static void upgrade(void)
{
	for (unsigned i = 0; sim.scenario->upgrade && i < sim.fws && !sim.failed; i++) {
		struct fw *f = &sim.fw[i];

		if (f->kind != FW_FREEBSD)
			continue;
		sim.opening = true;
		plan.open_at = sim.now;
		for (unsigned k = 0; sim.carrier == f->index && k < sim.fws; k++)
			if (sim.fw[k].kind == FW_FREEBSD && k != i)
				conn_move((int)k);
		sim_run(sim.now + 5 * S);
		fault_node_down(f, sim.now + 30 * S);
		sim_run(sim.now + 60 * S);
		sim.opening = false;
		sim_run(sim.now + 10 * S);
		check_everywhere();
		conn_move(f->index);
		sim_run(sim.now + 10 * S);
		check_everywhere();
	}
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
	uint32_t wait = 160, most = sim.established;

	sim.opening = false;
	for (size_t i = 0; i < sim.conns; i++)
		sim.conn[i].ends_at = sim.conn[i].phase == CONN_OVER ? sim.conn[i].ends_at : NEVER;
	/* what hangs, or closed while nobody looked, has to be over */
	if (most < sim.kernel_established)
		most = sim.kernel_established;
	wait += most;
	sim_run(sim.now + wait * S);
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
	uint64_t packets, most = sim.established;

	for (size_t i = 0; i < sim.conns; i++)
		if (sim.conn[i].phase != CONN_OVER && sim_chance(50))
			sim.conn[i].ends_at = sim.now;
	sim_run(sim.now + 20 * S);
	sim.busy = false;
	if (most < sim.kernel_established)
		most = sim.kernel_established;
	/*
	 * A pf begins a timeout anew at each update, also of a bulk one. Who speaks after a
	 * silence, because something has run out, is asked for all that it has: so what is over may
	 * outlast some of these silences, which count as such only when they are ever longer.
	 */
	sim_run(sim.now + ((has(F) || has(O) ? 8 : 2) * most + 150) * S);
	check_empty();
	packets = sim.packets;
	sim_run(sim.now + 100 * S);
	/* a look for states that a pf withholds may be due still */
	if (sim.packets - packets >
	    (sim.fws > sim.scenario->linuxes ? 12 * sim.scenario->linuxes * sim.fws : 0))
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
		restart();
		upgrade();
		moves();
	}
	if (!sim.failed)
		silence();
	if (!sim.failed)
		finish();
}
