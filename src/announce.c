/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of a flow, under which names, and whether it is told at all. */
#include <string.h>

#include "engine_internal.h"
#include "hash.h"
#include "xlat.h"

/* ---- whether --------------------------------------------------------------------------- */

/* Any end of the flow is in one of the prefixes. */
bool announce_listed(const struct prefix_list *l, const struct tuples *t)
{
	for (size_t i = 0; i < l->count; i++)
		for (int end = ORIG_SRC; end <= REPLY_DST; end++)
			if (prefix_has(&l->prefix[i], t->family, t->end[end].addr))
				return true;
	return false;
}

static bool is_vip(const struct engine *e, const struct tuples *t, enum flow_end end)
{
	const struct prefix_list *l = &e->config.vip;

	for (size_t i = 0; i < l->count; i++)
		if (prefix_has(&l->prefix[i], t->family, t->end[end].addr))
			return true;
	return false;
}

static bool is_own(const struct engine *e, const struct tuples *t, enum flow_end end)
{
	for (size_t i = 0; i < e->owns; i++)
		if (e->own[i].family == t->family &&
		    !memcmp(e->own[i].addr, t->end[end].addr, family_len(t->family)))
			return true;
	return false;
}

/*
 * The flow begins or ends on this host, under an address that is not shared. Behind translation
 * the ends that count are the client's (ORIG_SRC) and the real server's (REPLY_SRC).
 */
bool announce_is_local(const struct engine *e, const struct tuples *t)
{
	return (is_own(e, t, ORIG_SRC) && !is_vip(e, t, ORIG_SRC)) ||
	       (is_own(e, t, REPLY_SRC) && !is_vip(e, t, REPLY_SRC));
}

/* The halves that pf would have: a flow that ends on this host enters only, one that begins here
 * leaves only. */
static unsigned halves_of(const struct engine *e, const struct tuples *t)
{
	if (is_own(e, t, ORIG_SRC) || is_vip(e, t, ORIG_SRC))
		return 1u << HALF_OUT;
	if (is_own(e, t, REPLY_SRC) || is_vip(e, t, REPLY_SRC))
		return 1u << HALF_IN;
	return 1u << HALF_IN | 1u << HALF_OUT;
}

static enum announce_from wanted_from(const struct engine *e, uint8_t proto)
{
	switch (proto) {
	case PROTO_TCP:
		return e->config.tcp;
	case PROTO_UDP:
		return e->config.udp;
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		return e->config.icmp;
	default:
		return e->config.other;
	}
}

/* How far the flow is: TCP and SCTP by their state, others by what was seen. */
static enum announce_from reached(const struct kernel_entry *k)
{
	if (k->tuples.proto == PROTO_SCTP) /* both tags are known and have been used */
		return k->sctp_state >= CT_SCTP_ESTABLISHED &&
				       k->sctp_state <= CT_SCTP_SHUTDOWN_ACK_SENT && k->vtag[0] &&
				       k->vtag[1]
			       ? FROM_ASSURED
			       : FROM_NEW;
	if (k->tuples.proto == PROTO_TCP)
		return k->tcp_state >= CT_TCP_ESTABLISHED && k->tcp_state <= CT_TCP_LAST_ACK
			       ? FROM_ASSURED
			       : FROM_NEW;
	if (k->status & CT_STATUS_ASSURED)
		return FROM_ASSURED;
	return k->status & CT_STATUS_SEEN_REPLY ? FROM_REPLIED : FROM_NEW;
}

/* early: its first packet is held back until it was told, however far it is. */
enum reason announce_check(const struct engine *e, const struct kernel_entry *k, bool early)
{
	const struct tuples *t = &k->tuples;

	if (t->proto == PFSYNC_PROTOCOL || t->proto == 0)
		return R_PROTOCOL;
	if (xlat_is_keyed(t))
		return R_KEYED;
	if (proto_is_icmp(t->proto) &&
	    t->icmp_type != (t->proto == PROTO_ICMP ? 8 : 128)) /* Linux knows few others */
		return R_ICMP_TYPE;
	for (int i = ORIG_SRC; i <= REPLY_DST; i++)
		if (address_is_special(t->family, t->end[i].addr))
			return R_LINK_LOCAL;
	if (t->proto == PROTO_TCP &&
	    (k->tcp_state == CT_TCP_NONE || k->tcp_state == CT_TCP_TIME_WAIT ||
	     k->tcp_state == CT_TCP_CLOSE))
		return R_NOT_YET;
	if (!early &&
	    reached(k) < (t->proto == PROTO_SCTP ? FROM_ASSURED : wanted_from(e, t->proto)))
		return R_NOT_YET;
	/* a pf would have to track its sequence to rewrite it, and cannot be told where it is */
	if (k->seqadj_moves || carry_adjusts(k->seqadj))
		return R_SEQDIFF;
	if (!e->config.announce_local && announce_is_local(e, t))
		return R_LOCAL;
	return announce_listed(&e->config.exclude, t) ? R_EXCLUDED : R_NONE;
}

/* ---- under which name ------------------------------------------------------------------ */

/*
 * A keyed hash of what the kernel says of the entry, so a restarted daemon gives the same names.
 * The two names of a flow differ in their lowest bit.
 */
static uint64_t name_of(const struct engine *e, const struct flow *f)
{
	uint8_t bytes[8 + 4 * 18];
	struct writer w = writer_of(bytes, sizeof(bytes));
	uint64_t id;

	writer_u32(&w, f->kernel_id);
	writer_u8(&w, f->family);
	writer_u8(&w, f->proto);
	writer_u8(&w, f->icmp_type);
	writer_bytes(&w, f->ends, 4 * (family_len(f->family) + 2));
	id = hash_bytes(e->name_key, bytes, writer_len(&w)) & ~1ull;
	return id ? id : 2;
}

/* Names the halves that have none and that pf would have. */
void announce_name(struct engine *e, struct flow *f)
{
	struct tuples t;
	unsigned halves;
	uint64_t id;

	flow_tuples(f, &t);
	halves = halves_of(e, &t);
	id = name_of(e, f);
	for (int h = HALF_IN; h <= HALF_OUT; h++) {
		if (f->half[h].flags & H_PRESENT || !(halves & 1u << h))
			continue;
		/* a name that is taken by chance or ill will is stepped over */
		for (int step = 0; step < 8; step++)
			if (table_name(&e->table, f, h, (id | (unsigned)h) + 2 * (unsigned)step,
				       e->config.hostid))
				break;
	}
}

/* ---- what ------------------------------------------------------------------------------ */

/* The pair as our kernel sees the flow. */
void announce_pair(struct engine *e, struct flow *f, struct pf_pair *p)
{
	uint32_t status = (f->flags & F_ASSURED ? (uint32_t)CT_STATUS_ASSURED : 0) |
			  (f->flags & F_REPLIED ? (uint32_t)CT_STATUS_SEEN_REPLY : 0);

	*p = ctstate_to_pf(f->proto, f->tcp_state, f->flags & F_REPLY_FIN, status);
}

/* Raises both halves to a pair, each side by itself; true if anything rose. */
bool announce_merge(struct flow *f, const struct pf_pair *p)
{
	const uint8_t side[2] = {p->src, p->dst};
	bool rose = false;

	for (int h = HALF_IN; h <= HALF_OUT; h++) {
		struct half *half = &f->half[h];
		bool changed = false;

		for (int i = 0; i < 2; i++) {
			if (half->state[i] >= side[i])
				continue;
			half->state[i] = side[i];
			changed = true;
		}
		if (changed || (proto_is_icmp(f->proto) && half->timeout != p->timeout &&
				half->timeout != PFTM_ICMP_ERROR)) {
			half->timeout = pf_timeout_of(f->proto, half->state[0], half->state[1],
						      p->timeout);
			rose = true;
		}
	}
	return rose;
}

/* One side of a state as it is told: what a peer told last, or values that pf takes from a
 * stranger. */
static void side_of(const struct flow *f, int h, int side, bool strict, struct pf_peer *p)
{
	const struct half *half = &f->half[h];

	*p = (struct pf_peer){0};
	if (half->flags & H_NUMBERS) {
		*p = f->extra->num[h][side];
	} else if (f->proto == PROTO_TCP) {
		p->seqlo = 1;
		if (strict) { /* pf learns the rest from the first packets (verified: 0/0, true
				 shift) */
			p->seqlo = 0;
			p->seqhi = 1;
			p->max_win = 1;
			p->wscale = 0x80 | (side ? f->wscale >> 4 : f->wscale & 15);
		}
	}
	if (f->proto == PROTO_SCTP && f->extra) {
		p->ts_mod = xlat_tag(f->extra->vtag[side]);
		p->scrub_flag = p->ts_mod != 0;
	}
	p->state = half->state[side];
}

/* The interface that a state is bound to, or "all"; PF_IFNAME_LEN bytes. */
const char *announce_ifname(const struct engine *e, const struct half *half)
{
	return e->names[half->ifname < e->name_count ? half->ifname : 0];
}

/*
 * A half that has no name yet, or one of ours. The interface of a state that a peer has made, and
 * pf compares that when packets come, is the peer's to say.
 */
static bool bound_by_us(const struct engine *e, const struct half *half)
{
	return !(half->flags & H_PRESENT) || half->creatorid == e->config.hostid;
}

/* A half of which the interface is ours to say; unasked: and it was not asked for yet. */
static bool to_be_bound(const struct engine *e, const struct half *half, bool unasked)
{
	return bound_by_us(e, half) && !(unasked && half->ifname);
}

/* Asks which interfaces the flow uses. What is not known now stays as it was. */
static void ask_interfaces(struct engine *e, struct flow *f, const struct tuples *t, uint32_t mark,
			   bool unasked)
{
	char name[2][PF_IFNAME_LEN];

	memset(name, 0, sizeof(name));
	e->ops.interfaces(e->ctx, t, mark, name);
	for (int h = HALF_IN; h <= HALF_OUT; h++) {
		struct half *half = &f->half[h];
		uint8_t was = half->ifname, is;

		if (!to_be_bound(e, half, unasked))
			continue;
		is = name[h][0] ? engine_intern(e, name[h], NAMES_MAX) : was;
		half->ifname = is ? is : IFNAME_ASKED;
		/* no update changes the interface of a state that a pf has */
		if (half->ifname != (was ? was : IFNAME_ASKED) && half->flags & H_TOLD)
			sendq_pend(e, f, h, PEND_DEL | PEND_INS);
	}
}

static bool to_be_asked(const struct engine *e, const struct flow *f, bool unasked)
{
	for (int h = HALF_IN; h <= HALF_OUT; h++)
		if (to_be_bound(e, &f->half[h], unasked))
			return e->ops.interfaces;
	return false;
}

/* Once per half, when it is about to be told: what was told already must not change then. */
static void find_interfaces(struct engine *e, struct flow *f, const struct tuples *t)
{
	if (to_be_asked(e, f, true))
		ask_interfaces(e, f, t, 0, true);
}

/* The kernel's entry has a mark, which may say which interfaces the flow uses. */
void announce_marked(struct engine *e, struct flow *f, uint32_t mark)
{
	struct tuples t;

	if (!(mark & e->config.name_mask) || !to_be_asked(e, f, false))
		return;
	flow_tuples(f, &t);
	f->marked = true;
	ask_interfaces(e, f, &t, mark, false);
}

/*
 * Routes have changed. A pf that takes the flow over would meet its packets at another interface
 * than its state is bound to, and drop them. A mark was written by who has seen the packets.
 */
void announce_reroute(struct engine *e, struct flow *f)
{
	struct tuples t;

	if (!(f->flags & F_LIVE) || f->flags & F_UNDECIDED || f->marked ||
	    !to_be_asked(e, f, false))
		return;
	flow_tuples(f, &t);
	ask_interfaces(e, f, &t, 0, false);
}

/* A kept state can be told in this dialect without becoming another one. */
static bool raw_fits(const struct flow *f, int h, const struct pf_actions *a,
		     const struct dialect *d)
{
	const struct pf_state *s = f->extra->raw[h];
	bool same = f->extra->layout[h] == d->layout;

	if (s->af != s->stack_af) /* two layouts say it, and not in the same way */
		return same;
	if (f->proto == PROTO_SCTP) /* one is tracked with its ports and tags, the other is not */
		return same &&
		       (s->timeout < PFTM_SCTP_FIRST || (s->src.scrub_flag && s->dst.scrub_flag));
	if (!a) /* what else it is made of is not known any more */
		return false;
	return same ||
	       (!s->key[PF_WIRE].rdomain && !s->key[PF_STACK].rdomain && !proto_is_icmp(f->proto));
}

/* What a peer may have left behind an IPv4 address, and no pf would tell again. */
static void clear_tails(struct pf_state *s)
{
	for (int k = PF_WIRE; k <= PF_STACK; k++)
		for (int i = 0; i < 2 && (k == PF_WIRE ? s->af : s->stack_af) == 4; i++)
			memset(s->key[k].addr[i] + 4, 0, sizeof(s->key[k].addr[i]) - 4);
}

/* Of the kernel entry of a flow that a peer carries, or nobody; 0: the whole timeout. */
static uint32_t seconds_left(const struct engine *e, const struct flow *f, const struct half *half)
{
	int32_t left = (int32_t)(f->expires - e->ds);
	uint32_t whole = timeout_seconds(&e->config.timeouts, half->timeout);
	uint32_t usual = timeout_default(half->timeout);

	if (usual < whole)
		whole = usual;
	if (left <= 0) /* it runs out just now */
		return 1;
	return (uint32_t)left < 10 * whole ? (uint32_t)(left + 9) / 10 : 0;
}

/* A state that Linux does not carry: as it was told, with what was told of it since. */
static void state_kept(const struct flow *f, int h, struct pf_state *s)
{
	*s = *f->extra->raw[h];
	s->timeout = f->half[h].timeout;
	s->expire = 0;
	if (f->half[h].flags & H_NUMBERS) {
		side_of(f, h, 0, false, &s->src);
		side_of(f, h, 1, false, &s->dst);
	}
	clear_tails(s);
}

/* A state as the flow has it. */
static void state_carried(struct engine *e, struct flow *f, int h, const struct link *l,
			  const struct dialect *d, struct pf_state *s)
{
	struct half *half = &f->half[h];
	bool strict = l->config.handover_strict && f->flags & F_WSCALE &&
		      half->state[0] == PF_TCP_ESTABLISHED && half->state[1] == PF_TCP_ESTABLISHED;
	struct tuples t;

	memset(s, 0, sizeof(*s));
	flow_tuples(f, &t);
	find_interfaces(e, f, &t);
	s->id = half->id;
	s->creatorid = half->creatorid;
	s->direction = h == HALF_IN ? PF_IN : PF_OUT;
	xlat_keys(&t, s->direction, d->icmp_typed || l->icmp_typed & 1u << d->id, s->key);
	s->af = s->stack_af = f->family;
	s->proto = s->stack_proto = f->proto;
	side_of(f, h, 0, strict, &s->src);
	side_of(f, h, 1, strict, &s->dst);
	if (f->proto == PROTO_TCP) {
		if (half->flags & H_NUMBERS)
			s->state_flags = half->flags & H_SLOPPY ? PF_FLAG_SLOPPY : 0;
		else if (strict)
			s->src.state = s->dst.state = 0;
		else
			s->state_flags = PF_FLAG_SLOPPY;
	}
	s->creation = (e->ds - f->created) / 10;
	s->timeout = half->timeout;
	/* what rests does not begin anew; FreeBSD 14 and 15 keep for ever what has more time than
	 * their timeout, which may be another one than we are told */
	if ((f->flags & (F_LIVE | F_KERNEL)) == F_KERNEL && d->layout != LAYOUT_1400 &&
	    d->layout != LAYOUT_1500)
		s->expire = seconds_left(e, f, half);
	if (f->extra && f->extra->counted) {
		memcpy(s->packets, f->extra->packets, sizeof(s->packets));
		memcpy(s->bytes, f->extra->bytes, sizeof(s->bytes));
	}
}

/*
 * The full state of a half in a dialect. False, and counted, if the dialect cannot say it; what it
 * can say in part is said so, and counted, too.
 */
bool announce_state(struct engine *e, struct flow *f, int h, const struct link *l,
		    const struct dialect *d, struct pf_state *s)
{
	const struct half *half = &f->half[h];
	const struct pf_actions *a = actions_get(&e->table.actions, half->actions);
	bool raw = half->flags & H_RAW;

	/* SCTP indexes: a pf that lacks them rejects the state */
	if (half->timeout >= d->timeouts || (raw && !raw_fits(f, h, a, d))) {
		e->counters.refused[R_UNTOLD]++;
		return false;
	}
	if (raw)
		state_kept(f, h, s);
	else
		state_carried(e, f, h, l, d, s);
	memcpy(s->ifname, announce_ifname(e, half), PF_IFNAME_LEN);
	/* a name that a peer has for its interface may be none elsewhere, where "all" always fits
	 */
	if (!bound_by_us(e, half) && f->from &&
	    !relay_same_ears(f->from, (unsigned)(l - e->link), d->version))
		memcpy(s->ifname, e->names[0], PF_IFNAME_LEN);
	switch (actions_tell(a, d, s)) {
	case ACTIONS_WHOLE:
		return true;
	case ACTIONS_PART:
		e->counters.refused[R_OPTIONS_LOST]++;
		return true;
	case ACTIONS_NONE:
		break;
	}
	e->counters.refused[R_UNTOLD]++;
	return false;
}

void announce_upd_c(struct engine *e, struct flow *f, int h, struct msg_upd_c *m)
{
	const struct half *half = &f->half[h];

	memset(m, 0, sizeof(*m));
	m->id = half->id;
	m->creatorid = half->creatorid;
	side_of(f, h, 0, false, &m->src);
	side_of(f, h, 1, false, &m->dst);
	m->timeout = half->timeout;
}
