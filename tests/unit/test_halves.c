/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Half-truths: what is told is incomplete, contradicts itself or the kernel, or comes too late. */
#include <errno.h>

#include "check.h"
#include "model.h"

static struct node n;
static struct fake a, b;

/* Two peers; a third creator is the node's own hostid in between of theirs. */
static void begin(void)
{
	struct engine_config c = node_config(0x200);

	node_meet(&n, &a, &c, DIALECT_OPENBSD);
	a.hostid = 0x100;
	fake_init(&b, DIALECT_OPENBSD, 3, 0x300);
}

static void end(void)
{
	CHECK_STR(n.wrong ? n.wrong : "", "");
	node_stop(&n);
}

static void tell(struct fake *f, const struct tuples *t, uint8_t direction, uint64_t id)
{
	struct pf_state s = fake_half(f, t, direction, id);

	fake_state(f, &n, ACT_INS, &s);
}

/* Who has named a half of the flow: 0 if nobody or there is no such flow. */
static uint32_t named_by(const struct tuples *t, int half)
{
	struct flow_view v;

	return node_flow(&n, t, &v) && v.half[half].present ? v.half[half].creatorid : 0;
}

/* ---- one half only --------------------------------------------------------------------- */

/* Installed as if it were not translated, carried on when its packets come, never told before. */
static void only_one_half(void)
{
	for (uint8_t direction = PF_IN; direction <= PF_OUT; direction++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
		struct flow_view v;

		begin();
		tell(&a, &t, direction, 10);
		CHECK(node_entry(&n, &t) != NULL);
		node_run(&n, 20000);
		CHECK_EQ(node_said(&n, ACT_INS) + node_said(&n, ACT_UPD) + node_said(&n, ACT_DEL_C),
			 0);
		CHECK(node_flow(&n, &t, &v) && !v.live);
		CHECK_EQ(v.half[0].present, direction == PF_IN);
		CHECK_EQ(v.half[1].present, direction == PF_OUT);
		(void)node_packet(&n, &t, true);
		node_run(&n, 200);
		CHECK(node_flow(&n, &t, &v) && v.live);
		CHECK(v.half[0].present && v.half[1].present);
		CHECK_EQ(named_by(&t, direction == PF_IN ? 0 : 1), 0x100);
		CHECK_EQ(named_by(&t, direction == PF_IN ? 1 : 0), 0x200);
		end();
	}
}

/* Never heard of again: it ends by the peer's clock, and nobody is told. */
static void one_half_runs_out(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1);

	begin();
	tell(&a, &t, PF_IN, 10);
	CHECK_EQ(node_count(&n), 1);
	node_run(&n, 70000);
	CHECK_EQ(node_count(&n), 0);
	CHECK_EQ(node_flows(&n), 0);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 0);
	end();
}

/* The deletion of a half that never came, before the other one: nothing is lost by it. */
static void deleted_before_it_came(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1);

	begin();
	fake_id(&a, &n, ACT_DEL_C, 11, a.hostid);
	CHECK_EQ(node_refused(&n, R_UNKNOWN_DELETE), 1);
	tell(&a, &t, PF_IN, 10);
	fake_id(&a, &n, ACT_DEL_C, 11, a.hostid);
	CHECK_EQ(node_count(&n), 1);
	fake_id(&a, &n, ACT_DEL_C, 10, a.hostid);
	CHECK_EQ(node_count(&n), 0);
	end();
}

/* ---- halves that contradict ------------------------------------------------------------ */

/* One says established, the other closing: what is further counts. */
static void states_contradict(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	struct pf_state out = fake_half(&a, &t, PF_OUT, 11);
	struct model_entry *m;

	begin();
	tell(&a, &t, PF_IN, 10);
	out = fake_half(&a, &t, PF_OUT, 11);
	out.src.state = PF_TCP_FIN_WAIT_2;
	out.dst.state = PF_TCP_FIN_WAIT_2;
	out.timeout = PFTM_TCP_FINWAIT;
	fake_state(&a, &n, ACT_INS, &out);
	m = node_entry(&n, &t);
	if (CHECK(m != NULL))
		CHECK(m->k.tcp_state != CT_TCP_ESTABLISHED);
	end();
}

/* A name is told again as another half, or of another flow: its creator knows best. */
static void a_name_moves(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1), other = tuples_v4(PROTO_UDP, 11, 1);

	begin();
	tell(&a, &t, PF_IN, 10);
	tell(&a, &t, PF_OUT, 10);
	CHECK_EQ(named_by(&t, 0), 0);
	CHECK_EQ(named_by(&t, 1), 0x100);
	CHECK_EQ(node_flows(&n), 1);
	tell(&a, &other, PF_OUT, 10);
	CHECK_EQ(node_flows(&n), 1);
	CHECK(node_entry(&n, &t) == NULL);
	CHECK(node_entry(&n, &other) != NULL);
	end();
}

/* But not away from a flow whose packets pass here. */
static void a_name_of_a_live_flow_stays(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1), other = tuples_v4(PROTO_UDP, 11, 1);

	begin();
	tell(&a, &t, PF_IN, 10);
	(void)node_packet(&n, &t, true);
	(void)node_packet(&n, &t, false);
	(void)node_packet(&n, &t, true);
	node_run(&n, 200);
	tell(&a, &other, PF_IN, 10);
	CHECK_EQ(node_refused(&n, R_KEY_CLASH), 1);
	CHECK_EQ(named_by(&t, 0), 0x100);
	CHECK(node_entry(&n, &other) == NULL);
	end();
}

/* The leaving half shows another source than was taken for granted, and again another one. */
static void translations_contradict(void)
{
	struct tuples plain = tuples_v4(PROTO_UDP, 10, 1), nat = plain, later = plain;

	begin();
	tuples_snat(&nat, 2, 50000);
	tuples_snat(&later, 2, 50001);
	tell(&a, &plain, PF_IN, 10);
	CHECK(node_entry(&n, &plain) != NULL);
	tell(&a, &nat, PF_OUT, 11);
	CHECK(node_entry(&n, &plain) == NULL);
	CHECK(node_entry(&n, &nat) != NULL);
	tell(&a, &later, PF_OUT, 11); /* under the same name */
	CHECK(node_entry(&n, &nat) == NULL);
	CHECK(node_entry(&n, &later) != NULL);
	CHECK_EQ(node_count(&n), 1);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 0);
	end();
}

/* ---- two creators ---------------------------------------------------------------------- */

/* The lower name stays; the higher one is taken when it insists, for a pf gives none up. */
static void two_creators(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1);

	begin();
	tell(&b, &t, PF_IN, 10);
	CHECK_EQ(named_by(&t, 0), 0x300);
	tell(&a, &t, PF_IN, 20);
	CHECK_EQ(named_by(&t, 0), 0x100);
	CHECK_EQ(node_refused(&n, R_OTHER_NAME), 0);
	tell(&b, &t, PF_IN, 10);
	CHECK_EQ(node_refused(&n, R_OTHER_NAME), 1);
	CHECK_EQ(named_by(&t, 0), 0x100);
	CHECK_EQ(node_said(&n, ACT_INS), 0);
	tell(&b, &t, PF_IN, 10);
	CHECK_EQ(named_by(&t, 0), 0x300);
	CHECK_EQ(node_flows(&n), 1);
	CHECK_EQ(node_count(&n), 1);
	/* the name that lost is unknown: its deletion ends nothing */
	fake_id(&a, &n, ACT_DEL_C, 20, a.hostid);
	CHECK_EQ(node_count(&n), 1);
	end();
}

/* Who holds on to its name does not say by that that it carries the flow. */
static void our_name_is_lower(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1);
	struct pf_state s;

	begin();
	node_open(&n, &t);
	node_run(&n, 100);
	node_quiet(&n);
	fake_init(&b, DIALECT_OPENBSD, 3, 0x300);
	s = fake_half(&b, &t, PF_IN, 10);
	s.rule = UINT32_MAX;
	fake_state(&b, &n, ACT_UPD, &s);
	node_run(&n, 100);
	CHECK_EQ(named_by(&t, 0), 0x200);
	CHECK_EQ(node_said(&n, ACT_UPD), 1);
	CHECK_EQ(node_said(&n, ACT_INS), 0);
	end();
}

/* A state that the peer was told by somebody, as a pf tells it: without a rule. */
static void tell_again(struct fake *f, const struct tuples *t, enum pf_action action, uint64_t id,
		       uint32_t creatorid)
{
	struct pf_state s = fake_half(f, t, PF_IN, id);

	s.creatorid = creatorid;
	s.rule = UINT32_MAX;
	fake_state(f, &n, action, &s);
}

/* Two Linux nodes that take each other's names would never agree: what a pf holds decides. */
static void a_name_that_a_pf_holds(void)
{
	struct tuples own = tuples_v4(PROTO_UDP, 11, 2), t = tuples_v4(PROTO_UDP, 10, 1);
	struct fake linux_node;
	struct pf_state s;

	begin();
	fake_init(&linux_node, DIALECT_OPENBSD, 4, 0x100);
	tell(&b, &own, PF_IN, 1); /* with a rule: no Linux does that */
	tell_again(&linux_node, &t, ACT_INS, 20, 0x100);
	tell_again(&b, &t, ACT_UPD, 10, 0x300);
	CHECK_EQ(named_by(&t, 0), 0x300);
	node_run(&n, 100);
	node_quiet(&n);
	for (unsigned i = 0; i < 3; i++) {
		tell_again(&linux_node, &t, ACT_INS, 20, 0x100);
		CHECK_EQ(named_by(&t, 0), 0x300);
		CHECK_EQ(node_refused(&n, R_OTHER_NAME), i + 1);
	}
	node_run(&n, 100);
	CHECK(node_about(&n, ACT_UPD, 10, 0x300) != NULL);
	CHECK_EQ(node_said(&n, ACT_INS), 0);
	for (int i = 0; i < 20; i++) { /* who holds on to it, too, is not told for ever */
		tell_again(&linux_node, &t, ACT_UPD, 20, 0x100);
		node_run(&n, 100);
	}
	CHECK(node_said(&n, ACT_UPD) <= 2);
	/* now it has that one, of which a Linux node has told before */
	tell_again(&linux_node, &t, ACT_UPD, 30, 0x400);
	CHECK_EQ(named_by(&t, 0), 0x300);
	node_run(&n, 11000);
	node_quiet(&n);
	s = fake_half(&b, &t, PF_IN, 30);
	s.creatorid = 0x400;
	fake_upd_c(&b, &n, &s);
	CHECK(node_about(&n, ACT_UPD_REQ, 30, 0x400) != NULL);
	tell_again(&b, &t, ACT_UPD, 30, 0x400);
	CHECK_EQ(named_by(&t, 0), 0x400);
	end();
}

/* It has lost the state, and asks for it: then another node's name is as good. */
static void a_name_that_a_pf_has_lost(void)
{
	struct tuples own = tuples_v4(PROTO_UDP, 11, 2), t = tuples_v4(PROTO_UDP, 10, 1);
	struct fake linux_node;

	for (int lost = 0; lost < 2; lost++) {
		begin();
		fake_init(&linux_node, DIALECT_OPENBSD, 4, 0x100);
		tell(&b, &own, PF_IN, 1); /* with a rule: no Linux does that */
		tell_again(&b, &t, ACT_UPD, 10, 0x300);
		fake_id(lost ? &b : &linux_node, &n, ACT_UPD_REQ, 10, 0x300);
		tell_again(&linux_node, &t, ACT_UPD, 20, 0x100);
		CHECK_EQ(named_by(&t, 0), lost ? 0x100 : 0x300);
		end();
	}
}

/* Each of two creators has told one half: both are kept, and both have to end. */
static void a_half_of_each(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1);

	begin();
	tell(&a, &t, PF_IN, 10);
	tell(&b, &t, PF_OUT, 11);
	CHECK_EQ(named_by(&t, 0), 0x100);
	CHECK_EQ(named_by(&t, 1), 0x300);
	CHECK_EQ(node_flows(&n), 1);
	fake_id(&a, &n, ACT_DEL_C, 10, a.hostid);
	CHECK_EQ(node_count(&n), 1);
	fake_id(&b, &n, ACT_DEL_C, 11, b.hostid);
	CHECK_EQ(node_count(&n), 0);
	end();
}

/* ---- the kernel's own -------------------------------------------------------------------- */

/* Packets have passed here under this translation: who says another one is wrong. */
static void a_local_flow_of_the_same_key(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1), said = t;

	begin();
	node_open(&n, &t);
	node_run(&n, 200);
	tuples_snat(&said, 2, 50000);
	tell(&a, &said, PF_OUT, 10);
	CHECK_EQ(node_refused(&n, R_KERNEL_CLASH), 1);
	CHECK(node_entry(&n, &t) != NULL);
	CHECK(node_entry(&n, &said) == NULL);
	CHECK_EQ(named_by(&t, 1), 0x200);
	end();
}

/* Of two peers' flows that need one reply tuple, the first one stays; the second when it is free.
 */
static void one_reply_tuple(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1), other = tuples_v4(PROTO_UDP, 11, 1);

	begin();
	tuples_snat(&t, 2, 50000);
	tuples_snat(&other, 2, 50000);
	fake_tells(&a, &n, &t, 10);
	fake_tells(&b, &n, &other, 20);
	CHECK(node_entry(&n, &t) != NULL);
	CHECK(node_entry(&n, &other) == NULL);
	CHECK_EQ(node_refused(&n, R_KERNEL_CLASH), 1);
	fake_id(&a, &n, ACT_DEL_C, 10, a.hostid);
	fake_id(&a, &n, ACT_DEL_C, 11, a.hostid);
	node_run(&n, 10000);
	CHECK(node_entry(&n, &other) != NULL);
	end();
}

/* Another program has deleted, changed or made anew what we installed. */
static void changed_by_somebody_else(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	struct model_entry *m;
	struct kernel_entry k;

	begin();
	fake_tells(&a, &n, &t, 10);
	m = node_entry(&n, &t);
	if (!CHECK(m != NULL))
		return;
	m->expires = n.now + 30 * S; /* conntrack -U --timeout 30 */
	k = m->k;
	k.timeout = 30;
	k.has_timeout = k.has_tcp_flags = true;
	engine_on_event(n.e, KERNEL_UPDATE, &k, false, n.now);
	node_run(&n, 200);
	CHECK_EQ(node_said(&n, ACT_UPD_C) + node_said(&n, ACT_INS) + node_said(&n, ACT_DEL_C), 0);
	node_kill(&n, &t); /* conntrack -D: not ours to tell, the peer carries it */
	node_run(&n, 200);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 0);
	CHECK_EQ(node_flows(&n), 0);
	fake_tells(&a, &n, &t, 10); /* the peer's next word */
	CHECK(node_entry(&n, &t) != NULL);
	node_plant(&n, &t, CT_TCP_ESTABLISHED, CT_STATUS_SEEN_REPLY, 100);
	end();
}

/* The kernel takes no entry for a while; nothing is lost, the peer is not told that it is there. */
static void no_room_in_the_kernel(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	struct pf_state s;

	begin();
	n.fail = ENOMEM;
	s = fake_half(&a, &t, PF_IN, 10);
	s.state_flags |= PF_FLAG_ACK;
	fake_state(&a, &n, ACT_INS, &s);
	CHECK_EQ(node_refused(&n, R_KERNEL_FULL), 1);
	CHECK_EQ(node_said(&n, ACT_INS_ACK), 0);
	node_run(&n, 60000);
	CHECK(n.writes_failed <= 12); /* ever more seldom */
	n.fail = 0;
	node_run(&n, 60000);
	CHECK(node_entry(&n, &t) != NULL);
	CHECK_EQ(node_flows(&n), 1);
	end();
}

/* ---- clocks ---------------------------------------------------------------------------- */

/* The host slept for a day: what ran out meanwhile has gone, nothing is told of what is a peer's.
 */
static void the_clock_jumps(void)
{
	struct tuples theirs = tuples_v4(PROTO_UDP, 10, 1), ours = tuples_v4(PROTO_UDP, 11, 1);
	struct tuples longer = tuples_v4(PROTO_TCP, 12, 1);

	begin();
	fake_tells(&a, &n, &theirs, 10);
	fake_tells(&a, &n, &longer, 20);
	node_open(&n, &ours);
	node_run(&n, 200);
	CHECK_EQ(node_flows(&n), 3);
	node_quiet(&n);
	n.now += 3600 * S;
	node_run(&n, 5000);
	CHECK_EQ(node_flows(&n), 1);
	CHECK(node_entry(&n, &longer) != NULL);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 0); /* ours may be carried by another since */
	n.now += 200000 * S;
	node_run(&n, 5000);
	CHECK_EQ(node_flows(&n), 0);
	CHECK(!node_about(&n, ACT_DEL_C, 20, 0x100));
	fake_tells(&a, &n, &theirs, 10); /* and on it goes */
	CHECK(node_entry(&n, &theirs) != NULL);
	end();
}

/* Ages and lifetimes that no clock can have. */
static void a_peer_with_another_clock(void)
{
	static const uint32_t values[] = {0, 1, 86400, 99999999, 100000000, 0x7fffffff, UINT32_MAX};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct tuples t = tuples_v4(PROTO_UDP, 10, (uint16_t)(1 + i));
		struct pf_state s;
		struct model_entry *m;
		struct flow_view v;

		begin();
		s = fake_half(&a, &t, PF_IN, 10);
		s.creation = s.expire = values[i];
		fake_state(&a, &n, ACT_INS, &s);
		m = node_entry(&n, &t);
		if (CHECK(m != NULL))
			CHECK(m->expires <= n.now + 61 * S); /* a whole timeout at most */
		CHECK(node_flow(&n, &t, &v) && v.age < 100000000);
		node_run(&n, 70000);
		CHECK_EQ(node_count(&n), 0);
		end();
	}
}

int main(void)
{
	static const struct check_test tests[] = {
		{"only one half", only_one_half},
		{"one half runs out", one_half_runs_out},
		{"deleted before it came", deleted_before_it_came},
		{"states contradict", states_contradict},
		{"a name moves", a_name_moves},
		{"a name of a live flow stays", a_name_of_a_live_flow_stays},
		{"translations contradict", translations_contradict},
		{"two creators", two_creators},
		{"a name that a pf holds", a_name_that_a_pf_holds},
		{"a name that a pf has lost", a_name_that_a_pf_has_lost},
		{"our name is lower", our_name_is_lower},
		{"a half of each", a_half_of_each},
		{"a local flow of the same key", a_local_flow_of_the_same_key},
		{"one reply tuple", one_reply_tuple},
		{"changed by somebody else", changed_by_somebody_else},
		{"no room in the kernel", no_room_in_the_kernel},
		{"the clock jumps", the_clock_jumps},
		{"a peer with another clock", a_peer_with_another_clock},
	};

	return check_main("halves", tests, sizeof(tests) / sizeof(tests[0]));
}
