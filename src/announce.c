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

/* How far the flow is: TCP by its state, others by what was seen. */
static enum announce_from reached(const struct kernel_entry *k)
{
	if (k->tuples.proto == PROTO_TCP)
		return k->tcp_state >= CT_TCP_ESTABLISHED && k->tcp_state <= CT_TCP_LAST_ACK
			       ? FROM_ASSURED
			       : FROM_NEW;
	if (k->status & CT_STATUS_ASSURED)
		return FROM_ASSURED;
	return k->status & CT_STATUS_SEEN_REPLY ? FROM_REPLIED : FROM_NEW;
}

enum reason announce_check(const struct engine *e, const struct kernel_entry *k)
{
	const struct tuples *t = &k->tuples;

	/* SCTP needs verification tags on both sides, of which ctnetlink is not asked yet */
	if (t->proto == PFSYNC_PROTOCOL || t->proto == 0 || t->proto == PROTO_SCTP)
		return R_PROTOCOL;
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
	if (reached(k) < wanted_from(e, t->proto))
		return R_NOT_YET;
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

	writer_u32(&w, f->node.word);
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
	p->state = half->state[side];
}

static void ends_of(const struct engine *e, struct flow *f, int h, struct pf_state *s)
{
	unsigned index = f->half[h].ifname < e->name_count ? f->half[h].ifname : 0;

	memcpy(s->ifname, e->names[index], PF_IFNAME_LEN);
}

/* Asks once per flow which interfaces it uses, if any name is mapped at all. */
static void find_interfaces(struct engine *e, struct flow *f, const struct tuples *t)
{
	char name[2][PF_IFNAME_LEN];

	if (!e->ops.interfaces || f->flags & F_REMOTE || f->half[HALF_IN].ifname)
		return;
	memset(name, 0, sizeof(name));
	if (!e->ops.interfaces(e->ctx, t, name))
		return;
	f->half[HALF_IN].ifname = engine_intern(e, name[0], NAMES_MAX);
	f->half[HALF_OUT].ifname = engine_intern(e, name[1], NAMES_MAX);
	if (!f->half[HALF_IN].ifname)
		f->half[HALF_IN].ifname = IFNAME_ASKED;
}

/* A kept state can be told in this dialect without becoming another one. */
static bool raw_fits(const struct flow *f, const struct pf_state *s, const struct dialect *d)
{
	bool domain = s->key[PF_WIRE].rdomain || s->key[PF_STACK].rdomain;

	if (s->rt || s->rtableid[0] > 0 || s->rtableid[1] > 0 || s->af != s->stack_af)
		return false;
	return !proto_is_icmp(f->proto) && (!domain || d->layout == LAYOUT_OPENBSD);
}

/* What a peer may have left in a state that it told, and no pf would tell again. */
static void plain(struct pf_state *s)
{
	for (int i = 0; i < 2; i++)
		if (s->rtableid[i] < 0)
			s->rtableid[i] = -1;
	s->qid = s->pqid = s->dnpipe = s->dnrpipe = 0;
	s->rt_af = 0;
	memset(s->rt_addr, 0, sizeof(s->rt_addr));
	memset(s->rt_ifname, 0, sizeof(s->rt_ifname));
	s->orig_ifname[PF_IFNAME_LEN - 1] = s->tag[PF_TAG_LEN - 1] = '\0';
	for (int k = PF_WIRE; s->af == 4 && k <= PF_STACK; k++)
		for (int i = 0; i < 2; i++)
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

/*
 * The full state of a half in a dialect. False if the dialect cannot say it (kept states that need
 * another layout).
 */
bool announce_state(struct engine *e, struct flow *f, int h, const struct link *l,
		    const struct dialect *d, struct pf_state *s)
{
	struct half *half = &f->half[h];
	bool strict = l->config.handover_strict && f->flags & F_WSCALE &&
		      half->state[0] == PF_TCP_ESTABLISHED && half->state[1] == PF_TCP_ESTABLISHED;
	struct tuples t;

	if (half->timeout >= d->timeouts) /* SCTP indexes: a pf that lacks them rejects the state */
		return false;
	if (half->flags & H_RAW) {
		*s = *f->extra->raw[h];
		s->timeout = half->timeout;
		if (!raw_fits(f, s, d))
			return false;
		s->rule = s->anchor = s->nat_rule = UINT32_MAX;
		plain(s);
		ends_of(e, f, h, s);
		s->expire = 0;
		s->state_flags &= PF_FLAG_SLOPPY;
		return true;
	}
	memset(s, 0, sizeof(*s));
	flow_tuples(f, &t);
	find_interfaces(e, f, &t);
	s->id = half->id;
	s->creatorid = half->node.word;
	ends_of(e, f, h, s);
	s->direction = h == HALF_IN ? PF_IN : PF_OUT;
	xlat_keys(&t, s->direction, d->icmp_typed, s->key);
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
	s->rule = s->anchor = s->nat_rule = UINT32_MAX;
	s->creation = (e->ds - f->created) / 10;
	s->timeout = half->timeout;
	/* what rests does not begin anew; FreeBSD 14 and 15 keep for ever what has more time than
	 * their timeout, which may be another one than we are told */
	if ((f->flags & (F_LIVE | F_KERNEL)) == F_KERNEL && d->layout != LAYOUT_1400 &&
	    d->layout != LAYOUT_1500)
		s->expire = seconds_left(e, f, half);
	s->rtableid[PF_WIRE] = s->rtableid[PF_STACK] = -1;
	if (d->layout == LAYOUT_OPENBSD) /* as recorded: 0 on the side where the packet came from */
		s->rtableid[h == HALF_IN ? PF_STACK : PF_WIRE] = 0;
	if (f->extra && f->extra->counted) {
		memcpy(s->packets, f->extra->packets, sizeof(s->packets));
		memcpy(s->bytes, f->extra->bytes, sizeof(s->bytes));
	}
	return true;
}

void announce_upd_c(struct engine *e, struct flow *f, int h, struct msg_upd_c *m)
{
	const struct half *half = &f->half[h];

	memset(m, 0, sizeof(*m));
	m->id = half->id;
	m->creatorid = half->node.word;
	side_of(f, h, 0, false, &m->src);
	side_of(f, h, 1, false, &m->dst);
	m->timeout = half->timeout;
}
