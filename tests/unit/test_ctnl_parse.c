/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is read of ctnetlink messages, whole and damaged, is what libnetfilter_conntrack reads. */
#include "check.h"
#include "ctnl_msg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1024, FOREIGN_ZONE = 7, UNKNOWN = 0x3fff };

static const struct ctnl_scope scope = {.zone = 3};

/* ---- the judge ------------------------------------------------------------------------- */

static const struct nlattr *last_of(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *found = NULL;
	struct nlattr *a;

	if (nest)
		mnl_attr_for_each_nested(a, nest) found = mnl_attr_get_type(a) == type ? a : found;
	return found;
}

/* The library has no getter for it. */
static uint16_t reply_id(const struct nlmsghdr *nlh, bool v6)
{
	const struct nlattr *tuple = NULL, *id;
	struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg))
		tuple = mnl_attr_get_type(a) == CTA_TUPLE_REPLY ? a : tuple;
	id = last_of(last_of(tuple, CTA_TUPLE_PROTO), v6 ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID);
	return id ? ntohs(mnl_attr_get_u16(id)) : 0;
}

static int judge_addresses(const struct nf_conntrack *ct, struct tuples *t)
{
	static const enum nf_conntrack_attr of[2][4] = {
		{ATTR_ORIG_IPV4_SRC, ATTR_ORIG_IPV4_DST, ATTR_REPL_IPV4_SRC, ATTR_REPL_IPV4_DST},
		{ATTR_ORIG_IPV6_SRC, ATTR_ORIG_IPV6_DST, ATTR_REPL_IPV6_SRC, ATTR_REPL_IPV6_DST}};

	for (int i = 0; i < 4; i++) {
		const void *a = nfct_get_attr(ct, of[t->family == 6][i]);

		if (!a)
			return -EPROTO;
		memcpy(t->end[i].addr, a, family_len(t->family));
	}
	return 0;
}

static void judge_ports(const struct nf_conntrack *ct, const struct nlmsghdr *nlh, struct tuples *t)
{
	static const enum nf_conntrack_attr port[] = {ATTR_ORIG_PORT_SRC, ATTR_ORIG_PORT_DST,
						      ATTR_REPL_PORT_SRC, ATTR_REPL_PORT_DST};

	if (proto_is_icmp(t->proto)) {
		t->icmp_type = nfct_get_attr_u8(ct, ATTR_ICMP_TYPE);
		t->icmp_code = nfct_get_attr_u8(ct, ATTR_ICMP_CODE);
		t->end[ORIG_SRC].port = ntohs(nfct_get_attr_u16(ct, ATTR_ICMP_ID));
		t->end[REPLY_DST].port = reply_id(nlh, t->proto == PROTO_ICMPV6);
		return;
	}
	for (int i = 0; i < 4; i++)
		t->end[i].port = ntohs(nfct_get_attr_u16(ct, port[i]));
}

static void judge_protocol(const struct nf_conntrack *ct, struct kernel_entry *e)
{
	if (e->tuples.proto == PROTO_SCTP) {
		e->sctp_state = nfct_get_attr_u8(ct, ATTR_SCTP_STATE);
		e->vtag[0] = nfct_get_attr_u32(ct, ATTR_SCTP_VTAG_ORIG);
		e->vtag[1] = nfct_get_attr_u32(ct, ATTR_SCTP_VTAG_REPL);
	}
	if (e->tuples.proto != PROTO_TCP)
		return;
	e->tcp_state = nfct_get_attr_u8(ct, ATTR_TCP_STATE);
	e->has_tcp_flags = nfct_attr_is_set(ct, ATTR_TCP_FLAGS_ORIG) > 0 &&
			   nfct_attr_is_set(ct, ATTR_TCP_FLAGS_REPL) > 0;
	if (e->has_tcp_flags) {
		e->tcp_flags[0] = nfct_get_attr_u8(ct, ATTR_TCP_FLAGS_ORIG);
		e->tcp_flags[1] = nfct_get_attr_u8(ct, ATTR_TCP_FLAGS_REPL);
		e->wscale[0] = nfct_get_attr_u8(ct, ATTR_TCP_WSCALE_ORIG);
		e->wscale[1] = nfct_get_attr_u8(ct, ATTR_TCP_WSCALE_REPL);
	}
	e->seqadj[0] = nfct_get_attr_u32(ct, ATTR_ORIG_NAT_SEQ_OFFSET_AFTER);
	e->seqadj[1] = nfct_get_attr_u32(ct, ATTR_REPL_NAT_SEQ_OFFSET_AFTER);
	e->seqadj_moves = (nfct_attr_is_set(ct, ATTR_ORIG_NAT_SEQ_OFFSET_AFTER) > 0 &&
			   nfct_get_attr_u32(ct, ATTR_ORIG_NAT_SEQ_OFFSET_BEFORE) !=
				   e->seqadj[0]) ||
			  (nfct_attr_is_set(ct, ATTR_REPL_NAT_SEQ_OFFSET_AFTER) > 0 &&
			   nfct_get_attr_u32(ct, ATTR_REPL_NAT_SEQ_OFFSET_BEFORE) != e->seqadj[1]);
}

static void judge_rest(const struct nf_conntrack *ct, struct kernel_entry *e)
{
	uint64_t start = nfct_get_attr_u64(ct, ATTR_TIMESTAMP_START) / 1000000000u;
	uint64_t now = (uint64_t)time(NULL);

	e->id = nfct_get_attr_u32(ct, ATTR_ID);
	e->status = nfct_get_attr_u32(ct, ATTR_STATUS);
	e->has_timeout = nfct_attr_is_set(ct, ATTR_TIMEOUT) > 0;
	e->timeout = nfct_get_attr_u32(ct, ATTR_TIMEOUT);
	e->mark = nfct_get_attr_u32(ct, ATTR_MARK);
	e->age = start && start < now ? (uint32_t)(now - start) : 0;
	e->has_counters = nfct_attr_is_set(ct, ATTR_ORIG_COUNTER_PACKETS) > 0 &&
			  nfct_attr_is_set(ct, ATTR_REPL_COUNTER_PACKETS) > 0;
	if (!e->has_counters)
		return;
	e->packets[0] = nfct_get_attr_u64(ct, ATTR_ORIG_COUNTER_PACKETS);
	e->packets[1] = nfct_get_attr_u64(ct, ATTR_REPL_COUNTER_PACKETS);
	e->bytes[0] = nfct_get_attr_u64(ct, ATTR_ORIG_COUNTER_BYTES);
	e->bytes[1] = nfct_get_attr_u64(ct, ATTR_REPL_COUNTER_BYTES);
}

static int judge_entry(const struct nf_conntrack *ct, const struct nlmsghdr *nlh,
		       struct kernel_entry *e)
{
	uint8_t l3 = nfct_get_attr_u8(ct, ATTR_ORIG_L3PROTO);

	if (nfct_get_attr_u16(ct, ATTR_ZONE) != scope.zone ||
	    nfct_attr_is_set(ct, ATTR_ORIG_ZONE) > 0 || nfct_attr_is_set(ct, ATTR_REPL_ZONE) > 0)
		return 1;
	if ((l3 != AF_INET && l3 != AF_INET6) || nfct_attr_is_set(ct, ATTR_ORIG_L4PROTO) <= 0)
		return -EPROTO;
	e->tuples.family = l3 == AF_INET6 ? 6 : 4;
	e->tuples.proto = nfct_get_attr_u8(ct, ATTR_ORIG_L4PROTO);
	judge_ports(ct, nlh, &e->tuples);
	judge_protocol(ct, e);
	judge_rest(ct, e);
	return judge_addresses(ct, &e->tuples);
}

static int judge(const struct nlmsghdr *nlh, struct kernel_entry *e)
{
	struct nf_conntrack *ct = nfct_new();
	int r;

	memset(e, 0, sizeof(*e));
	r = nfct_nlmsg_parse(nlh, ct) < 0 ? -EPROTO : judge_entry(ct, nlh, e);
	nfct_destroy(ct);
	return r;
}

static bool same(int r, const struct kernel_entry *a, int s, const struct kernel_entry *b)
{
	struct kernel_entry c = *b;

	if (a->age == c.age + 1 || a->age + 1 == c.age) /* a second has passed in between */
		c.age = a->age;
	return r == s && (r || !memcmp(a, &c, sizeof(c)));
}

/* Both read the message alike. */
static bool agree(const struct nlmsghdr *nlh)
{
	struct kernel_entry ours, theirs;
	int r = ctnl_msg_parse(nlh, &scope, &ours);

	return same(r, &ours, judge(nlh, &theirs), &theirs);
}

/* ---- messages -------------------------------------------------------------------------- */

struct message {
	union {
		struct nlmsghdr nlh;
		uint8_t bytes[ROOM];
	};
	unsigned gaps; /* one of so many attributes is left out; 0: none */
};

static void put(struct message *m, uint16_t type, size_t len)
{
	uint8_t bytes[64];

	check_fill(bytes, len);
	if (!m->gaps || check_below(m->gaps))
		mnl_attr_put(&m->nlh, type, len, bytes);
}

static void put_tuple(struct message *m, uint16_t type, int family, uint8_t proto)
{
	bool v6 = proto == PROTO_ICMPV6;
	struct nlattr *tuple = mnl_attr_nest_start(&m->nlh, type), *part;

	part = mnl_attr_nest_start(&m->nlh, CTA_TUPLE_IP);
	put(m, family == 6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, family_len(family));
	put(m, family == 6 ? CTA_IP_V6_DST : CTA_IP_V4_DST, family_len(family));
	mnl_attr_nest_end(&m->nlh, part);
	part = mnl_attr_nest_start(&m->nlh, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(&m->nlh, CTA_PROTO_NUM, proto);
	if (proto_is_icmp(proto)) {
		put(m, v6 ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID, 2);
		put(m, v6 ? CTA_PROTO_ICMPV6_TYPE : CTA_PROTO_ICMP_TYPE, 1);
		put(m, v6 ? CTA_PROTO_ICMPV6_CODE : CTA_PROTO_ICMP_CODE, 1);
	} else if (proto != IPPROTO_ESP) {
		put(m, CTA_PROTO_SRC_PORT, 2);
		put(m, CTA_PROTO_DST_PORT, 2);
	}
	mnl_attr_nest_end(&m->nlh, part);
	if (!check_below(40))
		put(m, CTA_TUPLE_ZONE, 2);
	mnl_attr_nest_end(&m->nlh, tuple);
}

/* A nest of random values, of types from 1 on. */
static void put_nest(struct message *m, uint16_t type, const uint8_t *len, size_t n)
{
	struct nlattr *nest = mnl_attr_nest_start(&m->nlh, type);

	for (size_t i = 0; i < n; i++)
		put(m, (uint16_t)(i + 1), len[i]);
	mnl_attr_nest_end(&m->nlh, nest);
}

static void put_protocol(struct message *m, uint8_t proto)
{
	struct nlattr *info = mnl_attr_nest_start(&m->nlh, CTA_PROTOINFO);

	if (proto == PROTO_TCP)
		put_nest(m, CTA_PROTOINFO_TCP, (uint8_t[]){1, 1, 1, 2, 2}, 5);
	if (proto == PROTO_SCTP)
		put_nest(m, CTA_PROTOINFO_SCTP, (uint8_t[]){1, 4, 4}, 3);
	if (proto == IPPROTO_DCCP)
		put_nest(m, CTA_PROTOINFO_DCCP, (uint8_t[]){1, 1}, 2);
	mnl_attr_nest_end(&m->nlh, info);
	for (uint16_t i = 0; i < 2; i++)
		if (check_below(2))
			put_nest(m, CTA_SEQ_ADJ_ORIG + i, (uint8_t[]){4, 4, 4}, 3);
}

static void put_timestamp(struct message *m)
{
	struct nlattr *nest = mnl_attr_nest_start(&m->nlh, CTA_TIMESTAMP);
	uint64_t start = (uint64_t)time(NULL) + 1000 - check_below(100000);

	mnl_attr_put_u64(&m->nlh, CTA_TIMESTAMP_START, htobe64(start * 1000000000u));
	mnl_attr_nest_end(&m->nlh, nest);
}

/* With what the kernel tells beside, too. */
static void make(struct message *m)
{
	static const uint8_t protos[] = {PROTO_TCP,    PROTO_TCP,      PROTO_UDP,  PROTO_ICMP,
					 PROTO_GRE,    PROTO_ICMPV6,   PROTO_SCTP, IPPROTO_ESP,
					 IPPROTO_DCCP, IPPROTO_UDPLITE};
	uint8_t proto = protos[check_below(sizeof(protos))];
	int family = check_below(2) ? 4 : 6;
	struct nfgenmsg *head;

	memset(m->bytes, 0, sizeof(m->bytes));
	m->gaps = check_below(2) ? 12 : 0;
	mnl_nlmsg_put_header(m->bytes);
	head = mnl_nlmsg_put_extra_header(&m->nlh, sizeof(*head));
	head->nfgen_family = family == 6 ? AF_INET6 : AF_INET;
	put_tuple(m, CTA_TUPLE_ORIG, family, proto);
	put_tuple(m, CTA_TUPLE_REPLY, family, proto);
	put(m, CTA_STATUS, 4);
	put(m, CTA_TIMEOUT, 4);
	if (check_below(2)) {
		put_nest(m, CTA_COUNTERS_ORIG, (uint8_t[]){8, 8}, 2);
		put_nest(m, CTA_COUNTERS_REPLY, (uint8_t[]){8, 8}, 2);
		put_timestamp(m);
	}
	put_protocol(m, proto);
	put(m, CTA_MARK, 4);
	put(m, CTA_SECMARK, 4);
	put(m, CTA_USE, 4);
	put(m, CTA_ID, 4);
	put(m, CTA_LABELS, 16);
	put(m, UNKNOWN, check_below(20));
	mnl_attr_put_u16(&m->nlh, CTA_ZONE, htons(check_below(20) ? scope.zone : FOREIGN_ZONE));
}

/* ---- tests ----------------------------------------------------------------------------- */

static void test_whole(void)
{
	unsigned taken = 0;

	for (int i = 0; i < 4000; i++) {
		struct kernel_entry e;
		struct message m;

		make(&m);
		if (!CHECK(agree(&m.nlh)))
			return;
		taken += !ctnl_msg_parse(&m.nlh, &scope, &e);
	}
	CHECK(taken > 2000); /* the others lack something or are of another zone */
}

/* In memory that ends where the message does. */
static void test_cut(void)
{
	for (int i = 0; i < 40; i++) {
		struct message m;

		make(&m);
		for (uint32_t len = sizeof(m.nlh); len <= m.nlh.nlmsg_len; len++) {
			struct nlmsghdr *part = malloc(len);
			struct kernel_entry e;

			if (!CHECK(part != NULL))
				return;
			memcpy(part, m.bytes, len);
			part->nlmsg_len = len;
			/* the library reads the family without asking whether it is there */
			if (!CHECK(len < sizeof(m.nlh) + sizeof(struct nfgenmsg)
					   ? ctnl_msg_parse(part, &scope, &e) == -EPROTO
					   : agree(part)))
				i = 40;
			free(part);
		}
	}
}

/*
 * The library minds what is wrong in attributes that we do not look at, too. All that makes no
 * difference to us gets a type that nobody knows.
 */
static void hide_unread(struct message *m)
{
	struct kernel_entry e, without;
	int r = ctnl_msg_parse(&m->nlh, &scope, &e);

	for (size_t at = NLMSG_HDRLEN + sizeof(struct nfgenmsg); at + 4 <= m->nlh.nlmsg_len;
	     at += 4) {
		uint16_t was, unknown = UNKNOWN;
		int s;

		memcpy(&was, m->bytes + at + 2, sizeof(was));
		memcpy(m->bytes + at + 2, &unknown, sizeof(unknown));
		s = ctnl_msg_parse(&m->nlh, &scope, &without);
		if (!same(r, &e, s, &without))
			memcpy(m->bytes + at + 2, &was, sizeof(was));
	}
}

/* In a process of its own: at a wrong length the library calls the kernel broken, and exit(). */
static bool judge_refuses(const struct nlmsghdr *nlh)
{
	pid_t child = fork();
	int status = 0;

	if (!child) {
		struct kernel_entry e;

		(void)close(STDERR_FILENO);
		_exit(judge(nlh, &e) == -EPROTO);
	}
	return waitpid(child, &status, 0) == child && status != 0;
}

static void test_damaged(void)
{
	unsigned refused = 0;

	for (int i = 0; i < 6000; i++) {
		struct kernel_entry e;
		struct message m;

		make(&m);
		for (uint64_t n = 1 + check_below(3); n; n--) {
			size_t at = NLMSG_HDRLEN + check_below(m.nlh.nlmsg_len - NLMSG_HDRLEN);

			/* mostly lengths and types, of which the low byte counts */
			if (check_below(4))
				at &= ~(size_t)1;
			m.bytes[at] = (uint8_t)check_below(check_below(2) ? 32 : 256);
		}
		if (ctnl_msg_parse(&m.nlh, &scope, &e) < 0) {
			refused++;
			if (!CHECK(judge_refuses(&m.nlh)))
				return;
			continue;
		}
		hide_unread(&m);
		if (!CHECK(agree(&m.nlh)))
			return;
	}
	CHECK(refused > 600 && refused < 4000);
}

int main(void)
{
	static const struct check_test tests[] = {
		{"whole messages", test_whole},
		{"messages cut short", test_cut},
		{"damaged messages", test_damaged},
	};

	return check_main("ctnl_parse", tests, sizeof(tests) / sizeof(tests[0]));
}
