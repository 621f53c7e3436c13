/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads entries out of ctnetlink messages; knows libnetfilter_conntrack, opens nothing. */
#include "bytes.h"
#include "ctnl_msg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <time.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>

static bool msg_addresses(const struct nf_conntrack *ct, struct tuples *t)
{
	static const enum nf_conntrack_attr v4[] = {
		[ORIG_SRC] = ATTR_ORIG_IPV4_SRC,
		[ORIG_DST] = ATTR_ORIG_IPV4_DST,
		[REPLY_SRC] = ATTR_REPL_IPV4_SRC,
		[REPLY_DST] = ATTR_REPL_IPV4_DST,
	};
	static const enum nf_conntrack_attr v6[] = {
		[ORIG_SRC] = ATTR_ORIG_IPV6_SRC,
		[ORIG_DST] = ATTR_ORIG_IPV6_DST,
		[REPLY_SRC] = ATTR_REPL_IPV6_SRC,
		[REPLY_DST] = ATTR_REPL_IPV6_DST,
	};

	for (int i = 0; i < 4; i++) {
		const void *a = nfct_get_attr(ct, t->family == 6 ? v6[i] : v4[i]);

		if (!a)
			return false;
		memcpy(t->end[i].addr, a, family_len(t->family));
	}
	return true;
}

/* The payload of the first attribute of a type; empty and failed if there is none. */
static struct reader msg_attr(struct reader in, uint16_t type)
{
	while (reader_left(&in) >= sizeof(struct nlattr)) {
		struct nlattr a;
		struct reader payload;

		reader_copy(&in, &a, sizeof(a));
		if (a.nla_len < sizeof(a))
			break;
		payload = reader_sub(&in, a.nla_len - sizeof(a));
		if ((a.nla_type & NLA_TYPE_MASK) == type)
			return payload;
		reader_skip(&in, NLA_ALIGN(a.nla_len) - a.nla_len);
	}
	return (struct reader){.failed = true};
}

/* The library has no getter for the id of the reply. */
static uint16_t msg_reply_id(const struct nlmsghdr *nlh, bool v6)
{
	struct reader r = reader_of(nlh, nlh->nlmsg_len);

	reader_skip(&r, NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg)));
	r = msg_attr(r, CTA_TUPLE_REPLY);
	r = msg_attr(r, CTA_TUPLE_PROTO);
	r = msg_attr(r, v6 ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID);
	return reader_u16(&r);
}

/* Ports, or what stands for them. */
static void msg_ports(const struct nf_conntrack *ct, const struct nlmsghdr *nlh, struct tuples *t)
{
	static const enum nf_conntrack_attr port[] = {
		[ORIG_SRC] = ATTR_ORIG_PORT_SRC,
		[ORIG_DST] = ATTR_ORIG_PORT_DST,
		[REPLY_SRC] = ATTR_REPL_PORT_SRC,
		[REPLY_DST] = ATTR_REPL_PORT_DST,
	};

	if (!proto_is_icmp(t->proto)) {
		for (int i = 0; i < 4; i++) {
			if (nfct_attr_is_set(ct, port[i]) > 0)
				t->end[i].port = ntohs(nfct_get_attr_u16(ct, port[i]));
		}
		return;
	}
	t->icmp_type = nfct_get_attr_u8(ct, ATTR_ICMP_TYPE);
	t->icmp_code = nfct_get_attr_u8(ct, ATTR_ICMP_CODE);
	t->end[ORIG_SRC].port = ntohs(nfct_get_attr_u16(ct, ATTR_ICMP_ID));
	t->end[REPLY_DST].port = msg_reply_id(nlh, t->proto == PROTO_ICMPV6);
}

static void msg_tcp(const struct nf_conntrack *ct, struct kernel_entry *e)
{
	e->tcp_state = nfct_get_attr_u8(ct, ATTR_TCP_STATE);
	e->has_tcp_flags = nfct_attr_is_set(ct, ATTR_TCP_FLAGS_ORIG) > 0 &&
			   nfct_attr_is_set(ct, ATTR_TCP_FLAGS_REPL) > 0;
	if (!e->has_tcp_flags)
		return;
	e->tcp_flags[0] = nfct_get_attr_u8(ct, ATTR_TCP_FLAGS_ORIG);
	e->tcp_flags[1] = nfct_get_attr_u8(ct, ATTR_TCP_FLAGS_REPL);
	e->wscale[0] = nfct_get_attr_u8(ct, ATTR_TCP_WSCALE_ORIG);
	e->wscale[1] = nfct_get_attr_u8(ct, ATTR_TCP_WSCALE_REPL);
}

/* Of TCP; the kernel shows it only where there is one. */
static void msg_adjustment(const struct nf_conntrack *ct, struct kernel_entry *e)
{
	static const enum nf_conntrack_attr before[] = {ATTR_ORIG_NAT_SEQ_OFFSET_BEFORE,
							ATTR_REPL_NAT_SEQ_OFFSET_BEFORE};
	static const enum nf_conntrack_attr after[] = {ATTR_ORIG_NAT_SEQ_OFFSET_AFTER,
						       ATTR_REPL_NAT_SEQ_OFFSET_AFTER};

	for (int i = 0; i < 2; i++) {
		if (nfct_attr_is_set(ct, after[i]) <= 0)
			continue;
		e->seqadj[i] = nfct_get_attr_u32(ct, after[i]);
		e->seqadj_moves |= nfct_get_attr_u32(ct, before[i]) != e->seqadj[i];
	}
}

static void msg_counters(const struct nf_conntrack *ct, struct kernel_entry *e)
{
	e->has_counters = nfct_attr_is_set(ct, ATTR_ORIG_COUNTER_PACKETS) > 0 &&
			  nfct_attr_is_set(ct, ATTR_REPL_COUNTER_PACKETS) > 0;
	if (!e->has_counters)
		return;
	e->packets[0] = nfct_get_attr_u64(ct, ATTR_ORIG_COUNTER_PACKETS);
	e->packets[1] = nfct_get_attr_u64(ct, ATTR_REPL_COUNTER_PACKETS);
	e->bytes[0] = nfct_get_attr_u64(ct, ATTR_ORIG_COUNTER_BYTES);
	e->bytes[1] = nfct_get_attr_u64(ct, ATTR_REPL_COUNTER_BYTES);
}

/* With net.netfilter.nf_conntrack_timestamp the kernel tells when an entry was made, in Unix time.
 */
static void msg_age(const struct nf_conntrack *ct, struct kernel_entry *e)
{
	struct timespec now;
	uint64_t start;

	if (nfct_attr_is_set(ct, ATTR_TIMESTAMP_START) <= 0 ||
	    clock_gettime(CLOCK_REALTIME, &now) < 0)
		return;
	start = nfct_get_attr_u64(ct, ATTR_TIMESTAMP_START) / 1000000000u;
	if (start && start < (uint64_t)now.tv_sec)
		e->age = (uint32_t)((uint64_t)now.tv_sec - start);
}

static int msg_entry(const struct nf_conntrack *ct, const struct nlmsghdr *nlh,
		     const struct ctnl_scope *scope, struct kernel_entry *e)
{
	struct tuples *t = &e->tuples;
	uint8_t l3 = nfct_get_attr_u8(ct, ATTR_ORIG_L3PROTO);

	if (nfct_get_attr_u16(ct, ATTR_ZONE) != scope->zone)
		return 1;
	/* Zones of one direction only are not synchronised. */
	if (nfct_attr_is_set(ct, ATTR_ORIG_ZONE) > 0 || nfct_attr_is_set(ct, ATTR_REPL_ZONE) > 0)
		return 1;
	if ((l3 != AF_INET && l3 != AF_INET6) || nfct_attr_is_set(ct, ATTR_ORIG_L4PROTO) <= 0)
		return -EPROTO;
	t->family = l3 == AF_INET6 ? 6 : 4;
	t->proto = nfct_get_attr_u8(ct, ATTR_ORIG_L4PROTO);
	if (!msg_addresses(ct, t))
		return -EPROTO;
	e->id = nfct_get_attr_u32(ct, ATTR_ID);
	e->status = nfct_get_attr_u32(ct, ATTR_STATUS);
	e->has_timeout = nfct_attr_is_set(ct, ATTR_TIMEOUT) > 0;
	e->timeout = nfct_get_attr_u32(ct, ATTR_TIMEOUT);
	e->mark = nfct_get_attr_u32(ct, ATTR_MARK);
	if (t->proto == PROTO_TCP) {
		msg_tcp(ct, e);
		msg_adjustment(ct, e);
	} else if (t->proto == PROTO_SCTP) {
		e->sctp_state = nfct_get_attr_u8(ct, ATTR_SCTP_STATE);
		e->vtag[0] = nfct_get_attr_u32(ct, ATTR_SCTP_VTAG_ORIG);
		e->vtag[1] = nfct_get_attr_u32(ct, ATTR_SCTP_VTAG_REPL);
	}
	msg_counters(ct, e);
	msg_age(ct, e);
	msg_ports(ct, nlh, t);
	return 0;
}

int ctnl_msg_parse(const struct nlmsghdr *nlh, const struct ctnl_scope *scope,
		   struct kernel_entry *e)
{
	struct nf_conntrack *ct = nfct_new();
	int err;

	if (!ct)
		return -ENOMEM;
	memset(e, 0, sizeof(*e));
	err = nfct_nlmsg_parse(nlh, ct) < 0 ? -EPROTO : msg_entry(ct, nlh, scope, e);
	nfct_destroy(ct);
	return err;
}
