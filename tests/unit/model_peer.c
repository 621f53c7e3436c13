/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a node said, what it is told, and peers that are only pretended. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "xlat.h"

void node_quiet(struct node *n)
{
	n->sents = n->saids = 0;
}

size_t node_said(const struct node *n, enum pf_action action)
{
	size_t count = 0;

	for (size_t i = 0; i < n->saids; i++)
		count += n->said[i].action == action;
	return count;
}

const struct said *node_nth(const struct node *n, enum pf_action action, size_t nth)
{
	for (size_t i = 0; i < n->saids; i++)
		if (n->said[i].action == action && !nth--)
			return &n->said[i];
	return NULL;
}

const struct said *node_about(const struct node *n, enum pf_action action, uint64_t id,
			      uint32_t creatorid)
{
	for (size_t i = 0; i < n->saids; i++)
		if (n->said[i].action == action && n->said[i].id == id &&
		    n->said[i].creatorid == creatorid)
			return &n->said[i];
	return NULL;
}

const struct said *node_half(const struct node *n, enum pf_action action, uint8_t direction,
			     size_t nth)
{
	for (size_t i = 0; i < n->saids; i++)
		if (n->said[i].action == action && n->said[i].s.direction == direction && !nth--)
			return &n->said[i];
	return NULL;
}

size_t node_times(const struct node *n, unsigned link, enum pf_action action, uint64_t id)
{
	size_t count = 0;

	for (size_t i = 0; i < n->saids; i++)
		count += n->said[i].link == link && n->said[i].action == action &&
			 (!id || n->said[i].id == id);
	return count;
}

const struct said *node_on(const struct node *n, unsigned link, enum pf_action action, uint64_t id)
{
	for (size_t i = 0; i < n->saids; i++)
		if (n->said[i].link == link && n->said[i].action == action && n->said[i].id == id)
			return &n->said[i];
	return NULL;
}

size_t node_talk(const struct node *n, unsigned link)
{
	return node_times(n, link, ACT_INS, 0) + node_times(n, link, ACT_UPD, 0) +
	       node_times(n, link, ACT_UPD_C, 0) + node_times(n, link, ACT_DEL_C, 0) +
	       node_times(n, link, ACT_CLR, 0);
}

bool node_flow(const struct node *n, const struct tuples *t, struct flow_view *v)
{
	uint64_t cursor = 0;

	while (engine_flow_next(n->e, &cursor, v, n->now))
		if (tuples_equal(&v->tuples, t))
			return true;
	*v = (struct flow_view){0};
	return false;
}

size_t node_flows(const struct node *n)
{
	struct engine_totals t;

	engine_totals(n->e, &t);
	return t.flows;
}

uint64_t node_counter(const struct node *n, enum counter c)
{
	return engine_counters(n->e)->done[c];
}

uint64_t node_refused(const struct node *n, enum reason r)
{
	return engine_counters(n->e)->refused[r];
}

/* ---- tuples ---------------------------------------------------------------------------- */

struct tuples tuples_v4(uint8_t proto, uint8_t client, uint16_t port)
{
	struct tuples t = {.family = 4, .proto = proto};
	struct endpoint c = {.addr = {192, 0, 2, client}, .port = port};
	struct endpoint s = {.addr = {198, 51, 100, 10}, .port = 443};

	if (proto_is_icmp(proto))
		t.icmp_type = 8;
	if (proto != PROTO_TCP && proto != PROTO_UDP)
		s.port = 0;
	if (proto != PROTO_TCP && proto != PROTO_UDP && !proto_is_icmp(proto))
		c.port = 0;
	t.end[ORIG_SRC] = t.end[REPLY_DST] = c;
	t.end[ORIG_DST] = t.end[REPLY_SRC] = s;
	return t;
}

struct tuples tuples_v6(uint8_t proto, uint8_t client, uint16_t port)
{
	struct tuples t = tuples_v4(proto, client, port);
	struct endpoint c = {.addr = {0x20, 0x01, 0x0d, 0xb8, 0, 1, [15] = client}};
	struct endpoint s = {.addr = {0x20, 0x01, 0x0d, 0xb8, 0, 2, [15] = 0x10}};

	c.port = t.end[ORIG_SRC].port;
	s.port = t.end[ORIG_DST].port;
	t.family = 6;
	if (proto == PROTO_ICMPV6)
		t.icmp_type = 128;
	t.end[ORIG_SRC] = t.end[REPLY_DST] = c;
	t.end[ORIG_DST] = t.end[REPLY_SRC] = s;
	return t;
}

void tuples_snat(struct tuples *t, uint8_t last, uint16_t port)
{
	struct endpoint *e = &t->end[REPLY_DST];

	if (t->family == 4)
		memcpy(e->addr, (uint8_t[4]){198, 51, 100, last}, 4);
	else
		memcpy(e->addr, (uint8_t[16]){0x20, 1, 0x0d, 0xb8, 0, 2, [15] = last}, 16);
	e->port = port;
}

void tuples_dnat(struct tuples *t, uint8_t last, uint16_t port)
{
	struct endpoint *e = &t->end[ORIG_DST];

	if (t->family == 4)
		memcpy(e->addr, (uint8_t[4]){192, 0, 2, last}, 4);
	else
		memcpy(e->addr, (uint8_t[16]){0x20, 1, 0x0d, 0xb8, 0, 1, [15] = last}, 16);
	e->port = port;
}

/* ---- the pretended peer ---------------------------------------------------------------- */

void fake_init(struct fake *f, enum dialect_id d, uint8_t last, uint32_t hostid)
{
	*f = (struct fake){.dialect = dialect_get(d),
			   .address = address_v4(203, 0, 113, last),
			   .hostid = hostid};
}

void fake_move(struct fake *f, unsigned link)
{
	f->link = link;
	f->address = address_on(&f->address, link);
}

void fake_greet(struct fake *f, struct node *n)
{
	struct tuples t = tuples_v4(PROTO_UDP, 250, 9);
	struct pf_state s = fake_half(f, &t, PF_IN, 1); /* a full state shows the dialect */

	fake_bus(f, n, BUS_START);
	fake_state(f, n, ACT_UPD, &s);
	fake_bus(f, n, BUS_END);
	fake_id(f, n, ACT_DEL_C, 1, f->hostid);
}

void node_meet(struct node *n, struct fake *f, const struct engine_config *config,
	       enum dialect_id d)
{
	node_start(n, config, 2, 1000 * S);
	fake_init(f, d, 1, 0x11223344);
	(void)node_settle(n);
	fake_greet(f, n);
	node_begin(n);
	node_quiet(n);
}

struct engine_config config_between(struct fake *a, enum dialect_id da, struct fake *b,
				    enum dialect_id db, unsigned link)
{
	struct engine_config c = node_config(0x0a0b0c0d);

	c.links = 1 + link;
	c.link[1] = c.link[0];
	c.link[1].name = "other";
	fake_init(a, da, 1, 0x11111111);
	fake_init(b, db, 3, 0x22222222);
	fake_move(b, link);
	return c;
}

void node_between(struct node *n, struct fake *a, struct fake *b,
		  const struct engine_config *config)
{
	node_start(n, config, 2, 1000 * S);
	(void)node_settle(n);
	fake_greet(a, n);
	node_run(n, 100);
	fake_greet(b, n);
	node_begin(n);
	node_run(n, 5000);
	node_quiet(n);
}

void node_hear_on(struct node *n, unsigned link, const struct address *from, const void *data,
		  size_t len)
{
	struct packet_from how = {.src = *from, .ttl = PFSYNC_TTL, .right_interface = true};

	engine_on_packet(n->e, link, &how, data, len, n->now);
}

void node_hear_raw(struct node *n, const struct address *from, const void *data, size_t len)
{
	node_hear_on(n, 0, from, data, len);
}

void fake_begin(struct fake *f)
{
	builder_start(&f->b, f->dialect, f->buf, 1480, false);
}

void fake_end(struct fake *f, struct node *n)
{
	size_t len = builder_finish(&f->b);

	if (!len)
		abort();
	node_hear_on(n, f->link, &f->address, f->buf, len);
	(void)node_settle(n);
}

void fake_state(struct fake *f, struct node *n, enum pf_action action, const struct pf_state *s)
{
	fake_begin(f);
	(void)builder_add_state(&f->b, action, s);
	fake_end(f, n);
}

void fake_id(struct fake *f, struct node *n, enum pf_action action, uint64_t id, uint32_t creatorid)
{
	fake_begin(f);
	(void)builder_add_id(&f->b, action, id, creatorid);
	fake_end(f, n);
}

void fake_upd_c(struct fake *f, struct node *n, const struct pf_state *s)
{
	struct msg_upd_c m = {.id = s->id,
			      .creatorid = s->creatorid,
			      .src = s->src,
			      .dst = s->dst,
			      .timeout = s->timeout};

	fake_begin(f);
	(void)builder_add_upd_c(&f->b, &m);
	fake_end(f, n);
}

void fake_bus(struct fake *f, struct node *n, uint8_t status)
{
	fake_begin(f);
	(void)builder_add_bus(&f->b, &(struct msg_bus){.creatorid = f->hostid, .status = status});
	fake_end(f, n);
}

void fake_clr(struct fake *f, struct node *n, uint32_t creatorid, const char *ifname)
{
	struct msg_clr m = {.creatorid = creatorid};

	memcpy(m.ifname, ifname, strnlen(ifname, sizeof(m.ifname) - 1));
	fake_begin(f);
	(void)builder_add_clr(&f->b, &m);
	fake_end(f, n);
}

struct pf_state fake_half(const struct fake *f, const struct tuples *t, uint8_t direction,
			  uint64_t id)
{
	struct pf_state s = {.id = id,
			     .creatorid = f->hostid,
			     .ifname = "all",
			     .af = t->family,
			     .stack_af = t->family,
			     .proto = t->proto,
			     .stack_proto = t->proto,
			     .direction = direction,
			     .rule = 1,
			     .anchor = UINT32_MAX,
			     .nat_rule = UINT32_MAX,
			     .creation = 5,
			     .rtableid = {-1, -1}};

	xlat_keys(t, direction, f->dialect->icmp_typed, s.key);
	switch (t->proto) {
	case PROTO_TCP:
		s.src = (struct pf_peer){.state = PF_TCP_ESTABLISHED,
					 .seqlo = 0x10000000,
					 .seqhi = 0x10010000,
					 .max_win = 502,
					 .wscale = 0x87};
		s.dst = (struct pf_peer){.state = PF_TCP_ESTABLISHED,
					 .seqlo = 0x20000000,
					 .seqhi = 0x20010000,
					 .max_win = 509,
					 .wscale = 0x8a};
		s.timeout = PFTM_TCP_ESTABLISHED;
		break;
	case PROTO_UDP:
		s.src.state = s.dst.state = PF_OTHER_MULTIPLE;
		s.timeout = PFTM_UDP_MULTIPLE;
		break;
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		s.timeout = PFTM_ICMP_ERROR;
		break;
	default:
		s.src.state = s.dst.state = PF_OTHER_MULTIPLE;
		s.timeout = PFTM_OTHER_MULTIPLE;
	}
	return s;
}

struct pf_state fake_later(const struct fake *f, const struct tuples *t, uint8_t direction,
			   uint64_t id)
{
	struct pf_state s = fake_half(f, t, direction, id);

	s.src.seqlo += 100000;
	s.src.seqhi += 100000;
	s.dst.seqlo += 100000;
	s.dst.seqhi += 100000;
	return s;
}

bool same_keys(const struct pf_key *x, const struct pf_key *y)
{
	for (int k = PF_WIRE; k <= PF_STACK; k++)
		if (memcmp(x[k].addr, y[k].addr, sizeof(x[k].addr)) != 0 ||
		    memcmp(x[k].port, y[k].port, sizeof(x[k].port)) != 0)
			return false;
	return true;
}

void fake_bulk(struct fake *f, struct node *n, const struct tuples *t, uint64_t id)
{
	fake_bus(f, n, BUS_START);
	for (unsigned h = 0; h < 2; h++) {
		struct pf_state s = fake_half(f, t, h ? PF_OUT : PF_IN, id + h);

		fake_state(f, n, ACT_UPD, &s);
	}
	fake_bus(f, n, BUS_END);
}

void fake_tells(struct fake *f, struct node *n, const struct tuples *t, uint64_t id)
{
	struct pf_state in = fake_half(f, t, PF_IN, id), out = fake_half(f, t, PF_OUT, id + 1);

	fake_begin(f);
	(void)builder_add_state(&f->b, ACT_INS, &in);
	(void)builder_add_state(&f->b, ACT_INS, &out);
	fake_end(f, n);
}

bool node_told(struct node *n, const struct tuples *t, uint32_t creatorid)
{
	struct flow_view v;

	node_run(n, 100);
	return node_flow(n, t, &v) && v.told &&
	       (node_about(n, ACT_INS, v.half[0].id, creatorid) ||
		node_about(n, ACT_INS, v.half[1].id, creatorid));
}

size_t fake_times(const struct fake *f, const struct node *n, enum pf_action action, uint64_t id)
{
	size_t count = 0;

	for (size_t i = 0; i < n->saids; i++)
		count += n->said[i].link == f->link && n->said[i].action == action &&
			 n->said[i].id == id && n->said[i].layout == f->dialect->layout;
	return count;
}

void fake_deletes(struct fake *f, struct node *n, uint64_t id, uint32_t creatorid)
{
	fake_begin(f);
	(void)builder_add_id(&f->b, ACT_DEL_C, id, creatorid);
	(void)builder_add_id(&f->b, ACT_DEL_C, id + 1, creatorid);
	fake_end(f, n);
}
