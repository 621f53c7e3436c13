/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walking a received packet. Nothing here trusts a length, a count or a number that came from the
 * wire: every step asks the cursor. Each family's way with what it does not know is kept, since
 * what a real node would have taken of a packet is what its sender relies on.
 */
#include "packet.h"

enum reason packet_open(struct packet *p, const void *data, size_t len)
{
	struct reader r;

	*p = (struct packet){.done = true};
	if (len < PFSYNC_HEADER_LEN) {
		p->error = R_SHORT_HEADER;
		return p->error;
	}
	r = reader_of(data, len);
	p->version = reader_u8(&r);
	reader_skip(&r, 1);
	p->length = reader_u16(&r);
	p->checksum = reader_bytes(&r, 16);
	if (p->version != PFSYNC_VERSION_FREEBSD && p->version != PFSYNC_VERSION_OPENBSD) {
		p->error = R_VERSION;
		return p->error;
	}
	if (p->length < PFSYNC_HEADER_LEN) {
		p->error = R_LENGTH;
		return p->error;
	}
	p->length_wrong = p->length > len;
	p->body = p->length_wrong ? r : reader_sub(&r, p->length - (size_t)PFSYNC_HEADER_LEN);
	p->done = false;
	return R_NONE;
}

static bool packet_end(struct packet *p, enum reason why)
{
	p->done = true;
	p->error = why;
	return true;
}

/* An EOF section, or one whose number says nothing to this family. */
static bool packet_pass(struct packet *p, struct section *s)
{
	size_t skip = s->stride * s->count;

	if (p->version == PFSYNC_VERSION_FREEBSD)
		return packet_end(p, s->action == ACT_EOF ? R_NONE : R_ACTION);
	if (s->action == ACT_UNKNOWN && skip == 0)
		return packet_end(p, R_ACTION);
	if (skip > reader_left(&p->body))
		return packet_end(p, R_TRUNCATED);
	reader_skip(&p->body, skip);
	return true;
}

bool packet_next(struct packet *p, struct section *s)
{
	size_t step, fit;
	uint8_t words;

	*s = (struct section){.action = ACT_UNKNOWN};
	if (p->done || reader_left(&p->body) < PFSYNC_SUBHEADER_LEN) {
		if (!p->done && reader_left(&p->body))
			(void)packet_end(p, R_TRUNCATED);
		p->done = true;
		return false;
	}
	s->number = reader_u8(&p->body);
	words = reader_u8(&p->body);
	s->count = reader_u16(&p->body);
	s->action = dialect_action(p->version, s->number, &s->layout);
	s->size = dialect_message_size(p->version, s->action, s->layout);
	s->stride = p->version == PFSYNC_VERSION_OPENBSD ? (size_t)words * 4 : s->size;
	if (s->action == ACT_UNKNOWN || s->action == ACT_EOF)
		return packet_pass(p, s);
	if (s->stride < s->size)
		return packet_end(p, R_STRIDE);
	step = s->stride;
	fit = reader_left(&p->body) / step;
	s->present = fit < s->count ? (uint16_t)fit : s->count;
	s->body = reader_sub(&p->body, s->present * step);
	if (s->present < s->count)
		return packet_end(p, R_TRUNCATED);
	return true;
}

/* A reader of the next message alone; false when all were read. */
static bool section_message(struct section *s, struct reader *r)
{
	if (s->stride == 0 || reader_left(&s->body) < s->stride)
		return false;
	*r = reader_sub(&s->body, s->stride);
	return true;
}

bool section_next_state(struct section *s, struct pf_state *m)
{
	struct reader r;

	if (s->layout == LAYOUT_NONE || !section_message(s, &r))
		return false;
	pfstate_read(&r, s->layout, m);
	return true;
}

bool section_next_id(struct section *s, struct msg_id *m)
{
	struct reader r;

	if (!section_message(s, &r))
		return false;
	m->id = reader_u64(&r);
	m->creatorid = reader_u32(&r);
	return true;
}

bool section_next_upd_c(struct section *s, struct msg_upd_c *m)
{
	struct reader r;

	if (!section_message(s, &r))
		return false;
	m->id = reader_u64(&r);
	pfpeer_read(&r, &m->src);
	pfpeer_read(&r, &m->dst);
	m->creatorid = reader_u32(&r);
	m->expire = reader_u32(&r);
	m->timeout = reader_u8(&r);
	m->state_flags = reader_u8(&r);
	return true;
}

bool section_next_clr(struct section *s, struct msg_clr *m)
{
	struct reader r;

	if (!section_message(s, &r))
		return false;
	reader_copy(&r, m->ifname, PF_IFNAME_LEN);
	m->creatorid = reader_u32(&r);
	return true;
}

bool section_next_bus(struct section *s, struct msg_bus *m)
{
	struct reader r;

	if (!section_message(s, &r))
		return false;
	m->creatorid = reader_u32(&r);
	m->endtime = reader_u32(&r);
	m->status = reader_u8(&r);
	return true;
}

bool section_next_tdb(struct section *s, uint8_t version, struct msg_tdb *m)
{
	struct reader r;

	if (!section_message(s, &r))
		return false;
	m->spi = reader_u32(&r);
	reader_skip(&r, 28);
	m->rpl = version == PFSYNC_VERSION_OPENBSD ? reader_u64(&r) : reader_u32(&r);
	m->cur_bytes = reader_u64(&r);
	m->sproto = reader_u8(&r);
	return true;
}
