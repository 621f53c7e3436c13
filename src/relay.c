/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From one sync link to the others, and from one dialect to the others of a link: what a peer tells
 * is told, under its own names, to those who could not hear or read it. Where a word came from it
 * is never sent back to (split horizon). Two relays between the same links hear each other's
 * copies: a copy says nothing new, comes from elsewhere than the flow's last word, and soon after
 * it; it is no word of its own. So whatever is told goes once through each relay, and then there is
 * silence.
 */
#include "engine_internal.h"

enum {
	FRESH_DS = 30, /* after a word a copy of it may come for so long */
	STAMPS = 255,
	PURGE_DS = 120, /* pf looks at all its states within 10 s, and tells a second later */
	FULL_DS = 100,	/* of the updates of a state one in this time is a full one: */
	FULL_STEPS =
		6,    /* of 1.6 s; they come round again, but two updates are not that far apart */
	AGAIN_DS = 9, /* pf repeats itself each second; within that nothing is told twice */
	WHOLE_LINK = 1 + ENGINE_LINKS_MAX * DIALECT_COUNT, /* segments of this many on */
};

/* ---- segments -------------------------------------------------------------------------- */

static const struct dialect *dialect_of(const struct link *l, const struct peer *p)
{
	if (p->dialect)
		return p->dialect;
	if (l->config.dialect)
		return l->config.dialect;
	for (int d = 0; d < DIALECT_COUNT; d++)
		if (l->dialects & 1u << d && dialect_get((enum dialect_id)d)->version == p->version)
			return dialect_get((enum dialect_id)d);
	return dialect_get(p->version == PFSYNC_VERSION_OPENBSD ? DIALECT_OPENBSD
								: DIALECT_FREEBSD_13);
}

/* Who speaks several dialects is heard by all on the link. */
uint8_t relay_segment(const struct engine *e, const struct peer *p)
{
	if (p->many)
		return (uint8_t)(WHOLE_LINK + p->link);
	return (uint8_t)(1 + p->link * DIALECT_COUNT + dialect_of(&e->link[p->link], p)->id);
}

unsigned relay_link(uint8_t segment)
{
	return segment >= WHOLE_LINK ? segment - (unsigned)WHOLE_LINK
				     : (segment - 1u) / DIALECT_COUNT;
}

/* NULL: in all of the link's. */
static const struct dialect *spoken_in(uint8_t segment)
{
	return segment >= WHOLE_LINK
		       ? NULL
		       : dialect_get((enum dialect_id)((segment - 1u) % DIALECT_COUNT));
}

/* Whether those of a link and header version hear what is said in a segment. */
bool relay_same_ears(uint8_t segment, unsigned link, uint8_t version)
{
	const struct dialect *d = spoken_in(segment);

	return relay_link(segment) == link && (!d || d->version == version);
}

/*
 * Whether what has this scope is for a link and dialect. Whoever has the header version hears what
 * does not depend on the dialect from the peer itself.
 */
bool relay_reaches(uint8_t scope, unsigned link, const struct dialect *d, bool state)
{
	uint8_t segment = scope & SCOPE_SEGMENT;
	bool there;

	if (!segment)
		return true;
	there = relay_same_ears(segment, link, d->version);
	if (scope & SCOPE_ONLY)
		return there;
	return !there || (state && spoken_in(segment) && spoken_in(segment) != d);
}

/* The scope of what two had. */
uint8_t relay_widen(uint8_t a, uint8_t b)
{
	uint8_t only = a & SCOPE_ONLY ? a : b, except = a & SCOPE_ONLY ? b : a;

	if (a == b)
		return a;
	/* what all but a link are told covers those of another one */
	if (a && b && (a ^ b) & SCOPE_ONLY &&
	    relay_link(only & SCOPE_SEGMENT) != relay_link(except))
		return except;
	return SCOPE_ALL;
}

/* Whether there is anybody to tell of what another one says. */
bool relay_needed(const struct engine *e)
{
	return e->links > 1 || e->link[0].dialects & (e->link[0].dialects - 1);
}

static bool tells(const struct link *l)
{
	return l->up && l->dialects && l->config.mode != MODE_RECEIVE_ONLY;
}

/* Links on which a state of this scope is read by somebody. */
uint8_t relay_readers(const struct engine *e, uint8_t scope)
{
	uint8_t links = 0;

	for (unsigned i = 0; i < e->links; i++)
		for (int d = 0; tells(&e->link[i]) && d < DIALECT_COUNT; d++)
			if (e->link[i].dialects & 1u << d &&
			    relay_reaches(scope, i, dialect_get((enum dialect_id)d), true))
				links |= (uint8_t)(1u << i);
	return links;
}

/* Whether anybody hears what is no full state: who has the header version heard it from the peer.
 */
static bool reaches_short(const struct engine *e, uint8_t scope)
{
	for (unsigned i = 0; i < e->links; i++)
		for (int d = 0; tells(&e->link[i]) && d < DIALECT_COUNT; d++)
			if (e->link[i].dialects & 1u << d &&
			    relay_reaches(scope, i, dialect_get((enum dialect_id)d), false))
				return true;
	return false;
}

/* A link that has the half from another one, or from us already, need not be told of it anew. */
bool relay_has(const struct flow *f, int h, unsigned link)
{
	return f->scope && !(f->scope & SCOPE_ONLY) && f->half[h].links & 1u << link && f->from &&
	       relay_link(f->from) != link;
}

/* ---- what is told on ------------------------------------------------------------------- */

/* It was told on in this moment: who lags behind, or is further, answers that at once. */
static bool told_on_now(const struct engine *e, const struct flow *f)
{
	return (f->half[HALF_IN].relayed || f->half[HALF_OUT].relayed) && e->ds - f->told <= 1;
}

/*
 * Whether the word of a peer is a copy that another relay made of what is known already. news: it
 * says something that was not known, and who has not been seen to relay makes none: the traffic may
 * have moved to it within that time. Who tells what it has, when asked, gives no word that could be
 * copied, nor does who answers what was just told on. A flow that lives here is asked for at the
 * kernel: if packets have passed since the last look it is ours still, and said so again.
 */
bool relay_is_copy(struct engine *e, const struct peer *p, struct flow *f, bool news)
{
	if (!relay_needed(e) || news)
		return false;
	if (f->flags & F_LIVE) {
		if (e->ds - f->told >= AGAIN_DS)
			return refresh_claims(e, f);
		/* or another one's that holds the flow for its own, and said so at the same time:
		 * remembered, for when our packets have stayed away for long */
		if (refresh_rests(e, f))
			f->heard = e->ds;
		return true;
	}
	return (p->relays || p->many || told_on_now(e, f)) && f->from &&
	       f->from != relay_segment(e, p) && e->ds - f->heard < FRESH_DS && !f->hearsay;
}

/*
 * A pf that is to learn the sequence says at first that it has seen nothing of it. Told of that, a
 * pf on another link answers with what it knows from before: further, but of older numbers, which
 * would be deadly where the flow is. So would be those of a state that it does not check.
 */
bool relay_is_older(struct engine *e, const struct peer *p, struct flow *f, int h,
		    const struct pf_peer *src, const struct pf_peer *dst)
{
	const struct half *half = &f->half[h];
	bool further = src->state > half->state[0] || dst->state > half->state[1];
	bool never = half->flags & H_NUMBERS &&
		     ((sides_made_up(src) && !sides_made_up(&f->extra->num[h][0])) ||
		      (sides_made_up(dst) && !sides_made_up(&f->extra->num[h][1])));

	if (!relay_needed(e) || f->proto != PROTO_TCP || f->flags & F_LIVE || !f->from ||
	    f->from == relay_segment(e, p) || e->ds - f->heard >= FRESH_DS ||
	    src->state > PF_TCP_ESTABLISHED || dst->state > PF_TCP_ESTABLISHED)
		return false;
	/* it answers at once what has no numbers by such: it has missed that it was replaced */
	if ((half->flags & (H_SLOPPY | H_NUMBERS)) == H_SLOPPY && f->half[h].relayed &&
	    e->ds - f->told <= 1 && !sides_made_up(src) && !sides_made_up(dst)) {
		sendq_answer(e, f, h, PEND_DEL | PEND_INS, relay_segment(e, p));
		return true;
	}
	return further || never;
}

/* The state was deleted in the very packet that is being read. */
static const struct deleted *deleted_here(const struct engine *e, const struct half *half)
{
	const struct deleted *d = &e->deleted[name_slot(half->id, half->creatorid, ASKED_MAX)];

	return d->id == half->id && d->creatorid == half->creatorid &&
			       d->packet == e->counters.done[C_PACKETS_IN]
		       ? d
		       : NULL;
}

/* A half has come, or has been said again, there. Elsewhere its interface has another name. */
void relay_heard(struct engine *e, const struct peer *p, struct flow *f, int h, bool word)
{
	const struct deleted *d = deleted_here(e, &f->half[h]);
	uint8_t segment = relay_segment(e, p);

	/* deleted there by us, who were faster than the copy: then it is inserted by us, too */
	if (!d || !d->left)
		f->half[h].links |= (uint8_t)(1u << p->link);
	if (!word && f->from)
		return;
	if (f->from && !relay_same_ears(f->from, p->link, p->version) &&
	    f->half[!h].creatorid != e->config.hostid)
		f->half[!h].ifname = 0;
	f->from = segment;
	f->hearsay = 0;
}

/*
 * A state that was not known. What is told in answer to our start the others may tell as well: the
 * walk behind it tells what they lack.
 */
void relay_state(struct engine *e, struct flow *f, int h, bool answer)
{
	const struct dialect *here;

	if (!relay_needed(e) || (answer && e->undecided) || f->flags & F_LIVE || !f->from)
		return;
	here = spoken_in(f->from);
	if (relay_readers(e, SCOPE_EXCEPT | f->from) & ~f->half[h].links ||
	    (here && e->link[relay_link(f->from)].dialects & ~(1u << here->id)))
		sendq_relay(e, f, h, PEND_INS);
}

/* It is to be a full one, where a FreeBSD may lack the state, for that keeps its request back: see
 * refresh_by_upd(). */
static bool is_full(const struct engine *e, const struct flow *f, struct half *half)
{
	unsigned step = e->ds >> 4 & 15;

	if (!refresh_by_upd(e) ||
	    (e->ds - f->told <= FULL_DS && ((step - half->full) & 15) < FULL_STEPS))
		return false;
	half->full = step & 15;
	return true;
}

/* An update that was taken. */
void relay_update(struct engine *e, struct flow *f, int h, bool news)
{
	struct half *half = &f->half[h];
	bool lately = half->relayed && e->ds - f->told < AGAIN_DS, full;
	/* told for pf to learn: there are no numbers yet that would not spoil it */
	bool learning = f->proto == PROTO_TCP && !(half->flags & (H_SLOPPY | H_NUMBERS));

	if (!relay_needed(e) || f->flags & (F_LIVE | F_UNDECIDED) || !f->from || learning ||
	    (lately && !news))
		return;
	full = is_full(e, f, half);
	if (full || reaches_short(e, SCOPE_EXCEPT | f->from))
		sendq_relay(e, f, h, full ? PEND_UPD : PEND_UPD_C);
}

/* Where no older FreeBSD is, UPD is an answer: that a flow is carried elsewhere says UPD_C. */
unsigned relay_kind(const struct link *l, const struct flow *f, unsigned kind)
{
	bool relayed = f->scope && !(f->scope & SCOPE_ONLY) && !(f->flags & F_LIVE);

	return kind == PEND_UPD && relayed && !refresh_link_by_upd(l) ? PEND_UPD_C : kind;
}

/*
 * The same within a bulk update, where it says that the state is there, not that it lives. But a
 * refresh may come in the midst of it.
 */
void relay_bulk(struct engine *e, const struct peer *p, struct flow *f, int h, bool news)
{
	if (news ||
	    (f->from == relay_segment(e, p) && e->ds - f->told > 10 * commit_seconds(e, f) / 4))
		relay_update(e, f, h, news);
}

/* What was relayed of a flow has left. */
void relay_settle(const struct engine *e, struct flow *f, unsigned halves)
{
	bool again = e->ds - f->told >= AGAIN_DS;

	if (again)
		f->told = e->ds;
	for (int h = HALF_IN; h <= HALF_OUT; h++)
		f->half[h].relayed = (f->half[h].relayed && !again) || halves & 1u << h;
}

/* Of the end of a state hear those on these links, but for a segment. */
static void delete_on(struct engine *e, const struct half *half, uint8_t links, uint8_t segment)
{
	if (!relay_needed(e) || !segment)
		return;
	for (unsigned i = 0; i < e->links; i++)
		for (int v = 0; v < 2; v++)
			if (!relay_same_ears(segment, i,
					     v ? PFSYNC_VERSION_OPENBSD : PFSYNC_VERSION_FREEBSD) &&
			    links & 1u << i && tells(&e->link[i]))
				sendq_delete(e, &e->link[i], v, half->id, half->creatorid);
}

/* The state of a half is no more, as was heard in one segment: of that those hear who have it. */
void relay_delete(struct engine *e, struct half *half, uint8_t segment)
{
	delete_on(e, half, half->links, segment);
}

/* Time in a byte, never 0, in steps of 1.6 s: it comes round again every six minutes. */
static unsigned stamp(const struct engine *e)
{
	return 1 + (e->ds >> 4) % STAMPS;
}

/* The state was deleted to be inserted again, by us, or in the packet that is being read. */
void relay_replaced(const struct engine *e, struct half *half, bool ours)
{
	if (ours || deleted_here(e, half))
		half->replaced = (uint8_t)stamp(e);
}

/* A deletion was heard. */
void relay_note_deleted(struct engine *e, uint64_t id, uint32_t creatorid)
{
	e->deleted[name_slot(id, creatorid, ASKED_MAX)] =
		(struct deleted){.id = id,
				 .creatorid = creatorid,
				 .ds = e->ds,
				 .packet = e->counters.done[C_PACKETS_IN]};
}

/*
 * A pf that does not hear of that deletion drops the state some seconds later, and until then tells
 * it in bulk updates: it would begin anew everywhere, and there, too.
 */
bool relay_has_ended(const struct engine *e, uint64_t id, uint32_t creatorid)
{
	const struct deleted *d = &e->deleted[name_slot(id, creatorid, ASKED_MAX)];

	return relay_needed(e) && d->id == id && d->creatorid == creatorid &&
	       e->ds - d->ds < PURGE_DS;
}

/*
 * A deletion of what was deleted and inserted again a moment ago is a copy, which would go round
 * for ever. It is not told there any more.
 */
bool relay_is_deleted_twice(struct engine *e, struct peer *p, struct half *half)
{
	const struct flow *f = half_flow(half);
	struct deleted *d = &e->deleted[name_slot(half->id, half->creatorid, ASKED_MAX)];
	bool said, taken_back;
	uint8_t at;

	if (!relay_needed(e))
		return false;
	taken_back = sendq_undelete(&e->link[p->link], p->version, half->id, half->creatorid);
	at = half->replaced;
	said = at && (stamp(e) + STAMPS - at) % STAMPS < 3;
	d->left = said && !taken_back;
	if (said && f->from && f->from != relay_segment(e, p))
		p->relays = true;
	return said;
}

/*
 * An INS of what is known. Whoever takes a flow over deletes its states and inserts them in one
 * packet; without that it is a copy, by which a relay is known, or told to somebody who lacks it.
 */
bool relay_is_retold(const struct engine *e, struct peer *p, struct half *half, bool news)
{
	const struct flow *f = half_flow(half);

	if (!relay_needed(e) || news || deleted_here(e, half))
		return false;
	if (f->from && f->from != relay_segment(e, p))
		p->relays = true;
	return true;
}

/*
 * The state was asked for, or deleted, a moment ago: who tells it then, all of it, answers that. It
 * says nothing of who carries it.
 */
bool relay_is_answer(const struct engine *e, const struct half *half)
{
	size_t slot = name_slot(half->id, half->creatorid, ASKED_MAX);
	const struct asked *a = &e->asked[slot];
	const struct deleted *d = &e->deleted[slot];

	if (!relay_needed(e))
		return false;
	return (a->id == half->id && a->creatorid == half->creatorid && e->ds - a->ds < FRESH_DS) ||
	       (d->id == half->id && d->creatorid == half->creatorid && e->ds - d->ds < FRESH_DS);
}

/* A deletion was not obeyed. Who carries the flow on another link has not heard it: told again. */
void relay_refused(struct engine *e, const struct peer *p, struct half *half)
{
	struct flow *f = half_flow(half);

	if (relay_needed(e) && f->from && !relay_same_ears(f->from, p->link, p->version))
		sendq_answer(e, f, half_index(half), PEND_UPD, relay_segment(e, p));
}

/* A pf that goes by that name, or did: what it says of the end of its states is so. */
bool relay_is_maker(const struct peer *p, uint32_t creatorid)
{
	for (size_t i = 0; p->pf && i < sizeof(p->hostid) / sizeof(p->hostid[0]); i++)
		if (p->hostid[i] == creatorid)
			return true;
	return false;
}

/* Links on which somebody else than this peer has made the state of a half, as far as is known. */
static unsigned made_on(const struct engine *e, const struct peer *p, const struct flow *f, int h)
{
	uint32_t creatorid = f->half[h].creatorid;
	unsigned links = f->from && f->from != relay_segment(e, p) ? 1u << relay_link(f->from) : 0;
	struct list *n;

	if (creatorid == e->config.hostid || relay_is_maker(p, creatorid))
		return 0;
	list_for_each (n, &e->peers) {
		const struct peer *other = container_of(n, struct peer, node);

		if (relay_is_maker(other, creatorid))
			links |= 1u << other->link;
	}
	return links;
}

/* A second name, told by a peer, takes the place of another one; who had made that keeps it. */
void relay_rename(struct engine *e, const struct peer *p, const struct flow *f, int h)
{
	delete_on(e, &f->half[h], f->half[h].links & (uint8_t)~made_on(e, p, f, h),
		  relay_segment(e, p));
}

/*
 * A half has got its name. If that was about to be deleted on other links, for it had been given
 * another one, they have it still.
 */
void relay_named(struct engine *e, struct half *half)
{
	static const uint8_t versions[] = {PFSYNC_VERSION_FREEBSD, PFSYNC_VERSION_OPENBSD};

	half->links = 0;
	if (deleted_here(e, half))
		return;
	for (size_t i = 0; i < e->links; i++)
		for (int v = 0; v < 2; v++)
			if (sendq_undelete(&e->link[i], versions[v], half->id, half->creatorid))
				half->links |= (uint8_t)(1u << i);
}

/* It has it now: who has lost the other one must not wait for the next refresh of a live flow. */
void relay_renamed(struct engine *e, struct flow *f, int h)
{
	if (relay_needed(e) && f->flags & F_LIVE)
		sendq_relay(e, f, h, PEND_UPD); /* INS would say that we carry it */
}

/* A creator has cleared its states. The same again soon after is the copy of a relay. */
void relay_clear(struct engine *e, const struct peer *p, uint32_t creatorid)
{
	uint8_t segment = relay_segment(e, p);
	struct asked *c = &e->clear_told[creatorid % CLEARS_MAX];
	struct msg_clr m = {.creatorid = creatorid};
	struct builder b;

	if (!relay_needed(e) || (c->creatorid == creatorid && e->ds - c->ds < FRESH_DS))
		return;
	*c = (struct asked){.creatorid = creatorid, .ds = e->ds};
	sendq_flush(e); /* what was told before it */
	for (unsigned i = 0; i < e->links; i++) {
		unsigned done = 0;

		for (int n = 0; tells(&e->link[i]) && n < DIALECT_COUNT; n++) {
			const struct dialect *d = dialect_get((enum dialect_id)n);

			if (!(e->link[i].dialects & 1u << n) || done & 1u << d->version ||
			    relay_same_ears(segment, i, d->version))
				continue;
			done |= 1u << d->version;
			builder_start(&b, d, e->packet, sendq_payload(&e->link[i], d), false);
			(void)builder_add_clr(&b, &m);
			(void)sendq_packet(e, i, &b);
			engine_count(e, C_RELAYED);
		}
	}
	e->ops.flush_packets(e->ctx);
}

/* ---- who comes later ------------------------------------------------------------------- */

/* On these links somebody is there who may have missed what was told before. */
void relay_retell(struct engine *e, unsigned link)
{
	e->retell_links |= (uint8_t)(1u << link);
}

/* One flow in a walk for them. At the start they may be about to tell it themselves. */
void relay_flow(struct engine *e, struct flow *f)
{
	if (!relay_needed(e) || e->undecided || f->flags & (F_LIVE | F_UNDECIDED))
		return;
	for (int h = HALF_IN; h <= HALF_OUT; h++) {
		if (!(f->half[h].flags & H_PRESENT))
			continue;
		if (f->from)
			f->half[h].links &= (uint8_t) ~(e->retell_links &
							~(1u << relay_link(f->from)));
		relay_state(e, f, h, false);
	}
}
