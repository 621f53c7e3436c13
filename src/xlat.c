/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "xlat.h"

#include <string.h>

#include "timeouts.h"

/* ---- ICMP ------------------------------------------------------------------------------ */

/* Request types that carry an id: echo, timestamp, information, address mask; echo of ICMPv6. */
static bool icmp_is_query(uint8_t proto, unsigned type)
{
	if (proto == PROTO_ICMPV6)
		return type == 128;
	return type == 8 || type == 13 || type == 15 || type == 17;
}

static uint8_t icmp_echo(uint8_t proto)
{
	return proto == PROTO_ICMPV6 ? 128 : 8;
}

/*
 * The id and type that the two ports of an ICMP key hold: of the requester's side, of the other.
 * Old scheme: the id twice; an id equal to a request type reads the same in both.
 */
static bool icmp_ports(uint8_t proto, uint16_t requester, uint16_t other, uint16_t *id,
		       uint8_t *type)
{
	*id = requester;
	if (requester == other) {
		*type = icmp_echo(proto);
		return true;
	}
	*type = (uint8_t)other;
	return other <= 0xff && icmp_is_query(proto, other);
}

/* Those whose ports pf has in its keys; conntrack has keys of GRE there, too. */
static bool proto_has_ports(uint8_t proto)
{
	return proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_SCTP;
}

bool xlat_is_keyed(const struct tuples *t)
{
	return !proto_has_ports(t->proto) && !proto_is_icmp(t->proto) &&
	       (t->end[ORIG_SRC].port || t->end[ORIG_DST].port || t->end[REPLY_SRC].port ||
		t->end[REPLY_DST].port);
}

/* ---- flow → keys ----------------------------------------------------------------------- */

static void key_end(struct pf_key *k, int index, const struct endpoint *e, uint16_t port)
{
	memcpy(k->addr[index], e->addr, sizeof(k->addr[index]));
	k->port[index] = port;
}

/* One key: from is the requester's end, to the other; out states are mirrored. */
static void key_make(struct pf_key *k, const struct tuples *t, int direction, bool typed,
		     enum flow_end from, enum flow_end to)
{
	uint16_t from_port = t->end[from].port, to_port = t->end[to].port;

	if (proto_is_icmp(t->proto))
		to_port = typed ? t->icmp_type : from_port;
	else if (!proto_has_ports(t->proto))
		from_port = to_port = 0;
	memset(k, 0, sizeof(*k));
	key_end(k, direction == PF_IN ? PF_OUTSIDE : PF_INSIDE, &t->end[from], from_port);
	key_end(k, direction == PF_IN ? PF_INSIDE : PF_OUTSIDE, &t->end[to], to_port);
}

void xlat_keys(const struct tuples *t, int direction, bool typed, struct pf_key key[2])
{
	key_make(&key[PF_STACK], t, direction, typed, ORIG_SRC, REPLY_SRC);
	if (direction == PF_IN)
		key_make(&key[PF_WIRE], t, direction, typed, ORIG_SRC, ORIG_DST);
	else
		key_make(&key[PF_WIRE], t, direction, typed, REPLY_DST, REPLY_SRC);
}

/* ---- state → flow ---------------------------------------------------------------------- */

/* Ends of a key: the requester's and the other's, ICMP ports made ours. */
static bool key_read(const struct pf_key *k, const struct pf_state *s, struct endpoint *from,
		     struct endpoint *to, uint8_t *type)
{
	int f = s->direction == PF_IN ? PF_OUTSIDE : PF_INSIDE;

	memcpy(from->addr, k->addr[f], sizeof(from->addr));
	memcpy(to->addr, k->addr[!f], sizeof(to->addr));
	from->port = k->port[f];
	to->port = k->port[!f];
	if (proto_is_icmp(s->proto)) {
		if (!icmp_ports(s->proto, k->port[f], k->port[!f], &from->port, type))
			return false;
		to->port = 0;
	} else if (!proto_has_ports(s->proto)) {
		from->port = to->port = 0;
	}
	return true;
}

uint32_t xlat_tag(uint32_t tag)
{
	return tag >> 24 | (tag >> 8 & 0xff00) | (tag << 8 & 0xff0000) | tag << 24;
}

/*
 * conntrack drops what has another tag than it knows. FreeBSD up to 13 and OpenBSD track neither
 * tags nor ports, and have the timeouts of other protocols.
 */
static bool sctp_is_whole(const struct pf_state *s)
{
	return s->timeout >= PFTM_SCTP_FIRST && s->src.scrub_flag && s->dst.scrub_flag &&
	       s->src.ts_mod && s->dst.ts_mod && s->key[PF_STACK].port[0] &&
	       s->key[PF_STACK].port[1];
}

enum reason xlat_carries(const struct pf_state *s)
{
	if (s->proto == PROTO_SCTP && !sctp_is_whole(s))
		return R_SCTP_TAGS;
	if (s->proto == PROTO_TCP &&
	    (s->src.state >= PF_TCP_PROXY_SRC || s->dst.state >= PF_TCP_PROXY_SRC))
		return R_SYNPROXY;
	if ((s->src.scrub_flag && s->src.scrub_flags & 1) ||
	    (s->dst.scrub_flag && s->dst.scrub_flags & 1))
		return R_TS_MODULATED;
	if (s->rt)
		return R_ROUTE_TO;
	if (s->key[PF_WIRE].rdomain || s->key[PF_STACK].rdomain || s->rtableid[0] > 0 ||
	    s->rtableid[1] > 0)
		return R_RDOMAIN;
	if (s->proto == PROTO_TCP && (s->src.seqdiff || s->dst.seqdiff))
		return R_SEQDIFF;
	return R_NONE;
}

/* The zero padding behind an IPv4 address is part of what pf compares; ours must have it too. */
static void clear_tail(struct endpoint *e, int family)
{
	if (family == 4)
		memset(e->addr + 4, 0, sizeof(e->addr) - 4);
}

static bool any_special(const struct tuples *t)
{
	for (int i = ORIG_SRC; i <= REPLY_DST; i++)
		if (address_is_special(t->family, t->end[i].addr))
			return true;
	return false;
}

/*
 * af-to: one state serves both sides, and each key is of another family. The flow goes by what is
 * on the wire; nobody looks for a middle or another half of it.
 */
static enum reason half_af_to(const struct pf_state *s, struct tuples *t)
{
	struct endpoint from, to;

	if (!key_read(&s->key[PF_WIRE], s, &from, &to, &t->icmp_type))
		return R_ICMP_TYPE;
	clear_tail(&from, t->family);
	clear_tail(&to, t->family);
	t->end[ORIG_SRC] = t->end[REPLY_DST] = from;
	t->end[ORIG_DST] = t->end[REPLY_SRC] = to;
	return any_special(t) ? R_LINK_LOCAL : R_AF_TO;
}

enum reason xlat_half(const struct pf_state *s, enum pf_layout layout, struct tuples *t)
{
	bool af_to = false;
	struct endpoint wire_from, wire_to, stack_from, stack_to;
	uint8_t type = 0, stack_type = 0;

	memset(t, 0, sizeof(*t));
	if (s->direction != PF_IN && s->direction != PF_OUT)
		return R_DIRECTION;
	t->proto = s->proto;
	t->family = (uint8_t)layout_family(layout, s->af);
	if (!t->family)
		return R_ADDRESS_FAMILY;
	if (layout == LAYOUT_OPENBSD) {
		/* a key without a family has the state's */
		uint8_t wire = s->key[PF_WIRE].af ? s->key[PF_WIRE].af : s->af;
		uint8_t stack = s->key[PF_STACK].af ? s->key[PF_STACK].af : s->af;

		if (!layout_family(layout, wire) || !layout_family(layout, stack))
			return R_ADDRESS_FAMILY;
		af_to = wire != stack;
	} else if (layout == LAYOUT_1500) {
		if (!layout_family(layout, s->stack_af))
			return R_ADDRESS_FAMILY;
		af_to = s->stack_af != s->af;
		if (s->stack_proto != s->proto &&
		    !(af_to && proto_is_icmp(s->proto) && proto_is_icmp(s->stack_proto)))
			return R_PROTOCOL; /* ICMP alone is another protocol in the other family */
	}
	if (s->proto == 0 || s->proto == PFSYNC_PROTOCOL)
		return R_PROTOCOL;
	if (af_to)
		return half_af_to(s, t);
	if (!key_read(&s->key[PF_WIRE], s, &wire_from, &wire_to, &type) ||
	    !key_read(&s->key[PF_STACK], s, &stack_from, &stack_to, &stack_type) ||
	    type != stack_type)
		return R_ICMP_TYPE;
	clear_tail(&wire_from, t->family);
	clear_tail(&wire_to, t->family);
	clear_tail(&stack_from, t->family);
	clear_tail(&stack_to, t->family);
	t->icmp_type = type;
	t->end[ORIG_SRC] = stack_from;
	t->end[ORIG_DST] = s->direction == PF_IN ? wire_to : stack_to;
	t->end[REPLY_SRC] = stack_to;
	t->end[REPLY_DST] = s->direction == PF_OUT ? wire_from : stack_from;
	if (any_special(t))
		return R_LINK_LOCAL;
	if (s->direction == PF_IN ? !endpoint_equal(&wire_from, &stack_from)
				  : !endpoint_equal(&wire_to, &stack_to))
		return R_NAT_FORM;
	return xlat_carries(s);
}

bool xlat_is_kept(enum reason r)
{
	return r == R_AF_TO || r == R_SEQDIFF || r == R_SYNPROXY || r == R_SCTP_TAGS ||
	       r == R_TS_MODULATED || r == R_ROUTE_TO || r == R_RDOMAIN || r == R_NAT_FORM;
}

void xlat_merge_half(struct tuples *t, const struct tuples *half, int direction)
{
	if (direction == PF_IN)
		t->end[ORIG_DST] = half->end[ORIG_DST];
	else
		t->end[REPLY_DST] = half->end[REPLY_DST];
	t->end[ORIG_SRC] = half->end[ORIG_SRC];
	t->end[REPLY_SRC] = half->end[REPLY_SRC];
}
