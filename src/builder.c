/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Building a packet. Room for the EOF section is set aside from the start, so a packet that took
 * a message can always be closed. A section is opened with its first message, and its count is
 * written again with each one, so what stands in the buffer is well-formed at all times.
 */
#include "builder.h"

enum { BUILDER_MIN = 64 };

void builder_start(struct builder *b, const struct dialect *d, void *buf, size_t len, bool single)
{
	if (len > UINT16_MAX)
		len = UINT16_MAX;
	if (len < BUILDER_MIN)
		len = 0;
	else if (d->eof)
		len -= PFSYNC_SUBHEADER_LEN;
	*b = (struct builder){
		.dialect = d, .w = writer_of(buf, len), .section_max = single ? 1 : 0};
	if (!len)
		return;
	writer_u8(&b->w, d->version);
	writer_zero(&b->w, PFSYNC_HEADER_LEN - 1);
}

/* Whether the open section takes one more message of this kind. */
static bool section_fits(const struct builder *b, uint8_t number, size_t size, bool alone)
{
	size_t used = writer_len(&b->w) - b->section_at;

	if (!b->count_at || b->number != number || used + size > PFSYNC_SECTION_MAX)
		return false;
	return !alone || b->count < b->section_max;
}

static void count_put(struct builder *b, uint16_t count)
{
	struct writer w = writer_of(b->count_at, 2);

	b->count = count;
	writer_u16(&w, count);
}

/* Makes sure that size bytes of this message can be written now. */
static bool message_begin(struct builder *b, enum pf_action action, size_t size)
{
	const struct dialect *d = b->dialect;
	uint8_t number = dialect_number(d, action);
	bool state = action == ACT_INS || action == ACT_UPD || action == ACT_DEL;
	/* of BUS pf reads only the first in a section, old OpenBSD of CLR only that one rightly */
	bool alone = action == ACT_BUS || action == ACT_CLR || (state && b->section_max);
	bool open = section_fits(b, number, size, alone);

	if (number == 0xff || !size)
		return false;
	if (writer_left(&b->w) < size + (open ? 0 : PFSYNC_SUBHEADER_LEN))
		return false;
	if (!open) {
		writer_u8(&b->w, number);
		writer_u8(&b->w, d->version == PFSYNC_VERSION_OPENBSD ? (uint8_t)(size / 4) : 0);
		b->count_at = writer_room(&b->w, 2);
		b->section_at = writer_len(&b->w);
		b->number = number;
		b->count = 0;
	}
	count_put(b, (uint16_t)(b->count + 1));
	return true;
}

bool builder_add_state(struct builder *b, enum pf_action action, const struct pf_state *s)
{
	enum pf_layout layout = b->dialect->layout;
	struct pf_state out = *s;

	if (!message_begin(b, action, pfstate_size(layout)))
		return false;
	out.af = layout_af(layout, s->af);
	out.stack_af = layout_af(layout, s->stack_af ? s->stack_af : s->af);
	if (!out.stack_proto)
		out.stack_proto = out.proto;
	out.key[PF_WIRE].af = out.af;
	out.key[PF_STACK].af = out.stack_af;
	pfstate_write(&b->w, layout, &out);
	return true;
}

bool builder_add_upd_c(struct builder *b, const struct msg_upd_c *m)
{
	if (!message_begin(b, ACT_UPD_C, dialect_message_size(0, ACT_UPD_C, LAYOUT_NONE)))
		return false;
	writer_u64(&b->w, m->id);
	pfpeer_write(&b->w, &m->src);
	pfpeer_write(&b->w, &m->dst);
	writer_u32(&b->w, m->creatorid);
	writer_u32(&b->w, m->expire);
	writer_u8(&b->w, m->timeout);
	writer_u8(&b->w, b->dialect->version == PFSYNC_VERSION_OPENBSD ? m->state_flags : 0);
	writer_zero(&b->w, 2);
	return true;
}

bool builder_add_id(struct builder *b, enum pf_action action, uint64_t id, uint32_t creatorid)
{
	if (action != ACT_INS_ACK && action != ACT_UPD_REQ && action != ACT_DEL_C)
		return false;
	if (!message_begin(b, action, dialect_message_size(0, action, LAYOUT_NONE)))
		return false;
	writer_u64(&b->w, id);
	writer_u32(&b->w, creatorid);
	return true;
}

bool builder_add_bus(struct builder *b, const struct msg_bus *m)
{
	if (!message_begin(b, ACT_BUS, dialect_message_size(0, ACT_BUS, LAYOUT_NONE)))
		return false;
	writer_u32(&b->w, m->creatorid);
	writer_u32(&b->w, m->endtime);
	writer_u8(&b->w, m->status);
	writer_zero(&b->w, 3);
	return true;
}

bool builder_add_clr(struct builder *b, const struct msg_clr *m)
{
	if (!message_begin(b, ACT_CLR, dialect_message_size(0, ACT_CLR, LAYOUT_NONE)))
		return false;
	writer_bytes(&b->w, m->ifname, PF_IFNAME_LEN);
	writer_u32(&b->w, m->creatorid);
	return true;
}

bool builder_empty(const struct builder *b)
{
	return !b->count_at;
}

size_t builder_finish(struct builder *b)
{
	struct writer head;
	size_t len;

	if (builder_empty(b))
		return 0;
	if (b->dialect->eof) {
		b->w.end += PFSYNC_SUBHEADER_LEN; /* set aside by builder_start() */
		writer_u8(&b->w, dialect_number(b->dialect, ACT_EOF));
		writer_u8(&b->w, 0);
		writer_u16(&b->w, 1);
	}
	len = writer_len(&b->w);
	head = writer_of(b->w.base + 2, 2);
	writer_u16(&head, (uint16_t)len);
	b->count_at = NULL;
	return len;
}
