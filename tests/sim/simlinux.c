/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A Linux node: the engine of the daemon between a model kernel and the wire. */
#include "simlinux.h"

#include <errno.h>
#include <stdlib.h>

#include "outgoing.h"

enum {
	RUNS_AT_ONCE = 200,   /* engine_run() at one moment, before it is called a busy loop */
	RUNS_A_SECOND = 2000, /* a portion each 5 ms, a flush each ms, a packet each ms */
	DUMP_PORTION = 32,
	PRESSURE_EVERY_S = 5,
	MEMORY_EVERY_S = 7,
};

/* The wire at the nth link of a node. */
static unsigned wire_of(const struct fw *f, unsigned link)
{
	return f->wires == 2 ? 1 : link;
}

/* ---- effects of the engine ------------------------------------------------------------- */

static int op_send(void *ctx, unsigned link, const uint8_t *data, size_t len)
{
	struct fw *f = ctx;
	const struct dialect *d;
	const char *why = NULL;
	bool good = false;

	for (int i = 0; i < DIALECT_COUNT && !good; i++) {
		const char *wrong;

		d = dialect_get((enum dialect_id)i);
		wrong = outgoing_wrong(d, data, len);
		good = !wrong;
		if (d->version == data[0])
			why = wrong;
	}
	if (!good)
		sim_fail(NULL, "node %d sends what no pf would: %s", f->index,
			 why ? why : "a version that nobody has");
	if (len > WIRE_MTU - 20)
		sim_fail(NULL, "node %d sends a packet of %zu bytes", f->index, len);
	wire_send(f, wire_of(f, link), data, len);
	return 0;
}

static void op_flush(void *ctx)
{
	(void)ctx;
}

/* A connection that passes here is not to be taken away from under its packets. */
static void judge_delete(struct fw *f, const struct tuples *t)
{
	struct conn *c = conn_find(t);

	if (c && c->phase == CONN_OPEN && c->owner == f->index && sim.carrier == f->index &&
	    sim.now - c->last < S)
		sim_trace("node %d deletes a live entry of port %u", f->index,
			  c->t.end[ORIG_SRC].port);
}

static void op_kernel(void *ctx, struct kernel_op *ops, size_t n)
{
	struct fw *f = ctx;
	struct ktable *k = &f->lin->kernel;

	if (!n || n > ENGINE_BATCH)
		sim_fail(NULL, "node %d writes %zu operations at once", f->index, n);
	for (size_t i = 0; i < n; i++) {
		struct kernel_op *op = &ops[i];
		struct kent *m;

		switch (op->verb) {
		case KERNEL_CREATE:
			op->error = kernel_create(k, &op->entry);
			break;
		case KERNEL_CHANGE:
			op->error = kernel_change(k, &op->entry);
			break;
		case KERNEL_DELETE:
			judge_delete(f, &op->entry.tuples);
			op->error = kernel_delete(k, &op->entry.tuples);
			break;
		case KERNEL_GET:
			m = kernel_find(k, &op->entry.tuples, false);
			op->error = m ? 0 : ENOENT;
			if (m)
				op->entry = kernel_seen(m);
			break;
		}
		sim_mix((uint64_t)op->verb << 8 | (unsigned)op->error);
		if (op->error)
			sim_trace("node %d: kernel verb %d port %u state %d status %x: error %d",
				  f->index, op->verb, op->entry.tuples.end[ORIG_SRC].port,
				  op->entry.tcp_state, op->entry.status, op->error);
	}
}

static void op_dump(void *ctx)
{
	struct fw *f = ctx;

	if (f->lin->dump_at != NEVER)
		sim_fail(NULL, "node %d asks for a dump while one is under way", f->index);
	f->lin->dump_at = sim.now + MS / 2;
	f->lin->dumped = f->lin->portions = 0;
}

static const char *const note_names[] = {
	[NOTE_SENT] = "sent",
	[NOTE_RECEIVED] = "received",
	[NOTE_REFUSED] = "refused",
	[NOTE_COMMITTED] = "committed",
	[NOTE_PEER_APPEARED] = "peer appeared",
	[NOTE_PEER_DIALECT] = "peer speaks",
	[NOTE_TAKEN_OVER] = "taken over",
	[NOTE_HANDED_OVER] = "handed over",
	[NOTE_BULK_ASKED] = "bulk asked",
	[NOTE_BULK_DONE] = "bulk done",
	[NOTE_BULK_FAILED] = "bulk failed",
	[NOTE_BULK_ANSWERED] = "bulk answered",
	[NOTE_OVERRUN] = "overrun",
	[NOTE_IFNAME] = "interface name",
	[NOTE_HOSTID_CLASH] = "hostid clash",
};

static void op_note(void *ctx, const struct note *n)
{
	const struct fw *f = ctx;

	if (n->kind == NOTE_RECEIVED && n->action == ACT_EOF)
		return;
	sim_trace("node %d: %s %s %s port %u id %llx/%x %s", f->index, note_names[n->kind],
		  n->kind <= NOTE_RECEIVED ? action_name(n->action) : "",
		  n->kind == NOTE_REFUSED ? reason_word(n->reason) : "",
		  n->tuples ? n->tuples->end[ORIG_SRC].port : 0, (unsigned long long)n->id,
		  n->creatorid, n->detail ? n->detail : "");
}

/* ---- life ------------------------------------------------------------------------------ */

static void configure(struct fw *f)
{
	struct engine_config *c = &f->lin->config;

	*c = (struct engine_config){.hostid = 0x0a000000u + (unsigned)f->index * 0x1111u + 1,
				    .links = f->wires == 3 ? 2 : 1};
	for (unsigned i = 0; i < c->links; i++) {
		c->link[i] = (struct link_config){.name = i ? "other" : "sync",
						  .flush_ms = 20,
						  .bulk_rate = sim.bulk_rate,
						  .handover_strict = sim.strict};
		if (!sim.auto_dialect)
			c->link[i].dialect = dialect_get(sim.dialect[wire_of(f, i)]);
	}
	c->tcp = sim.tcp;
	c->udp = sim.udp;
	c->icmp = sim.icmp;
	c->other = FROM_REPLIED;
	c->takeover = sim.takeover;
	c->max_states = sim.max_states ? sim.max_states : 1000000;
	c->timeouts = sim.timeouts;
}

void lin_init(struct fw *f)
{
	f->lin = calloc(1, sizeof(*f->lin));
	if (!f->lin)
		abort();
	f->lin->dump_at = f->lin->next = NEVER;
	configure(f);
}

void lin_free(struct fw *f)
{
	engine_free(f->lin->e);
	kernel_free(&f->lin->kernel);
	free(f->lin);
	f->lin = NULL;
}

void lin_link(struct fw *f)
{
	struct prefix own = {.family = 4, .bits = 24};

	for (unsigned i = 0; f->lin->e && i < f->lin->config.links; i++) {
		struct address a = fw_address(f, wire_of(f, i));

		memcpy(own.addr, a.addr, 4);
		engine_on_link(f->lin->e, i, f->link, f->link ? WIRE_MTU : 0, &own, 1, sim.now);
	}
	if (!f->lin->e)
		return;
	f->lin->next = sim.now;
}

void lin_start(struct fw *f)
{
	static const struct engine_ops ops = {
		.send = op_send, .flush_packets = op_flush, .kernel = op_kernel, .dump = op_dump};
	struct engine_ops loud = ops;
	struct kernel_timeouts timeouts;
	struct address own[2];
	struct lin *l = f->lin;

	if (sim.verbose)
		loud.note = op_note;
	for (size_t i = 0; i < sizeof(l->config.hash_key); i++)
		l->config.hash_key[i] = (uint8_t)sim_random();
	l->e = engine_new(&l->config, &loud, f, sim.now);
	if (!l->e)
		abort();
	for (unsigned i = 0; i < l->config.links; i++)
		own[i] = fw_address(f, wire_of(f, i));
	engine_on_addresses(l->e, own, l->config.links);
	kernel_timeouts(&timeouts);
	engine_on_timeouts(l->e, &timeouts);
	l->kernel.deaf = l->kernel.lost = false;
	l->kernel.events = l->kernel.event_first = 0;
	l->dump_at = NEVER;
	l->gc_at = sim.now + S;
	l->pressure_at = sim.now + S;
	l->next = sim.now;
	for (int i = 0; i < C_COUNT; i++)
		l->before[i] = 0;
	lin_link(f);
	if (sim.carrier == f->index)
		lin_takeover(f);
}

/* commit = takeover: who fails over says so. */
void lin_takeover(struct fw *f)
{
	if (!f->lin->e || !sim.takeover)
		return;
	(void)engine_takeover(f->lin->e, sim.now);
	f->lin->next = engine_run(f->lin->e, sim.now);
}

void lin_stop(struct fw *f)
{
	struct lin *l = f->lin;

	check_counters();
	engine_free(l->e);
	l->e = NULL;
	l->dump_at = l->next = NEVER;
	l->kernel.deaf = true; /* nobody listens */
}

void lin_up(struct fw *f)
{
	kernel_clear(&f->lin->kernel);
	lin_start(f);
}

void lin_down(struct fw *f)
{
	if (f->lin->e)
		lin_stop(f);
	kernel_clear(&f->lin->kernel);
}

bool lin_claims(const struct fw *f, const struct tuples *t)
{
	uint64_t cursor = 0;
	struct flow_view v;

	while (engine_flow_next(f->lin->e, &cursor, &v, sim.now))
		if (v.live && tuples_equal(&v.tuples, t))
			return true;
	return false;
}

uint64_t lin_counter(const struct fw *f, enum counter c)
{
	return f->lin->e ? engine_counters(f->lin->e)->done[c] : 0;
}

/* ---- what comes in --------------------------------------------------------------------- */

void lin_receive(struct fw *f, const struct fw *from, unsigned wire, const uint8_t *data,
		 size_t len)
{
	struct packet_from how = {
		.src = fw_address(from, wire), .ttl = PFSYNC_TTL, .right_interface = true};

	if (!f->lin->e || !f->link)
		return;
	engine_on_packet(f->lin->e, f->wires == 3 ? wire : 0, &how, data, len, sim.now);
	f->lin->next = sim.now;
}

enum verdict lin_forward(struct fw *f, struct conn *c, const struct pkt *p)
{
	enum verdict v = kernel_packet(&f->lin->kernel, c, p);

	if (f->lin->kernel.evicted == sim.now) /* and the others are told that it has ended */
		for (unsigned i = 0; i < sim.fws; i++)
			sim.fw[i].excuse = sim.now + conn_announced(f);
	return v;
}

/* ---- time ------------------------------------------------------------------------------ */

static void give_events(struct fw *f)
{
	struct lin *l = f->lin;
	struct kevent *v;

	while ((v = kernel_event(&l->kernel))) {
		sim_trace("node %d: event %d of port %u state %d status %x timeout %u", f->index,
			  v->event, v->k.tuples.end[ORIG_SRC].port, v->k.tcp_state, v->k.status,
			  v->k.timeout);
		engine_on_event(l->e, v->event, &v->k, v->by_packet, sim.now);
		l->next = sim.now;
	}
	if (l->kernel.lost && sim.now >= l->told_lost_at) {
		l->kernel.lost = false;
		l->told_lost_at = sim.now + 100 * MS;
		engine_on_overrun(l->e, sim.now);
		l->next = sim.now;
	}
}

/*
 * What was read of the table a moment ago arrives, and the next portion is read; what has run out
 * is evicted by being looked at. Events go another way, and may overtake a record.
 */
static void give_dump(struct lin *l)
{
	struct ktable *k = &l->kernel;

	for (size_t i = 0; i < l->portions; i++)
		engine_on_dump(l->e, &l->portion[i], sim.now);
	l->next = sim.now;
	if (l->dumped >= k->entries) {
		l->portions = 0;
		l->dump_at = NEVER;
		engine_on_dump_end(l->e, !sim_chance(k->deaf ? 30 : 2), sim.now);
		return;
	}
	l->portions = 0;
	for (size_t i = 0; i < DUMP_PORTION && l->dumped < k->entries; i++, l->dumped++) {
		struct kent *m = k->entry[l->dumped];

		if (!m->used)
			continue;
		m = kernel_find(k, &m->k.tuples, false);
		if (m)
			l->portion[l->portions++] = kernel_seen(m);
	}
	l->dump_at = sim.now + sim_below(2 * MS);
}

static void run_engine(struct fw *f)
{
	struct lin *l = f->lin;

	for (int i = 0; l->next <= sim.now; i++) {
		/* two FreeBSDs may correct each other for ever: each packet of theirs is a run */
		if (i == RUNS_AT_ONCE || (l->runs++ > RUNS_A_SECOND && !sim.scenario->upgrade)) {
			sim_fail(NULL, "node %d wants to run again and again", f->index);
			l->next = sim.now + MS;
			return;
		}
		l->next = engine_run(l->e, sim.now);
		/* the daemon's clock is as fine as its timers: a millisecond */
		if (l->next > sim.now && l->next < sim.now + MS)
			l->next = sim.now + MS;
	}
}

uint64_t lin_next(const struct fw *f)
{
	const struct lin *l = f->lin;
	uint64_t next = l->next, at = kernel_event_at(&l->kernel);

	if (!l->e)
		return NEVER;
	if (at < next)
		next = at;
	if (l->dump_at < next)
		next = l->dump_at;
	if (l->gc_at < next)
		next = l->gc_at;
	if (l->kernel.lost && l->told_lost_at < next)
		next = l->told_lost_at;
	return next;
}

void lin_due(struct fw *f)
{
	struct lin *l = f->lin;

	if (!l->e)
		return;
	if (sim.now / S != l->second) {
		l->second = sim.now / S;
		l->runs = 0;
	}
	if (l->gc_at <= sim.now) {
		kernel_gc(&l->kernel, 60);
		l->gc_at = sim.now + S + sim_below(3 * S);
	}
	if (l->pressure_at <= sim.now) {
		engine_on_pressure(l->e, (uint32_t)l->kernel.count, (uint32_t)l->kernel.most);
		l->pressure_at = sim.now + PRESSURE_EVERY_S * S;
	}
	if (l->memory_at <= sim.now) {
		check_memory(f);
		l->memory_at = sim.now + MEMORY_EVERY_S * S;
	}
	give_events(f);
	if (l->dump_at <= sim.now)
		give_dump(l);
	run_engine(f);
	fault_hunt(f);
}
