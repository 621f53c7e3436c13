/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When flows are told; the start; the kernel and its errors; what is taken of peers. */
#include "check.h"
#include "model.h"

#include <string.h>

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

static struct prefix net(const char *s)
{
	struct prefix p;

	CHECK(prefix_parse(&p, s));
	return p;
}

/* ---- when
 * ----------------------------------------------------------------------------------------- */

static void closing(void)
{
	for (int reply = 0; reply < 2; reply++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
		const struct said *m;

		begin();
		node_open(&n, &t);
		CHECK(told(&t));
		node_quiet(&n);
		node_fin(&n, &t, reply);
		node_run(&n, 100);
		m = node_nth(&n, ACT_UPD_C, 0);
		if (CHECK(m != NULL)) {
			CHECK_EQ(m->u.src.state, reply ? 4 : 7);
			CHECK_EQ(m->u.dst.state, reply ? 7 : 4);
			CHECK_EQ(m->u.timeout, PFTM_TCP_CLOSING);
		}
		node_close(&n, &t, reply);
		node_quiet(&n);
		node_run(&n, 100);
		CHECK_EQ(node_said(&n, ACT_UPD_C), 2);
		m = node_nth(&n, ACT_UPD_C, 0);
		if (CHECK(m != NULL)) {
			CHECK_EQ(m->u.src.state, 9);
			CHECK_EQ(m->u.dst.state, 9);
			CHECK_EQ(m->u.timeout, PFTM_TCP_CLOSED);
		}
		CHECK_EQ(node_said(&n, ACT_DEL_C), 0);
		node_run(&n, 130000);
		CHECK_EQ(node_said(&n, ACT_DEL_C), 2);
		CHECK_EQ(node_flows(&n), 0);
		end();
	}
}

static void reset(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	const struct said *m;

	begin();
	node_open(&n, &t);
	CHECK(told(&t));
	node_reset(&n, &t);
	node_run(&n, 100);
	m = node_nth(&n, ACT_UPD_C, 0);
	if (CHECK(m != NULL)) {
		CHECK_EQ(m->u.src.state, 10);
		CHECK_EQ(m->u.dst.state, 10);
		CHECK_EQ(m->u.timeout, PFTM_TCP_CLOSED);
	}
	node_run(&n, 15000);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 2);
	end();
}

static void killed(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);

	begin();
	node_open(&n, &t);
	CHECK(told(&t));
	node_kill(&n, &t);
	node_run(&n, 100);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 2);
	CHECK_EQ(node_flows(&n), 0);
	end();
}

/* One message per state, however much happens before it leaves; what ends first is never told. */
static void collapse(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1), u = tuples_v4(PROTO_TCP, 10, 2),
		      k = tuples_v4(PROTO_UDP, 10, 3);

	begin();
	node_open(&n, &t);
	node_fin(&n, &t, false);
	node_fin(&n, &t, true);
	node_run(&n, 100);
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	CHECK_EQ(node_said(&n, ACT_UPD_C), 0);
	node_quiet(&n);
	node_open(&n, &u);
	node_close(&n, &u, false);
	node_open(&n, &k);
	node_kill(&n, &k);
	node_run(&n, 300000);
	CHECK_EQ(node_said(&n, ACT_INS), 0);
	CHECK(!node_nth(&n, ACT_UPD_C, 2)); /* of the first flow alone */
	CHECK_EQ(node_counter(&n, C_NEVER_TOLD), 2);
	CHECK_EQ(node_flows(&n), 0);
	end();
}

static void flush_time(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);

	c.link[0].flush_ms = 700;
	begin_with(&c);
	node_open(&n, &t);
	node_run(&n, 690);
	CHECK_EQ(node_said(&n, ACT_INS), 0);
	node_run(&n, 20);
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	end();
}

static void packet_limits(void)
{
	begin();
	node_link(&n, 0, true, 576);
	for (unsigned i = 0; i < 200; i++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, (uint16_t)(i + 1));

		node_open(&n, &t);
	}
	node_run(&n, 500);
	CHECK_EQ(node_said(&n, ACT_INS), 400);
	for (size_t i = 0; i < n.sents; i++)
		if (!CHECK(n.sent[i].len <= 576 - 20))
			break;
	node_link(&n, 0, true, 9000);
	node_quiet(&n);
	for (unsigned i = 0; i < 200; i++) {
		struct tuples t = tuples_v4(PROTO_TCP, 11, (uint16_t)(i + 1));

		node_open(&n, &t);
	}
	node_run(&n, 500);
	for (size_t i = 0; i < n.sents; i++)
		if (!CHECK(n.sent[i].len <= 1480))
			break;
	end();
}

/* The header of IPv6 is longer, whatever a dialect takes off for it. */
static void packet_limits_ipv6(void)
{
	struct engine_config c = node_config(OURS);
	size_t longest = 0;

	c.link[0].ipv6 = true;
	c.link[0].dialect = dialect_get(DIALECT_FREEBSD_13);
	begin_with(&c);
	for (unsigned i = 0; i < 200; i++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, (uint16_t)(i + 1));

		node_open(&n, &t);
	}
	node_run(&n, 500);
	for (size_t i = 0; i < n.sents; i++)
		longest = n.sent[i].len > longest ? n.sent[i].len : longest;
	CHECK(longest > 1000 && longest <= 1500 - 40);
	end();
}

/* Never more than a pf takes without loss, however many flows there are. */
static void live_rate(void)
{
	size_t worst = 0;

	begin();
	for (unsigned i = 0; i < 6000; i++) {
		struct tuples t = tuples_v4(PROTO_UDP, (uint8_t)(10 + i / 1000),
					    (uint16_t)(i % 1000 + 1));

		node_new(&n, &t);
		(void)node_packet(&n, &t, true);
	}
	node_run(&n, 1000);
	CHECK_EQ(node_said(&n, ACT_INS), 12000);
	for (size_t i = 0, j = 0; i < n.saids; i++) {
		while (n.said[i].at - n.said[j].at > 100 * MS)
			j++;
		worst = i - j > worst ? i - j : worst;
	}
	CHECK(worst <= 10000);
	end();
}

/* ---- the start
 * -------------------------------------------------------------------------------------- */

static void found_at_the_start(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1), u = tuples_v4(PROTO_TCP, 10, 2);
	struct engine_totals totals;
	struct flow_view v, again;

	c.link[0].dialect = dialect_get(DIALECT_FREEBSD_13);
	node_start(&n, &c, 2, 1000 * S);
	fake_init(&pf, DIALECT_FREEBSD_13, 1, PEERS);
	(void)node_plant(&n, &t, CT_TCP_ESTABLISHED, CT_STATUS_SEEN_REPLY | CT_STATUS_ASSURED,
			 9000);
	(void)node_plant(&n, &u, CT_TCP_ESTABLISHED, CT_STATUS_SEEN_REPLY | CT_STATUS_ASSURED,
			 9000);
	node_run(&n, 1000);
	engine_totals(n.e, &totals);
	CHECK(totals.undecided);
	CHECK_EQ(node_said(&n, ACT_INS), 0);
	fake_bus(&pf, &n, BUS_START);
	fake_tells(&pf, &n, &t, 500); /* the peer knows one of them: its names are taken */
	node_run(&n, 5000);	      /* and the answer is not over yet */
	CHECK_EQ(node_said(&n, ACT_INS), 0);
	fake_bus(&pf, &n, BUS_END);
	node_run(&n, 1000);
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	CHECK(node_flow(&n, &t, &v) && v.half[0].id == 500 && v.half[0].creatorid == PEERS &&
	      v.half[1].id == 501);
	CHECK(node_flow(&n, &u, &v) && v.half[0].creatorid == OURS);
	CHECK(node_about(&n, ACT_INS, v.half[0].id, OURS) != NULL);
	CHECK(node_entry(&n, &t) && node_entry(&n, &u));
	/* names are stable over a restart, without any peer */
	node_restart(&n);
	node_begin(&n);
	CHECK(node_flow(&n, &u, &again));
	CHECK_EQ(again.half[0].id, v.half[0].id);
	CHECK_EQ(again.half[1].id, v.half[1].id);
	end();
}

/* Nobody there: the start is over all the same. */
static void nobody_there(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	struct engine_totals totals;

	c.link[0].dialect = dialect_get(DIALECT_FREEBSD_13);
	node_start(&n, &c, 2, 1000 * S);
	(void)node_plant(&n, &t, CT_TCP_ESTABLISHED, CT_STATUS_SEEN_REPLY | CT_STATUS_ASSURED,
			 9000);
	node_run(&n, 30000);
	engine_totals(n.e, &totals);
	CHECK(!totals.undecided);
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	CHECK_EQ(totals.local, 1);
	end();
}

/* Found at the start and never seen to carry anything: it may be a peer's, and ends in silence. */
static void found_and_idle(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples idle = tuples_v4(PROTO_UDP, 10, 1), busy = tuples_v4(PROTO_UDP, 10, 2);
	struct flow_view v;

	c.link[0].dialect = dialect_get(DIALECT_FREEBSD_13);
	node_start(&n, &c, 2, 1000 * S);
	(void)node_plant(&n, &idle, 0, CT_STATUS_SEEN_REPLY | CT_STATUS_ASSURED, 100);
	(void)node_plant(&n, &busy, 0, CT_STATUS_SEEN_REPLY | CT_STATUS_ASSURED, 100);
	for (int i = 0; i < 30; i++) {
		node_run(&n, 300);
		(void)node_packet(&n, &busy, i & 1);
	}
	CHECK(node_flow(&n, &busy, &v) && v.live);
	CHECK(node_flow(&n, &idle, &v) && !v.live);
	CHECK_EQ(node_said(&n, ACT_INS), 4);
	node_run(&n, 98000);
	CHECK(!node_flow(&n, &idle, &v));
	CHECK_EQ(node_said(&n, ACT_DEL_C), 0);
	node_run(&n, 40000);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 2); /* what lived here is ours to end */
	end();
}

/* ---- the kernel
 * ------------------------------------------------------------------------------------- */

static void overrun(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1), gone = tuples_v4(PROTO_TCP, 10, 2),
		      fresh = tuples_v4(PROTO_TCP, 10, 3), theirs = tuples_v4(PROTO_TCP, 10, 4);
	size_t dumps;

	begin();
	node_open(&n, &t);
	node_open(&n, &gone);
	fake_tells(&pf, &n, &theirs, 70);
	node_run(&n, 5000);
	node_quiet(&n);
	dumps = n.dumps;
	n.lose_events = true;
	node_kill(&n, &gone);
	node_kill(&n, &theirs);
	node_open(&n, &fresh);
	node_fin(&n, &t, false);
	n.lose_events = false;
	for (int i = 0; i < 50; i++)
		engine_on_overrun(n.e, n.now);
	node_run(&n, 8000);
	CHECK(n.dumps > dumps && n.dumps - dumps <= 2);
	CHECK_EQ(node_counter(&n, C_EVENT_OVERRUN), 50);
	CHECK_EQ(node_counter(&n, C_SWEPT), 2);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 2); /* ours; what was the peer's is forgotten silently */
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	CHECK_EQ(node_said(&n, ACT_UPD_C), 2);
	end();
}

static void table_full(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);

	begin();
	n.most = 1;
	(void)node_plant(&n, &(struct tuples){.family = 4, .proto = 99}, 0, 0, 20);
	fake_tells(&pf, &n, &t, 5);
	CHECK(node_entry(&n, &t) == NULL);
	CHECK(node_refused(&n, R_KERNEL_FULL) >= 1);
	CHECK(n.notes[NOTE_REFUSED] >= 1); /* for the log */
	CHECK(n.writes_failed < 5);
	n.most = 0;
	node_run(&n, 10000); /* tried again */
	CHECK(node_entry(&n, &t) != NULL);
	CHECK_EQ(n.sents, 0);
	end();
}

static void pressure(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1), u = tuples_v4(PROTO_TCP, 10, 2);

	begin();
	fake_tells(&pf, &n, &t, 10);
	CHECK(!(node_entry(&n, &t)->k.status & CT_STATUS_ASSURED));
	engine_on_pressure(n.e, 95, 100);
	fake_tells(&pf, &n, &u, 20);
	CHECK(node_entry(&n, &u)->k.status & CT_STATUS_ASSURED);
	end();
}

/* An entry that we did not know: brought to what the peer says. */
static void exists_already(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1), other = tuples_v4(PROTO_TCP, 10, 2), nat,
		      clash;
	struct model_entry *m;

	begin();
	m = node_plant(&n, &t, CT_TCP_ESTABLISHED, CT_STATUS_SEEN_REPLY, 100);
	m->mute = true;
	fake_tells(&pf, &n, &t, 10);
	m = node_entry(&n, &t);
	if (CHECK(m != NULL))
		CHECK(m->k.tcp_flags[0] & m->k.tcp_flags[1] & CT_TCP_FLAG_LIBERAL);
	/* of another translation: what the kernel has by itself stays */
	nat = other;
	tuples_snat(&nat, 2, 50000);
	node_plant(&n, &other, CT_TCP_ESTABLISHED, CT_STATUS_SEEN_REPLY, 100)->mute = true;
	fake_tells(&pf, &n, &nat, 20);
	CHECK(node_entry(&n, &nat) == NULL);
	CHECK(node_entry(&n, &other) != NULL);
	CHECK_EQ(node_refused(&n, R_KERNEL_CLASH), 1);
	CHECK_EQ(n.notes[NOTE_REFUSED], 1); /* for monitor: which one */
	/* the reply tuple belongs to a flow that lives: that one stays */
	clash = tuples_v4(PROTO_TCP, 11, 7);
	tuples_snat(&clash, 2, 60000);
	node_open(&n, &clash);
	nat = tuples_v4(PROTO_TCP, 12, 7);
	tuples_snat(&nat, 2, 60000);
	fake_tells(&pf, &n, &nat, 30);
	CHECK(node_entry(&n, &clash) != NULL);
	CHECK(node_entry(&n, &nat) == NULL);
	CHECK(node_refused(&n, R_KERNEL_CLASH) >= 2);
	end();
}

/* Both halves of a translated flow, in any order, in one packet or two. */
static void two_halves(void)
{
	for (int order = 0; order < 4; order++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
		struct pf_state half[2];
		struct flow_view v;

		begin();
		tuples_snat(&t, 2, 50000);
		tuples_dnat(&t, 200, 8080);
		half[0] = fake_half(&pf, &t, PF_IN, 10);
		half[1] = fake_half(&pf, &t, PF_OUT, 11);
		if (order & 2) {
			fake_begin(&pf);
			CHECK(builder_add_state(&pf.b, ACT_INS, &half[order & 1]));
			CHECK(builder_add_state(&pf.b, ACT_INS, &half[!(order & 1)]));
			fake_end(&pf, &n);
		} else {
			fake_state(&pf, &n, ACT_INS, &half[order & 1]);
			CHECK_EQ(node_count(&n), 1);
			node_run(&n, 2000);
			fake_state(&pf, &n, ACT_INS, &half[!(order & 1)]);
		}
		CHECK(node_entry(&n, &t) != NULL);
		CHECK_EQ(node_count(&n), 1);
		CHECK_EQ(node_flows(&n), 1);
		CHECK(node_flow(&n, &t, &v) && v.half[0].present && v.half[1].present);
		fake_id(&pf, &n, ACT_DEL_C, 11, PEERS);
		fake_id(&pf, &n, ACT_DEL_C, 10, PEERS);
		CHECK_EQ(node_count(&n), 0);
		end();
	}
}

/* ---- what is taken of peers
 * --------------------------------------------------------------------------- */

static void limits(void)
{
	struct engine_config c = node_config(OURS);
	struct prefix protect[] = {net("192.0.2.64/26")};
	struct tuples t = tuples_v4(PROTO_TCP, 70, 1);

	c.max_states = 3;
	c.protect = (struct prefix_list){protect, 1};
	begin_with(&c);
	fake_tells(&pf, &n, &t, 900);
	CHECK_EQ(node_flows(&n), 0);
	CHECK_EQ(node_refused(&n, R_PROTECTED), 2);
	for (unsigned i = 0; i < 5; i++) {
		t = tuples_v4(PROTO_TCP, 10, (uint16_t)(i + 1));
		fake_tells(&pf, &n, &t, 10 + 2 * i);
	}
	CHECK_EQ(node_flows(&n), 3);
	CHECK_EQ(node_refused(&n, R_MAX_STATES), 4);
	end();
	c = node_config(OURS);
	c.max_rate = 100;
	begin_with(&c);
	for (unsigned i = 0; i < 2000; i++) {
		t = tuples_v4(PROTO_UDP, (uint8_t)(10 + i / 1000), (uint16_t)(i % 1000 + 1));
		fake_tells(&pf, &n, &t, 10 + 2 * i);
	}
	CHECK(node_refused(&n, R_MAX_RATE) > 2000);
	CHECK(node_flows(&n) >= 400);
	end();
}

static void modes(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);

	c.link[0].mode = MODE_SEND_ONLY;
	c.link[0].dialect = dialect_get(DIALECT_FREEBSD_13);
	begin_with(&c);
	fake_tells(&pf, &n, &t, 10);
	CHECK_EQ(node_flows(&n), 0);
	CHECK(node_refused(&n, R_MODE) >= 1);
	node_open(&n, &t);
	CHECK(told(&t));
	end();
	c.link[0].mode = MODE_RECEIVE_ONLY;
	begin_with(&c);
	fake_tells(&pf, &n, &t, 10);
	CHECK(node_entry(&n, &t) != NULL);
	t = tuples_v4(PROTO_TCP, 10, 2);
	node_open(&n, &t);
	node_run(&n, 1000);
	CHECK_EQ(n.sents, 0);
	end();
}

static void bad_packets(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	struct packet_from from = {
		.src = address_v4(203, 0, 113, 1), .ttl = 255, .right_interface = true};
	struct pf_state s;
	size_t len;

	c.link[0].dialect = dialect_get(DIALECT_FREEBSD_13);
	begin_with(&c);
	s = fake_half(&pf, &t, PF_IN, 10);
	fake_begin(&pf);
	CHECK(builder_add_state(&pf.b, ACT_INS, &s));
	len = builder_finish(&pf.b);
	from.ttl = 254;
	engine_on_packet(n.e, 0, &from, pf.buf, len, n.now);
	CHECK_EQ(node_refused(&n, R_TTL), 1);
	from.ttl = 255;
	from.right_interface = false;
	engine_on_packet(n.e, 0, &from, pf.buf, len, n.now);
	CHECK_EQ(node_refused(&n, R_INTERFACE), 1);
	from.right_interface = true;
	from.src = address_v4(203, 0, 114, 1);
	engine_on_packet(n.e, 0, &from, pf.buf, len, n.now);
	CHECK_EQ(node_refused(&n, R_SOURCE), 1);
	from.src = address_v4(203, 0, 113, 2);
	engine_on_packet(n.e, 0, &from, pf.buf, len, n.now);
	CHECK_EQ(node_refused(&n, R_OWN_PACKET), 1);
	from.src = address_v4(203, 0, 113, 1);
	engine_on_packet(n.e, 0, &from, pf.buf, 19, n.now);
	CHECK_EQ(node_refused(&n, R_SHORT_HEADER), 1);
	engine_on_packet(n.e, 0, &from, pf.buf, len - 1, n.now);
	CHECK_EQ(node_refused(&n, R_LENGTH), 1);
	pf.buf[0] = 6; /* not what this link's dialect has */
	engine_on_packet(n.e, 0, &from, pf.buf, len, n.now);
	pf.buf[0] = 4;
	engine_on_packet(n.e, 0, &from, pf.buf, len, n.now);
	CHECK_EQ(node_refused(&n, R_VERSION), 2);
	CHECK_EQ(node_flows(&n), 0);
	pf.buf[0] = 5;
	engine_on_packet(n.e, 0, &from, pf.buf, len, n.now);
	CHECK_EQ(node_flows(&n), 1);
	end();
}

/* One bad record does not keep the next from being taken. */
static void bad_states(void)
{
	struct pf_state s[6];
	struct tuples t;

	begin();
	for (unsigned i = 0; i < 6; i++) {
		t = tuples_v4(PROTO_TCP, 10, (uint16_t)(i + 1));
		s[i] = fake_half(&pf, &t, PF_IN, 10 + i);
	}
	s[0].creatorid = 0;
	s[1].timeout = 20;
	s[2].src.state = 13;
	s[3].direction = 3;
	s[4].key[0].addr[0][0] = s[4].key[1].addr[0][0] = 127;
	fake_begin(&pf);
	for (unsigned i = 0; i < 6; i++)
		CHECK(builder_add_state(&pf.b, ACT_INS, &s[i]));
	fake_end(&pf, &n);
	CHECK_EQ(node_flows(&n), 1);
	CHECK_EQ(node_refused(&n, R_CREATOR_ZERO), 1);
	CHECK_EQ(node_refused(&n, R_TIMEOUT_INDEX), 1);
	CHECK_EQ(node_refused(&n, R_PEER_STATE), 1);
	CHECK_EQ(node_refused(&n, R_DIRECTION), 1);
	CHECK_EQ(node_refused(&n, R_LINK_LOCAL), 1);
	end();
}

/* States that Linux cannot carry are kept, not installed, not deleted at the peer, handed back. */
static void kept(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	struct pf_state s;
	struct flow_view v;

	begin();
	s = fake_half(&pf, &t, PF_IN, 10);
	s.src.seqdiff = 77;
	fake_state(&pf, &n, ACT_INS, &s);
	CHECK_EQ(node_count(&n), 0);
	CHECK(node_flow(&n, &t, &v) && v.kept == R_SEQDIFF);
	node_run(&n, 60000);
	CHECK_EQ(node_flows(&n), 1);
	CHECK_EQ(node_said(&n, ACT_DEL_C) + node_said(&n, ACT_INS) + node_said(&n, ACT_UPD_C), 0);
	fake_id(&pf, &n, ACT_UPD_REQ, 10, PEERS);
	if (CHECK(node_about(&n, ACT_UPD, 10, PEERS) != NULL))
		CHECK_EQ(node_about(&n, ACT_UPD, 10, PEERS)->s.src.seqdiff, 77);
	end();
}

/*
 * What happened while the link was away is told when it returns. A flow of which nothing happened
 * is not claimed: a peer may carry it meanwhile.
 */
static void link_returns(void)
{
	struct tuples closed = tuples_v4(PROTO_TCP, 10, 1), idle = tuples_v4(PROTO_TCP, 10, 2);
	struct tuples fresh = tuples_v4(PROTO_TCP, 10, 3);
	const struct said *first, *second;
	uint64_t id, idle_id;

	begin();
	node_open(&n, &closed);
	node_run(&n, 100);
	node_open(&n, &idle);
	node_run(&n, 100);
	first = node_half(&n, ACT_INS, PF_IN, 0);
	second = node_half(&n, ACT_INS, PF_IN, 1);
	if (!CHECK(first && second))
		return;
	id = first->id;
	idle_id = second->id;
	node_run(&n, 60000);
	node_link(&n, 0, false, 1500);
	node_close(&n, &closed, false);
	node_open(&n, &fresh);
	node_run(&n, 1000);
	node_quiet(&n);
	node_link(&n, 0, true, 1500);
	node_run(&n, 200);
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	if (CHECK(node_about(&n, ACT_UPD_C, id, OURS) != NULL))
		CHECK_EQ(node_about(&n, ACT_UPD_C, id, OURS)->u.src.state, PF_TCP_FIN_WAIT_2);
	node_run(&n, 10000);
	CHECK(node_about(&n, ACT_UPD_C, idle_id, OURS) == NULL);
	end();
}

/* A dump shows what a look would: an idle flow is not looked at between them, and a packet is told
 * after the next one, which comes before the look would have. */
static void dump_for_looks(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	uint64_t looks;
	size_t dumps;

	begin();
	node_open(&n, &t);
	node_run(&n, 1200000);
	looks = node_counter(&n, C_PROBES);
	dumps = n.dumps;
	node_quiet(&n);
	node_run(&n, 1200000);
	CHECK(n.dumps > dumps);
	CHECK_EQ(node_counter(&n, C_PROBES), looks);
	CHECK_EQ(n.sents, 0);
	dumps = n.dumps;
	(void)node_packet(&n, &t, false);
	node_run(&n, 130000);
	CHECK_EQ(n.dumps, dumps + 1);
	CHECK_EQ(node_said(&n, ACT_UPD), 2);
	end();
	begin(); /* nor one of a peer */
	fake_tells(&pf, &n, &t, 10);
	looks = node_counter(&n, C_PROBES);
	node_run(&n, 2400000);
	CHECK(node_entry(&n, &t) != NULL);
	CHECK_EQ(node_counter(&n, C_PROBES), looks);
	end();
}

/* A state that cannot be carried does not hold up what another creator tells of the same ends. */
static void kept_beside(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	struct pf_state s;

	begin();
	s = fake_half(&pf, &t, PF_IN, 10);
	s.creatorid = 1;
	s.src.seqdiff = 5;
	fake_state(&pf, &n, ACT_INS, &s);
	CHECK(node_entry(&n, &t) == NULL);
	fake_tells(&pf, &n, &t, 20);
	CHECK(node_entry(&n, &t) != NULL);
	CHECK_EQ(node_flows(&n), 2);
	end();
}

/* What the kernel says of age and traffic is told. */
static void age_and_counters(void)
{
	struct kernel_entry k = {.tuples = tuples_v4(PROTO_TCP, 10, 1),
				 .status = CT_STATUS_CONFIRMED | CT_STATUS_SEEN_REPLY,
				 .tcp_state = CT_TCP_ESTABLISHED,
				 .has_timeout = true,
				 .timeout = 100,
				 .has_counters = true,
				 .packets = {4, 3},
				 .bytes = {221, 169},
				 .age = 77};
	const struct said *ins;

	begin();
	engine_on_event(n.e, KERNEL_UPDATE, &k, true, n.now);
	node_run(&n, 100);
	ins = node_half(&n, ACT_INS, PF_IN, 0);
	if (CHECK(ins != NULL)) {
		CHECK_EQ(ins->s.creation, 77);
		CHECK_EQ(ins->s.packets[1], 3);
		CHECK_EQ(ins->s.bytes[0], 221);
	}
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"closing", closing},
		{"age and counters", age_and_counters},
		{"kept beside carried", kept_beside},
		{"the link returns", link_returns},
		{"a dump is as good as a look", dump_for_looks},
		{"reset", reset},
		{"killed", killed},
		{"collapse", collapse},
		{"flush time", flush_time},
		{"packet limits", packet_limits},
		{"packet limits over IPv6", packet_limits_ipv6},
		{"live rate", live_rate},
		{"found at the start", found_at_the_start},
		{"nobody there", nobody_there},
		{"found and idle", found_and_idle},
		{"overrun", overrun},
		{"the kernel table is full", table_full},
		{"pressure", pressure},
		{"entries that exist already", exists_already},
		{"two halves in any order", two_halves},
		{"limits", limits},
		{"modes", modes},
		{"bad packets", bad_packets},
		{"bad states", bad_states},
		{"kept states", kept},
	};

	return check_main("engine", tests, sizeof(tests) / sizeof(tests[0]));
}
