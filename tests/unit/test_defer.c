/* SPDX-License-Identifier: GPL-2.0-or-later */
/* defer: the first packet of a flow waits until a peer has its state, and never for long. */
#include "check.h"
#include "model.h"

enum { OURS = 0x0a0b0c0d, PEERS = 0x11223344, MANY = 128 };

static struct node n;
static struct fake pf;

static void begin_with(struct engine_config c, enum dialect_id d)
{
	c.link[0].defer = true;
	node_meet(&n, &pf, &c, d);
}

static void begin(void)
{
	begin_with(node_config(OURS), DIALECT_OPENBSD);
}

static void end(void)
{
	uint64_t went = node_counter(&n, C_DEFER_ACKED) + node_counter(&n, C_DEFER_TIMEOUT) +
			node_counter(&n, C_DEFER_CROWDED) + node_counter(&n, C_DEFER_ENDED);

	CHECK_EQ(node_counter(&n, C_DEFERRED), went);
	CHECK_STR(n.wrong ? n.wrong : "", "");
	node_stop(&n);
}

static const struct said *out_of(const struct tuples *t)
{
	struct flow_view v;

	return CHECK(node_flow(&n, t, &v)) ? node_about(&n, ACT_INS, v.half[1].id, OURS) : NULL;
}

static void acknowledge(const struct tuples *t, int half)
{
	struct flow_view v;

	if (CHECK(node_flow(&n, t, &v)))
		fake_id(&pf, &n, ACT_INS_ACK, v.half[half].id, OURS);
}

/* Told at once and in full, though a SYN is not told otherwise; the flag in the out state only. */
static void told_at_once(enum dialect_id d, uint8_t proto, bool snat)
{
	struct tuples t = tuples_v4(proto, 10, 1000);
	const struct said *in, *out;

	if (snat)
		tuples_snat(&t, 1, 50000);
	begin_with(node_config(OURS), d);
	node_hold(&n, &t, 7);
	CHECK_EQ(n.releases, 0);
	in = node_half(&n, ACT_INS, PF_IN, 0);
	out = node_half(&n, ACT_INS, PF_OUT, 0);
	if (CHECK(in && out)) {
		CHECK_EQ(in->at, n.now);
		CHECK_EQ(out->at, n.now);
		CHECK_EQ(in->s.state_flags & PF_FLAG_ACK, 0);
		CHECK_EQ(out->s.state_flags & PF_FLAG_ACK, PF_FLAG_ACK);
		CHECK_EQ(out->s.src.state, proto == PROTO_TCP ? PF_TCP_SYN_SENT : 1);
		CHECK_EQ(out->s.dst.state, 0);
	}
	acknowledge(&t, 0); /* of the other half: not what was asked */
	CHECK_EQ(n.releases, 0);
	node_run(&n, 5);
	acknowledge(&t, 1);
	CHECK_EQ(n.releases, 1);
	CHECK_EQ(n.released[0], 7);
	CHECK_EQ(n.released_at, n.now);
	CHECK_EQ(node_counter(&n, C_DEFER_ACKED), 1);
	acknowledge(&t, 1);
	node_run(&n, 100);
	CHECK_EQ(n.releases, 1);
	end();
}

static void asks_and_is_answered(void)
{
	told_at_once(DIALECT_FREEBSD_13, PROTO_TCP, false);
	told_at_once(DIALECT_FREEBSD_14, PROTO_TCP, true);
	told_at_once(DIALECT_FREEBSD_15, PROTO_UDP, false);
	told_at_once(DIALECT_OPENBSD, PROTO_UDP, true);
}

static void runs_into_its_time(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1000);
	uint64_t at;

	begin();
	at = n.now;
	node_hold(&n, &t, 7);
	node_run(&n, 19);
	CHECK_EQ(n.releases, 0);
	node_run(&n, 1);
	CHECK_EQ(n.releases, 1);
	CHECK_EQ(n.released_at, at + 20 * MS);
	CHECK_EQ(node_counter(&n, C_DEFER_TIMEOUT), 1);
	end();
}

/* The flag was for this one time: not in what is told again, asked for, or in a bulk update. */
static void asks_once(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1000);
	const struct said *m;
	struct flow_view v;

	begin();
	node_hold(&n, &t, 7);
	m = out_of(&t);
	CHECK(m && m->s.state_flags & PF_FLAG_ACK);
	node_flow(&n, &t, &v);
	node_quiet(&n);
	fake_id(&pf, &n, ACT_DEL_C, v.half[1].id, OURS); /* it lives: told again, still held */
	fake_id(&pf, &n, ACT_UPD_REQ, v.half[1].id, OURS);
	fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 3000);
	CHECK(node_about(&n, ACT_INS, v.half[1].id, OURS) != NULL);
	CHECK(node_about(&n, ACT_UPD, v.half[1].id, OURS) != NULL);
	for (size_t i = 0; i < n.saids; i++)
		CHECK_EQ(n.said[i].s.state_flags & PF_FLAG_ACK, 0);
	end();
}

static void an_update_lets_go(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1000), u = tuples_v4(PROTO_UDP, 10, 1001);
	const struct said *m;
	struct pf_state s;

	begin();
	node_hold(&n, &t, 7);
	m = out_of(&t);
	if (CHECK(m != NULL)) {
		s = m->s;
		fake_upd_c(&pf, &n, &s);
	}
	CHECK_EQ(n.releases, 1);
	node_hold(&n, &u, 8);
	m = out_of(&u);
	if (CHECK(m != NULL)) {
		s = fake_half(&pf, &u, PF_OUT, m->id);
		s.creatorid = OURS;
		fake_state(&pf, &n, ACT_UPD, &s);
	}
	CHECK_EQ(n.releases, 2);
	CHECK_EQ(node_counter(&n, C_DEFER_ACKED), 2);
	end();
}

/* The oldest goes when one too many comes. */
static void too_many(void)
{
	begin();
	for (uint32_t i = 0; i < MANY + 2; i++) {
		struct tuples t = tuples_v4(PROTO_UDP, 10, (uint16_t)(1000 + i));

		node_hold(&n, &t, 1 + i);
	}
	CHECK_EQ(n.releases, 2);
	CHECK_EQ(n.released[0], 1);
	CHECK_EQ(n.released[1], 2);
	CHECK_EQ(node_counter(&n, C_DEFER_CROWDED), 2);
	node_run(&n, 20);
	CHECK_EQ(n.releases, MANY + 2);
	for (uint32_t i = 0; i < MANY + 2; i++)
		CHECK_EQ(n.released[i], 1 + i);
	end();
}

/* All packets of a burst, in their order. */
static void burst(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1000), u = tuples_v4(PROTO_UDP, 10, 1001);

	begin();
	node_hold(&n, &t, 1);
	node_hold(&n, &u, 2);
	node_hold(&n, &t, 3);
	CHECK_EQ(node_said(&n, ACT_INS), 4);
	acknowledge(&t, 1);
	CHECK_EQ(n.releases, 2);
	CHECK_EQ(n.released[0], 1);
	CHECK_EQ(n.released[1], 3);
	node_hold(&n, &t, 4); /* the peer has it: nothing to wait for */
	CHECK_EQ(n.releases, 3);
	CHECK_EQ(node_counter(&n, C_DEFER_PASSED), 1);
	acknowledge(&u, 1);
	CHECK_EQ(n.releases, 4);
	end();
}

/* Nobody there, nobody any more, a link that is down, one that does not defer. */
static void without_a_peer(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1000);

	c.link[0].defer = true;
	node_start(&n, &c, 2, S);
	node_begin(&n);
	node_hold(&n, &t, 1);
	CHECK_EQ(n.releases, 1);
	CHECK_EQ(node_counter(&n, C_DEFER_NO_PEER), 1);
	end();

	begin();
	node_link(&n, 0, false, 1500);
	node_hold(&n, &t, 1);
	CHECK_EQ(n.releases, 1);
	end();

	node_meet(&n, &pf, &c, DIALECT_OPENBSD);
	c.link[0].defer = false;
	engine_reload(n.e, &c, n.now);
	node_hold(&n, &t, 1);
	CHECK_EQ(n.releases, 1);
	end();
}

/* Who never acknowledges costs 20 ms each for a few flows, then for one a second. */
static void in_vain(void)
{
	unsigned held = 0;

	begin();
	for (uint32_t i = 0; i < 100; i++) {
		struct tuples t = tuples_v4(PROTO_UDP, 10, (uint16_t)(1000 + i));
		size_t before = n.releases;

		node_hold(&n, &t, 1 + i);
		held += n.releases == before;
		node_run(&n, 50);
	}
	CHECK(held >= 8 + 4 && held <= 8 + 5);
	CHECK_EQ(node_counter(&n, C_DEFER_TIMEOUT), held);
	CHECK_EQ(node_counter(&n, C_DEFER_NO_PEER), 100 - held);
	/* one that is acknowledged, and all are held again */
	node_run(&n, 1000);
	for (uint32_t i = 0; i < 3; i++) {
		struct tuples t = tuples_v4(PROTO_UDP, 11, (uint16_t)(1000 + i));
		size_t before = n.releases;

		node_hold(&n, &t, 200 + i);
		CHECK_EQ(n.releases, before);
		acknowledge(&t, 1);
		CHECK_EQ(n.releases, before + 1);
	}
	end();
}

/* What is not told does not wait, nor what cannot be read, nor what a peer told. */
static void not_told(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples mine = tuples_v4(PROTO_UDP, 10, 1000), t = tuples_v4(PROTO_TCP, 10, 1),
		      multicast = tuples_v4(PROTO_UDP, 10, 1001);
	const struct address own = address_v4(192, 0, 2, 2);

	begin_with(c, DIALECT_OPENBSD);
	memcpy(mine.end[ORIG_SRC].addr, own.addr, 4);
	memcpy(mine.end[REPLY_DST].addr, own.addr, 4);
	node_hold(&n, &mine, 1);
	CHECK_EQ(n.releases, 1);
	CHECK_EQ(node_refused(&n, R_LOCAL), 1);
	multicast.end[ORIG_DST].addr[0] = multicast.end[REPLY_SRC].addr[0] = 224;
	node_hold(&n, &multicast, 2);
	CHECK_EQ(n.releases, 2);
	engine_on_held(n.e, NULL, 3, n.now);
	CHECK_EQ(n.releases, 3);
	fake_tells(&pf, &n, &t, 100);
	node_hold(&n, &t, 4);
	CHECK_EQ(n.releases, 4);
	CHECK_EQ(node_counter(&n, C_DEFER_PASSED), 4);
	CHECK_EQ(node_said(&n, ACT_INS), 0);
	end();
}

/* The entry comes with the packet: the same flow, under the same names. */
static void becomes_an_entry(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1000);
	struct model_entry *m;
	struct flow_view v;

	begin();
	node_hold(&n, &t, 7);
	/* the packet leaves as it is let go, before the engine writes to its entry */
	(void)node_plant(&n, &t, CT_TCP_SYN_SENT, 0, 120);
	acknowledge(&t, 1);
	m = node_entry(&n, &t);
	if (CHECK(m != NULL)) { /* the answer may pass elsewhere */
		CHECK_EQ((m->expires - n.now) / S, 120);
		CHECK_EQ(m->k.tcp_state, CT_TCP_SYN_RECV);
		CHECK(m->k.status & CT_STATUS_SEEN_REPLY);
		CHECK(m->k.tcp_flags[0] & m->k.tcp_flags[1] & CT_TCP_FLAG_LIBERAL);
	}
	node_quiet(&n);
	(void)node_packet(&n, &t, true);
	(void)node_packet(&n, &t, false);
	node_run(&n, 100);
	CHECK_EQ(node_flows(&n), 1);
	CHECK_EQ(node_said(&n, ACT_INS), 0);
	CHECK(node_flow(&n, &t, &v));
	node_kill(&n, &t);
	node_run(&n, 100);
	CHECK(node_about(&n, ACT_DEL_C, v.half[1].id, OURS) != NULL);
	end();
}

/* Not in time: the packet leaves, and the answer may pass elsewhere all the same. */
static void opened_late(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1000), u = tuples_v4(PROTO_TCP, 10, 1001);
	struct model_entry *m;

	begin();
	node_hold(&n, &t, 7);
	(void)node_plant(&n, &t, CT_TCP_SYN_SENT, 0, 120);
	node_run(&n, 20);
	CHECK_EQ(node_counter(&n, C_DEFER_TIMEOUT), 1);
	m = node_entry(&n, &t);
	CHECK(m && m->k.tcp_state == CT_TCP_SYN_RECV && m->k.status & CT_STATUS_SEEN_REPLY);
	node_hold(&n, &u, 8);
	node_run(&n, 20);
	node_new(&n, &u);
	acknowledge(&u, 1);
	m = node_entry(&n, &u);
	CHECK(m && m->k.tcp_state == CT_TCP_SYN_RECV);
	CHECK_EQ(n.releases, 2);
	end();
}

/* An answer that came faster than we could say so is not taken back. */
static void answered_already(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1000);
	struct model_entry *m;
	uint64_t expires;

	begin();
	node_hold(&n, &t, 7);
	m = node_plant(&n, &t, CT_TCP_ESTABLISHED, CT_STATUS_SEEN_REPLY, 432000);
	expires = m->expires;
	acknowledge(&t, 1);
	CHECK_EQ(m->k.tcp_state, CT_TCP_ESTABLISHED);
	CHECK_EQ(m->expires, expires);
	CHECK_EQ(n.releases, 1);
	end();
}

/* Of a packet that was dropped behind us there never is an entry: the peers are told so. */
static void never_an_entry(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1000);
	struct flow_view v;

	begin();
	node_hold(&n, &t, 7);
	CHECK(node_flow(&n, &t, &v));
	acknowledge(&t, 1);
	node_run(&n, 150 * 1000);
	CHECK_EQ(node_flows(&n), 0);
	CHECK(node_about(&n, ACT_DEL_C, v.half[1].id, OURS) != NULL);
	end();
}

/* The flow's end, and ours. */
static void ends(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1000), u = tuples_v4(PROTO_UDP, 10, 1001);

	begin();
	node_hold(&n, &t, 7);
	node_new(&n, &t);
	node_kill(&n, &t);
	CHECK_EQ(n.releases, 1);
	node_hold(&n, &u, 8);
	engine_finish(n.e, n.now);
	CHECK_EQ(n.releases, 2);
	CHECK_EQ(node_counter(&n, C_DEFER_ENDED), 2);
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"told at once, let go when acknowledged", asks_and_is_answered},
		{"20 ms at most", runs_into_its_time},
		{"asks once", asks_once},
		{"an update is as good", an_update_lets_go},
		{"too many", too_many},
		{"a burst", burst},
		{"no peer", without_a_peer},
		{"peers that never acknowledge", in_vain},
		{"what is not told does not wait", not_told},
		{"becomes an entry", becomes_an_entry},
		{"acknowledged late", opened_late},
		{"answered already", answered_already},
		{"never becomes an entry", never_an_entry},
		{"ends while it is held", ends},
	};

	return check_main("defer", tests, sizeof(tests) / sizeof(tests[0]));
}
