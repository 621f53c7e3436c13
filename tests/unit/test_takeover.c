/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What live connections hang on when they move between pf and Linux. */
#include "check.h"
#include "model.h"

#include <stdio.h>

enum { OURS = 0x0a0b0c0d, PEERS = 0x11223344 };

static struct node n;
static struct fake pf;

static void begin(enum dialect_id d)
{
	struct engine_config c = node_config(OURS);

	node_meet(&n, &pf, &c, d);
}

static void end(void)
{
	CHECK_STR(n.wrong ? n.wrong : "", "");
	node_stop(&n);
}

static void check_sloppy(const struct said *m)
{
	if (!CHECK(m != NULL))
		return;
	CHECK_EQ(m->s.state_flags, PF_FLAG_SLOPPY);
	CHECK_EQ(m->s.src.state, 4);
	CHECK_EQ(m->s.dst.state, 4);
	CHECK_EQ(m->s.src.seqlo, 1);
	CHECK_EQ(m->s.dst.seqlo, 1);
	CHECK_EQ(m->s.src.seqdiff | m->s.dst.seqdiff, 0);
	CHECK_EQ(m->s.src.wscale | m->s.dst.wscale, 0);
	CHECK_EQ(m->s.timeout, PFTM_TCP_ESTABLISHED);
	CHECK_EQ(m->s.expire, 0);
	CHECK_EQ(m->s.rule, UINT32_MAX);
	CHECK_STR(m->s.ifname, "all");
}

/* The message about a name stands in the packets before another one. */
static bool before(const struct said *a, const struct said *b)
{
	return a && b && a < b;
}

/* Both states of a flow of the peer were replaced, once. */
static void check_replaced(uint64_t id)
{
	for (uint64_t i = id; i <= id + 1; i++) {
		const struct said *del = node_about(&n, ACT_DEL_C, i, PEERS);
		const struct said *ins = node_about(&n, ACT_INS, i, PEERS);

		CHECK(del != NULL);
		check_sloppy(ins);
		CHECK(before(del, ins));
	}
	CHECK_EQ(node_said(&n, ACT_DEL_C), 2);
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	CHECK_EQ(node_said(&n, ACT_UPD_C), 0);
}

static void told_so_that_pf_can_carry_it(void)
{
	for (int d = DIALECT_FREEBSD_13; d <= DIALECT_OPENBSD; d++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, 40000),
			      six = tuples_v6(PROTO_TCP, 10, 40001);

		begin((enum dialect_id)d);
		tuples_snat(&t, 2, 50001);
		node_open(&n, &t);
		node_open(&n, &six);
		node_run(&n, 100);
		CHECK_EQ(node_said(&n, ACT_INS), 4);
		for (size_t i = 0; i < 4; i++) {
			const struct said *m = node_nth(&n, ACT_INS, i);

			check_sloppy(m);
			if (m) {
				CHECK_EQ(m->creatorid, OURS);
				CHECK(m->id != 0);
			}
		}
		CHECK(node_half(&n, ACT_INS, PF_IN, 1) && node_half(&n, ACT_INS, PF_OUT, 1));
		end();
	}
}

/* The reply that crosses a standby's entry raises ASSURED: the flow is ours, pf's states go. */
static void strict_states_are_replaced(void)
{
	for (int d = DIALECT_FREEBSD_13; d <= DIALECT_OPENBSD; d++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
		struct flow_view v;

		begin((enum dialect_id)d);
		tuples_snat(&t, 2, 50001);
		fake_tells(&pf, &n, &t, 0x5e8f2a0100000001);
		CHECK(node_entry(&n, &t) != NULL);
		node_run(&n, 3000);
		CHECK_EQ(node_said(&n, ACT_INS) + node_said(&n, ACT_UPD_C) +
				 node_said(&n, ACT_DEL_C),
			 0);
		CHECK(node_packet(&n, &t, false));
		CHECK(node_packet(&n, &t, true));
		node_run(&n, 60);
		CHECK(node_flow(&n, &t, &v) && v.live);
		check_replaced(0x5e8f2a0100000001);
		CHECK_EQ(node_counter(&n, C_TAKEN_OVER), 1);
		/* and not again while nothing changes */
		node_quiet(&n);
		for (int i = 0; i < 20; i++) {
			(void)node_packet(&n, &t, i & 1);
			node_run(&n, 500);
		}
		CHECK_EQ(node_said(&n, ACT_INS) + node_said(&n, ACT_DEL_C), 0);
		end();
	}
}

/* A peer that was away has its own strict states still: replaced when it is heard again. */
/* Another program sets bits of an entry, or its timeout: no packet has passed. */
static void changed_by_another(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	struct model_entry *k;

	begin(DIALECT_FREEBSD_13);
	fake_tells(&pf, &n, &t, 1);
	node_quiet(&n);
	k = node_entry(&n, &t);
	k->k.status |= CT_STATUS_ASSURED;
	k->k.timeout = 5000;
	k->expires = n.now + 5000 * S;
	engine_on_event(n.e, KERNEL_UPDATE, &k->k, false, n.now);
	node_run(&n, 30000);
	CHECK_EQ(node_counter(&n, C_TAKEN_OVER), 0);
	CHECK_EQ(n.saids, 0);
	(void)node_packet(&n, &t, false);
	(void)node_packet(&n, &t, true);
	node_run(&n, 600000); /* without an event: noticed when the entry is looked at */
	CHECK_EQ(node_counter(&n, C_TAKEN_OVER), 1);
	end();
}

/* A pf that missed the replacement may have taken the made-up numbers of an update for true ones.
 */
static void spoilt_state_is_replaced(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct pf_state s[2];

	begin(DIALECT_FREEBSD_13);
	fake_tells(&pf, &n, &t, 100);
	(void)node_packet(&n, &t, true);
	node_run(&n, 2000);
	for (int spoilt = 0; spoilt < 2; spoilt++) {
		fake_bus(&pf, &n, BUS_START);
		for (int h = 0; h < 2; h++) {
			s[h] = fake_half(&pf, &t, h ? PF_OUT : PF_IN, 100 + (unsigned)h);
			s[h].src = s[h].dst = (struct pf_peer){.state = PF_TCP_ESTABLISHED,
							       .seqlo = 1};
			s[h].state_flags = spoilt ? 0 : PF_FLAG_SLOPPY;
			node_quiet(&n);
			fake_state(&pf, &n, ACT_UPD, &s[h]);
			node_run(&n, 100);
			CHECK_EQ(node_said(&n, ACT_DEL_C), spoilt);
			CHECK_EQ(node_said(&n, ACT_INS), spoilt);
			if (spoilt)
				check_sloppy(node_about(&n, ACT_INS, s[h].id, PEERS));
		}
		fake_bus(&pf, &n, BUS_END);
	}
	end();
}

static void replaced_again_when_the_peer_reappears(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000), u = tuples_v4(PROTO_UDP, 10, 5000);

	begin(DIALECT_FREEBSD_13);
	fake_tells(&pf, &n, &t, 100);
	fake_tells(&pf, &n, &u, 200);
	(void)node_packet(&n, &t, true);
	(void)node_packet(&n, &u, true);
	node_run(&n, 100);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 2); /* TCP alone */
	for (int i = 0; i < 20; i++) {	       /* silence of the peer for 100 s */
		node_run(&n, 5000);
		(void)node_packet(&n, &t, i & 1);
		(void)node_packet(&n, &u, i & 1);
	}
	node_quiet(&n);
	fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 300);
	for (uint64_t i = 100; i <= 101; i++) {
		CHECK(node_about(&n, ACT_DEL_C, i, PEERS) != NULL);
		check_sloppy(node_about(&n, ACT_INS, i, PEERS));
		CHECK(before(node_about(&n, ACT_DEL_C, i, PEERS),
			     node_about(&n, ACT_INS, i, PEERS)));
	}
	CHECK(!node_about(&n, ACT_DEL_C, 200, PEERS));
	end();
}

static void link_returns(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000), mine = tuples_v4(PROTO_TCP, 11, 40000);

	begin(DIALECT_OPENBSD);
	fake_tells(&pf, &n, &t, 100);
	node_open(&n, &mine);
	node_run(&n, 100);
	node_link(&n, 0, false, 1500);
	(void)node_packet(&n, &t, true); /* taken over while nobody hears */
	node_run(&n, 30000);
	node_link(&n, 0, true, 1500);
	node_quiet(&n);
	node_run(&n, 2000);
	CHECK(node_about(&n, ACT_UPD_REQ, 0, 0) != NULL);
	for (uint64_t i = 100; i <= 101; i++)
		CHECK(before(node_about(&n, ACT_DEL_C, i, PEERS),
			     node_about(&n, ACT_INS, i, PEERS)));
	end();
}

static void told_sloppy_stays(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct pf_state in, out;

	begin(DIALECT_FREEBSD_13);
	in = fake_half(&pf, &t, PF_IN, 7);
	out = fake_half(&pf, &t, PF_OUT, 8);
	in.state_flags = out.state_flags = PF_FLAG_SLOPPY;
	in.src.seqlo = in.dst.seqlo = out.src.seqlo = out.dst.seqlo = 1;
	fake_state(&pf, &n, ACT_INS, &in);
	fake_state(&pf, &n, ACT_INS, &out);
	node_quiet(&n);
	(void)node_packet(&n, &t, true);
	node_run(&n, 200);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 0);
	CHECK_EQ(node_said(&n, ACT_INS), 0);
	CHECK_EQ(node_counter(&n, C_TAKEN_OVER), 1);
	end();
}

/* handover = strict: 0/0 with the shifts that pf told, nothing that it could not follow. */
static void strict_handover(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000), mine = tuples_v4(PROTO_TCP, 11, 40000);
	const struct said *m;
	struct pf_state s;

	c.link[0].handover_strict = true;
	node_meet(&n, &pf, &c, DIALECT_FREEBSD_13);
	fake_tells(&pf, &n, &t, 100);
	node_quiet(&n);
	(void)node_packet(&n, &t, true);
	node_run(&n, 200);
	CHECK(before(node_about(&n, ACT_DEL_C, 100, PEERS), node_about(&n, ACT_INS, 100, PEERS)));
	for (uint64_t i = 100; i <= 101; i++) {
		m = node_about(&n, ACT_INS, i, PEERS);
		if (!CHECK(m != NULL))
			continue;
		CHECK_EQ(m->s.state_flags, 0);
		CHECK_EQ(m->s.src.state, 0);
		CHECK_EQ(m->s.dst.state, 0);
		CHECK_EQ(m->s.src.seqlo, 0);
		CHECK_EQ(m->s.src.seqhi, 1);
		CHECK_EQ(m->s.src.max_win, 1);
		CHECK_EQ(m->s.src.wscale, 0x87);
		CHECK_EQ(m->s.dst.wscale, 0x8a);
	}
	/* a pf that has seen nothing of it says so: what it is to learn is told as before */
	fake_bus(&pf, &n, BUS_START);
	for (unsigned h = 0; h < 2; h++) {
		m = node_about(&n, ACT_INS, 100 + h, PEERS);
		if (CHECK(m != NULL)) {
			s = m->s;
			s.af = s.stack_af = 4;
			fake_state(&pf, &n, ACT_UPD, &s);
		}
	}
	fake_bus(&pf, &n, BUS_END);
	node_quiet(&n);
	fake_id(&pf, &n, ACT_UPD_REQ, 100, PEERS);
	node_run(&n, 100);
	m = node_about(&n, ACT_UPD, 100, PEERS);
	if (CHECK(m != NULL)) {
		CHECK_EQ(m->s.state_flags, 0);
		CHECK_EQ(m->s.src.seqlo, 0);
		CHECK_EQ(m->s.dst.seqlo, 0);
	}
	/* without the shifts: sloppy after all */
	node_quiet(&n);
	node_open(&n, &mine);
	node_entry(&n, &mine)->k.tcp_flags[0] = 0;
	node_run(&n, 200);
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	end();
}

/* A few packets passed the pf, which has learned its numbers of them: it does not know when it is
 * behind, so it is to learn again. */
static void strict_and_back(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct flow_view v;
	struct pf_state s;

	c.link[0].handover_strict = true;
	node_meet(&n, &pf, &c, DIALECT_FREEBSD_13);
	node_open(&n, &t);
	for (int i = 0; i < 20; i++) {
		node_run(&n, 1000);
		(void)node_packet(&n, &t, i & 1);
	}
	CHECK(node_flow(&n, &t, &v) && v.live);
	node_quiet(&n);
	for (int i = 0; i < 600 && !node_said(&n, ACT_UPD); i++)
		node_run(&n, 100);
	CHECK(node_said(&n, ACT_UPD) != 0);
	for (int h = 0; h < 2; h++) {
		s = fake_half(&pf, &t, h ? PF_OUT : PF_IN, v.half[h].id);
		s.creatorid = OURS;
		s.dst.state = PF_TCP_SYN_SENT;
		fake_upd_c(&pf, &n, &s);
	}
	node_run(&n, 100);
	for (int h = 0; h < 2; h++)
		CHECK(before(node_about(&n, ACT_DEL_C, v.half[h].id, OURS),
			     node_about(&n, ACT_INS, v.half[h].id, OURS)));
	CHECK(node_flow(&n, &t, &v) && v.live);
	end();
}

/* A half that pf never told is needed too. */
static void the_missing_half_is_made(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct pf_state in;

	begin(DIALECT_FREEBSD_13);
	in = fake_half(&pf, &t, PF_IN, 70);
	fake_state(&pf, &n, ACT_INS, &in);
	node_quiet(&n);
	CHECK(node_packet(&n, &t, true));
	node_run(&n, 200);
	check_sloppy(node_about(&n, ACT_INS, 70, PEERS));
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	check_sloppy(node_half(&n, ACT_INS, PF_OUT, 0));
	if (node_half(&n, ACT_INS, PF_OUT, 0))
		CHECK_EQ(node_half(&n, ACT_INS, PF_OUT, 0)->creatorid, OURS);
	end();
}

/* A strict entry that was bypassed drops all: the first UPD_C of a peer makes ours liberal. */
static void ours_become_liberal(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	const struct said *in, *out;
	struct pf_state s;
	struct flow_view v;

	begin(DIALECT_FREEBSD_13);
	tuples_snat(&t, 2, 50001);
	node_open(&n, &t);
	node_run(&n, 100);
	CHECK(!(node_entry(&n, &t)->k.tcp_flags[0] & CT_TCP_FLAG_LIBERAL));
	in = node_half(&n, ACT_INS, PF_IN, 0);
	out = node_half(&n, ACT_INS, PF_OUT, 0);
	if (!CHECK(in && out))
		return;
	s = fake_half(&pf, &t, PF_IN, in->id); /* pf has learnt numbers: it carries the flow */
	s.creatorid = OURS;
	fake_upd_c(&pf, &n, &s);
	CHECK(node_entry(&n, &t)->k.tcp_flags[0] & CT_TCP_FLAG_LIBERAL);
	CHECK(node_entry(&n, &t)->k.tcp_flags[1] & CT_TCP_FLAG_LIBERAL);
	CHECK(node_flow(&n, &t, &v) && !v.live);
	CHECK_EQ(node_counter(&n, C_HANDED_OVER), 1);
	node_bypass(&n);
	CHECK(node_packet(&n, &t, true)); /* the traffic returns and passes */
	end();
}

/* A taken-over flow is refreshed before a third of the timeout is left, as long as it lives. */
static void refreshed_while_live(uint8_t proto, uint32_t timeout)
{
	struct tuples t = tuples_v4(proto, 10, 4000), idle = tuples_v4(proto, 11, 4000);
	uint64_t last = 0, worst = 0, told = 0;
	const struct said *ins, *idle_ins;

	begin(DIALECT_FREEBSD_13);
	node_open(&n, &t);
	node_open(&n, &idle);
	node_run(&n, 100);
	CHECK_EQ(node_said(&n, ACT_INS), 4);
	ins = node_half(&n, ACT_INS, PF_IN, 0);
	idle_ins = node_half(&n, ACT_INS, PF_IN, 1);
	if (!ins || !idle_ins)
		return;
	last = ins->at;
	for (uint32_t i = 0; i < 240; i++) {
		(void)node_packet(&n, &t, i & 1);
		node_run(&n, timeout * 1000ull / 60);
	}
	ins = node_half(&n, ACT_INS, PF_IN, 0);
	idle_ins = node_half(&n, ACT_INS, PF_IN, 1);
	for (size_t i = 0; i < n.saids; i++) {
		const struct said *m = &n.said[i];
		/* older FreeBSD is refreshed by full updates */
		bool update = m->action == ACT_UPD_C || m->action == ACT_UPD;

		if (update && m->id == idle_ins->id) {
			CHECK(!"an idle flow is not refreshed");
			break;
		}
		if (!update || m->id != ins->id)
			continue;
		worst = m->at - last > worst ? m->at - last : worst;
		last = m->at;
		told++;
	}
	if (!CHECK(told >= 3))
		printf("\nprotocol %u: told %u times\n", proto, (unsigned)told);
	CHECK(worst <= timeout * S * 2 / 3);
	CHECK(n.now - last <= timeout * S * 2 / 3);
	CHECK(told <=
	      40 + 4 * timeout / 500); /* every ten minutes at most, if that is long enough */
	end();
}

static void refresh(void)
{
	refreshed_while_live(PROTO_UDP, 60);
	refreshed_while_live(PROTO_ICMP, 10);
	refreshed_while_live(PROTO_TCP, 86400);
}

/* A young flow is looked at within seconds, also when it was told half a second after its start. */
static void told_late(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 4000);

	begin(DIALECT_FREEBSD_13);
	n.config.link[0].flush_ms = 500;
	engine_reload(n.e, &n.config, n.now);
	node_open(&n, &t);
	node_run(&n, 1000);
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	node_quiet(&n);
	node_run(&n, 8000);
	(void)node_packet(&n, &t, true);
	node_run(&n, 4000);
	CHECK_EQ(node_said(&n, ACT_UPD), 2);
	end();
}

/* Whatever hides between two looks: traffic just before a dump still counts. */
static void refresh_survives_dumps(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	uint64_t last;

	begin(DIALECT_OPENBSD);
	node_open(&n, &t);
	node_run(&n, 100);
	node_quiet(&n);
	last = n.now;
	node_run(&n, 15000);
	(void)node_packet(&n, &t, true);
	node_run(&n, 1000);
	engine_resync(n.e, n.now); /* a dump reads the entry */
	node_run(&n, 60000 - 16000);
	CHECK(node_said(&n, ACT_UPD_C) >= 2);
	if (node_nth(&n, ACT_UPD_C, 0))
		CHECK(node_nth(&n, ACT_UPD_C, 0)->at - last <= 41 * S);
	end();
}

/*
 * The numbers of the very message that hands a flow over are the first that are true again. Made-up
 * ones are newer than many, and a pf that takes them drops everything.
 */
static void handed_over_with_its_numbers(void)
{
	for (int how = 0; how < 3; how++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
		const struct said *m;
		struct flow_view v;
		struct pf_state s;
		uint64_t id;

		begin(DIALECT_FREEBSD_13);
		node_open(&n, &t);
		node_run(&n, 5000);
		CHECK(node_flow(&n, &t, &v));
		id = how == 2 ? 100 : v.half[0].id;
		s = fake_half(&pf, &t, PF_IN, id);
		s.creatorid = how == 2 ? PEERS : v.half[0].creatorid;
		s.src.seqlo = 0x90000000;
		s.src.seqhi = 0x90010000;
		if (how)
			fake_state(&pf, &n, ACT_INS, &s);
		else
			fake_upd_c(&pf, &n, &s);
		CHECK_EQ(node_counter(&n, C_HANDED_OVER), 1);
		node_quiet(&n);
		fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
		node_run(&n, 100);
		m = node_about(&n, ACT_UPD, id, s.creatorid);
		if (CHECK(m != NULL)) {
			CHECK_EQ(m->s.src.seqlo, 0x90000000);
			CHECK_EQ(m->s.dst.seqlo, s.dst.seqlo);
		}
		end();
	}
}

/* What passed before a peer's word is no take-over after it, however the entry is looked at. */
static void handed_over_stays(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct flow_view v;
	struct pf_state s;

	begin(DIALECT_FREEBSD_13);
	node_open(&n, &t);
	node_run(&n, 20000);
	(void)node_packet(&n, &t, true); /* pushes the expiry out, unseen */
	node_run(&n, 1000);
	CHECK(node_flow(&n, &t, &v) && v.live);
	s = fake_half(&pf, &t, PF_IN, v.half[0].id);
	s.creatorid = OURS;
	fake_upd_c(&pf, &n, &s);
	node_quiet(&n);
	engine_resync(n.e, n.now); /* a dump reads the entry */
	for (int i = 0; i < 20; i++) {
		node_run(&n, 5000);
		fake_upd_c(&pf, &n, &s);
	}
	CHECK(node_flow(&n, &t, &v) && !v.live);
	CHECK_EQ(node_said(&n, ACT_UPD_C) + node_said(&n, ACT_INS) + node_said(&n, ACT_DEL_C), 0);
	end();
}

/* Traffic that came back without an event: DEL_C finds it, and is answered. */
static void deletion_after_a_silent_return(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 4000);
	struct flow_view v;
	struct pf_state s;

	begin(DIALECT_FREEBSD_13);
	node_open(&n, &t);
	node_run(&n, 1000);
	CHECK(node_flow(&n, &t, &v) && v.live);
	for (int i = 0; i < 2; i++) {
		s = fake_half(&pf, &t, i ? PF_OUT : PF_IN, v.half[i].id);
		s.creatorid = OURS;
		fake_upd_c(&pf, &n, &s);
	}
	node_run(&n, 10000);
	CHECK(node_packet(&n, &t, true));
	node_run(&n, 3000);
	node_quiet(&n);
	fake_id(&pf, &n, ACT_DEL_C, v.half[0].id, OURS);
	fake_id(&pf, &n, ACT_DEL_C, v.half[1].id, OURS);
	node_run(&n, 100);
	CHECK(node_packet(&n, &t, true));
	CHECK(node_about(&n, ACT_INS, v.half[0].id, OURS) != NULL);
	CHECK(node_about(&n, ACT_INS, v.half[1].id, OURS) != NULL);
	end();
}

/* Nothing is written to the kernel for each UPD_C, but in time. */
static void lazy_writes(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct pf_state s;
	unsigned changed;

	begin(DIALECT_FREEBSD_13);
	fake_tells(&pf, &n, &t, 100);
	s = fake_half(&pf, &t, PF_IN, 100);
	changed = n.changed;
	for (int i = 0; i < 300; i++) {
		node_run(&n, 1000);
		fake_upd_c(&pf, &n, &s);
		if (!CHECK(node_entry(&n, &t) != NULL))
			break;
	}
	CHECK(n.changed - changed <= 300 / 15 + 1);
	CHECK(n.changed - changed >= 5);
	CHECK(node_entry(&n, &t)->expires - n.now >= 60 * S * 3 / 4 - 2 * S);
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"our flows are told so that pf can carry them", told_so_that_pf_can_carry_it},
		{"strict states of a peer are replaced at take-over", strict_states_are_replaced},
		{"not when another program changes an entry", changed_by_another},
		{"a spoilt state is replaced", spoilt_state_is_replaced},
		{"and again when it reappears", replaced_again_when_the_peer_reappears},
		{"and when the link returns", link_returns},
		{"but not what was told sloppy", told_sloppy_stays},
		{"handover = strict", strict_handover},
		{"handover = strict, and back", strict_and_back},
		{"a half that was never told is made", the_missing_half_is_made},
		{"our entries become liberal", ours_become_liberal},
		{"live flows are refreshed, idle ones not", refresh},
		{"told late", told_late},
		{"refresh and dumps", refresh_survives_dumps},
		{"what was handed over stays so", handed_over_stays},
		{"handed over with its numbers", handed_over_with_its_numbers},
		{"DEL_C after a silent return", deletion_after_a_silent_return},
		{"kernel timeouts are written lazily", lazy_writes},
	};

	return check_main("takeover", tests, sizeof(tests) / sizeof(tests[0]));
}
