/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must hold, each by itself; the first thing that does not ends the run. */
#include <string.h>

#include "simlinux.h"
#include "simpf.h"

/* ---- all know the same ----------------------------------------------------------------- */

static struct flow_view view[FW_MAX][CONN_MAX];
static bool known[FW_MAX][CONN_MAX];

static void read_engine(const struct fw *f)
{
	uint64_t cursor = 0;
	struct flow_view v;

	memset(known[f->index], 0, sim.conns * sizeof(known[0][0]));
	while (engine_flow_next(f->lin->e, &cursor, &v, sim.now)) {
		const struct conn *c = conn_find(&v.tuples);

		if (!c)
			continue;
		if (known[f->index][c - sim.conn])
			sim_fail(c, "node %d has a flow twice", f->index);
		known[f->index][c - sim.conn] = true;
		view[f->index][c - sim.conn] = v;
	}
}

/* Both names that the first Linux node has are those that this node has. */
static bool same_names(const struct fw *f, const struct conn *c, const struct flow_view *first)
{
	const struct flow_view *v = &view[f->index][c - sim.conn];

	for (int h = 0; h < 2; h++) {
		if (f->kind == FW_LINUX) {
			if (v->half[h].id != first->half[h].id ||
			    v->half[h].creatorid != first->half[h].creatorid || !v->half[h].present)
				return false;
		} else {
			const struct pfs *s = pf_by_key(f->pf, h ? PF_OUT : PF_IN, c->t.proto,
							c->key[f->pf->dialect->icmp_typed][h]);

			if (!s || s->id != first->half[h].id ||
			    s->creatorid != first->half[h].creatorid)
				return false;
		}
	}
	return true;
}

/* Both kinds of pf: what the one tells the other hears through a Linux node. */
bool check_both_kinds(void)
{
	bool kind[3] = {false};

	for (unsigned i = 0; i < sim.fws; i++)
		kind[sim.fw[i].kind] = true;
	return kind[FW_FREEBSD] && kind[FW_OPENBSD];
}

/*
 * A flow that was made on both before the one had heard of it from the other has names of both, of
 * which a Linux node can keep one; a pf never takes another. States that each pf is to learn by
 * itself are not refreshed while nobody has told numbers.
 */
static bool named_twice(const struct conn *c)
{
	return conn_passed_both(c) || (check_both_kinds() && sim.strict);
}

/* The pf that carries it tells this one itself: what is lost of that is no matter of a Linux node.
 */
static bool is_theirs(const struct fw *f, const struct conn *c)
{
	const struct fw *o = &sim.fw[c->owner];

	return o != f && o->kind != FW_LINUX && o->wires == f->wires &&
	       o->pf->dialect->version == f->pf->dialect->version &&
	       o->pf->dialect->id <= f->pf->dialect->id;
}

/* commit = takeover: who does not forward has it in its memory only. */
static bool waits(const struct fw *f)
{
	return sim.takeover && sim.carrier != f->index;
}

static void check_on(struct fw *f, const struct conn *c, const struct flow_view *first)
{
	if (f->kind == FW_LINUX) {
		if (!known[f->index][c - sim.conn])
			sim_fail(c, "node %d does not know a flow", f->index);
		else if (!kernel_exact(&f->lin->kernel, &c->t) && !waits(f))
			sim_fail(c, "node %d has a flow not in its kernel", f->index);
	} else if (!named_twice(c) && !is_theirs(f, c)) {
		for (int h = 0; h < 2; h++)
			if (!pf_by_key(f->pf, h ? PF_OUT : PF_IN, c->t.proto,
				       c->key[f->pf->dialect->icmp_typed][h]))
				sim_fail(c, "node %d (pf) lacks the %s state of a flow", f->index,
					 h ? "out" : "in");
	}
	if (!sim.failed && !named_twice(c) && (f->kind == FW_LINUX || !is_theirs(f, c)) &&
	    !same_names(f, c, first))
		sim_fail(c,
			 "node %d has other names for a flow (%llx/%x, %llx/%x) than node 0 "
			 "(%llx/%x, %llx/%x)",
			 f->index, (unsigned long long)view[f->index][c - sim.conn].half[0].id,
			 view[f->index][c - sim.conn].half[0].creatorid,
			 (unsigned long long)view[f->index][c - sim.conn].half[1].id,
			 view[f->index][c - sim.conn].half[1].creatorid,
			 (unsigned long long)first->half[0].id, first->half[0].creatorid,
			 (unsigned long long)first->half[1].id, first->half[1].creatorid);
}

static bool is_steady(const struct conn *c)
{
	/* a FreeBSD 15 reads ICMP states of a 13 and finds them by no packet: they are keyed
	 * otherwise, and what is told it of them is refused, for it has that name */
	if (sim.scenario->upgrade && proto_is_icmp(c->t.proto))
		return false;
	return c->phase == CONN_OPEN && !c->stuck && c->owner >= 0 &&
	       sim.now > c->open_at + 3 * S + conn_told_after(c, &sim.fw[c->owner]) &&
	       sim.now - c->steady > 3 * S;
}

void check_everywhere(void)
{
	if (sim.failed || sim.max_states)
		return;
	for (unsigned i = 0; i < sim.fws; i++) {
		if (sim.fw[i].kind == FW_LINUX)
			read_engine(&sim.fw[i]);
	}
	for (size_t i = 0; i < sim.conns && !sim.failed; i++) {
		const struct conn *c = &sim.conn[i];

		if (!is_steady(c))
			continue;
		for (unsigned k = 0; k < sim.fws; k++)
			check_on(&sim.fw[k], c, &view[0][i]);
	}
}

/* ---- a restart leaves no trace --------------------------------------------------------- */

static struct flow_view kept[FW_MAX][CONN_MAX];
static bool was_known[FW_MAX][CONN_MAX];

/* Names are given by what the kernel says, and kept by the peers. */
void check_names_keep(void)
{
	check_everywhere();
	memcpy(kept, view, sizeof(kept));
	memcpy(was_known, known, sizeof(was_known));
}

void check_names_kept(void)
{
	check_everywhere();
	for (size_t i = 0; i < sim.conns && !sim.failed && !sim.max_states; i++) {
		const struct conn *c = &sim.conn[i];

		if (!is_steady(c) || sim.now - c->open_at < 30 * S || !was_known[0][i] ||
		    named_twice(c))
			continue;
		for (int h = 0; h < 2; h++)
			if (kept[0][i].half[h].id != view[0][i].half[h].id ||
			    kept[0][i].half[h].creatorid != view[0][i].half[h].creatorid)
				sim_fail(c, "a restart gave another name (%llx/%x, was %llx/%x)",
					 (unsigned long long)view[0][i].half[h].id,
					 view[0][i].half[h].creatorid,
					 (unsigned long long)kept[0][i].half[h].id,
					 kept[0][i].half[h].creatorid);
	}
}

/* ---- memory ---------------------------------------------------------------------------- */

/* What is known is somewhere in a kernel, or has just gone from it; and what waits, of what is
 * known. */
void check_memory(struct fw *f)
{
	struct engine_totals t;
	size_t most = 50;

	engine_totals(f->lin->e, &t);
	for (unsigned i = 0; i < sim.fws; i++)
		most += sim.fw[i].kind == FW_LINUX ? sim.fw[i].lin->kernel.count
						   : sim.fw[i].pf->count;
	most += sim.opened / 2;
	if (t.flows > most || t.queued > 2 * most || t.remote > t.flows)
		sim_fail(NULL, "node %d has %zu flows, %zu queued, %zu remote, of %zu at most",
			 f->index, t.flows, t.queued, t.remote, most);
	/* of what the kernel has just dropped the engine hears in a moment */
	if (sim.max_states && kernel_event_at(&f->lin->kernel) == NEVER &&
	    t.remote > sim.max_states + f->lin->kernel.count)
		sim_fail(NULL, "node %d has %zu flows of peers", f->index, t.remote);
}

/* ---- counters -------------------------------------------------------------------------- */

void check_counters(void)
{
	static const enum reason never[] = {
		R_OUTGOING,	 R_SEND_ERROR, R_NO_MEMORY,	R_KERNEL_ERROR, R_HOSTID_CLASH,
		R_CREATOR_ZERO,	 R_TRUNCATED,  R_STRIDE,	R_ACTION,	R_LENGTH,
		R_TIMEOUT_INDEX, R_PEER_STATE, R_DIRECTION,	R_NAT_FORM,	R_ICMP_TYPE,
		R_SOURCE,	 R_OWN_PACKET, R_ADDRESS_FAMILY};

	for (unsigned i = 0; i < sim.fws; i++) {
		const struct fw *f = &sim.fw[i];

		if (f->kind != FW_LINUX || !f->lin->e)
			continue;
		for (size_t r = 0; r < sizeof(never) / sizeof(never[0]); r++)
			if (engine_counters(f->lin->e)->refused[never[r]])
				sim_fail(NULL, "node %d counts %s", f->index,
					 reason_word(never[r]));
		if (!(sim.faults & FAULT_FULL) &&
		    engine_counters(f->lin->e)->refused[R_KERNEL_FULL])
			sim_fail(NULL, "node %d finds a full table", f->index);
	}
}

/* Packets may have been lost. */
static bool lossy(void)
{
	return sim.faults & (FAULT_LOSS | FAULT_CUT | FAULT_LINK | FAULT_REBOOT);
}

/* No bulk update is still under way, on either side. */
static bool under_way(void)
{
	struct link_view v;

	for (unsigned i = 0; i < sim.fws; i++)
		if (sim.fw[i].kind == FW_LINUX && engine_link_view(sim.fw[i].lin->e, 0, &v) &&
		    (v.bulk != BULK_IDLE || v.answering))
			return true;
	for (unsigned i = 0; i < sim.fws; i++)
		if (sim.fw[i].kind != FW_LINUX && sim.fw[i].pf->answering)
			return true;
	return false;
}

void check_bulks(void)
{
	struct link_view v;

	/* one that was begun a moment ago may end */
	for (int i = 0; i < 90 && !sim.failed && under_way(); i++)
		sim_run(sim.now + S);
	if (sim.failed)
		return;
	for (unsigned i = 0; i < sim.fws; i++) {
		const struct fw *f = &sim.fw[i];

		if (f->kind == FW_LINUX) {
			struct engine_totals t;

			if (!engine_link_view(f->lin->e, 0, &v))
				continue;
			engine_totals(f->lin->e, &t);
			if (v.bulk != BULK_IDLE || v.answering || t.undecided)
				sim_fail(NULL, "node %d: a bulk update has no end (%d, %d, %d)",
					 f->index, v.bulk, v.answering, t.undecided);
			if (!v.ever_synced || v.bulk_failed)
				sim_fail(NULL, "node %d: its bulk request was not answered",
					 f->index);
		} else if (lossy() && !f->pf->answering &&
			   (f->pf->openbsd || f->pf->bulk == PF_BULK_DONE)) {
			continue; /* pf gives up, and OpenBSD asks nobody again for a lost END */
		} else if (f->pf->bulk != PF_BULK_DONE || f->pf->gave_up || f->pf->answering) {
			sim_fail(NULL, "node %d (pf): a bulk update has no end (%d, %d, %d)",
				 f->index, f->pf->bulk, f->pf->gave_up, f->pf->answering);
		}
	}
}

/* ---- silence --------------------------------------------------------------------------- */

void check_silence_begin(void)
{
	if (sim.failed)
		return;
	for (size_t i = 0; i < sim.conns; i++)
		sim.conn[i].counted = is_steady(&sim.conn[i]);
	for (unsigned i = 0; i < sim.fws; i++)
		if (sim.fw[i].kind == FW_LINUX)
			for (int c = 0; c < C_COUNT; c++)
				sim.fw[i].lin->before[c] = lin_counter(&sim.fw[i], (enum counter)c);
}

static uint64_t since(const struct fw *f, enum counter c)
{
	return lin_counter(f, c) - f->lin->before[c];
}

/* What a node may say of steady flows in that time: a refresh in each half of a timeout. */
static uint64_t refreshes(const struct fw *f, uint64_t window)
{
	uint64_t most = 4;

	for (size_t i = 0; i < sim.conns; i++) {
		const struct conn *c = &sim.conn[i];
		uint64_t timeout = sim.established;

		if (c->phase != CONN_OPEN || (c->owner != f->index && f->wires != 3))
			continue; /* a relay says what the owner says */
		if (c->t.proto == PROTO_UDP)
			timeout = timeout_seconds(&sim.timeouts, PFTM_UDP_SINGLE);
		else if (proto_is_icmp(c->t.proto))
			timeout = timeout_seconds(&sim.timeouts, PFTM_ICMP_ERROR);
		most += 2 * (3 * window / (timeout * S) + 2);
	}
	return most;
}

/*
 * Who was not heard for a minute appears anew and is asked for all it has; that is so with long
 * timeouts, and of a standby beside another. Older FreeBSD is refreshed by UPD. A pf has flows of
 * its own, of one state each, which look like withheld halves.
 */
static bool slow_dialect(void)
{
	for (unsigned i = 0; i < sim.fws; i++)
		if (sim.fw[i].kind == FW_FREEBSD)
			return true;
	return !sim.auto_dialect &&
	       (sim.dialect[0] <= DIALECT_FREEBSD_14 || sim.dialect[1] <= DIALECT_FREEBSD_14);
}

static bool may_not(enum counter c)
{
	unsigned pfs = sim.fws - sim.scenario->linuxes;

	if (sim.max_states || sim.established > 100 || (pfs && sim.scenario->linuxes > 1))
		return false;
	if (c == C_UPD_OUT && slow_dialect())
		return false;
	if (sim.strict && (c == C_INS_OUT || c == C_DEL_C_OUT))
		return false; /* what pf is to learn is refreshed by being replaced */
	/* flows that begin and end on the one pf are told to the other */
	if (check_both_kinds() && (c == C_INS_OUT || c == C_DEL_C_OUT))
		return false;
	/* nor do two pf nodes let go of such a flow at the same time: the first is asked whether it
	 * still has what the other has told just now */
	if (pfs > 1 && c == C_UPD_REQ_OUT)
		return false;
	return c != C_BULK_REQUEST_OUT || !pfs;
}

/* It has told all that it has, or is about to: who asks for that is answered. */
static bool was_asked(const struct fw *f)
{
	struct link_view v;

	for (unsigned i = 0; f->lin->e && engine_link_view(f->lin->e, i, &v); i++)
		if (v.answering)
			return true;
	return since(f, C_BULK_ANSWER_OUT) != 0;
}

void check_silence_end(uint64_t window)
{
	static const enum counter none[] = {C_INS_OUT, C_DEL_C_OUT, C_UPD_OUT, C_UPD_REQ_OUT,
					    C_BULK_REQUEST_OUT};
	uint64_t updates;

	if (sim.failed)
		return;
	for (unsigned i = 0; i < sim.fws; i++) {
		const struct fw *f = &sim.fw[i];

		if (f->kind != FW_LINUX)
			continue;
		/* who is not heard for a minute appears anew, and is asked for all it has */
		for (size_t k = 0; k < sizeof(none) / sizeof(none[0]); k++)
			if (since(f, none[k]) && may_not(none[k]))
				sim_fail(NULL, "node %d: %s moves by %llu while nothing changes",
					 f->index, counter_key(none[k]),
					 (unsigned long long)since(f, none[k]));
		updates = since(f, C_UPD_C_OUT);
		if (!was_asked(f))
			updates += since(f, C_UPD_OUT);
		if (!sim.strict && !sim.max_states && !check_both_kinds() &&
		    updates > refreshes(f, window))
			sim_fail(NULL, "node %d: %llu updates in %llu s while nothing changes",
				 f->index, (unsigned long long)updates,
				 (unsigned long long)(window / S));
	}
}

static void trace_flows(const struct fw *f)
{
	uint64_t cursor = 0;
	struct flow_view v;

	while (engine_flow_next(f->lin->e, &cursor, &v, sim.now))
		sim_trace("left on node %d: port %u remote %d kernel %d live %d told %d state %u "
			  "halves %d %d age %u",
			  f->index, v.tuples.end[ORIG_SRC].port, v.remote, v.in_kernel, v.live,
			  v.told, v.tcp_state, v.half[0].present, v.half[1].present, v.age);
}

/* Everything has ended: nothing is left anywhere. */
void check_empty(void)
{
	struct engine_totals t;

	if (sim.failed)
		return;
	for (unsigned i = 0; i < sim.fws; i++) {
		struct fw *f = &sim.fw[i];

		if (f->kind != FW_LINUX) {
			if (f->pf->count)
				sim_fail(NULL, "node %d (pf) has %zu states left", f->index,
					 f->pf->count);
			continue;
		}
		engine_totals(f->lin->e, &t);
		if (t.flows && sim.verbose)
			trace_flows(f);
		if (t.flows || t.queued || t.remote || t.live)
			sim_fail(NULL,
				 "node %d has %zu flows left (%zu queued, %zu remote, %zu live)",
				 f->index, t.flows, t.queued, t.remote, t.live);
		if (f->lin->kernel.count)
			sim_fail(NULL, "node %d has %zu kernel entries left", f->index,
				 f->lin->kernel.count);
	}
}
