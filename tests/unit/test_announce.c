/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of the flows of our own kernel: whether, and in which form. */
#include "check.h"
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sample.h"

enum { OURS = 0x0a0b0c0d, PEERS = 0x11223344 };

static struct node n;
static struct fake pf;

static void begin_with(const struct engine_config *c)
{
	node_meet(&n, &pf, c, DIALECT_FREEBSD_13);
}

static void begin(void)
{
	struct engine_config c = node_config(OURS);

	begin_with(&c);
}

static void end(void)
{
	CHECK_STR(n.wrong ? n.wrong : "", "");
	node_stop(&n);
}

static bool told(const struct tuples *t)
{
	return node_told(&n, t, OURS);
}

/* ---- whether
 * -------------------------------------------------------------------------------------- */

static void tcp_established(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);

	begin();
	node_new(&n, &t);
	CHECK(!told(&t));
	(void)node_packet(&n, &t, true);
	CHECK(!told(&t));
	(void)node_packet(&n, &t, false);
	CHECK(told(&t));
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	end();
}

static void tcp_syn(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	const struct said *m;

	c.tcp = FROM_NEW;
	begin_with(&c);
	node_new(&n, &t);
	CHECK(told(&t));
	m = node_half(&n, ACT_INS, PF_IN, 0);
	if (CHECK(m != NULL)) {
		CHECK_EQ(m->s.src.state, PF_TCP_SYN_SENT);
		CHECK_EQ(m->s.dst.state, PF_TCP_CLOSED);
		CHECK_EQ(m->s.timeout, PFTM_TCP_FIRST);
	}
	(void)node_packet(&n, &t, true);
	(void)node_packet(&n, &t, false);
	node_run(&n, 100);
	m = node_nth(&n, ACT_UPD_C, 0);
	if (CHECK(m != NULL)) {
		CHECK_EQ(m->u.src.state, 4);
		CHECK_EQ(m->u.dst.state, 4);
		CHECK_EQ(m->u.timeout, PFTM_TCP_ESTABLISHED);
	}
	end();
}

static void steps_of(uint8_t proto, enum announce_from from, int step)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(proto, 10, 1);

	c.udp = c.icmp = c.other = from;
	begin_with(&c);
	node_new(&n, &t);
	CHECK_EQ(told(&t), step <= 0);
	(void)node_packet(&n, &t, true);
	CHECK_EQ(told(&t), step <= 1);
	(void)node_packet(&n, &t, false);
	(void)node_packet(&n, &t, true);
	CHECK_EQ(told(&t), step <= 2);
	end();
}

static void other_protocols(void)
{
	steps_of(PROTO_UDP, FROM_NEW, 0);
	steps_of(PROTO_UDP, FROM_REPLIED, 1);
	steps_of(PROTO_UDP, FROM_ASSURED, 2);
	steps_of(PROTO_ICMP, FROM_NEW, 0);
	steps_of(PROTO_ICMP, FROM_REPLIED, 1);
	steps_of(47, FROM_REPLIED, 1);
}

static void check_untold(const struct tuples *t, enum reason r)
{
	uint64_t before = node_refused(&n, r);

	node_open(&n, t);
	CHECK(!told(t));
	CHECK(node_refused(&n, r) > before);
	node_kill(&n, t);
}

static struct prefix net(const char *s)
{
	struct prefix p;

	CHECK(prefix_parse(&p, s));
	return p;
}

static void not_told(void)
{
	static const uint8_t special[][4] = {{127, 0, 0, 1},
					     {169, 254, 1, 1},
					     {224, 0, 0, 5},
					     {255, 255, 255, 255},
					     {0, 0, 0, 0}};
	struct engine_config c = node_config(OURS);
	struct prefix exclude[] = {net("192.0.2.128/25"), net("2001:db8:2::10")};
	struct tuples t;

	c.exclude = (struct prefix_list){exclude, 2};
	begin_with(&c);
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
		t = tuples_v4(PROTO_UDP, 10, 1);
		memcpy(t.end[ORIG_DST].addr, special[i], 4);
		memcpy(t.end[REPLY_SRC].addr, special[i], 4);
		check_untold(&t, R_LINK_LOCAL);
	}
	t = tuples_v6(PROTO_UDP, 10, 1);
	t.end[ORIG_SRC].addr[0] = t.end[REPLY_DST].addr[0] = 0xfe;
	t.end[ORIG_SRC].addr[1] = t.end[REPLY_DST].addr[1] = 0x80;
	check_untold(&t, R_LINK_LOCAL);
	t = tuples_v4(PROTO_TCP, 200, 1);
	check_untold(&t, R_EXCLUDED);
	t = tuples_v6(PROTO_TCP, 10, 1);
	check_untold(&t, R_EXCLUDED);
	t = tuples_v4(PROTO_TCP, 10, 1);
	tuples_dnat(&t, 129, 80); /* any of its four ends */
	check_untold(&t, R_EXCLUDED);
	t = tuples_v4(240, 10, 1);
	check_untold(&t, R_PROTOCOL);
	t = tuples_v4(PROTO_TCP, 2, 1); /* from this host */
	check_untold(&t, R_LOCAL);
	t = tuples_v4(PROTO_TCP, 10, 1); /* to this host, by destination translation too */
	t.end[REPLY_SRC].addr[3] = 2;
	check_untold(&t, R_LOCAL);
	t = tuples_v4(PROTO_ICMP, 10, 1);
	t.icmp_type = 13;
	check_untold(&t, R_ICMP_TYPE);
	t = tuples_v4(PROTO_TCP, 10, 1);
	tuples_snat(&t, 2, 50000); /* its own address as translation does not make it local */
	node_open(&n, &t);
	CHECK(told(&t));
	end();
}

/* A flow that ends on a shared address has the half that pf would have. */
static void vip_halves(void)
{
	struct engine_config c = node_config(OURS);
	struct prefix vip[] = {net("198.51.100.2")};
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);

	c.vip = (struct prefix_list){vip, 1};
	begin_with(&c);
	t.end[ORIG_DST].addr[3] = t.end[REPLY_SRC].addr[3] = 2; /* 198.51.100.2, also our own */
	node_open(&n, &t);
	CHECK(told(&t));
	CHECK_EQ(node_said(&n, ACT_INS), 1);
	CHECK(node_half(&n, ACT_INS, PF_IN, 0) != NULL);
	node_quiet(&n);
	t = tuples_v4(PROTO_TCP, 10, 2);
	memcpy(t.end[ORIG_SRC].addr, (uint8_t[]){198, 51, 100, 2}, 4);
	t.end[REPLY_DST] = t.end[ORIG_SRC];
	node_open(&n, &t);
	CHECK(told(&t));
	CHECK_EQ(node_said(&n, ACT_INS), 1);
	CHECK(node_half(&n, ACT_INS, PF_OUT, 0) != NULL);
	end();
}

static void local_is_told_when_wanted(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(PROTO_TCP, 2, 1);

	c.announce_local = true;
	begin_with(&c);
	node_open(&n, &t);
	CHECK(told(&t));
	CHECK_EQ(node_said(&n, ACT_INS), 1);
	CHECK(node_half(&n, ACT_INS, PF_OUT, 0) != NULL);
	end();
}

/* ---- in which form
 * ---------------------------------------------------------------------------------- */

static void check_end(const struct pf_key *k, int i, const struct endpoint *e)
{
	CHECK_MEM(k->addr[i], e->addr, 16);
	CHECK_EQ(k->port[i], e->port);
}

static void nat_in_the_right_half(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	const struct said *in, *out;

	begin();
	tuples_snat(&t, 2, 50001);
	tuples_dnat(&t, 200, 8080);
	node_open(&n, &t);
	CHECK(told(&t));
	in = node_half(&n, ACT_INS, PF_IN, 0);
	out = node_half(&n, ACT_INS, PF_OUT, 0);
	if (!CHECK(in && out))
		return;
	check_end(&in->s.key[PF_WIRE], PF_OUTSIDE, &t.end[ORIG_SRC]);
	check_end(&in->s.key[PF_WIRE], PF_INSIDE, &t.end[ORIG_DST]);
	check_end(&in->s.key[PF_STACK], PF_OUTSIDE, &t.end[ORIG_SRC]);
	check_end(&in->s.key[PF_STACK], PF_INSIDE, &t.end[REPLY_SRC]);
	check_end(&out->s.key[PF_WIRE], PF_OUTSIDE, &t.end[REPLY_SRC]);
	check_end(&out->s.key[PF_WIRE], PF_INSIDE, &t.end[REPLY_DST]);
	check_end(&out->s.key[PF_STACK], PF_OUTSIDE, &t.end[REPLY_SRC]);
	check_end(&out->s.key[PF_STACK], PF_INSIDE, &t.end[ORIG_SRC]);
	CHECK(in->id != out->id && in->id && out->id);
	end();
}

/* The recorded states of an injector that revived live flows in a real pf, as tuples again. */
static struct tuples tuples_of_pair(const struct pf_state *in, const struct pf_state *out)
{
	struct tuples t = {.family = in->af == 2 ? 4 : 6, .proto = in->proto};

	for (int i = 0; i < 2; i++) {
		memcpy(t.end[ORIG_SRC + i].addr, in->key[PF_WIRE].addr[i], 16);
		t.end[ORIG_SRC + i].port = in->key[PF_WIRE].port[i];
		memcpy(t.end[REPLY_SRC + i].addr, out->key[PF_WIRE].addr[i], 16);
		t.end[REPLY_SRC + i].port = out->key[PF_WIRE].port[i];
	}
	if (proto_is_icmp(t.proto)) {
		t.icmp_type = t.proto == PROTO_ICMP ? 8 : 128;
		t.end[ORIG_DST].port = t.end[REPLY_SRC].port = 0;
	}
	return t;
}

static void check_like_recorded(const struct pf_state *a, const struct pf_state *want)
{
	CHECK_MEM(a->key, want->key, sizeof(a->key));
	CHECK_MEM(a->ifname, want->ifname, PF_IFNAME_LEN);
	CHECK_EQ(a->af, want->af);
	CHECK_EQ(a->proto, want->proto);
	CHECK_EQ(a->direction, want->direction);
	CHECK_EQ(a->timeout, want->timeout);
	CHECK_EQ(a->state_flags, want->state_flags);
	CHECK_EQ(a->src.state, want->src.state);
	CHECK_EQ(a->dst.state, want->dst.state);
	CHECK_EQ(a->src.wscale, want->src.wscale);
	CHECK_EQ(a->src.seqhi | a->src.max_win, want->src.seqhi | want->src.max_win);
	CHECK_EQ(a->src.seqlo, want->proto == PROTO_TCP); /* verified later: 1 */
	CHECK_EQ(a->expire, 0);				  /* verified later: a whole timeout */
	CHECK_EQ(a->rule, want->rule);
	CHECK_EQ(a->anchor, want->anchor);
	CHECK_EQ(a->nat_rule, want->nat_rule);
	CHECK_EQ(a->log, want->log);
}

static void as_recorded(void)
{
	static struct pf_state recorded[32];
	struct pcap_file file;
	const uint8_t *frame, *payload;
	size_t len, count = 0, pairs = 0;

	if (!CHECK(pcap_file_open(&file, check_data("freebsd-12.1/linux-made/sync.pcap"))))
		return;
	while (pcap_file_next(&file, &frame, &len)) {
		struct packet p;
		struct section s;
		struct pf_state m;

		if (!sample_payload(frame, len, &payload, &len) ||
		    packet_open(&p, payload, len) != R_NONE)
			continue;
		while (packet_next(&p, &s))
			while (s.action == ACT_INS && section_next_state(&s, &m))
				if (m.creatorid == 0x11abcdef && count < 32)
					recorded[count++] = m;
	}
	pcap_file_close(&file);
	CHECK_EQ(count, 14);
	begin();
	for (size_t i = 0; i + 1 < count; i += 2) {
		const struct pf_state *in = &recorded[i], *out = &recorded[i + 1];
		struct tuples t;
		struct flow_view v;

		if (in->direction == PF_OUT) {
			in = &recorded[i + 1];
			out = &recorded[i];
		}
		if (!CHECK(in->direction == PF_IN && out->direction == PF_OUT))
			break;
		t = tuples_of_pair(in, out);
		node_quiet(&n);
		node_open(&n, &t);
		if (!CHECK(told(&t)) || !CHECK(node_flow(&n, &t, &v)))
			continue;
		check_like_recorded(&node_half(&n, ACT_INS, PF_IN, 0)->s, in);
		check_like_recorded(&node_half(&n, ACT_INS, PF_OUT, 0)->s, out);
		pairs++;
	}
	CHECK_EQ(pairs, 7);
	end();
}

/* OpenBSD: rtableid -1,0 and 0,-1, ICMP keys with the type, AF_INET6 24, floating. */
static void as_openbsd_has_it(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v6(PROTO_ICMPV6, 10, 0x1234);
	const struct said *in, *out;

	node_meet(&n, &pf, &c, DIALECT_OPENBSD);
	node_open(&n, &t);
	CHECK(told(&t));
	in = node_half(&n, ACT_INS, PF_IN, 0);
	out = node_half(&n, ACT_INS, PF_OUT, 0);
	if (!CHECK(in && out))
		return;
	CHECK_EQ(in->layout, LAYOUT_OPENBSD);
	CHECK_EQ(in->s.af, 24);
	CHECK_EQ(in->s.key[0].port[0], 0x1234);
	CHECK_EQ(in->s.key[0].port[1], 128);
	CHECK_EQ(out->s.key[0].port[0], 128);
	CHECK_EQ(out->s.key[0].port[1], 0x1234);
	CHECK_EQ(in->s.rtableid[0], -1);
	CHECK_EQ(in->s.rtableid[1], 0);
	CHECK_EQ(out->s.rtableid[0], 0);
	CHECK_EQ(out->s.rtableid[1], -1);
	CHECK_EQ(in->s.state_flags, 0);
	end();
}

/* ---- FreeBSD 14 and 15, byte by byte ---- */

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put_ends(uint8_t *key, const struct endpoint *outside, const struct endpoint *inside,
		     const uint16_t port[2])
{
	memcpy(key, outside->addr, 16);
	memcpy(key + 16, inside->addr, 16);
	put16(key + 32, port[0]);
	put16(key + 34, port[1]);
}

/*
 * The record by the offsets of pfsync-protocol 3.5, with the values of its section 10; id, age and
 * states of the sides as they were told.
 */
static void by_the_book(const struct tuples *t, const struct said *m, uint8_t *r)
{
	bool in = m->s.direction == PF_IN, typed = m->layout == LAYOUT_1500;
	bool tail15 = m->layout == LAYOUT_1500, icmp = proto_is_icmp(t->proto);
	const struct endpoint *client = &t->end[ORIG_SRC], *server = &t->end[REPLY_SRC];
	const struct endpoint *seen = &t->end[in ? ORIG_DST : REPLY_DST]; /* on the wire */
	uint8_t af = t->family == 6 ? 28 : 2;
	uint16_t wire[2], stack[2];

	memset(r, 0, 360);
	for (int i = 0; i < 8; i++)
		r[i] = (uint8_t)(m->s.id >> (56 - 8 * i));
	memcpy(r + 8, "all", 3);
	wire[0] = in ? client->port : server->port;
	wire[1] = seen->port;
	stack[0] = in ? client->port : server->port;
	stack[1] = in ? server->port : client->port;
	if (icmp) {
		wire[in ? 0 : 1] = in ? client->port : seen->port;
		wire[in ? 1 : 0] = typed ? t->icmp_type : wire[in ? 0 : 1];
		stack[in ? 0 : 1] = client->port;
		stack[in ? 1 : 0] = typed ? t->icmp_type : client->port;
	}
	put_ends(r + 24, in ? client : server, seen, wire);
	put_ends(r + 60, in ? client : server, in ? server : client, stack);
	r[96 + 24] = m->s.src.state;
	r[128 + 24] = m->s.dst.state;
	if (t->proto == PROTO_TCP)
		r[96 + 11] = r[128 + 11] = 1; /* seqlo */
	memset(r + 176, 0xff, 12);	      /* rule, anchor, nat_rule */
	r[191] = (uint8_t)m->s.creation;
	memcpy(r + 228, "\x0a\x0b\x0c\x0d", 4);
	if (tail15) {
		memset(r + 328, 0xff, 4); /* rtableid */
		put16(r + 332, t->proto == PROTO_TCP ? 2 : 0);
		r[344] = r[345] = af;
		r[347] = r[348] = t->proto;
		r[350] = m->s.timeout;
		r[351] = m->s.direction;
	} else {
		r[232] = af;
		r[233] = t->proto;
		r[234] = m->s.direction;
		put16(r + 235, t->proto == PROTO_TCP ? 2 : 0);
		r[239] = m->s.timeout;
		memset(r + 250, 0xff, 4);
	}
}

/* It stands in the packet that it left in. */
static bool was_sent(const struct said *m, const uint8_t *record)
{
	const struct sent *p = &n.sent[m->packet];
	size_t size = pfstate_size(m->layout);

	for (size_t at = 24; at + size <= p->len; at++)
		if (!memcmp(p->data + at, record, size))
			return true;
	return false;
}

static void as_freebsd_has_it(void)
{
	static const uint8_t protos[] = {PROTO_TCP, PROTO_UDP, PROTO_ICMP, PROTO_ICMPV6, 47};
	unsigned records = 0;

	for (int d = DIALECT_FREEBSD_14; d <= DIALECT_FREEBSD_15; d++)
		for (unsigned kind = 0; kind < 4 * sizeof(protos); kind++) {
			struct engine_config c = node_config(OURS);
			uint8_t proto = protos[kind / 4], record[360];
			struct tuples t;

			if ((proto == PROTO_ICMP && kind & 1) ||
			    (proto == PROTO_ICMPV6 && ~kind & 1))
				continue;
			t = kind & 1 ? tuples_v6(proto, 10, 0x1234) : tuples_v4(proto, 10, 0x1234);
			if (kind & 2 && !(kind & 1) && proto != 47)
				tuples_snat(&t, 2, 0x4321);
			node_meet(&n, &pf, &c, (enum dialect_id)d);
			node_open(&n, &t);
			CHECK(told(&t));
			for (uint8_t way = PF_IN; way <= PF_OUT; way++) {
				const struct said *m = node_half(&n, ACT_INS, way, 0);

				if (!CHECK(m &&
					   m->layout == dialect_get((enum dialect_id)d)->layout))
					continue;
				by_the_book(&t, m, record);
				if (!CHECK(was_sent(m, record)))
					printf(" (%s, protocol %u, kind %u, direction %u)",
					       pf.dialect->name, proto, kind & 3, way);
				CHECK_EQ(m->s.expire, 0);
				records++;
			}
			end();
		}
	CHECK_EQ(records, 64);
}

static void interface_names(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);

	begin();
	n.interfaces = true;
	node_open(&n, &t);
	CHECK(told(&t));
	CHECK_STR(node_half(&n, ACT_INS, PF_IN, 0)->s.ifname, "em0");
	CHECK_STR(node_half(&n, ACT_INS, PF_OUT, 0)->s.ifname, "em1");
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"TCP from established on", tcp_established},
		{"TCP from the SYN on", tcp_syn},
		{"other protocols", other_protocols},
		{"what is not told", not_told},
		{"halves of shared addresses", vip_halves},
		{"local flows when wanted", local_is_told_when_wanted},
		{"translation in the right half", nat_in_the_right_half},
		{"as the states that revived flows in pf", as_recorded},
		{"as OpenBSD has it", as_openbsd_has_it},
		{"as FreeBSD 14 and 15 have it, byte by byte", as_freebsd_has_it},
		{"interface names", interface_names},
	};

	return check_main("announce", tests, sizeof(tests) / sizeof(tests[0]));
}
