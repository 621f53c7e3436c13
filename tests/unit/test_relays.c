/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two nodes that relay between the same peers: each hears what the other tells on. Whatever is
 * told goes once through each of them, back to nobody, and then there is silence.
 */
#include "check.h"
#include "model.h"

#include <string.h>

enum { AS = 0x11111111, BS = 0x22222222, FLOWS = 60, RELAYS = 2, IDS = 1000 };

static struct node relay[RELAYS];
static struct fake a, b;
static size_t given[RELAYS]; /* packets of a relay that the other one has */

/* ---- the wires ------------------------------------------------------------------------- */

/* What one has sent since, to the other one. */
static bool deliver(unsigned from)
{
	struct node *n = &relay[from], *to = &relay[!from];
	bool any = given[from] < n->sents;

	while (given[from] < n->sents) {
		struct sent s = n->sent[given[from]++];
		struct address src = address_on(&n->address, s.link);

		node_hear_on(to, s.link, &src, s.data, s.len);
		(void)node_settle(to);
	}
	return any;
}

static void run(uint64_t ms)
{
	for (uint64_t i = 0; i < ms; i += 5) {
		bool any;

		for (unsigned r = 0; r < RELAYS; r++)
			node_run(&relay[r], 5);
		do {
			any = deliver(0);
			any |= deliver(1);
		} while (any);
	}
}

static void quiet(void)
{
	for (unsigned r = 0; r < RELAYS; r++) {
		node_quiet(&relay[r]);
		given[r] = 0;
	}
}

/* The peers speak to both. */
static void both_hear(struct fake *f)
{
	size_t len = builder_finish(&f->b);

	for (unsigned r = 0; r < RELAYS; r++) {
		node_hear_on(&relay[r], f->link, &f->address, f->buf, len);
		(void)node_settle(&relay[r]);
	}
}

static void begin(enum dialect_id da, enum dialect_id db, unsigned link)
{
	fake_init(&a, da, 10, AS);
	fake_init(&b, db, 11, BS);
	fake_move(&b, link);
	for (unsigned r = 0; r < RELAYS; r++) {
		struct engine_config c = node_config(0x0a0b0c01 + r);

		c.links = 1 + link;
		c.link[1] = c.link[0];
		c.link[1].name = "other";
		node_start(&relay[r], &c, (uint8_t)(2 + r), 1000 * S);
		given[r] = 0;
		(void)node_settle(&relay[r]);
	}
	run(50);
	for (unsigned r = 0; r < RELAYS; r++) {
		fake_greet(&a, &relay[r]);
		fake_greet(&b, &relay[r]);
	}
	run(20000);
	quiet();
}

static void end(void)
{
	for (unsigned r = 0; r < RELAYS; r++) {
		CHECK_STR(relay[r].wrong ? relay[r].wrong : "", "");
		node_stop(&relay[r]);
	}
}

/* ---- what was said --------------------------------------------------------------------- */

/* How often one said such a thing of that state, to those of the peer; id 0: of any. */
static size_t told_by(unsigned r, const struct fake *to, enum pf_action action, uint64_t id)
{
	bool full = action == ACT_INS || action == ACT_UPD;
	size_t count = 0;

	for (size_t i = 0; i < relay[r].saids; i++) {
		const struct said *m = &relay[r].said[i];

		count += m->link == to->link && m->action == action && (!id || m->id == id) &&
			 (full ? m->layout == to->dialect->layout
			       : m->version == to->dialect->version);
	}
	return count;
}

/* All that the two said of states; requests, answers and probes are not counted. */
static size_t talk(const struct fake *to)
{
	size_t count = 0;

	for (unsigned r = 0; r < RELAYS; r++)
		for (int action = ACT_CLR; action <= ACT_DEL_C; action++)
			if (action != ACT_UPD_REQ && action != ACT_INS_ACK)
				count += told_by(r, to, (enum pf_action)action, 0);
	return count;
}

static struct tuples flow_of(unsigned i)
{
	return tuples_v4(i % 2 ? PROTO_UDP : PROTO_TCP, (uint8_t)(10 + i), (uint16_t)(40000 + i));
}

static struct pf_state half_of(const struct fake *f, unsigned i, int h, uint32_t step)
{
	struct tuples t = flow_of(i);
	struct pf_state s = fake_half(f, &t, h ? PF_OUT : PF_IN, IDS + 2 * i + (unsigned)h);

	if (t.proto == PROTO_TCP) {
		s.src.seqlo += step;
		s.src.seqhi += step;
		s.dst.seqlo += step;
		s.dst.seqhi += step;
	}
	return s;
}

enum what { INSERTS, UPDATES, DELETES, REPLACES };

/* The peer tells something of all its flows, one flow to a packet. */
static void tells(struct fake *f, enum what what, uint32_t step)
{
	for (unsigned i = 0; i < FLOWS; i++) {
		struct pf_state s[2] = {half_of(f, i, 0, step), half_of(f, i, 1, step)};

		fake_begin(f);
		for (int h = 0; h < 2; h++) {
			struct msg_upd_c u = {.id = s[h].id,
					      .creatorid = s[h].creatorid,
					      .src = s[h].src,
					      .dst = s[h].dst,
					      .timeout = s[h].timeout};

			if (what == DELETES || what == REPLACES)
				CHECK(builder_add_id(&f->b, ACT_DEL_C, s[h].id, s[h].creatorid));
			if (what == UPDATES)
				CHECK(builder_add_upd_c(&f->b, &u));
		}
		for (int h = 0; h < 2 && (what == INSERTS || what == REPLACES); h++)
			CHECK(builder_add_state(&f->b, ACT_INS, &s[h]));
		both_hear(f);
	}
}

/* ---- tests ----------------------------------------------------------------------------- */

/* Nothing is said about states any more. */
static void silence(void)
{
	run(3000);
	quiet();
	run(15000);
	CHECK_EQ(talk(&a), 0);
	CHECK_EQ(talk(&b), 0);
}

/* Each state goes at most once through each relay, at least once through one, and never back. */
static void once_through_each(enum pf_action action)
{
	for (uint64_t id = IDS; id < IDS + 2 * FLOWS; id++) {
		size_t times[RELAYS] = {told_by(0, &b, action, id), told_by(1, &b, action, id)};

		if (!CHECK(times[0] <= 1 && times[1] <= 1 && times[0] + times[1] >= 1) ||
		    !CHECK_EQ(told_by(0, &a, action, id) + told_by(1, &a, action, id), 0))
			return;
	}
}

static void between(enum dialect_id da, enum dialect_id db, unsigned link)
{
	begin(da, db, link);
	tells(&a, INSERTS, 0);
	run(1000);
	once_through_each(ACT_INS);
	CHECK(talk(&b) <= 4 * FLOWS);
	silence();
	for (unsigned r = 0; r < RELAYS; r++)
		CHECK_EQ(node_flows(&relay[r]), FLOWS);
	quiet();
	tells(&a, UPDATES, 100000);
	run(1000);
	if (a.dialect->version != b.dialect->version || link)
		for (uint64_t id = IDS; id < IDS + 2 * FLOWS; id++)
			for (unsigned r = 0; r < RELAYS; r++)
				CHECK(told_by(r, &b, ACT_UPD_C, id) + told_by(r, &b, ACT_UPD, id) <=
				      1);
	CHECK_EQ(talk(&a), 0);
	silence();
	quiet();
	tells(&a, REPLACES, 200000);
	run(1000);
	once_through_each(ACT_INS);
	CHECK(talk(&b) <= 8 * FLOWS);
	silence();
	for (unsigned r = 0; r < RELAYS; r++)
		CHECK_EQ(node_flows(&relay[r]), FLOWS);
	quiet();
	tells(&a, DELETES, 0);
	run(1000);
	CHECK_EQ(talk(&a), 0);
	CHECK(talk(&b) <= 4 * FLOWS);
	silence();
	for (unsigned r = 0; r < RELAYS; r++)
		CHECK_EQ(node_flows(&relay[r]), 0);
	end();
}

static void two_links(void)
{
	between(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	between(DIALECT_OPENBSD, DIALECT_FREEBSD_15, 1);
	between(DIALECT_FREEBSD_15, DIALECT_FREEBSD_15, 1);
}

static void one_link_two_layouts(void)
{
	between(DIALECT_FREEBSD_13, DIALECT_FREEBSD_15, 0);
	between(DIALECT_FREEBSD_15, DIALECT_FREEBSD_14, 0);
}

static void one_link_two_versions(void)
{
	between(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 0);
	between(DIALECT_OPENBSD, DIALECT_FREEBSD_15, 0);
}

/* The word moves from one peer to the other and back, as the traffic does. */
static void there_and_back(void)
{
	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	tells(&a, INSERTS, 0);
	silence();
	for (uint32_t turn = 1; turn <= 4; turn++) {
		struct fake *who = turn % 2 ? &b : &a, *other = turn % 2 ? &a : &b;

		quiet();
		who->hostid = AS; /* whose names they keep */
		tells(who, UPDATES, turn * 100000);
		run(1000);
		CHECK_EQ(talk(who), 0);
		CHECK(talk(other) >= 2 * (FLOWS / 2));
		CHECK(talk(other) <= 4 * FLOWS);
		silence();
	}
	end();
}

/* What one relay did not hear it has from the other one, and it goes round no further. */
static void one_is_deaf(void)
{
	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	node_link(&relay[1], 0, false, 1500);
	for (unsigned i = 0; i < FLOWS; i++) {
		struct tuples t = flow_of(i);

		fake_tells(&a, &relay[0], &t, IDS + 2 * i);
	}
	run(1000);
	CHECK_EQ(node_flows(&relay[1]), FLOWS);
	CHECK_EQ(talk(&a), 0);
	CHECK_EQ(told_by(0, &b, ACT_INS, 0), 2 * FLOWS);
	CHECK_EQ(told_by(1, &b, ACT_INS, 0), 0);
	node_link(&relay[1], 0, true, 1500);
	fake_greet(&a, &relay[1]);
	run(20000);
	silence();
	end();
}

/* The traffic passes one of them: it says so to all, and the other one says nothing of it. */
static void one_takes_over(void)
{
	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	tells(&a, INSERTS, 0);
	silence();
	quiet();
	for (unsigned i = 0; i < FLOWS; i++) {
		struct tuples t = flow_of(i);

		CHECK(node_packet(&relay[0], &t, true));
		CHECK(node_packet(&relay[0], &t, false));
	}
	run(3000);
	for (unsigned i = 0; i < FLOWS; i++) {
		struct tuples t = flow_of(i);
		struct flow_view v;

		CHECK(node_flow(&relay[0], &t, &v) && v.live);
		CHECK(node_flow(&relay[1], &t, &v) && !v.live);
	}
	/* the strict states of TCP are replaced */
	CHECK_EQ(told_by(0, &a, ACT_INS, 0), FLOWS);
	CHECK_EQ(told_by(0, &b, ACT_INS, 0), FLOWS);
	CHECK_EQ(told_by(0, &a, ACT_DEL_C, 0), FLOWS);
	CHECK_EQ(told_by(0, &b, ACT_DEL_C, 0), FLOWS);
	CHECK_EQ(told_by(1, &a, ACT_INS, 0) + told_by(1, &b, ACT_INS, 0), 0);
	CHECK_EQ(told_by(1, &a, ACT_DEL_C, 0) + told_by(1, &b, ACT_DEL_C, 0), 0);
	run(3000);
	quiet();
	run(5000);
	CHECK_EQ(talk(&a) + talk(&b), 0);
	end();
}

static void cleared(void)
{
	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	tells(&a, INSERTS, 0);
	silence();
	quiet();
	fake_begin(&a);
	CHECK(builder_add_clr(&a.b, &(struct msg_clr){.creatorid = AS}));
	both_hear(&a);
	run(2000);
	CHECK_EQ(talk(&a), 0);
	CHECK(told_by(0, &b, ACT_CLR, 0) + told_by(1, &b, ACT_CLR, 0) >= 1);
	CHECK(talk(&b) <= 2);
	silence();
	for (unsigned r = 0; r < RELAYS; r++)
		CHECK_EQ(node_flows(&relay[r]), 0);
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"two links", two_links},
		{"one link, two layouts", one_link_two_layouts},
		{"one link, two versions", one_link_two_versions},
		{"there and back", there_and_back},
		{"one is deaf", one_is_deaf},
		{"one takes over", one_takes_over},
		{"cleared", cleared},
	};

	return check_main("relays", tests, sizeof(tests) / sizeof(tests[0]));
}
