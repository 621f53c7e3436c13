/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two and three engines on one wire that loses, repeats, delays and so reorders packets. A flow
 * whose traffic passes somewhere must never be deleted there; when the wire is good again all
 * know the same flows under the same names; and when nothing changes any more, nobody speaks.
 */
#include "check.h"
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES_MAX = 3, FLOWS = 24, WIRE_MAX = 4096 };

struct flying {
	uint64_t at;
	int from, to;
	size_t len;
	uint8_t data[1500];
};

static struct node node[NODES_MAX];
static int nodes;
static uint64_t now;
static struct flying wire[WIRE_MAX];
static size_t flying;
static unsigned loss, twice, delay_ms; /* percent, percent, at most */
static size_t packets;

struct conn {
	struct tuples t;
	bool alive;
	bool passed; /* on the node that carries it now */
};

static struct conn conn[FLOWS];
static bool stormy;
static unsigned opened, hung, port;
static int carrier; /* whose turn it is to forward */

/* ---- wire
 * ----------------------------------------------------------------------------------------- */

static void fly(int from, int to, const struct sent *s)
{
	struct flying *f;

	if (check_below(100) < loss || flying == WIRE_MAX)
		return;
	f = &wire[flying++];
	*f = (struct flying){.from = from, .to = to, .len = s->len};
	f->at = now + MS / 5 + (delay_ms ? check_below(delay_ms) * MS : 0);
	memcpy(f->data, s->data, s->len);
}

static void collect(int i)
{
	for (size_t p = 0; p < node[i].sents; p++) {
		packets++;
		for (int to = 0; to < nodes; to++) {
			if (to == i)
				continue;
			fly(i, to, &node[i].sent[p]);
			if (check_below(100) < twice)
				fly(i, to, &node[i].sent[p]);
		}
	}
	node_quiet(&node[i]);
}

static bool deliver(void)
{
	bool any = false;

	for (size_t i = 0; i < flying;) {
		struct flying f;

		if (wire[i].at > now) {
			i++;
			continue;
		}
		f = wire[i];
		wire[i] = wire[--flying];
		node_hear_raw(&node[f.to], &node[f.from].address, f.data, f.len);
		(void)node_settle(&node[f.to]);
		collect(f.to);
		any = true;
	}
	return any;
}

static void run(uint64_t ms)
{
	uint64_t end = now + ms * MS;

	while (now < end) {
		uint64_t next = end;

		for (size_t i = 0; i < flying; i++)
			if (wire[i].at < next)
				next = wire[i].at;
		for (int i = 0; i < nodes; i++)
			if (node[i].next < next)
				next = node[i].next;
		if (next < now + MS)
			next = now + MS;
		for (int i = 0; i < nodes; i++) {
			node_run(&node[i], (next - node[i].now) / MS + 1);
			if (node[i].now > next)
				next = node[i].now;
		}
		now = next;
		for (int i = 0; i < nodes; i++)
			collect(i);
		(void)deliver();
	}
}

/* ---- nodes
 * ---------------------------------------------------------------------------------------- */

static void start(int count, unsigned lost, unsigned repeated, unsigned delayed)
{
	nodes = count;
	now = 1000 * S;
	flying = 0;
	packets = 0;
	carrier = 0;
	loss = lost;
	twice = repeated;
	delay_ms = delayed;
	memset(conn, 0, sizeof(conn));
	for (int i = 0; i < nodes; i++) {
		struct engine_config c = node_config(0x100u + (unsigned)i);

		c.link[0].dialect = dialect_get(DIALECT_FREEBSD_15);
		c.timeouts.seconds[PFTM_TCP_ESTABLISHED] = 60;
		node_start(&node[i], &c, (uint8_t)(i + 1), now);
	}
	run(8000);
}

static void stop(void)
{
	for (int i = 0; i < nodes; i++) {
		CHECK_STR(node[i].wrong ? node[i].wrong : "", "");
		node_stop(&node[i]);
	}
}

/* The ports are never used twice. */
static struct tuples some_tuples(unsigned i)
{
	static const uint8_t protos[] = {PROTO_TCP, PROTO_TCP, PROTO_UDP, PROTO_ICMP};
	uint8_t proto = protos[check_below(4)];
	struct tuples t;

	if (check_below(4) == 0)
		t = tuples_v6(proto == PROTO_ICMP ? PROTO_ICMPV6 : proto, 10, (uint16_t)(1000 + i));
	else
		t = tuples_v4(proto, 10, (uint16_t)(1000 + i));
	if (check_below(3) == 0)
		tuples_snat(&t, 2, (uint16_t)(50000 + i));
	if (!proto_is_icmp(t.proto) && check_below(4) == 0)
		tuples_dnat(&t, 200, (uint16_t)(60000 + i));
	return t;
}

/*
 * One packet each way on all living flows; false if one was deleted under its traffic. After a
 * storm an entry may be strict still, or have run out: whoever should have said that it carries
 * the flow was not heard. Then the connection hangs, which nothing but a good wire can help.
 */
static bool traffic(void)
{
	for (int i = 0; i < FLOWS; i++) {
		bool passes;

		if (!conn[i].alive)
			continue;
		passes = node_packet(&node[carrier], &conn[i].t, false);
		passes = node_packet(&node[carrier], &conn[i].t, true) && passes;
		if (passes) {
			conn[i].passed = true;
		} else if (stormy && (!conn[i].passed || node_entry(&node[carrier], &conn[i].t))) {
			node_kill(&node[carrier], &conn[i].t);
			conn[i].alive = false;
			hung++;
		} else {
			printf("\nflow %d (protocol %u) is dead on node %d at %llu ms\n", i,
			       conn[i].t.proto, carrier, (unsigned long long)(now / MS - 1000000));
			return false;
		}
	}
	return true;
}

/* All living flows are known to all, in all kernels, under the same names. */
static bool same_everywhere(void)
{
	for (int i = 0; i < FLOWS; i++) {
		struct flow_view first, v;

		if (!conn[i].alive)
			continue;
		if (!node_flow(&node[0], &conn[i].t, &first)) {
			printf("\nflow %d (protocol %u) is not known to node 0\n", i,
			       conn[i].t.proto);
			return false;
		}
		for (int k = 0; k < nodes; k++) {
			bool known = node_flow(&node[k], &conn[i].t, &v);

			if (known && node_entry(&node[k], &conn[i].t) &&
			    v.half[0].id == first.half[0].id && v.half[1].id == first.half[1].id &&
			    v.half[0].creatorid == first.half[0].creatorid &&
			    v.half[1].creatorid == first.half[1].creatorid)
				continue;
			printf("\nflow %d (protocol %u, carried by %d) on node %d: known %d, "
			       "kernel %d, "
			       "names %llx %llx and %llx %llx\n",
			       i, conn[i].t.proto, carrier, k, known,
			       node_entry(&node[k], &conn[i].t) != NULL,
			       (unsigned long long)v.half[0].id, (unsigned long long)v.half[1].id,
			       (unsigned long long)first.half[0].id,
			       (unsigned long long)first.half[1].id);
			return false;
		}
	}
	return true;
}

static bool carry(unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i++) {
		run(1000);
		if (!traffic())
			return false;
	}
	return true;
}

static void open_one(unsigned i)
{
	conn[i] = (struct conn){.t = some_tuples(port++ % 10000), .alive = true};
	opened++;
	node_open(&node[carrier], &conn[i].t);
}

/* The other node forwards from now on; a flow that it was not told of is lost. */
static void switch_to(int other, bool must_know)
{
	node_bypass(&node[carrier]);
	carrier = other;
	for (int i = 0; i < FLOWS; i++) {
		if (!conn[i].alive)
			continue;
		conn[i].passed = false;
		if (!node_entry(&node[other], &conn[i].t)) {
			CHECK(!must_know);
			conn[i].alive = false;
		}
	}
}

/* ---- tests
 * ---------------------------------------------------------------------------------------- */

/*
 * Nothing passes any more. What was seen last is told once, what runs out is deleted once, and
 * then nobody speaks.
 */
static bool silence(void)
{
	size_t last, most = 6u * FLOWS * (unsigned)(nodes - 1);

	packets = 0;
	run(400000);
	last = packets;
	packets = 0;
	run(100000);
	if (last > most || packets > 0)
		printf("\n%zu packets at the end, %zu packets in 100 s of silence\n", last,
		       packets);
	return last <= most && packets == 0;
}

static bool storm(int count)
{
	bool good = true;

	start(count, 15, 10, 60);
	stormy = true;
	for (int step = 0; good && step < 60; step++) {
		unsigned i = (unsigned)check_below(FLOWS);

		if (!conn[i].alive)
			open_one(i);
		else if (check_below(6) == 0 && conn[i].t.proto == PROTO_TCP) {
			node_close(&node[carrier], &conn[i].t, check_below(2));
			conn[i].alive = false;
			continue;
		}
		if (step > 10 && check_below(15) == 0) {
			run(400);
			switch_to((carrier + 1 + (int)check_below((uint64_t)nodes - 1)) % nodes,
				  false);
		}
		if (check_below(40) == 0 && step > 10)
			node_restart(&node[(carrier + 1) % nodes]);
		run(check_below(2000));
		good = traffic();
	}
	loss = twice = 0;
	delay_ms = 3;
	good = good && CHECK(carry(100)) && CHECK(same_everywhere()) && CHECK(silence());
	stormy = false;
	stop();
	return good;
}

static void storms(void)
{
	opened = hung = 0;
	for (int i = 0; i < 60; i++)
		if (!storm(i % 4 == 3 ? 3 : 2)) {
			printf("\nround %d\n", i);
			CHECK(!"a storm went well");
			break;
		}
	if (!CHECK(hung < opened / 10))
		printf("\n%u of %u hung\n", hung, opened);
}

static void there_and_back(void)
{
	start(2, 0, 0, 0);
	for (unsigned i = 0; i < FLOWS; i++)
		open_one(i);
	CHECK(carry(5));
	CHECK(same_everywhere());
	for (int round = 0; round < 4; round++) {
		switch_to(!carrier, true);
		packets = 0;
		CHECK(carry(70)); /* a return raises no event: it shows within a timeout */
		CHECK(same_everywhere());
		for (int i = 0; i < FLOWS; i++) {
			struct flow_view v;

			if (!CHECK(node_flow(&node[carrier], &conn[i].t, &v) && v.live) ||
			    !CHECK(node_flow(&node[!carrier], &conn[i].t, &v) && !v.live)) {
				printf("\nflow %d, protocol %u, round %d\n", i, conn[i].t.proto,
				       round);
				break;
			}
		}
		CHECK(packets < 900);
	}
	CHECK(silence());
	stop();
}

/* Asymmetric: each sees the flow begin, each gives it a name. One name is left, and no argument. */
static void two_names(void)
{
	start(2, 0, 0, 0);
	for (unsigned i = 0; i < FLOWS; i++) {
		open_one(i);
		node_open(&node[1], &conn[i].t);
	}
	run(5000);
	CHECK(same_everywhere());
	for (int i = 0; i < FLOWS; i++) {
		CHECK(node_entry(&node[0], &conn[i].t) != NULL);
		CHECK(node_entry(&node[1], &conn[i].t) != NULL);
	}
	CHECK(silence());
	stop();
}

static void restart_of(int which)
{
	struct flow_view before[FLOWS], v;

	start(2, 0, 0, 0);
	for (unsigned i = 0; i < FLOWS; i++)
		open_one(i);
	CHECK(carry(5));
	for (int i = 0; i < FLOWS; i++)
		(void)node_flow(&node[0], &conn[i].t, &before[i]);
	node_restart(&node[which]);
	CHECK(carry(10));
	CHECK(same_everywhere());
	for (int i = 0; i < FLOWS; i++) {
		CHECK(node_flow(&node[which], &conn[i].t, &v));
		if (!CHECK_EQ(v.half[0].id, before[i].half[0].id) ||
		    !CHECK_EQ(v.half[0].creatorid, before[i].half[0].creatorid) ||
		    !CHECK_EQ(v.half[1].id, before[i].half[1].id))
			break;
	}
	CHECK_EQ(node_flows(&node[0]), FLOWS);
	CHECK_EQ(node_flows(&node[1]), FLOWS);
	/* and it can still be taken over */
	switch_to(1, true);
	CHECK(carry(20));
	CHECK(same_everywhere());
	CHECK(silence());
	stop();
}

static void restarts(void)
{
	restart_of(0);
	restart_of(1);
}

/* A wire that is cut for a while: what began meanwhile is told, what ended is gone. */
static void cut(void)
{
	start(2, 0, 0, 0);
	for (unsigned i = 0; i < FLOWS / 2; i++)
		open_one(i);
	CHECK(carry(5));
	loss = 100;
	for (int i = 0; i < 2; i++)
		node_link(&node[i], 0, false, 1500);
	for (unsigned i = FLOWS / 2; i < FLOWS; i++)
		open_one(i);
	CHECK(carry(20));
	loss = 0;
	for (int i = 0; i < 2; i++)
		node_link(&node[i], 0, true, 1500);
	CHECK(carry(10));
	CHECK(same_everywhere());
	CHECK(silence());
	stop();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"there and back, four times", there_and_back},
		{"two names for one flow", two_names},
		{"restart of one", restarts},
		{"the wire is cut", cut},
		{"storms", storms},
	};

	return check_main("pair", tests, sizeof(tests) / sizeof(tests[0]));
}
