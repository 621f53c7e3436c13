/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What differs between the pf families on the wire: header version, state layout, action and
 * address family numbers, how ICMP states are keyed. Tables only.
 */
#ifndef PFSYNC_DIALECT_H
#define PFSYNC_DIALECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PFSYNC_PROTOCOL = 240, /* IP protocol and IPv6 next header */
	PFSYNC_TTL = 255,      /* sent, and required of what is received */
	PFSYNC_HEADER_LEN = 20,
	PFSYNC_SUBHEADER_LEN = 4,
	PFSYNC_SECTION_MAX = 2048, /* FreeBSD loses longer sections and the rest of the packet */
	PFSYNC_VERSION_FREEBSD = 5,
	PFSYNC_VERSION_OPENBSD = 6,
	PF_IFNAME_LEN = 16,
	PF_TAG_LEN = 64,
	PF_PEER_STATE_MAX = 12,
};

enum pf_layout { LAYOUT_NONE, LAYOUT_1301, LAYOUT_1400, LAYOUT_1500, LAYOUT_OPENBSD };

/* What a section does, whatever its number is in the family. */
enum pf_action {
	ACT_CLR,
	ACT_INS,
	ACT_INS_ACK,
	ACT_UPD,
	ACT_UPD_C,
	ACT_UPD_REQ,
	ACT_DEL,
	ACT_DEL_C,
	ACT_BUS,
	ACT_TDB,
	ACT_EOF,
	ACT_UNKNOWN
};

enum dialect_id { DIALECT_FREEBSD_13, DIALECT_FREEBSD_14, DIALECT_FREEBSD_15, DIALECT_OPENBSD };

enum { DIALECT_COUNT = DIALECT_OPENBSD + 1 };

struct dialect {
	enum dialect_id id;
	const char *name;      /* as in the configuration */
	uint8_t version;       /* of the header */
	enum pf_layout layout; /* of the full states it sends */
	uint8_t ins, upd;      /* action numbers of INS and UPD in that layout */
	uint8_t af_inet6;      /* its number of AF_INET6 (AF_INET is 2 everywhere) */
	uint8_t timeouts;      /* a timeout index is below this */
	bool eof;	       /* closes a packet with an EOF section */
	bool icmp_typed;       /* ICMP keys hold id and type, not the id twice */
	bool del_full;	       /* has DEL with a full state */
	uint8_t ip_overhead;   /* bytes it takes off the MTU for the IP header */
	uint16_t flags;	       /* state_flags that it has, but for what is of one node alone */
};

const struct dialect *dialect_get(enum dialect_id id);

/* By the name in the configuration; NULL if there is none of that name. */
const struct dialect *dialect_by_name(const char *name);

/* The dialect that sends full states of this layout; NULL for LAYOUT_NONE. */
const struct dialect *dialect_by_layout(enum pf_layout layout);

/* What an action number means in a header version; layout is set for full states, else NONE. */
enum pf_action dialect_action(uint8_t version, uint8_t number, enum pf_layout *layout);

/* The number of an action; INS and UPD in the dialect's own layout. 0xff if it has none. */
uint8_t dialect_number(const struct dialect *d, enum pf_action action);

/* Bytes of one message (TDB differs by header version); 0 for EOF and UNKNOWN. */
size_t dialect_message_size(uint8_t version, enum pf_action action, enum pf_layout layout);

/* "INS", "UPD_C", ... "UNKNOWN"; never NULL. */
const char *action_name(enum pf_action action);

/* "1301", "1400", "1500", "openbsd"; NULL for LAYOUT_NONE. */
const char *layout_name(enum pf_layout layout);

/* 4, 6, or 0 for an address family number that the layout's system does not have. */
int layout_family(enum pf_layout layout, uint8_t af);

/* The layout's address family number for family 4 or 6. */
uint8_t layout_af(enum pf_layout layout, int family);

#endif
