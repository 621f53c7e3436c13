/* SPDX-License-Identifier: GPL-2.0-or-later */
/* commit = takeover: what peers tell waits in the table until the command, and after flush again.
 */
#include "check.h"
#include "model.h"

#include <errno.h>

enum { OURS = 0x0a0b0c0d, PEERS = 0x11223344, MANY = 1300 };

static struct node n;
static struct fake pf;

static void begin_in(bool takeover)
{
	struct engine_config c = node_config(OURS);

	c.takeover = takeover;
	node_meet(&n, &pf, &c, DIALECT_FREEBSD_13);
}

static void begin(void)
{
	begin_in(true);
}

static void end(void)
{
	CHECK_STR(n.wrong ? n.wrong : "", "");
	node_stop(&n);
}

static size_t waiting(void)
{
	struct engine_totals t;

	engine_totals_walked(n.e, &t);
	return t.waiting;
}

static void give_takeover(size_t want)
{
	CHECK_EQ(engine_takeover(n.e, n.now), want);
	node_run(&n, 100);
}

static void give_flush(size_t want)
{
	CHECK_EQ(engine_flush(n.e, n.now), want);
	node_run(&n, 100);
}

static uint32_t left(const struct tuples *t)
{
	struct model_entry *m = node_entry(&n, t);

	return m ? (uint32_t)((m->expires - n.now) / S) : 0;
}

static void waits_and_is_installed(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1), u = tuples_v6(PROTO_UDP, 10, 2);
	struct flow_view v;

	begin();
	fake_tells(&pf, &n, &t, 10);
	node_run(&n, 1000);
	CHECK_EQ(node_count(&n), 0);
	CHECK(node_flow(&n, &t, &v) && v.waiting && !v.in_kernel && v.remote);
	CHECK_EQ(waiting(), 1);
	give_takeover(1);
	CHECK(node_entry(&n, &t) != NULL);
	CHECK(node_flow(&n, &t, &v) && !v.waiting && v.in_kernel);
	fake_tells(&pf, &n, &u, 20); /* from now on at once */
	CHECK(node_entry(&n, &u) != NULL);
	give_takeover(0);
	CHECK_EQ(waiting(), 0);
	end();
}

static void tell_many(void)
{
	for (unsigned i = 0; i < MANY; i++) {
		struct tuples t = tuples_v4(PROTO_UDP, (uint8_t)(10 + i % 100),
					    (uint16_t)(1000 + i));

		fake_tells(&pf, &n, &t, 100 + 2 * i);
	}
}

/* More than one portion of a walk and one batch of the kernel. */
static void installs_in_batches(void)
{
	begin();
	tell_many();
	CHECK_EQ(node_count(&n), 0);
	give_takeover(MANY);
	CHECK_EQ(node_count(&n), MANY);
	CHECK_EQ(waiting(), 0);
	CHECK_EQ(node_counter(&n, C_COMMIT_CREATED), MANY);
	give_flush(MANY);
	CHECK_EQ(node_count(&n), 0);
	CHECK_EQ(waiting(), MANY);
	CHECK_EQ(node_counter(&n, C_COMMIT_DELETED), MANY);
	end();
}

/* What waits to be told, and is told at its own pace, holds up no takeover. */
static void installs_while_much_is_to_be_told(void)
{
	begin();
	tell_many();
	for (unsigned i = 0; i < 4 * MANY; i++) {
		struct tuples t = tuples_v4(PROTO_UDP, (uint8_t)(120 + i % 100),
					    (uint16_t)(1000 + i));

		node_open(&n, &t);
	}
	(void)engine_run(n.e, n.now);
	CHECK_EQ(engine_takeover(n.e, n.now), MANY);
	node_run(&n, 20);
	CHECK_EQ(waiting(), 0);
	end();
}

/* The way back is asked for before the way there is done. */
static void flush_stops_a_takeover(void)
{
	begin();
	tell_many();
	CHECK_EQ(engine_takeover(n.e, n.now), MANY);
	(void)engine_run(n.e, n.now);
	CHECK(node_count(&n) > 0 && node_count(&n) < MANY);
	(void)engine_flush(n.e, n.now);
	node_run(&n, 5000);
	CHECK_EQ(node_count(&n), 0);
	CHECK_EQ(waiting(), MANY);
	give_takeover(MANY);
	(void)engine_flush(n.e, n.now); /* and the other way round */
	(void)engine_run(n.e, n.now);
	CHECK(waiting() > 0 && waiting() < MANY);
	(void)engine_takeover(n.e, n.now);
	node_run(&n, 100);
	CHECK_EQ(node_count(&n), MANY);
	CHECK_EQ(waiting(), 0);
	end();
}

/* A flow that is told while it opens and goes on is installed with the time that it has by then. */
static void updates_while_waiting(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1), u = tuples_v4(PROTO_UDP, 10, 2);
	struct pf_state open = fake_half(&pf, &t, PF_IN, 10), udp;
	struct model_entry *m;

	begin();
	open = fake_half(&pf, &t, PF_IN, 10);
	udp = fake_half(&pf, &u, PF_IN, 20);
	open.src.state = PF_TCP_SYN_SENT;
	open.dst.state = 0;
	open.timeout = PFTM_TCP_FIRST;
	open.expire = 60;
	udp.expire = 60;
	fake_state(&pf, &n, ACT_INS, &open);
	fake_state(&pf, &n, ACT_INS, &udp);
	node_run(&n, 1000);
	open = fake_half(&pf, &t, PF_IN, 10);
	fake_upd_c(&pf, &n, &open);
	node_run(&n, 28000);
	fake_upd_c(&pf, &n, &udp);
	node_run(&n, 29500);
	give_takeover(2);
	m = node_entry(&n, &t);
	CHECK(m && m->k.tcp_state == CT_TCP_ESTABLISHED);
	CHECK(left(&t) > 86000);
	CHECK(left(&u) >= 28 && left(&u) <= 32); /* what is left of its minute */
	end();
}

/* The same by a full update, which says how long the state has. */
static void full_updates_while_waiting(void)
{
	struct tuples u = tuples_v4(PROTO_UDP, 10, 2);
	struct pf_state udp;

	begin();
	udp = fake_half(&pf, &u, PF_IN, 20);
	udp.expire = 60;
	fake_state(&pf, &n, ACT_INS, &udp);
	node_run(&n, 55000);
	udp.expire = 50;
	fake_state(&pf, &n, ACT_UPD, &udp);
	node_run(&n, 10000);
	give_takeover(1);
	CHECK(left(&u) >= 38 && left(&u) <= 41);
	end();
}

static void ends_while_waiting(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1), u = tuples_v4(PROTO_UDP, 10, 2);
	struct tuples w = tuples_v4(PROTO_TCP, 10, 3);

	begin();
	fake_tells(&pf, &n, &t, 10);
	fake_tells(&pf, &n, &u, 20);
	fake_tells(&pf, &n, &w, 30);
	CHECK_EQ(waiting(), 3);
	fake_id(&pf, &n, ACT_DEL_C, 10, PEERS);
	fake_id(&pf, &n, ACT_DEL_C, 11, PEERS);
	CHECK_EQ(waiting(), 2);
	node_run(&n, 62000); /* udp.multiple is a minute */
	CHECK_EQ(waiting(), 1);
	fake_clr(&pf, &n, PEERS, "");
	node_run(&n, 100);
	CHECK_EQ(node_flows(&n), 0);
	give_takeover(0);
	CHECK_EQ(node_count(&n), 0);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 0); /* nobody is told of the end of what is his */
	end();
}

/* flush takes it out of the kernel; it waits for the next time. What lives here stays. */
static void flush_withdraws(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1), u = tuples_v4(PROTO_TCP, 10, 2);
	struct tuples own = tuples_v4(PROTO_TCP, 10, 3), w = tuples_v4(PROTO_TCP, 10, 4);

	begin();
	node_open(&n, &own);
	fake_tells(&pf, &n, &t, 10);
	fake_tells(&pf, &n, &u, 20);
	give_takeover(2);
	(void)node_packet(&n, &u, false);
	(void)node_packet(&n, &u, true);
	for (int again = 0; again < 2; again++) {
		give_flush(again ? 0 : 1);
		CHECK(node_entry(&n, &t) == NULL);
		CHECK(node_entry(&n, &u) != NULL);
		CHECK(node_entry(&n, &own) != NULL);
		CHECK_EQ(waiting(), 1);
	}
	fake_tells(&pf, &n, &w, 30); /* it waits again */
	CHECK_EQ(waiting(), 2);
	give_takeover(2);
	CHECK(node_entry(&n, &t) && node_entry(&n, &w));
	CHECK(left(&t) > 86000);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 2); /* of u, which was taken over: replaced */
	end();
}

/* In direct mode it forgets them. */
static void flush_forgets(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);

	begin_in(false);
	fake_tells(&pf, &n, &t, 10);
	CHECK_EQ(node_count(&n), 1);
	give_flush(1);
	CHECK_EQ(node_flows(&n), 0);
	CHECK_EQ(node_count(&n), 0);
	end();
}

/* What the kernel refuses at the takeover is tried again, and is counted. */
static void refused_at_takeover(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);

	begin();
	fake_tells(&pf, &n, &t, 10);
	n.fail = ENOMEM;
	give_takeover(1);
	CHECK_EQ(node_count(&n), 0);
	CHECK_EQ(node_refused(&n, R_KERNEL_FULL), 1);
	CHECK_EQ(waiting(), 0);
	n.fail = 0;
	node_run(&n, 20000);
	CHECK(node_entry(&n, &t) != NULL);
	end();
}

/* pf holds a packet back until somebody has its state; a waiting one is as safe as an entry. */
static void acknowledged_while_waiting(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	struct pf_state s;

	begin();
	s = fake_half(&pf, &t, PF_IN, 10);
	s.state_flags |= PF_FLAG_ACK;
	fake_state(&pf, &n, ACT_INS, &s);
	node_run(&n, 100);
	CHECK(node_about(&n, ACT_INS_ACK, 10, PEERS) != NULL);
	node_quiet(&n);
	give_takeover(1);
	CHECK_EQ(node_said(&n, ACT_INS_ACK), 0);
	end();
}

/* The daemon begins anew: it stands back, but what is in the kernel stays there. */
static void restart(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1), u = tuples_v4(PROTO_TCP, 10, 2);

	begin();
	fake_tells(&pf, &n, &t, 10);
	give_takeover(1);
	node_restart(&n);
	(void)node_settle(&n);
	fake_bus(&pf, &n, BUS_START);
	fake_tells(&pf, &n, &t, 10);
	fake_bus(&pf, &n, BUS_END);
	node_begin(&n);
	CHECK(node_entry(&n, &t) != NULL);
	fake_tells(&pf, &n, &u, 20);
	CHECK(node_entry(&n, &u) == NULL);
	CHECK_EQ(waiting(), 1);
	give_flush(1);
	CHECK_EQ(node_count(&n), 0);
	CHECK_EQ(waiting(), 2);
	end();
}

/* An entry whose traffic passed here once, before the start, and elsewhere since: a peer tells the
 * flow before the first dump shows it. Whether its packets pass here shows when we look. */
static void restart_after_its_traffic_left(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);
	const uint32_t status = CT_STATUS_CONFIRMED | CT_STATUS_SEEN_REPLY | CT_STATUS_ASSURED;

	for (int passes = 0; passes < 2; passes++) {
		struct flow_view v;

		begin();
		n.hold_dumps = true;
		node_restart(&n);
		(void)node_plant(&n, &t, CT_TCP_ESTABLISHED, status, 40);
		(void)node_settle(&n);
		fake_bulk(&pf, &n, &t, 10);
		n.hold_dumps = false;
		node_begin(&n);
		if (passes)
			CHECK(node_packet(&n, &t, true));
		node_run(&n, 5000);
		CHECK(node_flow(&n, &t, &v) && v.live == passes);
		CHECK_EQ(node_counter(&n, C_TAKEN_OVER), passes);
		node_run(&n, 60000);
		CHECK_EQ(node_said(&n, ACT_DEL_C), passes ? 2 : 0); /* strict ones are replaced */
		end();
	}
}

/* SIGHUP with another commit. */
static void reload(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1), u = tuples_v4(PROTO_TCP, 10, 2);
	struct tuples w = tuples_v4(PROTO_TCP, 10, 3);

	begin();
	fake_tells(&pf, &n, &t, 10);
	n.config.takeover = false;
	engine_reload(n.e, &n.config, n.now);
	node_run(&n, 100);
	CHECK(node_entry(&n, &t) != NULL);
	fake_tells(&pf, &n, &u, 20);
	CHECK(node_entry(&n, &u) != NULL);
	(void)engine_takeover(n.e, n.now); /* means nothing in this mode */
	n.config.takeover = true;
	engine_reload(n.e, &n.config, n.now);
	fake_tells(&pf, &n, &w, 30);
	node_run(&n, 100);
	CHECK_EQ(node_count(&n), 2);
	CHECK_EQ(waiting(), 1);
	end();
}

/* Its packets come here before the command: the kernel makes the entry by itself. */
static void traffic_without_the_command(void)
{
	struct tuples t = tuples_v4(PROTO_UDP, 10, 1);
	struct flow_view v;

	begin();
	fake_tells(&pf, &n, &t, 10);
	node_open(&n, &t);
	node_run(&n, 100);
	CHECK(node_flow(&n, &t, &v) && v.live && v.in_kernel && !v.waiting);
	CHECK_EQ(node_flows(&n), 1);
	give_flush(0);
	CHECK(node_entry(&n, &t) != NULL);
	end();
}

/* Who asks for all states gets those that wait, too. */
static void told_on_request(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);

	begin();
	fake_tells(&pf, &n, &t, 10);
	fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 3000);
	CHECK(node_about(&n, ACT_UPD, 10, PEERS) && node_about(&n, ACT_UPD, 11, PEERS));
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"imported flows wait for the command", waits_and_is_installed},
		{"many are installed in batches", installs_in_batches},
		{"much is to be told meanwhile", installs_while_much_is_to_be_told},
		{"flush stops a takeover", flush_stops_a_takeover},
		{"updates while waiting", updates_while_waiting},
		{"full updates while waiting", full_updates_while_waiting},
		{"what ends while waiting", ends_while_waiting},
		{"flush withdraws", flush_withdraws},
		{"flush forgets in direct mode", flush_forgets},
		{"what the kernel refuses", refused_at_takeover},
		{"acknowledged while waiting", acknowledged_while_waiting},
		{"restart", restart},
		{"restart after its traffic left", restart_after_its_traffic_left},
		{"reload", reload},
		{"traffic without the command", traffic_without_the_command},
		{"told on request", told_on_request},
	};

	return check_main("held", tests, sizeof(tests) / sizeof(tests[0]));
}
