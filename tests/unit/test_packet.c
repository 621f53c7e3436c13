/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Walking packets, whole and damaged, in each family's manner; and building them within limits. */
#include "builder.h"
#include "check.h"
#include "outgoing.h"
#include "sample.h"

enum { BUF = 9000 };

/* Header with a length, then the given body. */
static size_t packet_of(uint8_t *buf, uint8_t version, const uint8_t *body, size_t len)
{
	struct writer w = writer_of(buf, BUF);

	writer_u8(&w, version);
	writer_u8(&w, 0);
	writer_u16(&w, (uint16_t)(PFSYNC_HEADER_LEN + len));
	writer_zero(&w, 16);
	writer_bytes(&w, body, len);
	return writer_len(&w);
}

static void test_header(void)
{
	uint8_t buf[BUF];
	struct packet p;
	size_t len = packet_of(buf, 5, NULL, 0);

	for (size_t i = 0; i < PFSYNC_HEADER_LEN; i++)
		CHECK_EQ(packet_open(&p, buf, i), R_SHORT_HEADER);
	CHECK_EQ(packet_open(&p, buf, len), R_NONE);
	buf[0] = 4;
	CHECK_EQ(packet_open(&p, buf, len), R_VERSION);
	CHECK_EQ(p.version, 4);
	buf[0] = 6;
	buf[3] = 19;
	CHECK_EQ(packet_open(&p, buf, len), R_LENGTH);
	buf[3] = 21;
	CHECK_EQ(packet_open(&p, buf, len), R_NONE);
	CHECK(p.length_wrong);
}

static void test_behind_length(void)
{
	static const uint8_t body[] = {7, 0, 0, 1,  1,	2,  3,	4, 5, 6,
				       7, 8, 9, 10, 11, 12, 99, 0, 0, 1};
	uint8_t buf[BUF];
	struct packet p;
	struct section s;
	size_t len = packet_of(buf, 5, body, sizeof(body));

	buf[3] -= 4;
	CHECK_EQ(packet_open(&p, buf, len), R_NONE);
	CHECK(!p.length_wrong);
	CHECK(packet_next(&p, &s));
	CHECK_EQ(s.action, ACT_DEL_C);
	CHECK_EQ(s.present, 1);
	CHECK(!packet_next(&p, &s));
	CHECK_EQ(p.error, R_NONE);
}

/* An unknown action between two known ones: version 5 loses the rest, version 6 steps over it. */
static void test_unknown_action(void)
{
	static const uint8_t body[] = {5, 3, 0, 0, 99, 2, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 7, 3, 0, 0};
	uint8_t buf[BUF];
	struct packet p;
	struct section s;
	size_t len = packet_of(buf, 5, body, sizeof(body));

	CHECK_EQ(packet_open(&p, buf, len), R_NONE);
	CHECK(packet_next(&p, &s));
	CHECK_EQ(s.action, ACT_UPD_REQ);
	CHECK(packet_next(&p, &s));
	CHECK_EQ(s.action, ACT_UNKNOWN);
	CHECK_EQ(s.number, 99);
	CHECK_EQ(s.present, 0);
	CHECK(!packet_next(&p, &s));
	CHECK_EQ(p.error, R_ACTION);

	buf[0] = 6;
	CHECK_EQ(packet_open(&p, buf, len), R_NONE);
	CHECK(packet_next(&p, &s));
	CHECK(packet_next(&p, &s));
	CHECK_EQ(s.action, ACT_UNKNOWN);
	CHECK(packet_next(&p, &s));
	CHECK_EQ(s.action, ACT_DEL_C);
	CHECK(!packet_next(&p, &s));
	CHECK_EQ(p.error, R_NONE);

	buf[PFSYNC_HEADER_LEN + 5] = 0; /* no stride: there is no way over it */
	CHECK_EQ(packet_open(&p, buf, len), R_NONE);
	CHECK(packet_next(&p, &s));
	CHECK(packet_next(&p, &s));
	CHECK(!packet_next(&p, &s));
	CHECK_EQ(p.error, R_ACTION);
}

static void test_numbers(void)
{
	static const struct {
		uint8_t version, number;
		enum pf_action action;
		enum pf_layout layout;
	} rows[] = {
		{5, 1, ACT_INS, LAYOUT_1301},	    {5, 3, ACT_UPD, LAYOUT_1301},
		{5, 6, ACT_DEL, LAYOUT_1301},	    {5, 8, ACT_UNKNOWN, LAYOUT_NONE},
		{5, 11, ACT_TDB, LAYOUT_NONE},	    {5, 13, ACT_INS, LAYOUT_1400},
		{5, 14, ACT_UPD, LAYOUT_1400},	    {5, 15, ACT_INS, LAYOUT_1500},
		{5, 16, ACT_UPD, LAYOUT_1500},	    {5, 17, ACT_UNKNOWN, LAYOUT_NONE},
		{6, 1, ACT_UNKNOWN, LAYOUT_NONE},   {6, 6, ACT_DEL, LAYOUT_OPENBSD},
		{6, 11, ACT_UNKNOWN, LAYOUT_NONE},  {6, 13, ACT_INS, LAYOUT_OPENBSD},
		{6, 14, ACT_UPD, LAYOUT_OPENBSD},   {6, 15, ACT_TDB, LAYOUT_NONE},
		{6, 255, ACT_UNKNOWN, LAYOUT_NONE}, {4, 0, ACT_UNKNOWN, LAYOUT_NONE},
	};
	enum pf_layout layout;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CHECK_EQ(dialect_action(rows[i].version, rows[i].number, &layout), rows[i].action);
		CHECK_EQ(layout, rows[i].layout);
	}
	for (int i = 0; i < DIALECT_COUNT; i++) {
		const struct dialect *d = dialect_get((enum dialect_id)i);

		for (int a = ACT_CLR; a < ACT_UNKNOWN; a++) {
			uint8_t number = dialect_number(d, (enum pf_action)a);

			if (number != 0xff)
				CHECK_EQ(dialect_action(d->version, number, &layout), a);
		}
		CHECK(dialect_by_name(d->name) == d && dialect_by_layout(d->layout) == d);
	}
	CHECK(!dialect_by_name("netbsd"));
	CHECK(!dialect_by_layout(LAYOUT_NONE));
}

/* Longer messages than known are read by their beginning, shorter ones not at all. */
static void test_stride(void)
{
	uint8_t buf[BUF], body[4 + 2 * 16] = {7, 4, 0, 2, [11] = 1, [15] = 2, [27] = 3, [31] = 4};
	struct packet p;
	struct section s;
	struct msg_id m;
	size_t len = packet_of(buf, 6, body, sizeof(body));

	CHECK_EQ(packet_open(&p, buf, len), R_NONE);
	CHECK(packet_next(&p, &s));
	CHECK_EQ(s.present, 2);
	CHECK(section_next_id(&s, &m));
	CHECK_EQ(m.id, 1);
	CHECK_EQ(m.creatorid, 2);
	CHECK(section_next_id(&s, &m));
	CHECK_EQ(m.id, 3);
	CHECK_EQ(m.creatorid, 4);
	CHECK(!section_next_id(&s, &m));
	CHECK(!packet_next(&p, &s));
	CHECK_EQ(p.error, R_NONE);

	buf[PFSYNC_HEADER_LEN + 1] = 2;
	CHECK_EQ(packet_open(&p, buf, len), R_NONE);
	CHECK(packet_next(&p, &s));
	CHECK_EQ(s.present, 0);
	CHECK(!section_next_id(&s, &m));
	CHECK(!packet_next(&p, &s));
	CHECK_EQ(p.error, R_STRIDE);
}

/* A packet cut at every length: only whole messages, never more than there are. */
static void test_cut(void)
{
	for (int i = 0; i < DIALECT_COUNT; i++) {
		const struct dialect *d = dialect_get((enum dialect_id)i);
		struct pf_state state = sample_state(4), out;
		uint8_t buf[BUF];
		struct builder b;
		size_t size = pfstate_size(d->layout), len, got;
		struct packet p;
		struct section s;

		builder_start(&b, d, buf, 1480, false);
		while (builder_add_state(&b, ACT_INS, &state))
			;
		len = builder_finish(&b);
		for (size_t cut = PFSYNC_HEADER_LEN; cut < len; cut++) {
			CHECK_EQ(packet_open(&p, buf, cut), R_NONE);
			CHECK(p.length_wrong);
			for (got = 0; packet_next(&p, &s);)
				while (s.layout != LAYOUT_NONE && section_next_state(&s, &out))
					got++;
			CHECK_EQ(got, cut < 24 ? 0 : (cut - 24) / size);
		}
	}
}

static void test_truncated(void)
{
	static const uint8_t body[] = {7, 3, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 9};
	uint8_t buf[BUF];
	struct packet p;
	struct section s;
	size_t len = packet_of(buf, 6, body, sizeof(body));

	CHECK_EQ(packet_open(&p, buf, len), R_NONE);
	CHECK(packet_next(&p, &s));
	CHECK_EQ(s.count, 0xffff);
	CHECK_EQ(s.present, 1);
	CHECK(!packet_next(&p, &s));
	CHECK_EQ(p.error, R_TRUNCATED);

	len = packet_of(buf, 5, body, 3);
	CHECK_EQ(packet_open(&p, buf, len), R_NONE);
	CHECK(!packet_next(&p, &s));
	CHECK_EQ(p.error, R_TRUNCATED);
}

/* EOF ends a packet of version 5 wherever it stands, and is nothing special in version 6. */
static void test_eof(void)
{
	static const uint8_t body[] = {12, 0, 0, 1, 7, 3, 0, 0};
	uint8_t buf[BUF];
	struct packet p;
	struct section s;
	size_t len = packet_of(buf, 5, body, sizeof(body));

	CHECK_EQ(packet_open(&p, buf, len), R_NONE);
	CHECK(packet_next(&p, &s));
	CHECK_EQ(s.action, ACT_EOF);
	CHECK(!packet_next(&p, &s));
	CHECK_EQ(p.error, R_NONE);
	buf[0] = 6;
	CHECK_EQ(packet_open(&p, buf, len), R_NONE);
	CHECK(packet_next(&p, &s));
	CHECK(packet_next(&p, &s));
	CHECK_EQ(s.action, ACT_DEL_C);
}

/* A packet of as much as fits: within the limit, judged good, and all of it is read back. */
static void test_fill(void)
{
	for (int i = 0; i < DIALECT_COUNT; i++)
		for (size_t limit = 64; limit < BUF; limit += 97) {
			const struct dialect *d = dialect_get((enum dialect_id)i);
			struct msg_upd_c m = sample_upd_c(), out;
			uint8_t buf[BUF];
			struct builder b;
			struct packet p;
			struct section s;
			size_t len, added = 0, got = 0;

			builder_start(&b, d, buf, limit, false);
			while (builder_add_upd_c(&b, &m))
				added++;
			len = builder_finish(&b);
			CHECK(len <= limit);
			CHECK_EQ(added == 0, len == 0);
			if (!len)
				continue;
			CHECK_STR(outgoing_wrong(d, buf, len) ? outgoing_wrong(d, buf, len) : "",
				  "");
			CHECK(limit - len < 84 + PFSYNC_SUBHEADER_LEN);
			CHECK_EQ(packet_open(&p, buf, len), R_NONE);
			while (packet_next(&p, &s)) {
				CHECK(s.count * s.stride <= PFSYNC_SECTION_MAX);
				while (s.action == ACT_UPD_C && section_next_upd_c(&s, &out))
					got++;
			}
			CHECK_EQ(got, added);
		}
}

static void test_limits(void)
{
	/* payload room, states that fit with one subheader each, states that fit in one section */
	static const struct {
		enum dialect_id d;
		size_t room, single, joined;
	} rows[] = {
		{DIALECT_FREEBSD_13, 1480, 5, 6},
		{DIALECT_FREEBSD_13, 4000, 16, 16},
		{DIALECT_FREEBSD_14, 1460, 5, 5},
		{DIALECT_FREEBSD_15, 1460, 3, 3},
		{DIALECT_OPENBSD, 1480, 5, 5},
		{DIALECT_OPENBSD, 63, 0, 0},
		{DIALECT_FREEBSD_13, 20 + 4 + 242 + 4, 1, 1},
		{DIALECT_FREEBSD_13, 20 + 4 + 242 + 3, 0, 0},
		{DIALECT_OPENBSD, 20 + 4 + 264, 1, 1},
		{DIALECT_OPENBSD, 20 + 4 + 263, 0, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int single = 0; single < 2; single++) {
			const struct dialect *d = dialect_get(rows[i].d);
			struct pf_state state = sample_state(6);
			uint8_t buf[BUF];
			struct builder b;
			size_t added = 0, len;

			builder_start(&b, d, buf, rows[i].room, single);
			CHECK(builder_empty(&b));
			while (builder_add_state(&b, ACT_UPD, &state))
				added++;
			CHECK_EQ(added, single ? rows[i].single : rows[i].joined);
			len = builder_finish(&b);
			CHECK(len <= rows[i].room);
			if (len)
				CHECK(!outgoing_wrong(d, buf, len));
			if (added > 1)
				CHECK_EQ(buf[PFSYNC_HEADER_LEN + 3] == 1, single);
		}
}

static void test_mixed(void)
{
	static const uint8_t want[] = {
		6,  0, 0, 80, 0,    0,	  0,	0,    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		10, 3, 0, 1,  0x1a, 0x2b, 0x3c, 0x4d, 0, 0, 0, 0, 1, 0, 0, 0, 7, 3, 0, 2,
		0,  0, 0, 0,  0,    0,	  0,	1,    0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3,
		0,  0, 0, 4,  5,    3,	  0,	1,    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	struct msg_bus bus = {.creatorid = 0x1a2b3c4d, .status = BUS_START};
	uint8_t buf[BUF];
	struct builder b;

	builder_start(&b, dialect_get(DIALECT_OPENBSD), buf, 1480, false);
	CHECK(builder_add_bus(&b, &bus));
	CHECK(builder_add_id(&b, ACT_DEL_C, 1, 2));
	CHECK(builder_add_id(&b, ACT_DEL_C, 3, 4));
	CHECK(builder_add_id(&b, ACT_UPD_REQ, 0, 0));
	CHECK(!builder_add_id(&b, ACT_CLR, 0, 0));
	CHECK_EQ(builder_finish(&b), sizeof(want));
	CHECK_MEM(buf, want, sizeof(want));

	builder_start(&b, dialect_get(DIALECT_FREEBSD_14), buf, 1460, false);
	CHECK(!builder_add_state(&b, ACT_DEL, &(struct pf_state){.id = 1}));
	CHECK_EQ(builder_finish(&b), 0);
	builder_start(&b, dialect_get(DIALECT_FREEBSD_14), buf, 1460, false);
	CHECK(builder_add_clr(&b, &(struct msg_clr){.creatorid = 9}));
	CHECK_EQ(builder_finish(&b), 20 + 4 + 20 + 4);
	CHECK_MEM(buf + 44, ((const uint8_t[]){12, 0, 0, 1}), 4);
}

/* Families become the dialect's own numbers, in the keys of OpenBSD too. */
static void test_families(void)
{
	for (int i = 0; i < DIALECT_COUNT; i++) {
		const struct dialect *d = dialect_get((enum dialect_id)i);
		struct pf_state state = sample_state(6), out;
		uint8_t buf[BUF];
		struct builder b;
		struct packet p;
		struct section s;

		builder_start(&b, d, buf, 1460, false);
		CHECK(builder_add_state(&b, ACT_INS, &state));
		CHECK_EQ(packet_open(&p, buf, builder_finish(&b)), R_NONE);
		CHECK(packet_next(&p, &s) && section_next_state(&s, &out));
		CHECK_EQ(out.af, d->af_inet6);
		CHECK_EQ(out.stack_af, d->af_inet6);
		CHECK_EQ(out.key[1].af, d->layout == LAYOUT_OPENBSD ? d->af_inet6 : 0);
		CHECK_MEM(out.key, state.key, sizeof(out.key[0].addr));
	}
}

int main(void)
{
	static const struct check_test tests[] = {
		{"headers", test_header},
		{"bytes behind the header's length are ignored", test_behind_length},
		{"unknown actions", test_unknown_action},
		{"action numbers of both families", test_numbers},
		{"stride of version 6", test_stride},
		{"packets cut at every length", test_cut},
		{"counts beyond the packet", test_truncated},
		{"EOF", test_eof},
		{"packets filled to the last byte", test_fill},
		{"limits of packet and section", test_limits},
		{"a packet of several kinds, byte for byte", test_mixed},
		{"address families are written in the dialect's numbers", test_families},
	};

	return check_main("packet", tests, sizeof(tests) / sizeof(tests[0]));
}
