/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What begins a flow, by a packet's headers; and that nothing is read beyond its end. */
#include "check.h"
#include "headers.h"

#include <stdlib.h>
#include <string.h>

enum { SYN = 0x02, SYN_ACK = 0x12, MANY = 200000 };

static const uint8_t client[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 10};
static const uint8_t server[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 20};

struct built {
	uint8_t data[HEADERS_ROOM];
	size_t len;
};

static void put(struct built *b, const void *data, size_t len)
{
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

/* Words of options behind the header. */
static struct built ipv4(uint8_t proto, unsigned options, uint16_t fragment)
{
	uint8_t h[20] = {(uint8_t)(0x45 + options),
			 [6] = (uint8_t)(fragment >> 8),
			 [7] = (uint8_t)fragment,
			 64,
			 proto,
			 0,
			 0,
			 192,
			 0,
			 2,
			 10,
			 198,
			 51,
			 100,
			 10};
	static const uint8_t zero[40];
	struct built b = {.len = 0};

	put(&b, h, sizeof(h));
	put(&b, zero, (size_t)options * 4);
	return b;
}

static struct built ipv6(uint8_t next)
{
	uint8_t h[8] = {0x60, [6] = next, [7] = 64};
	struct built b = {.len = 0};

	put(&b, h, sizeof(h));
	put(&b, client, 16);
	put(&b, server, 16);
	return b;
}

/* An extension header of 8 + 8 * more bytes. */
static void extension(struct built *b, uint8_t next, uint8_t more)
{
	uint8_t h[64] = {next, more};

	put(b, h, 8 + 8u * more);
}

static void tcp(struct built *b, uint8_t flags)
{
	uint8_t h[20] = {0x9c, 0x40, 0x01, 0xbb, [12] = 0x50, [13] = flags};

	put(b, h, sizeof(h));
}

static void echo(struct built *b, uint8_t type)
{
	uint8_t h[8] = {type, 0, 0, 0, 0x12, 0x34};

	put(b, h, sizeof(h));
}

static bool begins(const struct built *b, struct tuples *t)
{
	return headers_tuples(b->data, b->len, t);
}

static void test_tcp(void)
{
	static const uint8_t from[4] = {192, 0, 2, 10}, to[4] = {198, 51, 100, 10};
	struct built b;
	struct tuples t;

	for (unsigned options = 0; options <= 10; options++) {
		b = ipv4(PROTO_TCP, options, 0x4000); /* DF */
		tcp(&b, SYN);
		if (!CHECK(begins(&b, &t)))
			continue;
		CHECK_EQ(t.family, 4);
		CHECK_EQ(t.proto, PROTO_TCP);
		CHECK_MEM(t.end[ORIG_SRC].addr, from, 4);
		CHECK_MEM(t.end[ORIG_DST].addr, to, 4);
		CHECK_EQ(t.end[ORIG_SRC].port, 40000);
		CHECK_EQ(t.end[ORIG_DST].port, 443);
		CHECK(endpoint_equal(&t.end[REPLY_SRC], &t.end[ORIG_DST]));
		CHECK(endpoint_equal(&t.end[REPLY_DST], &t.end[ORIG_SRC]));
	}
	b = ipv4(PROTO_TCP, 0, 0);
	tcp(&b, SYN_ACK);
	CHECK(!begins(&b, &t));
	b = ipv4(PROTO_TCP, 0, 0x2000); /* more fragments */
	tcp(&b, SYN);
	CHECK(!begins(&b, &t));
	b = ipv4(PROTO_TCP, 0, 1);
	tcp(&b, SYN);
	CHECK(!begins(&b, &t));
}

static void test_ipv6(void)
{
	struct built b = ipv6(0); /* hop-by-hop, routing, options, TCP */
	struct tuples t;

	extension(&b, 43, 0);
	extension(&b, 60, 2);
	extension(&b, PROTO_TCP, 1);
	tcp(&b, SYN);
	if (CHECK(begins(&b, &t))) {
		CHECK_EQ(t.family, 6);
		CHECK_MEM(t.end[ORIG_SRC].addr, client, 16);
		CHECK_MEM(t.end[ORIG_DST].addr, server, 16);
		CHECK_EQ(t.end[ORIG_DST].port, 443);
	}
	b = ipv6(44);
	extension(&b, PROTO_UDP, 0);
	tcp(&b, SYN);
	CHECK(!begins(&b, &t));
	b = ipv6(0);
	for (int i = 0; i < 9; i++) /* more than any sender puts there */
		extension(&b, 0, 0);
	CHECK(!begins(&b, &t));
}

static void test_others(void)
{
	struct built b = ipv4(PROTO_UDP, 0, 0);
	struct tuples t;

	tcp(&b, 0);
	CHECK(begins(&b, &t) && t.end[ORIG_SRC].port == 40000);
	b = ipv4(PROTO_ICMP, 0, 0);
	echo(&b, 8);
	CHECK(begins(&b, &t) && t.icmp_type == 8 && t.end[ORIG_SRC].port == 0x1234 &&
	      t.end[REPLY_DST].port == 0x1234 && !t.end[ORIG_DST].port);
	b = ipv4(PROTO_ICMP, 0, 0);
	echo(&b, 0); /* an answer */
	CHECK(!begins(&b, &t));
	b = ipv6(PROTO_ICMPV6);
	echo(&b, 128);
	CHECK(begins(&b, &t) && t.icmp_type == 128);
	b = ipv6(PROTO_ICMPV6);
	echo(&b, 135);
	CHECK(!begins(&b, &t));
	b = ipv4(50, 0, 0); /* ESP */
	CHECK(begins(&b, &t) && t.proto == 50 && !t.end[ORIG_SRC].port);
	b = ipv4(47, 0, 0); /* GRE: its key */
	echo(&b, 0);
	CHECK(!begins(&b, &t));
}

/* Every length that is too short, in memory of exactly that size. */
static void test_cut_off(void)
{
	struct built whole[2] = {ipv4(PROTO_TCP, 3, 0), ipv6(60)};
	struct tuples t;

	tcp(&whole[0], SYN);
	extension(&whole[1], PROTO_TCP, 0);
	tcp(&whole[1], SYN);
	for (int i = 0; i < 2; i++)
		for (size_t len = 0; len < whole[i].len; len++) {
			uint8_t *copy = malloc(len ? len : 1);

			memcpy(copy, whole[i].data, len);
			/* the flags of TCP are its 14th byte */
			CHECK_EQ(headers_tuples(copy, len, &t), len >= whole[i].len - 6);
			free(copy);
		}
}

static void test_anything(void)
{
	uint8_t data[HEADERS_ROOM];
	struct tuples t;
	unsigned known = 0;

	for (int i = 0; i < MANY; i++) {
		size_t len = check_below(sizeof(data) + 1);

		for (size_t k = 0; k < len; k++)
			data[k] = (uint8_t)check_random();
		if (len)
			data[0] = (uint8_t)(check_below(2) ? 0x60 : 0x40 | (data[0] & 15));
		if (headers_tuples(data, len, &t)) {
			known++;
			CHECK(t.family == 4 || t.family == 6);
		}
	}
	CHECK(known > 0);
}

int main(void)
{
	static const struct check_test tests[] = {
		{"tcp", test_tcp},
		{"ipv6 and its extension headers", test_ipv6},
		{"other protocols", test_others},
		{"cut off at each byte", test_cut_off},
		{"random bytes", test_anything},
	};

	return check_main("headers", tests, sizeof(tests) / sizeof(tests[0]));
}
