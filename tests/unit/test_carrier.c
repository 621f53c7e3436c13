/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who carries a flow: what is believed of peers, and what shows it when no event does. */
#include "check.h"
#include "model.h"

#include <string.h>

enum { OURS = 0x0a0b0c0d, PEERS = 0x11223344 };

static struct node n;
static struct fake pf;

static void begin(void)
{
	struct engine_config c = node_config(OURS);

	node_meet(&n, &pf, &c, DIALECT_OPENBSD);
}

static void end(void)
{
	CHECK_STR(n.wrong ? n.wrong : "", "");
	node_stop(&n);
}

static void delete_both(struct fake *who, uint64_t id)
{
	fake_id(who, &n, ACT_DEL_C, id, PEERS);
	fake_id(who, &n, ACT_DEL_C, id + 1, PEERS);
	node_run(&n, 100);
}

/* An entry that ran out at a third node, for that heard nothing, does not end the flow. */
static void only_the_carrier_deletes(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct fake other;

	begin();
	fake_init(&other, DIALECT_OPENBSD, 3, 0x55667788);
	fake_tells(&pf, &n, &t, 100);
	delete_both(&other, 100);
	CHECK(node_entry(&n, &t) != NULL);
	CHECK_EQ(node_refused(&n, R_OTHER_DELETE), 2);
	delete_both(&pf, 100);
	CHECK(node_entry(&n, &t) == NULL);
	end();
}

/* A pf tells the two states of a flow in packets of their own, up to a second apart. */
static void one_half_is_a_word_of_both(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct fake other;
	struct pf_state s;

	begin();
	fake_init(&other, DIALECT_OPENBSD, 3, 0x55667788);
	fake_tells(&pf, &n, &t, 100);
	node_run(&n, 5000);
	s = fake_half(&pf, &t, PF_OUT, 101);
	fake_upd_c(&other, &n, &s);
	node_run(&n, 100);
	delete_both(&pf, 100);
	CHECK(node_entry(&n, &t) != NULL);
	CHECK_EQ(node_refused(&n, R_OTHER_DELETE), 2);
	end();
}

/* pf deletes what it has not heard of for a while; that we did not run meanwhile is no reason. */
static void passed_before_the_start(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);

	begin();
	node_open(&n, &t);
	n.config.timeouts.seconds[PFTM_TCP_ESTABLISHED] = 60;
	node_restart(&n);
	(void)node_settle(&n);
	fake_bulk(&pf, &n, &t, 100);
	node_run(&n, 10000);
	delete_both(&pf, 100);
	CHECK(node_entry(&n, &t) != NULL);
	CHECK(node_about(&n, ACT_INS, 100, PEERS) != NULL);
	end();
}

/* Nothing acknowledges a take-over, so it is told twice; not when the peer has spoken since. */
static void take_over_is_told_twice(void)
{
	for (int spoken = 0; spoken < 2; spoken++) {
		struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
		struct pf_state s;

		begin();
		fake_tells(&pf, &n, &t, 100);
		node_run(&n, 5000);
		CHECK(node_packet(&n, &t, true));
		node_run(&n, 500);
		CHECK_EQ(node_said(&n, ACT_UPD_C), 2);
		if (spoken) {
			s = fake_half(&pf, &t, PF_IN, 100);
			node_run(&n, 600);
			fake_upd_c(&pf, &n, &s);
		}
		node_run(&n, 2000);
		CHECK_EQ(node_said(&n, ACT_UPD_C), spoken ? 2 : 4);
		node_run(&n, 5000);
		CHECK_EQ(node_said(&n, ACT_UPD_C), spoken ? 2 : 4);
		end();
	}
}

/*
 * Taken over while the peer's link was down: who asks for everything has not heard it, and a Linux
 * peer's entry drops what returns to it unless it is told.
 */
static void take_over_in_an_outage(void)
{
	for (int live = 0; live < 2; live++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, 4000);
		struct pf_state s;

		begin();
		for (int h = 0; h < 2; h++) {
			s = fake_half(&pf, &t, h ? PF_OUT : PF_IN, 100 + (unsigned)h);
			s.state_flags = PF_FLAG_SLOPPY;
			fake_state(&pf, &n, ACT_INS, &s);
		}
		node_run(&n, 5000);
		if (live)
			CHECK(node_packet(&n, &t, true));
		for (int i = 0; i < 30; i++) {
			if (live)
				CHECK(node_packet(&n, &t, false));
			node_run(&n, 1000);
		}
		node_quiet(&n);
		fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
		node_run(&n, 5000);
		CHECK_EQ(node_about(&n, ACT_UPD_C, 100, PEERS) != NULL, live);
		CHECK_EQ(node_about(&n, ACT_UPD_C, 101, PEERS) != NULL, live);
		CHECK(node_said(&n, ACT_UPD_C) <= 4);
		end();
	}
}

/* A pf gives up no name of a state that it has made: ours goes at once. */
static void pf_keeps_its_name(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct pf_state s;
	struct flow_view v;

	begin();
	node_open(&n, &t);
	node_run(&n, 100);
	s = fake_half(&pf, &t, PF_IN, 100);
	s.rule = 3;
	fake_state(&pf, &n, ACT_INS, &s);
	s = fake_half(&pf, &t, PF_OUT, 101);
	s.rule = 3;
	fake_state(&pf, &n, ACT_INS, &s);
	if (CHECK(node_flow(&n, &t, &v))) {
		CHECK_EQ(v.half[0].creatorid, PEERS);
		CHECK_EQ(v.half[1].creatorid, PEERS);
	}
	end();
}

/* An entry that was made of one half by guess, and found again by the next start. */
static void guess_is_given_up(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000), plain = t;

	begin();
	(void)node_plant(&n, &plain, 0, CT_STATUS_CONFIRMED | CT_STATUS_SEEN_REPLY, 50);
	node_restart(&n);
	node_begin(&n);
	node_run(&n, 10000);
	tuples_snat(&t, 2, 50001);
	fake_tells(&pf, &n, &t, 100);
	node_run(&n, 6000);
	CHECK(node_entry(&n, &t) && tuples_equal(&node_entry(&n, &t)->k.tuples, &t));
	end();
}

/* After a start the peer tells the translation before the entry of the guess is read. */
static void translated_before_the_dump(struct tuples *t)
{
	n.hold_dumps = true;
	node_restart(&n);
	(void)node_settle(&n);
	tuples_snat(t, 2, 50001);
	fake_tells(&pf, &n, t, 100);
	n.hold_dumps = false;
}

/* The same, when the peer tells it before it was decided whose the entry is: never told as ours. */
static void guess_is_not_told(void)
{
	static const struct {
		uint8_t proto, state;
		uint32_t timeout; /* what we have written, or something less */
	} of[] = {{PROTO_TCP, CT_TCP_ESTABLISHED, 50}, {PROTO_UDP, CT_TCP_NONE, 60}};

	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		struct tuples t = tuples_v4(of[i].proto, 10, 4000), plain = t;

		begin();
		(void)node_plant(&n, &plain, of[i].state,
				 CT_STATUS_CONFIRMED | CT_STATUS_SEEN_REPLY, of[i].timeout);
		translated_before_the_dump(&t);
		node_quiet(&n);
		node_begin(&n);
		node_run(&n, 1000);
		CHECK_EQ(node_said(&n, ACT_INS), 0);
		CHECK(node_entry(&n, &t) && tuples_equal(&node_entry(&n, &t)->k.tuples, &t));
		CHECK_EQ(node_flows(&n), 1);
		end();
	}
}

/* Nor when the dump has read it by then, and it has made room for the peer's at once. */
static void guess_that_made_room(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 4000), plain = t;
	struct pf_state s;

	begin();
	(void)node_plant(&n, &plain, CT_TCP_ESTABLISHED, CT_STATUS_CONFIRMED | CT_STATUS_SEEN_REPLY,
			 50);
	translated_before_the_dump(&t);
	node_run(&n, 200);
	s = fake_half(&pf, &t, PF_OUT, 101);
	fake_upd_c(&pf, &n, &s);
	CHECK(node_entry(&n, &t) && tuples_equal(&node_entry(&n, &t)->k.tuples, &t));
	node_quiet(&n);
	node_begin(&n);
	node_run(&n, 1000);
	CHECK_EQ(node_said(&n, ACT_INS), 0);
	CHECK_EQ(node_flows(&n), 1);
	end();
}

/* A peer's guess ends no connection that passes here, and the peer hears of the translation. */
static void guess_of_a_peer(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 4000), plain = t;
	struct flow_view v;

	begin();
	tuples_snat(&t, 2, 50001);
	fake_tells(&pf, &n, &t, 100);
	CHECK(node_packet(&n, &t, true));
	node_run(&n, 100);
	node_quiet(&n);
	fake_tells(&pf, &n, &plain, 200); /* it has begun anew */
	CHECK(node_entry(&n, &t) && tuples_equal(&node_entry(&n, &t)->k.tuples, &t));
	CHECK_EQ(node_flows(&n), 1);
	CHECK(node_flow(&n, &t, &v) && v.half[1].id == 101);
	node_run(&n, 100);
	CHECK(node_half(&n, ACT_UPD, PF_OUT, 0) != NULL);
	end();
}

/* Somebody has made up the other half of what he knew one of; then the one that made it tells it.
 */
static void guess_of_another_creator(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 4000), plain = t;
	struct fake linux_node, third;
	struct flow_view v;
	struct pf_state s;

	tuples_snat(&t, 2, 50001);
	for (int by_maker = 0; by_maker < 2; by_maker++) {
		begin();
		fake_init(&linux_node, DIALECT_OPENBSD, 3, 0x55667788);
		fake_init(&third, DIALECT_OPENBSD, 4, 0x66778899);
		s = fake_half(&pf, &t, PF_IN, 100);
		fake_state(&pf, &n, ACT_INS, &s);
		s = fake_half(&linux_node, &plain, PF_OUT, 201);
		s.rule = UINT32_MAX;
		fake_state(&linux_node, &n, ACT_INS, &s);
		CHECK(node_entry(&n, &plain) != NULL);
		s = by_maker ? fake_half(&pf, &t, PF_OUT, 101) : fake_half(&third, &t, PF_OUT, 301);
		fake_state(by_maker ? &pf : &third, &n, ACT_INS, &s);
		node_run(&n, 100);
		CHECK(node_entry(&n, &t) != NULL && !node_entry(&n, &plain));
		if (by_maker) {
			CHECK(node_flow(&n, &t, &v) && v.half[0].id == 100 && v.half[1].id == 101);
			CHECK_EQ(node_flows(&n), 1);
		}
		/* and the guess does not come back */
		s = fake_half(&linux_node, &plain, PF_OUT, 201);
		s.rule = UINT32_MAX;
		fake_state(&linux_node, &n, ACT_UPD, &s);
		node_run(&n, 20000);
		CHECK(node_entry(&n, &t) != NULL && !node_entry(&n, &plain));
		end();
	}
}

/* A peer's UPD_C may be an old one: that packets still pass shows soon, not after half a minute. */
static void looked_at_after_a_word(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct flow_view v;
	struct pf_state s;

	begin();
	node_open(&n, &t);
	for (int i = 0; i < 20; i++) {
		CHECK(node_packet(&n, &t, i & 1));
		node_run(&n, 2000);
	}
	if (!CHECK(node_flow(&n, &t, &v)) || !CHECK(v.live))
		return;
	s = fake_half(&pf, &t, PF_IN, v.half[0].id);
	s.creatorid = v.half[0].creatorid;
	s.src.state = s.dst.state = PF_OTHER_MULTIPLE;
	node_run(&n, 1200); /* a word so soon behind ours counts for less */
	fake_upd_c(&pf, &n, &s);
	CHECK(node_flow(&n, &t, &v) && !v.live);
	for (int i = 0; i < 6; i++) {
		CHECK(node_packet(&n, &t, i & 1));
		node_run(&n, 2000);
	}
	CHECK(node_flow(&n, &t, &v) && v.live);
	end();
}

/* A pf corrects what a bulk answer tells by numbers of before; that is no sign of traffic there. */
static void corrected_bulk(void)
{
	for (int passes = 0; passes < 2; passes++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, 4000);
		struct flow_view v;
		struct pf_state s;

		begin();
		node_open(&n, &t);
		node_run(&n, 20000);
		if (passes)
			CHECK(node_packet(&n, &t, true));
		if (!CHECK(node_flow(&n, &t, &v)) || !CHECK(v.live))
			return;
		fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
		node_run(&n, 20);
		CHECK(node_about(&n, ACT_UPD, v.half[0].id, v.half[0].creatorid) != NULL);
		s = fake_half(&pf, &t, PF_IN, v.half[0].id);
		s.creatorid = v.half[0].creatorid;
		fake_upd_c(&pf, &n, &s);
		CHECK(node_flow(&n, &t, &v));
		CHECK_EQ(v.live, passes);
		end();
	}
}

/* Two Linux nodes that have the flow: who says it after a bulk update carries it. */
static void claimed_behind_a_bulk(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 4000);
	struct flow_view v;
	struct fake linux_node;
	struct pf_state s;

	begin();
	fake_init(&linux_node, DIALECT_OPENBSD, 3, 0x55667788);
	node_open(&n, &t);
	node_run(&n, 20000);
	CHECK(node_packet(&n, &t, true));
	if (!CHECK(node_flow(&n, &t, &v)) || !CHECK(v.live))
		return;
	fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 20);
	s = fake_half(&pf, &t, PF_IN, v.half[0].id);
	s.creatorid = v.half[0].creatorid;
	s.src = (struct pf_peer){.seqlo = 1, .state = PF_TCP_ESTABLISHED};
	s.dst = s.src;
	fake_upd_c(&pf, &n, &s); /* a sloppy state of a pf, which will say so again */
	CHECK(node_flow(&n, &t, &v) && v.live);
	fake_upd_c(&linux_node, &n, &s);
	CHECK(node_flow(&n, &t, &v) && !v.live);
	end();
}

/* Nor is what it answers to a refresh. */
static void corrected_refresh(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 4000);
	struct flow_view v;
	struct pf_state s;

	begin();
	node_open(&n, &t);
	for (int i = 0; i < 600 && !node_said(&n, ACT_UPD_C); i++) {
		node_run(&n, 100);
		CHECK(node_packet(&n, &t, true));
	}
	if (!CHECK(node_said(&n, ACT_UPD_C)) || !CHECK(node_flow(&n, &t, &v)))
		return;
	s = fake_half(&pf, &t, PF_IN, v.half[0].id);
	s.creatorid = v.half[0].creatorid;
	fake_upd_c(&pf, &n, &s);
	CHECK(node_flow(&n, &t, &v) && v.live);
	node_run(&n, 1100); /* what it says by itself counts */
	fake_upd_c(&pf, &n, &s);
	CHECK(node_flow(&n, &t, &v) && !v.live);
	end();
}

/* A record of a dump that is older than the end of its entry is none. */
static void record_of_what_is_gone(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct kernel_entry old;

	begin();
	node_open(&n, &t);
	old = node_entry(&n, &t)->k;
	old.timeout = 100;
	old.has_timeout = true;
	n.hold_dumps = true;
	engine_on_overrun(n.e, n.now);
	node_run(&n, 4000);
	node_kill(&n, &t);
	node_run(&n, 100);
	CHECK_EQ(node_flows(&n), 0);
	engine_on_dump(n.e, &old, n.now);
	CHECK_EQ(node_flows(&n), 0);
	n.hold_dumps = false;
	end();
}

/* Nor does it say how the entry is translated that was made of one half meanwhile. */
static void record_of_another_translation(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct kernel_entry old;
	struct pf_state s;

	begin();
	tuples_snat(&t, 2, 50001);
	fake_tells(&pf, &n, &t, 100);
	old = node_entry(&n, &t)->k;
	old.timeout = 60;
	old.has_timeout = true;
	n.hold_dumps = true;
	engine_on_overrun(n.e, n.now);
	node_run(&n, 4000);
	delete_both(&pf, 100);
	s = fake_half(&pf, &t, PF_IN, 100);
	fake_state(&pf, &n, ACT_INS, &s);
	engine_on_dump(n.e, &old, n.now);
	n.hold_dumps = false;
	s = fake_half(&pf, &t, PF_OUT, 101);
	fake_state(&pf, &n, ACT_INS, &s);
	CHECK(node_entry(&n, &t) && tuples_equal(&node_entry(&n, &t)->k.tuples, &t));
	end();
}

/* What rests is not told with a whole timeout, or nodes keep it alive for each other for ever. */
static void what_rests_runs_out(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	const struct said *m;

	begin();
	fake_tells(&pf, &n, &t, 100);
	node_run(&n, 40000);
	node_quiet(&n);
	fake_id(&pf, &n, ACT_UPD_REQ, 100, PEERS);
	node_run(&n, 100);
	m = node_about(&n, ACT_UPD, 100, PEERS);
	if (CHECK(m != NULL))
		CHECK(m->s.expire > 0 && m->s.expire <= 20);
	end();
}

/* What has run out when it is asked for does not begin anew at who asks. */
static void what_ran_out_is_over(void)
{
	for (int all = 0; all < 2; all++) {
		struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
		const struct said *m;
		struct pf_state s;

		begin();
		fake_tells(&pf, &n, &t, 100);
		node_entry(&n, &t)->mute = true;
		node_run(&n, 13000); /* so that it is not looked at just when it runs out */
		s = fake_half(&pf, &t, PF_IN, 100);
		fake_upd_c(&pf, &n, &s);
		while (node_entry(&n, &t)->expires > n.now + 100 * MS)
			node_run(&n, 10);
		n.now = node_entry(&n, &t)->expires;
		node_quiet(&n);
		if (all)
			fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
		else
			fake_id(&pf, &n, ACT_UPD_REQ, 100, PEERS);
		node_run(&n, 20);
		m = node_about(&n, ACT_UPD, 100, PEERS);
		if (all)
			CHECK(m == NULL);
		else if (CHECK(m != NULL))
			CHECK_EQ(m->s.expire, 1);
		end();
	}
}

/* We stood still: that packets passed before does not say that they pass here still. */
static void stood_still(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct flow_view v;

	begin();
	node_open(&n, &t);
	node_run(&n, 5000);
	CHECK(node_packet(&n, &t, false));
	n.now += 40 * S;
	node_quiet(&n);
	node_run(&n, 10000);
	CHECK(node_flow(&n, &t, &v) && !v.live);
	CHECK_EQ(n.saids, node_said(&n, ACT_UPD_REQ)); /* what was told meanwhile is asked for */
	CHECK(n.saids > 0 && n.said[0].id == 0);
	CHECK(node_packet(&n, &t, true));
	node_run(&n, 20000);
	CHECK(node_flow(&n, &t, &v) && v.live);
	CHECK(node_said(&n, ACT_UPD_C) >= 2);
	end();
}

/* A flow that was only ever a peer's has raised no event that shows the kernel's own timeout. */
static void stood_still_with_a_peers(void)
{
	const struct kernel_timeouts set = {.icmp = 30};
	struct tuples t = tuples_v4(PROTO_ICMP, 10, 4000);
	struct flow_view v;

	for (int known = 0; known < 2; known++) {
		begin();
		if (known)
			engine_on_timeouts(n.e, &set);
		fake_tells(&pf, &n, &t, 100);
		node_run(&n, 1000);
		node_entry(&n, &t)->expires = n.now + 30 * S; /* a packet, just before */
		node_quiet(&n);
		n.now += 25 * S;
		node_run(&n, 3000);
		CHECK(node_flow(&n, &t, &v));
		CHECK_EQ(v.live, !known); /* who cannot tell takes it for new */
		node_run(&n, 10000);
		CHECK_EQ(node_said(&n, ACT_DEL_C), known ? 0 : 2);
		end();
	}
}

/* Whoever sees an entry often sees its expiry move by little each time: that adds up to traffic. */
static void many_small_steps(void)
{
	struct tuples t = tuples_v4(PROTO_ICMP, 10, 4000);
	struct kernel_entry k;

	begin();
	node_open(&n, &t);
	node_quiet(&n);
	for (int i = 0; i < 30; i++) {
		node_run(&n, 1000);
		(void)node_packet(&n, &t, false);
		k = node_entry(&n, &t)->k;
		k.has_timeout = true;
		k.timeout = 30;
		engine_on_event(n.e, KERNEL_UPDATE, &k, false, n.now); /* its mark is set */
	}
	CHECK(node_said(&n, ACT_UPD_C) >= 4);
	end();
}

static void told_closed(const struct tuples *t, uint64_t id)
{
	struct pf_state s;

	for (unsigned i = 0; i < 2; i++) {
		s = fake_half(&pf, t, i ? PF_OUT : PF_IN, id + i);
		s.src.state = s.dst.state = PF_TCP_TIME_WAIT;
		s.timeout = PFTM_TCP_CLOSED;
		fake_state(&pf, &n, ACT_UPD, &s);
	}
}

/*
 * A new connection has the ports of one that a peer tells still, as one does that began anew:
 * before its first packet here (0), behind it (1), or when it is open (2). It is told under its own
 * name.
 */
static void ports_are_used_again(void)
{
	for (int when = 0; when < 3; when++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, 4000);

		begin();
		if (when == 0) {
			told_closed(&t, 100);
			node_run(&n, 100);
			n.lose_events = true;
			node_kill(&n, &t);
			n.lose_events = false;
		}
		node_new(&n, &t);
		if (when == 1) {
			told_closed(&t, 100);
			node_run(&n, 100);
		}
		CHECK(node_packet(&n, &t, true));
		CHECK(node_packet(&n, &t, false));
		if (when == 2)
			told_closed(&t, 100);
		CHECK(node_told(&n, &t, OURS));
		CHECK(node_entry(&n, &t) && node_entry(&n, &t)->k.tcp_state == CT_TCP_ESTABLISHED);
		end();
	}
}

/*
 * Events that lay in their queue while we stood still are of the time before: what they say began,
 * ended or passed here may have gone on at another node since.
 */
static void events_of_before(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000), gone = tuples_v4(PROTO_UDP, 11, 4000);
	struct tuples ours = tuples_v4(PROTO_UDP, 12, 4000);
	struct kernel_entry k, k_gone;
	struct flow_view v;

	begin();
	node_open(&n, &ours); /* shows the kernel's timeout, too */
	node_run(&n, 5000);
	node_plant(&n, &t, 0, node_entry(&n, &ours)->k.status, 120);
	node_plant(&n, &gone, 0, node_entry(&n, &ours)->k.status, 30);
	k = node_entry(&n, &t)->k;
	k.timeout = 120;
	k.has_timeout = true;
	k_gone = node_entry(&n, &gone)->k;
	k_gone.timeout = 120;
	k_gone.has_timeout = true;
	node_entry(&n, &gone)->used = false;
	node_quiet(&n);
	n.now += 60 * S;
	engine_on_event(n.e, KERNEL_NEW, &k, true, n.now);
	engine_on_event(n.e, KERNEL_NEW, &k_gone, true, n.now);
	node_run(&n, 100);
	CHECK_EQ(node_said(&n, ACT_INS), 0);
	CHECK(node_flow(&n, &t, &v) && !v.live);
	CHECK(!node_flow(&n, &gone, &v));
	fake_bus(&pf, &n, BUS_START);
	fake_tells(&pf, &n, &t, 100);
	fake_bus(&pf, &n, BUS_END);
	node_run(&n, 10000);
	CHECK(node_flow(&n, &t, &v) && v.half[0].id == 100);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 0);
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"only who carries a flow deletes it", only_the_carrier_deletes},
		{"one half is a word of both", one_half_is_a_word_of_both},
		{"packets before the start count", passed_before_the_start},
		{"a take-over is told twice", take_over_is_told_twice},
		{"a take-over in an outage", take_over_in_an_outage},
		{"a pf keeps its name", pf_keeps_its_name},
		{"a guess is given up", guess_is_given_up},
		{"looked at after a peer's word", looked_at_after_a_word},
		{"a dump's record of what is gone", record_of_what_is_gone},
		{"a guess is not told", guess_is_not_told},
		{"a guess that made room", guess_that_made_room},
		{"a guess of a peer", guess_of_a_peer},
		{"a guess of another creator", guess_of_another_creator},
		{"a record of another translation", record_of_another_translation},
		{"events of before a standstill", events_of_before},
		{"a corrected bulk answer", corrected_bulk},
		{"claimed behind a bulk update", claimed_behind_a_bulk},
		{"a corrected refresh", corrected_refresh},
		{"what rests runs out", what_rests_runs_out},
		{"what ran out is over", what_ran_out_is_over},
		{"we stood still", stood_still},
		{"we stood still with a peer's flow", stood_still_with_a_peers},
		{"many small steps", many_small_steps},
		{"ports are used again", ports_are_used_again},
	};

	return check_main("carrier", tests, sizeof(tests) / sizeof(tests[0]));
}
