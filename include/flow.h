/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection as conntrack has it, by value: original and reply tuple. For ICMP queries the port
 * of ORIG_SRC and of REPLY_DST is the id on that side and the other two are 0.
 */
#ifndef PFSYNC_FLOW_H
#define PFSYNC_FLOW_H

#include "text.h"

enum {
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_GRE = 47,
	PROTO_ICMPV6 = 58,
	PROTO_SCTP = 132
};

enum flow_end { ORIG_SRC, ORIG_DST, REPLY_SRC, REPLY_DST };

struct endpoint {
	uint8_t addr[16]; /* IPv4 in the first 4 bytes, the rest zero */
	uint16_t port;	  /* host byte order */
};

struct tuples {
	uint8_t family; /* 4 or 6 */
	uint8_t proto;
	uint8_t icmp_type, icmp_code; /* of the request */
	struct endpoint end[4];	      /* by enum flow_end */
};

static inline size_t family_len(int family)
{
	return family == 6 ? 16 : 4;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
bool tuples_equal(const struct tuples *a, const struct tuples *b);

static inline bool proto_is_icmp(uint8_t proto)
{
	return proto == PROTO_ICMP || proto == PROTO_ICMPV6;
}

/* Source or destination is rewritten between original and reply. */
bool tuples_have_snat(const struct tuples *t);
bool tuples_have_dnat(const struct tuples *t);

/* "tcp", "udp", ... or the number. */
void text_add_proto(struct text *t, uint8_t proto);
/* "192.0.2.1:443", "[2001:db8::1]:443". */
void text_add_endpoint(struct text *t, int family, const struct endpoint *e);

/* True for addresses whose flows are never synchronised: unspecified, loopback, link-local,
 * multicast. */
bool address_is_special(int family, const uint8_t *addr);

/* An address prefix. It is masked when parsed, but what addr has behind it plays no part. */
struct prefix {
	uint8_t family;
	uint8_t bits;
	uint8_t addr[16];
};

bool prefix_has(const struct prefix *p, int family, const uint8_t *addr);
/* "192.0.2.0/24" or a lone address; false if it is neither. */
bool prefix_parse(struct prefix *p, const char *s);
void text_add_prefix(struct text *t, const struct prefix *p);

#endif
