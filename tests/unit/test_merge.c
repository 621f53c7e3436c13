/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Newer, equal or stale: each direction by itself, never backwards. */
#include "check.h"
#include "flow.h"
#include "merge.h"

static enum merge tcp(uint8_t known, uint32_t known_seq, uint8_t in, uint32_t in_seq, bool numbers)
{
	struct pf_peer k = {.state = known, .seqlo = known_seq}, i = {.state = in, .seqlo = in_seq};

	return merge_peer(PROTO_TCP, &k, numbers, &i);
}

static void states(void)
{
	for (uint8_t k = 0; k < 11; k++)
		for (uint8_t i = 0; i < 11; i++) {
			enum merge want = i > k ? MERGE_NEWER : i < k ? MERGE_STALE : MERGE_EQUAL;

			CHECK_EQ(tcp(k, 7, i, 7, true), want);
			CHECK_EQ(tcp(k, 7, i, 99, false), want); /* numbers that we made up */
			if (i != k) /* numbers count only between equal states */
				CHECK_EQ(tcp(k, 7, i, 99, true), want);
		}
}

static void numbers(void)
{
	CHECK_EQ(tcp(4, 100, 4, 101, true), MERGE_NEWER);
	CHECK_EQ(tcp(4, 100, 4, 100, true), MERGE_EQUAL);
	CHECK_EQ(tcp(4, 100, 4, 99, true), MERGE_STALE);
	CHECK_EQ(tcp(4, 0xfffffff0, 4, 0x10, true), MERGE_NEWER); /* wrapped */
	CHECK_EQ(tcp(4, 0x10, 4, 0xfffffff0, true), MERGE_STALE);
	CHECK_EQ(tcp(4, 0, 4, 0x7fffffff, true), MERGE_NEWER);
	CHECK_EQ(tcp(4, 0x7fffffff, 4, 0, true), MERGE_STALE);
	CHECK_EQ(tcp(4, 0x80000001, 4, 0, true), MERGE_NEWER);
}

static void synproxy(void)
{
	for (uint8_t k = 11; k <= 12; k++) {
		CHECK_EQ(tcp(k, 9, 4, 1, true), MERGE_NEWER); /* the handshake is over */
		CHECK_EQ(tcp(k, 9, 2, 1, true), MERGE_NEWER);
	}
	CHECK_EQ(tcp(12, 9, 11, 9, true), MERGE_STALE);
	CHECK_EQ(tcp(4, 9, 11, 9, true), MERGE_NEWER);
}

static void others(void)
{
	struct pf_peer k = {.state = 2, .seqlo = 9}, i = {.state = 1, .seqlo = 99};

	CHECK_EQ(merge_peer(PROTO_UDP, &k, true, &i), MERGE_STALE);
	CHECK_EQ(merge_peer(PROTO_UDP, &i, true, &k), MERGE_NEWER);
	i.state = 2;
	CHECK_EQ(merge_peer(PROTO_UDP, &k, true, &i), MERGE_EQUAL); /* no sequence */
}

/* Whatever order: the same outcome, and never backwards. */
static void order_does_not_matter(void)
{
	for (int round = 0; round < 2000; round++) {
		struct pf_peer in[3], a = {0}, b = {0};

		for (int i = 0; i < 3; i++)
			in[i] = (struct pf_peer){.state = (uint8_t)(2 * check_below(3)),
						 .seqlo = 0xfffffff0 + (uint32_t)check_below(32)};
		a = b = in[0];
		for (int i = 1; i < 3; i++) {
			if (merge_peer(PROTO_TCP, &a, true, &in[i]) != MERGE_STALE)
				a = in[i];
			if (merge_peer(PROTO_TCP, &b, true, &in[3 - i]) != MERGE_STALE)
				b = in[3 - i];
		}
		if (!CHECK_EQ(a.state, b.state) || !CHECK_EQ(a.seqlo, b.seqlo))
			break;
	}
}

int main(void)
{
	static const struct check_test tests[] = {
		{"states", states},
		{"numbers", numbers},
		{"synproxy", synproxy},
		{"other protocols", others},
		{"order does not matter", order_does_not_matter},
	};

	return check_main("merge", tests, sizeof(tests) / sizeof(tests[0]));
}
