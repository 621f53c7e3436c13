/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads entries out of ctnetlink messages: every event passes here, so nothing is allocated. */
#include "bytes.h"
#include "ctnl_msg.h"

#include <errno.h>
#include <time.h>
#include <linux/netlink.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

/* Of each nest: the bytes of what is read, NEST for another nest; 0 is not looked at. */
enum { NEST = 255 };

static const uint8_t of_entry[] = {
	[CTA_TUPLE_ORIG] = NEST,    [CTA_TUPLE_REPLY] = NEST,	 [CTA_STATUS] = 4,
	[CTA_PROTOINFO] = NEST,	    [CTA_TIMEOUT] = 4,		 [CTA_MARK] = 4,
	[CTA_COUNTERS_ORIG] = NEST, [CTA_COUNTERS_REPLY] = NEST, [CTA_ID] = 4,
	[CTA_SEQ_ADJ_ORIG] = NEST,  [CTA_SEQ_ADJ_REPLY] = NEST,	 [CTA_ZONE] = 2,
	[CTA_TIMESTAMP] = NEST,
};
static const uint8_t of_tuple[] = {
	[CTA_TUPLE_IP] = NEST, [CTA_TUPLE_PROTO] = NEST, [CTA_TUPLE_ZONE] = 2};
static const uint8_t of_ip[] = {
	[CTA_IP_V4_SRC] = 4, [CTA_IP_V4_DST] = 4, [CTA_IP_V6_SRC] = 16, [CTA_IP_V6_DST] = 16};
static const uint8_t of_proto[] = {
	[CTA_PROTO_NUM] = 1,	   [CTA_PROTO_SRC_PORT] = 2,	[CTA_PROTO_DST_PORT] = 2,
	[CTA_PROTO_ICMP_ID] = 2,   [CTA_PROTO_ICMP_TYPE] = 1,	[CTA_PROTO_ICMP_CODE] = 1,
	[CTA_PROTO_ICMPV6_ID] = 2, [CTA_PROTO_ICMPV6_TYPE] = 1, [CTA_PROTO_ICMPV6_CODE] = 1,
};
static const uint8_t of_info[] = {[CTA_PROTOINFO_TCP] = NEST, [CTA_PROTOINFO_SCTP] = NEST};
static const uint8_t of_tcp[] = {
	[CTA_PROTOINFO_TCP_STATE] = 1,
	[CTA_PROTOINFO_TCP_WSCALE_ORIGINAL] = 1,
	[CTA_PROTOINFO_TCP_WSCALE_REPLY] = 1,
	[CTA_PROTOINFO_TCP_FLAGS_ORIGINAL] = 2, /* flags and their mask */
	[CTA_PROTOINFO_TCP_FLAGS_REPLY] = 2,
};
static const uint8_t of_sctp[] = {
	[CTA_PROTOINFO_SCTP_STATE] = 1,
	[CTA_PROTOINFO_SCTP_VTAG_ORIGINAL] = 4,
	[CTA_PROTOINFO_SCTP_VTAG_REPLY] = 4,
};
static const uint8_t of_counters[] = {[CTA_COUNTERS_PACKETS] = 8, [CTA_COUNTERS_BYTES] = 8};
static const uint8_t of_seqadj[] = {[CTA_SEQADJ_OFFSET_BEFORE] = 4, [CTA_SEQADJ_OFFSET_AFTER] = 4};
static const uint8_t of_timestamp[] = {[CTA_TIMESTAMP_START] = 8};

/*
 * The attributes of a nest by type, of several of one type the last; NULL where there is none. As
 * in the kernel the first one that is not whole ends the nest. False if one has not the length of
 * its type.
 */
static inline bool msg_walk(struct reader in, const uint8_t *len_of, size_t types,
			    const struct nlattr **found)
{
	memset(found, 0, types * sizeof(*found));
	while (reader_left(&in) >= NLA_HDRLEN) {
		const struct nlattr *a = (const void *)in.at;
		size_t left = reader_left(&in), len = a->nla_len;
		uint16_t type = a->nla_type & NLA_TYPE_MASK;

		if (len < NLA_HDRLEN || len > left)
			break;
		if (type < types && len_of[type]) {
			size_t payload = len - NLA_HDRLEN;

			if (len_of[type] == NEST ? payload && payload < NLA_HDRLEN
						 : payload != len_of[type])
				return false;
			found[type] = a;
		}
		len = NLA_ALIGN(len);
		reader_skip(&in, len < left ? len : left);
	}
	return true;
}

static const uint8_t *msg_payload(const struct nlattr *a)
{
	return (const uint8_t *)a + NLA_HDRLEN;
}

static inline bool msg_nest(const struct nlattr *a, const uint8_t *len_of, size_t types,
			    const struct nlattr **found)
{
	struct reader in = {0};

	if (a)
		in = reader_of(msg_payload(a), a->nla_len - NLA_HDRLEN);
	return msg_walk(in, len_of, types, found);
}

#define MSG_NEST(a, of, found) msg_nest(a, of, sizeof(of), found)

/* What is not there is 0. */
static uint8_t msg_u8(const struct nlattr *a)
{
	return a ? *msg_payload(a) : 0;
}

static uint16_t msg_u16(const struct nlattr *a)
{
	return a ? be16_of(msg_payload(a)) : 0;
}

static uint32_t msg_u32(const struct nlattr *a)
{
	return a ? be32_of(msg_payload(a)) : 0;
}

static uint64_t msg_u64(const struct nlattr *a)
{
	return a ? (uint64_t)be32_of(msg_payload(a)) << 32 | be32_of(msg_payload(a) + 4) : 0;
}

struct msg_tuple {
	const struct nlattr *part[sizeof(of_tuple)], *ip[sizeof(of_ip)], *proto[sizeof(of_proto)];
};

static bool msg_tuple(const struct nlattr *in, struct msg_tuple *t)
{
	return MSG_NEST(in, of_tuple, t->part) && MSG_NEST(t->part[CTA_TUPLE_IP], of_ip, t->ip) &&
	       MSG_NEST(t->part[CTA_TUPLE_PROTO], of_proto, t->proto);
}

static bool msg_addresses(const struct nlattr **ip, int family, struct endpoint end[2])
{
	const struct nlattr *src = ip[family == 6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC];
	const struct nlattr *dst = ip[family == 6 ? CTA_IP_V6_DST : CTA_IP_V4_DST];

	if (!src || !dst)
		return false;
	memcpy(end[0].addr, msg_payload(src), family_len(family));
	memcpy(end[1].addr, msg_payload(dst), family_len(family));
	return true;
}

/* Ports, or what stands for them. */
static void msg_ports(const struct nlattr **orig, const struct nlattr **reply, struct tuples *t)
{
	bool v6 = t->proto == PROTO_ICMPV6;
	int id = v6 ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID;

	if (proto_is_icmp(t->proto)) {
		t->icmp_type = msg_u8(orig[v6 ? CTA_PROTO_ICMPV6_TYPE : CTA_PROTO_ICMP_TYPE]);
		t->icmp_code = msg_u8(orig[v6 ? CTA_PROTO_ICMPV6_CODE : CTA_PROTO_ICMP_CODE]);
		t->end[ORIG_SRC].port = msg_u16(orig[id]);
		t->end[REPLY_DST].port = msg_u16(reply[id]);
		return;
	}
	t->end[ORIG_SRC].port = msg_u16(orig[CTA_PROTO_SRC_PORT]);
	t->end[ORIG_DST].port = msg_u16(orig[CTA_PROTO_DST_PORT]);
	t->end[REPLY_SRC].port = msg_u16(reply[CTA_PROTO_SRC_PORT]);
	t->end[REPLY_DST].port = msg_u16(reply[CTA_PROTO_DST_PORT]);
}

static int msg_tuples(const struct nlattr **in, uint8_t family, struct tuples *t)
{
	struct msg_tuple orig, reply;

	if (!msg_tuple(in[CTA_TUPLE_ORIG], &orig) || !msg_tuple(in[CTA_TUPLE_REPLY], &reply))
		return -EPROTO;
	/* Zones of one direction only are not synchronised. */
	if (orig.part[CTA_TUPLE_ZONE] || reply.part[CTA_TUPLE_ZONE])
		return 1;
	if ((family != AF_INET && family != AF_INET6) || !orig.proto[CTA_PROTO_NUM])
		return -EPROTO;
	t->family = family == AF_INET6 ? 6 : 4;
	t->proto = msg_u8(orig.proto[CTA_PROTO_NUM]);
	if (!msg_addresses(orig.ip, t->family, &t->end[ORIG_SRC]) ||
	    !msg_addresses(reply.ip, t->family, &t->end[REPLY_SRC]))
		return -EPROTO;
	msg_ports(orig.proto, reply.proto, t);
	return 0;
}

static bool msg_tcp(const struct nlattr *in, struct kernel_entry *e)
{
	const struct nlattr *a[sizeof(of_tcp)];

	if (!MSG_NEST(in, of_tcp, a))
		return false;
	e->tcp_state = msg_u8(a[CTA_PROTOINFO_TCP_STATE]);
	e->has_tcp_flags = a[CTA_PROTOINFO_TCP_FLAGS_ORIGINAL] && a[CTA_PROTOINFO_TCP_FLAGS_REPLY];
	if (!e->has_tcp_flags)
		return true;
	e->tcp_flags[0] = msg_u8(a[CTA_PROTOINFO_TCP_FLAGS_ORIGINAL]);
	e->tcp_flags[1] = msg_u8(a[CTA_PROTOINFO_TCP_FLAGS_REPLY]);
	e->wscale[0] = msg_u8(a[CTA_PROTOINFO_TCP_WSCALE_ORIGINAL]);
	e->wscale[1] = msg_u8(a[CTA_PROTOINFO_TCP_WSCALE_REPLY]);
	return true;
}

static bool msg_sctp(const struct nlattr *in, struct kernel_entry *e)
{
	const struct nlattr *a[sizeof(of_sctp)];

	if (!MSG_NEST(in, of_sctp, a))
		return false;
	e->sctp_state = msg_u8(a[CTA_PROTOINFO_SCTP_STATE]);
	e->vtag[0] = msg_u32(a[CTA_PROTOINFO_SCTP_VTAG_ORIGINAL]);
	e->vtag[1] = msg_u32(a[CTA_PROTOINFO_SCTP_VTAG_REPLY]);
	return true;
}

/* Of TCP; the kernel shows it only where there is one. */
static bool msg_adjustment(const struct nlattr *in, struct kernel_entry *e, int direction)
{
	const struct nlattr *a[sizeof(of_seqadj)];

	if (!MSG_NEST(in, of_seqadj, a))
		return false;
	if (!a[CTA_SEQADJ_OFFSET_AFTER])
		return true;
	e->seqadj[direction] = msg_u32(a[CTA_SEQADJ_OFFSET_AFTER]);
	e->seqadj_moves |= msg_u32(a[CTA_SEQADJ_OFFSET_BEFORE]) != e->seqadj[direction];
	return true;
}

/* What only some protocols have. */
static bool msg_protocol(const struct nlattr **in, struct kernel_entry *e)
{
	const struct nlattr *a[sizeof(of_info)];

	if (!MSG_NEST(in[CTA_PROTOINFO], of_info, a))
		return false;
	if (e->tuples.proto == PROTO_TCP)
		return msg_tcp(a[CTA_PROTOINFO_TCP], e) &&
		       msg_adjustment(in[CTA_SEQ_ADJ_ORIG], e, 0) &&
		       msg_adjustment(in[CTA_SEQ_ADJ_REPLY], e, 1);
	return e->tuples.proto != PROTO_SCTP || msg_sctp(a[CTA_PROTOINFO_SCTP], e);
}

static bool msg_counters(const struct nlattr *orig, const struct nlattr *reply,
			 struct kernel_entry *e)
{
	const struct nlattr *a[2][sizeof(of_counters)];

	if (!MSG_NEST(orig, of_counters, a[0]) || !MSG_NEST(reply, of_counters, a[1]))
		return false;
	e->has_counters = a[0][CTA_COUNTERS_PACKETS] && a[1][CTA_COUNTERS_PACKETS];
	for (int i = 0; i < 2 && e->has_counters; i++) {
		e->packets[i] = msg_u64(a[i][CTA_COUNTERS_PACKETS]);
		e->bytes[i] = msg_u64(a[i][CTA_COUNTERS_BYTES]);
	}
	return true;
}

/* With net.netfilter.nf_conntrack_timestamp the kernel tells when an entry was made, in Unix time.
 */
static bool msg_age(const struct nlattr *in, struct kernel_entry *e)
{
	const struct nlattr *a[sizeof(of_timestamp)];
	struct timespec now;
	uint64_t start;

	if (!MSG_NEST(in, of_timestamp, a))
		return false;
	start = msg_u64(a[CTA_TIMESTAMP_START]) / 1000000000u;
	if (start && !clock_gettime(CLOCK_REALTIME, &now) && start < (uint64_t)now.tv_sec)
		e->age = (uint32_t)((uint64_t)now.tv_sec - start);
	return true;
}

int ctnl_msg_parse(const struct nlmsghdr *nlh, const struct ctnl_scope *scope,
		   struct kernel_entry *e)
{
	struct reader in = reader_of(nlh, nlh->nlmsg_len);
	const struct nlattr *a[sizeof(of_entry)];
	struct nfgenmsg head;
	int err;

	memset(e, 0, sizeof(*e));
	reader_skip(&in, NLMSG_HDRLEN);
	reader_copy(&in, &head, sizeof(head));
	if (in.failed || !msg_walk(in, of_entry, sizeof(of_entry), a))
		return -EPROTO;
	if (msg_u16(a[CTA_ZONE]) != scope->zone)
		return 1;
	err = msg_tuples(a, head.nfgen_family, &e->tuples);
	if (err)
		return err;
	e->id = msg_u32(a[CTA_ID]);
	e->status = msg_u32(a[CTA_STATUS]);
	e->has_timeout = a[CTA_TIMEOUT] != NULL;
	e->timeout = msg_u32(a[CTA_TIMEOUT]);
	e->mark = msg_u32(a[CTA_MARK]);
	if (!msg_protocol(a, e) || !msg_counters(a[CTA_COUNTERS_ORIG], a[CTA_COUNTERS_REPLY], e) ||
	    !msg_age(a[CTA_TIMESTAMP], e))
		return -EPROTO;
	return 0;
}
