/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * States that need more than a tuple: SCTP its verification tags, and those that shift. pf's
 * "modulate state", and what is left of a synproxy handshake, add an offset to the sequence numbers
 * of each side; a conntrack entry can do the same.
 *
 * The rule (pf_tcp_track_full of FreeBSD and OpenBSD; nf_ct_seq_adjust of Linux): pf adds
 * src.seqdiff to the sequence numbers of who opened and takes dst.seqdiff from his acknowledgements
 * and SACK blocks, and the other way round. A packet passes both states of a flow, each adds its
 * own: the entry adds the sum, modulo 2^32, that of src in the original direction, that of dst in
 * the reply direction. pf looks at src.seqdiff before it corrects an acknowledgement at all: a
 * state that has one of the two only waits for the other side to speak, and will draw a number
 * then that nobody knows yet. Such a flow is kept, as is one of which a half has not come.
 *
 * When its traffic passes here pf's state must neither become sloppy (its sloppy tracker rewrites
 * nothing) nor learn anew from seqlo 0 (the first packet of each side is not rewritten then, and
 * its acknowledgement is of the other number space). It is moved ahead, once, by an UPD_C, as
 * tried on real kernels without offsets: good for 1.0e9 bytes of each side. An update replaces
 * the offset, too, so each that we send has it.
 */
#include <stdlib.h>

#include "engine_internal.h"
#include "xlat.h"

enum { AHEAD = 0x3c000000, MOVED_WINDOW = 65535, MOVED_SCALE = 0x8e };

/* The entry has to rewrite sequence numbers. */
bool carry_adjusts(const uint32_t adjust[2])
{
	return adjust[0] || adjust[1];
}

/* Why Linux would not carry a half on, as it stands now. */
static enum reason why_kept(const struct flow *f, int h)
{
	const struct half *half = &f->half[h];
	enum reason why;

	if (!(half->flags & H_RAW))
		return R_NONE;
	why = (enum reason)f->extra->why[h];
	/* what an update can change */
	return why == R_SEQDIFF || why == R_SYNPROXY || why == R_SCTP_TAGS
		       ? xlat_carries(f->extra->raw[h])
		       : why;
}

/* What both states of a flow add together; false if that cannot be told yet, or not be done. */
static bool sum_of(const struct flow *f, uint32_t adjust[2])
{
	adjust[0] = adjust[1] = 0;
	for (int h = HALF_IN; h <= HALF_OUT; h++) {
		const struct half *half = &f->half[h];
		const struct pf_state *s;

		if (!(half->flags & H_PRESENT))
			return false;
		if (!(half->flags & H_RAW))
			continue;
		s = f->extra->raw[h];
		if (!s->src.seqdiff != !s->dst.seqdiff || !(half->flags & H_NUMBERS) ||
		    (s->src.seqdiff && s->state_flags & PF_FLAG_SLOPPY))
			return false;
		adjust[0] += s->src.seqdiff;
		adjust[1] += s->dst.seqdiff;
	}
	return true;
}

/* The halves are like those of any other flow now. */
static void forget_raw(struct flow *f)
{
	for (int h = HALF_IN; h <= HALF_OUT; h++) {
		free(f->extra->raw[h]);
		f->extra->raw[h] = NULL;
		f->half[h].flags &= (uint8_t)~H_RAW;
	}
}

/* After a half has come, or an update of one: may the flow be in the kernel, and as what. */
void carry_judge(struct engine *e, struct flow *f)
{
	enum reason why[2] = {why_kept(f, HALF_IN), why_kept(f, HALF_OUT)}, kept = R_NONE;
	uint32_t adjust[2] = {0, 0};

	if (!f->extra || (!f->kept && !carry_adjusts(f->extra->adjust) &&
			  !((f->half[HALF_IN].flags | f->half[HALF_OUT].flags) & H_RAW)))
		return;
	for (int h = HALF_IN; h <= HALF_OUT; h++)
		if (why[h] != R_NONE && (kept == R_NONE || kept == R_SEQDIFF))
			kept = why[h];
	if (kept == R_SEQDIFF && !f->extra->barred && sum_of(f, adjust))
		kept = R_NONE;
	else if (kept == R_NONE)
		forget_raw(f);
	f->kept = (uint8_t)kept;
	if (kept != R_NONE)
		commit_drop(e, f);
	if (kept != R_NONE || adjust[0] != f->extra->adjust[0] || adjust[1] != f->extra->adjust[1])
		commit_delete(e, f); /* an adjustment is given to a new entry only */
	f->extra->adjust[0] = adjust[0];
	f->extra->adjust[1] = adjust[1];
}

/* The kernel does not do it: the flow is kept. */
void carry_bar(struct engine *e, struct flow *f)
{
	f->extra->barred = true;
	not_in_kernel(f);
	carry_judge(e, f);
	e->counters.refused[R_SEQDIFF]++;
	refresh_arm(e, f);
}

/*
 * What a peer tells of an SCTP association: the tags are the flow's, whichever half says them. An
 * entry with others is of one that is over, and is made anew.
 */
void carry_tags(struct engine *e, struct flow *f, const struct pf_peer *src,
		const struct pf_peer *dst)
{
	const uint32_t tag[2] = {xlat_tag(src->ts_mod), xlat_tag(dst->ts_mod)};

	if (f->proto != PROTO_SCTP || f->flags & F_LIVE || !src->scrub_flag || !dst->scrub_flag ||
	    !tag[0] || !tag[1])
		return;
	if (!flow_extra(f)) {
		e->counters.refused[R_NO_MEMORY]++;
		return;
	}
	if (f->extra->vtag[0] != tag[0] || f->extra->vtag[1] != tag[1])
		commit_delete(e, f);
	f->extra->vtag[0] = tag[0];
	f->extra->vtag[1] = tag[1];
}

/* It was moved by us before we began anew, or by another node, and pf has not passed it. */
static bool is_moved(const struct pf_peer *p)
{
	return p->max_win == MOVED_WINDOW && p->wscale == MOVED_SCALE && p->seqhi == p->seqlo + 1;
}

/*
 * The traffic of a flow whose state rewrites begins to pass here. Twice on the same numbers would
 * put pf's out of reach of the real ones, so what was moved waits until pf has passed it.
 */
void carry_move(struct engine *e, struct flow *f, int half)
{
	for (int side = 0; side < 2; side++) {
		struct pf_peer *p = &f->extra->num[half][side];
		uint32_t *moved = &f->extra->moved[half][side];

		if ((*moved && *moved == p->seqlo) || (!*moved && is_moved(p)))
			continue;
		p->seqlo += AHEAD;
		if (!p->seqlo) /* means that nothing is known */
			p->seqlo = 1;
		p->seqhi = p->seqlo + 1;
		p->max_win = MOVED_WINDOW;
		p->wscale = MOVED_SCALE;
		*moved = p->seqlo;
	}
	sendq_pend(e, f, half, f->half[half].flags & H_TOLD ? PEND_UPD_C : PEND_INS);
}
