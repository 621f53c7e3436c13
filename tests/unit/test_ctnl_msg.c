/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A request that is built is read back by the library as it was meant. */
#include "check.h"
#include "ctnl_msg.h"

#include <libmnl/libmnl.h>
#include <string.h>

static const struct ctnl_scope scope = {.zone = 0};

static struct kernel_op request(int family, uint8_t proto, bool translated)
{
	struct kernel_op op = {.verb = KERNEL_CREATE};
	struct tuples *t = &op.entry.tuples;

	t->family = (uint8_t)family;
	t->proto = proto;
	for (int i = ORIG_SRC; i <= REPLY_DST; i++) {
		bool client = i == ORIG_SRC || i == REPLY_DST;

		for (size_t b = 0; b < family_len(family); b++)
			t->end[i].addr[b] = (uint8_t)(b + (client ? 10 : 200));
		t->end[i].port = client ? 0xc123 : 0x01bb;
		if (proto_is_icmp(proto))
			t->end[i].port = client ? 0xc123 : 0;
	}
	if (proto_is_icmp(proto))
		t->icmp_type = proto == PROTO_ICMP ? 8 : 128;
	if (translated) {
		t->end[REPLY_DST].addr[3] ^= 0x55;
		t->end[REPLY_DST].port ^= 0x1234;
	}
	op.entry.timeout = 86400;
	op.entry.status = CT_STATUS_SEEN_REPLY;
	if (proto == PROTO_TCP)
		op.entry.tcp_state = CT_TCP_ESTABLISHED;
	return op;
}

static void test_read_back(void)
{
	static const struct {
		int family;
		uint8_t proto;
	} kinds[] = {{4, PROTO_TCP}, {4, PROTO_UDP}, {4, PROTO_SCTP}, {4, PROTO_ICMP},
		     {6, PROTO_TCP}, {6, PROTO_UDP}, {6, PROTO_SCTP}, {6, PROTO_ICMPV6}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (int translated = 0; translated < 2; translated++) {
			struct kernel_op op = request(kinds[i].family, kinds[i].proto, translated);
			union {
				struct nlmsghdr nlh;
				char buf[CTNL_MSG_MAX];
			} m = {.buf = {0}};
			struct nlmsghdr *nlh = ctnl_msg_build(m.buf, &scope, &op, 7);
			/* the kernel makes the reply tuple of the translation itself */
			struct tuples plain = op.entry.tuples;
			struct kernel_entry e;

			plain.end[REPLY_SRC] = plain.end[ORIG_DST];
			plain.end[REPLY_DST] = plain.end[ORIG_SRC];
			if (!CHECK(nlh == &m.nlh))
				return;
			CHECK(nlh->nlmsg_len <= CTNL_MSG_MAX);
			CHECK_EQ(nlh->nlmsg_seq, 7);
			CHECK_EQ(ctnl_msg_parse(nlh, &scope, &e), 0);
			CHECK(tuples_equal(&e.tuples, &plain));
			CHECK_EQ(e.timeout, op.entry.timeout);
			CHECK_EQ(e.tcp_state, op.entry.tcp_state);
			CHECK(e.status & CT_STATUS_SEEN_REPLY);
		}
}

/* The bytes of an original tuple of IPv4 and ports: lengths, types and paddings. */
static void test_tuple_bytes(void)
{
	static const uint8_t want[] = {
		52, 0, 1,   0x80, 20,	0,    1,  0x80, 8, 0,	 1, 0, 10,   11,   12, 13, 8, 0,
		2,  0, 200, 201,  202,	203,  28, 0,	2, 0x80, 5, 0, 1,    0,	   6,  0,  0, 0,
		6,  0, 2,   0,	  0xc1, 0x23, 0,  0,	6, 0,	 3, 0, 0x01, 0xbb, 0,  0};
	struct kernel_op op = request(4, PROTO_TCP, false);
	union {
		struct nlmsghdr nlh;
		uint8_t buf[CTNL_MSG_MAX];
	} m;
	struct nlmsghdr *nlh;

	memset(m.buf, 0xee, sizeof(m.buf));
	op.verb = KERNEL_GET;
	nlh = ctnl_msg_build(m.buf, &scope, &op, 1);
	if (!CHECK(nlh && nlh->nlmsg_len == NLMSG_HDRLEN + 4 + sizeof(want)))
		return;
	/* the kernel reads native lengths and types */
	if (*(const uint8_t *)&(uint16_t){1})
		CHECK_MEM(m.buf + NLMSG_HDRLEN + 4, want, sizeof(want));
}

int main(void)
{
	static const struct check_test tests[] = {
		{"built and read back", test_read_back},
		{"bytes of a tuple", test_tuple_bytes},
	};

	return check_main("ctnl_msg", tests, sizeof(tests) / sizeof(tests[0]));
}
