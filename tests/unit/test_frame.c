/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From captured frames of all link types to the payload. */
#include "check.h"
#include "frame.h"

#include <stdio.h>

enum { FRAME_MAX = 256, PAYLOAD = 24 };

static const uint8_t ip4[20] = {0x45, 0x10, 0, 20 + PAYLOAD, 0, 0,   0x40, 0, 255, 240, 0,
				0,    203,  0, 113,	     1, 224, 0,	   0, 240};
static const uint8_t ip6[40] = {0x60, 0,    0,	  0,	    0,		 PAYLOAD,     240,
				255,  0xfe, 0x80, [23] = 1, [24] = 0xff, [25] = 0x12, [39] = 0xf0};

struct frame {
	uint8_t bytes[FRAME_MAX];
	size_t len;
};

static void add(struct frame *f, const void *bytes, size_t len)
{
	memcpy(f->bytes + f->len, bytes, len);
	f->len += len;
}

/* A link header, then an IP packet of the family whose payload is 1, 2, 3 ... */
static struct frame frame_of(const void *link, size_t link_len, int family)
{
	struct frame f = {.len = 0};

	add(&f, link, link_len);
	if (family == 4)
		add(&f, ip4, sizeof(ip4));
	if (family == 6)
		add(&f, ip6, sizeof(ip6));
	for (uint8_t i = 1; i <= PAYLOAD; i++)
		add(&f, &i, 1);
	return f;
}

static bool found(int link, const struct frame *f, size_t want, struct show_meta *m)
{
	const uint8_t *payload = NULL;
	size_t len = 0;

	if (!frame_find(link, f->bytes, f->len, m, &payload, &len))
		return false;
	return CHECK_EQ(len, want) && (!want || CHECK_EQ(payload[0], 1));
}

static void test_links(void)
{
	static const struct {
		int link, family;
		size_t len;
		uint8_t head[24];
	} rows[] = {
		{LINK_ETHERNET, 4, 14, {[12] = 0x08}},
		{LINK_ETHERNET, 6, 14, {[12] = 0x86, 0xdd}},
		{LINK_ETHERNET, 4, 18, {[12] = 0x81, 0, 0, 5, 0x08}},
		{LINK_ETHERNET, 6, 22, {[12] = 0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x86, 0xdd}},
		{LINK_COOKED, 4, 16, {[14] = 0x08}},
		{LINK_COOKED2, 6, 20, {0x86, 0xdd}},
		{LINK_RAW, 4, 0, {0}},
		{LINK_RAW, 6, 0, {0}},
		{LINK_RAW_BSD, 4, 0, {0}},
		{LINK_RAW_OPENBSD, 6, 0, {0}},
		{LINK_IPV4, 4, 0, {0}},
		{LINK_IPV6, 6, 0, {0}},
		{LINK_NULL, 4, 4, {2}},
		{LINK_LOOP, 6, 4, {[3] = 24}},
		{LINK_PFSYNC, 0, 0, {0}},
		{LINK_PFSYNC_FREEBSD, 0, 0, {0}},
		{LINK_PFSYNC_OPENBSD, 0, 0, {0}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct frame f = frame_of(rows[i].head, rows[i].len, rows[i].family);
		struct show_meta m = {.sec = 7};

		CHECK(frame_known(rows[i].link));
		if (!CHECK(found(rows[i].link, &f, PAYLOAD, &m)))
			printf(" (row %zu)", i);
		CHECK_EQ(m.family, rows[i].family);
		CHECK_EQ(m.ttl, rows[i].family ? 255 : 0);
		CHECK_EQ(m.sec, 7);
		if (rows[i].family == 4)
			CHECK_MEM(m.src, ip4 + 12, 4);
		if (rows[i].family == 6)
			CHECK_MEM(m.dst, ip6 + 24, 16);
	}
	CHECK(!frame_known(147));
}

static void test_ipv4(void)
{
	struct show_meta m = {.sec = 0};
	struct frame f = frame_of("", 0, 4);

	f.bytes[3] -= 4; /* trailing bytes of the frame are no payload */
	CHECK(found(LINK_RAW, &f, PAYLOAD - 4, &m));
	f.bytes[3] = 255; /* cut by the capture */
	CHECK(found(LINK_RAW, &f, PAYLOAD, &m));
	f.bytes[6] = 0x20; /* a first fragment is read */
	CHECK(found(LINK_RAW, &f, PAYLOAD, &m));
	f.bytes[7] = 9; /* a later one is not */
	CHECK(found(LINK_RAW, &f, 0, &m));
	f.bytes[6] = f.bytes[7] = 0;
	f.bytes[0] = 0x44;
	CHECK(!found(LINK_RAW, &f, 0, &m));
	f.bytes[0] = 0x45;
	f.bytes[9] = 17;
	CHECK(!found(LINK_RAW, &f, 0, &m));
	f = frame_of("", 0, 4);
	f.bytes[0] = 0x46; /* options: the payload begins four bytes later */
	memmove(f.bytes + 24, f.bytes + 20, PAYLOAD);
	f.bytes[3] += 4;
	f.len += 4;
	CHECK(found(LINK_RAW, &f, PAYLOAD, &m));
}

static void test_ipv6(void)
{
	struct show_meta m = {.sec = 0};
	struct frame f = frame_of("", 0, 6);

	f.bytes[5] -= 4; /* trailing bytes of the frame are no payload */
	CHECK(found(LINK_RAW, &f, PAYLOAD - 4, &m));
	f.bytes[4] = 255; /* cut by the capture */
	CHECK(found(LINK_RAW, &f, PAYLOAD, &m));
	f.bytes[6] = 44; /* no header may stand between */
	CHECK(!found(LINK_RAW, &f, 0, &m));
}

/* Nothing behind a frame is ever read: each is cut at every length. */
static void test_cut(void)
{
	for (int family = 4; family <= 6; family += 2) {
		struct frame whole = frame_of("", 0, family);
		size_t head = family == 4 ? sizeof(ip4) : sizeof(ip6);

		for (size_t len = 0; len < whole.len; len++) {
			struct show_meta m = {.sec = 0};
			struct frame f = whole;

			f.len = len;
			CHECK_EQ(found(LINK_RAW, &f, len < head ? 0 : len - head, &m), len >= head);
		}
	}
}

int main(void)
{
	static const struct check_test tests[] = {
		{"all link types", test_links},
		{"IPv4 lengths, options and fragments", test_ipv4},
		{"IPv6 lengths and headers", test_ipv6},
		{"frames cut at every length", test_cut},
	};

	return check_main("frame", tests, sizeof(tests) / sizeof(tests[0]));
}
