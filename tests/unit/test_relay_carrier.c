/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where flows are relayed: whose they are, under which names. */
#include "check.h"
#include "model.h"

enum { OURS = 0x0a0b0c0d, PEERS = 0x11223344, OTHERS = 0x55667788 };

static struct node n;
static struct fake pf, other; /* OpenBSD, FreeBSD */

/* Two kinds on one link, neither of which can read the other. */
static void begin(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(PROTO_UDP, 250, 10);
	struct pf_state s;

	node_meet(&n, &pf, &c, DIALECT_OPENBSD);
	fake_init(&other, DIALECT_FREEBSD_13, 3, OTHERS);
	s = fake_half(&other, &t, PF_IN, 1);
	fake_state(&other, &n, ACT_INS, &s);
	fake_id(&other, &n, ACT_DEL_C, 1, OTHERS);
	fake_bus(&other, &n, BUS_START);
	fake_bus(&other, &n, BUS_END);
	node_run(&n, 10000);
	node_quiet(&n);
}

static void end(void)
{
	CHECK_STR(n.wrong ? n.wrong : "", "");
	node_stop(&n);
}

/* How many messages of a kind about a name left for those of a header version. */
static int told(enum pf_action action, uint64_t id, uint32_t creatorid, uint8_t version)
{
	int count = 0;

	for (size_t i = 0; i < n.saids; i++)
		count += n.said[i].action == action && n.said[i].id == id &&
			 n.said[i].creatorid == creatorid && n.said[i].version == version;
	return count;
}

/* A half as we have told it, in the words of the other one, which it did not make. */
static struct pf_state as_told(const struct flow_view *v, const struct tuples *t, int h)
{
	struct pf_state s = fake_half(&other, t, h ? PF_OUT : PF_IN, v->half[h].id);

	s.creatorid = v->half[h].creatorid;
	s.rule = UINT32_MAX;
	s.src.state = v->half[h].src;
	s.dst.state = v->half[h].dst;
	s.timeout = v->half[h].timeout;
	return s;
}

/* An update of both halves that the OpenBSD has told as 100 and 101, in its words or another's. */
static void says(struct fake *who, const struct tuples *t)
{
	for (unsigned h = 0; h < 2; h++) {
		struct pf_state s = fake_half(&pf, t, h ? PF_OUT : PF_IN, 100 + h);

		fake_upd_c(who, &n, &s);
	}
}

/* The other one asks for all there is, and hears that we carry the flow. */
static void is_asked_for_all(void)
{
	node_quiet(&n);
	fake_id(&other, &n, ACT_UPD_REQ, 0, 0);
	for (int i = 0; i < 100 && !node_said(&n, ACT_UPD_C); i++)
		node_run(&n, 5);
	CHECK(node_said(&n, ACT_UPD_C) != 0);
}

/* One pf has a live flow of ours as we told it, the other one has it under names of its own, which
 * make room: none of them takes another name for what it has. */
static void another_name_of_a_live_flow(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct pf_state s;
	struct flow_view v;

	begin();
	node_open(&n, &t);
	node_run(&n, 100);
	CHECK(node_flow(&n, &t, &v) && v.live);
	fake_bus(&other, &n, BUS_START);
	for (int h = 0; h < 2; h++) {
		s = as_told(&v, &t, h);
		fake_state(&other, &n, ACT_UPD, &s);
	}
	fake_bus(&other, &n, BUS_END);
	node_run(&n, 100);
	node_quiet(&n);
	fake_bulk(&pf, &n, &t, 100);
	node_run(&n, 100);
	for (int h = 0; h < 2; h++) {
		CHECK_EQ(told(ACT_DEL_C, 100 + (unsigned)h, PEERS, PFSYNC_VERSION_OPENBSD), 1);
		CHECK_EQ(told(ACT_INS, v.half[h].id, OURS, PFSYNC_VERSION_OPENBSD), 1);
		CHECK_EQ(told(ACT_DEL_C, 100 + (unsigned)h, PEERS, PFSYNC_VERSION_FREEBSD), 0);
		CHECK_EQ(told(ACT_INS, v.half[h].id, OURS, PFSYNC_VERSION_FREEBSD), 0);
	}
	CHECK(node_flow(&n, &t, &v) && v.live && v.half[0].creatorid == OURS);
	end();
}

/* Two pf nodes have a live flow under different names: one of them changes. */
static void two_names(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 4000);
	struct fake second;
	struct flow_view v;
	struct pf_state s;

	begin();
	fake_init(&second, DIALECT_OPENBSD, 4, 0x66778899);
	fake_bus(&second, &n, BUS_START);
	fake_bus(&second, &n, BUS_END);
	fake_tells(&pf, &n, &t, 100);
	node_run(&n, 5000);
	(void)node_packet(&n, &t, false);
	(void)node_packet(&n, &t, true);
	node_run(&n, 5000);
	CHECK(node_flow(&n, &t, &v) && v.live);
	node_quiet(&n);
	fake_bulk(&second, &n, &t, 200);
	node_run(&n, 100);
	for (unsigned h = 0; h < 2; h++) {
		CHECK(node_about(&n, ACT_DEL_C, 200 + h, second.hostid) != NULL);
		CHECK(node_about(&n, ACT_DEL_C, 100 + h, PEERS) == NULL);
		CHECK(node_about(&n, ACT_INS, 100 + h, PEERS) != NULL);
	}
	node_quiet(&n);
	s = fake_half(&second, &t, PF_IN, 300); /* its traffic is there now */
	fake_state(&second, &n, ACT_INS, &s);
	node_run(&n, 100);
	CHECK(node_about(&n, ACT_DEL_C, 300, second.hostid) == NULL);
	end();
}

/* A pf has made the states of a flow anew, and is behind what is known: refreshed by its old
 * timeout they would run out there. */
static void further_than_made_anew(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct flow_view v;
	struct pf_state s;

	begin();
	node_open(&n, &t);
	node_run(&n, 5000);
	for (unsigned h = 0; h < 2; h++) {
		s = fake_half(&pf, &t, h ? PF_OUT : PF_IN, 100 + h);
		s.src.state = PF_OTHER_MULTIPLE;
		s.dst.state = PF_OTHER_SINGLE;
		s.timeout = PFTM_UDP_SINGLE;
		fake_state(&pf, &n, ACT_INS, &s);
	}
	CHECK(node_flow(&n, &t, &v));
	for (unsigned h = 0; h < 2; h++) {
		CHECK_EQ(v.half[h].id, 100 + h);
		CHECK_EQ(v.half[h].dst, PF_OTHER_MULTIPLE);
		CHECK_EQ(v.half[h].timeout, PFTM_UDP_MULTIPLE);
	}
	end();
}

/* Somebody else carries the flow: what a pf has it under is news from who had it before, not from
 * another one. */
static void names_in_a_bulk(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct fake second, carrier; /* a pf, a Linux node */
	struct flow_view v;

	begin();
	fake_init(&second, DIALECT_OPENBSD, 4, 0x66778899);
	fake_init(&carrier, DIALECT_OPENBSD, 5, 0x778899aa);
	fake_tells(&pf, &n, &t, 100);
	node_run(&n, 5000);
	says(&carrier, &t);
	node_run(&n, 5000);
	fake_bulk(&second, &n, &t, 200);
	CHECK(node_flow(&n, &t, &v) && v.half[0].id == 100);
	fake_bulk(&pf, &n, &t, 300);
	CHECK(node_flow(&n, &t, &v) && v.half[0].id == 300 && !v.live);
	end();
}

/* A deletion that is not obeyed here is where the pf is that held the state: its name counts no
 * more than another one. */
static void deleted_at_the_pf(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct fake one, two; /* Linux nodes */
	struct flow_view v;
	struct pf_state s;

	begin();
	fake_init(&one, DIALECT_OPENBSD, 4, 0x1000);
	fake_init(&two, DIALECT_OPENBSD, 5, 0x2000);
	fake_tells(&pf, &n, &t, 100);
	node_run(&n, 5000);
	says(&one, &t);
	fake_deletes(&two, &n, 100, PEERS);
	CHECK_EQ(node_refused(&n, R_OTHER_DELETE), 2);
	for (int h = 0; h < 2; h++) {
		s = fake_half(&one, &t, h ? PF_OUT : PF_IN, 50 + (unsigned)h);
		s.rule = UINT32_MAX;
		fake_state(&one, &n, ACT_UPD, &s);
	}
	CHECK(node_flow(&n, &t, &v) && v.half[0].id == 50 && v.half[1].id == 51);
	end();
}

/* Who tells another name than that of a pf is told that one, twice: for one word may not change its
 * mind, and what it tells several who asked at once is one word. */
static void name_of_the_pf_is_told_twice(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct fake one; /* a Linux node */
	struct pf_state s;

	begin();
	fake_init(&one, DIALECT_OPENBSD, 4, 0x1000);
	fake_tells(&pf, &n, &t, 100);
	node_run(&n, 5000);
	s = fake_half(&one, &t, PF_IN, 50);
	s.rule = UINT32_MAX;
	for (int word = 0; word < 4; word++) {
		node_quiet(&n);
		fake_state(&one, &n, ACT_UPD, &s);
		fake_state(&one, &n, ACT_UPD, &s);
		node_run(&n, 2000);
		CHECK_EQ(told(ACT_UPD, 100, PEERS, PFSYNC_VERSION_OPENBSD), word < 2);
	}
	end();
}

/* The traffic passed here until a moment ago, then a peer claimed the flow, and one deletes it: two
 * that exchange their names, or a word that came late. The entry goes when no packet comes. */
static void claimed_and_deleted(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct flow_view v;

	for (int passes = 0; passes < 2; passes++) {
		begin();
		fake_tells(&pf, &n, &t, 100);
		node_run(&n, 5000);
		(void)node_packet(&n, &t, false);
		(void)node_packet(&n, &t, true);
		node_run(&n, 3000);
		CHECK(node_flow(&n, &t, &v) && v.live);
		says(&pf, &t);
		CHECK(node_flow(&n, &t, &v) && !v.live);
		fake_deletes(&pf, &n, 100, PEERS);
		node_run(&n, 2000);
		CHECK(node_entry(&n, &t) != NULL);
		node_quiet(&n);
		if (passes)
			CHECK(node_packet(&n, &t, false));
		node_run(&n, 3000);
		CHECK_EQ(node_entry(&n, &t) != NULL, passes);
		CHECK_EQ(node_flow(&n, &t, &v), passes);
		CHECK_EQ(node_said(&n, ACT_INS) > 0, passes);
		end();
	}
}

/* A pf that does not check its state knows one side from others and has made up the other: that is
 * no number, however far ahead it is modulo 2^32. */
static void one_side_made_up(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 4000);
	struct pf_state s;

	begin();
	s = fake_half(&pf, &t, PF_IN, 100);
	s.dst.seqlo = 0xf0000000;
	s.dst.seqhi = 0xf0010000;
	fake_state(&pf, &n, ACT_INS, &s);
	node_run(&n, 10000);
	node_quiet(&n);
	s.src.seqlo++;
	s.dst = (struct pf_peer){.state = PF_TCP_FIN_WAIT_2, .seqlo = 1};
	fake_upd_c(&other, &n, &s);
	node_run(&n, 1000);
	fake_id(&pf, &n, ACT_UPD_REQ, 100, PEERS);
	node_run(&n, 100);
	if (CHECK(node_about(&n, ACT_UPD, 100, PEERS) != NULL)) {
		const struct pf_state *told_as = &node_about(&n, ACT_UPD, 100, PEERS)->s;

		CHECK_EQ(told_as->src.seqlo, s.src.seqlo);
		CHECK_EQ(told_as->dst.seqlo, 0xf0000000);
		CHECK_EQ(told_as->dst.state, PF_TCP_FIN_WAIT_2);
	}
	end();
}

/* A half gets another name and its first one back before anybody was told: it is not deleted where
 * it was told under that, for a deletion may come behind all else. */
static void name_and_back(void)
{
	enum { HIGH = 0x778899aa, LOW = 0x1000 };
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct fake high, low; /* Linux nodes */
	struct pf_state s;

	begin();
	fake_init(&high, DIALECT_FREEBSD_13, 4, HIGH);
	fake_init(&low, DIALECT_OPENBSD, 5, LOW);
	s = fake_half(&high, &t, PF_IN, 100);
	s.rule = UINT32_MAX;
	fake_state(&high, &n, ACT_INS, &s);
	node_run(&n, 5000);
	fake_upd_c(&low, &n, &s); /* the last word is the other one's */
	node_run(&n, 5000);
	node_quiet(&n);
	s.id = 50;
	s.creatorid = LOW;
	fake_state(&low, &n, ACT_INS, &s);
	s.id = 100;
	s.creatorid = HIGH;
	for (int i = 0; i < 2; i++) /* it insists */
		fake_state(&high, &n, ACT_UPD, &s);
	node_run(&n, 1000);
	CHECK_EQ(told(ACT_DEL_C, 100, HIGH, PFSYNC_VERSION_FREEBSD), 0);
	CHECK(told(ACT_DEL_C, 50, LOW, PFSYNC_VERSION_OPENBSD) +
		      told(ACT_INS, 100, HIGH, PFSYNC_VERSION_OPENBSD) >
	      0);
	end();
}

/* A pf tells of the states that have ended up to a second later; it may have them again by then. */
static void ended_and_told_anew(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct fake second;
	struct flow_view v;
	struct pf_state s;

	begin();
	fake_init(&second, DIALECT_OPENBSD, 4, 0x66778899);
	fake_bulk(&second, &n, &t, 100);
	node_run(&n, 500);
	node_quiet(&n);
	fake_id(&pf, &n, ACT_DEL_C, 100, second.hostid);
	node_run(&n, 100);
	CHECK(node_about(&n, ACT_UPD_REQ, 100, second.hostid) != NULL);
	s = fake_half(&pf, &t, PF_IN, 100);
	s.creatorid = second.hostid;
	fake_state(&pf, &n, ACT_UPD, &s);
	CHECK(node_flow(&n, &t, &v) && v.half[0].present && v.half[0].id == 100);
	node_quiet(&n);
	fake_begin(&pf); /* a state that is replaced is not asked for */
	(void)builder_add_id(&pf.b, ACT_DEL_C, 100, second.hostid);
	(void)builder_add_state(&pf.b, ACT_INS, &s);
	fake_end(&pf, &n);
	node_run(&n, 100);
	CHECK_EQ(node_said(&n, ACT_UPD_REQ), 0);
	t = tuples_v4(PROTO_UDP, 10, 4001); /* nor is who has made the state */
	s = fake_half(&second, &t, PF_OUT, 300);
	s.creatorid = PEERS;
	fake_bus(&second, &n, BUS_START);
	fake_state(&second, &n, ACT_UPD, &s);
	fake_bus(&second, &n, BUS_END);
	node_run(&n, 500);
	fake_id(&pf, &n, ACT_DEL_C, 300, PEERS);
	node_run(&n, 100);
	CHECK_EQ(node_said(&n, ACT_UPD_REQ), 0);
	end();
}

/* A pf has flushed its states and makes one of them anew; the other one still has its first name.
 */
static void its_maker_gives_another_name(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct pf_state s;

	begin();
	fake_tells(&pf, &n, &t, 100);
	node_run(&n, 5000);
	CHECK_EQ(told(ACT_INS, 100, PEERS, PFSYNC_VERSION_FREEBSD), 1);
	s = fake_half(&pf, &t, PF_IN, 100); /* the last word is the other one's */
	fake_upd_c(&other, &n, &s);
	node_run(&n, 5000);
	node_quiet(&n);
	fake_tells(&pf, &n, &t, 200);
	node_run(&n, 100);
	for (unsigned h = 0; h < 2; h++) {
		CHECK_EQ(told(ACT_DEL_C, 100 + h, PEERS, PFSYNC_VERSION_FREEBSD), 1);
		CHECK_EQ(told(ACT_INS, 200 + h, PEERS, PFSYNC_VERSION_FREEBSD), 1);
	}
	end();
}

/* A claim is contradicted as a whole, by one look: what is said of the other half comes behind it.
 */
static void both_halves_are_contradicted(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct flow_view v;
	struct pf_state s;

	begin();
	node_open(&n, &t);
	node_run(&n, 6000);
	CHECK(node_packet(&n, &t, true));
	node_run(&n, 1000);
	CHECK(node_packet(&n, &t, false));
	CHECK(node_flow(&n, &t, &v) && v.live);
	for (int h = 0; h < 2; h++) {
		s = as_told(&v, &t, h);
		fake_upd_c(&other, &n, &s);
	}
	node_run(&n, 100);
	CHECK(node_flow(&n, &t, &v) && v.live);
	CHECK(node_said(&n, ACT_UPD_C) >= 2);
	end();
}

/* Packets that passed here long ago, and were not seen yet, do not contradict who carries it now.
 */
static void last_packet_was_long_ago(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct flow_view v;
	struct pf_state s;
	uint64_t before;

	for (int full = 0; full < 2; full++) {
		begin();
		node_open(&n, &t);
		for (int i = 0; i < 25; i++) {
			node_run(&n, 5000);
			(void)node_packet(&n, &t, i & 1);
		}
		before = node_counter(&n, C_REFRESHED);
		while (node_counter(&n, C_REFRESHED) == before)
			node_run(&n, 100);
		node_run(&n, 3000);
		CHECK(node_packet(&n, &t, true));
		fake_bus(&other, &n, BUS_START); /* it is there again, some time before */
		fake_bus(&other, &n, BUS_END);
		node_run(&n, full ? 10000 : 23000);
		CHECK(node_flow(&n, &t, &v) && v.live);
		s = as_told(&v, &t, 0);
		if (full) /* as an older FreeBSD is refreshed; it shows when we look */
			fake_state(&other, &n, ACT_UPD, &s);
		else
			fake_upd_c(&other, &n, &s);
		node_run(&n, full ? 25000 : 100);
		CHECK(node_flow(&n, &t, &v) && !v.live);
		end();
	}
}

/* Two nodes each hold the flow for theirs, and tell so at the same time, which looks like a copy.
 * It is the other one's if the last packet here was long before that. */
static void told_by_both_at_once(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct flow_view v;
	struct pf_state s;

	for (int rests = 0; rests < 2; rests++) {
		uint64_t looked;

		begin();
		fake_tells(&pf, &n, &t, 100);
		node_run(&n, 5000);
		looked = node_counter(&n, C_REFRESHED) + 3;
		for (int i = 0; node_counter(&n, C_REFRESHED) < looked; i++) {
			(void)node_packet(&n, &t, i & 1);
			node_run(&n, 1000);
		}
		(void)node_packet(&n, &t, true); /* not looked at any more before the word */
		node_run(&n, rests ? 25000 : 1000);
		CHECK(node_flow(&n, &t, &v) && v.live);
		is_asked_for_all();
		for (int h = 0; h < 2; h++) {
			s = as_told(&v, &t, h);
			fake_upd_c(&other, &n, &s);
		}
		CHECK(node_flow(&n, &t, &v) && v.live);
		node_run(&n, 30000);
		CHECK(node_flow(&n, &t, &v) && v.live == !rests);
		end();
	}
}

/* The same where all packets had been looked at before: the entry runs out, and the flow has not
 * ended for that. */
static void runs_out_after_another_word(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct flow_view v;

	begin();
	fake_tells(&pf, &n, &t, 100);
	node_run(&n, 5000);
	for (int i = 0; i < 30; i++) {
		(void)node_packet(&n, &t, i & 1);
		node_run(&n, 1000);
	}
	node_run(&n, 60000);
	CHECK(node_flow(&n, &t, &v) && v.live);
	is_asked_for_all();
	says(&other, &t);
	CHECK(node_flow(&n, &t, &v) && v.live);
	while (node_flow(&n, &t, &v) && v.live)
		node_run(&n, 1000);
	node_run(&n, 1000);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 0);
	CHECK(node_flow(&n, &t, &v) && node_entry(&n, &t));
	end();
}

/* A Linux node that has an older FreeBSD on another link refreshes what it carries by UPD here,
 * too. */
static void refreshed_from_another_link(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct flow_view v;
	struct pf_state s;

	for (int rests = 0; rests < 2; rests++) {
		node_meet(&n, &pf, &c, DIALECT_OPENBSD);
		fake_init(&other, DIALECT_OPENBSD, 3, OTHERS);
		node_open(&n, &t);
		for (int i = 0; i < 10; i++) {
			CHECK(rests || node_packet(&n, &t, i & 1));
			fake_bus(&other, &n, BUS_START);
			fake_bus(&other, &n, BUS_END);
			node_run(&n, 5000);
		}
		CHECK(node_flow(&n, &t, &v) && v.live);
		s = as_told(&v, &t, 0);
		fake_state(&other, &n, ACT_UPD, &s);
		CHECK(node_flow(&n, &t, &v) && v.live == !rests);
		end();
	}
}

/* What somebody has is no word of who carries it, and what the other one says then no copy of it.
 */
static void word_after_a_bulk(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);

	begin();
	fake_bulk(&pf, &n, &t, 100);
	node_run(&n, 1000);
	node_quiet(&n);
	says(&other, &t);
	node_run(&n, 100);
	for (int h = 0; h < 2; h++) {
		CHECK_EQ(told(ACT_UPD_C, 100 + (unsigned)h, PEERS, PFSYNC_VERSION_OPENBSD) +
				 told(ACT_UPD, 100 + (unsigned)h, PEERS, PFSYNC_VERSION_OPENBSD),
			 1);
	}
	end();
}

/* An older FreeBSD that lacks a state is told all of it soon, in whatever rhythm updates come. */
static void full_ones_among_updates(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);

	for (unsigned every = 1000; every <= 16000; every += 3000) {
		begin();
		fake_tells(&pf, &n, &t, 100);
		node_run(&n, 5000);
		node_quiet(&n);
		for (unsigned ms = 0; ms < 60000; ms += every) {
			says(&pf, &t);
			node_run(&n, every);
		}
		for (unsigned h = 0; h < 2; h++) {
			CHECK(told(ACT_UPD, 100 + h, PEERS, PFSYNC_VERSION_FREEBSD) >= 3);
			CHECK(told(ACT_UPD, 100 + h, PEERS, PFSYNC_VERSION_FREEBSD) <= 7);
		}
		end();
	}
}

/* What was just told on is answered by a pf that lags behind, or is further: it does not carry the
 * flow for that, and when it lets it go the one that does is not told to. */
static void an_answer_is_no_word(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct flow_view v;
	struct pf_state s[2];

	begin();
	fake_tells(&pf, &n, &t, 100);
	node_run(&n, 10000);
	for (unsigned h = 0; h < 2; h++) {
		s[h] = fake_half(&pf, &t, h ? PF_OUT : PF_IN, 100 + h);
		fake_upd_c(&pf, &n, &s[h]);
	}
	node_run(&n, 30);
	for (unsigned h = 0; h < 2; h++)
		fake_upd_c(&other, &n, &s[h]);
	node_run(&n, 5000);
	fake_deletes(&other, &n, 100, PEERS);
	node_run(&n, 100);
	CHECK_EQ(node_refused(&n, R_OTHER_DELETE), 2);
	CHECK_EQ(told(ACT_DEL_C, 100, PEERS, PFSYNC_VERSION_OPENBSD), 0);
	CHECK(node_flow(&n, &t, &v));
	end();
}

/* UPD refreshes an older FreeBSD; those on a link that has none hear UPD_C, for UPD says less. */
static void refresh_in_the_words_of_the_link(void)
{
	struct packet_from how = {.ttl = PFSYNC_TTL, .right_interface = true};
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct fake far;
	struct pf_state s;
	size_t len;

	c.links = 2;
	c.link[0].dialect = dialect_get(DIALECT_FREEBSD_13);
	c.link[1] = c.link[0];
	c.link[1].dialect = dialect_get(DIALECT_OPENBSD);
	node_start(&n, &c, 2, 1000 * S);
	node_begin(&n);
	fake_init(&far, DIALECT_OPENBSD, 4, PEERS);
	far.address = address_v4(203, 0, 114, 4);
	how.src = far.address;
	fake_begin(&far);
	(void)builder_add_bus(&far.b, &(struct msg_bus){.creatorid = PEERS, .status = BUS_END});
	len = builder_finish(&far.b);
	engine_on_packet(n.e, 1, &how, far.buf, len, n.now);
	fake_init(&other, DIALECT_FREEBSD_13, 3, OTHERS);
	fake_tells(&other, &n, &t, 100);
	node_run(&n, 20000);
	node_quiet(&n);
	for (int h = 0; h < 2; h++) {
		s = fake_half(&other, &t, h ? PF_OUT : PF_IN, 100 + (unsigned)h);
		fake_state(&other, &n, ACT_UPD, &s);
	}
	node_run(&n, 100);
	CHECK_EQ(told(ACT_UPD_C, 100, OTHERS, PFSYNC_VERSION_OPENBSD), 1);
	CHECK_EQ(told(ACT_UPD_C, 101, OTHERS, PFSYNC_VERSION_OPENBSD), 1);
	CHECK_EQ(node_said(&n, ACT_UPD), 0);
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"another name of a live flow", another_name_of_a_live_flow},
		{"two names", two_names},
		{"further than what was made anew", further_than_made_anew},
		{"names in a bulk update", names_in_a_bulk},
		{"deleted at the pf", deleted_at_the_pf},
		{"the name of the pf is told twice", name_of_the_pf_is_told_twice},
		{"claimed and deleted", claimed_and_deleted},
		{"one side made up", one_side_made_up},
		{"another name and back", name_and_back},
		{"ended and told anew", ended_and_told_anew},
		{"its maker gives another name", its_maker_gives_another_name},
		{"both halves are contradicted", both_halves_are_contradicted},
		{"the last packet was long ago", last_packet_was_long_ago},
		{"told by both at once", told_by_both_at_once},
		{"runs out after another's word", runs_out_after_another_word},
		{"refreshed from another link", refreshed_from_another_link},
		{"a word after a bulk update", word_after_a_bulk},
		{"full ones among updates", full_ones_among_updates},
		{"an answer is no word", an_answer_is_no_word},
		{"refresh in the words of the link", refresh_in_the_words_of_the_link},
	};

	return check_main("relay_carrier", tests, sizeof(tests) / sizeof(tests[0]));
}
