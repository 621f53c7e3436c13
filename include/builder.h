/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Building one pfsync packet of a dialect into a caller's buffer: header, sections, EOF where the
 * dialect has it. Each add returns false when the message does not fit any more; the packet is
 * then finished and sent, and the message added to the next one. Sections stay within 2,048 bytes
 * (FreeBSD's m_pulldown); messages of one action in a row share a section.
 */
#ifndef PFSYNC_BUILDER_H
#define PFSYNC_BUILDER_H

#include "packet.h"

struct builder {
	const struct dialect *dialect;
	struct writer w;
	uint8_t *count_at; /* of the open section, NULL when none is open */
	size_t section_at; /* where its messages begin */
	uint16_t count;
	uint8_t number;
	uint16_t section_max; /* messages per section; 0: as many as fit */
};

/*
 * Starts a packet of at most len payload bytes (the MTU less the dialect's IP overhead; below 64
 * nothing fits). single: one state per section, for peers that misread layout 1301 otherwise.
 */
void builder_start(struct builder *b, const struct dialect *d, void *buf, size_t len, bool single);

/* INS, UPD or DEL. The state's af fields are taken as families 4 and 6 and written as the
 * dialect's. */
bool builder_add_state(struct builder *b, enum pf_action action, const struct pf_state *s);
bool builder_add_upd_c(struct builder *b, const struct msg_upd_c *m);
/* INS_ACK, UPD_REQ or DEL_C. */
bool builder_add_id(struct builder *b, enum pf_action action, uint64_t id, uint32_t creatorid);
bool builder_add_bus(struct builder *b, const struct msg_bus *m);
bool builder_add_clr(struct builder *b, const struct msg_clr *m);

bool builder_empty(const struct builder *b);

/* Closes the packet and gives its length, 0 if it is empty. The builder must be started again. */
size_t builder_finish(struct builder *b);

#endif
