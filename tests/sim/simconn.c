/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients and servers. A packet that a firewall drops is sent again after a second; a connection
 * that gets nothing through for PATIENCE is dead, and that is somebody's fault if it was owed.
 */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#include "xlat.h"

enum { PATIENCE_S = 5, BUCKETS = 1024 };

static uint16_t first_of[BUCKETS]; /* index + 1 of connections, by client port */
static uint16_t next_of[CONN_MAX];

void conn_text(const struct conn *c, char *buf, size_t size)
{
	static const char *const phases[] = {"opening", "open", "closing", "over"};

	snprintf(buf, size,
		 "flow port %u proto %u%s%s %s, opened %.3f, owner %d since %.3f, last %.3f",
		 c->t.end[ORIG_SRC].port, c->t.proto, tuples_have_snat(&c->t) ? " snat" : "",
		 tuples_have_dnat(&c->t) ? " dnat" : "", phases[c->phase], (double)c->open_at / 1e9,
		 c->owner, (double)c->owner_since / 1e9, (double)c->last / 1e9);
}

/* ---- opening --------------------------------------------------------------------------- */

void conn_reset(void)
{
	memset(first_of, 0, sizeof(first_of));
	sim.conns = 0;
}

struct conn *conn_find(const struct tuples *t)
{
	for (unsigned i = first_of[t->end[ORIG_SRC].port % BUCKETS]; i; i = next_of[i - 1])
		if (tuples_equal(&sim.conn[i - 1].t, t))
			return &sim.conn[i - 1];
	return NULL;
}

static void address(struct endpoint *e, int family, uint8_t net, uint8_t last, uint16_t port)
{
	memset(e, 0, sizeof(*e));
	if (family == 4)
		memcpy(e->addr, (uint8_t[4]){10, net, 0, last}, 4);
	else
		memcpy(e->addr, (uint8_t[16]){0x20, 1, 0x0d, 0xb8, 0, net, [15] = last}, 16);
	e->port = port;
}

/* Client ports are never used twice, so a port says which connection it is. */
static void draw_tuples(struct tuples *t)
{
	static const uint8_t protos[] = {PROTO_TCP, PROTO_TCP, PROTO_TCP, PROTO_UDP, PROTO_ICMP};
	int family = sim_chance(20) ? 6 : 4;
	uint16_t port = (uint16_t)(1024 + sim.port++ % 60000);
	bool icmp;

	memset(t, 0, sizeof(*t));
	t->family = (uint8_t)family;
	t->proto = protos[sim_below(sizeof(protos))];
	icmp = t->proto == PROTO_ICMP;
	if (icmp) {
		t->proto = family == 6 ? PROTO_ICMPV6 : PROTO_ICMP;
		t->icmp_type = family == 6 ? 128 : 8;
	}
	address(&t->end[ORIG_SRC], family, 1, (uint8_t)(10 + sim_below(20)), port);
	address(&t->end[ORIG_DST], family, 2, 10, icmp ? 0 : 443);
	t->end[REPLY_SRC] = t->end[ORIG_DST];
	t->end[REPLY_DST] = t->end[ORIG_SRC];
	if (sim_chance(30))
		address(&t->end[REPLY_DST], family, 2, 2, (uint16_t)(port ^ 0x8000));
	if (!icmp && sim_chance(25))
		address(&t->end[ORIG_DST], family, 1, 200, 8080);
}

static void file(struct conn *c)
{
	unsigned i = (unsigned)(c - sim.conn);
	uint16_t *first = &first_of[c->t.end[ORIG_SRC].port % BUCKETS];

	next_of[i] = *first;
	*first = (uint16_t)(i + 1);
}

struct conn *conn_open(void)
{
	struct conn *c = sim.conns < CONN_MAX ? &sim.conn[sim.conns++] : NULL;
	bool churn = sim.scenario->churn;
	uint64_t least, most;

	if (!c)
		return NULL;
	memset(c, 0, sizeof(*c));
	draw_tuples(&c->t);
	for (int typed = 0; typed < 2; typed++) {
		xlat_keys(&c->t, PF_IN, typed, c->key[typed][0]);
		xlat_keys(&c->t, PF_OUT, typed, c->key[typed][1]);
	}
	file(c);
	c->owner = -1;
	for (int i = 0; i < 2; i++)
		c->next[i] = (uint32_t)sim_random() | 1;
	/* as often as keeps it alive by anybody's timeout */
	least = proto_is_icmp(c->t.proto) ? 300 : sim_chance(20) ? 200 : 1000;
	most = proto_is_icmp(c->t.proto) ? 2000 : c->t.proto == PROTO_UDP ? 8000 : 12000;
	c->every = (least + sim_below(most - least)) * MS;
	c->size = sim_chance(30) ? 200000 : 500;
	c->ends_at = sim_chance(churn ? 90 : 40) ? sim.now + (churn ? 200 : 2000) * MS +
							   sim_below(churn ? 10 * S : 120 * S)
						 : NEVER;
	sim.opened++;
	wire_after(sim.now, c);
	return c;
}

/* ---- what is owed ---------------------------------------------------------------------- */

/* How long after a change at a node everybody should know it. */
uint64_t conn_announced(const struct fw *by)
{
	return by->kind == FW_LINUX ? 300 * MS : 1500 * MS;
}

/* And this connection: it may have to be as far as the announcement wants it. */
uint64_t conn_told_after(const struct conn *c, const struct fw *by)
{
	uint64_t after = conn_announced(by);

	if (by->kind == FW_LINUX && c->t.proto == PROTO_UDP && sim.udp == FROM_ASSURED)
		after += 25 * S;
	return after;
}

/* The connection is known to all, for nothing has gone wrong for long enough. */
static uint64_t good_since(const struct conn *c)
{
	uint64_t since = c->open_at > c->steady ? c->open_at : c->steady;

	return since > sim.trouble + sim.recovery ? since : sim.trouble + sim.recovery;
}

/* Two pf nodes: it may have names of both. */
bool conn_passed_both(const struct conn *c)
{
	unsigned pfs = 0;

	for (unsigned i = 0; i < sim.fws; i++)
		pfs += sim.fw[i].kind != FW_LINUX && c->seen[i];
	return pfs > 1;
}

/* What was lost by the node itself, or to others, is not owed by the engines. */
static enum excuse excuse(const struct conn *c, enum verdict v)
{
	const struct fw *f = &sim.fw[sim.carrier];

	if (c->owner == sim.carrier && f->excuse >= c->seen[f->index])
		return EXCUSE_LOST;
	if (c->lost[f->index] && c->lost[f->index] >= c->seen[f->index])
		return EXCUSE_OTHERS;
	if (c->owner == sim.carrier && f->kind != FW_LINUX && sim.now <= good_since(c))
		return EXCUSE_PF;
	(void)v;
	return EXCUSE_NONE;
}

/* Why a packet should have passed; NULL if it may be dropped. */
static const char *promise(const struct conn *c)
{
	const struct fw *f = &sim.fw[sim.carrier], *o = c->owner < 0 ? NULL : &sim.fw[c->owner];
	uint64_t since = good_since(c);

	if (c->phase != CONN_OPEN || !o)
		return NULL;
	if (sim.scenario->upgrade && proto_is_icmp(c->t.proto)) /* see is_steady() of simcheck.c */
		return NULL;
	if (f == o && c->seen[f->index] > sim.carrier_since)
		return "passed here before"; /* nobody may take it away, whatever is lost */
	if (c->owner_since > since)
		since = c->owner_since;
	if (sim.max_states || sim.carrier_since < since + conn_told_after(c, o))
		return NULL;
	return "was told before it moved";
}

static const char *owed(struct conn *c, enum verdict v)
{
	const char *why = promise(c);

	c->excuse = why ? excuse(c, v) : EXCUSE_NONE;
	return c->excuse == EXCUSE_NONE ? why : NULL;
}

void conn_killed(struct conn *c, const struct fw *f, bool live)
{
	uint64_t late = sim.now + sim.wire.delay + sim.wire.jitter + S;

	sim.trouble = sim.now;
	/* who carries it, as far as is known there, tells all others that it has ended */
	for (unsigned i = 0; i < sim.fws; i++)
		if ((int)i == f->index || live)
			c->lost[i] = late;
}

void conn_suspended(void)
{
	for (size_t i = 0; i < sim.conns; i++)
		sim.conn[i].steady = sim.now;
}

void conn_move(int to)
{
	if (to == sim.carrier)
		return;
	sim_trace("traffic moves from node %d to node %d", sim.carrier, to);
	sim.carrier = to;
	sim.carrier_since = sim.now;
	sim.moved++;
	if (sim.fw[to].kind == FW_LINUX)
		lin_takeover(&sim.fw[to]);
}

/* ---- packets --------------------------------------------------------------------------- */

static enum verdict pass(struct conn *c, const struct pkt *p)
{
	struct fw *f = &sim.fw[sim.carrier];
	enum verdict v;

	if (!fw_works(f))
		return DROP_DOWN;
	v = f->kind == FW_LINUX ? lin_forward(f, c, p) : pf_forward(f, c, p);
	sim_mix((uint64_t)v << 32 | c->t.end[ORIG_SRC].port);
	return v;
}

static void stuck(struct conn *c, enum verdict v)
{
	if (!c->stuck) {
		c->stuck = sim.now;
		c->why = v;
		c->owed = v == DROP_DOWN ? NULL : owed(c, v);
		sim_trace("port %u dropped on node %d (%d)%s", c->t.end[ORIG_SRC].port, sim.carrier,
			  v, c->owed ? ", owed" : "");
	}
	if (v == DROP_DOWN)
		c->stuck = sim.now;
}

static void through(struct conn *c, const struct pkt *p)
{
	uint32_t len = p->end - p->seq;

	c->next[p->reply] = p->end;
	c->bytes += len;
}

/* One packet; false if it was dropped. */
static bool say(struct conn *c, bool reply, unsigned flags, uint32_t len)
{
	struct pkt p = {
		.reply = reply, .flags = flags, .seq = c->next[reply], .ack = c->next[!reply]};
	enum verdict v;

	p.end = p.seq + len + !!(flags & TH_SYN) + !!(flags & TH_FIN);
	v = pass(c, &p);
	if (v == PASS_NEW && c->phase == CONN_OPEN) {
		/* a flow without handshake began anew: what was known of it was not found */
		const char *why = owed(c, v);

		if (why)
			sim_fail(c, "a flow that %s met no state on node %d", why, sim.carrier);
	}
	if (v > PASS_NEW) {
		stuck(c, v);
		return false;
	}
	through(c, &p);
	return true;
}

static void passed(struct conn *c)
{
	uint64_t pause = c->t.proto == PROTO_TCP     ? 20 * S
			 : proto_is_icmp(c->t.proto) ? 4 * S
						     : 14 * S;

	if (c->owner != sim.carrier) {
		c->owner = sim.carrier;
		c->owner_since = sim.now;
	}
	if (sim.now - c->last > pause)
		c->steady = sim.now;
	c->last = c->seen[sim.carrier] = sim.now;
	c->stuck = 0;
	c->owed = NULL;
	c->excuse = EXCUSE_NONE;
}

static void over(struct conn *c)
{
	c->phase = CONN_OVER;
	c->ends_at = sim.now;
}

/* ---- steps ----------------------------------------------------------------------------- */

static bool open_step(struct conn *c)
{
	bool good;

	if (c->t.proto != PROTO_TCP) {
		good = say(c, false, 0, 0) && say(c, true, 0, 0);
		if (good)
			c->step = 3;
	} else if (c->step == 0) {
		good = say(c, false, TH_SYN, 0);
	} else if (c->step == 1) {
		good = say(c, true, TH_SYN | TH_ACK, 0);
	} else {
		good = say(c, false, TH_ACK, 0);
	}
	if (good && ++c->step >= 3) {
		c->phase = CONN_OPEN;
		c->open_at = c->last = c->steady = sim.now;
		c->step = 0;
		passed(c);
	}
	return good;
}

static bool exchange(struct conn *c)
{
	bool tcp = c->t.proto == PROTO_TCP;
	bool server_first = tcp && sim_chance(30);
	uint32_t len = tcp ? (uint32_t)sim_below(c->size) / 2 + 1 : 0;

	/* no more than a window at once */
	if (len > 30000)
		len = 30000;
	if (!say(c, server_first, TH_ACK, len) || !say(c, !server_first, TH_ACK, tcp ? 100 : 0))
		return false;
	passed(c);
	return true;
}

static bool close_step(struct conn *c)
{
	bool first = !c->client_closes;

	switch (c->step) {
	case 0:
		if (!say(c, first, TH_FIN | TH_ACK, 0))
			return false;
		break;
	case 1:
		if (!say(c, !first, TH_ACK, 0))
			return false;
		break;
	case 2:
		if (!say(c, !first, TH_FIN | TH_ACK, 0))
			return false;
		break;
	default:
		if (!say(c, first, TH_ACK, 0))
			return false;
		over(c);
	}
	c->step++;
	return true;
}

static void begin_close(struct conn *c)
{
	if (c->t.proto != PROTO_TCP) {
		over(c);
	} else if (sim_chance(20)) {
		sim.hung += !say(c, sim_chance(50), TH_RST | TH_ACK, 0);
		over(c);
	} else {
		c->phase = CONN_CLOSING;
		c->step = 0;
		c->client_closes = sim_chance(60);
	}
}

static void give_up(struct conn *c)
{
	if (c->owed)
		sim_fail(c, "a flow that %s is dead on node %d (%s)", c->owed, sim.carrier,
			 c->why == DROP_NONE   ? "no state"
			 : c->why == DROP_FULL ? "full"
					       : "window");
	sim_trace("port %u hangs", c->t.end[ORIG_SRC].port);
	sim.hung++;
	sim.excused[c->excuse]++;
	over(c);
}

void conn_step(struct conn *c)
{
	bool good = true;

	if (c->phase == CONN_OPEN && sim.now >= c->ends_at && !c->stuck)
		begin_close(c);
	switch (c->phase) {
	case CONN_OPENING:
		good = open_step(c);
		break;
	case CONN_OPEN:
		if (!sim.busy) {
			wire_after(sim.now + S, c);
			return;
		}
		good = exchange(c);
		break;
	case CONN_CLOSING:
		good = close_step(c);
		break;
	case CONN_OVER:
		return;
	}
	if (!good && sim.now - c->stuck >= PATIENCE_S * S)
		give_up(c);
	if (c->phase == CONN_OVER)
		return;
	if (!good)
		wire_after(sim.now + S - 100 * MS + sim_below(200 * MS), c);
	else if (c->phase == CONN_OPEN)
		wire_after(sim.now + c->every / 2 + sim_below(c->every), c);
	else
		wire_after(sim.now + MS + sim_below(40 * MS), c);
}
