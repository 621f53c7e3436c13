/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finding pfsync in captured frames: link header, VLAN tags, IPv4 with its options, IPv6. Frames
 * come from files that anybody may have made, so every byte is taken from a bounded cursor.
 */
#include "frame.h"

enum {
	TYPE_IPV4 = 0x0800,
	TYPE_VLAN = 0x8100,
	TYPE_IPV6 = 0x86dd,
	TYPE_QINQ = 0x88a8,
	TYPE_QINQ_OLD = 0x9100,
	IPV4_HEADER_LEN = 20,
	IPV4_FRAGMENT_OFFSET = 0x1fff,
};

bool frame_known(int linktype)
{
	switch (linktype) {
	case LINK_NULL:
	case LINK_ETHERNET:
	case LINK_RAW_BSD:
	case LINK_RAW_OPENBSD:
	case LINK_PFSYNC_OPENBSD:
	case LINK_RAW:
	case LINK_LOOP:
	case LINK_COOKED:
	case LINK_PFSYNC_FREEBSD:
	case LINK_IPV4:
	case LINK_IPV6:
	case LINK_PFSYNC:
	case LINK_COOKED2:
		return true;
	default:
		return false;
	}
}

/* r is left at the payload, cut to the length that the IP header says. */
static bool ipv4_find(struct reader *r, struct show_meta *m)
{
	struct reader packet = *r;
	size_t head = (size_t)(reader_u8(r) & 0x0f) * 4, total, fragment;
	uint8_t proto;

	reader_skip(r, 1);
	total = reader_u16(r);
	reader_skip(r, 2);
	fragment = reader_u16(r) & IPV4_FRAGMENT_OFFSET;
	m->ttl = reader_u8(r);
	proto = reader_u8(r);
	reader_skip(r, 2);
	reader_copy(r, m->src, 4);
	reader_copy(r, m->dst, 4);
	if (r->failed || proto != PFSYNC_PROTOCOL || head < IPV4_HEADER_LEN)
		return false;
	m->family = 4;
	if (total > reader_left(&packet))
		total = reader_left(&packet);
	*r = reader_sub(&packet, total);
	if (fragment || head > total)
		head = total;
	reader_skip(r, head);
	return true;
}

static bool ipv6_find(struct reader *r, struct show_meta *m)
{
	size_t len;
	uint8_t next;

	reader_skip(r, 4);
	len = reader_u16(r);
	next = reader_u8(r);
	m->ttl = reader_u8(r);
	reader_copy(r, m->src, 16);
	reader_copy(r, m->dst, 16);
	if (r->failed || next != PFSYNC_PROTOCOL)
		return false;
	m->family = 6;
	if (len < reader_left(r))
		*r = reader_sub(r, len);
	return true;
}

static bool ip_find(struct reader *r, struct show_meta *m)
{
	uint8_t version = reader_left(r) ? r->at[0] >> 4 : 0;

	if (version == 4)
		return ipv4_find(r, m);
	return version == 6 && ipv6_find(r, m);
}

/* r stands behind an Ethernet type. */
static bool type_find(struct reader *r, uint16_t type, struct show_meta *m)
{
	while (type == TYPE_VLAN || type == TYPE_QINQ || type == TYPE_QINQ_OLD) {
		reader_skip(r, 2);
		type = reader_u16(r);
	}
	return (type == TYPE_IPV4 || type == TYPE_IPV6) && ip_find(r, m);
}

static bool link_find(int linktype, struct reader *r, struct show_meta *m)
{
	uint16_t type;

	switch (linktype) {
	case LINK_ETHERNET:
		reader_skip(r, 12);
		return type_find(r, reader_u16(r), m);
	case LINK_COOKED:
		reader_skip(r, 14);
		return type_find(r, reader_u16(r), m);
	case LINK_COOKED2:
		type = reader_u16(r);
		reader_skip(r, 18);
		return type_find(r, type, m);
	case LINK_NULL:
	case LINK_LOOP:
		reader_skip(r, 4); /* an address family number of an unknown system */
		return ip_find(r, m);
	case LINK_RAW_BSD:
	case LINK_RAW_OPENBSD:
	case LINK_RAW:
	case LINK_IPV4:
	case LINK_IPV6:
		return ip_find(r, m);
	case LINK_PFSYNC:
	case LINK_PFSYNC_FREEBSD:
	case LINK_PFSYNC_OPENBSD:
		return true;
	default:
		return false;
	}
}

bool frame_find(int linktype, const uint8_t *data, size_t len, struct show_meta *m,
		const uint8_t **payload, size_t *payload_len)
{
	struct reader r = reader_of(data, len);

	m->family = 0;
	m->ttl = 0;
	if (!link_find(linktype, &r, m) || r.failed)
		return false;
	*payload = r.at;
	*payload_len = reader_left(&r);
	return true;
}
