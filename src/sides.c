/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both sides of a state as peers tell them, and what is known of each: taken if it is newer. */
#include <string.h>

#include "engine_internal.h"

/* Whether a peer can mean them. FreeBSD 14 and later have the SCTP indexes, and SCTP states are
 * bits of their own. */
enum reason sides_check(uint8_t timeouts, const struct pf_peer *src, const struct pf_peer *dst,
			uint8_t timeout)
{
	if (timeout >= timeouts ||
	    !timeout_name(timeout)) /* some indexes are no timeouts of states */
		return R_TIMEOUT_INDEX;
	if (src->state > PF_PEER_STATE_MAX || dst->state > PF_PEER_STATE_MAX)
		return R_PEER_STATE;
	return R_NONE;
}

/*
 * The numbers that we tell ourselves for a state whose sequence nobody knows, or pf is to learn:
 * nothing to remember.
 */
bool sides_made_up(const struct pf_peer *p)
{
	return p->seqlo <= 1 && p->seqhi <= 1 && p->max_win <= 1 && !p->mss && !p->seqdiff;
}

static void known_side(const struct flow *f, int h, int side, struct pf_peer *p)
{
	*p = (struct pf_peer){0};
	if (f->half[h].flags & H_NUMBERS)
		*p = f->extra->num[h][side];
	/* a TCP state that is neither sloppy nor numbered was told as 0:0 for pf to learn: whatever
	 * pf says of it is news */
	if (f->proto != PROTO_TCP || f->half[h].flags & (H_SLOPPY | H_NUMBERS) ||
	    f->pend >> 4 * h & PEND_INS)
		p->state = f->half[h].state[side];
}

static void take_scrub(struct pf_peer *to, const struct pf_peer *from)
{
	to->scrub_flags = from->scrub_flags;
	to->scrub_ttl = from->scrub_ttl;
	to->scrub_flag = from->scrub_flag;
	to->ts_mod = from->ts_mod;
}

void sides_take(struct engine *e, struct flow *f, int h, int side, const struct pf_peer *p)
{
	struct half *half = &f->half[h];
	/* a state that was told for pf to learn says what pf has seen of it, not how far it is */
	bool learning = f->proto == PROTO_TCP && !(half->flags & (H_SLOPPY | H_NUMBERS)) &&
			p->state < half->state[side] && (f->flags & F_LIVE || sides_made_up(p));
	struct pf_peer known;

	if (!learning)
		half->state[side] = p->state;
	/* our sloppy state was lost, or replaced: this one follows the sequence */
	if (f->proto == PROTO_TCP && !sides_made_up(p) && !(half->flags & H_NUMBERS))
		half->flags &= (uint8_t)~H_SLOPPY;
	if (f->proto != PROTO_TCP || (f->flags & F_LIVE && !(half->flags & H_RAW)) ||
	    (sides_made_up(p) && !(half->flags & H_NUMBERS)))
		return;
	if (!flow_extra(f)) {
		e->counters.refused[R_NO_MEMORY]++;
		return;
	}
	if (!(half->flags & H_NUMBERS)) {
		memset(f->extra->num[h], 0, sizeof(f->extra->num[h]));
		half->flags |= H_NUMBERS;
	}
	known = f->extra->num[h][side];
	f->extra->num[h][side] = *p;
	if (!p->scrub_flag) /* as pf: only what is flagged replaces what is known */
		take_scrub(&f->extra->num[h][side], &known);
}

/*
 * A state that is told without numbers is not checked where it is: those that were known are of a
 * time before it was replaced, and go. They would come back as a correction, half of them with
 * every later word, and be taken for those of a state that is. One that pf is to learn looks alike,
 * but has a window.
 */
static void forget_numbers(struct half *half, const struct pf_peer *src, const struct pf_peer *dst)
{
	bool learning = !(half->flags & H_NUMBERS) && (src->max_win || dst->max_win);

	if (half->flags & H_RAW || learning || !sides_made_up(src) || !sides_made_up(dst) ||
	    src->state < PF_TCP_ESTABLISHED || dst->state < PF_TCP_ESTABLISHED ||
	    src->state < half->state[0] || dst->state < half->state[1])
		return;
	half->flags = (uint8_t)((half->flags & ~H_NUMBERS) | H_SLOPPY);
}

/*
 * Both sides of an update over what is known, each by itself. Gives the number of stale sides;
 * with none or one of them stale the update counts. news: it says what was not known.
 */
int sides_merge(struct engine *e, struct flow *f, int h, const struct pf_peer *src,
		const struct pf_peer *dst, uint8_t timeout, bool *news)
{
	const struct pf_peer *in[2] = {src, dst};
	struct half *half = &f->half[h];
	struct pf_peer known[2];
	bool numbers;
	int stale = 0;

	if (f->proto == PROTO_TCP)
		forget_numbers(half, src, dst);
	numbers = half->flags & H_NUMBERS;
	known_side(f, h, 0,
		   &known[0]); /* before taking a side changes what is known of the other */
	known_side(f, h, 1, &known[1]);
	*news = half->timeout != timeout;
	for (int side = 0; side < 2; side++) {
		bool follows = numbers && !sides_made_up(&known[side]);
		struct pf_peer said = *in[side];
		enum merge is;

		/* a pf that does not check its state was told how far one side is, and made up the
		 * other: modulo 2^32 that may be further than anything */
		if (follows && sides_made_up(&said)) {
			said = known[side];
			said.state = in[side]->state;
		}
		is = merge_peer(f->proto, &known[side], follows, &said);
		if (is == MERGE_STALE) {
			stale++;
			continue;
		}
		*news |= is == MERGE_NEWER;
		sides_take(e, f, h, side, &said);
		if (half->flags & H_RAW)
			*(side ? &f->extra->raw[h]->dst : &f->extra->raw[h]->src) = said;
	}
	if (!numbers &&
	    half->flags & H_NUMBERS) /* of a side that lags behind, too: no others are known */
		for (int side = 0; side < 2; side++)
			f->extra->num[h][side] = *in[side];
	if (stale == 2)
		return stale;
	half->timeout = stale ? pf_timeout_of(f->proto, half->state[0], half->state[1], timeout)
			      : timeout;
	if (!stale)
		carry_tags(e, f, src, dst);
	if (half->flags & H_RAW)
		carry_judge(e, f);
	return stale;
}
