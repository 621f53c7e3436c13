/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tuples, addresses and prefixes. */
#include "check.h"
#include "flow.h"

#include <string.h>

static struct endpoint end_of(const char *addr, uint16_t port)
{
	struct endpoint e = {.port = port};
	struct prefix p;

	CHECK(prefix_parse(&p, addr));
	memcpy(e.addr, p.addr, sizeof(e.addr));
	return e;
}

static void prefixes(void)
{
	static const char *const bad[] = {"",
					  "192.0.2",
					  "192.0.2.0/33",
					  "192.0.2.0/",
					  "192.0.2.0/a",
					  "192.0.2.0/-1",
					  "2001:db8::/129",
					  "::g",
					  "192.0.2.0/8x",
					  "host"};
	struct prefix p;

	CHECK(prefix_parse(&p, "192.0.2.77/26") && p.family == 4 && p.bits == 26);
	CHECK_EQ(p.addr[3], 64);
	CHECK(prefix_has(&p, 4, (uint8_t[]){192, 0, 2, 127}));
	CHECK(!prefix_has(&p, 4, (uint8_t[]){192, 0, 2, 128}));
	CHECK(!prefix_has(&p, 6, (uint8_t[16]){192, 0, 2, 127}));
	CHECK(prefix_parse(&p, "192.0.2.1") && p.bits == 32);
	CHECK(prefix_has(&p, 4, (uint8_t[]){192, 0, 2, 1}) &&
	      !prefix_has(&p, 4, (uint8_t[]){192, 0, 2, 0}));
	CHECK(prefix_parse(&p, "2001:db8:8000::/33"));
	CHECK(prefix_has(&p, 6, (uint8_t[16]){0x20, 1, 0xd, 0xb8, 0xff}));
	CHECK(!prefix_has(&p, 6, (uint8_t[16]){0x20, 1, 0xd, 0xb8, 0x7f}));
	CHECK(prefix_parse(&p, "0.0.0.0/0") && prefix_has(&p, 4, (uint8_t[]){255, 1, 2, 3}));
	CHECK(prefix_parse(&p, "::/0") && prefix_has(&p, 6, (uint8_t[16]){255}));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!CHECK(!prefix_parse(&p, bad[i])))
			CHECK_STR(bad[i], "refused");
}

static void special_addresses(void)
{
	static const struct {
		const char *addr;
		bool special;
	} table[] = {
		{"0.0.0.0", true},
		{"0.1.2.3", true},
		{"127.0.0.1", true},
		{"127.255.255.255", true},
		{"169.254.0.1", true},
		{"169.253.0.1", false},
		{"224.0.0.240", true},
		{"239.1.1.1", true},
		{"255.255.255.255", true},
		{"10.0.0.1", false},
		{"223.255.255.255", false},
		{"192.0.2.1", false},
		{"::", true},
		{"::1", true},
		{"::2", false},
		{"fe80::1", true},
		{"febf::1", true},
		{"fec0::1", false},
		{"ff02::1", true},
		{"fc00::1", false},
		{"2001:db8::1", false},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct endpoint e = end_of(table[i].addr, 0);

		if (!CHECK_EQ(address_is_special(strchr(table[i].addr, ':') ? 6 : 4, e.addr),
			      table[i].special))
			CHECK_STR(table[i].addr, "");
	}
}

static struct tuples sample(void)
{
	struct tuples t = {.family = 4, .proto = PROTO_TCP};

	t.end[ORIG_SRC] = t.end[REPLY_DST] = end_of("192.0.2.10", 40000);
	t.end[ORIG_DST] = t.end[REPLY_SRC] = end_of("198.51.100.10", 443);
	return t;
}

static void comparing(void)
{
	struct tuples a = sample(), b = sample();

	CHECK(tuples_equal(&a, &b));
	CHECK(!tuples_have_snat(&a) && !tuples_have_dnat(&a));
	for (int i = ORIG_SRC; i <= REPLY_DST; i++) {
		b = a;
		b.end[i].port++;
		CHECK(!tuples_equal(&a, &b));
		b = a;
		b.end[i].addr[3]++;
		CHECK(!tuples_equal(&a, &b));
	}
	b = a;
	b.proto = PROTO_UDP;
	CHECK(!tuples_equal(&a, &b));
	b = a;
	b.icmp_type = 8;
	CHECK(!tuples_equal(&a, &b));
	b = a;
	b.end[REPLY_DST].port = 1;
	CHECK(tuples_have_snat(&b) && !tuples_have_dnat(&b));
	b = a;
	b.end[ORIG_DST].addr[0] = 1;
	CHECK(!tuples_have_snat(&b) && tuples_have_dnat(&b));
}

int main(void)
{
	static const struct check_test tests[] = {
		{"prefixes", prefixes},
		{"special addresses", special_addresses},
		{"comparing", comparing},
	};

	return check_main("flow", tests, sizeof(tests) / sizeof(tests[0]));
}
