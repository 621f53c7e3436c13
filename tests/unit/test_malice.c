/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Peers that mean harm, or are forged: what they get is bounded, and the others do not suffer. */
#include "check.h"
#include "model.h"

static struct node n;
static struct fake a, b;

/* A flow of its own for each number. */
static struct tuples flow_of(uint8_t client, unsigned number)
{
	return tuples_v4(PROTO_UDP, client, (uint16_t)(1000 + number));
}

/* A peer tells count flows, each by its entering half; names from first on. */
static void tell_many(struct fake *f, uint8_t client, unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++) {
		struct tuples t = flow_of(client, i);
		struct pf_state s = fake_half(f, &t, PF_IN, 10 + i);

		fake_state(f, &n, ACT_INS, &s);
	}
}

static uint32_t held_by(const struct fake *f)
{
	struct peer_view v;

	for (size_t i = 0; engine_peer_view(n.e, i, &v); i++)
		if (!memcmp(v.addr.addr, f->address.addr, 4))
			return v.held;
	return UINT32_MAX;
}

/* Two peers on the link, of which the first one has a hundred flows to take. */
static void meet_two(uint32_t peer_max_states)
{
	struct engine_config c = node_config(0x101);

	c.max_states = 100;
	c.peer_max_states = peer_max_states;
	node_meet(&n, &a, &c, DIALECT_OPENBSD);
	fake_init(&b, DIALECT_OPENBSD, 3, 0x22);
}

/* ---- quotas ---------------------------------------------------------------------------- */

static void alone_it_may_have_all(void)
{
	meet_two(0);
	tell_many(&a, 10, 0, 110);
	CHECK_EQ(held_by(&a), 100);
	CHECK_EQ(node_refused(&n, R_MAX_STATES), 10);
	CHECK_EQ(node_flows(&n), 100);
	node_stop(&n);
}

static void two_share(void)
{
	meet_two(0);
	tell_many(&a, 10, 0, 30);
	tell_many(&b, 20, 0, 60);
	CHECK_EQ(held_by(&b), 50);
	CHECK_EQ(node_refused(&n, R_PEER_MAX_STATES), 10);
	tell_many(&a, 10, 30, 30); /* what is the other's was left for it */
	CHECK_EQ(held_by(&a), 50);
	CHECK_EQ(node_refused(&n, R_MAX_STATES), 10);
	node_stop(&n);
}

/* Nothing is taken away from who came first; as its flows end the other one gets its share. */
static void the_first_keeps_what_it_has(void)
{
	meet_two(0);
	tell_many(&a, 10, 0, 100);
	tell_many(&b, 20, 0, 1);
	CHECK_EQ(held_by(&a), 100);
	CHECK_EQ(held_by(&b), 0);
	CHECK_EQ(node_refused(&n, R_MAX_STATES), 1);
	for (unsigned i = 0; i < 10; i++)
		fake_id(&a, &n, ACT_DEL_C, 10 + i, a.hostid);
	CHECK_EQ(held_by(&a), 90);
	tell_many(&a, 10, 200, 1);
	CHECK_EQ(node_refused(&n, R_PEER_MAX_STATES), 1);
	tell_many(&b, 20, 0, 10);
	CHECK_EQ(held_by(&b), 10);
	node_stop(&n);
}

/* One that has told nothing new for a minute leaves all to the other. */
static void the_idle_do_not_count(void)
{
	meet_two(0);
	tell_many(&b, 20, 0, 1);
	tell_many(&a, 10, 0, 60);
	CHECK_EQ(held_by(&a), 50);
	node_run(&n, 61000);
	tell_many(&a, 10, 300, 30); /* what was told a minute ago has run out */
	CHECK_EQ(held_by(&a), 30);
	tell_many(&a, 10, 400, 50);
	CHECK_EQ(held_by(&a), 80);
	node_stop(&n);
}

static void a_limit_for_each(void)
{
	meet_two(7);
	tell_many(&a, 10, 0, 10);
	tell_many(&b, 20, 0, 10);
	CHECK_EQ(held_by(&a), 7);
	CHECK_EQ(held_by(&b), 7);
	CHECK_EQ(node_refused(&n, R_PEER_MAX_STATES), 6);
	for (unsigned i = 0; i < 7; i++) /* freed as they end */
		fake_id(&a, &n, ACT_DEL_C, 10 + i, a.hostid);
	CHECK_EQ(held_by(&a), 0);
	tell_many(&a, 10, 0, 1);
	CHECK_EQ(held_by(&a), 1);
	node_stop(&n);
}

/* The quota is the source address's, whatever creators it names. */
static void creators_do_not_help(void)
{
	meet_two(7);
	for (unsigned i = 0; i < 1000; i++) {
		struct tuples t = flow_of(10, i);
		struct pf_state s = fake_half(&a, &t, PF_IN, 10 + i);

		s.creatorid = 0x5000 + i;
		fake_state(&a, &n, ACT_INS, &s);
	}
	CHECK_EQ(held_by(&a), 7);
	CHECK_EQ(node_flows(&n), 7);
	CHECK_EQ(node_refused(&n, R_PEER_MAX_STATES), 993);
	/* each new creator could be a peer that began anew; it is not asked each time */
	CHECK(node_counter(&n, C_BULK_REQUEST_OUT) <= 3);
	node_stop(&n);
}

/* Kept flows count too, and what they take is given back with them. */
static void kept_flows_count(void)
{
	meet_two(5);
	for (unsigned i = 0; i < 20; i++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, (uint16_t)(1000 + i));
		struct pf_state s = fake_half(&a, &t, PF_IN, 10 + i);

		s.src.seqdiff = 77;
		fake_state(&a, &n, ACT_INS, &s);
	}
	CHECK_EQ(held_by(&a), 5);
	CHECK_EQ(node_refused(&n, R_PEER_MAX_STATES), 15);
	fake_id(&a, &n, ACT_DEL_C, 10, a.hostid);
	CHECK_EQ(held_by(&a), 4);
	node_stop(&n);
}

/* ---- forged sources -------------------------------------------------------------------- */

static size_t peers(void)
{
	struct link_view l;

	return engine_link_view(n.e, 0, &l) ? l.peers : 0;
}

/* Another address for each number. */
static void forge(struct fake *f, unsigned number)
{
	fake_init(f, DIALECT_OPENBSD, 0, 0x66);
	f->address = address_v4(203, 0, 113, (uint8_t)(4 + number % 250));
	if (number >= 250)
		f->address = address_v4(10, 9, (uint8_t)(number >> 8), (uint8_t)number);
}

static struct engine_config open_to_all(void)
{
	static struct prefix any = {.family = 4};
	struct engine_config c = node_config(0x101);

	c.link[0].accept = (struct prefix_list){.prefix = &any, .count = 1};
	c.max_states = 1000;
	return c;
}

static void forged_sources(void)
{
	struct engine_config c = open_to_all();
	struct fake f;

	node_meet(&n, &a, &c, DIALECT_OPENBSD);
	tell_many(&a, 10, 0, 20);
	for (unsigned i = 0; i < 2000; i++) {
		struct tuples t = flow_of((uint8_t)(20 + i % 200), i);
		struct pf_state s;

		forge(&f, i);
		s = fake_half(&f, &t, PF_IN, 10 + i);
		fake_state(&f, &n, ACT_INS, &s);
	}
	CHECK_EQ(peers(), 255);
	CHECK_EQ(node_refused(&n, R_PEERS), 2001 - 255);
	/* together they have no more than their shares, and the real one has what it had */
	CHECK(node_flows(&n) <= 1000);
	CHECK_EQ(held_by(&a), 20);
	for (unsigned i = 0; i < 20; i++)
		fake_id(&a, &n, ACT_DEL_C, 10 + i, a.hostid);
	CHECK_EQ(held_by(&a), 0);
	node_stop(&n);
}

/* A new address is no new allowance: the place comes with what was used up of it. */
static void forged_sources_and_the_rate(void)
{
	struct engine_config c = open_to_all();
	struct fake f;

	c.max_rate = 10;
	c.max_states = 0;
	node_meet(&n, &a, &c, DIALECT_OPENBSD);
	for (unsigned i = 0; i < 253; i++) {
		forge(&f, i);
		fake_bus(&f, &n, BUS_END);
	}
	fake_init(&b, DIALECT_OPENBSD, 3, 0x22);
	tell_many(&b, 20, 0, 1001);
	CHECK_EQ(peers(), 255);
	CHECK_EQ(node_refused(&n, R_MAX_STATES), 1001); /* with the one of the meeting */
	CHECK_EQ(node_refused(&n, R_MAX_RATE), 1);
	n.now += 1 * MS;
	fake_bus(&a, &n, BUS_END); /* all but one are heard later */
	for (unsigned i = 0; i < 253; i++) {
		forge(&f, i);
		fake_bus(&f, &n, BUS_END);
	}
	forge(&f, 1000);
	f.hostid = 0x77;
	tell_many(&f, 30, 0, 2); /* the first by the millisecond */
	CHECK_EQ(peers(), 255);
	CHECK_EQ(node_refused(&n, R_PEERS), 1);
	CHECK_EQ(node_refused(&n, R_MAX_RATE), 2);
	node_stop(&n);
}

/* ---- asking for more than it costs ------------------------------------------------------ */

/* A node with count UDP flows of its own, told to a peer. */
static void with_flows(unsigned count)
{
	struct engine_config c = node_config(0x101);

	c.udp = FROM_NEW;
	node_meet(&n, &a, &c, DIALECT_OPENBSD);
	for (unsigned i = 0; i < count; i++) {
		struct tuples t = flow_of(10, i);

		node_new(&n, &t);
	}
	node_run(&n, 200);
}

/* Every state is asked for again and again; it is answered at a pace, and our news get through. */
static void requests_are_paced(void)
{
	struct {
		uint64_t id;
		uint32_t creatorid;
	} told[500];
	struct tuples t = flow_of(77, 1);
	size_t count;

	with_flows(250);
	count = node_said(&n, ACT_INS);
	CHECK_EQ(count, 500);
	for (size_t i = 0; i < 500; i++) {
		told[i].id = node_nth(&n, ACT_INS, i)->id;
		told[i].creatorid = node_nth(&n, ACT_INS, i)->creatorid;
	}
	node_quiet(&n);
	for (size_t round = 0; round < 250; round++) {
		fake_begin(&a);
		for (size_t i = round % 5 * 100; i < round % 5 * 100 + 100; i++)
			(void)builder_add_id(&a.b, ACT_UPD_REQ, told[i].id, told[i].creatorid);
		fake_end(&a, &n);
	}
	CHECK_EQ(node_said(&n, ACT_UPD), 2000);
	CHECK_EQ(node_refused(&n, R_REQUEST_RATE), 23000);
	node_quiet(&n);
	node_new(&n, &t);
	node_run(&n, 20);
	CHECK(node_told(&n, &t, 0x101));
	node_run(&n, 1000); /* and then again */
	node_quiet(&n);
	fake_id(&a, &n, ACT_UPD_REQ, told[0].id, told[0].creatorid);
	CHECK_EQ(node_said(&n, ACT_UPD), 1);
	node_stop(&n);
}

/* One that refuses a state asks for it at each word of it: it is told a few times, not for ever. */
static void one_state_is_not_told_for_ever(void)
{
	const struct said *told;
	uint64_t id;
	uint32_t creatorid;

	with_flows(1);
	told = node_nth(&n, ACT_INS, 0);
	if (!CHECK(told != NULL))
		return;
	id = told->id;
	creatorid = told->creatorid;
	node_quiet(&n);
	for (int i = 0; i < 1000; i++)
		fake_id(&a, &n, ACT_UPD_REQ, id, creatorid);
	CHECK_EQ(node_said(&n, ACT_UPD), 5);
	CHECK_EQ(node_refused(&n, R_REQUEST_RATE), 995);
	node_run(&n, 1000);
	node_quiet(&n);
	fake_id(&a, &n, ACT_UPD_REQ, id, creatorid);
	CHECK_EQ(node_said(&n, ACT_UPD), 1);
	node_stop(&n);
}

/* Bulk requests of many sources: a few answers at once, then one a second for all of them. */
static void bulk_requests_are_paced(void)
{
	struct engine_config c = open_to_all();
	struct fake f;
	uint64_t before;

	c.udp = FROM_NEW;
	node_meet(&n, &a, &c, DIALECT_OPENBSD);
	before = node_counter(&n, C_BULK_ANSWER_OUT);
	for (unsigned i = 0; i < 3000; i++) {
		forge(&f, i % 600);
		fake_id(&f, &n, ACT_UPD_REQ, 0, 0);
		n.now += MS;
		(void)node_settle(&n);
	}
	CHECK_EQ(node_counter(&n, C_BULK_REQUEST_IN), 3000);
	CHECK(node_counter(&n, C_BULK_ANSWER_OUT) - before >= 3);
	CHECK(node_counter(&n, C_BULK_ANSWER_OUT) - before <= 9);
	CHECK(n.sents < 100); /* answers, and our own requests to whom we have not met */
	node_run(&n, 2000);
	before = node_counter(&n, C_BULK_ANSWER_OUT);
	fake_id(&a, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 1100);
	CHECK_EQ(node_counter(&n, C_BULK_ANSWER_OUT) - before, 1);
	node_stop(&n);
}

/* CLR of made-up creators: each could make us tell everything again. */
static void clears_are_paced(void)
{
	size_t told;

	with_flows(100);
	told = node_said(&n, ACT_INS);
	node_quiet(&n);
	for (unsigned i = 0; i < 3000; i++) {
		fake_clr(&a, &n, 0x9000 + i, "");
		n.now += MS;
		(void)node_settle(&n);
	}
	CHECK_EQ(node_counter(&n, C_CLR_IN), 3000);
	CHECK(node_said(&n, ACT_INS) >= told);
	CHECK(node_said(&n, ACT_INS) <= 9 * told);
	node_stop(&n);
}

/*
 * More CLRs than can be carried out at once wait, each creator once; what is cleared goes in the
 * end, and what was told later stays.
 */
static void many_clears(void)
{
	struct tuples later = flow_of(90, 1);
	struct pf_state s;

	meet_two(0);
	tell_many(&a, 10, 0, 100);
	for (int round = 0; round < 200; round++) { /* each looks at a hundred flows at once */
		fake_begin(&a);
		for (unsigned i = 0; i < 20; i++)
			(void)builder_add_clr(
				&a.b, &(struct msg_clr){.creatorid = 0x9000 + i + round % 2});
		fake_end(&a, &n);
	}
	CHECK(node_refused(&n, R_CLEARS) > 0);
	CHECK_EQ(node_flows(&n), 100);
	fake_clr(&a, &n, a.hostid, "");
	node_run(&n, 2000);
	fake_clr(&a, &n, a.hostid, "");
	CHECK_EQ(node_flows(&n), 0);
	s = fake_half(&a, &later, PF_IN, 5);
	fake_state(&a, &n, ACT_INS, &s);
	node_run(&n, 2000);
	CHECK_EQ(node_flows(&n), 1);
	node_stop(&n);
}

/* New sources in a row, each greeted as a peer that appears: what goes through the table ends. */
static void appearing_peers_stop_nothing(void)
{
	struct engine_config c = open_to_all();
	struct tuples gone = flow_of(10, 1400);
	struct model_entry *m;
	struct fake f;
	uint64_t swept;

	c.udp = FROM_NEW;
	node_meet(&n, &a, &c, DIALECT_OPENBSD);
	for (unsigned i = 0; i < 1500; i++) {
		struct tuples t = flow_of(10, i);

		node_new(&n, &t);
	}
	node_run(&n, 1000);
	m = node_entry(&n, &gone);
	CHECK(m != NULL);
	m->used = false; /* without an event */
	swept = node_counter(&n, C_SWEPT);
	n.hold_dumps = true;
	engine_on_overrun(n.e, n.now);
	node_run(&n, 3000);
	CHECK(n.dump_wanted);
	for (size_t i = 0; i < n.entries; i++)
		if (n.entry[i].used)
			engine_on_dump(n.e, &n.entry[i].k, n.now);
	engine_on_dump_end(n.e, true, n.now);
	n.dump_wanted = false;
	for (unsigned i = 0; i < 200; i++) {
		forge(&f, i);
		fake_begin(&f);
		(void)builder_add_bus(&f.b,
				      &(struct msg_bus){.creatorid = 0x66, .status = BUS_END});
		node_hear_raw(&n, &f.address, f.buf, builder_finish(&f.b));
		n.now += MS;
		(void)engine_run(n.e, n.now); /* once: between two packets there is no more */
	}
	CHECK_EQ(node_counter(&n, C_SWEPT), swept + 1);
	CHECK(node_counter(&n, C_BULK_REQUEST_OUT) < 5);
	node_stop(&n);
}

/* A bulk that never ends must not keep what the start found from being told. */
static void an_endless_bulk(void)
{
	struct engine_config c = node_config(0x101);
	struct tuples t = flow_of(10, 1), other = flow_of(11, 1);
	struct pf_state s;

	c.udp = FROM_NEW;
	node_start(&n, &c, 2, 1000 * S);
	fake_init(&a, DIALECT_OPENBSD, 1, 0x11);
	(void)node_plant(&n, &t, CT_TCP_NONE, CT_STATUS_SEEN_REPLY | CT_STATUS_CONFIRMED, 3600);
	(void)node_settle(&n);
	s = fake_half(&a, &other, PF_IN, 5);
	fake_bus(&a, &n, BUS_START);
	for (int i = 0; i < 610; i++) {
		fake_state(&a, &n, ACT_UPD, &s);
		node_run(&n, 1000);
	}
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	node_stop(&n);
}

/* ---- memory of what peers make up ------------------------------------------------------- */

/* Names of interfaces can be made up; those of our own interfaces still find room. */
static void interface_names(void)
{
	struct tuples t = flow_of(99, 1);

	meet_two(0);
	n.config.max_states = 1000;
	engine_reload(n.e, &n.config, n.now);
	for (unsigned i = 0; i < 300; i++) {
		struct tuples flow = flow_of(10, i);
		struct pf_state s = fake_half(&a, &flow, PF_IN, 10 + i);

		memcpy(s.ifname, "ix", 2);
		s.ifname[2] = (char)('A' + i / 26);
		s.ifname[3] = (char)('a' + i % 26);
		fake_state(&a, &n, ACT_INS, &s);
	}
	CHECK_EQ(node_flows(&n), 300);
	CHECK_EQ(node_refused(&n, R_IFNAMES), 300 - 221);
	n.interfaces = true;
	node_quiet(&n);
	node_open(&n, &t);
	node_run(&n, 200);
	CHECK_EQ(node_said(&n, ACT_INS), 2);
	CHECK_STR(node_half(&n, ACT_INS, PF_IN, 0)->s.ifname, "em0");
	node_stop(&n);
}

/* Updates of states that nobody has told: asked for, in packets of many, and no memory is used. */
static void unknown_updates(void)
{
	meet_two(0);
	for (unsigned round = 0; round < 100; round++) {
		fake_begin(&a);
		for (unsigned i = 0; i < 15; i++) {
			struct msg_upd_c u = {.id = 1000 + 15 * round + i, .creatorid = 5};

			u.timeout = PFTM_UDP_MULTIPLE;
			(void)builder_add_upd_c(&a.b, &u);
		}
		fake_end(&a, &n);
	}
	CHECK_EQ(node_refused(&n, R_UNKNOWN_ID), 1500);
	CHECK_EQ(node_said(&n, ACT_UPD_REQ), 1500);
	CHECK(n.sents <= 200);
	CHECK_EQ(node_flows(&n), 0);
	node_stop(&n);
}

/*
 * One name for many flows, and many names for one: a name is one flow's, and a flow has no more
 * than two.
 */
static void names_collide(void)
{
	meet_two(0);
	for (unsigned i = 0; i < 50; i++) {
		struct tuples t = flow_of(10, i);
		struct pf_state s = fake_half(&a, &t, PF_IN, 7);

		fake_state(&a, &n, ACT_INS, &s);
	}
	CHECK_EQ(node_flows(&n), 1); /* the last one: who has the name has it anew */
	CHECK_EQ(node_count(&n), 1);
	for (unsigned i = 0; i < 50; i++) {
		struct tuples t = flow_of(10, 49);
		struct pf_state s = fake_half(&a, &t, PF_IN, 100 + i);

		s.creatorid = 0x300 + i;
		fake_state(&a, &n, ACT_INS, &s);
	}
	CHECK_EQ(node_flows(&n), 1);
	CHECK_EQ(held_by(&a), 1);
	node_stop(&n);
}

/* Translations of one connection without end: the search for the right one is bounded. */
static void same_middle(void)
{
	meet_two(0);
	for (unsigned i = 0; i < 60; i++) {
		struct tuples t = flow_of(10, 1);
		struct pf_state s;

		tuples_dnat(&t, (uint8_t)(100 + i), 80);
		s = fake_half(&a, &t, PF_IN, 10 + i);
		s.creatorid = 0x400 + i;
		fake_state(&a, &n, ACT_INS, &s);
	}
	CHECK_EQ(node_flows(&n), 32);
	CHECK_EQ(node_refused(&n, R_KEY_CLASH), 60 - 32);
	node_stop(&n);
}

int main(void)
{
	static const struct check_test tests[] = {
		{"alone it may have all", alone_it_may_have_all},
		{"two share", two_share},
		{"the first keeps what it has", the_first_keeps_what_it_has},
		{"the idle do not count", the_idle_do_not_count},
		{"a limit for each", a_limit_for_each},
		{"creators do not help", creators_do_not_help},
		{"kept flows count", kept_flows_count},
		{"forged sources", forged_sources},
		{"forged sources and the rate", forged_sources_and_the_rate},
		{"requests are paced", requests_are_paced},
		{"one state is not told for ever", one_state_is_not_told_for_ever},
		{"bulk requests are paced", bulk_requests_are_paced},
		{"clears are paced", clears_are_paced},
		{"many clears", many_clears},
		{"appearing peers stop nothing", appearing_peers_stop_nothing},
		{"an endless bulk", an_endless_bulk},
		{"interface names", interface_names},
		{"unknown updates", unknown_updates},
		{"names collide", names_collide},
		{"the same middle", same_middle},
	};

	return check_main("malice", tests, sizeof(tests) / sizeof(tests[0]));
}
