/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The flow table against a plain array. */
#include "check.h"
#include "hash.h"
#include "table.h"

#include <string.h>

enum { MODEL = 3000 };

static const uint8_t key[16] = {1, 2, 3};
static struct table t;

struct shadow {
	struct flow *f;
	struct tuples tuples;
	struct {
		bool named;
		uint64_t id;
		uint32_t creatorid;
	} half[2];
};

static struct shadow shadow[MODEL];

/* Few values, so that middles are shared and reply or original ends tell flows apart. */
static struct tuples some_tuples(unsigned spread)
{
	struct tuples x = {.family = check_below(3) ? 4 : 6, .proto = check_below(2) ? 6 : 17};

	for (int i = ORIG_SRC; i <= REPLY_DST; i++) {
		x.end[i].addr[0] = 10;
		x.end[i].addr[family_len(x.family) - 1] = (uint8_t)check_below(3);
		x.end[i].port = (uint16_t)check_below(i == ORIG_SRC ? spread : 3);
	}
	return x;
}

static struct shadow *model_find(const struct tuples *x)
{
	for (int i = 0; i < MODEL; i++)
		if (shadow[i].f && tuples_equal(&shadow[i].tuples, x))
			return &shadow[i];
	return NULL;
}

static size_t model_count(void)
{
	size_t n = 0;

	for (int i = 0; i < MODEL; i++)
		n += shadow[i].f != NULL;
	return n;
}

static bool model_has_name(uint64_t id, uint32_t creatorid)
{
	for (int i = 0; i < MODEL; i++)
		for (int h = 0; h < 2; h++)
			if (shadow[i].f && shadow[i].half[h].named && shadow[i].half[h].id == id &&
			    shadow[i].half[h].creatorid == creatorid)
				return true;
	return false;
}

static bool step(void)
{
	struct shadow *s = &shadow[check_below(MODEL)];
	int h = (int)check_below(2);
	uint64_t id = check_below(100000);
	uint32_t creator = 1 + (uint32_t)check_below(2);
	const struct shadow *same;
	struct tuples x;

	if (!s->f) {
		x = some_tuples(3000);
		same = model_find(&x);
		if (same)
			return CHECK(table_find(&t, &x) == same->f);
		if (!CHECK(table_find(&t, &x) == NULL))
			return false;
		*s = (struct shadow){.f = table_add(&t, &x), .tuples = x};
		return CHECK(s->f != NULL);
	}
	switch (check_below(4)) {
	case 0:
		if (check_below(3))
			return true;
		table_unlink(&t, s->f);
		table_release(&t, s->f);
		s->f = NULL;
		break;
	case 1:
		if (s->half[h].named)
			break;
		s->half[h].named = !model_has_name(id, creator);
		s->half[h].id = id;
		s->half[h].creatorid = creator;
		return CHECK_EQ(table_name(&t, s->f, h, id, creator), s->half[h].named);
	case 2:
		table_unname(&t, s->f, h);
		s->half[h].named = false;
		break;
	default:
		x = s->tuples; /* another translation of the same middle */
		x.end[REPLY_DST].port = (uint16_t)check_below(3);
		if (model_find(&x))
			break;
		flow_set_tuples(s->f, &x);
		s->tuples = x;
	}
	return true;
}

static bool agree(void)
{
	uint64_t cursor = 0;
	size_t walked = 0;
	struct tuples x;

	if (!CHECK_EQ(t.flows, model_count()))
		return false;
	while (table_walk(&t, &cursor))
		walked++;
	if (!CHECK_EQ(walked, t.flows))
		return false;
	for (int i = 0; i < MODEL; i++) {
		struct shadow *s = &shadow[i];
		struct flow *f = NULL;

		if (!s->f)
			continue;
		flow_tuples(s->f, &x);
		if (!CHECK(tuples_equal(&x, &s->tuples)) || !CHECK(table_find(&t, &x) == s->f))
			return false;
		while ((f = table_next_middle(&t, &x, f)) && f != s->f)
			;
		if (!CHECK(f == s->f))
			return false;
		for (int h = 0; h < 2; h++) {
			struct half *half = table_find_half(&t, s->half[h].id,
							    s->half[h].creatorid);

			if (s->half[h].named &&
			    (!CHECK(half == &s->f->half[h]) || !CHECK(half_flow(half) == s->f) ||
			     !CHECK_EQ(half_index(half), h)))
				return false;
			if (!CHECK_EQ(!!(s->f->half[h].flags & H_PRESENT), s->half[h].named))
				return false;
		}
	}
	return true;
}

static void at_random(void)
{
	CHECK(table_init(&t, key));
	memset(shadow, 0, sizeof(shadow));
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 3000; i++)
			if (!step())
				goto out;
		if (!agree())
			break;
	}
out:
	table_free(&t);
}

static struct tuples nth(unsigned i)
{
	struct tuples x = {.family = 4, .proto = 6};

	memcpy(x.end[ORIG_SRC].addr, &i, sizeof(i));
	x.end[REPLY_DST] = x.end[ORIG_SRC];
	return x;
}

static bool has(struct hnode *n, const struct hnode *node)
{
	while (n && n != node)
		n = n->next;
	return n != NULL;
}

/* What is fetched ahead is where it will be looked for; there may be nothing. */
static bool fetched(const struct tuples *middle, uint64_t id, const struct flow *f)
{
	struct expected x = {0};

	table_expect_middle(&t, &x, middle);
	table_expect_half(&t, &x, id, 7);
	table_expect_half(&t, &x, id, 8);
	table_fetch(&x);
	return CHECK_EQ(x.count, 3) && CHECK(has(*x.bucket[0], &f->node)) &&
	       CHECK(has(*x.bucket[1], &f->half[HALF_OUT].node));
}

/* It grows while it is used; everything is found at every moment. */
static void grows(void)
{
	enum { MANY = 50000 };
	struct tuples x;
	struct flow *f;

	CHECK(table_init(&t, key));
	for (unsigned i = 0; i < MANY; i++) {
		x = nth(i);
		f = table_add(&t, &x);
		if (!CHECK(f != NULL) || !CHECK(table_name(&t, f, HALF_OUT, i + 1, 7)))
			break;
		x = nth(i / 2);
		if (!CHECK(table_find(&t, &x) != NULL) ||
		    !CHECK(table_find_half(&t, i / 2 + 1, 7) != NULL))
			break;
		/* another name for one that may stand in the old buckets yet, or may have moved */
		f = half_flow(table_find_half(&t, i / 2 + 1, 7));
		if (!fetched(&x, i / 2 + 1, f))
			break;
		table_unname(&t, f, HALF_OUT);
		if (!CHECK(!table_find_half(&t, i / 2 + 1, 7)) ||
		    !CHECK(table_name(&t, f, HALF_OUT, i / 2 + 1, 7)))
			break;
	}
	CHECK(t.middle.size > MANY / 2 && t.name.size > MANY / 4);
	for (unsigned i = 0; i < MANY; i++) {
		x = nth(i);
		f = table_find(&t, &x);
		if (!CHECK(f != NULL) || !CHECK(half_flow(table_find_half(&t, i + 1, 7)) == f))
			break;
	}
	CHECK(!table_find_half(&t, MANY + 1, 7) && !table_find_half(&t, 1, 8));
	table_free(&t);
}

/* Whoever stays during a walk is seen once; whoever goes during it is not seen after that. */
static void walk_under_change(void)
{
	static uint8_t seen[4000];
	uint64_t cursor = 0;
	struct flow *f;
	struct tuples x;

	CHECK(table_init(&t, key));
	for (unsigned i = 0; i < 4000; i++) {
		x = nth(i);
		f = table_add(&t, &x);
		if (f)
			f->created = i;
	}
	memset(seen, 0, sizeof(seen));
	for (unsigned step_at = 0; (f = table_walk(&t, &cursor)); step_at++) {
		unsigned me = f->created;

		if (me >= 4000)
			continue; /* came during the walk */
		seen[me]++;
		if (me % 3 == 0) {
			table_unlink(&t, f);
			table_release(&t, f);
		}
		if (step_at % 5 == 0) {
			x = nth(100000 + step_at);
			f = table_add(&t, &x);
			if (f)
				f->created = 100000;
		}
	}
	for (unsigned i = 0; i < 4000; i++)
		if (!CHECK_EQ(seen[i], 1))
			break;
	table_free(&t);
}

/* A dead record keeps its place until it is released, and is in nobody's way. */
static void unlinked_is_not_found(void)
{
	struct tuples x = nth(5);
	struct flow *f, *g;
	uint64_t cursor = 0;

	CHECK(table_init(&t, key));
	f = table_add(&t, &x);
	CHECK(f && table_name(&t, f, HALF_IN, 1, 1) && !table_name(&t, f, HALF_OUT, 1, 1));
	table_unlink(&t, f);
	f->flags |= F_DEAD;
	CHECK(!table_find(&t, &x) && !table_find_half(&t, 1, 1) && !table_walk(&t, &cursor));
	g = table_add(&t, &x);
	CHECK(g && g != f && table_name(&t, g, HALF_IN, 1, 1));
	CHECK(flow_extra(f) != NULL);
	table_release(&t, f);
	CHECK_EQ(t.flows, 1);
	CHECK(table_find(&t, &x) == g);
	table_free(&t);
}

/* The names of states come of it and are to stay: SipHash-2-4 as its authors give it. */
static void hashes(void)
{
	static const uint64_t expected[] = {
		0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
		0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
		0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
		0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5};
	uint8_t bytes[16];

	for (uint8_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	for (size_t len = 0; len < sizeof(expected) / sizeof(expected[0]); len++)
		CHECK(hash_bytes(bytes, bytes, len) == expected[len]);
}

int main(void)
{
	static const struct check_test tests[] = {
		{"hashes", hashes},
		{"against a model", at_random},
		{"grows", grows},
		{"walk under change", walk_under_change},
		{"unlinked flows are not found", unlinked_is_not_found},
	};

	return check_main("table", tests, sizeof(tests) / sizeof(tests[0]));
}
