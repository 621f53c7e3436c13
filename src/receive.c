/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets of peers: checked, taken apart, merged into the table. Every message that is not taken
 * is counted under its reason; a bad record never keeps the next one from being read.
 */
#include <string.h>

#include "engine_internal.h"

#define JUST_NOW_NS (2 * NS_PER_S)

enum {
	LAST_WORDS_DS = 10,    /* pf tells what happened within a second */
	CARRIED_DS = 600,      /* how long it counts that a peer has said that it carries a flow */
	OLD_DENSITY = 6,       /* states of layout 1301 in a packet; newer ones have room for 5 */
	CLEAR_AT_ONCE = 10000, /* records, in a tenth of a second */
	ANSWER_RATE = 20000,   /* states that were asked for, in a second and link */
	ANSWER_BURST = 2000,
	SAME_DS = 10, /* in this time one state is told so often to who asks for it: */
	SAME_MOST = 5,
};

/* ---- the other messages ---------------------------------------------------------------- */

/* We have taken the flow over, and its states are about to be replaced at the peers. */
static bool replacing(const struct flow *f)
{
	return f->flags & F_LIVE && f->pend & (PEND_DEL | PEND_DEL << 4);
}

static bool just_now(const struct engine *e, uint64_t at)
{
	return at && e->now - at < JUST_NOW_NS;
}

/*
 * Who stood still for a while tells of the time before in its first words; and what a bulk answer
 * of ours tells, a pf that has seen more of it corrects, however long ago that was.
 * Neither counts if traffic passes here. A Linux node that says after a bulk answer that it carries
 * the flow is believed.
 */
static bool old_news(struct engine *e, const struct peer *p, struct flow *f, bool repeats)
{
	return (just_now(e, p->returned) ||
		(repeats && just_now(e, e->link[p->link].answered_at))) &&
	       f->flags & F_LIVE && refresh_lives(e, f);
}

/*
 * We carry the flow and told so a moment ago, or are about to: a pf that has seen more of it
 * answers that, however long ago it did. A new flow of ours was told by an INS, which nobody
 * answers.
 */
static bool lately(const struct engine *e, const struct flow *f)
{
	bool answered = f->flags & F_REMOTE || e->ds - f->created > 2 * LAST_WORDS_DS;

	return replacing(f) || (f->flags & F_LIVE && answered && e->ds - f->told < LAST_WORDS_DS);
}

/*
 * Who asks for one state again and again does not take it: a pf that has the connection under
 * another name refuses each answer. All on the link hear the answers, what is stale to one of them
 * it corrects by an UPD_C, and of that the pf asks again, at once: a storm that never ends.
 */
static bool too_often(const struct engine *e, struct asked table[ASKED_MAX], uint64_t id,
		      uint32_t creatorid)
{
	struct asked *a = &table[name_slot(id, creatorid, ASKED_MAX)];

	if (a->id != id || a->creatorid != creatorid || e->ds - a->ds >= SAME_DS)
		*a = (struct asked){.id = id, .creatorid = creatorid, .ds = e->ds};
	return a->times++ >= SAME_MOST;
}

/*
 * A peer lags behind: it is told what is known, at once. Not for ever: two FreeBSDs, of which one
 * has seen the SYN answered and the other later numbers, each take back what the other has said,
 * and would go on as long as somebody corrects them.
 */
void receive_correct(struct engine *e, const struct peer *p, struct flow *f, int h)
{
	const struct half *half = &f->half[h];

	if (too_often(e, e->corrected, half->id, half->creatorid))
		return;
	sendq_answer(e, f, h, PEND_UPD_C, relay_segment(e, p));
	sendq_urgent(e);
}

/* What is not sloppy of a flow that we carry. */
static void replace_again(struct engine *e, struct flow *f)
{
	for (int h = HALF_IN; h <= HALF_OUT; h++)
		if (!(f->half[h].flags & (H_SLOPPY | H_RAW)))
			sendq_pend(e, f, h, PEND_DEL | PEND_INS);
	f->flags |= F_TAKEN;
}

static enum reason take_upd_c(struct engine *e, struct link *l, struct peer *p,
			      const struct msg_upd_c *m)
{
	const struct dialect *d = p->dialect ? p->dialect : l->config.dialect;
	uint8_t timeouts = d ? d->timeouts : dialect_get(DIALECT_FREEBSD_15)->timeouts;
	enum reason r = sides_check(timeouts, &m->src, &m->dst, m->timeout);
	struct half *half = table_find_half(&e->table, m->id, m->creatorid);
	/* it spoke just before we did; it follows the sequence; it says so again if it is so */
	bool before, numbers, repeats, news;
	struct flow *f;
	int stale;

	if (r != R_NONE)
		return r;
	if (!m->id || !m->creatorid)
		return R_CREATOR_ZERO;
	if (!half) {
		if (!names_refused_lately(e, m->id, m->creatorid, REFUSED_DS))
			sendq_request(e, l, m->id, m->creatorid);
		return probe_is_echo(m) ? R_NONE : R_UNKNOWN_ID;
	}
	f = half_flow(half);
	names_held(p, half);
	peer_word(e, p, f, half_index(half));
	if (defer_holds(e, f))
		defer_known(e, f);
	if (relay_is_older(e, p, f, half_index(half), &m->src, &m->dst))
		return R_RELAY_COPY;
	/* shifted since it was told: what is not in an update has to come, too */
	if (f->proto == PROTO_TCP && (m->src.seqdiff || m->dst.seqdiff) && !(half->flags & H_RAW) &&
	    !(f->flags & F_LIVE))
		sendq_request(e, l, m->id, m->creatorid);
	before = replacing(f) || (int32_t)(f->told - f->heard) < 2 * LAST_WORDS_DS;
	numbers = f->proto == PROTO_TCP && !(sides_made_up(&m->src) && sides_made_up(&m->dst));
	repeats = p->pf || numbers;
	stale = sides_merge(e, f, half_index(half), &m->src, &m->dst, m->timeout, &news);
	if (stale)
		receive_correct(e, p, f, half_index(half));
	if (stale < 2) {
		/* what was under way when we took it over from a pf, which says so again if it
		 * really carries the flow; a Linux says it once, without numbers */
		if (old_news(e, p, f, repeats))
			return R_NONE;
		relay_heard(e, p, f, half_index(half), false);
		if (relay_is_copy(e, p, f, news))
			return stale ? R_STALE : R_NONE;
		if (lately(e, f) && (repeats || before))
			f->heard = e->ds;
		else if (import_word(e, p, f, half_index(half)))
			(void)sides_merge(e, f, half_index(half), &m->src, &m->dst, m->timeout,
					  &news);
		/* a pf that answers our refresh with numbers has not got the sloppy state, or has
		 * learned them of packets that passed there: they grow stale with each that does
		 * not */
		if (lately(e, f) && numbers && !before && !(half->flags & (H_SLOPPY | H_RAW)))
			replace_again(e, f);
		if (!(f->flags & F_KERNEL)) /* it waits: its time begins anew */
			f->expires = e->ds + 10 * commit_seconds(e, f);
		commit_want(e, f);
		relay_update(e, f, half_index(half), news);
		refresh_arm(e, f);
	}
	return stale ? R_STALE : R_NONE;
}

static enum reason take_request(struct engine *e, struct link *l, const struct peer *p,
				const struct msg_id *m)
{
	struct half *half;

	if (!m->id && !m->creatorid) {
		bulk_on_request(e, l);
		return R_NONE;
	}
	engine_count(e, C_UPD_REQ_IN);
	half = table_find_half(&e->table, m->id, m->creatorid);
	if (!half)
		return R_UNKNOWN_REQUEST;
	names_asked(p, half);
	/* twenty times as long as the request: what lives here must not wait behind it */
	if (too_often(e, e->asked, m->id, m->creatorid) ||
	    !engine_bucket(&l->states, e->now, NS_PER_S / ANSWER_RATE, ANSWER_BURST))
		return R_REQUEST_RATE;
	sendq_answer(e, half_flow(half), half_index(half), PEND_UPD, relay_segment(e, p));
	sendq_urgent(e);
	return R_NONE;
}

/* Told again: to those of a segment, or to all. */
static void delete_answer(struct engine *e, struct flow *f, int h, uint8_t segment)
{
	if (segment)
		sendq_answer(e, f, h, PEND_INS, segment);
	else
		sendq_pend(e, f, h, PEND_INS);
}

/*
 * A peer has no such state any more. A flow that lives here is told again; else the half goes, and
 * with its last half the flow. Of a closed connection nothing is worth telling again. segment: who
 * is to hear of either; 0: all have heard of the deletion.
 */
static enum reason delete_half(struct engine *e, struct half *half, uint8_t segment)
{
	struct flow *f = half_flow(half);
	int h = half_index(half);
	bool closed = half_closed(f, h);
	bool live = f->flags & F_LIVE;

	if (!live && !closed) /* traffic that began to pass here lately shows in the entry */
		live = refresh_lives(e, f);
	if (live && !closed) {
		half->flags &= (uint8_t) ~(H_TOLD | H_NUMBERS);
		f->half[h].pf = 0;
		delete_answer(e, f, h, segment);
		/* the DEL_C of the other half is on its way; of a state that it lacks a FreeBSD
		 * asks, and withholds half of what it tells with that request */
		if (f->pend >> 4 * !h & PEND_UPD_C)
			delete_answer(e, f, !h, segment);
		sendq_urgent(e);
		return R_LIVE_DELETE;
	}
	sendq_drop_half(e, f, h);
	relay_delete(e, half, segment);
	table_unname(&e->table, f, h);
	if ((f->half[HALF_IN].flags | f->half[HALF_OUT].flags) & H_PRESENT)
		return R_NONE;
	/* found at our start: whether it lives shows when we look, and then it is told anew */
	if (f->flags & F_PROBE && f->flags & F_KERNEL && !closed)
		return R_NONE;
	/* a closed one that is ours stays until it runs out; under a kept one the entry is not its
	 */
	if (!live && !f->kept)
		commit_delete(e, f);
	engine_forget(e, f);
	return R_NONE;
}

/* Another peer than this one has said lately that it carries the flow: what ran out here did so
 * because it heard nothing of that. */
static bool carried_elsewhere(const struct engine *e, const struct peer *p, struct half *half)
{
	const struct flow *f = half_flow(half);

	return half->carrier && half->carrier != p->place && !half_closed(f, half_index(half)) &&
	       e->ds - f->heard < CARRIED_DS;
}

/*
 * A pf tells what has ended in each direction by itself, up to a second later. What another peer
 * has told it anew meanwhile is not meant: it is asked whether it has it.
 */
static bool told_just_now(const struct engine *e, const struct peer *p, struct half *half)
{
	const struct flow *f = half_flow(half);

	return !(f->flags & F_LIVE) && f->place != p->place &&
	       !relay_is_maker(p, half->creatorid) && !half_closed(f, half_index(half)) &&
	       e->ds - f->heard < 2 * LAST_WORDS_DS;
}

static enum reason take_delete(struct engine *e, struct peer *p, uint64_t id, uint32_t creatorid)
{
	struct half *half = table_find_half(&e->table, id, creatorid);

	relay_note_deleted(e, id, creatorid);
	if (!half)
		return R_UNKNOWN_DELETE;
	names_dropped(e, p, half);
	if (relay_is_deleted_twice(e, p, half))
		return R_RELAY_COPY;
	if (carried_elsewhere(e, p, half)) {
		relay_refused(e, p, half);
		return R_OTHER_DELETE;
	}
	if (told_just_now(e, p, half))
		sendq_request_later(e, &e->link[p->link], id, creatorid);
	return delete_half(e, half, relay_segment(e, p));
}

static bool is_cleared(const struct engine *e, const struct flow *f, const struct half *half)
{
	for (size_t i = 0; i < e->clears; i++)
		if (half->flags & H_PRESENT && half->creatorid == e->cleared[i].creatorid &&
		    (int32_t)(f->heard - e->cleared[i].ds) <= 0)
			return true;
	return false;
}

/* One flow in the walk after a CLR; it may be gone afterwards. */
void receive_clear(struct engine *e, struct flow *f)
{
	for (int h = HALF_IN; h <= HALF_OUT; h++) {
		bool last = !(f->half[!h].flags & H_PRESENT);

		if (is_cleared(e, f, &f->half[h]) && delete_half(e, &f->half[h], 0) == R_NONE &&
		    last)
			return;
	}
}

/*
 * At once where that is little work: what is told right behind a CLR is new, and time is kept in
 * tenths of a second.
 */
static void clear_at_once(struct engine *e)
{
	uint64_t cursor = 0;
	struct flow *f;

	if (e->clear_ds != e->ds)
		e->clear_work = 0;
	e->clear_ds = e->ds;
	if (e->clear_work + table_records(&e->table) > CLEAR_AT_ONCE)
		return;
	e->clear_work += table_records(&e->table);
	while ((f = table_walk(&e->table, &cursor)))
		receive_clear(e, f);
	e->clears = 0;
}

/*
 * Everything of one creator goes, what lives here excepted, in a walk. A CLR that names an
 * interface is not obeyed: the kinds of pf do not agree on what it covers, and a wrong guess
 * deletes live flows.
 */
static enum reason take_clr(struct engine *e, const struct peer *p, const struct msg_clr *m)
{
	size_t i;

	if (m->ifname[0] && strncmp(m->ifname, "all", PF_IFNAME_LEN))
		return R_CLR_INTERFACE;
	if (!m->creatorid)
		return R_CREATOR_ZERO;
	if (!bulk_walks(e, WALK_CLEAR))
		e->clears = 0;
	for (i = 0; i < e->clears && e->cleared[i].creatorid != m->creatorid; i++)
		;
	if (i == CLEARS_MAX)
		return R_CLEARS;
	e->cleared[i].creatorid = m->creatorid;
	e->cleared[i].ds = e->ds;
	if (i == e->clears)
		e->clears++;
	relay_clear(e, p, m->creatorid);
	clear_at_once(e);
	relay_retell(e, p->link);
	/* pfctl -F states empties the whole table of the peer, of which it names only its own part
	 */
	bulk_walk_asked(e, WALK_CLEAR | WALK_RETELL);
	return R_NONE;
}

/* ---- sections and packets -------------------------------------------------------------- */

static void refuse(struct engine *e, struct peer *p, enum reason r, const struct pf_state *s)
{
	if (r != R_NONE)
		engine_refuse(e, r, p, s);
}

/* The flag is 0 or 1; whatever else a peer has there is not handed on. */
static void clean_side(struct pf_peer *p)
{
	p->scrub_flag = p->scrub_flag != 0;
}

static void take_one(struct engine *e, struct link *l, struct peer *p, const struct section *s,
		     struct pf_state *state)
{
	bool ins = s->action == ACT_INS;

	p->messages++;
	clean_side(&state->src);
	clean_side(&state->dst);
	if (s->action == ACT_DEL) {
		engine_count(e, C_DEL_IN);
		refuse(e, p, take_delete(e, p, state->id, state->creatorid), state);
		return;
	}
	/* a FreeBSD that began anew withholds its request until it is asked itself; the
	 * name of another peer, told on, shows nothing of that */
	if (ins && state->creatorid && state->creatorid != e->config.hostid) {
		bool elsewhere = peer_known(e, state->creatorid);

		if (peer_hostid(e, p, state->creatorid) && !elsewhere)
			bulk_ask(e, l, false);
	}
	engine_count(e, ins ? C_INS_IN : C_UPD_IN);
	peer_icmp(e, p, state, s->layout);
	if (s->action == ACT_UPD && probe_state(e, p, state))
		return;
	refuse(e, p, import_state(e, p, state, s->layout, ins), state);
}

static void take_states(struct engine *e, struct link *l, struct peer *p, struct section *s)
{
	struct pf_state state[EXPECTED_MAX];
	size_t n;

	peer_dialect(e, p, s->layout);
	if (s->layout == LAYOUT_1301)
		p->dense |= s->count >= OLD_DENSITY;
	if (s->action == ACT_UPD)
		bulk_on_states(e, l, p);
	do {
		for (n = 0; n < EXPECTED_MAX && section_next_state(s, &state[n]);)
			n++;
		import_expect(e, p, state, n, s->layout, s->action == ACT_INS);
		for (size_t i = 0; i < n; i++)
			take_one(e, l, p, s, &state[i]);
	} while (n == EXPECTED_MAX);
}

static void take_ids(struct engine *e, struct link *l, struct peer *p, struct section *s)
{
	struct msg_id m;

	while (section_next_id(s, &m)) {
		p->messages++;
		if (s->action == ACT_DEL_C) {
			engine_count(e, C_DEL_IN);
			refuse(e, p, take_delete(e, p, m.id, m.creatorid), NULL);
		} else if (s->action == ACT_UPD_REQ) {
			if (!probe_request(e, p, &m))
				refuse(e, p, take_request(e, l, p, &m), NULL);
		} else {
			engine_count(e, C_INS_ACK_IN);
			defer_acknowledged(e, m.id, m.creatorid);
		}
	}
}

static void take_section(struct engine *e, struct link *l, struct peer *p, struct section *s)
{
	struct msg_upd_c update;
	struct msg_clr clr;
	struct msg_bus bus;
	bool changes = s->action != ACT_UPD_REQ && s->action != ACT_INS_ACK && s->action != ACT_BUS;

	if (l->config.mode == MODE_SEND_ONLY && changes) {
		refuse(e, p, R_MODE, NULL);
		return;
	}
	switch (s->action) {
	case ACT_UPD:
	case ACT_INS:
	case ACT_DEL:
		take_states(e, l, p, s);
		break;
	case ACT_INS_ACK:
	case ACT_UPD_REQ:
	case ACT_DEL_C:
		take_ids(e, l, p, s);
		break;
	case ACT_UPD_C:
		while (section_next_upd_c(s, &update)) {
			p->messages++;
			engine_count(e, C_UPD_C_IN);
			clean_side(&update.src);
			clean_side(&update.dst);
			refuse(e, p, take_upd_c(e, l, p, &update), NULL);
		}
		break;
	case ACT_CLR:
		while (section_next_clr(s, &clr)) {
			p->messages++;
			engine_count(e, C_CLR_IN);
			refuse(e, p, take_clr(e, p, &clr), NULL);
		}
		break;
	case ACT_BUS: /* only the first one of a section is read, as pf does */
		if (section_next_bus(s, &bus)) {
			p->messages++;
			bulk_on_status(e, l, p, &bus);
		}
		break;
	case ACT_TDB:
		refuse(e, p, R_TDB_IGNORED, NULL);
		break;
	default:
		break;
	}
}

static enum reason check_source(const struct link *l, const struct address *src)
{
	for (size_t i = 0; i < l->addrs; i++)
		if (l->addr[i].family == src->family &&
		    !memcmp(l->addr[i].addr, src->addr, family_len(src->family)))
			return R_OWN_PACKET;
	if (l->config.accept.count) {
		for (size_t i = 0; i < l->config.accept.count; i++)
			if (prefix_has(&l->config.accept.prefix[i], src->family, src->addr))
				return R_NONE;
		return R_SOURCE;
	}
	for (size_t i = 0; i < l->addrs; i++)
		if (prefix_has(&l->addr[i], src->family, src->addr))
			return R_NONE;
	return R_SOURCE;
}

/* Header versions that this link listens to: its dialect's; both where it is learned. */
static bool version_wanted(const struct link *l, uint8_t version)
{
	return !l->config.dialect || l->config.dialect->version == version;
}

void engine_on_packet(struct engine *e, unsigned link, const struct packet_from *from,
		      const void *data, size_t len, uint64_t now)
{
	struct link *l = &e->link[link];
	struct peer *p;
	struct packet packet;
	struct section s;
	enum reason r;
	bool appears;

	engine_clock(e, now);
	engine_count(e, C_PACKETS_IN);
	e->counters.done[C_BYTES_IN] += len;
	l->packets_in++;
	r = check_source(l, &from->src);
	if (!from->right_interface)
		r = R_INTERFACE;
	else if (r == R_NONE && from->ttl != PFSYNC_TTL)
		r = R_TTL;
	if (r == R_NONE)
		r = packet_open(&packet, data, len);
	if (r == R_NONE && packet.length_wrong)
		r = R_LENGTH;
	if (r == R_NONE && !version_wanted(l, packet.version))
		r = R_VERSION;
	if (r != R_NONE) {
		engine_refuse(e, r, NULL, NULL);
		return;
	}
	p = peer_find(e, link, &from->src);
	if (!p) {
		engine_refuse(e, R_NO_MEMORY, NULL, NULL);
		return;
	}
	appears = peer_heard(e, p, packet.version);
	if (appears) {
		engine_note(e, &(struct note){.kind = NOTE_PEER_APPEARED,
					      .link = (int)link,
					      .peer = &p->addr});
		bulk_walk_asked(e, WALK_REPLACE);
	}
	if (packet.version == PFSYNC_VERSION_OPENBSD) /* one layout has that version */
		peer_dialect(e, p, LAYOUT_OPENBSD);
	while (packet_next(&packet, &s)) {
		if (s.action != ACT_EOF)
			engine_note(e, &(struct note){.kind = NOTE_RECEIVED,
						      .action = s.action,
						      .link = (int)link,
						      .peer = &p->addr});
		if (s.action == ACT_UNKNOWN &&
		    packet.error == R_NONE) /* passed over, the rest counts */
			engine_refuse(e, R_ACTION, p, NULL);
		else if (s.present == s.count)
			take_section(e, l, p, &s);
	}
	if (packet.error != R_NONE)
		engine_refuse(e, packet.error, p, NULL);
	if (appears) /* unless that packet was the answer already */
		bulk_on_peer(e, l);
}
