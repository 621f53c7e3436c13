/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interface names in states: of our flows by routes or by their mark, and other ones when those
 * change; of peers' flows as they were told.
 */
#include "check.h"
#include "model.h"

#include <stdio.h>
#include <string.h>

enum { OURS = 0x0a0b0c0d, PEERS = 0x11223344 };

static struct node n;
static struct fake pf;

static void begin_with(enum dialect_id d, uint32_t mask)
{
	struct engine_config c = node_config(OURS);

	c.name_mask = mask;
	node_meet(&n, &pf, &c, d);
	n.interfaces = true;
}

static void begin(void)
{
	begin_with(DIALECT_FREEBSD_15, 0);
}

static void end(void)
{
	CHECK_STR(n.wrong ? n.wrong : "", "");
	node_stop(&n);
}

/* By the last INS of that direction. */
static const char *bound(uint8_t direction)
{
	const struct said *m, *last = NULL;

	for (size_t i = 0; (m = node_half(&n, ACT_INS, direction, i)); i++)
		last = m;
	if (!last)
		return "not told";
	CHECK_STR(last->s.orig_ifname, strcmp(last->s.ifname, "all") ? last->s.ifname : "");
	return last->s.ifname;
}

static void routes(const char *in, const char *out)
{
	n.route[0] = in;
	n.route[1] = out;
	engine_on_routes(n.e, n.now);
	n.next = n.now;
	node_quiet(&n);
	node_run(&n, 12000);
}

static void open_one(uint8_t proto)
{
	struct tuples t = tuples_v4(proto, 10, 1000);

	node_open(&n, &t);
	node_run(&n, 200);
}

static void by_routes(void)
{
	begin();
	open_one(PROTO_TCP);
	CHECK_STR(bound(PF_IN), "em0");
	CHECK_STR(bound(PF_OUT), "em1");
	CHECK_EQ(n.routes_asked, 1);
	fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 5000);
	CHECK_EQ(n.routes_asked, 1); /* once in its life */
	CHECK_STR(node_half(&n, ACT_UPD, PF_OUT, 0)->s.ifname, "em1");
	CHECK_STR(node_half(&n, ACT_UPD, PF_OUT, 0)->s.orig_ifname, "em1");
	end();
}

/* Interfaces without a name, or nothing known of them. */
static void all_else(void)
{
	static const char *const unknown[] = {"all", ""};

	for (int i = 0; i < 2; i++) {
		begin();
		n.route[0] = unknown[i];
		open_one(PROTO_UDP);
		CHECK_STR(bound(PF_IN), "all");
		CHECK_STR(bound(PF_OUT), "em1");
		fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
		node_run(&n, 5000);
		CHECK_EQ(n.routes_asked, 1);
		end();
	}
}

/* What peers hold of a flow that uses another interface now is replaced, under the same name. */
static void route_changes(void)
{
	uint64_t id[2];

	for (int proto = PROTO_TCP; proto <= PROTO_UDP; proto += PROTO_UDP - PROTO_TCP) {
		begin();
		open_one((uint8_t)proto);
		id[0] = node_half(&n, ACT_INS, PF_IN, 0)->id;
		id[1] = node_half(&n, ACT_INS, PF_OUT, 0)->id;
		routes("em0", "em1"); /* the same */
		CHECK_EQ(node_said(&n, ACT_INS) + node_said(&n, ACT_DEL_C), 0);
		routes("em0", "em2");
		CHECK_STR(bound(PF_IN), "not told");
		CHECK_STR(bound(PF_OUT), "em2");
		CHECK_EQ(node_said(&n, ACT_DEL_C), 1);
		CHECK(node_about(&n, ACT_DEL_C, id[1], OURS) != NULL);
		CHECK(node_about(&n, ACT_INS, id[1], OURS) != NULL);
		routes("", ""); /* no route for a moment: it stays bound where it was */
		CHECK_EQ(node_said(&n, ACT_INS) + node_said(&n, ACT_DEL_C), 0);
		routes("all", "em2");
		CHECK_STR(bound(PF_IN), "all");
		CHECK_STR(bound(PF_OUT), "not told");
		CHECK(node_about(&n, ACT_DEL_C, id[0], OURS) != NULL);
		end();
	}
}

/* A configuration that is read again may give them other names. */
static void reload(void)
{
	begin();
	open_one(PROTO_TCP);
	n.route[1] = "igb1";
	node_quiet(&n);
	engine_reload(n.e, &n.config, n.now);
	n.next = n.now;
	node_run(&n, 500);
	CHECK_STR(bound(PF_IN), "not told");
	CHECK_STR(bound(PF_OUT), "igb1");
	CHECK_EQ(node_said(&n, ACT_DEL_C), 1);
	end();
}

/* Routes that change all the time are followed ever more seldom; one change is followed at once. */
static void routes_flap(void)
{
	begin();
	open_one(PROTO_TCP);
	n.routes_asked = 0;
	for (int i = 0; i < 700; i++) {
		engine_on_routes(n.e, n.now);
		node_run(&n, 100);
	}
	CHECK_EQ(n.routes_asked, 6); /* after 0.2, 2.2, 6.2, 14.2, 30.2 and 62.2 s */
	node_run(&n, 200000);
	n.routes_asked = 0;
	for (int i = 0; i < 4; i++) { /* several come together */
		engine_on_routes(n.e, n.now);
		node_run(&n, 10);
	}
	CHECK_EQ(n.routes_asked, 0);
	node_run(&n, 190);
	CHECK_EQ(n.routes_asked, 1);
	end();
}

/* It is the peer's, and bound where the peer has it, whatever routes say here. */
static void of_peers(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1000);
	struct pf_state in, out;

	for (int d = 0; d < DIALECT_COUNT; d++) {
		begin_with((enum dialect_id)d, 0);
		in = fake_half(&pf, &t, PF_IN, 10);
		out = fake_half(&pf, &t, PF_OUT, 11);
		memcpy(in.ifname, "igb5", 5);
		memcpy(out.ifname, "igb6", 5);
		fake_state(&pf, &n, ACT_INS, &in);
		fake_state(&pf, &n, ACT_INS, &out);
		CHECK(node_entry(&n, &t) != NULL);
		CHECK_EQ(n.notes[NOTE_IFNAME], 2);
		fake_state(&pf, &n, ACT_UPD, &out);
		fake_id(&pf, &n, ACT_UPD_REQ, 11, PEERS);
		CHECK_STR(node_about(&n, ACT_UPD, 11, PEERS)->s.ifname, "igb6");
		node_quiet(&n);
		(void)node_packet(&n, &t, false); /* taken over, and replaced */
		(void)node_packet(&n, &t, true);
		node_run(&n, 200);
		CHECK_STR(node_about(&n, ACT_INS, 10, PEERS)->s.ifname, "igb5");
		CHECK_STR(node_about(&n, ACT_INS, 11, PEERS)->s.ifname, "igb6");
		routes("em3", "em4");
		CHECK_EQ(node_said(&n, ACT_DEL_C), 0);
		CHECK_EQ(n.routes_asked, 0);
		CHECK_EQ(n.notes[NOTE_IFNAME], 2); /* once for each name */
		end();
	}
}

/* A half that the peer never told is made up here, and is bound where it is here. */
static void half_of_ours(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1000);
	struct pf_state in;

	begin();
	in = fake_half(&pf, &t, PF_IN, 10);
	memcpy(in.ifname, "em0", 4);
	fake_state(&pf, &n, ACT_INS, &in);
	node_quiet(&n);
	(void)node_packet(&n, &t, false);
	(void)node_packet(&n, &t, true);
	node_run(&n, 200);
	CHECK_STR(node_about(&n, ACT_INS, 10, PEERS)->s.ifname, "em0");
	CHECK_EQ(node_half(&n, ACT_INS, PF_OUT, 0)->creatorid, OURS);
	CHECK_STR(node_half(&n, ACT_INS, PF_OUT, 0)->s.ifname, "em1");
	end();
}

/* A change of routes that nobody has told of yet changes nothing of what peers hold. */
static void before_the_walk(void)
{
	begin();
	open_one(PROTO_UDP);
	node_quiet(&n);
	n.route[0] = "em5";
	n.route[1] = "em6";
	fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 1000);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 0);
	CHECK_STR(node_half(&n, ACT_UPD, PF_IN, 0)->s.ifname, "em0");
	routes("em5", "em6");
	CHECK_STR(bound(PF_IN), "em5");
	CHECK_STR(bound(PF_OUT), "em6");
	CHECK_EQ(node_said(&n, ACT_DEL_C), 2);
	end();
}

/* A rule has written into the mark where the flow enters and leaves; it is told so at once. */
static void by_mark(void)
{
	struct model_entry *m;
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1000);

	begin_with(DIALECT_FREEBSD_14, 0xffff);
	n.mark = 0xabcd0305;
	open_one(PROTO_UDP);
	CHECK_STR(node_half(&n, ACT_INS, PF_IN, 0)->s.ifname, "vlan3");
	CHECK_STR(node_half(&n, ACT_INS, PF_OUT, 0)->s.ifname, "vlan5");
	routes("em3", "em4"); /* nothing to do with it */
	CHECK_EQ(node_said(&n, ACT_INS) + node_said(&n, ACT_DEL_C), 0);
	m = node_entry(&n, &t);
	if (!CHECK(m != NULL))
		return;
	m->k.mark = 0xabcd0307; /* a rule has written it anew */
	node_quiet(&n);
	engine_resync(n.e, n.now);
	n.next = n.now;
	node_run(&n, 500);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 1);
	CHECK_STR(node_half(&n, ACT_INS, PF_OUT, 0)->s.ifname, "vlan7");
	end();
}

/* Half of the mark tells nothing, or no bit of it: routes do. Other bits are somebody else's. */
static void mark_without_numbers(void)
{
	begin_with(DIALECT_FREEBSD_15, 0xffff);
	n.mark = 0x00000300;
	open_one(PROTO_UDP);
	CHECK_STR(bound(PF_IN), "vlan3");
	CHECK_STR(bound(PF_OUT), "em1");
	end();
	begin_with(DIALECT_FREEBSD_15, 0xffff);
	n.mark = 0x77770000;
	open_one(PROTO_UDP);
	CHECK_STR(bound(PF_IN), "em0");
	routes("em0", "em2");
	CHECK_STR(bound(PF_OUT), "em2");
	end();
	begin(); /* not configured */
	n.mark = 0x00000305;
	open_one(PROTO_UDP);
	CHECK_STR(bound(PF_IN), "em0");
	end();
}

/* Our own states that a peer tells back after a restart stay bound as they are. */
static void told_back(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1000);
	struct pf_state half[2];

	begin();
	open_one(PROTO_UDP);
	for (int h = 0; h < 2; h++)
		half[h] = node_half(&n, ACT_INS, h ? PF_OUT : PF_IN, 0)->s;
	memset(half[0].ifname, 0, sizeof(half[0].ifname));
	memcpy(half[0].ifname, "all", 4);
	node_restart(&n);
	n.routes_asked = 0;
	node_quiet(&n);
	(void)node_settle(&n);
	fake_bus(&pf, &n, BUS_START);
	for (int h = 0; h < 2; h++) {
		half[h].af = half[h].stack_af = 4; /* as a builder wants it */
		fake_state(&pf, &n, ACT_UPD, &half[h]);
	}
	fake_bus(&pf, &n, BUS_END);
	node_begin(&n);
	(void)node_packet(&n, &t, false);
	(void)node_packet(&n, &t, true);
	fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 6000);
	CHECK_EQ(node_said(&n, ACT_INS) + node_said(&n, ACT_DEL_C), 0);
	CHECK_STR(node_half(&n, ACT_UPD, PF_IN, 0)->s.ifname, "all");
	CHECK_STR(node_half(&n, ACT_UPD, PF_OUT, 0)->s.ifname, "em1");
	CHECK_EQ(n.routes_asked, 0);
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"by routes", by_routes},
		{"no name, or nothing known", all_else},
		{"another route", route_changes},
		{"other names after a reload", reload},
		{"routes that flap", routes_flap},
		{"names of peers are kept", of_peers},
		{"a half of ours of a peer's flow", half_of_ours},
		{"told before the change is known", before_the_walk},
		{"by the mark", by_mark},
		{"a mark without numbers", mark_without_numbers},
		{"told back after a restart", told_back},
	};

	return check_main("names", tests, sizeof(tests) / sizeof(tests[0]));
}
