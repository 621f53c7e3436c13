/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory runs out, at each place where the core asks for some: what was to be done then is counted
 * and left, nothing breaks, and when there is memory again all goes on.
 */
#include <stdlib.h>

#include "check.h"
#include "model.h"

/* The linker puts these in place of malloc() and calloc(). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);

static long left = -1; /* allocations until the one that fails; below 0: none does */
static bool failed;

static bool fails(void)
{
	if (left < 0 || left--)
		return false;
	failed = true;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

static struct node n;
static struct fake pf;

static void begin(void)
{
	struct engine_config c = node_config(0x101);

	node_meet(&n, &pf, &c, DIALECT_FREEBSD_15);
}

static void end(void)
{
	CHECK_STR(n.wrong ? n.wrong : "", "");
	node_stop(&n);
}

/* Without memory there is no engine, and nothing is left behind. */
static void no_engine(void)
{
	struct engine_config c = node_config(0x101);
	struct engine_ops ops = {0};

	for (int i = 0;; i++) {
		struct engine *e;

		left = i;
		failed = false;
		e = engine_new(&c, &ops, NULL, S);
		left = -1;
		CHECK_EQ(e == NULL, failed);
		if (e) {
			CHECK(i >= 4);
			engine_free(e);
			return;
		}
	}
}

/* A TCP flow with numbers and a kept one with its whole states, two peers, an own flow. */
static void everything(struct fake *other)
{
	struct tuples tcp = tuples_v4(PROTO_TCP, 10, 1), kept = tuples_v6(PROTO_TCP, 11, 1);
	struct tuples own = tuples_v4(PROTO_UDP, 12, 1);
	struct pf_state s;

	fake_tells(&pf, &n, &tcp, 10);
	s = fake_half(&pf, &kept, PF_IN, 20);
	s.src.seqdiff = 7;
	fake_state(&pf, &n, ACT_INS, &s);
	s = fake_half(other, &kept, PF_OUT, 30);
	s.src.seqdiff = 7;
	fake_state(other, &n, ACT_INS, &s);
	node_open(&n, &own);
}

/* Each allocation fails once. */
static void each_one_fails(void)
{
	struct tuples tcp = tuples_v4(PROTO_TCP, 10, 1), own = tuples_v4(PROTO_UDP, 12, 1);
	int tried = 0;

	do {
		struct fake other;
		struct flow_view v;

		begin();
		fake_init(&other, DIALECT_FREEBSD_15, 3, 0x22);
		failed = false;
		left = tried++;
		everything(&other);
		left = -1;
		CHECK_EQ(node_refused(&n, R_NO_MEMORY), failed ? 1 : 0);
		everything(&other); /* they repeat themselves */
		node_packet(&n, &own, true);
		node_run(&n, 200);
		CHECK(node_entry(&n, &tcp) != NULL);
		CHECK(node_flow(&n, &tcp, &v) && v.half[0].present && v.half[1].present);
		CHECK_EQ(node_refused(&n, R_NO_MEMORY), failed ? 1 : 0);
		CHECK_EQ(node_flows(&n), 4);
		end();
	} while (failed);
	CHECK(tried > 5);
}

/* The addresses of this host are kept as they were. */
static void addresses(void)
{
	struct address own = address_v4(192, 0, 2, 10);
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1);

	begin();
	engine_on_addresses(n.e, &own, 1);
	left = 0;
	engine_on_addresses(n.e, &own, 1);
	CHECK_EQ(node_refused(&n, R_NO_MEMORY), 1);
	fake_tells(&pf, &n, &t, 10);
	CHECK_EQ(node_refused(&n, R_LOCAL), 2);
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"no engine", no_engine},
		{"each one fails", each_one_fails},
		{"addresses", addresses},
	};

	return check_main("memory", tests, sizeof(tests) / sizeof(tests[0]));
}
