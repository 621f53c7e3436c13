/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading and writing a pf state in each of the four layouts. The fields are taken one after the
 * other from a bounded cursor in the order in which they stand on the wire; there is no struct
 * that is laid over packet memory. What is written has zero pads and zero behind an IPv4 address:
 * pf compares whole keys, so garbage there makes a state that no packet matches.
 */
#include "pfstate.h"

size_t pfstate_size(enum pf_layout layout)
{
	return dialect_message_size(0, ACT_INS, layout);
}

void pfpeer_read(struct reader *r, struct pf_peer *p)
{
	p->scrub_flags = reader_u16(r);
	p->scrub_ttl = reader_u8(r);
	p->scrub_flag = reader_u8(r);
	p->ts_mod = reader_u32(r);
	p->seqlo = reader_u32(r);
	p->seqhi = reader_u32(r);
	p->seqdiff = reader_u32(r);
	p->max_win = reader_u16(r);
	p->mss = reader_u16(r);
	p->state = reader_u8(r);
	p->wscale = reader_u8(r);
	reader_skip(r, 6);
}

void pfpeer_write(struct writer *w, const struct pf_peer *p)
{
	writer_u16(w, p->scrub_flags);
	writer_u8(w, p->scrub_ttl);
	writer_u8(w, p->scrub_flag);
	writer_u32(w, p->ts_mod);
	writer_u32(w, p->seqlo);
	writer_u32(w, p->seqhi);
	writer_u32(w, p->seqdiff);
	writer_u16(w, p->max_win);
	writer_u16(w, p->mss);
	writer_u8(w, p->state);
	writer_u8(w, p->wscale);
	writer_zero(w, 6);
}

static void key_read(struct reader *r, enum pf_layout layout, struct pf_key *k)
{
	reader_copy(r, k->addr[0], 16);
	reader_copy(r, k->addr[1], 16);
	k->port[0] = reader_u16(r);
	k->port[1] = reader_u16(r);
	if (layout != LAYOUT_OPENBSD)
		return;
	k->rdomain = reader_u16(r);
	k->af = reader_u8(r);
	reader_skip(r, 1);
}

static void key_write(struct writer *w, enum pf_layout layout, const struct pf_key *k, uint8_t af)
{
	size_t len = layout_family(layout, af) == 4 ? 4 : 16;

	for (int i = 0; i < 2; i++) {
		writer_bytes(w, k->addr[i], len);
		writer_zero(w, 16 - len);
	}
	writer_u16(w, k->port[0]);
	writer_u16(w, k->port[1]);
	if (layout != LAYOUT_OPENBSD)
		return;
	writer_u16(w, k->rdomain);
	writer_u8(w, k->af);
	writer_zero(w, 1);
}

/* From id to creatorid: the same order in all layouts, only the keys differ in length. */
static void head_read(struct reader *r, enum pf_layout layout, struct pf_state *s)
{
	s->id = reader_u64(r);
	reader_copy(r, s->ifname, PF_IFNAME_LEN);
	key_read(r, layout, &s->key[PF_WIRE]);
	key_read(r, layout, &s->key[PF_STACK]);
	pfpeer_read(r, &s->src);
	pfpeer_read(r, &s->dst);
	reader_copy(r, s->rt_addr, 16);
	s->rule = reader_u32(r);
	s->anchor = reader_u32(r);
	s->nat_rule = reader_u32(r);
	s->creation = reader_u32(r);
	s->expire = reader_u32(r);
	s->packets[0] = reader_u64(r);
	s->packets[1] = reader_u64(r);
	s->bytes[0] = reader_u64(r);
	s->bytes[1] = reader_u64(r);
	s->creatorid = reader_u32(r);
}

static void head_write(struct writer *w, enum pf_layout layout, const struct pf_state *s)
{
	uint8_t stack_af = s->af;

	writer_u64(w, s->id);
	writer_bytes(w, s->ifname, PF_IFNAME_LEN);
	key_write(w, layout, &s->key[PF_WIRE], s->af);
	if (layout == LAYOUT_1500 || (layout == LAYOUT_OPENBSD && s->stack_af))
		stack_af = s->stack_af;
	key_write(w, layout, &s->key[PF_STACK], stack_af);
	pfpeer_write(w, &s->src);
	pfpeer_write(w, &s->dst);
	writer_bytes(w, s->rt_addr, 16);
	writer_u32(w, s->rule);
	writer_u32(w, s->anchor);
	writer_u32(w, s->nat_rule);
	writer_u32(w, s->creation);
	writer_u32(w, s->expire);
	writer_u64(w, s->packets[0]);
	writer_u64(w, s->packets[1]);
	writer_u64(w, s->bytes[0]);
	writer_u64(w, s->bytes[1]);
	writer_u32(w, s->creatorid);
}

static void tail_1301_read(struct reader *r, struct pf_state *s)
{
	s->af = reader_u8(r);
	s->proto = reader_u8(r);
	s->direction = reader_u8(r);
	reader_skip(r, 2);
	s->log = reader_u8(r);
	s->state_flags = reader_u8(r);
	s->timeout = reader_u8(r);
	s->sync_flags = reader_u8(r);
	s->updates = reader_u8(r);
}

static void tail_1301_write(struct writer *w, const struct pf_state *s)
{
	writer_u8(w, s->af);
	writer_u8(w, s->proto);
	writer_u8(w, s->direction);
	writer_zero(w, 2);
	writer_u8(w, s->log);
	writer_u8(w, (uint8_t)s->state_flags);
	writer_u8(w, s->timeout);
	writer_u8(w, s->sync_flags);
	writer_u8(w, s->updates);
}

static void tail_1400_read(struct reader *r, struct pf_state *s)
{
	s->af = reader_u8(r);
	s->proto = reader_u8(r);
	s->direction = reader_u8(r);
	s->state_flags = reader_u16(r);
	s->log = reader_u8(r);
	reader_skip(r, 1);
	s->timeout = reader_u8(r);
	s->sync_flags = reader_u8(r);
	s->updates = reader_u8(r);
	s->qid = reader_u16(r);
	s->pqid = reader_u16(r);
	s->dnpipe = reader_u16(r);
	s->dnrpipe = reader_u16(r);
	s->rtableid[0] = (int32_t)reader_u32(r);
	s->min_ttl = reader_u8(r);
	s->set_tos = reader_u8(r);
	s->max_mss = reader_u16(r);
	s->set_prio[0] = reader_u8(r);
	s->set_prio[1] = reader_u8(r);
	s->rt = reader_u8(r);
	reader_copy(r, s->rt_ifname, PF_IFNAME_LEN);
}

static void tail_1400_write(struct writer *w, const struct pf_state *s)
{
	writer_u8(w, s->af);
	writer_u8(w, s->proto);
	writer_u8(w, s->direction);
	writer_u16(w, s->state_flags);
	writer_u8(w, s->log);
	writer_zero(w, 1);
	writer_u8(w, s->timeout);
	writer_u8(w, s->sync_flags);
	writer_u8(w, s->updates);
	writer_u16(w, s->qid);
	writer_u16(w, s->pqid);
	writer_u16(w, s->dnpipe);
	writer_u16(w, s->dnrpipe);
	writer_u32(w, (uint32_t)s->rtableid[0]);
	writer_u8(w, s->min_ttl);
	writer_u8(w, s->set_tos);
	writer_u16(w, s->max_mss);
	writer_u8(w, s->set_prio[0]);
	writer_u8(w, s->set_prio[1]);
	writer_u8(w, s->rt);
	writer_bytes(w, s->rt_ifname, PF_IFNAME_LEN);
}

static void tail_1500_read(struct reader *r, struct pf_state *s)
{
	reader_copy(r, s->tag, PF_TAG_LEN);
	reader_copy(r, s->rt_ifname, PF_IFNAME_LEN);
	reader_copy(r, s->orig_ifname, PF_IFNAME_LEN);
	s->rtableid[0] = (int32_t)reader_u32(r);
	s->state_flags = reader_u16(r);
	s->qid = reader_u16(r);
	s->pqid = reader_u16(r);
	s->dnpipe = reader_u16(r);
	s->dnrpipe = reader_u16(r);
	s->max_mss = reader_u16(r);
	s->af = reader_u8(r);
	s->stack_af = reader_u8(r);
	s->rt_af = reader_u8(r);
	s->proto = reader_u8(r);
	s->stack_proto = reader_u8(r);
	s->log = reader_u8(r);
	s->timeout = reader_u8(r);
	s->direction = reader_u8(r);
	s->rt = reader_u8(r);
	s->min_ttl = reader_u8(r);
	s->set_tos = reader_u8(r);
	s->set_prio[0] = reader_u8(r);
	s->set_prio[1] = reader_u8(r);
	reader_skip(r, 3);
}

static void tail_1500_write(struct writer *w, const struct pf_state *s)
{
	writer_bytes(w, s->tag, PF_TAG_LEN);
	writer_bytes(w, s->rt_ifname, PF_IFNAME_LEN);
	writer_bytes(w, s->orig_ifname, PF_IFNAME_LEN);
	writer_u32(w, (uint32_t)s->rtableid[0]);
	writer_u16(w, s->state_flags);
	writer_u16(w, s->qid);
	writer_u16(w, s->pqid);
	writer_u16(w, s->dnpipe);
	writer_u16(w, s->dnrpipe);
	writer_u16(w, s->max_mss);
	writer_u8(w, s->af);
	writer_u8(w, s->stack_af);
	writer_u8(w, s->rt_af);
	writer_u8(w, s->proto);
	writer_u8(w, s->stack_proto);
	writer_u8(w, s->log);
	writer_u8(w, s->timeout);
	writer_u8(w, s->direction);
	writer_u8(w, s->rt);
	writer_u8(w, s->min_ttl);
	writer_u8(w, s->set_tos);
	writer_u8(w, s->set_prio[0]);
	writer_u8(w, s->set_prio[1]);
	writer_zero(w, 3);
}

static void tail_openbsd_read(struct reader *r, struct pf_state *s)
{
	s->rtableid[0] = (int32_t)reader_u32(r);
	s->rtableid[1] = (int32_t)reader_u32(r);
	s->max_mss = reader_u16(r);
	s->af = reader_u8(r);
	s->proto = reader_u8(r);
	s->direction = reader_u8(r);
	s->log = reader_u8(r);
	s->rt = reader_u8(r);
	s->timeout = reader_u8(r);
	s->sync_flags = reader_u8(r);
	s->updates = reader_u8(r);
	s->min_ttl = reader_u8(r);
	s->set_tos = reader_u8(r);
	s->state_flags = reader_u16(r);
	s->set_prio[0] = reader_u8(r);
	s->set_prio[1] = reader_u8(r);
}

static void tail_openbsd_write(struct writer *w, const struct pf_state *s)
{
	writer_u32(w, (uint32_t)s->rtableid[0]);
	writer_u32(w, (uint32_t)s->rtableid[1]);
	writer_u16(w, s->max_mss);
	writer_u8(w, s->af);
	writer_u8(w, s->proto);
	writer_u8(w, s->direction);
	writer_u8(w, s->log);
	writer_u8(w, s->rt);
	writer_u8(w, s->timeout);
	writer_u8(w, s->sync_flags);
	writer_u8(w, s->updates);
	writer_u8(w, s->min_ttl);
	writer_u8(w, s->set_tos);
	writer_u16(w, s->state_flags);
	writer_u8(w, s->set_prio[0]);
	writer_u8(w, s->set_prio[1]);
}

void pfstate_read(struct reader *r, enum pf_layout layout, struct pf_state *s)
{
	*s = (struct pf_state){.rtableid = {-1, -1}};
	head_read(r, layout, s);
	switch (layout) {
	case LAYOUT_1301:
		tail_1301_read(r, s);
		break;
	case LAYOUT_1400:
		tail_1400_read(r, s);
		break;
	case LAYOUT_1500:
		tail_1500_read(r, s);
		return; /* the only one that says stack_af and stack_proto itself */
	case LAYOUT_OPENBSD:
		tail_openbsd_read(r, s);
		break;
	case LAYOUT_NONE:
		break;
	}
	s->stack_af = s->key[PF_STACK].af ? s->key[PF_STACK].af : s->af;
	s->stack_proto = s->proto;
}

void pfstate_write(struct writer *w, enum pf_layout layout, const struct pf_state *s)
{
	head_write(w, layout, s);
	switch (layout) {
	case LAYOUT_1301:
		tail_1301_write(w, s);
		break;
	case LAYOUT_1400:
		tail_1400_write(w, s);
		break;
	case LAYOUT_1500:
		tail_1500_write(w, s);
		break;
	case LAYOUT_OPENBSD:
		tail_openbsd_write(w, s);
		break;
	case LAYOUT_NONE:
		break;
	}
}
