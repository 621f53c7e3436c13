/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a peer still hears us: what it is asked, what counts as an answer, who is deaf. */
#include "check.h"
#include "model.h"

enum { OURS = 0x0a0b0c0d, PEERS = 0x11223344, EVERY = 15 };

static struct node n;
static struct fake pf;

static void meet(unsigned mtu, enum link_mode mode)
{
	struct engine_config c = node_config(OURS);

	c.link[0].probe_s = EVERY;
	c.link[0].mode = mode;
	node_meet(&n, &pf, &c, DIALECT_FREEBSD_13);
	node_link(&n, 0, true, mtu);
	node_run(&n, 1000);
	node_quiet(&n);
}

static void end(void)
{
	CHECK_STR(n.wrong ? n.wrong : "", "");
	node_stop(&n);
}

static struct peer_view peer(void)
{
	struct peer_view v = {.link = 99};

	CHECK(engine_peer_view(n.e, 0, &v));
	return v;
}

static bool narrow(void)
{
	struct link_view v;

	CHECK(engine_link_view(n.e, 0, &v));
	return v.narrow;
}

/* As a pf does: asks back for the state that it does not know. */
static bool answer_echo(void)
{
	const struct said *echo = node_nth(&n, ACT_UPD_C, 0);

	if (!echo)
		return false;
	fake_id(&pf, &n, ACT_UPD_REQ, echo->id, echo->creatorid);
	return true;
}

/* Which requests there are for a state, or for all of them. */
static size_t requests(bool all)
{
	size_t found = 0;

	for (size_t i = 0; i < n.saids; i++)
		found += n.said[i].action == ACT_UPD_REQ && !n.said[i].id == all;
	return found;
}

static void an_echo_is_enough(void)
{
	meet(1500, MODE_BOTH);
	for (int i = 0; i < 20; i++) {
		uint64_t before = node_refused(&n, R_UNKNOWN_REQUEST);

		node_quiet(&n);
		for (int s = 0; s < EVERY + 1 && !node_said(&n, ACT_UPD_C); s++)
			node_run(&n, 1000);
		if (!CHECK_EQ(n.saids, 1) || !CHECK(answer_echo()))
			break;
		CHECK_EQ(node_refused(&n, R_UNKNOWN_REQUEST), before);
		CHECK(!peer().deaf);
		CHECK_EQ(peer().answered, n.now);
	}
	CHECK_EQ(requests(false) + requests(true), 0);
	end();
}

static void a_dead_peer(void)
{
	uint64_t since;

	meet(1500, MODE_BOTH);
	since = n.now;
	for (int s = 0; s < 2 * EVERY && !peer().deaf; s++)
		node_run(&n, 1000);
	CHECK(peer().deaf > since && n.now - since <= (EVERY + 12) * S);
	CHECK_EQ(node_said(&n, ACT_UPD_C), 2);
	CHECK_EQ(requests(true), 1);
	CHECK_EQ(n.notes[NOTE_BULK_FAILED], 0);
	/* asked ever more seldom */
	node_quiet(&n);
	node_run(&n, 3600000);
	CHECK(peer().deaf > since);
	CHECK(requests(true) > 3 && requests(true) < 16);
	/* it comes back */
	node_quiet(&n);
	node_run(&n, 1000 * (EVERY + 8));
	CHECK(answer_echo() || answer_echo());
	end();
}

/* A FreeBSD that has nothing to say keeps the question until it is asked for a state. */
static void a_state_pushes(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 53);
	struct pf_state s;

	meet(1500, MODE_BOTH);
	node_open(&n, &t);
	node_run(&n, 100);
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	node_quiet(&n);
	for (int i = 0; i < EVERY + 4 && !requests(false); i++)
		node_run(&n, 1000);
	if (CHECK_EQ(requests(false), 1)) {
		const struct said *asked = node_nth(&n, ACT_UPD_REQ, 0);
		struct flow_view v;

		s = fake_half(&pf, &t, PF_IN, asked->id);
		s.creatorid = asked->creatorid;
		CHECK_EQ(asked->creatorid, OURS);
		node_quiet(&n);
		CHECK(node_flow(&n, &t, &v) && v.live);
		if (v.half[0].id != asked->id)
			s.direction = PF_OUT;
		fake_state(&pf, &n, ACT_UPD, &s);
		CHECK_EQ(peer().answered, n.now);
		CHECK(node_flow(&n, &t, &v) && v.live); /* no news of who carries it */
		CHECK_EQ(n.sents, 0);
	}
	end();
}

/* Long packets are lost on their way, short ones are not. */
static void a_narrow_link(void)
{
	struct pf_state s[6];

	meet(1000, MODE_BOTH);
	for (unsigned i = 0; i < 3; i++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, (uint16_t)(4000 + i));

		fake_tells(&pf, &n, &t, 100 + 2 * i);
		s[2 * i] = fake_half(&pf, &t, PF_IN, 100 + 2 * i);
		s[2 * i + 1] = fake_half(&pf, &t, PF_OUT, 101 + 2 * i);
	}
	for (int second = 0; second < 8 * EVERY && !narrow(); second++) {
		node_quiet(&n);
		node_run(&n, 1000);
		(void)answer_echo();
		if (requests(false) == 1)
			for (size_t i = 0; i < 6; i++)
				if (node_about(&n, ACT_UPD_REQ, s[i].id, s[i].creatorid))
					fake_state(&pf, &n, ACT_UPD, &s[i]);
	}
	CHECK(narrow());
	CHECK(!peer().deaf);
	/* wide again */
	for (int second = 0; second < 8 * EVERY && narrow(); second++) {
		node_quiet(&n);
		node_run(&n, 1000);
		(void)answer_echo();
		for (size_t i = 0; i < 6; i++)
			if (node_about(&n, ACT_UPD_REQ, s[i].id, s[i].creatorid))
				fake_state(&pf, &n, ACT_UPD, &s[i]);
	}
	CHECK(!narrow());
	end();
}

/* Who tells nothing asks only, and who takes nothing is not asked. */
static void modes(void)
{
	meet(1500, MODE_RECEIVE_ONLY);
	node_run(&n, 40000);
	CHECK_EQ(node_said(&n, ACT_UPD_C), 0);
	CHECK(requests(true) > 0);
	end();
	meet(1500, MODE_SEND_ONLY);
	node_run(&n, 40000);
	CHECK_EQ(n.sents, 0);
	CHECK(!peer().deaf);
	end();
}

/* Another one like us asks the same: it is answered, and nothing is refused. */
static void a_question(void)
{
	struct pf_state s = {.id = 0xfffffffe00000001, .creatorid = PEERS, .timeout = 8};

	meet(1500, MODE_BOTH);
	s.src.state = s.dst.state = 2;
	fake_upd_c(&pf, &n, &s);
	node_run(&n, 100);
	CHECK(node_about(&n, ACT_UPD_REQ, s.id, PEERS));
	CHECK_EQ(node_refused(&n, R_UNKNOWN_ID), 0);
	s.id = 77;
	fake_upd_c(&pf, &n, &s);
	CHECK_EQ(node_refused(&n, R_UNKNOWN_ID), 1);
	end();
}

/* One that has no states has not shown its dialect; it is asked in the version of its header. */
static void undeclared(void)
{
	struct engine_config c = node_config(OURS);
	struct fake other;
	bool heard = false;

	c.link[0].probe_s = EVERY;
	node_start(&n, &c, 2, 1000 * S);
	fake_init(&pf, DIALECT_OPENBSD, 1, PEERS);
	fake_init(&other, DIALECT_FREEBSD_13, 3, PEERS + 1);
	(void)node_settle(&n);
	for (int i = 0; i < 2; i++) { /* a bulk update of each, both empty */
		fake_bus(i ? &other : &pf, &n, BUS_START);
		fake_bus(i ? &other : &pf, &n, BUS_END);
	}
	node_run(&n, 5000);
	node_quiet(&n);
	node_run(&n, (EVERY + 1) * 1000);
	for (size_t i = 0; i < n.saids; i++)
		heard |= n.said[i].action == ACT_UPD_C &&
			 n.said[i].version == other.dialect->version;
	CHECK(heard);
	end();
}

static void a_clash(void)
{
	meet(1500, MODE_BOTH);
	engine_resync(n.e, n.now);
	pf.hostid = OURS;
	fake_bus(&pf, &n, BUS_START);
	CHECK(peer().clash);
	pf.hostid = PEERS;
	fake_bus(&pf, &n, BUS_END);
	CHECK(!peer().clash);
	pf.hostid = OURS; /* also in what we did not ask for */
	fake_bus(&pf, &n, BUS_START);
	CHECK(peer().clash);
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"an echo is enough", an_echo_is_enough},
		{"a dead peer is found", a_dead_peer},
		{"a request pushes the echo", a_state_pushes},
		{"a link that is too narrow", a_narrow_link},
		{"modes", modes},
		{"the question of another", a_question},
		{"a peer that has shown no dialect", undeclared},
		{"a peer with our hostid", a_clash},
	};

	return check_main("probe", tests, sizeof(tests) / sizeof(tests[0]));
}
