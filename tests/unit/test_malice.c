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
	CHECK_EQ(peers(), 256);
	CHECK_EQ(node_refused(&n, R_PEERS), 2001 - 256);
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
	for (unsigned i = 0; i < 254; i++) {
		forge(&f, i);
		fake_bus(&f, &n, BUS_END);
	}
	fake_init(&b, DIALECT_OPENBSD, 3, 0x22);
	tell_many(&b, 20, 0, 1001);
	CHECK_EQ(peers(), 256);
	CHECK_EQ(node_refused(&n, R_MAX_STATES), 1001); /* with the one of the meeting */
	CHECK_EQ(node_refused(&n, R_MAX_RATE), 1);
	n.now += 1 * MS;
	fake_bus(&a, &n, BUS_END); /* all but one are heard later */
	for (unsigned i = 0; i < 254; i++) {
		forge(&f, i);
		fake_bus(&f, &n, BUS_END);
	}
	forge(&f, 1000);
	f.hostid = 0x77;
	tell_many(&f, 30, 0, 2); /* the first by the millisecond */
	CHECK_EQ(peers(), 256);
	CHECK_EQ(node_refused(&n, R_PEERS), 1);
	CHECK_EQ(node_refused(&n, R_MAX_RATE), 2);
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
	};

	return check_main("malice", tests, sizeof(tests) / sizeof(tests[0]));
}
