/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pf state in neutral form: what all four layouts say, in host byte order. Reading and writing
 * the layouts: layout.c (pfsync-protocol offsets: 1301 242 bytes, 1400 277, 1500 360, OpenBSD 264).
 */
#ifndef PFSYNC_PFSTATE_H
#define PFSYNC_PFSTATE_H

#include "bytes.h"
#include "dialect.h"

enum { PF_INOUT = 0, PF_IN = 1, PF_OUT = 2 }; /* direction on the wire */
enum { PF_WIRE = 0, PF_STACK = 1 };	      /* index of the key pair */
enum { PF_OUTSIDE = 0, PF_INSIDE = 1 };	      /* index of addr and port within a key */
enum {
	PF_FLAG_SLOPPY = 0x0002,
	PF_FLAG_NOSYNC = 0x0008,
	PF_FLAG_ACK = 0x0010,
};
enum {
	PF_TCP_CLOSED = 0,
	PF_TCP_SYN_SENT = 2,
	PF_TCP_ESTABLISHED = 4,
	PF_TCP_CLOSING = 7,
	PF_TCP_FIN_WAIT_2 = 9,
	PF_TCP_TIME_WAIT = 10,
	PF_TCP_PROXY_SRC = 11,
	PF_TCP_PROXY_DST = 12,
	PF_SCTP_COOKIE_WAIT = 2, /* FreeBSD 14 and later; the others have no states of SCTP */
	PF_SCTP_ESTABLISHED = 8,
	PF_OTHER_SINGLE = 1, /* UDP and all others but TCP and ICMP */
	PF_OTHER_MULTIPLE = 2,
};

struct pf_peer {
	uint32_t seqlo, seqhi, seqdiff;
	uint16_t max_win, mss;
	uint8_t state;
	uint8_t wscale; /* raw: 0x80 option seen, low 4 bits shift */
	/* scrub part; ts_mod holds the verification tag of SCTP on FreeBSD 14 and later */
	uint16_t scrub_flags;
	uint8_t scrub_ttl, scrub_flag;
	uint32_t ts_mod;
};

struct pf_key {
	uint8_t addr[2][16]; /* IPv4 in the first 4 bytes */
	uint16_t port[2];
	uint16_t rdomain; /* OpenBSD only */
	uint8_t af;	  /* OpenBSD only: raw byte of the key */
};

struct pf_state {
	uint64_t id;		    /* the 8 bytes read as big-endian */
	uint32_t creatorid;	    /* the 4 bytes read as big-endian */
	char ifname[PF_IFNAME_LEN]; /* raw, may lack a NUL */
	struct pf_key key[2];
	struct pf_peer src, dst;
	uint8_t rt_addr[16];
	uint32_t rule, anchor, nat_rule;
	uint32_t creation; /* age in seconds */
	uint32_t expire; /* seconds left; 0 overdue when told by pf, a whole timeout when told to it
			  */
	uint64_t packets[2], bytes[2];
	uint8_t af, stack_af; /* raw numbers of the layout's system; differ by af-to, which
			      1500 and the stack key of OpenBSD tell, the others cannot */
	uint8_t proto, stack_proto;
	uint8_t direction;
	uint8_t log;
	uint8_t timeout; /* index */
	uint8_t sync_flags, updates;
	uint16_t state_flags;
	/* absent (zero, rtableid -1) in layouts that lack them */
	int32_t rtableid[2]; /* two on OpenBSD, else the first */
	uint16_t max_mss;
	uint8_t min_ttl, set_tos, set_prio[2], rt, rt_af;
	uint16_t qid, pqid, dnpipe, dnrpipe;
	char rt_ifname[PF_IFNAME_LEN];
	char orig_ifname[PF_IFNAME_LEN];
	char tag[PF_TAG_LEN];
};

/* Reads one record of a layout; what lacks bytes is zero and the reader failed. */
void pfstate_read(struct reader *r, enum pf_layout layout, struct pf_state *s);

/*
 * Writes one record of a layout (af numbers must be of that layout's system already). Pads, unused
 * address bytes and the fields that pf leaves zero are zero.
 */
void pfstate_write(struct writer *w, enum pf_layout layout, const struct pf_state *s);

void pfpeer_read(struct reader *r, struct pf_peer *p);
void pfpeer_write(struct writer *w, const struct pf_peer *p);

/* Bytes of one record. */
size_t pfstate_size(enum pf_layout layout);

#endif
