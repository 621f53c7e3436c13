/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flow.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && !memcmp(a->addr, b->addr, sizeof(a->addr));
}

bool tuples_equal(const struct tuples *a, const struct tuples *b)
{
	if (a->family != b->family || a->proto != b->proto || a->icmp_type != b->icmp_type)
		return false;
	for (int i = ORIG_SRC; i <= REPLY_DST; i++)
		if (!endpoint_equal(&a->end[i], &b->end[i]))
			return false;
	return true;
}

bool tuples_have_snat(const struct tuples *t)
{
	return !endpoint_equal(&t->end[ORIG_SRC], &t->end[REPLY_DST]);
}

bool tuples_have_dnat(const struct tuples *t)
{
	return !endpoint_equal(&t->end[ORIG_DST], &t->end[REPLY_SRC]);
}

void text_add_proto(struct text *t, uint8_t proto)
{
	switch (proto) {
	case PROTO_TCP:
		text_add(t, "tcp");
		break;
	case PROTO_UDP:
		text_add(t, "udp");
		break;
	case PROTO_ICMP:
		text_add(t, "icmp");
		break;
	case PROTO_ICMPV6:
		text_add(t, "icmpv6");
		break;
	case PROTO_SCTP:
		text_add(t, "sctp");
		break;
	default:
		text_add(t, "%u", proto);
	}
}

void text_add_endpoint(struct text *t, int family, const struct endpoint *e)
{
	if (family == 6)
		text_add(t, "[");
	text_add_address(t, family, e->addr);
	text_add(t, "%s:%u", family == 6 ? "]" : "", e->port);
}

bool address_is_special(int family, const uint8_t *a)
{
	static const uint8_t zero[16];

	if (family == 6) {
		if (!memcmp(a, zero, 15) && a[15] <= 1) /* :: and ::1 */
			return true;
		return a[0] == 0xff || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
	}
	return a[0] == 0 || a[0] == 127 || a[0] >= 224 || (a[0] == 169 && a[1] == 254);
}

bool prefix_has(const struct prefix *p, int family, const uint8_t *addr)
{
	size_t whole = p->bits / 8;
	unsigned rest = p->bits % 8;

	if (p->family != family || memcmp(p->addr, addr, whole))
		return false;
	return !rest || !((p->addr[whole] ^ addr[whole]) >> (8 - rest));
}

bool prefix_parse(struct prefix *p, const char *s)
{
	char addr[INET6_ADDRSTRLEN];
	const char *slash = strchr(s, '/');
	size_t len = slash ? (size_t)(slash - s) : strlen(s);
	unsigned long bits, given;
	char *end;

	if (len >= sizeof(addr))
		return false;
	memcpy(addr, s, len);
	addr[len] = '\0';
	memset(p, 0, sizeof(*p));
	if (inet_pton(AF_INET, addr, p->addr) == 1)
		p->family = 4;
	else if (inet_pton(AF_INET6, addr, p->addr) == 1)
		p->family = 6;
	else
		return false;
	bits = 8 * family_len(p->family);
	if (slash) {
		if (slash[1] < '0' || slash[1] > '9')
			return false;
		given = strtoul(slash + 1, &end, 10);
		if (*end || given > bits)
			return false;
		bits = given;
	}
	p->bits = (uint8_t)bits;
	for (size_t i = 0; i < family_len(p->family); i++) {
		size_t kept = bits > 8 * i ? bits - 8 * i : 0;

		if (kept < 8)
			p->addr[i] &= (uint8_t)(0xff00 >> kept);
	}
	return true;
}

void text_add_prefix(struct text *t, const struct prefix *p)
{
	text_add_address(t, p->family, p->addr);
	if (p->bits != 8 * family_len(p->family))
		text_add(t, "/%u", p->bits);
}
