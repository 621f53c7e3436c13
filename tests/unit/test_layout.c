/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The four state layouts: where each field stands, and that what is written is read back. */
#include "check.h"
#include "pfstate.h"
#include "sample.h"

#include <stdio.h>

enum { RECORD_MAX = 360, ROUNDS = 2000 };

static const enum pf_layout layouts[] = {LAYOUT_1301, LAYOUT_1400, LAYOUT_1500, LAYOUT_OPENBSD};

/* Where the fields stand: 0xffff means that the layout has no such field. */
struct place {
	const char *name;
	size_t field, len;
	bool raw; /* bytes, not an integer */
	uint16_t at[4];
};

#define INTEGER(f, a, b, c, d)                                                                     \
	{                                                                                          \
#f, offsetof(struct pf_state, f), sizeof(((struct pf_state *)0)->f), false,        \
		{                                                                                  \
			a, b, c, d                                                                 \
		}                                                                                  \
	}
#define RAW(f, a, b, c, d)                                                                         \
	{                                                                                          \
#f, offsetof(struct pf_state, f), sizeof(((struct pf_state *)0)->f), true,         \
		{                                                                                  \
			a, b, c, d                                                                 \
		}                                                                                  \
	}
#define NO 0xffff

static const struct place places[] = {
	INTEGER(id, 0, 0, 0, 0),
	RAW(ifname, 8, 8, 8, 8),
	RAW(key[0].addr[0], 24, 24, 24, 24),
	RAW(key[0].addr[1], 40, 40, 40, 40),
	INTEGER(key[0].port[0], 56, 56, 56, 56),
	INTEGER(key[0].port[1], 58, 58, 58, 58),
	INTEGER(key[0].rdomain, NO, NO, NO, 60),
	INTEGER(key[0].af, NO, NO, NO, 62),
	RAW(key[1].addr[0], 60, 60, 60, 64),
	RAW(key[1].addr[1], 76, 76, 76, 80),
	INTEGER(key[1].port[0], 92, 92, 92, 96),
	INTEGER(key[1].port[1], 94, 94, 94, 98),
	INTEGER(key[1].rdomain, NO, NO, NO, 100),
	INTEGER(key[1].af, NO, NO, NO, 102),
	INTEGER(src.scrub_flags, 96, 96, 96, 104),
	INTEGER(src.scrub_ttl, 98, 98, 98, 106),
	INTEGER(src.scrub_flag, 99, 99, 99, 107),
	INTEGER(src.ts_mod, 100, 100, 100, 108),
	INTEGER(src.seqlo, 104, 104, 104, 112),
	INTEGER(src.seqhi, 108, 108, 108, 116),
	INTEGER(src.seqdiff, 112, 112, 112, 120),
	INTEGER(src.max_win, 116, 116, 116, 124),
	INTEGER(src.mss, 118, 118, 118, 126),
	INTEGER(src.state, 120, 120, 120, 128),
	INTEGER(src.wscale, 121, 121, 121, 129),
	INTEGER(dst.scrub_flags, 128, 128, 128, 136),
	INTEGER(dst.wscale, 153, 153, 153, 161),
	RAW(rt_addr, 160, 160, 160, 168),
	INTEGER(rule, 176, 176, 176, 184),
	INTEGER(anchor, 180, 180, 180, 188),
	INTEGER(nat_rule, 184, 184, 184, 192),
	INTEGER(creation, 188, 188, 188, 196),
	INTEGER(expire, 192, 192, 192, 200),
	INTEGER(packets[0], 196, 196, 196, 204),
	INTEGER(packets[1], 204, 204, 204, 212),
	INTEGER(bytes[0], 212, 212, 212, 220),
	INTEGER(bytes[1], 220, 220, 220, 228),
	INTEGER(creatorid, 228, 228, 228, 236),
	INTEGER(af, 232, 232, 344, 250),
	INTEGER(stack_af, NO, NO, 345, NO),
	INTEGER(proto, 233, 233, 347, 251),
	INTEGER(stack_proto, NO, NO, 348, NO),
	INTEGER(direction, 234, 234, 351, 252),
	INTEGER(log, 237, 237, 349, 253),
	INTEGER(timeout, 239, 239, 350, 255),
	INTEGER(sync_flags, 240, 240, NO, 256),
	INTEGER(updates, 241, 241, NO, 257),
	INTEGER(state_flags, NO, 235, 332, 260),
	INTEGER(qid, NO, 242, 334, NO),
	INTEGER(pqid, NO, 244, 336, NO),
	INTEGER(dnpipe, NO, 246, 338, NO),
	INTEGER(dnrpipe, NO, 248, 340, NO),
	INTEGER(rtableid[0], NO, 250, 328, 240),
	INTEGER(rtableid[1], NO, NO, NO, 244),
	INTEGER(min_ttl, NO, 254, 353, 258),
	INTEGER(set_tos, NO, 255, 354, 259),
	INTEGER(max_mss, NO, 256, 342, 248),
	INTEGER(set_prio[0], NO, 258, 355, 262),
	INTEGER(set_prio[1], NO, 259, 356, 263),
	INTEGER(rt, NO, 260, 352, 254),
	INTEGER(rt_af, NO, NO, 346, NO),
	RAW(rt_ifname, NO, 261, 296, NO),
	RAW(orig_ifname, NO, NO, 312, NO),
	RAW(tag, NO, NO, 232, NO),
};

static uint64_t field_value(const struct pf_state *s, const struct place *p)
{
	const uint8_t *at = (const uint8_t *)s + p->field;
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	switch (p->len) {
	case 1:
		return *at;
	case 2:
		memcpy(&v16, at, sizeof(v16));
		return v16;
	case 4:
		memcpy(&v32, at, sizeof(v32));
		return v32;
	default:
		memcpy(&v64, at, sizeof(v64));
		return v64;
	}
}

/* One field of one layout: set alone it is read at its place, and written there again. */
static bool place_holds(const struct place *p, enum pf_layout layout, size_t at)
{
	uint8_t record[RECORD_MAX] = {0}, again[RECORD_MAX];
	uint64_t want = 0;
	struct reader r = reader_of(record, pfstate_size(layout));
	struct writer w = writer_of(again, sizeof(again));
	struct pf_state s;

	for (size_t i = 0; i < p->len; i++) {
		record[at + i] = (uint8_t)(0xa1 + i);
		want = want << 8 | record[at + i];
	}
	pfstate_read(&r, layout, &s);
	if (!CHECK(!r.failed && reader_left(&r) == 0))
		return false;
	if (p->raw && !CHECK_MEM((const uint8_t *)&s + p->field, record + at, p->len))
		return false;
	if (!p->raw && !CHECK_EQ(field_value(&s, p), want))
		return false;
	pfstate_write(&w, layout, &s);
	return CHECK_EQ(writer_len(&w), pfstate_size(layout)) &&
	       CHECK_MEM(again, record, pfstate_size(layout));
}

static void test_places(void)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		for (size_t l = 0; l < 4; l++)
			if (places[i].at[l] != NO &&
			    !place_holds(&places[i], layouts[l], places[i].at[l]))
				printf(" (%s of layout %s)", places[i].name,
				       layout_name(layouts[l]));
}

static void test_flags_1301(void)
{
	uint8_t record[RECORD_MAX] = {[235] = 0xff, [236] = 0xff, [238] = 0x82};
	struct reader r = reader_of(record, pfstate_size(LAYOUT_1301));
	struct pf_state s;

	pfstate_read(&r, LAYOUT_1301, &s);
	CHECK_EQ(s.state_flags, 0x82);
	CHECK_EQ(s.rtableid[0], -1);
	CHECK_EQ(s.rtableid[1], -1);
}

static void test_sizes(void)
{
	CHECK_EQ(pfstate_size(LAYOUT_1301), 242);
	CHECK_EQ(pfstate_size(LAYOUT_1400), 277);
	CHECK_EQ(pfstate_size(LAYOUT_1500), 360);
	CHECK_EQ(pfstate_size(LAYOUT_OPENBSD), 264);
	CHECK_EQ(pfstate_size(LAYOUT_NONE), 0);
}

static bool states_equal(const struct pf_state *a, const struct pf_state *b)
{
	bool same = true;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const struct place *p = &places[i];
		bool equal = !memcmp((const uint8_t *)a + p->field, (const uint8_t *)b + p->field,
				     p->len);

		if (!CHECK(equal))
			printf(" (%s)", p->name);
		same &= equal;
	}
	return same;
}

static void test_round_trip(void)
{
	uint8_t record[RECORD_MAX];

	for (size_t l = 0; l < 4; l++)
		for (int i = 0; i < ROUNDS; i++) {
			struct pf_state s = sample_random_state(layouts[l]), back;
			struct writer w = writer_of(record, pfstate_size(layouts[l]));
			struct reader r = reader_of(record, pfstate_size(layouts[l]));

			pfstate_write(&w, layouts[l], &s);
			CHECK(!w.full && writer_left(&w) == 0);
			pfstate_read(&r, layouts[l], &back);
			CHECK(!r.failed);
			if (!states_equal(&s, &back)) {
				printf(" in layout %s", layout_name(layouts[l]));
				return;
			}
		}
}

static void test_unused_address_bytes(void)
{
	uint8_t record[RECORD_MAX];
	struct pf_state s = sample_state(4);
	struct writer w = writer_of(record, sizeof(record));

	s.af = s.stack_af = layout_af(LAYOUT_1301, 4);
	memset(s.key[0].addr[0], 0xee, 16);
	pfstate_write(&w, LAYOUT_1301, &s);
	CHECK_EQ(record[27], 0xee);
	CHECK_MEM(record + 28, (const uint8_t[12]){0}, 12);
}

static void test_truncated(void)
{
	uint8_t record[RECORD_MAX];

	check_fill(record, sizeof(record));
	for (size_t l = 0; l < 4; l++)
		for (size_t len = 0; len <= pfstate_size(layouts[l]); len++) {
			struct reader r = reader_of(record, len);
			struct pf_state s;

			pfstate_read(&r, layouts[l], &s);
			CHECK_EQ(r.failed, len < pfstate_size(layouts[l]));
		}
}

static void test_families(void)
{
	CHECK_EQ(layout_family(LAYOUT_1301, 2), 4);
	CHECK_EQ(layout_family(LAYOUT_1301, 28), 6);
	CHECK_EQ(layout_family(LAYOUT_1301, 24), 0);
	CHECK_EQ(layout_family(LAYOUT_1500, 10), 0);
	CHECK_EQ(layout_family(LAYOUT_OPENBSD, 24), 6);
	CHECK_EQ(layout_family(LAYOUT_OPENBSD, 28), 0);
	CHECK_EQ(layout_family(LAYOUT_NONE, 0), 0);
}

int main(void)
{
	static const struct check_test tests[] = {
		{"record sizes", test_sizes},
		{"each field stands at its place", test_places},
		{"1301 has its flags in one byte", test_flags_1301},
		{"what is written is read back", test_round_trip},
		{"nothing behind an IPv4 address", test_unused_address_bytes},
		{"a record that is cut fails", test_truncated},
		{"address family numbers", test_families},
	};

	return check_main("layout", tests, sizeof(tests) / sizeof(tests[0]));
}
