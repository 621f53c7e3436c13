/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One flow and its two states. */
#include "check.h"
#include "xlat.h"

#include <arpa/inet.h>
#include <string.h>

struct end {
	const char *addr;
	uint16_t port;
};

static struct endpoint endpoint(struct end e)
{
	struct endpoint out = {.port = e.port};

	CHECK(inet_pton(strchr(e.addr, ':') ? AF_INET6 : AF_INET, e.addr, out.addr) == 1);
	return out;
}

static struct tuples flow(uint8_t proto, struct end a, struct end b, struct end c, struct end d)
{
	struct tuples t = {.family = strchr(a.addr, ':') ? 6 : 4,
			   .proto = proto,
			   .end = {endpoint(a), endpoint(b), endpoint(c), endpoint(d)}};

	if (proto_is_icmp(proto))
		t.icmp_type = proto == PROTO_ICMP ? 8 : 128;
	return t;
}

static struct pf_state state_of(const struct tuples *t, uint8_t direction, enum pf_layout layout)
{
	struct pf_state s = {.direction = direction,
			     .proto = t->proto,
			     .stack_proto = t->proto,
			     .af = layout_af(layout, t->family),
			     .rtableid = {-1, -1}};

	xlat_keys(t, direction, dialect_by_layout(layout)->icmp_typed, s.key);
	s.stack_af = s.key[0].af = s.key[1].af = s.af;
	return s;
}

static void check_key(const struct pf_key *k, struct end zero, struct end one)
{
	struct endpoint a = endpoint(zero), b = endpoint(one);

	CHECK_MEM(k->addr[0], a.addr, 16);
	CHECK_MEM(k->addr[1], b.addr, 16);
	CHECK_EQ(k->port[0], a.port);
	CHECK_EQ(k->port[1], b.port);
}

#define C     ((struct end){"192.0.2.10", 40000})
#define SRV   ((struct end){"198.51.100.10", 443})
#define NAT   ((struct end){"198.51.100.2", 50001})
#define X     ((struct end){"198.51.100.77", 55555})
#define RDR   ((struct end){"198.51.100.2", 8080})
#define INNER ((struct end){"192.0.2.10", 80})

static void plain(void)
{
	struct tuples t = flow(PROTO_TCP, C, SRV, SRV, C);
	struct pf_key key[2];

	xlat_keys(&t, PF_IN, false, key);
	check_key(&key[PF_WIRE], C, SRV);
	check_key(&key[PF_STACK], C, SRV);
	xlat_keys(&t, PF_OUT, false, key);
	check_key(&key[PF_WIRE], SRV, C);
	check_key(&key[PF_STACK], SRV, C);
}

static void source_nat(void)
{
	struct tuples t = flow(PROTO_UDP, C, SRV, SRV, NAT);
	struct pf_key key[2];

	xlat_keys(&t, PF_IN, true, key);
	check_key(&key[PF_WIRE], C, SRV);
	check_key(&key[PF_STACK], C, SRV);
	xlat_keys(&t, PF_OUT, true, key);
	check_key(&key[PF_WIRE], SRV, NAT);
	check_key(&key[PF_STACK], SRV, C);
}

static void redirection(void)
{
	struct tuples t = flow(PROTO_TCP, X, RDR, INNER, X);
	struct pf_key key[2];

	xlat_keys(&t, PF_IN, false, key);
	check_key(&key[PF_WIRE], X, RDR);
	check_key(&key[PF_STACK], X, INNER);
	xlat_keys(&t, PF_OUT, false, key);
	check_key(&key[PF_WIRE], INNER, X);
	check_key(&key[PF_STACK], INNER, X);
}

static void both(void)
{
	struct tuples t = flow(PROTO_TCP, C, RDR, SRV, NAT);
	struct pf_key key[2];

	xlat_keys(&t, PF_IN, false, key);
	check_key(&key[PF_WIRE], C, RDR);
	check_key(&key[PF_STACK], C, SRV);
	xlat_keys(&t, PF_OUT, false, key);
	check_key(&key[PF_WIRE], SRV, NAT);
	check_key(&key[PF_STACK], SRV, C);
}

static void icmp(void)
{
	struct end c = {"192.0.2.10", 0x1234}, s = {"198.51.100.10", 0},
		   s_id = {"198.51.100.10", 0x1234}, s_type = {"198.51.100.10", 8},
		   n = {"198.51.100.2", 0x77};
	struct end c6 = {"2001:db8:1::10", 7}, s6 = {"2001:db8:2::10", 0},
		   s6_type = {"2001:db8:2::10", 128};
	struct tuples t = flow(PROTO_ICMP, c, s, s, c);
	struct pf_key key[2];

	xlat_keys(&t, PF_IN, false, key); /* the id twice */
	check_key(&key[PF_WIRE], c, s_id);
	xlat_keys(&t, PF_OUT, false, key);
	check_key(&key[PF_WIRE], s_id, c);
	xlat_keys(&t, PF_IN, true, key); /* id and type */
	check_key(&key[PF_WIRE], c, s_type);
	xlat_keys(&t, PF_OUT, true, key);
	check_key(&key[PF_WIRE], s_type, c);
	t = flow(PROTO_ICMP, c, s, s, n); /* translated id: both ports, or the id's one */
	xlat_keys(&t, PF_OUT, false, key);
	check_key(&key[PF_WIRE], (struct end){"198.51.100.10", 0x77}, n);
	check_key(&key[PF_STACK], s_id, c);
	xlat_keys(&t, PF_OUT, true, key);
	check_key(&key[PF_WIRE], s_type, n);
	check_key(&key[PF_STACK], s_type, c);
	t = flow(PROTO_ICMPV6, c6, s6, s6, c6);
	xlat_keys(&t, PF_IN, true, key);
	check_key(&key[PF_WIRE], c6, s6_type);
}

static void no_ports(void)
{
	struct end c = {"192.0.2.10", 0}, s = {"198.51.100.10", 0};
	struct tuples t = flow(47, c, s, s, c);
	struct pf_key key[2];

	xlat_keys(&t, PF_OUT, true, key);
	check_key(&key[PF_WIRE], s, c);
}

static void random_end(struct endpoint *e, int family)
{
	*e = (struct endpoint){.port = (uint16_t)check_random()};
	check_fill(e->addr, family_len(family));
	e->addr[0] = family == 6 ? 0x20 : 10;
}

static struct tuples random_flow(void)
{
	static const uint8_t protos[] = {PROTO_TCP, PROTO_UDP, PROTO_ICMP, PROTO_ICMPV6, 47};
	struct tuples t = {.proto = protos[check_below(sizeof(protos))]};

	t.family = t.proto == PROTO_ICMP ? 4 : t.proto == PROTO_ICMPV6 || check_below(2) ? 6 : 4;
	random_end(&t.end[ORIG_SRC], t.family);
	random_end(&t.end[REPLY_SRC], t.family);
	t.end[REPLY_DST] = t.end[ORIG_SRC];
	t.end[ORIG_DST] = t.end[REPLY_SRC];
	if (check_below(2))
		random_end(&t.end[REPLY_DST], t.family);
	if (check_below(2))
		random_end(&t.end[ORIG_DST], t.family);
	if (proto_is_icmp(t.proto)) {
		t.icmp_type = t.proto == PROTO_ICMP ? 8 : 128;
		t.end[ORIG_DST].port = t.end[REPLY_SRC].port = 0;
		for (int i = ORIG_SRC; i <= REPLY_DST; i++) /* an id like a type reads both ways */
			if (t.end[i].port == t.icmp_type)
				t.end[i].port++;
	} else if (t.proto == 47) {
		for (int i = ORIG_SRC; i <= REPLY_DST; i++)
			t.end[i].port = 0;
	}
	return t;
}

/* Both halves in any order give the flow again, in each layout. */
static void round_trip(void)
{
	for (int i = 0; i < 4000; i++) {
		static const enum pf_layout layouts[] = {LAYOUT_1301, LAYOUT_1400, LAYOUT_1500,
							 LAYOUT_OPENBSD};
		enum pf_layout layout = layouts[check_below(4)];
		uint8_t first = check_below(2) ? PF_IN : PF_OUT, second = PF_IN + PF_OUT - first;
		struct tuples t = random_flow(), half, got;
		struct pf_state s = state_of(&t, first, layout);

		if (!CHECK_EQ(xlat_half(&s, layout, &got), R_NONE))
			return;
		s = state_of(&t, second, layout);
		if (!CHECK_EQ(xlat_half(&s, layout, &half), R_NONE))
			return;
		xlat_merge_half(&got, &half, second);
		if (!CHECK(tuples_equal(&got, &t)))
			return;
	}
}

static void check_refused(struct pf_state *s, enum pf_layout layout, enum reason r, bool is_kept)
{
	struct tuples t;

	CHECK_EQ(xlat_half(s, layout, &t), r);
	CHECK_EQ(xlat_is_kept(r), is_kept);
}

static void refusals(void)
{
	struct tuples t = flow(PROTO_TCP, C, SRV, SRV, C);
	struct pf_state good = state_of(&t, PF_IN, LAYOUT_1500), s;

	CHECK_EQ(xlat_half(&good, LAYOUT_1500, &t), R_NONE);
	s = good;
	s.direction = 0;
	check_refused(&s, LAYOUT_1500, R_DIRECTION, false);
	s = good;
	s.af = 10; /* Linux's AF_INET6 */
	check_refused(&s, LAYOUT_1500, R_ADDRESS_FAMILY, false);
	s = good;
	s.stack_af = 28;
	check_refused(&s, LAYOUT_1500, R_AF_TO, true);
	s = good;
	s.proto = s.stack_proto = 240;
	check_refused(&s, LAYOUT_1500, R_PROTOCOL, false);
	s = good;
	s.key[0].addr[1][0] = s.key[1].addr[1][0] = 224;
	check_refused(&s, LAYOUT_1500, R_LINK_LOCAL, false);
	s = good;
	s.src.seqdiff = 1;
	check_refused(&s, LAYOUT_1500, R_SEQDIFF, true);
	s = good;
	s.dst.seqdiff = 1;
	check_refused(&s, LAYOUT_1500, R_SEQDIFF, true);
	s = good;
	s.src.state = PF_TCP_PROXY_SRC;
	check_refused(&s, LAYOUT_1500, R_SYNPROXY, true);
	s = good;
	s.dst.scrub_flag = 1;
	s.dst.scrub_flags = 1;
	check_refused(&s, LAYOUT_1500, R_TS_MODULATED, true);
	s = good;
	s.rt = 1;
	check_refused(&s, LAYOUT_1500, R_ROUTE_TO, true);
	s = good;
	s.key[PF_WIRE].addr[PF_OUTSIDE][3]++; /* the client's end of an in state */
	check_refused(&s, LAYOUT_1500, R_NAT_FORM, true);
	t = flow(PROTO_TCP, C, SRV, SRV, C);
	s = state_of(&t, PF_IN, LAYOUT_OPENBSD);
	s.key[PF_WIRE].rdomain = 1;
	check_refused(&s, LAYOUT_OPENBSD, R_RDOMAIN, true);
	s = state_of(&t, PF_IN, LAYOUT_OPENBSD);
	s.key[PF_STACK].af = 24;
	check_refused(&s, LAYOUT_OPENBSD, R_AF_TO, true);
	s = state_of(&t, PF_IN, LAYOUT_OPENBSD);
	s.key[PF_WIRE].af = s.key[PF_STACK].af = 0; /* a key without a family has the state's */
	CHECK_EQ(xlat_half(&s, LAYOUT_OPENBSD, &t), R_NONE);
	t = flow(PROTO_ICMP, (struct end){"192.0.2.10", 5}, (struct end){"198.51.100.10", 0},
		 (struct end){"198.51.100.10", 0}, (struct end){"192.0.2.10", 5});
	s = state_of(&t, PF_IN, LAYOUT_OPENBSD);
	s.key[0].port[1] = s.key[1].port[1] = 3; /* unreachable: no query */
	check_refused(&s, LAYOUT_OPENBSD, R_ICMP_TYPE, false);
	CHECK(!xlat_is_kept(R_NONE) && !xlat_is_kept(R_EXCLUDED));
}

/* Routing tables: 0 and -1 are the default one; another one is not ours to install. */
static void routing_tables(void)
{
	struct tuples t = flow(PROTO_TCP, C, SRV, SRV, C);
	struct pf_state s = state_of(&t, PF_IN, LAYOUT_1400);

	s.rtableid[0] = 0;
	CHECK_EQ(xlat_half(&s, LAYOUT_1400, &t), R_NONE);
	s.rtableid[0] = 3;
	check_refused(&s, LAYOUT_1400, R_RDOMAIN, true);
}

/* Both schemes are told apart by the ports. */
static void both_icmp_schemes(void)
{
	struct tuples t = flow(PROTO_ICMP, (struct end){"192.0.2.10", 5},
			       (struct end){"198.51.100.10", 0}, (struct end){"198.51.100.10", 0},
			       (struct end){"192.0.2.10", 5}),
		      got;

	for (int typed = 0; typed < 2; typed++) {
		struct pf_state s = state_of(&t, PF_OUT, LAYOUT_1400);

		xlat_keys(&t, PF_OUT, typed, s.key);
		CHECK_EQ(xlat_half(&s, LAYOUT_1400, &got), R_NONE);
		CHECK(tuples_equal(&got, &t));
	}
}

int main(void)
{
	static const struct check_test tests[] = {
		{"plain", plain},
		{"source translation", source_nat},
		{"redirection", redirection},
		{"both", both},
		{"ICMP in both schemes", icmp},
		{"protocols without ports", no_ports},
		{"ICMP schemes told apart", both_icmp_schemes},
		{"round trip", round_trip},
		{"refusals", refusals},
		{"routing tables", routing_tables},
	};

	return check_main("xlat", tests, sizeof(tests) / sizeof(tests[0]));
}
