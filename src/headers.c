/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "headers.h"

#include "bytes.h"

enum {
	IPV4_MIN = 20,
	IPV4_FRAGMENT = 0x3fff, /* more fragments, and the offset */
	IPV6_HOP = 0,
	IPV6_ROUTING = 43,
	IPV6_FRAGMENT = 44,
	IPV6_OPTIONS = 60,
	IPV6_EXTENSIONS = 8, /* more are none of a packet that begins a connection */
	PROTO_UDPLITE = 136,
	PROTO_DCCP = 33,
	ECHO = 8,
	ECHO_V6 = 128,
	TCP_FLAGS = 0x17, /* ACK, RST, SYN, FIN */
	TCP_SYN = 0x02,
};

/* Leaves r at what is behind the header. */
static bool take_ipv4(struct reader *r, struct tuples *t)
{
	size_t len = (size_t)(reader_u8(r) & 15) * 4;
	unsigned fragment;

	reader_skip(r, 5);
	fragment = reader_u16(r) & IPV4_FRAGMENT;
	reader_skip(r, 1);
	t->family = 4;
	t->proto = reader_u8(r);
	reader_skip(r, 2);
	reader_copy(r, t->end[ORIG_SRC].addr, 4);
	reader_copy(r, t->end[ORIG_DST].addr, 4);
	if (len < IPV4_MIN || fragment)
		return false;
	reader_skip(r, len - IPV4_MIN);
	return !r->failed;
}

static bool take_ipv6(struct reader *r, struct tuples *t)
{
	reader_skip(r, 6);
	t->family = 6;
	t->proto = reader_u8(r);
	reader_skip(r, 1);
	reader_copy(r, t->end[ORIG_SRC].addr, 16);
	reader_copy(r, t->end[ORIG_DST].addr, 16);
	for (int i = 0; i < IPV6_EXTENSIONS && !r->failed; i++) {
		size_t more;

		if (t->proto == IPV6_FRAGMENT)
			return false;
		if (t->proto != IPV6_HOP && t->proto != IPV6_ROUTING && t->proto != IPV6_OPTIONS)
			return true;
		t->proto = reader_u8(r);
		more = reader_u8(r);
		reader_skip(r, 6 + 8 * more);
	}
	return false;
}

static bool take_ports(struct reader *r, struct tuples *t)
{
	t->end[ORIG_SRC].port = reader_u16(r);
	t->end[ORIG_DST].port = reader_u16(r);
	if (t->proto != PROTO_TCP)
		return !r->failed;
	reader_skip(r, 9);
	return (reader_u8(r) & TCP_FLAGS) == TCP_SYN && !r->failed;
}

static bool take_echo(struct reader *r, struct tuples *t)
{
	t->icmp_type = reader_u8(r);
	reader_skip(r, 3);
	t->end[ORIG_SRC].port = reader_u16(r);
	return !r->failed && t->icmp_type == (t->proto == PROTO_ICMP ? ECHO : ECHO_V6);
}

static bool take_transport(struct reader *r, struct tuples *t)
{
	switch (t->proto) {
	case PROTO_TCP:
	case PROTO_UDP:
	case PROTO_UDPLITE:
	case PROTO_SCTP:
	case PROTO_DCCP:
		return take_ports(r, t);
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		return take_echo(r, t);
	case PROTO_GRE:
		return false;
	default:
		return true;
	}
}

bool headers_tuples(const void *data, size_t len, struct tuples *t)
{
	struct reader r = reader_of(data, len);
	bool known;

	memset(t, 0, sizeof(*t));
	if (!len)
		return false;
	switch (*r.at >> 4) {
	case 4:
		known = take_ipv4(&r, t);
		break;
	case 6:
		known = take_ipv6(&r, t);
		break;
	default:
		return false;
	}
	if (!known || !take_transport(&r, t))
		return false;
	t->end[REPLY_SRC] = t->end[ORIG_DST];
	t->end[REPLY_DST] = t->end[ORIG_SRC];
	return true;
}
