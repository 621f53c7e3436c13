/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules of conduct on the wire; those of a take-over: test_takeover.c. */
#include "check.h"
#include "model.h"

#include <stdio.h>

enum { OURS = 0x0a0b0c0d, PEERS = 0x11223344 };

static struct node n;
static struct fake pf;

static void begin(void)
{
	struct engine_config c = node_config(OURS);

	node_meet(&n, &pf, &c, DIALECT_FREEBSD_13);
}

static void end(void)
{
	CHECK_STR(n.wrong ? n.wrong : "", "");
	node_stop(&n);
}

static struct pf_state half(const struct tuples *t, uint8_t direction, uint64_t id)
{
	return fake_half(&pf, t, direction, id);
}

static void never_echo(void)
{
	static const uint8_t protos[] = {PROTO_TCP, PROTO_UDP, PROTO_ICMP, 47};

	begin();
	for (unsigned i = 0; i < 4; i++) {
		struct tuples t = tuples_v4(protos[i], 10, 4000);
		struct pf_state s = half(&t, PF_IN, 100 + 2 * i);

		fake_tells(&pf, &n, &t, 100 + 2 * i);
		fake_state(&pf, &n, ACT_UPD, &s);
		fake_upd_c(&pf, &n, &s);
		fake_id(&pf, &n, ACT_INS_ACK, s.id, PEERS);
		CHECK(node_entry(&n, &t) != NULL);
	}
	node_run(&n, 9000);
	CHECK_EQ(n.sents, 0);
	fake_id(&pf, &n, ACT_DEL_C, 100, PEERS);
	fake_id(&pf, &n, ACT_DEL_C, 101, PEERS);
	node_run(&n, 5000);
	CHECK_EQ(n.sents, 0);
	end();
}

/* What merely runs out here is forgotten in silence; pf has its own clock. */
static void standby_never_kills(void)
{
	static const uint8_t protos[] = {PROTO_TCP, PROTO_UDP, PROTO_ICMP, 47};

	begin();
	for (unsigned i = 0; i < 4; i++) {
		struct tuples t = tuples_v4(protos[i], 10, 4000);

		fake_tells(&pf, &n, &t, 100 + 2 * i);
	}
	node_run(&n, 200000);
	CHECK_EQ(node_flows(&n), 1);
	node_run(&n, 90000000);
	CHECK_EQ(node_flows(&n), 0);
	CHECK_EQ(node_count(&n), 0);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 0);
	CHECK_EQ(n.sents, 0);
	end();
}

static void deletion_of_a_live_flow(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	const struct said *in, *again;
	uint64_t at;

	begin();
	node_open(&n, &t);
	node_run(&n, 100);
	in = node_half(&n, ACT_INS, PF_IN, 0);
	if (!CHECK(in != NULL))
		return;
	at = in->id;
	node_quiet(&n);
	fake_id(&pf, &n, ACT_DEL_C, at, OURS);
	node_run(&n, 100);
	again = node_about(&n, ACT_INS, at, OURS);
	CHECK(again != NULL);
	CHECK_EQ(node_said(&n, ACT_INS), 1);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 0);
	CHECK(node_entry(&n, &t) != NULL);
	CHECK_EQ(node_refused(&n, R_LIVE_DELETE), 1);
	end();
}

/* What pf deletes of a flow it deletes wholly: it is not made to ask for the other half. */
static void both_halves_are_told_again(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);

	begin();
	fake_tells(&pf, &n, &t, 100);
	node_run(&n, 5000);
	node_entry(&n, &t)->expires = n.now + 120 * S; /* a packet without an event */
	node_quiet(&n);
	fake_id(&pf, &n, ACT_DEL_C, 100, PEERS);
	node_run(&n, 100);
	CHECK(node_about(&n, ACT_INS, 100, PEERS) != NULL);
	CHECK(node_about(&n, ACT_INS, 101, PEERS) || node_about(&n, ACT_UPD, 101, PEERS));
	CHECK_EQ(node_said(&n, ACT_UPD_C), 0);
	end();
}

/* A FreeBSD that lacks the state, as beside an OpenBSD, is not made to ask; a Linux node takes an
 * UPD for no word of who carries it. */
static void taken_over_beside(uint32_t rule)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct fake other;
	struct pf_state s;

	begin();
	fake_init(&other, DIALECT_FREEBSD_13, 3, 0x55667788);
	for (int h = 0; h < 2; h++) {
		s = fake_half(&other, &t, h ? PF_OUT : PF_IN, 100 + (unsigned)h);
		s.rule = rule;
		fake_state(&other, &n, ACT_INS, &s);
	}
	node_run(&n, 5000);
	node_quiet(&n);
	CHECK(node_packet(&n, &t, true));
	node_run(&n, 100);
	CHECK_EQ(node_said(&n, ACT_UPD), rule == 1 ? 2 : 0);
	CHECK_EQ(node_said(&n, ACT_UPD_C), rule == 1 ? 0 : 2);
	end();
}

static void taken_over_where_all_are_pf(void)
{
	taken_over_beside(1);
	taken_over_beside(UINT32_MAX);
}

/* As above, for a flow of the peer whose traffic passes here. */
static void deletion_of_a_taken_over_flow(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);

	begin();
	fake_tells(&pf, &n, &t, 100);
	CHECK(node_packet(&n, &t, true));
	node_run(&n, 100);
	node_quiet(&n);
	fake_id(&pf, &n, ACT_DEL_C, 100, PEERS);
	fake_id(&pf, &n, ACT_DEL_C, 101, PEERS);
	node_run(&n, 100);
	CHECK(node_about(&n, ACT_INS, 100, PEERS) != NULL);
	CHECK(node_about(&n, ACT_INS, 101, PEERS) != NULL);
	CHECK(node_packet(&n, &t, true));
	end();
}

/*
 * A DEL_C soon after the start, for what the kernel had already: obeyed when a look at the entry
 * has shown that nothing passes. Otherwise the entry outlives it, and the next start tells it as
 * our own.
 */
static void deletion_after_the_start(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples idle = tuples_v4(PROTO_TCP, 10, 1), busy = tuples_v4(PROTO_TCP, 10, 2);

	c.link[0].dialect = dialect_get(DIALECT_FREEBSD_13);
	node_start(&n, &c, 2, 1000 * S);
	fake_init(&pf, DIALECT_FREEBSD_13, 1, PEERS);
	(void)node_plant(&n, &idle, CT_TCP_ESTABLISHED, CT_STATUS_SEEN_REPLY | CT_STATUS_ASSURED,
			 9000);
	(void)node_plant(&n, &busy, CT_TCP_ESTABLISHED, CT_STATUS_SEEN_REPLY | CT_STATUS_ASSURED,
			 9000);
	node_run(&n, 100);
	fake_bus(&pf, &n, BUS_START);
	fake_tells(&pf, &n, &idle, 100);
	fake_tells(&pf, &n, &busy, 200);
	fake_bus(&pf, &n, BUS_END);
	node_run(&n, 1000);
	for (uint64_t id = 100; id <= 200; id += 100) {
		fake_id(&pf, &n, ACT_DEL_C, id, PEERS);
		fake_id(&pf, &n, ACT_DEL_C, id + 1, PEERS);
	}
	for (int i = 0; i < 10; i++) {
		(void)node_packet(&n, &busy, i & 1);
		node_run(&n, 1000);
	}
	CHECK(node_entry(&n, &idle) == NULL);
	CHECK(node_entry(&n, &busy) != NULL);
	CHECK_EQ(node_flows(&n), 1);
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 0);
	end();
}

static void deletion_of_an_idle_flow(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000), u = tuples_v6(PROTO_UDP, 10, 4);

	begin();
	fake_tells(&pf, &n, &t, 100);
	fake_tells(&pf, &n, &u, 200);
	fake_id(&pf, &n, ACT_DEL_C, 100, PEERS);
	CHECK(node_entry(&n, &t) != NULL); /* one half does not end it */
	CHECK_EQ(node_flows(&n), 2);
	node_run(&n, 50);
	fake_id(&pf, &n, ACT_DEL_C, 101, PEERS);
	CHECK(node_entry(&n, &t) == NULL);
	CHECK_EQ(node_flows(&n), 1);
	fake_begin(&pf);
	(void)builder_add_id(&pf.b, ACT_DEL_C, 200, PEERS);
	(void)builder_add_id(&pf.b, ACT_DEL_C, 201, PEERS);
	fake_end(&pf, &n);
	CHECK_EQ(node_count(&n), 0);
	CHECK_EQ(node_flows(&n), 0);
	fake_id(&pf, &n, ACT_DEL_C, 201, PEERS);
	CHECK_EQ(node_refused(&n, R_UNKNOWN_DELETE), 1);
	CHECK_EQ(n.sents, 0);
	end();
}

/* Of a state that is told again after its deletion everything begins anew. */
static void deleted_and_told_again(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct flow_view v;

	begin();
	for (int i = 0; i < 3; i++) {
		fake_tells(&pf, &n, &t, 100);
		CHECK(node_entry(&n, &t) != NULL);
		CHECK(node_flow(&n, &t, &v) && v.half[0].present && v.half[1].present);
		fake_id(&pf, &n, ACT_DEL_C, 101, PEERS);
		fake_id(&pf, &n, ACT_DEL_C, 100, PEERS);
		CHECK(node_entry(&n, &t) == NULL);
	}
	end();
}

/* Both peers behind: told so at once. */
static void stale_update(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	const struct said *m;
	struct pf_state s;
	uint64_t at;

	begin();
	fake_tells(&pf, &n, &t, 100);
	s = half(&t, PF_IN, 100);
	s.src.seqlo -= 1000;
	s.dst.seqlo -= 1000;
	at = n.now;
	fake_upd_c(&pf, &n, &s);
	m = node_about(&n, ACT_UPD_C, 100, PEERS);
	CHECK_EQ(node_said(&n, ACT_UPD_C), 1);
	if (CHECK(m != NULL)) {
		CHECK_EQ(m->at, at);
		CHECK_EQ(m->u.src.seqlo, 0x10000000);
		CHECK_EQ(m->u.dst.seqlo, 0x20000000);
		CHECK_EQ(m->u.src.seqhi, 0x10010000);
		CHECK_EQ(m->u.src.max_win, 502);
		CHECK_EQ(m->u.src.state, 4);
		CHECK_EQ(m->u.timeout, 2);
		CHECK_EQ(m->u.expire, 0);
	}
	CHECK_EQ(node_refused(&n, R_STALE), 1);
	node_quiet(&n);
	s = half(&t, PF_IN, 100); /* equal numbers are no news and no fault */
	fake_upd_c(&pf, &n, &s);
	node_run(&n, 100);
	CHECK_EQ(n.sents, 0);
	end();
}

/* Each direction by itself: the newer one is taken, the other kept, and not copied back. */
/* Who says the same again and again does not learn: no storm, and a second later another try. */
static void stale_for_ever(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct pf_state s;

	begin();
	fake_tells(&pf, &n, &t, 100);
	s = half(&t, PF_IN, 100);
	s.src.state = s.dst.state = 2;
	for (int i = 0; i < 50; i++)
		fake_upd_c(&pf, &n, &s);
	CHECK_EQ(node_said(&n, ACT_UPD_C), 5);
	CHECK_EQ(node_refused(&n, R_STALE), 50);
	node_run(&n, 1100);
	node_quiet(&n);
	fake_upd_c(&pf, &n, &s);
	CHECK_EQ(node_said(&n, ACT_UPD_C), 1);
	end();
}

static void half_stale(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	const struct said *m;
	struct pf_state s;

	begin();
	fake_tells(&pf, &n, &t, 100);
	s = half(&t, PF_IN, 100);
	s.src.seqlo += 5000;
	s.dst.seqlo -= 5000;
	fake_upd_c(&pf, &n, &s);
	m = node_about(&n, ACT_UPD_C, 100, PEERS);
	if (CHECK(m != NULL)) {
		CHECK_EQ(m->u.src.seqlo, 0x10000000 + 5000);
		CHECK_EQ(m->u.dst.seqlo, 0x20000000);
	}
	node_quiet(&n);
	s = half(&t, PF_OUT, 101); /* a lower state is behind, whatever its numbers */
	s.src.state = 2;
	s.src.seqlo += 1000;
	fake_upd_c(&pf, &n, &s);
	m = node_about(&n, ACT_UPD_C, 101, PEERS);
	if (CHECK(m != NULL))
		CHECK_EQ(m->u.src.state, 4);
	end();
}

/* States never fall, numbers never go back, whatever comes in whatever order. */
static void monotonic(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	uint8_t top[2] = {4, 4};
	uint32_t seq[2] = {0xfffff000, 0xffffe000};
	struct pf_state s;

	begin();
	s = half(&t, PF_IN, 100);
	s.src.seqlo = seq[0];
	s.dst.seqlo = seq[1];
	fake_state(&pf, &n, ACT_INS, &s);
	for (int i = 0; i < 3000; i++) {
		static const uint8_t states[] = {0, 2, 4, 7, 9, 10};
		struct pf_peer *side[2] = {&s.src, &s.dst};
		const struct said *m;
		struct flow_view v;

		for (int j = 0; j < 2; j++) {
			side[j]->state = states[check_below(i < 2000 ? 3 : 6)];
			side[j]->seqlo = seq[j] + (uint32_t)check_below(20000) - 10000;
			if (side[j]->state > top[j] ||
			    (side[j]->state == top[j] && (int32_t)(side[j]->seqlo - seq[j]) >= 0)) {
				top[j] = side[j]->state;
				seq[j] = side[j]->seqlo;
			}
		}
		s.timeout = 2;
		node_quiet(&n);
		fake_upd_c(&pf, &n, &s);
		if (!CHECK(node_flow(&n, &t, &v)))
			break;
		m = node_about(&n, ACT_UPD_C, 100, PEERS);
		if (!CHECK_EQ(v.half[0].src, top[0]) || !CHECK_EQ(v.half[0].dst, top[1]) ||
		    (m && (!CHECK_EQ(m->u.src.seqlo, seq[0]) || !CHECK_EQ(m->u.dst.seqlo, seq[1]))))
			break;
	}
	end();
}

static void clr(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1), u = tuples_v4(PROTO_TCP, 10, 2);
	struct tuples live = tuples_v4(PROTO_UDP, 10, 3), mine = tuples_v4(PROTO_UDP, 10, 4);
	struct pf_state s;

	begin();
	fake_tells(&pf, &n, &t, 100);
	s = half(&u, PF_IN, 200);
	s.creatorid = 0x77;
	fake_state(&pf, &n, ACT_INS, &s);
	fake_tells(&pf, &n, &live, 300);
	(void)node_packet(&n, &live, true);
	node_open(&n, &mine);
	node_run(&n, 100);
	node_quiet(&n);
	fake_clr(&pf, &n, PEERS, "em0"); /* not obeyed: pfs do not agree on what it covers */
	fake_clr(&pf, &n, 0, "");
	CHECK(node_entry(&n, &t) != NULL);
	CHECK_EQ(node_refused(&n, R_CLR_INTERFACE), 1);
	CHECK_EQ(node_refused(&n, R_CREATOR_ZERO), 1);
	fake_clr(&pf, &n, PEERS, "");
	node_run(&n, 300);
	CHECK(node_entry(&n, &t) == NULL);
	CHECK(node_entry(&n, &u) != NULL); /* of another creator */
	CHECK(node_entry(&n, &live) != NULL);
	CHECK(node_about(&n, ACT_INS, 300, PEERS) != NULL);
	CHECK(node_about(&n, ACT_INS, 301, PEERS) != NULL);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 0);
	fake_clr(&pf, &n, 0x77, "all");
	CHECK(node_entry(&n, &u) == NULL);
	end();
}

static void requests(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1), u = tuples_v4(PROTO_TCP, 10, 2);
	struct pf_state s;
	uint64_t at;

	begin();
	/* of an unknown state we ask for the whole of it, at once */
	s = half(&t, PF_OUT, 55);
	at = n.now;
	fake_upd_c(&pf, &n, &s);
	CHECK_EQ(node_said(&n, ACT_UPD_REQ), 1);
	CHECK(node_about(&n, ACT_UPD_REQ, 55, PEERS) != NULL);
	if (node_nth(&n, ACT_UPD_REQ, 0))
		CHECK_EQ(node_nth(&n, ACT_UPD_REQ, 0)->at, at);
	fake_state(&pf, &n, ACT_UPD, &s); /* and take it */
	CHECK(node_entry(&n, &t) != NULL);
	node_quiet(&n);
	/* a peer that asks gets UPD, never INS, at once; of an unknown one nothing */
	at = n.now;
	fake_id(&pf, &n, ACT_UPD_REQ, 55, PEERS);
	CHECK_EQ(n.saids, 1);
	if (CHECK(node_about(&n, ACT_UPD, 55, PEERS) != NULL)) {
		CHECK_EQ(node_about(&n, ACT_UPD, 55, PEERS)->at, at);
		CHECK_EQ(node_about(&n, ACT_UPD, 55, PEERS)->s.src.seqlo, 0x10000000);
	}
	fake_id(&pf, &n, ACT_UPD_REQ, 56, PEERS);
	node_run(&n, 100);
	CHECK_EQ(n.saids, 1);
	CHECK_EQ(node_refused(&n, R_UNKNOWN_REQUEST), 1);
	/* ours too */
	node_open(&n, &u);
	node_run(&n, 100);
	node_quiet(&n);
	CHECK(node_flows(&n) == 2);
	{
		struct flow_view v;

		CHECK(node_flow(&n, &u, &v));
		fake_id(&pf, &n, ACT_UPD_REQ, v.half[0].id, OURS);
		CHECK(node_about(&n, ACT_UPD, v.half[0].id, OURS) != NULL);
	}
	end();
}

static void acknowledged(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1), u = tuples_v4(PROTO_TCP, 10, 2),
		      mine = tuples_v4(PROTO_TCP, 10, 3), fe = tuples_v6(PROTO_TCP, 10, 4);
	struct pf_state s;
	uint64_t at;

	begin();
	node_open(&n, &mine); /* waits to be told */
	s = half(&t, PF_OUT, 55);
	s.state_flags = PF_FLAG_ACK;
	at = n.now;
	fake_state(&pf, &n, ACT_INS, &s);
	CHECK(node_entry(&n, &t) != NULL);
	if (CHECK(n.saids > 0)) {
		CHECK_EQ(n.said[0].action, ACT_INS_ACK);
		CHECK_EQ(n.said[0].id, 55);
		CHECK_EQ(n.said[0].creatorid, PEERS);
		CHECK_EQ(n.said[0].at, at);
	}
	node_run(&n, 100);
	CHECK_EQ(node_said(&n, ACT_INS_ACK), 1);
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	node_quiet(&n);
	/* not what the kernel did not take, nor what is refused, nor what did not ask */
	n.fail = 12;
	s = half(&u, PF_OUT, 57);
	s.state_flags = PF_FLAG_ACK;
	fake_state(&pf, &n, ACT_INS, &s);
	n.fail = 0;
	s = half(&fe, PF_OUT, 59);
	s.state_flags = PF_FLAG_ACK;
	s.key[0].addr[0][0] = s.key[1].addr[0][0] = 0xfe;
	s.key[0].addr[0][1] = s.key[1].addr[0][1] = 0x80;
	fake_state(&pf, &n, ACT_INS, &s);
	s = half(&t, PF_IN, 61);
	fake_state(&pf, &n, ACT_INS, &s);
	node_run(&n, 1000);
	CHECK_EQ(node_said(&n, ACT_INS_ACK), 0);
	CHECK_EQ(node_refused(&n, R_LINK_LOCAL), 1);
	CHECK_EQ(node_refused(&n, R_KERNEL_FULL), 1);
	end();
}

/* No flag that mutes or holds a state is handed on, nor one that its system does not have. */
static void flags_are_masked(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	const struct said *m;
	struct pf_state s;

	begin();
	s = half(&t, PF_OUT, 55);
	s.state_flags = 0xff;
	s.rule = 7;
	fake_state(&pf, &n, ACT_INS, &s);
	node_quiet(&n);
	fake_id(&pf, &n, ACT_UPD_REQ, 55, PEERS);
	m = node_about(&n, ACT_UPD, 55, PEERS);
	if (CHECK(m != NULL)) {
		CHECK_EQ(m->s.state_flags, 0x01 | PF_FLAG_SLOPPY);
		CHECK_EQ(m->s.rule, UINT32_MAX);
		CHECK_EQ(m->s.anchor, UINT32_MAX);
		CHECK_EQ(m->s.nat_rule, UINT32_MAX);
		CHECK_EQ(m->s.expire, 0);
	}
	end();
}

/* An end that the peer saw is the end here; our kernel entry follows its states. */
static void peer_closes(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	struct pf_state s;

	begin();
	fake_tells(&pf, &n, &t, 100);
	s = half(&t, PF_IN, 100);
	s.src.state = s.dst.state = PF_TCP_FIN_WAIT_2;
	s.timeout = PFTM_TCP_CLOSED;
	fake_upd_c(&pf, &n, &s);
	s = half(&t, PF_OUT, 101);
	s.src.state = s.dst.state = PF_TCP_FIN_WAIT_2;
	s.timeout = PFTM_TCP_CLOSED;
	fake_upd_c(&pf, &n, &s);
	if (CHECK(node_entry(&n, &t) != NULL)) {
		CHECK_EQ(node_entry(&n, &t)->k.tcp_state, CT_TCP_TIME_WAIT);
		CHECK(node_entry(&n, &t)->expires <= n.now + 90 * S);
	}
	node_run(&n, 100000);
	CHECK_EQ(node_flows(&n), 0);
	CHECK_EQ(n.sents, 0);
	end();
}

/* What is told right behind a CLR, in the same packet even, is not cleared by it. */
static void told_behind_clr(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	struct msg_clr clr = {.creatorid = PEERS};
	uint8_t buf[1500];
	struct builder b;
	struct pf_state s;

	begin();
	s = fake_half(&pf, &t, PF_IN, 10);
	builder_start(&b, dialect_get(DIALECT_FREEBSD_13), buf, 1480, false);
	CHECK(builder_add_clr(&b, &clr));
	CHECK(builder_add_state(&b, ACT_INS, &s));
	node_hear_raw(&n, &pf.address, buf, builder_finish(&b));
	node_run(&n, 500);
	CHECK(node_entry(&n, &t) != NULL);
	end();
}

/* A peer tells, and then deletes, what its own packets have begun here a moment ago: we know
 * nothing of it yet, for it is not far enough to be told. */
static void deleted_before_it_is_told(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);

	c.udp = FROM_ASSURED;
	node_meet(&n, &pf, &c, DIALECT_OPENBSD);
	node_new(&n, &t);
	node_run(&n, 2000);
	CHECK_EQ(node_flows(&n), 0);
	fake_bulk(&pf, &n, &t, 100);
	node_run(&n, 1000);
	fake_deletes(&pf, &n, 100, PEERS);
	node_run(&n, 6000);
	CHECK(node_entry(&n, &t) != NULL);
	CHECK(node_told(&n, &t, PEERS));
	end();
}

/* Of ESP nothing shows the kernel's own time: an entry that is about to run out is no sign of life.
 */
static void about_to_run_out(void)
{
	struct tuples t = tuples_v4(50, 10, 0);
	struct flow_view v;

	begin();
	(void)node_plant(&n, &t, CT_TCP_NONE, CT_STATUS_CONFIRMED | CT_STATUS_SEEN_REPLY, 1);
	node_run(&n, 600);
	fake_tells(&pf, &n, &t, 100);
	CHECK(node_flow(&n, &t, &v) && v.in_kernel && !v.live);
	end();
}

/* Dumps of a large table take long, and come the more seldom for it. */
static void dumps_that_take_long(void)
{
	static const struct {
		uint64_t takes_ms, pause_s;
	} of[] = {{100, 120}, {1000, 200}, {10000, 540}};

	begin();
	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		uint64_t began;

		n.hold_dumps = true;
		while (!n.dump_wanted)
			node_run(&n, 100);
		node_run(&n, of[i].takes_ms);
		n.hold_dumps = false;
		node_run(&n, 10);
		n.hold_dumps = true;
		while (!n.dump_wanted) /* asked for by what the one before took */
			node_run(&n, 100);
		began = n.now;
		n.hold_dumps = false;
		node_run(&n, 10);
		n.hold_dumps = true;
		while (!n.dump_wanted)
			node_run(&n, 100);
		CHECK(n.now - began >= of[i].pause_s * S);
		CHECK(n.now - began < of[i].pause_s * 5 / 4 * S);
		n.hold_dumps = false;
		node_run(&n, 10);
	}
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"told behind a CLR", told_behind_clr},
		{"never echo", never_echo},
		{"a standby never kills", standby_never_kills},
		{"DEL_C of a live flow is answered", deletion_of_a_live_flow},
		{"DEL_C of a taken-over flow is answered", deletion_of_a_taken_over_flow},
		{"taken over where all are pf", taken_over_where_all_are_pf},
		{"both halves are told again", both_halves_are_told_again},
		{"DEL_C of an idle flow is obeyed", deletion_of_an_idle_flow},
		{"also soon after the start", deletion_after_the_start},
		{"deleted and told again", deleted_and_told_again},
		{"a stale update is answered", stale_update},
		{"a half-stale update", half_stale},
		{"stale for ever", stale_for_ever},
		{"monotonic merge", monotonic},
		{"CLR", clr},
		{"UPD_REQ both ways", requests},
		{"INS_ACK", acknowledged},
		{"flags are masked", flags_are_masked},
		{"the peer closes", peer_closes},
		{"deleted before it is told", deleted_before_it_is_told},
		{"about to run out", about_to_run_out},
		{"dumps that take long", dumps_that_take_long},
	};

	return check_main("conduct", tests, sizeof(tests) / sizeof(tests[0]));
}
