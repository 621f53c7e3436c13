/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A packet as text, for people: one line, and with verbose each message below it in the manner of
 * pfctl -ss -vv, so the two can be laid side by side. Names from the wire are printed with
 * everything that is not plain ASCII replaced: a terminal never sees raw bytes of a packet.
 */
#include "flow.h"
#include "show.h"
#include "timeouts.h"

#include <inttypes.h>

int show_key_family(const struct pf_state *s, enum pf_layout layout, int which)
{
	uint8_t af = s->af;

	if (layout == LAYOUT_1500 && which == PF_STACK)
		af = s->stack_af;
	if (layout == LAYOUT_OPENBSD && s->key[which].af)
		af = s->key[which].af;
	return layout_family(layout, af) == 4 ? 4 : 6;
}

static void text_add_name(struct text *t, const char *s, size_t size)
{
	size_t len = show_name_len(s, size);

	if (!len)
		text_add(t, "\"\"");
	for (size_t i = 0; i < len; i++) {
		bool plain = s[i] > ' ' && s[i] < 0x7f;

		text_add(t, "%c", plain ? s[i] : '?');
	}
}

/* Protocols without ports have 0 there, which is not worth printing. */
static void text_add_host(struct text *t, int family, const struct endpoint *e)
{
	if (e->port)
		text_add_endpoint(t, family, e);
	else
		text_add_address(t, family, e->addr);
}

/*
 * One end of a state: address and port of a key side, and behind it in parentheses what the
 * address was before translation, if that differs.
 */
static void text_add_end(struct text *t, const struct pf_state *s, enum pf_layout layout, int side,
			 int shown, int other)
{
	struct endpoint end[2];
	int family[2];
	int key[2] = {shown, other};

	for (int i = 0; i < 2; i++) {
		const struct pf_key *k = &s->key[key[i]];

		memcpy(end[i].addr, k->addr[side], sizeof(end[i].addr));
		end[i].port = k->port[side];
		family[i] = show_key_family(s, layout, key[i]);
	}
	/* the side that answers an ICMP query has no port of its own to be translated */
	if (proto_is_icmp(s->proto) && side == (s->direction == PF_OUT ? PF_OUTSIDE : PF_INSIDE))
		end[1].port = end[0].port;
	text_add_host(t, family[0], &end[0]);
	if (family[0] == family[1] && end[0].port == end[1].port &&
	    !memcmp(end[0].addr, end[1].addr, family_len(family[0])))
		return;
	text_add(t, " (");
	text_add_host(t, family[1], &end[1]);
	text_add(t, ")");
}

void show_state_keys(struct text *t, const struct pf_state *s, enum pf_layout layout)
{
	bool out = s->direction == PF_OUT;
	int shown = out ? PF_WIRE : PF_STACK, other = out ? PF_STACK : PF_WIRE;

	text_add_proto(t, s->proto);
	text_add(t, " ");
	text_add_end(t, s, layout, PF_INSIDE, shown, other);
	text_add(t, out ? " -> " : " <- ");
	text_add_end(t, s, layout, PF_OUTSIDE, shown, other);
}

/* The pair of peer states; a is the side that stands on the left of the arrow. */
static void text_add_peer_states(struct text *t, uint8_t proto, uint8_t a, uint8_t b)
{
	static const char *const tcp[] = {"CLOSED",	 "LISTEN",     "SYN_SENT",   "SYN_RCVD",
					  "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT_1", "CLOSING",
					  "LAST_ACK",	 "FIN_WAIT_2", "TIME_WAIT"};
	static const char *const other[] = {"NO_TRAFFIC", "SINGLE", "MULTIPLE"};

	if (proto == PROTO_TCP && a <= PF_TCP_TIME_WAIT && b <= PF_TCP_TIME_WAIT)
		text_add(t, "%s:%s", tcp[a], tcp[b]);
	else if (proto == PROTO_TCP && (a == PF_TCP_PROXY_SRC || b == PF_TCP_PROXY_SRC))
		text_add(t, "PROXY:SRC");
	else if (proto == PROTO_TCP && (a == PF_TCP_PROXY_DST || b == PF_TCP_PROXY_DST))
		text_add(t, "PROXY:DST");
	else if (proto != PROTO_TCP && !proto_is_icmp(proto) && a <= PF_OTHER_MULTIPLE &&
		 b <= PF_OTHER_MULTIPLE)
		text_add(t, "%s:%s", other[a], other[b]);
	else
		text_add(t, "%u:%u", a, b);
}

static void text_add_sequence(struct text *t, const struct pf_peer *p, const struct pf_peer *q)
{
	text_add(t, "[%" PRIu32 " + %" PRIu32 "]", p->seqlo, p->seqhi - p->seqlo);
	if (p->seqdiff)
		text_add(t, "(+%" PRIu32 ")", p->seqdiff);
	if (p->wscale && q->wscale)
		text_add(t, " wscale %u", p->wscale & 0x0f);
}

static void text_add_peer(struct text *t, const char *name, const struct pf_peer *p)
{
	text_add(t,
		 "\n\t   %s state %u seqlo %" PRIu32 " seqhi %" PRIu32 " seqdiff %" PRIu32
		 " max_win %u mss %u wscale 0x%02x",
		 name, p->state, p->seqlo, p->seqhi, p->seqdiff, p->max_win, p->mss, p->wscale);
	if (p->scrub_flag || p->scrub_flags || p->scrub_ttl || p->ts_mod)
		text_add(t, " scrub %u flags 0x%04x ttl %u ts_mod %" PRIu32, p->scrub_flag,
			 p->scrub_flags, p->scrub_ttl, p->ts_mod);
}

static void text_add_age(struct text *t, uint32_t seconds)
{
	text_add(t, "%02" PRIu32 ":%02" PRIu32 ":%02" PRIu32, seconds / 3600, seconds / 60 % 60,
		 seconds % 60);
}

static void text_add_timeout(struct text *t, uint8_t index)
{
	const char *name = timeout_name(index);

	text_add(t, ", timeout %s", name ? name : "");
	if (!name)
		text_add(t, "%u", index);
}

static void text_add_rule(struct text *t, const char *name, uint32_t number)
{
	if (number != UINT32_MAX)
		text_add(t, ", %s %" PRIu32, name, number);
}

static void text_add_id(struct text *t, uint64_t id, uint32_t creatorid)
{
	text_add(t, "id: %016" PRIx64 " creatorid: %08" PRIx32, id, creatorid);
}

/* What only the later layouts have, as far as it is set. */
static void text_add_options(struct text *t, const struct pf_state *s, enum pf_layout layout)
{
	if (layout == LAYOUT_1301)
		return;
	text_add(t, "\n\t   rtable %" PRId32, s->rtableid[0]);
	if (layout == LAYOUT_OPENBSD)
		text_add(t, ",%" PRId32 " rdomain %u,%u", s->rtableid[1], s->key[PF_WIRE].rdomain,
			 s->key[PF_STACK].rdomain);
	text_add(t, " max-mss %u min-ttl %u set-tos 0x%02x set-prio %u,%u rt %u", s->max_mss,
		 s->min_ttl, s->set_tos, s->set_prio[0], s->set_prio[1], s->rt);
	if (layout == LAYOUT_OPENBSD)
		return;
	text_add(t, " qid %u,%u pipe %u,%u rt-ifname ", s->qid, s->pqid, s->dnpipe, s->dnrpipe);
	text_add_name(t, s->rt_ifname, sizeof(s->rt_ifname));
	if (layout != LAYOUT_1500)
		return;
	text_add(t, " orig-ifname ");
	text_add_name(t, s->orig_ifname, sizeof(s->orig_ifname));
	text_add(t, " tag ");
	text_add_name(t, s->tag, sizeof(s->tag));
	text_add(t, " stack-af %u stack-proto %u rt-af %u", s->stack_af, s->stack_proto, s->rt_af);
}

static void text_add_state(struct text *t, const struct pf_state *s, enum pf_layout layout)
{
	static const uint8_t none[16];
	const struct pf_peer *left = s->direction == PF_OUT ? &s->src : &s->dst;
	const struct pf_peer *right = s->direction == PF_OUT ? &s->dst : &s->src;

	text_add_name(t, s->ifname, sizeof(s->ifname));
	text_add(t, " ");
	show_state_keys(t, s, layout);
	text_add(t, "       ");
	text_add_peer_states(t, s->proto, left->state, right->state);
	if (s->proto == PROTO_TCP) {
		text_add(t, "\n\t   ");
		text_add_sequence(t, left, right);
		text_add(t, "  ");
		text_add_sequence(t, right, left);
	}
	text_add(t, "\n\t   age ");
	text_add_age(t, s->creation);
	text_add(t, ", expires in ");
	text_add_age(t, s->expire);
	text_add(t, ", %" PRIu64 ":%" PRIu64 " pkts, %" PRIu64 ":%" PRIu64 " bytes", s->packets[0],
		 s->packets[1], s->bytes[0], s->bytes[1]);
	text_add_rule(t, "anchor", s->anchor);
	text_add_rule(t, "rule", s->rule);
	text_add_rule(t, "nat-rule", s->nat_rule);
	text_add_timeout(t, s->timeout);
	if (s->state_flags & PF_FLAG_SLOPPY)
		text_add(t, ", sloppy");
	text_add(t, "\n\t   ");
	text_add_id(t, s->id, s->creatorid);
	text_add(t,
		 "\n\t   layout %s af %u direction %u log 0x%02x state-flags 0x%04x "
		 "sync-flags 0x%02x updates %u",
		 layout_name(layout), s->af, s->direction, s->log, s->state_flags, s->sync_flags,
		 s->updates);
	if (memcmp(s->rt_addr, none, sizeof(none)) != 0) {
		text_add(t, " rt-addr ");
		text_add_address(t, show_key_family(s, layout, PF_WIRE), s->rt_addr);
	}
	text_add_options(t, s, layout);
	text_add_peer(t, "src", &s->src);
	text_add_peer(t, "dst", &s->dst);
}

static bool text_add_small(struct text *t, struct section *s, uint8_t version)
{
	struct msg_id id;
	struct msg_clr clr;
	struct msg_bus bus;
	struct msg_tdb tdb;

	switch (s->action) {
	case ACT_INS_ACK:
	case ACT_UPD_REQ:
	case ACT_DEL_C:
		if (!section_next_id(s, &id))
			return false;
		text_add_id(t, id.id, id.creatorid);
		return true;
	case ACT_CLR:
		if (!section_next_clr(s, &clr))
			return false;
		text_add(t, "ifname: ");
		text_add_name(t, clr.ifname, sizeof(clr.ifname));
		text_add(t, " creatorid: %08" PRIx32, clr.creatorid);
		return true;
	case ACT_BUS:
		if (!section_next_bus(s, &bus))
			return false;
		text_add(t, "status: %s (%u) endtime: %" PRIu32 " creatorid: %08" PRIx32,
			 bus.status == BUS_START ? "start"
			 : bus.status == BUS_END ? "end"
						 : "unknown",
			 bus.status, bus.endtime, bus.creatorid);
		return true;
	case ACT_TDB:
		if (!section_next_tdb(s, version, &tdb))
			return false;
		text_add(t,
			 "spi: 0x%08" PRIx32 " rpl: %" PRIu64 " cur_bytes: %" PRIu64 " sproto: %u",
			 tdb.spi, tdb.rpl, tdb.cur_bytes, tdb.sproto);
		return true;
	default:
		return false;
	}
}

static bool text_add_message(struct text *t, struct section *s, uint8_t version)
{
	struct pf_state state;
	struct msg_upd_c upd_c;

	if (!reader_left(&s->body))
		return false;
	text_add(t, "\n\t%s ", action_name(s->action));
	if (s->layout != LAYOUT_NONE) {
		if (!section_next_state(s, &state))
			return false;
		text_add_state(t, &state, s->layout);
		return true;
	}
	if (s->action != ACT_UPD_C)
		return text_add_small(t, s, version);
	if (!section_next_upd_c(s, &upd_c))
		return false;
	text_add_id(t, upd_c.id, upd_c.creatorid);
	text_add_timeout(t, upd_c.timeout);
	text_add(t, ", expires in %" PRIu32 " s, state-flags 0x%02x", upd_c.expire,
		 upd_c.state_flags);
	text_add_peer(t, "src", &upd_c.src);
	text_add_peer(t, "dst", &upd_c.dst);
	return true;
}

static void text_add_time(struct text *t, const struct show_meta *m)
{
	unsigned second = (unsigned)(m->sec % 86400);

	text_add(t, "%02u:%02u:%02u.%06" PRIu32 " ", second / 3600, second / 60 % 60, second % 60,
		 m->usec);
	if (!m->family)
		return;
	text_add_address(t, m->family, m->src);
	text_add(t, " > ");
	text_add_address(t, m->family, m->dst);
	text_add(t, ": ");
}

static void text_add_sections(struct text *t, struct packet p)
{
	const char *between = ": ";
	struct section s;

	for (; packet_next(&p, &s); between = ", ") {
		text_add(t, "%s%s", between, action_name(s.action));
		if (s.action == ACT_UNKNOWN)
			text_add(t, "(%u)", s.number);
		if (s.action != ACT_EOF)
			text_add(t, " %u", s.count);
	}
	if (p.error != R_NONE)
		text_add(t, " [%s]", reason_word(p.error));
}

void show_text(struct text *t, const struct show_meta *m, const void *data, size_t len,
	       bool verbose)
{
	struct packet p;
	struct section s;

	text_add_time(t, m);
	text_add(t, "pfsync");
	if (packet_open(&p, data, len) != R_NONE) {
		if (p.error != R_SHORT_HEADER)
			text_add(t, " v%u len %u", p.version, p.length);
		text_add(t, " [%s]", reason_word(p.error));
		return;
	}
	text_add(t, " v%u len %u", p.version, p.length);
	if (p.length_wrong)
		text_add(t, " [%s]", reason_word(R_LENGTH));
	if (m->family && m->ttl != PFSYNC_TTL)
		text_add(t, " ttl %u", m->ttl);
	text_add_sections(t, p);
	if (!verbose)
		return;
	text_add(t, "\n\tchecksum ");
	text_add_hex(t, p.checksum, 16);
	while (packet_next(&p, &s))
		while (text_add_message(t, &s, p.version))
			;
}
