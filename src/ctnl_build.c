/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes ctnetlink requests with libmnl; opens nothing. */
#include "ctnl_msg.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>

/* As linux/netfilter/nf_conntrack_tcp.h has it; that header does not go with C11's names. */
struct tcp_flags {
	uint8_t flags;
	uint8_t mask;
};

enum { TCP_FLAGS_SETTABLE = 0x0f };

static bool build_has_ports(uint8_t proto)
{
	return proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_SCTP ||
	       proto == IPPROTO_UDPLITE || proto == IPPROTO_DCCP;
}

static void build_address(struct nlmsghdr *nlh, int family, uint16_t v4, uint16_t v6,
			  const struct endpoint *e)
{
	mnl_attr_put(nlh, family == 6 ? v6 : v4, family_len(family), e->addr);
}

/* What answers a query of this type: the kernel wants the reply tuple to carry it. */
static uint8_t build_icmp_answer(const struct tuples *t)
{
	if (t->proto == PROTO_ICMPV6)
		return t->icmp_type ^ 1 ^ (t->icmp_type >= 139 ? 6 : 0);
	switch (t->icmp_type) {
	case 8:
		return 0;
	case 0:
		return 8;
	case 13:
	case 15:
	case 17:
		return t->icmp_type + 1;
	default:
		return t->icmp_type - 1;
	}
}

/* What the calls of build_tuple() make of IPv4 and ports, which nearly all flows have. */
struct tuple_v4 {
	struct nlattr tuple, addresses, src;
	uint8_t src_addr[4];
	struct nlattr dst;
	uint8_t dst_addr[4];
	struct nlattr part, number;
	uint8_t proto, pad[3];
	struct nlattr src_port;
	uint16_t be_src_port, pad_src;
	struct nlattr dst_port;
	uint16_t be_dst_port, pad_dst;
};

static void build_tuple_v4(struct nlmsghdr *nlh, uint8_t proto, const struct endpoint *src,
			   const struct endpoint *dst, bool turned)
{
	enum { HEADER = sizeof(struct nlattr), WORD = HEADER + 4, PORT = HEADER + 2 };
	static const struct tuple_v4 shape = {
		.tuple = {sizeof(shape), NLA_F_NESTED},
		.addresses = {HEADER + 2 * WORD, NLA_F_NESTED | CTA_TUPLE_IP},
		.src = {WORD, CTA_IP_V4_SRC},
		.dst = {WORD, CTA_IP_V4_DST},
		.part = {HEADER + 3 * WORD, NLA_F_NESTED | CTA_TUPLE_PROTO},
		.number = {HEADER + 1, CTA_PROTO_NUM},
		.src_port = {PORT, CTA_PROTO_SRC_PORT},
		.dst_port = {PORT, CTA_PROTO_DST_PORT},
	};
	struct tuple_v4 t = shape;

	t.tuple.nla_type |= turned ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG;
	memcpy(t.src_addr, src->addr, sizeof(t.src_addr));
	memcpy(t.dst_addr, dst->addr, sizeof(t.dst_addr));
	t.proto = proto;
	t.be_src_port = htons(src->port);
	t.be_dst_port = htons(dst->port);
	memcpy(mnl_nlmsg_get_payload_tail(nlh), &t, sizeof(t));
	nlh->nlmsg_len += sizeof(t);
}

/* The original tuple, or turned round. */
static void build_tuple(struct nlmsghdr *nlh, const struct tuples *t, bool turned)
{
	const struct endpoint *src = &t->end[turned ? ORIG_DST : ORIG_SRC];
	const struct endpoint *dst = &t->end[turned ? ORIG_SRC : ORIG_DST];
	bool v6 = t->proto == PROTO_ICMPV6;
	struct nlattr *tuple, *part;

	if (t->family == 4 && build_has_ports(t->proto)) {
		build_tuple_v4(nlh, t->proto, src, dst, turned);
		return;
	}
	tuple = mnl_attr_nest_start(nlh, turned ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG);
	part = mnl_attr_nest_start(nlh, CTA_TUPLE_IP);
	build_address(nlh, t->family, CTA_IP_V4_SRC, CTA_IP_V6_SRC, src);
	build_address(nlh, t->family, CTA_IP_V4_DST, CTA_IP_V6_DST, dst);
	mnl_attr_nest_end(nlh, part);

	part = mnl_attr_nest_start(nlh, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(nlh, CTA_PROTO_NUM, t->proto);
	if (proto_is_icmp(t->proto)) {
		mnl_attr_put_u16(nlh, v6 ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID,
				 htons(t->end[ORIG_SRC].port));
		mnl_attr_put_u8(nlh, v6 ? CTA_PROTO_ICMPV6_TYPE : CTA_PROTO_ICMP_TYPE,
				turned ? build_icmp_answer(t) : t->icmp_type);
		mnl_attr_put_u8(nlh, v6 ? CTA_PROTO_ICMPV6_CODE : CTA_PROTO_ICMP_CODE,
				t->icmp_code);
	} else if (build_has_ports(t->proto) || t->proto == IPPROTO_GRE) {
		mnl_attr_put_u16(nlh, CTA_PROTO_SRC_PORT, htons(src->port));
		mnl_attr_put_u16(nlh, CTA_PROTO_DST_PORT, htons(dst->port));
	}
	mnl_attr_nest_end(nlh, part);
	mnl_attr_nest_end(nlh, tuple);
}

/*
 * Address, and port or ICMP id, that from is rewritten to. The range has one value each: with
 * more the kernel may choose another.
 */
static void build_translation(struct nlmsghdr *nlh, const struct tuples *t, uint16_t attr,
			      enum flow_end from, enum flow_end to)
{
	const struct endpoint *e = &t->end[to];
	struct nlattr *nat, *proto;

	if (endpoint_equal(&t->end[from], e))
		return;
	nat = mnl_attr_nest_start(nlh, attr);
	build_address(nlh, t->family, CTA_NAT_V4_MINIP, CTA_NAT_V6_MINIP, e);
	build_address(nlh, t->family, CTA_NAT_V4_MAXIP, CTA_NAT_V6_MAXIP, e);
	if (build_has_ports(t->proto) || (proto_is_icmp(t->proto) && from == ORIG_SRC) ||
	    (t->proto == IPPROTO_GRE && t->end[from].port != e->port)) {
		proto = mnl_attr_nest_start(nlh, CTA_NAT_PROTO);
		mnl_attr_put_u16(nlh, CTA_PROTONAT_PORT_MIN, htons(e->port));
		mnl_attr_put_u16(nlh, CTA_PROTONAT_PORT_MAX, htons(e->port));
		mnl_attr_nest_end(nlh, proto);
	}
	mnl_attr_nest_end(nlh, nat);
}

static void build_tcp(struct nlmsghdr *nlh, const struct kernel_entry *e, bool create)
{
	bool flags = e->has_tcp_flags || e->tcp_flags[0] || e->tcp_flags[1];
	bool scales = e->tcp_flags[0] & e->tcp_flags[1] & CT_TCP_FLAG_WINDOW_SCALE;
	struct nlattr *info, *tcp;

	if (e->tuples.proto != PROTO_TCP || (e->tcp_state == CT_TCP_NONE && !flags))
		return;
	info = mnl_attr_nest_start(nlh, CTA_PROTOINFO);
	tcp = mnl_attr_nest_start(nlh, CTA_PROTOINFO_TCP);
	if (e->tcp_state != CT_TCP_NONE)
		mnl_attr_put_u8(nlh, CTA_PROTOINFO_TCP_STATE, e->tcp_state);
	for (int i = 0; flags && i < 2; i++) {
		uint8_t f = e->tcp_flags[i] & TCP_FLAGS_SETTABLE;
		struct tcp_flags v = {.flags = f, .mask = create ? TCP_FLAGS_SETTABLE : f};

		mnl_attr_put(nlh,
			     i ? CTA_PROTOINFO_TCP_FLAGS_REPLY : CTA_PROTOINFO_TCP_FLAGS_ORIGINAL,
			     sizeof(v), &v);
	}
	if (create && scales) {
		mnl_attr_put_u8(nlh, CTA_PROTOINFO_TCP_WSCALE_ORIGINAL, e->wscale[0]);
		mnl_attr_put_u8(nlh, CTA_PROTOINFO_TCP_WSCALE_REPLY, e->wscale[1]);
	}
	mnl_attr_nest_end(nlh, tcp);
	mnl_attr_nest_end(nlh, info);
}

/* The kernel takes all three or none. */
static void build_sctp(struct nlmsghdr *nlh, const struct kernel_entry *e)
{
	struct nlattr *info, *sctp;

	if (e->tuples.proto != PROTO_SCTP || e->sctp_state == CT_SCTP_NONE)
		return;
	info = mnl_attr_nest_start(nlh, CTA_PROTOINFO);
	sctp = mnl_attr_nest_start(nlh, CTA_PROTOINFO_SCTP);
	mnl_attr_put_u8(nlh, CTA_PROTOINFO_SCTP_STATE, e->sctp_state);
	mnl_attr_put_u32(nlh, CTA_PROTOINFO_SCTP_VTAG_ORIGINAL, htonl(e->vtag[0]));
	mnl_attr_put_u32(nlh, CTA_PROTOINFO_SCTP_VTAG_REPLY, htonl(e->vtag[1]));
	mnl_attr_nest_end(nlh, sctp);
	mnl_attr_nest_end(nlh, info);
}

/* The same on both sides of any place, so the place plays no part. */
static void build_adjustment(struct nlmsghdr *nlh, const struct kernel_entry *e)
{
	if (!e->seqadj[0] && !e->seqadj[1])
		return;
	for (int i = 0; i < 2; i++) {
		struct nlattr *adj = mnl_attr_nest_start(nlh,
							 i ? CTA_SEQ_ADJ_REPLY : CTA_SEQ_ADJ_ORIG);

		mnl_attr_put_u32(nlh, CTA_SEQADJ_CORRECTION_POS, 0);
		mnl_attr_put_u32(nlh, CTA_SEQADJ_OFFSET_BEFORE, htonl(e->seqadj[i]));
		mnl_attr_put_u32(nlh, CTA_SEQADJ_OFFSET_AFTER, htonl(e->seqadj[i]));
		mnl_attr_nest_end(nlh, adj);
	}
}

static struct nlmsghdr *build_header(void *buf, uint16_t type, uint16_t flags, uint8_t family,
				     uint32_t seq)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfh;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	nlh->nlmsg_seq = seq;
	nfh = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfh));
	nfh->nfgen_family = family;
	nfh->version = NFNETLINK_V0;
	nfh->res_id = 0;
	return nlh;
}

static void build_create(struct nlmsghdr *nlh, const struct ctnl_scope *scope,
			 const struct kernel_entry *e)
{
	build_tuple(nlh, &e->tuples, true);
	build_translation(nlh, &e->tuples, CTA_NAT_SRC, ORIG_SRC, REPLY_DST);
	build_translation(nlh, &e->tuples, CTA_NAT_DST, ORIG_DST, REPLY_SRC);
	mnl_attr_put_u32(nlh, CTA_STATUS, htonl(e->status | CT_STATUS_CONFIRMED));
	mnl_attr_put_u32(nlh, CTA_TIMEOUT, htonl(e->timeout));
	build_tcp(nlh, e, true);
	build_sctp(nlh, e);
	build_adjustment(nlh, e);
	if (scope->mark_mask)
		mnl_attr_put_u32(nlh, CTA_MARK, htonl(scope->mark & scope->mark_mask));
}

static void build_change(struct nlmsghdr *nlh, const struct kernel_entry *e)
{
	if (e->status)
		mnl_attr_put_u32(nlh, CTA_STATUS, htonl(e->status | CT_STATUS_CONFIRMED));
	if (e->has_timeout || e->timeout)
		mnl_attr_put_u32(nlh, CTA_TIMEOUT, htonl(e->timeout));
	build_tcp(nlh, e, false);
}

struct nlmsghdr *ctnl_msg_build(void *buf, const struct ctnl_scope *scope,
				const struct kernel_op *op, uint32_t seq)
{
	static const struct {
		uint16_t type, flags;
	} request[] = {
		[KERNEL_CREATE] = {IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL},
		[KERNEL_CHANGE] = {IPCTNL_MSG_CT_NEW, 0},
		[KERNEL_DELETE] = {IPCTNL_MSG_CT_DELETE, 0},
		[KERNEL_GET] = {IPCTNL_MSG_CT_GET, 0},
	};
	const struct kernel_entry *e = &op->entry;
	struct nlmsghdr *nlh;

	if (e->tuples.family != 4 && e->tuples.family != 6)
		return NULL;
	nlh = build_header(buf, request[op->verb].type, request[op->verb].flags,
			   e->tuples.family == 6 ? AF_INET6 : AF_INET, seq);
	build_tuple(nlh, &e->tuples, false);
	if (scope->zone)
		mnl_attr_put_u16(nlh, CTA_ZONE, htons(scope->zone));
	if (op->verb == KERNEL_CREATE)
		build_create(nlh, scope, e);
	else if (op->verb == KERNEL_CHANGE)
		build_change(nlh, e);
	return nlh;
}

struct nlmsghdr *ctnl_msg_build_dump(void *buf, uint32_t seq)
{
	return build_header(buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC, seq);
}
