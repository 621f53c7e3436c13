/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several dialects on one link: who speaks what is learned from each, and each gets what it can
 * read, also of what the others say.
 */
#include "check.h"
#include "model.h"
#include "xlat.h"

#include <string.h>

enum { AS = 0x11111111, RELAYS = 0x33333333 };

static struct node n;
static struct fake a, b;
static struct engine_config config;

/* Peer a on the first link, b on the same one or on the second. */
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

/* Layouts of one header version: the states in the others, what all can read not at all. */
static void another_layout(void)
{
	static const enum dialect_id pair[][2] = {
		{DIALECT_FREEBSD_13, DIALECT_FREEBSD_15},
		{DIALECT_FREEBSD_15, DIALECT_FREEBSD_13},
		{DIALECT_FREEBSD_14, DIALECT_FREEBSD_15},
		{DIALECT_FREEBSD_13, DIALECT_FREEBSD_14},
	};

	for (size_t i = 0; i < sizeof(pair) / sizeof(pair[0]); i++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
		struct pf_state s;

		begin(pair[i][0], pair[i][1], 0);
		fake_tells(&a, &n, &t, 100);
		node_run(&n, 2000);
		CHECK_EQ(node_talk(&n, 0), 2);
		CHECK_EQ(fake_times(&b, &n, ACT_INS, 100), 1);
		CHECK_EQ(fake_times(&b, &n, ACT_INS, 101), 1);
		node_quiet(&n);
		s = fake_later(&a, &t, PF_IN, 100);
		fake_upd_c(&a, &n, &s);
		node_run(&n, 1000);
		CHECK_EQ(node_times(&n, 0, ACT_UPD_C, 0), 0);
		CHECK_EQ(fake_times(&a, &n, ACT_UPD, 100), 0);
		fake_deletes(&a, &n, 100, AS);
		node_run(&n, 1000);
		CHECK_EQ(node_times(&n, 0, ACT_DEL_C, 0), 0);
		end();
	}
}

/* FreeBSD and OpenBSD on one link do not read each other's headers: all of it is told on. So is
 * what waits here for the command to enter the kernel. */
static void another_version(void)
{
	for (int takeover = 0; takeover < 2; takeover++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
		struct pf_state s;

		config = config_between(&a, DIALECT_FREEBSD_13, &b, DIALECT_OPENBSD, 0);
		config.takeover = takeover;
		node_between(&n, &a, &b, &config);
		fake_tells(&a, &n, &t, 100);
		node_run(&n, 2000);
		CHECK_EQ(node_entry(&n, &t) != NULL, !takeover);
		CHECK_EQ(node_talk(&n, 0), 2);
		CHECK_EQ(fake_times(&b, &n, ACT_INS, 100), 1);
		node_quiet(&n);
		s = fake_later(&a, &t, PF_IN, 100);
		fake_upd_c(&a, &n, &s);
		node_run(&n, 1000);
		CHECK_EQ(node_times(&n, 0, ACT_UPD_C, 100) + node_times(&n, 0, ACT_UPD, 100), 1);
		fake_deletes(&a, &n, 100, AS);
		node_run(&n, 1000);
		CHECK_EQ(node_times(&n, 0, ACT_DEL_C, 100), 1);
		for (size_t i = 0; i < n.saids; i++)
			CHECK_EQ(n.said[i].version, PFSYNC_VERSION_OPENBSD);
		fake_clr(&a, &n, AS, "");
		node_run(&n, 1000);
		CHECK_EQ(node_times(&n, 0, ACT_CLR, 0), 1);
		end();
	}
}

/* Who does not know a layout loses the rest of its packet; what all read they read once. */
static void packets_of_their_own(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct flow_view v;

	begin(DIALECT_FREEBSD_13, DIALECT_FREEBSD_15, 0);
	node_open(&n, &t);
	node_run(&n, 1000);
	CHECK(node_flow(&n, &t, &v));
	CHECK_EQ(node_times(&n, 0, ACT_INS, 0), 4);
	for (size_t i = 0; i < n.saids; i++)
		for (size_t j = 0; j < n.saids; j++)
			if (n.said[i].packet == n.said[j].packet)
				CHECK_EQ(n.said[i].layout, n.said[j].layout);
	CHECK_EQ(n.said[0].layout, LAYOUT_1500); /* the newest first */
	node_quiet(&n);
	node_close(&n, &t, false);
	node_run(&n, 1000);
	CHECK_EQ(node_times(&n, 0, ACT_UPD_C, v.half[0].id), 1);
	CHECK_EQ(node_times(&n, 0, ACT_UPD_C, v.half[1].id), 1);
	node_quiet(&n);
	node_kill(&n, &t);
	node_run(&n, 1000);
	CHECK_EQ(node_times(&n, 0, ACT_DEL_C, v.half[0].id), 1);
	end();
}

/* What comes into use later is told what was told before it was there. */
static void a_new_dialect(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);

	config = config_between(&a, DIALECT_FREEBSD_13, &b, DIALECT_FREEBSD_15, 0);
	node_start(&n, &config, 2, 1000 * S);
	(void)node_settle(&n);
	fake_greet(&a, &n);
	node_begin(&n);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 5000);
	CHECK_EQ(node_times(&n, 0, ACT_INS, 100), 0);
	fake_greet(&b, &n);
	node_run(&n, 5000);
	CHECK_EQ(node_times(&n, 0, ACT_INS, 100), 1);
	CHECK_EQ(fake_times(&b, &n, ACT_INS, 100), 1);
	CHECK_EQ(fake_times(&b, &n, ACT_INS, 101), 1);
	end();
}

static void a_new_dialect_elsewhere(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct fake c;

	begin(DIALECT_OPENBSD, DIALECT_FREEBSD_13, 1);
	fake_tells(&a, &n, &t, 100);
	node_run(&n, 5000);
	CHECK_EQ(fake_times(&b, &n, ACT_INS, 100), 1);
	fake_init(&c, DIALECT_FREEBSD_15, 4, 0x44444444);
	fake_move(&c, 1);
	fake_greet(&c, &n);
	node_run(&n, 5000);
	CHECK_EQ(fake_times(&c, &n, ACT_INS, 100), 1);
	CHECK_EQ(fake_times(&c, &n, ACT_INS, 101), 1);
	CHECK_EQ(node_talk(&n, 0), 0);
	/* what both can read is said once */
	node_quiet(&n);
	fake_deletes(&a, &n, 100, AS);
	node_run(&n, 1000);
	CHECK_EQ(node_times(&n, 1, ACT_DEL_C, 100), 1);
	fake_clr(&a, &n, AS, "");
	node_run(&n, 1000);
	CHECK_EQ(node_times(&n, 1, ACT_CLR, 0), 1);
	CHECK_EQ(node_talk(&n, 0), 0);
	end();
}

/* FreeBSD 13 and 14 key ICMP in one of two ways; who has shown which gets it so. */
static void keys_of_icmp(void)
{
	for (int typed = 0; typed < 2; typed++) {
		struct tuples t = tuples_v4(PROTO_ICMP, 10, 777);
		struct tuples mine = tuples_v4(PROTO_ICMP, 11, 888);
		struct tuples from_b = tuples_v4(PROTO_ICMP, 12, 999);
		struct pf_state s;
		struct pf_key key[2];
		struct flow_view v;
		struct peer_view p;
		const struct said *m;

		begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
		s = fake_half(&a, &t, PF_IN, 100);
		xlat_keys(&t, PF_IN, typed, s.key);
		CHECK(engine_peer_view(n.e, 0, &p) && !p.icmp_told);
		fake_state(&a, &n, ACT_INS, &s);
		CHECK(engine_peer_view(n.e, 0, &p) && p.icmp_told);
		CHECK_EQ(p.icmp_typed, typed);
		node_open(&n, &mine);
		fake_tells(&b, &n, &from_b, 200);
		node_run(&n, 1000);
		CHECK(node_flow(&n, &mine, &v));
		m = node_on(&n, 0, ACT_INS, v.half[0].id);
		if (CHECK(m != NULL)) {
			xlat_keys(&mine, m->s.direction, typed, key);
			CHECK(same_keys(m->s.key, key));
		}
		m = node_on(&n, 0, ACT_INS, 200);
		xlat_keys(&from_b, PF_IN, typed, key);
		if (CHECK(m != NULL))
			CHECK(same_keys(m->s.key, key));
		/* OpenBSD's are what they are */
		m = node_on(&n, 1, ACT_INS, 100);
		xlat_keys(&t, PF_IN, true, key);
		if (CHECK(m != NULL))
			CHECK(same_keys(m->s.key, key));
		end();
	}
}

/* What the other dialect has no field for is lost and counted; what it cannot say is not said. */
static void beyond_words(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 4000), u = tuples_v4(PROTO_UDP, 10, 4001);
	struct pf_state s;

	begin(DIALECT_FREEBSD_15, DIALECT_FREEBSD_13, 1);
	s = fake_half(&a, &t, PF_IN, 100);
	memcpy(s.tag, "guests", 7);
	fake_state(&a, &n, ACT_INS, &s);
	node_run(&n, 1000);
	CHECK_EQ(fake_times(&b, &n, ACT_INS, 100), 1);
	CHECK_EQ(node_refused(&n, R_OPTIONS_LOST), 1);
	CHECK_EQ(node_refused(&n, R_UNTOLD), 0);
	s = fake_half(&a, &u, PF_IN, 200);
	s.rt = 1;
	s.rt_af = 4;
	memcpy(s.rt_addr, (uint8_t[]){192, 0, 2, 99}, 4);
	memcpy(s.rt_ifname, "em0", 4);
	fake_state(&a, &n, ACT_INS, &s);
	node_run(&n, 1000);
	CHECK_EQ(node_flows(&n), 2);
	CHECK_EQ(node_times(&n, 1, ACT_INS, 200), 0);
	CHECK_EQ(node_refused(&n, R_UNTOLD), 1);
	end();
}

/* One that speaks both header versions follows the pf nodes: what they speak is spoken. */
static void followed_by_another(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000), u = tuples_v4(PROTO_TCP, 10, 40001);
	struct fake five, six;

	begin(DIALECT_FREEBSD_13, DIALECT_OPENBSD, 1);
	fake_init(&five, DIALECT_FREEBSD_13, 4, RELAYS);
	fake_init(&six, DIALECT_OPENBSD, 4, RELAYS);
	for (int i = 0; i < 2; i++) { /* in both, as who has not heard of any pf yet */
		fake_id(&five, &n, ACT_UPD_REQ, 77, 77);
		fake_id(&six, &n, ACT_UPD_REQ, 77, 77);
	}
	node_run(&n, 1000);
	node_quiet(&n);
	node_open(&n, &t);
	node_run(&n, 1000);
	CHECK_EQ(node_times(&n, 0, ACT_INS, 0), 2);
	for (size_t i = 0; i < n.saids; i++)
		if (n.said[i].link == 0)
			CHECK_EQ(n.said[i].version, PFSYNC_VERSION_FREEBSD);
	/* and all on its link have heard what it says */
	node_quiet(&n);
	fake_tells(&six, &n, &u, 600);
	node_run(&n, 1000);
	CHECK_EQ(node_talk(&n, 0), 0);
	CHECK_EQ(fake_times(&b, &n, ACT_INS, 600), 1);
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"another layout", another_layout},
		{"another version", another_version},
		{"packets of their own", packets_of_their_own},
		{"a new dialect", a_new_dialect},
		{"a new dialect elsewhere", a_new_dialect_elsewhere},
		{"keys of ICMP", keys_of_icmp},
		{"beyond words", beyond_words},
		{"followed by another", followed_by_another},
	};

	return check_main("dialects", tests, sizeof(tests) / sizeof(tests[0]));
}
