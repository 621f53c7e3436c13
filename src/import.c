/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * States that peers tell, into the table: checked, joined with their other half, merged with what
 * is known. A flow keeps both halves' names, whoever made them.
 */
#include <stdlib.h>
#include <string.h>

#include "engine_internal.h"
#include "xlat.h"

/* ---- validity -------------------------------------------------------------------------- */

static enum reason check_state(const struct pf_state *s, enum pf_layout layout)
{
	enum reason r = sides_check(dialect_by_layout(layout)->timeouts, &s->src, &s->dst,
				    s->timeout);

	if (r != R_NONE)
		return r;
	if (!s->id || !s->creatorid)
		return R_CREATOR_ZERO;
	return s->direction == PF_IN || s->direction == PF_OUT ? R_NONE : R_DIRECTION;
}

/* ---- full states ----------------------------------------------------------------------- */

enum {
	SAME_MIDDLE_MAX = 32, /* connections that differ in their translation alone */
};

/* What this half shows of its side of the flow is what the flow has. */
bool import_shows_same(const struct flow *f, const struct incoming *in)
{
	struct tuples t;

	flow_tuples(f, &t);
	if (t.family != in->tuples.family || t.proto != in->tuples.proto ||
	    !endpoint_equal(&t.end[ORIG_SRC], &in->tuples.end[ORIG_SRC]) ||
	    !endpoint_equal(&t.end[REPLY_SRC], &in->tuples.end[REPLY_SRC]))
		return false;
	return in->half == HALF_IN ? endpoint_equal(&t.end[ORIG_DST], &in->tuples.end[ORIG_DST])
				   : endpoint_equal(&t.end[REPLY_DST], &in->tuples.end[REPLY_DST]);
}

/*
 * A flow that Linux does not carry is one creator's: what another one says of the same ends is a
 * flow of its own, and not held up by it.
 */
static bool joins(const struct flow *f, const struct incoming *in)
{
	if (f->kept == R_NONE && in->kept == R_NONE)
		return true;
	for (int h = HALF_IN; h <= HALF_OUT; h++)
		if (f->half[h].flags & H_PRESENT && f->half[h].creatorid == in->s->creatorid)
			return true;
	return false;
}

/* One shows no translation of a half where the other does: who knew the other half only takes it
 * so.
 */
static bool is_guess(const struct endpoint *guess, const struct endpoint *end, int half)
{
	enum flow_end shown = half == HALF_IN ? ORIG_DST : REPLY_DST;
	enum flow_end plain = half == HALF_IN ? REPLY_SRC : ORIG_SRC;

	return endpoint_equal(&guess[shown], &guess[plain]) &&
	       !endpoint_equal(&end[shown], &end[plain]);
}

/*
 * It has the other half of the same making: pf and we ourselves name both in one go. Somebody who
 * knew that one only may have made up this one.
 */
static bool is_mate(const struct flow *f, const struct incoming *in)
{
	const struct half *half = &f->half[in->half], *other = &f->half[!in->half];
	struct tuples t;
	bool made_up;

	flow_tuples(f, &t);
	made_up = half->flags & H_PRESENT && half->creatorid != in->s->creatorid &&
		  !(f->flags & F_LIVE) && is_guess(t.end, in->tuples.end, in->half);
	return (!(half->flags & H_PRESENT) || made_up) && other->flags & H_PRESENT &&
	       other->creatorid == in->s->creatorid && in->s->id - other->id + 1 <= 2;
}

/* The flow of which this is a half: of those with its middle the one that has this very half, else
 * one that lacks it. */
static struct flow *find_flow(struct engine *e, const struct incoming *in, bool *crowded)
{
	struct flow *f = NULL, *lacking = NULL, *first = NULL, *mate = NULL;
	int n = 0;

	*crowded = false;
	while ((f = table_next_middle(&e->table, &in->tuples, f))) {
		if (++n == SAME_MIDDLE_MAX) {
			*crowded = true;
			return NULL;
		}
		if (!joins(f, in))
			continue;
		if (import_shows_same(f, in) && f->half[in->half].flags & H_PRESENT)
			return f;
		if (!first)
			first = f;
		if (is_mate(f, in))
			mate = f;
		if (!(f->half[in->half].flags & H_PRESENT) &&
		    (!lacking || (import_shows_same(f, in) && !import_shows_same(lacking, in))))
			lacking = f;
	}
	if (mate)
		return mate;
	if (lacking || !first)
		return lacking;
	/* another connection of the same middle, unless the creator itself has made the half anew,
	 * or the half is one that we made up for a peer's flow */
	if (import_shows_same(first, in) || first->half[in->half].creatorid == in->s->creatorid ||
	    ((first->flags & F_REMOTE || !(first->flags & F_LIVE)) &&
	     first->half[in->half].creatorid == e->config.hostid))
		return first;
	return NULL;
}

/* Keeps the whole state of what Linux has no word for, families made neutral. */
static bool keep_raw(struct flow *f, const struct incoming *in)
{
	struct flow_extra *x = flow_extra(f);

	if (x && !x->raw[in->half])
		x->raw[in->half] = malloc(sizeof(*x->raw[0]));
	if (!x || !x->raw[in->half])
		return false;
	*x->raw[in->half] = *in->s;
	x->raw[in->half]->af = (uint8_t)layout_family(in->layout, in->s->af);
	x->raw[in->half]->stack_af = (uint8_t)layout_family(in->layout, in->s->stack_af);
	x->why[in->half] = (uint8_t)in->kept;
	x->layout[in->half] = (uint8_t)in->layout;
	f->half[in->half].flags |= H_RAW;
	return true;
}

/* What else the state is made of, to be told again. */
static void keep_actions(struct engine *e, struct half *half, const struct incoming *in)
{
	struct pf_actions a;

	actions_of(in->s, in->layout, &a);
	half->actions = actions_take(&e->table.actions, e->table.key, &a);
	if (!half->actions)
		e->counters.refused[R_ACTIONS]++;
}

/* Removes a half that the peer replaced by another; the flow may be left without any. */
static void drop_half(struct engine *e, const struct peer *p, struct flow *f, int h)
{
	sendq_drop_half(e, f, h);
	relay_rename(e, p, f, h);
	table_unname(&e->table, f, h);
	f->half[h].state[0] = f->half[h].state[1] = 0;
	if (!((f->half[HALF_IN].flags | f->half[HALF_OUT].flags) & H_PRESENT) &&
	    !(f->flags & F_LIVE)) {
		commit_delete(e, f);
		engine_forget(e, f);
	}
}

/* States that we tell have no rule, nor has a pf any for those that it was told. */
static bool made_by_pf(const struct pf_state *s)
{
	return s->rule != UINT32_MAX;
}

/* It tells all its states, to us or to another. */
bool import_in_bulk(const struct engine *e, const struct peer *p)
{
	return e->now < p->answers_until;
}

/*
 * A flow that the kernel knows by its own packets is not contradicted by a peer. One that was found
 * at the start may be of a guess that we made before, when only one half was known; so may be what
 * a peer tells that has begun anew, and it hears how the flow is translated.
 */
static bool contradicts(struct engine *e, struct flow *f, const struct incoming *in)
{
	struct tuples t;

	if (!(f->flags & F_KERNEL) || import_shows_same(f, in))
		return false;
	flow_tuples(f, &t);
	if (is_guess(in->tuples.end, t.end, in->half) && !half_closed(f, in->half)) {
		names_tell_ours(e, f, in);
		return true;
	}
	if (f->flags & F_REMOTE)
		return false;
	return f->flags & F_LIVE || refresh_lives(e, f);
}

/* A closed connection whose ports have a new one here. */
static bool of_the_one_before(const struct flow *f, const struct incoming *in)
{
	return f->flags & F_LIVE && f->flags & F_KERNEL && f->proto == PROTO_TCP &&
	       f->tcp_state <= CT_TCP_ESTABLISHED && in->s->src.state >= PF_TCP_FIN_WAIT_2 &&
	       in->s->dst.state >= PF_TCP_FIN_WAIT_2;
}

static struct flow *new_flow(struct engine *e, const struct incoming *in, enum reason *r)
{
	struct flow *f;

	*r = peer_quota(e, in->peer);
	if (*r != R_NONE)
		return NULL;
	f = table_add(&e->table, &in->tuples);
	if (!f) {
		*r = R_NO_MEMORY;
		return NULL;
	}
	peer_take_flow(e, in->peer, f);
	f->created = e->ds - 10 * (in->s->creation < 100000000 ? in->s->creation : 0);
	f->told = f->heard = f->checked = f->expires = e->ds;
	return f;
}

/* How long a flow that is not installed has yet, as the peer says. */
static void take_expiry(const struct engine *e, struct flow *f, const struct pf_state *s)
{
	if (!(f->flags & F_KERNEL))
		f->expires = e->ds + 10 * (s->expire < 100000000 ? s->expire : 0);
}

/* The interface that a peer's state is bound to; told once, for somebody may have forgotten it. */
static uint8_t intern_theirs(struct engine *e, const struct incoming *in)
{
	size_t known = e->name_count;
	uint8_t name = engine_intern(e, in->s->ifname, NAMES_PEERS);

	if (e->name_count > known)
		engine_note(e, &(struct note){.kind = NOTE_IFNAME,
					      .link = (int)in->peer->link,
					      .peer = &in->peer->addr,
					      .detail = e->names[name]});
	return name ? name : IFNAME_ASKED;
}

/* Gives the half its name and what it says. */
static enum reason attach(struct engine *e, struct flow *f, const struct incoming *in)
{
	struct half *half = &f->half[in->half];
	struct tuples t;

	if (!table_name(&e->table, f, in->half, in->s->id, in->s->creatorid))
		return R_NO_MEMORY;
	half->flags |= H_TOLD;
	sendq_unrequest(in->link, in->s->id, in->s->creatorid);
	names_held(in->peer, half);
	relay_named(e, half);
	relay_heard(e, in->peer, f, in->half, true);
	relay_replaced(e, half, false);
	half->ifname = intern_theirs(e, in);
	keep_actions(e, half, in);
	if (half->state[0] <= in->s->src.state)
		sides_take(e, f, in->half, 0, &in->s->src);
	if (half->state[1] <= in->s->dst.state)
		sides_take(e, f, in->half, 1, &in->s->dst);
	if (half->flags & H_NUMBERS) {
		f->extra->num[in->half][0] = in->s->src;
		f->extra->num[in->half][1] = in->s->dst;
	}
	if (f->proto != PROTO_TCP || in->s->state_flags & PF_FLAG_SLOPPY)
		half->flags |= H_SLOPPY;
	half->timeout = in->s->timeout;
	if (half->state[0] > in->s->src.state ||
	    half->state[1] > in->s->dst.state) /* it was kept */
		half->timeout = pf_timeout_of(f->proto, half->state[0], half->state[1],
					      in->s->timeout);
	if (in->kept != R_NONE && !keep_raw(f, in)) {
		table_unname(&e->table, f, in->half);
		return R_NO_MEMORY;
	}
	take_expiry(e, f, in->s);
	if (!import_shows_same(f, in)) {
		/* another translation than was taken for granted: the kernel entry is made anew */
		commit_delete(e, f);
		flow_tuples(f, &t);
		xlat_merge_half(&t, &in->tuples, in->s->direction);
		flow_set_tuples(f, &t);
		engine_count(e, C_COMMIT_REPLACED);
	}
	carry_tags(e, f, &in->s->src, &in->s->dst);
	carry_judge(e, f);
	return R_NONE;
}

/*
 * A peer has spoken of a flow as one whose traffic it sees. True if the flow was live here: what
 * the peer tells of its sequence is to be kept from this very message on.
 */
bool import_word(struct engine *e, const struct peer *p, struct flow *f, int h)
{
	f->heard = e->ds;
	f->half[h].carrier = p->place;
	/* who has named both may tell them by and by: one of them is a word of both */
	if (f->half[HALF_IN].flags & f->half[HALF_OUT].flags & H_PRESENT &&
	    f->half[HALF_IN].creatorid == f->half[HALF_OUT].creatorid)
		f->half[!h].carrier = p->place;
	relay_heard(e, p, f, h, true);
	f->again = 0;
	if (!(f->flags & F_LIVE)) {
		if (refresh_own_timeout(e, f, f->expires))
			f->expires = e->ds; /* of packets before the start: rewritten, too */
		return false;
	}
	f->flags = (uint16_t)((f->flags & ~F_LIVE) | F_PROBE);
	f->checked = e->ds;
	/* what was to be replaced is another's to tell now, who knows newer numbers */
	for (int i = HALF_IN; i <= HALF_OUT; i++)
		if (f->pend >> 4 * i & PEND_DEL && f->half[i].flags & H_TOLD)
			sendq_drop_half(e, f, i);
	f->expires =
		e->ds; /* rewritten: what passed here before must not be taken for new traffic */
	engine_count(e, C_HANDED_OVER);
	engine_note_flow(e, NOTE_HANDED_OVER, f);
	refresh_arm(e, f);
	return true;
}

/* A refresh may come in the middle of a bulk update: what is about to run out here must not be
 * passed over, unless packets show that it does not. */
static bool runs_out(struct engine *e, struct flow *f)
{
	int32_t left = (int32_t)(f->expires - e->ds), whole = 10 * (int32_t)commit_seconds(e, f);

	/* a refresh comes when half of it has gone, sooner or later by what its way takes */
	return !(f->flags & F_LIVE) && left < whole / 2 + 20 && !refresh_lives(e, f);
}

/*
 * A pf follows the sequence by the numbers that we make up: it had missed that its state was
 * replaced by one that does not, and what it knew was behind them by chance. It would drop
 * everything. Whoever carries the flow replaces it, or who tells the pf of those that do.
 */
static bool spoilt(struct engine *e, struct flow *f, const struct incoming *in)
{
	const struct half *half = &f->half[in->half];
	uint8_t segment = relay_segment(e, in->peer);

	if (f->proto != PROTO_TCP || in->ins || !in->peer->pf || in->kept != R_NONE ||
	    in->s->state_flags & PF_FLAG_SLOPPY ||
	    (half->flags & (H_SLOPPY | H_NUMBERS | H_RAW)) != H_SLOPPY ||
	    in->s->src.state != PF_TCP_ESTABLISHED || in->s->dst.state != PF_TCP_ESTABLISHED ||
	    !sides_made_up(&in->s->src) || !sides_made_up(&in->s->dst))
		return false;
	if (!(f->flags & F_LIVE) &&
	    (!f->from || relay_same_ears(f->from, in->peer->link, in->peer->version)))
		return false;
	sendq_answer(e, f, in->half, PEND_DEL | PEND_INS, segment);
	return true;
}

/* A state that is known by its name. */
static enum reason update_known(struct engine *e, struct flow *f, const struct incoming *in)
{
	struct half *half = &f->half[in->half];
	bool news;
	int stale;

	if (defer_holds(e, f))
		defer_known(e, f);
	if (relay_is_older(e, in->peer, f, in->half, &in->s->src, &in->s->dst))
		return R_RELAY_COPY;
	if (spoilt(e, f, in))
		return R_STALE;
	stale = sides_merge(e, f, in->half, &in->s->src, &in->s->dst, in->s->timeout, &news);
	half->flags |= H_TOLD;
	names_held(in->peer, half);
	relay_heard(e, in->peer, f, in->half, false);
	if (in->kept != R_NONE && !(half->flags & H_RAW) && !(f->flags & F_LIVE)) {
		if (!keep_raw(f, in)) /* it was none of these before */
			return R_NO_MEMORY;
		carry_judge(e, f);
	}
	if (in->ins && in->s->state_flags & PF_FLAG_SLOPPY) /* nothing else gives a pf the flag */
		half->flags |= H_SLOPPY;
	if (in->ins) {
		if (relay_is_retold(e, in->peer, half, news) || relay_is_copy(e, in->peer, f, news))
			return R_NONE;
		if (import_word(e, in->peer, f, in->half))
			(void)sides_merge(e, f, in->half, &in->s->src, &in->s->dst, in->s->timeout,
					  &news);
	} else if (stale) {
		receive_correct(e, in->peer, f, in->half);
		return R_STALE;
	} else if (import_in_bulk(e, in->peer)) {
		relay_bulk(e, in->peer, f, in->half, news);
		return R_NONE;
	} else if (!news && !(f->flags & F_LIVE) &&
		   (relay_is_answer(e, half) || relay_is_copy(e, in->peer, f, news))) {
		return R_NONE;
	} else if (!(f->flags & F_LIVE)) {
		f->heard = e->ds;
		relay_heard(e, in->peer, f, in->half, true);
	} else if (e->ds - f->told > 10 && !relay_is_answer(e, half) &&
		   (refresh_by_upd(e) || (!in->peer->pf && refresh_rests(e, f)))) {
		/* an older FreeBSD is refreshed so, and we all hear it, also by way of a node that
		 * has one on another link */
		if (f->pend || refresh_lives(e, f)) {
			f->heard = e->ds; /* whose packet was the last shows when we look */
		} else {
			(void)import_word(e, in->peer, f, in->half);
			(void)sides_merge(e, f, in->half, &in->s->src, &in->s->dst, in->s->timeout,
					  &news);
		}
	}
	take_expiry(e, f, in->s);
	relay_update(e, f, in->half, news);
	return R_NONE;
}

/* A state whose name is new. */
static enum reason take_new(struct engine *e, const struct incoming *in, struct flow **flow)
{
	bool claimed = false, renamed = false, hearsay, fresh, crowded;
	struct flow *f = find_flow(e, in, &crowded);
	enum reason r;

	fresh = !f;
	if (crowded)
		return R_KEY_CLASH;
	if (!f) {
		f = new_flow(e, in, &r);
		if (!f)
			return r;
	} else {
		if (of_the_one_before(f, in))
			return R_OTHER_NAME;
		if (contradicts(e, f, in) || (in->kept != R_NONE && f->flags & F_LIVE))
			return R_KEY_CLASH;
		renamed = f->half[in->half].flags & H_PRESENT;
		if (renamed && !names_take(e, f, in))
			return R_OTHER_NAME;
		claimed = f->flags & F_UNDECIDED;
		if (claimed) /* before attach(): of a live flow a peer's numbers are not kept */
			f->flags &= (uint16_t) ~(F_UNDECIDED | F_LIVE);
		else if (in->ins)
			(void)import_word(e, in->peer, f, in->half);
	}
	hearsay = !in->ins && (fresh || claimed || f->hearsay);
	r = attach(e, f, in);
	if (r != R_NONE) {
		if (fresh)
			engine_forget(e, f);
		return r;
	}
	if (fresh) {
		in->peer->half++;
	} else if (f->half[!in->half].flags & H_PRESENT && in->peer->half) {
		in->peer->half--;
		in->peer->whole++;
	}
	if (claimed) {
		/* found at our start and named by a peer: who carries it shows when we look */
		if (in->s->creatorid != e->config.hostid)
			peer_take_flow(e, in->peer, f);
		f->flags |= F_PROBE;
		f->checked = f->heard = e->ds;
		refresh_arm(e, f);
	} else if (fresh) {
		(void)import_word(e, in->peer, f, in->half);
		if (!in->ins) /* what one tells that was asked may be carried by another */
			f->half[in->half].carrier = 0;
	} else if (f->flags & F_LIVE && f->proto == PROTO_TCP &&
		   !(f->half[in->half].flags & (H_SLOPPY | H_RAW))) {
		/* not told before we took the flow over, and stale as the other half was */
		sendq_pend(e, f, in->half, PEND_DEL | PEND_INS);
		f->flags |= F_TAKEN;
	}
	f->hearsay = hearsay;
	if (renamed)
		relay_renamed(e, f, in->half);
	relay_state(e, f, in->half, !in->ins);
	*flow = f;
	return R_NONE;
}

static enum reason take_state(struct engine *e, struct incoming *in)
{
	struct half *half;
	struct flow *f = NULL;
	enum reason r = check_state(in->s, in->layout);

	if (r != R_NONE)
		return r;
	in->half = in->s->direction == PF_IN ? HALF_IN : HALF_OUT;
	in->kept = xlat_half(in->s, in->layout, &in->tuples);
	if (in->kept != R_NONE && !xlat_is_kept(in->kept))
		return in->kept;
	if (announce_listed(&e->config.exclude, &in->tuples))
		return R_EXCLUDED;
	if (announce_listed(&e->config.protect, &in->tuples))
		return R_PROTECTED;
	/* an entry for it would open this very host to whoever can send on the link */
	if (in->kept != R_AF_TO && !e->config.announce_local && announce_is_local(e, &in->tuples))
		return R_LOCAL;
	half = table_find_half(&e->table, in->s->id, in->s->creatorid);
	if (half) {
		f = half_flow(half);
		if (half_index(half) != in->half || !import_shows_same(f, in)) {
			if (f->flags & F_LIVE)
				return R_KEY_CLASH;
			drop_half(e, in->peer, f, half_index(half));
			half = NULL;
		}
	}
	if (half) {
		r = update_known(e, f, in);
	} else {
		if (!in->ins && import_in_bulk(e, in->peer) &&
		    relay_has_ended(e, in->s->id, in->s->creatorid))
			return R_ENDED;
		if (!peer_rate_ok(e, in->peer))
			return R_MAX_RATE;
		r = take_new(e, in, &f);
		if (r != R_NONE)
			return r;
	}
	if (in->kept == R_NONE && in->s->state_flags & PF_FLAG_ACK)
		f->half[in->half].flags |= H_ACK;
	/* a bulk update tells what there is, not that it lives: a timeout that is written because
	 * of it would hide the packets that have passed here since the last look */
	if (in->ins || !half || !(f->flags & F_KERNEL) || !import_in_bulk(e, in->peer) ||
	    f->half[in->half].flags & H_ACK || runs_out(e, f))
		commit_want(e, f);
	refresh_arm(e, f);
	return r != R_NONE ? r : (enum reason)f->kept;
}

void import_expect(struct engine *e, const struct peer *p, const struct pf_state *s, size_t n,
		   enum pf_layout layout, bool ins)
{
	/* else their names are known, mostly */
	bool fresh = ins || import_in_bulk(e, p);
	struct expected x = {0};
	struct tuples t;

	for (size_t i = 0; i < n; i++) {
		/* both names of a flow are in one bucket, and it has one middle */
		if (i && s[i].id >> 1 == s[i - 1].id >> 1 && s[i].creatorid == s[i - 1].creatorid)
			continue;
		table_expect_half(&e->table, &x, s[i].id, s[i].creatorid);
		if (fresh && xlat_half(&s[i], layout, &t) == R_NONE)
			table_expect_middle(&e->table, &x, &t);
	}
	table_fetch(&x);
}

enum reason import_state(struct engine *e, struct peer *p, const struct pf_state *s,
			 enum pf_layout layout, bool ins)
{
	struct incoming in = {
		.link = &e->link[p->link], .peer = p, .s = s, .layout = layout, .ins = ins};
	enum reason r;

	p->pf |= made_by_pf(s);
	r = take_state(e, &in);
	if (r != R_NONE && r != R_STALE && r != R_ENDED && !xlat_is_kept(r))
		names_refused(e, s->id, s->creatorid);
	return r;
}
