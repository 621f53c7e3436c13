/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bulk update, both roles. */
#include "check.h"
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OURS = 0x0a0b0c0d, PEERS = 0x11223344 };

static struct node n;
static struct fake pf;

static struct link_view view(void)
{
	struct link_view v;

	CHECK(engine_link_view(n.e, 0, &v));
	return v;
}

static void start(const struct dialect *d)
{
	struct engine_config c = node_config(OURS);

	c.link[0].dialect = d;
	node_start(&n, &c, 2, 1000 * S);
	fake_init(&pf, d ? d->id : DIALECT_FREEBSD_13, 1, PEERS);
	(void)node_settle(&n);
}

static void meet(void)
{
	struct engine_config c = node_config(OURS);

	node_meet(&n, &pf, &c, DIALECT_FREEBSD_13);
}

static void end(void)
{
	CHECK_STR(n.wrong ? n.wrong : "", "");
	node_stop(&n);
}

/* ---- asking
 * --------------------------------------------------------------------------------------- */

static void asks_at_start(void)
{
	start(NULL);
	CHECK_EQ(node_said(&n, ACT_UPD_REQ), 2); /* in both header versions */
	CHECK_EQ(n.saids, 2);
	for (size_t i = 0; i < n.saids; i++)
		CHECK(n.said[i].id == 0 && n.said[i].creatorid == 0);
	CHECK(n.saids == 2 && n.said[0].version != n.said[1].version);
	CHECK_EQ(view().bulk, BULK_ASKED);
	end();
}

/* Two peers: the first has nothing and says so, the second is still telling what it has. */
static void two_answers(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	struct fake other;
	struct flow_view v;

	struct engine_config c = node_config(OURS);

	c.link[0].dialect = dialect_get(DIALECT_FREEBSD_13);
	node_start(&n, &c, 2, 1000 * S);
	fake_init(&pf, DIALECT_FREEBSD_13, 1, PEERS);
	fake_init(&other, DIALECT_FREEBSD_13, 3, 0x55667788);
	(void)node_plant(&n, &t, CT_TCP_ESTABLISHED, CT_STATUS_SEEN_REPLY | CT_STATUS_ASSURED,
			 9000);
	node_run(&n, 1000);
	fake_bus(&other, &n, BUS_START);
	fake_bus(&pf, &n, BUS_START);
	fake_bus(&pf, &n, BUS_END);
	node_run(&n, 1000);
	fake_tells(&other, &n, &t, 500);
	fake_bus(&other, &n, BUS_END);
	node_run(&n, 3000);
	CHECK(node_flow(&n, &t, &v));
	CHECK_EQ(v.half[0].id, 500);
	CHECK_EQ(v.half[0].creatorid, 0x55667788);
	CHECK_EQ(node_said(&n, ACT_INS), 0);
	end();
}

/* The END of one of two was lost; it talks on, and that must not keep the other's from counting. */
static void other_end_lost(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	struct fake other;

	start(dialect_get(DIALECT_FREEBSD_13));
	fake_init(&other, DIALECT_FREEBSD_13, 3, 0x55667788);
	fake_bus(&other, &n, BUS_START);
	for (uint16_t i = 0; i < 5; i++) {
		node_run(&n, 1000);
		t.end[ORIG_SRC].port = t.end[REPLY_DST].port = (uint16_t)(10 + i);
		fake_tells(&other, &n, &t, 100 + 2u * i);
	}
	fake_bus(&pf, &n, BUS_START);
	fake_bus(&pf, &n, BUS_END);
	CHECK_EQ(view().bulk, BULK_IDLE);
	CHECK(view().ever_synced);
	end();
}

static void start_end(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	struct pf_state s;

	start(NULL);
	fake_bus(&pf, &n, BUS_START);
	CHECK_EQ(view().bulk, BULK_RECEIVING);
	CHECK(!view().ever_synced);
	s = fake_half(&pf, &t, PF_IN, 10);
	fake_state(&pf, &n, ACT_UPD, &s);
	fake_bus(&pf, &n, BUS_END);
	CHECK_EQ(view().bulk, BULK_IDLE);
	CHECK(view().ever_synced && !view().bulk_failed);
	CHECK_EQ(n.notes[NOTE_BULK_DONE], 1);
	s = fake_half(&pf, &t, PF_OUT, 11); /* FreeBSD: states behind the END */
	fake_state(&pf, &n, ACT_UPD, &s);
	CHECK(node_entry(&n, &t) != NULL);
	fake_bus(&pf, &n, BUS_END); /* nobody waits for it */
	CHECK_EQ(node_refused(&n, R_BUS_IGNORED), 1);
	CHECK_EQ(node_counter(&n, C_BULK_DONE), 1);
	end();
}

static void end_alone(void)
{
	start(dialect_get(DIALECT_OPENBSD));
	CHECK_EQ(node_said(&n, ACT_UPD_REQ), 1);
	fake_bus(&pf, &n, BUS_END);
	CHECK_EQ(view().bulk, BULK_IDLE);
	CHECK(view().ever_synced);
	end();
}

static void nobody_answers(enum dialect_id d, uint64_t wait)
{
	uint64_t last = 0;
	size_t asked = 0;

	start(dialect_get(d));
	node_run(&n, 200000);
	for (size_t i = 0; i < n.saids; i++) {
		if (n.said[i].action != ACT_UPD_REQ)
			continue;
		if (asked++ &&
		    (!CHECK(n.said[i].at - last >= wait) || !CHECK(n.said[i].at - last < wait + S)))
			break;
		last = n.said[i].at;
	}
	CHECK_EQ(asked, 12);
	CHECK_EQ(view().bulk, BULK_IDLE);
	CHECK(view().bulk_failed && !view().ever_synced);
	CHECK_EQ(n.notes[NOTE_BULK_FAILED], 1);
	CHECK_EQ(node_counter(&n, C_BULK_FAILED), 1);
	/* and carries on */
	node_open(&n, &(struct tuples){.family = 4,
				       .proto = PROTO_TCP,
				       .end = {{{192, 0, 2, 9}, 5},
					       {{198, 51, 100, 9}, 6},
					       {{198, 51, 100, 9}, 6},
					       {{192, 0, 2, 9}, 5}}});
	node_run(&n, 100);
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	end();
}

static void no_answer(void)
{
	nobody_answers(DIALECT_FREEBSD_13, 5 * S);
	nobody_answers(DIALECT_OPENBSD, 2 * S);
}

/* START and then nothing: over after a while, without blame for the table. */
static void silence_after_start(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);

	start(NULL);
	fake_bus(&pf, &n, BUS_START);
	fake_tells(&pf, &n, &t, 10);
	node_run(&n, 120000);
	CHECK_EQ(view().bulk, BULK_IDLE);
	CHECK(view().bulk_failed);
	CHECK(node_entry(&n, &t) != NULL);
	end();
}

/* A long bulk with states on the way all the time is not given up. */
static void long_bulk(void)
{
	start(NULL);
	fake_bus(&pf, &n, BUS_START);
	for (unsigned i = 0; i < 1600; i++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, (uint16_t)(100 + i));
		struct pf_state s = fake_half(&pf, &t, PF_IN, 100 + i);

		fake_state(&pf, &n, ACT_UPD, &s);
		node_run(&n, 50);
	}
	CHECK_EQ(view().bulk, BULK_RECEIVING);
	fake_bus(&pf, &n, BUS_END);
	CHECK(view().ever_synced && !view().bulk_failed);
	end();
}

/* The end of an answer that began before we asked: names are waited for a little longer. */
static void tail_of_a_bulk(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1), other = tuples_v4(PROTO_UDP, 11, 1);
	struct msg_bus end_of_it = {.creatorid = PEERS, .status = BUS_END};
	struct pf_state s;

	node_start(&n, &c, 2, 1000 * S);
	(void)node_plant(&n, &t, 0, CT_STATUS_CONFIRMED | CT_STATUS_SEEN_REPLY, 50);
	node_run(&n, 1900);
	fake_init(&pf, DIALECT_FREEBSD_13, 1, PEERS);
	s = fake_half(&pf, &other, PF_IN, 100);
	fake_begin(&pf);
	(void)builder_add_state(&pf.b, ACT_UPD, &s);
	(void)builder_add_bus(&pf.b, &end_of_it);
	fake_end(&pf, &n);
	node_run(&n, 1000);
	fake_bus(&pf, &n, BUS_START);
	s = fake_half(&pf, &t, PF_IN, 102);
	fake_state(&pf, &n, ACT_UPD, &s);
	s = fake_half(&pf, &t, PF_OUT, 103);
	fake_state(&pf, &n, ACT_UPD, &s);
	fake_bus(&pf, &n, BUS_END);
	node_run(&n, 2000);
	CHECK_EQ(node_said(&n, ACT_INS), 0);
	end();
}

static void a_peer_appears(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	struct pf_state s;

	start(dialect_get(DIALECT_FREEBSD_13));
	node_run(&n, 200000); /* nobody there: given up */
	node_quiet(&n);
	s = fake_half(&pf, &t, PF_IN, 10);
	fake_state(&pf, &n, ACT_INS, &s);
	CHECK_EQ(node_said(&n, ACT_UPD_REQ), 1);
	CHECK_EQ(n.notes[NOTE_PEER_APPEARED], 1);
	fake_bus(&pf, &n, BUS_START);
	fake_bus(&pf, &n, BUS_END);
	node_quiet(&n);
	node_run(&n, 100000); /* it is silent, and comes back */
	fake_state(&pf, &n, ACT_UPD, &s);
	CHECK_EQ(node_said(&n, ACT_UPD_REQ), 1);
	end();
}

/* A FreeBSD that withholds one bucket shows only one half of its flows: asking makes it speak. */
static void halves_only(void)
{
	size_t asked;

	meet();
	node_run(&n, 20000);
	node_quiet(&n);
	for (unsigned i = 0; i < 10; i++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, (uint16_t)(100 + i));
		struct pf_state s = fake_half(&pf, &t, PF_IN, 100 + i);

		fake_state(&pf, &n, ACT_INS, &s);
		node_run(&n, 1000);
	}
	node_run(&n, 30000);
	asked = node_said(&n, ACT_UPD_REQ);
	CHECK(asked >= 1);
	CHECK(asked <= 12);
	end();
}

/* The same when it begins to withhold them while their flows are known in both halves. */
static void half_falls_silent(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 100);
	struct pf_state s[2];

	for (int silent = 0; silent < 2; silent++) {
		meet();
		node_run(&n, 20000);
		fake_tells(&pf, &n, &t, 100);
		for (int h = 0; h < 2; h++)
			s[h] = fake_half(&pf, &t, h ? PF_OUT : PF_IN, 100 + (unsigned)h);
		node_quiet(&n);
		for (int i = 0; i < 20; i++) {
			fake_upd_c(&pf, &n, &s[0]);
			node_run(&n, 1000);
			if (!silent || !i)
				fake_upd_c(&pf, &n, &s[1]);
			node_run(&n, 1000);
		}
		CHECK_EQ(node_said(&n, ACT_UPD_REQ) > 0, silent);
		CHECK(node_said(&n, ACT_UPD_REQ) <= 6);
		end();
	}
}

/* ---- answering
 * ------------------------------------------------------------------------------------ */

static const struct said *first(enum pf_action a)
{
	return node_nth(&n, a, 0);
}

static void check_frame(void)
{
	const struct said *s = NULL, *e = NULL;

	for (size_t i = 0; i < n.saids; i++) {
		const struct said *m = &n.said[i];

		if (m->action == ACT_BUS && m->b.status == BUS_START && !s)
			s = m;
		if (m->action == ACT_BUS && m->b.status == BUS_END)
			e = m;
		if (m->action == ACT_BUS) {
			CHECK_EQ(m->b.creatorid, OURS);
			CHECK_EQ(m->b.endtime, 0);
		}
	}
	if (!CHECK(s && e && s < e))
		return;
	for (size_t i = 0; i < n.saids; i++)
		if (n.said[i].action == ACT_UPD && !CHECK(&n.said[i] > s && &n.said[i] < e))
			return;
}

static void empty_table(void)
{
	meet();
	fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 200);
	CHECK_EQ(node_said(&n, ACT_BUS), 2);
	CHECK_EQ(node_said(&n, ACT_UPD), 0);
	check_frame();
	CHECK_EQ(node_counter(&n, C_BULK_ANSWER_OUT), 1);
	end();
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct said *)a)->id, y = ((const struct said *)b)->id;

	return x < y ? -1 : x > y;
}

/* All flows whoever made them, each state once, paced. */
static void big(void)
{
	enum { FLOWS = 3000 };
	size_t twice = 0;
	uint64_t from, to;

	meet();
	for (unsigned i = 0; i < FLOWS; i++) {
		struct tuples t = tuples_v4(PROTO_TCP, (uint8_t)(i / 1000 + 10),
					    (uint16_t)(i % 1000 + 1));

		if (i & 1)
			fake_tells(&pf, &n, &t, 10 + 2 * i);
		else
			node_open(&n, &t);
	}
	node_run(&n, 15000);
	CHECK_EQ(node_flows(&n), FLOWS);
	node_quiet(&n);
	fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 3000);
	CHECK_EQ(node_said(&n, ACT_UPD), 2 * FLOWS);
	CHECK_EQ(node_said(&n, ACT_BUS), 2);
	CHECK_EQ(node_said(&n, ACT_INS) + node_said(&n, ACT_DEL_C), 0);
	check_frame();
	from = first(ACT_UPD)->at;
	to = node_nth(&n, ACT_UPD, 2 * FLOWS - 1)->at;
	/* 20,000 a second unless configured otherwise; a real pf loses packets silently above
	 * 100,000 */
	CHECK(to - from >= 2 * FLOWS * S / 22000);
	CHECK(to - from <= 2 * FLOWS * S / 10000);
	for (size_t i = 0; i < n.sents;) { /* never more than 500 packets in a tenth of a second */
		size_t j = i;

		while (j < n.sents && n.sent[j].at < n.sent[i].at + 100 * MS)
			j++;
		if (!CHECK(j - i <= 550))
			break;
		i = j;
	}
	qsort(n.said, n.saids, sizeof(*n.said), by_id);
	for (size_t i = 1; i < n.saids; i++)
		twice += n.said[i].id && n.said[i].id == n.said[i - 1].id;
	CHECK_EQ(twice, 0);
	end();
}

static void request_during_a_bulk(void)
{
	size_t ends = 0, starts = 0;

	meet();
	for (unsigned i = 0; i < 800; i++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, (uint16_t)(i + 1));

		node_open(&n, &t);
	}
	node_run(&n, 3000);
	node_quiet(&n);
	fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 20);
	CHECK(view().answering);
	fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 5000);
	CHECK(!view().answering);
	for (size_t i = 0; i < n.saids; i++) {
		starts += n.said[i].action == ACT_BUS && n.said[i].b.status == BUS_START;
		ends += n.said[i].action == ACT_BUS && n.said[i].b.status == BUS_END;
	}
	CHECK(ends == starts);
	CHECK(ends == 1 || ends == 2);
	CHECK(node_said(&n, ACT_UPD) >= 1600); /* whoever asked last got all */
	if (ends == 2)
		CHECK_EQ(node_said(&n, ACT_UPD), 3200);
	end();
}

static void refresh(const struct tuples *t)
{
	struct pf_state in = fake_half(&pf, t, PF_IN, 10), out = fake_half(&pf, t, PF_OUT, 11);

	fake_state(&pf, &n, ACT_UPD, &in);
	fake_state(&pf, &n, ACT_UPD, &out);
}

/* The refreshes behind a bulk whose END is lost are not a part of it for ever. */
static void end_lost(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1);

	meet();
	fake_tells(&pf, &n, &t, 10);
	fake_bus(&pf, &n, BUS_START);
	for (int i = 0; i < 4; i++) {
		node_run(&n, 20000);
		refresh(&t);
	}
	CHECK(node_entry(&n, &t) != NULL);
	end();
}

/* Who died in the middle of its answer, and is refreshed, is asked again before long. */
static void died_in_its_answer(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1);

	meet();
	fake_tells(&pf, &n, &t, 10);
	engine_resync(n.e, n.now);
	fake_bus(&pf, &n, BUS_START);
	node_quiet(&n);
	for (int i = 0; i < 9; i++) {
		node_run(&n, 5000);
		refresh(&t);
	}
	CHECK(node_about(&n, ACT_UPD_REQ, 0, 0) != NULL);
	end();
}

/* What is about to run out is refreshed in the middle of a bulk, too. */
static void refresh_in_a_bulk(void)
{
	for (uint64_t after = 29500; after < 50000; after += 500) {
		struct tuples t = tuples_v4(PROTO_UDP, 10, 1);

		meet();
		fake_tells(&pf, &n, &t, 10);
		node_run(&n, after);
		fake_bus(&pf, &n, BUS_START);
		refresh(&t);
		fake_bus(&pf, &n, BUS_END);
		node_run(&n, 40000);
		CHECK(node_entry(&n, &t) != NULL);
		end();
	}
}

/* What a bulk did not mention stays. */
static void not_the_whole_picture(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);

	meet();
	fake_tells(&pf, &n, &t, 10);
	engine_resync(n.e, n.now);
	(void)node_settle(&n);
	fake_bus(&pf, &n, BUS_START);
	fake_bus(&pf, &n, BUS_END);
	node_run(&n, 20000);
	CHECK(node_entry(&n, &t) != NULL);
	end();
}

/* A link that only listens answers with an empty bulk: without END the peer stays demoted. */
static void receive_only(void)
{
	struct engine_config c = node_config(OURS);
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);

	c.link[0].mode = MODE_RECEIVE_ONLY;
	node_meet(&n, &pf, &c, DIALECT_FREEBSD_13);
	node_open(&n, &t);
	fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 1000);
	CHECK_EQ(node_said(&n, ACT_BUS), 2);
	CHECK_EQ(node_said(&n, ACT_UPD) + node_said(&n, ACT_INS), 0);
	check_frame();
	end();
}

/* The most states in a section of the answer to a bulk request. */
static unsigned densest(void)
{
	unsigned most = 0;

	node_quiet(&n);
	fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 3000);
	for (size_t i = 0; i < n.sents; i++) {
		struct packet p;
		struct section s;

		CHECK_EQ(packet_open(&p, n.sent[i].data, n.sent[i].len), R_NONE);
		while (packet_next(&p, &s))
			if (s.action == ACT_UPD && s.count > most)
				most = s.count;
	}
	return most;
}

/* FreeBSD 14 misreads the second state of a 1301 section; six in one show that it is none. */
static void one_in_a_section(void)
{
	struct engine_config c = node_config(OURS);

	c.link[0].dialect = NULL;
	node_meet(&n, &pf, &c, DIALECT_FREEBSD_13);
	for (uint16_t i = 0; i < 20; i++) {
		struct tuples t = tuples_v4(PROTO_UDP, 10, (uint16_t)(1 + i));

		node_open(&n, &t);
	}
	CHECK_EQ(densest(), 1);
	fake_begin(&pf);
	for (uint64_t i = 0; i < 6; i++) {
		struct tuples t = tuples_v4(PROTO_UDP, 20, (uint16_t)(1 + i));
		struct pf_state s = fake_half(&pf, &t, PF_IN, 100 + i);

		CHECK(builder_add_state(&pf.b, ACT_INS, &s));
	}
	fake_end(&pf, &n);
	CHECK_EQ(densest(), 6);
	end();
}

/* While all states are told, looks at idle flows wait, but not those that keep one alive. */
static void looks_wait_for_an_answer(void)
{
	enum { FLOWS = 2000 };
	struct engine_config c = node_config(OURS);
	struct tuples alive = tuples_v4(PROTO_UDP, 9, 1);
	uint64_t looks, refreshed;

	c.link[0].bulk_rate = 100; /* a flow in each portion */
	node_meet(&n, &pf, &c, DIALECT_FREEBSD_13);
	node_open(&n, &alive);
	node_run(&n, 18000);
	for (unsigned i = 0; i < FLOWS; i++) {
		struct tuples t = tuples_v4(PROTO_TCP, (uint8_t)(i / 1000 + 10),
					    (uint16_t)(i % 1000 + 1));

		node_open(&n, &t);
	}
	node_run(&n, 7000);
	(void)node_packet(&n, &alive, true);
	fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 100);
	looks = node_counter(&n, C_PROBES);
	refreshed = node_counter(&n, C_REFRESHED);
	node_run(&n, 9000);
	CHECK(view().answering);
	CHECK(node_counter(&n, C_PROBES) - looks <= 2);
	CHECK(node_counter(&n, C_REFRESHED) > refreshed);
	node_run(&n, 10000);
	CHECK(!view().answering);
	node_run(&n, 5000);
	CHECK(node_counter(&n, C_PROBES) - looks >= FLOWS);
	end();
}

/* Who asks for all states does not have each entry read for it, even after we stood still. */
static void asked_after_a_standstill(void)
{
	uint64_t looks;

	meet();
	for (unsigned i = 0; i < 500; i++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, (uint16_t)(i + 1));

		node_open(&n, &t);
	}
	node_run(&n, 1000);
	n.now += 6 * S;
	looks = node_counter(&n, C_PROBES);
	fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 2000);
	CHECK_EQ(node_said(&n, ACT_BUS), 2);
	CHECK_EQ(node_counter(&n, C_PROBES), looks);
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"asks at the start", asks_at_start},
		{"START, states, END, states", start_end},
		{"two peers answer", two_answers},
		{"the END of one is lost", other_end_lost},
		{"END alone", end_alone},
		{"nobody answers", no_answer},
		{"silence behind START", silence_after_start},
		{"a long bulk", long_bulk},
		{"the tail of a bulk", tail_of_a_bulk},
		{"a peer appears", a_peer_appears},
		{"only halves are seen", halves_only},
		{"a half falls silent", half_falls_silent},
		{"an empty table is answered", empty_table},
		{"3,000 flows", big},
		{"a request during a bulk", request_during_a_bulk},
		{"looks wait for an answer", looks_wait_for_an_answer},
		{"asked after a standstill", asked_after_a_standstill},
		{"the END is lost, and refreshes come", end_lost},
		{"a refresh in a bulk", refresh_in_a_bulk},
		{"died in its answer", died_in_its_answer},
		{"a bulk is not the whole picture", not_the_whole_picture},
		{"a link that only receives", receive_only},
		{"one state in a section", one_in_a_section},
	};

	return check_main("bulk", tests, sizeof(tests) / sizeof(tests[0]));
}
