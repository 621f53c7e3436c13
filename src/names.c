/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who has which half under which name. Two nodes may name the same half before they hear of each
 * other, and a pf takes no other name for a state that it holds: what is done about it here has all
 * nodes agree in the end, and nobody talk for ever.
 */
#include "engine_internal.h"

enum {
	TOLD_OURS_DS = 600, /* what was contradicted twice in this time is not again */
	SAME_WORD_DS = 10,
};

/* Where a refused name is remembered; another of the same slot is forgotten for it. */
static struct refused *refused_slot(struct engine *e, uint64_t id, uint32_t creatorid)
{
	return &e->refused[name_slot(id, creatorid, REFUSED_MAX)];
}

/* What a peer told under this name was not taken. */
void names_refused(struct engine *e, uint64_t id, uint32_t creatorid)
{
	struct refused *r = refused_slot(e, id, creatorid);

	*r = (struct refused){.id = id, .creatorid = creatorid, .ds = e->ds};
}

/*
 * The state was refused in this time: asking for it again at each of its updates would never end
 * (an UPD_C each second, answered by UPD_REQ, answered by UPD). But it is asked for again: what was
 * refused may be the name that a pf holds on to, or the carrier insists on.
 */
bool names_refused_lately(struct engine *e, uint64_t id, uint32_t creatorid, uint32_t ds)
{
	const struct refused *r = refused_slot(e, id, creatorid);

	return r->id == id && r->creatorid == creatorid && e->ds - r->ds < ds;
}

/* A pf holds the half under the name that it tells. */
void names_held(const struct peer *p, struct half *half)
{
	if (p->pf)
		half->pf = p->place;
}

/* The half was deleted by its name, and the pf that held it under that has heard it, too. */
void names_dropped(const struct engine *e, const struct peer *p, struct half *half)
{
	const struct peer *holder = e->place[half->pf];

	if (holder && holder->link == p->link && holder->version == p->version)
		half->pf = 0;
}

/* A pf asks for a state that it lacks: it had it, and has lost it since. */
void names_asked(const struct peer *p, struct half *half)
{
	if (half->pf == p->place)
		half->pf = 0;
}

/*
 * What a peer tells is refused, and it hears what we have: twice, for the first word may not change
 * its mind, and then not again while it goes on, or two that hold on to their names, each to that
 * of another pf, would talk for ever. Who is asked by several tells the same several times.
 */
void names_tell_ours(struct engine *e, struct flow *f, const struct incoming *in)
{
	uint64_t id = in->s->id;
	uint32_t creatorid = in->s->creatorid;
	struct half *half = &f->half[in->half];

	if (names_refused_lately(e, id, creatorid, SAME_WORD_DS))
		return;
	if (names_refused_lately(e, id, creatorid, in->peer->pf ? REFUSED_DS : TOLD_OURS_DS)) {
		if (half->flags & H_CONTESTED)
			return;
		half->flags |= H_CONTESTED;
	}
	sendq_pend(e, f, in->half, PEND_UPD); /* INS would say that we carry it */
}

/*
 * Two peers have the half under different names, and a pf takes no other one. Whoever carries the
 * flow has such a pf take the name that another one has; who does not carry it, and hears of a
 * name that the carrier has not given in a bulk update, waits for that.
 */
static bool keeps_name(struct engine *e, struct flow *f, const struct incoming *in)
{
	uint8_t holder = f->half[in->half].pf, carrier = f->half[in->half].carrier;

	if (in->ins || holder == in->peer->place || half_closed(f, in->half))
		return false;
	if (!(f->flags & F_LIVE))
		return import_in_bulk(e, in->peer) && carrier && carrier != in->peer->place;
	if (!holder)
		return false;
	sendq_delete(e, in->link, in->peer->version == PFSYNC_VERSION_OPENBSD, in->s->id,
		     in->s->creatorid);
	sendq_answer(e, f, in->half, PEND_INS, relay_segment(e, in->peer));
	return true;
}

/*
 * A second name for a half that has one. A pf never takes another name for a state that it holds,
 * whoever made it: two Linux nodes that each heard the other's name last would change them for
 * ever. Else that of the other half's creator wins: it has the flow, and the other name was made up
 * for a half that it had not told yet. Else the lower name wins, the higher one if it insists.
 */
bool names_take(struct engine *e, struct flow *f, const struct incoming *in)
{
	struct half *half = &f->half[in->half], *other = &f->half[!in->half];
	bool lower = in->s->creatorid != half->creatorid ? in->s->creatorid < half->creatorid
							 : in->s->id != half->id;
	bool told = half->flags & H_TOLD;

	if (other->flags & H_PRESENT && other->creatorid == in->s->creatorid &&
	    half->creatorid != in->s->creatorid)
		lower = true;
	if (!import_shows_same(f, in)) /* of another translation, which was not contradicted */
		lower = true;
	if (in->peer->pf && (!half->pf || half->pf == in->peer->place))
		lower = true;
	if (!in->peer->pf && half->pf) {
		names_tell_ours(e, f, in);
		return false;
	}
	if (keeps_name(e, f, in))
		return false;
	if (!lower && half->flags & H_TOLD && !(half->flags & H_CONTESTED)) {
		half->flags |= H_CONTESTED;
		if (f->flags & F_LIVE || half->creatorid == e->config.hostid)
			sendq_pend(e, f, in->half, PEND_UPD); /* INS would say more */
		return false;
	}
	sendq_drop_half(e, f, in->half);
	relay_rename(e, in->peer, f, in->half);
	table_unname(&e->table, f, in->half);
	half->flags |= told ? H_TOLD : 0;
	return true;
}
