/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walking a received pfsync packet (what follows the IP header): header, sections, messages.
 * Nothing is copied but the message at hand; nothing outside the packet is ever read.
 *
 *	struct packet p; struct section s;
 *	r = packet_open(&p, data, len);
 *	while (r == R_NONE && packet_next(&p, &s)) ...
 *
 * How unknown actions and lengths are taken is each family's own way (pfsync-protocol 2.3):
 * version 5 knows sizes by action and loses the rest of the packet at an unknown one; version 6
 * strides by the length byte of the subheader and skips what it does not know.
 */
#ifndef PFSYNC_PACKET_H
#define PFSYNC_PACKET_H

#include "pfstate.h"
#include "reason.h"

struct packet {
	uint8_t version;
	uint16_t length;	 /* as the header says */
	const uint8_t *checksum; /* 16 bytes */
	struct reader body;	 /* what is left behind the last section */
	bool length_wrong;	 /* header length beyond the packet; body holds what there is */
	bool done;
	enum reason error; /* why packet_next() ended early; R_NONE at a proper end */
};

struct section {
	enum pf_action action;
	enum pf_layout layout; /* of full states, else LAYOUT_NONE */
	uint8_t number;	       /* the action as it stands on the wire */
	uint16_t count;	       /* messages as the subheader says */
	uint16_t present;      /* whole messages that are in the packet, at most count */
	size_t stride;	       /* bytes from one message to the next */
	size_t size;	       /* bytes of a message that are read */
	struct reader body;    /* present messages */
};

/*
 * Reads the header. R_SHORT_HEADER, R_VERSION (version is set) and, when the header length is
 * below the header, R_LENGTH are final; a length beyond the packet sets length_wrong and is the
 * caller's to judge: pf drops such a packet, a decoder shows what there is.
 */
enum reason packet_open(struct packet *p, const void *data, size_t len);

/*
 * The next section; false at the end, p->error says why. An unknown action of version 5 is
 * reported once (action UNKNOWN, nothing present) and ends the walk with R_ACTION; of version 6 it
 * is reported and passed over, R_ACTION only if it has no length. A section with
 * present < count is reported and ends the walk with R_TRUNCATED; pf takes nothing of it. A
 * stride below the size of the message is reported with nothing present and ends with R_STRIDE.
 */
bool packet_next(struct packet *p, struct section *s);

/* Small messages. */
struct msg_id { /* INS_ACK, UPD_REQ, DEL_C */
	uint64_t id;
	uint32_t creatorid;
};

struct msg_upd_c {
	uint64_t id;
	uint32_t creatorid;
	struct pf_peer src, dst;
	uint32_t expire; /* always 0 on the wire of real nodes */
	uint8_t timeout;
	uint8_t state_flags; /* OpenBSD only, always 0 */
};

struct msg_clr {
	char ifname[PF_IFNAME_LEN];
	uint32_t creatorid;
};

enum { BUS_START = 1, BUS_END = 2 };

struct msg_bus {
	uint32_t creatorid;
	uint32_t endtime;
	uint8_t status;
};

struct msg_tdb {
	uint32_t spi;
	uint64_t rpl, cur_bytes;
	uint8_t sproto;
};

/* The next message of a section; false when all present ones were read. */
bool section_next_state(struct section *s, struct pf_state *m);
bool section_next_id(struct section *s, struct msg_id *m);
bool section_next_upd_c(struct section *s, struct msg_upd_c *m);
bool section_next_clr(struct section *s, struct msg_clr *m);
bool section_next_bus(struct section *s, struct msg_bus *m);
bool section_next_tdb(struct section *s, uint8_t version, struct msg_tdb *m);

#endif
