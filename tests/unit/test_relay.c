/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a peer tells, told on: to another link, to another dialect of its own link, never back to
 * where it came from; and what comes of it when somebody else does the same.
 */
#include "check.h"
#include "model.h"

#include <string.h>

enum { AS = 0x11111111, RELAYS = 0x33333333 };

static struct node n;
static struct fake a, b; /* the peers between whom it stands */
static struct engine_config config;

/* ---- the scene ------------------------------------------------------------------------- */

/* Peer a on the first link, b on the second or on the same one. */
static void begin(enum dialect_id da, enum dialect_id db, unsigned link)
{
	config = config_between(&a, da, &b, db, link);
	node_between(&n, &a, &b, &config);
}

static void end(void)
{
	CHECK_STR(n.wrong ? n.wrong : "", "");
	node_stop(&n);
}

/* Both halves deleted and inserted again in one packet, as a node does that takes a flow over. */
static void replace_both(struct fake *f, const struct tuples *t, uint64_t id, uint32_t creatorid)
{
	struct pf_state in = fake_half(f, t, PF_IN, id), out = fake_half(f, t, PF_OUT, id + 1);

	in.creatorid = out.creatorid = creatorid;
	fake_begin(f);
	(void)builder_add_id(&f->b, ACT_DEL_C, id, creatorid);
	(void)builder_add_id(&f->b, ACT_DEL_C, id + 1, creatorid);
	(void)builder_add_state(&f->b, ACT_INS, &in);
	(void)builder_add_state(&f->b, ACT_INS, &out);
	fake_end(f, &n);
}

/* What another relay makes of it: the words of a peer from another mouth. */
static void copy_ins(struct fake *f, const struct fake *of, const struct tuples *t, uint64_t id)
{
	struct pf_state in = fake_half(of, t, PF_IN, id), out = fake_half(of, t, PF_OUT, id + 1);

	in.rule = out.rule = UINT32_MAX;
	fake_begin(f);
	(void)builder_add_state(&f->b, ACT_INS, &in);
	(void)builder_add_state(&f->b, ACT_INS, &out);
	fake_end(f, &n);
}

static const enum dialect_id all[] = {DIALECT_FREEBSD_13, DIALECT_FREEBSD_14, DIALECT_FREEBSD_15,
				      DIALECT_OPENBSD};

/* ---- from one link to the other -------------------------------------------------------- */

static void a_new_state(void)
{
	for (size_t from = 0; from < 4; from++)
		for (size_t to = 0; to < 4; to++) {
			struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
			struct pf_state was;
			const struct said *m;
			uint64_t before;

			begin(all[from], all[to], 1);
			before = node_counter(&n, C_RELAYED);
			fake_tells(&a, &n, &t, 100);
			node_run(&n, 100);
			CHECK_EQ(node_talk(&n, 0), 0);
			CHECK_EQ(fake_times(&b, &n, ACT_INS, 100), 1);
			CHECK_EQ(fake_times(&b, &n, ACT_INS, 101), 1);
			CHECK_EQ(node_counter(&n, C_RELAYED) - before, 2);
			m = node_on(&n, 1, ACT_INS, 100);
			was = fake_half(&a, &t, PF_IN, 100);
			if (CHECK(m != NULL)) { /* numbers and all: pf goes on checking them */
				CHECK_EQ(m->creatorid, AS);
				CHECK_EQ(m->s.state_flags & PF_FLAG_SLOPPY, 0);
				CHECK_EQ(m->s.src.seqlo, was.src.seqlo);
				CHECK_EQ(m->s.dst.seqhi, was.dst.seqhi);
				CHECK_EQ(m->s.src.state, PF_TCP_ESTABLISHED);
				CHECK(same_keys(m->s.key, was.key));
			}
			node_run(&n, 20000);
			CHECK_EQ(node_talk(&n, 0), 0);
			CHECK_EQ(node_talk(&n, 1), 2);
			end();
		}
}

static void an_update(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct pf_state s;
	const struct said *m;

	begin(DIALECT_FREEBSD_15, DIALECT_OPENBSD, 1);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 2000);
	node_quiet(&n);
	s = fake_later(&a, &t, PF_IN, 100);
	fake_upd_c(&a, &n, &s);
	fake_upd_c(&a, &n, &s); /* within a second pf repeats itself */
	node_run(&n, 500);
	CHECK_EQ(node_talk(&n, 0), 0);
	CHECK_EQ(node_talk(&n, 1), 1);
	m = node_on(&n, 1, ACT_UPD_C, 100);
	if (CHECK(m != NULL)) {
		CHECK_EQ(m->creatorid, AS);
		CHECK_EQ(m->u.src.seqlo, s.src.seqlo);
	}
	node_run(&n, 300);
	fake_upd_c(&a, &n, &s);
	node_run(&n, 500);
	CHECK_EQ(node_talk(&n, 1), 1);
	/* one that says nothing new shows that the flow lives, and that is told as well; an OpenBSD
	 * asks for what it lacks, so that no full state is needed */
	for (size_t i = 0; i < 3; i++) {
		node_run(&n, 11000);
		fake_upd_c(&a, &n, &s);
		node_run(&n, 500);
		CHECK_EQ(node_talk(&n, 0), 0);
		CHECK_EQ(node_times(&n, 1, ACT_UPD_C, 100), 2 + i);
		CHECK_EQ(node_talk(&n, 1), 2 + i);
	}
	/* a state that closes goes at once, however lately it was told */
	s.src.state = PF_TCP_FIN_WAIT_2;
	s.dst.state = PF_TCP_FIN_WAIT_2;
	s.timeout = PFTM_TCP_CLOSED;
	fake_upd_c(&a, &n, &s);
	node_run(&n, 500);
	CHECK_EQ(node_talk(&n, 1), 5);
	end();
}

/* A FreeBSD that lacks a state asks for it only when it must: from time to time it gets it whole.
 */
static void updates_in_full(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct pf_state s;

	begin(DIALECT_OPENBSD, DIALECT_FREEBSD_13, 1);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 1000);
	node_quiet(&n);
	for (uint32_t i = 0; i < 30; i++) {
		s = fake_later(&a, &t, PF_IN, 100);
		s.src.seqlo += 1000 * i;
		fake_upd_c(&a, &n, &s);
		node_run(&n, 1000);
	}
	CHECK_EQ(node_talk(&n, 0), 0);
	CHECK_EQ(node_times(&n, 1, ACT_UPD, 100) + node_times(&n, 1, ACT_UPD_C, 100), 30);
	CHECK(node_times(&n, 1, ACT_UPD, 100) >= 2);
	CHECK(node_times(&n, 1, ACT_UPD, 100) <= 4);
	end();
}

static void a_deletion(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);

	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 1000);
	CHECK(node_entry(&n, &t) != NULL);
	node_quiet(&n);
	fake_deletes(&a, &n, 100, AS);
	node_run(&n, 10000);
	CHECK(node_entry(&n, &t) == NULL);
	CHECK_EQ(node_talk(&n, 0), 0);
	CHECK_EQ(node_times(&n, 1, ACT_DEL_C, 100), 1);
	CHECK_EQ(node_times(&n, 1, ACT_DEL_C, 101), 1);
	end();
}

/*
 * A bulk update that crosses a deletion does not bring the state back; with the ids of two peers as
 * far apart as their creatorids, neither hides the end of the other's.
 */
static void a_deletion_crossed(void)
{
	struct tuples ta = tuples_v4(PROTO_TCP, 10, 40000), tb = tuples_v4(PROTO_TCP, 11, 40000);
	enum { AID = 100, BID = AID ^ AS ^ (AS + 2) };

	config = config_between(&a, DIALECT_FREEBSD_13, &b, DIALECT_OPENBSD, 1);
	b.hostid = AS + 2;
	node_between(&n, &a, &b, &config);
	fake_tells(&a, &n, &ta, AID);
	fake_tells(&b, &n, &tb, BID);
	node_run(&n, 1000);
	fake_deletes(&a, &n, AID, AS);
	fake_deletes(&b, &n, BID, AS + 2);
	fake_bulk(&a, &n, &ta, AID);
	fake_bulk(&b, &n, &tb, BID);
	node_run(&n, 1000);
	CHECK(node_entry(&n, &ta) == NULL);
	CHECK(node_entry(&n, &tb) == NULL);
	end();
}

/* Of what nobody has there, no end is told. */
static void unheard_deletion(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);

	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	node_link(&n, 1, false, 1500);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 100);
	node_link(&n, 1, true, 1500);
	fake_deletes(&a, &n, 100, AS);
	node_run(&n, 1000);
	CHECK_EQ(node_talk(&n, 1), 0);
	end();
}

static void a_clear(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);

	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 1000);
	node_quiet(&n);
	fake_clr(&a, &n, AS, "");
	node_run(&n, 100);
	fake_clr(&b, &n, AS, ""); /* the copy of another relay */
	node_run(&n, 1000);
	CHECK_EQ(node_talk(&n, 0), 0);
	CHECK_EQ(node_times(&n, 1, ACT_CLR, 0), 1);
	CHECK_EQ(node_flows(&n), 0);
	node_run(&n, 5000);
	node_quiet(&n);
	fake_clr(&a, &n, AS, ""); /* cleared again */
	node_run(&n, 1000);
	CHECK_EQ(node_times(&n, 0, ACT_CLR, 0), 0);
	CHECK_EQ(node_times(&n, 1, ACT_CLR, 0), 1);
	end();
}

/* A name of em0 there is none here, or another interface: "all" fits everywhere. */
static void an_interface(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct pf_state in, out;
	const struct said *m;

	begin(DIALECT_OPENBSD, DIALECT_OPENBSD, 1);
	in = fake_half(&a, &t, PF_IN, 100);
	out = fake_half(&a, &t, PF_OUT, 101);
	memcpy(in.ifname, "igb0", 5);
	memcpy(out.ifname, "igb1", 5);
	fake_begin(&a);
	(void)builder_add_state(&a.b, ACT_INS, &in);
	(void)builder_add_state(&a.b, ACT_INS, &out);
	fake_end(&a, &n);
	node_run(&n, 100);
	m = node_on(&n, 1, ACT_INS, 100);
	if (CHECK(m != NULL))
		CHECK_STR(m->s.ifname, "all");
	fake_id(&a, &n, ACT_UPD_REQ, 100, AS); /* whose name it is gets it back */
	node_run(&n, 100);
	m = node_on(&n, 0, ACT_UPD, 100);
	if (CHECK(m != NULL))
		CHECK_STR(m->s.ifname, "igb0");
	end();
}

static void a_question(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);

	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 5000);
	node_quiet(&n);
	fake_id(&b, &n, ACT_UPD_REQ, 100, AS);
	node_run(&n, 1000);
	CHECK_EQ(node_talk(&n, 0), 0);
	CHECK_EQ(node_talk(&n, 1), 1);
	CHECK_EQ(fake_times(&b, &n, ACT_UPD, 100), 1);
	end();
}

/* A pf whose copy ran out does not end what another one carries, and gets it back. */
static void deleted_elsewhere(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);

	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 10000);
	node_quiet(&n);
	fake_deletes(&b, &n, 100, AS);
	node_run(&n, 1000);
	CHECK(node_entry(&n, &t) != NULL);
	CHECK_EQ(node_refused(&n, R_OTHER_DELETE), 2);
	CHECK_EQ(node_talk(&n, 0), 0);
	CHECK_EQ(fake_times(&b, &n, ACT_UPD, 100), 1);
	CHECK_EQ(fake_times(&b, &n, ACT_UPD, 101), 1);
	/* the carrier itself ends it everywhere */
	fake_deletes(&a, &n, 100, AS);
	node_run(&n, 1000);
	CHECK(node_entry(&n, &t) == NULL);
	CHECK_EQ(node_times(&n, 0, ACT_DEL_C, 0), 0);
	CHECK_EQ(node_times(&n, 1, ACT_DEL_C, 0), 2);
	end();
}

/* What two pf nodes carry in turn: the one that speaks of it now may end it. */
static void carried_elsewhere(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct pf_state s;

	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 5000);
	node_quiet(&n);
	for (int h = 0; h < 2; h++) {
		s = fake_later(&b, &t, h ? PF_OUT : PF_IN, 100 + (uint64_t)h);
		s.creatorid = AS;
		fake_upd_c(&b, &n, &s);
	}
	node_run(&n, 1000);
	CHECK_EQ(node_talk(&n, 1), 0);
	CHECK_EQ(node_times(&n, 0, ACT_UPD_C, 0) + node_times(&n, 0, ACT_UPD, 0), 2);
	fake_deletes(&b, &n, 100, AS);
	node_run(&n, 1000);
	CHECK(node_entry(&n, &t) == NULL);
	CHECK_EQ(node_times(&n, 0, ACT_DEL_C, 0), 2);
	CHECK_EQ(node_times(&n, 1, ACT_DEL_C, 0), 0);
	end();
}

static void listens_only(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct pf_state s;

	config = config_between(&a, DIALECT_FREEBSD_13, &b, DIALECT_OPENBSD, 1);
	config.link[1].mode = MODE_RECEIVE_ONLY;
	node_between(&n, &a, &b, &config);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 1000);
	s = fake_later(&a, &t, PF_IN, 100);
	fake_upd_c(&a, &n, &s);
	fake_clr(&a, &n, AS, "");
	node_run(&n, 100);
	fake_tells(&a, &n, &t, 200);
	node_run(&n, 1000);
	fake_deletes(&a, &n, 200, AS);
	node_run(&n, 1000);
	CHECK_EQ(node_talk(&n, 1), 0);
	/* but what is told there is told on */
	fake_tells(&b, &n, &t, 300);
	node_run(&n, 1000);
	CHECK_EQ(node_times(&n, 0, ACT_INS, 0), 2);
	end();
}

/* ---- nodes like us --------------------------------------------------------------------- */

/* A second relay on b's link says what we have said there: it is nobody's word. */
static void copies(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct fake relay;
	struct pf_state s;

	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	fake_init(&relay, DIALECT_OPENBSD, 4, RELAYS);
	fake_move(&relay, 1);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 50);
	copy_ins(&relay, &a, &t, 100);
	node_run(&n, 2000);
	CHECK_EQ(node_talk(&n, 0), 0);
	CHECK_EQ(node_talk(&n, 1), 2);
	node_quiet(&n);
	for (int h = 0; h < 2; h++) {
		s = fake_later(&a, &t, h ? PF_OUT : PF_IN, 100 + (uint64_t)h);
		fake_upd_c(&a, &n, &s);
	}
	node_run(&n, 50);
	for (int h = 0; h < 2; h++) {
		s = fake_later(&a, &t, h ? PF_OUT : PF_IN, 100 + (uint64_t)h);
		fake_upd_c(&relay, &n, &s);
		fake_state(&relay, &n, ACT_UPD, &s);
	}
	node_run(&n, 1000);
	CHECK_EQ(node_talk(&n, 0), 0);
	CHECK_EQ(node_talk(&n, 1), 2);
	/* an INS without a deletion is a copy however late it comes */
	node_run(&n, 20000);
	copy_ins(&relay, &a, &t, 100);
	node_run(&n, 1000);
	CHECK_EQ(node_talk(&n, 0), 0);
	CHECK_EQ(node_talk(&n, 1), 2);
	/* it is a's still, and a may end it */
	fake_deletes(&a, &n, 100, AS);
	node_run(&n, 100);
	CHECK_EQ(node_refused(&n, R_OTHER_DELETE), 0);
	CHECK(node_entry(&n, &t) == NULL);
	end();
}

/* Nor is it a copy where no other relay is: the traffic moved there soon after the first word. */
static void moved_soon(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct pf_state s[2];
	struct fake linux_b;

	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	fake_init(&linux_b, DIALECT_OPENBSD, 4, RELAYS);
	fake_move(&linux_b, 1);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 1700);
	node_quiet(&n);
	for (int h = 0; h < 2; h++) {
		s[h] = fake_half(&a, &t, h ? PF_OUT : PF_IN, 100 + (uint64_t)h);
		fake_upd_c(&linux_b, &n, &s[h]);
	}
	node_run(&n, 100);
	CHECK_EQ(node_times(&n, 0, ACT_UPD_C, 0) + node_times(&n, 0, ACT_UPD, 0), 2);
	CHECK_EQ(node_talk(&n, 1), 0);
	end();
}

/* A replacement, heard from the one who makes it and as a copy, is passed on once. */
static void replaced_once(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct fake relay;

	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	fake_init(&relay, DIALECT_OPENBSD, 4, RELAYS);
	fake_move(&relay, 1);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 10000);
	node_quiet(&n);
	replace_both(&a, &t, 100, AS);
	node_run(&n, 50);
	CHECK_EQ(node_times(&n, 1, ACT_DEL_C, 0), 2);
	CHECK_EQ(node_times(&n, 1, ACT_INS, 0), 2);
	CHECK(node_on(&n, 1, ACT_DEL_C, 100) < node_on(&n, 1, ACT_INS, 100));
	replace_both(&relay, &t, 100, AS);
	node_run(&n, 2000);
	CHECK_EQ(node_talk(&n, 0), 0);
	CHECK_EQ(node_talk(&n, 1), 4);
	CHECK_EQ(node_refused(&n, R_RELAY_COPY), 2);
	CHECK(node_entry(&n, &t) != NULL);
	/* and the next one again */
	node_run(&n, 20000);
	node_quiet(&n);
	replace_both(&a, &t, 100, AS);
	node_run(&n, 2000);
	CHECK_EQ(node_talk(&n, 0), 0);
	CHECK_EQ(node_talk(&n, 1), 4);
	end();
}

/* A creator that is new at a peer makes it asked for all it has: once, also at a relay, who has
 * many of them. */
static void many_creators(void)
{
	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	for (uint32_t i = 0; i < 24; i++) {
		struct tuples t = tuples_v4(PROTO_UDP, 10, (uint16_t)(4000 + i));
		struct fake of = b;

		of.hostid = 0x44444440 + i % 6;
		copy_ins(&b, &of, &t, 100 + 2 * i);
		fake_bus(&b, &n, BUS_START);
		fake_bus(&b, &n, BUS_END);
		node_run(&n, 6000);
	}
	CHECK_EQ(node_times(&n, 1, ACT_UPD_REQ, 0), 6);
	end();
}

/* The answer to a question is no sign of life, nor is what a bulk update tells. */
static void answers(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct fake other;
	struct pf_state s;

	begin(DIALECT_FREEBSD_15, DIALECT_OPENBSD, 1);
	fake_init(&other, DIALECT_FREEBSD_15, 4, RELAYS);
	fake_id(&other, &n, ACT_UPD_REQ, 77, 77);
	node_run(&n, 10000);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 10000);
	node_quiet(&n);
	fake_id(&other, &n, ACT_UPD_REQ, 100, AS);
	s = fake_half(&a, &t, PF_IN, 100);
	fake_state(&a, &n, ACT_UPD, &s);
	node_run(&n, 5000);
	CHECK_EQ(node_talk(&n, 1), 0);
	fake_bus(&a, &n, BUS_START);
	fake_state(&a, &n, ACT_UPD, &s);
	fake_bus(&a, &n, BUS_END);
	node_run(&n, 5000);
	CHECK_EQ(node_talk(&n, 1), 0);
	fake_state(&a, &n, ACT_UPD, &s); /* but this one is */
	node_run(&n, 1000);
	CHECK_EQ(node_talk(&n, 1), 1);
	end();
}

/* A bulk update of one peer may say more than another one has heard. */
static void news_in_a_bulk_update(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct pf_state s;

	begin(DIALECT_FREEBSD_15, DIALECT_OPENBSD, 1);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 10000);
	node_quiet(&n);
	s = fake_later(&a, &t, PF_IN, 100);
	s.src.state = PF_TCP_FIN_WAIT_2;
	fake_bus(&a, &n, BUS_START);
	fake_state(&a, &n, ACT_UPD, &s);
	fake_bus(&a, &n, BUS_END);
	node_run(&n, 1000);
	CHECK_EQ(node_talk(&n, 1), 1);
	end();
}

/* A state that is to be learned has no numbers yet; updates of it would spoil what is learned. */
static void to_be_learned(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct pf_state s[2];

	begin(DIALECT_FREEBSD_15, DIALECT_OPENBSD, 1);
	for (uint8_t h = 0; h < 2; h++) {
		s[h] = fake_half(&a, &t, h ? PF_OUT : PF_IN, 100 + h);
		s[h].src = s[h].dst = (struct pf_peer){.seqhi = 1, .max_win = 1, .wscale = 0x87};
		fake_state(&a, &n, ACT_INS, &s[h]);
	}
	node_run(&n, 5000);
	CHECK_EQ(node_times(&n, 1, ACT_INS, 0), 2);
	node_quiet(&n);
	s[0].src.state = s[0].dst.state = PF_TCP_ESTABLISHED;
	fake_upd_c(&a, &n, &s[0]);
	node_run(&n, 2000);
	CHECK_EQ(node_talk(&n, 1), 0);
	s[0] = fake_half(&a, &t, PF_IN, 100);
	fake_upd_c(&a, &n, &s[0]);
	node_run(&n, 2000);
	CHECK_EQ(node_talk(&n, 1), 1);
	end();
}

/* An answer to what we told in bulk is of the state before it, with numbers. What comes without any
 * afterwards is of the one that was replaced, and is told on. */
static void replaced_after_an_answer(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct pf_state s[2];

	begin(DIALECT_FREEBSD_15, DIALECT_OPENBSD, 1);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 5000);
	CHECK(node_packet(&n, &t, false) && node_packet(&n, &t, true));
	node_run(&n, 5000);
	fake_id(&a, &n, ACT_UPD_REQ, 0, 0); /* what we answer it corrects */
	node_run(&n, 500);
	CHECK(node_packet(&n, &t, false) && node_packet(&n, &t, true));
	for (uint8_t h = 0; h < 2; h++) {
		s[h] = fake_later(&a, &t, h ? PF_OUT : PF_IN, 100 + h);
		fake_upd_c(&a, &n, &s[h]);
		s[h].src = s[h].dst = (struct pf_peer){.state = PF_TCP_ESTABLISHED, .seqlo = 1};
	}
	for (int i = 0; i < 3; i++) {
		node_run(&n, 4000);
		node_quiet(&n);
		fake_upd_c(&a, &n, &s[0]);
		fake_upd_c(&a, &n, &s[1]);
	}
	node_run(&n, 1000);
	CHECK_EQ(node_talk(&n, 1), 2);
	end();
}

/* Who answers at once with more than the carrier has seen answers from before. */
static void older_words(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct pf_state s, old;

	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	s = fake_half(&a, &t, PF_IN, 100);
	s.src.state = s.dst.state = PF_TCP_SYN_SENT;
	fake_state(&a, &n, ACT_INS, &s);
	node_run(&n, 500);
	node_quiet(&n);
	old = fake_half(&b, &t, PF_IN, 100);
	old.creatorid = AS;
	fake_upd_c(&b, &n, &old);
	fake_state(&b, &n, ACT_UPD, &old);
	node_run(&n, 500);
	CHECK_EQ(node_refused(&n, R_RELAY_COPY), 2);
	CHECK_EQ(node_talk(&n, 0), 0);
	node_run(&n, 10000);
	fake_upd_c(&b, &n, &old); /* it says so later, too: then it carries the flow */
	node_run(&n, 500);
	CHECK_EQ(node_refused(&n, R_RELAY_COPY), 2);
	CHECK_EQ(node_talk(&n, 0), 1);
	end();
}

/* Two have named one flow. Whose name has to go keeps it where it was made. */
static void a_second_name(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000);
	struct pf_state s;

	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	b.hostid = 0x100;
	s = fake_half(&a, &t, PF_IN, 100);
	s.rule = UINT32_MAX;
	fake_state(&a, &n, ACT_INS, &s);
	node_run(&n, 5000);
	node_quiet(&n);
	s = fake_half(&b, &t, PF_IN, 600);
	fake_state(&b, &n, ACT_INS, &s);
	node_run(&n, 5000);
	CHECK_EQ(node_times(&n, 0, ACT_INS, 600), 1);
	CHECK_EQ(node_times(&n, 0, ACT_DEL_C, 0), 0);
	CHECK_EQ(node_times(&n, 1, ACT_DEL_C, 0), 0);
	end();
}

/* ---- starts and outages ---------------------------------------------------------------- */

/* A bulk update, as far as told: halves of flows under names of a. */
static void tells_all(struct fake *f, const struct tuples *t, size_t flows)
{
	struct pf_state s;

	fake_bus(f, &n, BUS_START);
	for (size_t i = 0; i < 2 * flows; i++) {
		s = fake_half(&a, &t[i / 2], i % 2 ? PF_OUT : PF_IN, 100 + i);
		fake_state(f, &n, ACT_UPD, &s);
		node_run(&n, 50);
	}
	fake_bus(f, &n, BUS_END);
}

/* In answer to a start one may tell what all know, or what the others lack. */
static void after_a_start(void)
{
	for (int met = 0; met < 2; met++) {
		struct tuples t[] = {tuples_v4(PROTO_TCP, 10, 1), tuples_v4(PROTO_TCP, 10, 2)};
		struct tuples fresh = tuples_v4(PROTO_TCP, 10, 3);

		config = config_between(&a, DIALECT_FREEBSD_13, &b, DIALECT_OPENBSD, 1);
		node_start(&n, &config, 2, 1000 * S);
		(void)node_settle(&n);
		if (met) { /* it is there, and an OpenBSD */
			fake_id(&b, &n, ACT_UPD_REQ, 0, 0);
			node_run(&n, 10);
		}
		fake_tells(&a, &n, &fresh, 300);
		node_run(&n, 100);
		CHECK_EQ(node_times(&n, 1, ACT_INS, 300), met); /* no answer: told on at once */
		tells_all(&a, t, 2);
		tells_all(&b, t, 1);
		node_begin(&n);
		node_run(&n, 10000);
		CHECK_EQ(node_times(&n, 0, ACT_INS, 0), 0);
		CHECK_EQ(node_times(&n, 1, ACT_INS, 100), 0);
		CHECK_EQ(node_times(&n, 1, ACT_INS, 101), 0);
		for (uint64_t id = 102; id < 104; id++)
			CHECK_EQ(node_times(&n, 1, ACT_INS, id), 1);
		CHECK_EQ(node_times(&n, 1, ACT_INS, 300), 1);
		end();
	}
}

static void after_an_outage(void)
{
	struct tuples before = tuples_v4(PROTO_TCP, 10, 40000);
	struct tuples during = tuples_v4(PROTO_TCP, 10, 40001);

	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	fake_tells(&a, &n, &before, 100);
	node_run(&n, 1000);
	node_link(&n, 1, false, 1500);
	node_run(&n, 1000);
	node_quiet(&n);
	fake_tells(&a, &n, &during, 200);
	node_run(&n, 1000);
	CHECK_EQ(node_talk(&n, 1), 0);
	node_link(&n, 1, true, 1500);
	node_run(&n, 100);
	fake_greet(&b, &n);
	node_run(&n, 10000);
	CHECK_EQ(node_times(&n, 0, ACT_INS, 0), 0);
	CHECK_EQ(fake_times(&b, &n, ACT_INS, 200), 1);
	CHECK_EQ(fake_times(&b, &n, ACT_INS, 201), 1);
	/* what was told before may be lost: who was away may have begun anew */
	CHECK_EQ(fake_times(&b, &n, ACT_INS, 100), 1);
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"a new state", a_new_state},
		{"an update", an_update},
		{"updates in full", updates_in_full},
		{"a deletion", a_deletion},
		{"a deletion crossed", a_deletion_crossed},
		{"unheard deletion", unheard_deletion},
		{"a clear", a_clear},
		{"an interface", an_interface},
		{"a question", a_question},
		{"deleted elsewhere", deleted_elsewhere},
		{"carried elsewhere", carried_elsewhere},
		{"listens only", listens_only},
		{"copies", copies},
		{"moved soon", moved_soon},
		{"replaced once", replaced_once},
		{"many creators", many_creators},
		{"answers", answers},
		{"news in a bulk update", news_in_a_bulk_update},
		{"to be learned", to_be_learned},
		{"replaced after an answer", replaced_after_an_answer},
		{"older words", older_words},
		{"a second name", a_second_name},
		{"after a start", after_a_start},
		{"after an outage", after_an_outage},
	};

	return check_main("relay", tests, sizeof(tests) / sizeof(tests[0]));
}
