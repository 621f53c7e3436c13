/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A packet as one JSON object, for programs. Every number that has no name here stays a number,
 * every string is taken as Latin-1, so any packet gives valid JSON. What could not be read is
 * named in "errors"; what came before it is there all the same.
 */
#include "show.h"

#include <inttypes.h>

enum { ERRORS_MAX = 8 };

/* Each reason once, in the order of its first appearance. */
struct errors {
	enum reason why[ERRORS_MAX];
	size_t n;
};

static void errors_add(struct errors *e, enum reason why)
{
	if (why == R_NONE || e->n == ERRORS_MAX)
		return;
	for (size_t i = 0; i < e->n; i++)
		if (e->why[i] == why)
			return;
	e->why[e->n++] = why;
}

static void json_name(struct text *t, const char *key, const char *s, size_t size)
{
	text_add(t, ",\"%s\":", key);
	text_add_json(t, s, show_name_len(s, size));
}

static void json_family(struct text *t, const char *key, enum pf_layout layout, uint8_t af)
{
	int family = layout_family(layout, af);

	if (family)
		text_add(t, ",\"%s\":\"%s\"", key, family == 4 ? "inet" : "inet6");
	else
		text_add(t, ",\"%s\":%u", key, af);
}

static void json_direction(struct text *t, uint8_t direction)
{
	static const char *const names[] = {
		[PF_INOUT] = "in/out", [PF_IN] = "in", [PF_OUT] = "out"};

	if (direction <= PF_OUT)
		text_add(t, ",\"direction\":\"%s\"", names[direction]);
	else
		text_add(t, ",\"direction\":%u", direction);
}

static void json_key(struct text *t, const char *name, const struct pf_state *s,
		     enum pf_layout layout, int which)
{
	const struct pf_key *k = &s->key[which];
	int family = show_key_family(s, layout, which);

	text_add(t, ",\"%s\":{\"addr\":[\"", name);
	text_add_address(t, family, k->addr[0]);
	text_add(t, "\",\"");
	text_add_address(t, family, k->addr[1]);
	text_add(t, "\"],\"port\":[%u,%u]", k->port[0], k->port[1]);
	if (layout == LAYOUT_OPENBSD)
		text_add(t, ",\"rdomain\":%u", k->rdomain);
	text_add(t, "}");
}

static void json_peer(struct text *t, const char *name, const struct pf_peer *p)
{
	text_add(t,
		 ",\"%s\":{\"state\":%u,\"seqlo\":%" PRIu32 ",\"seqhi\":%" PRIu32
		 ",\"seqdiff\":%" PRIu32 ",\"max_win\":%u,\"mss\":%u,\"wscale\":%u}",
		 name, p->state, p->seqlo, p->seqhi, p->seqdiff, p->max_win, p->mss, p->wscale);
}

static void json_options(struct text *t, const struct pf_state *s, enum pf_layout layout)
{
	if (layout == LAYOUT_1301)
		return;
	if (layout == LAYOUT_OPENBSD)
		text_add(t, ",\"rtableid\":[%" PRId32 ",%" PRId32 "]", s->rtableid[0],
			 s->rtableid[1]);
	else
		text_add(t, ",\"rtableid\":%" PRId32, s->rtableid[0]);
	text_add(t, ",\"max_mss\":%u,\"min_ttl\":%u,\"set_tos\":%u,\"set_prio\":[%u,%u],\"rt\":%u",
		 s->max_mss, s->min_ttl, s->set_tos, s->set_prio[0], s->set_prio[1], s->rt);
	if (layout != LAYOUT_OPENBSD)
		json_name(t, "rt_ifname", s->rt_ifname, sizeof(s->rt_ifname));
	if (layout != LAYOUT_1500)
		return;
	json_name(t, "tag", s->tag, sizeof(s->tag));
	json_name(t, "orig_ifname", s->orig_ifname, sizeof(s->orig_ifname));
	json_family(t, "stack_af", layout, s->stack_af);
	text_add(t, ",\"stack_proto\":%u", s->stack_proto);
}

static void json_state(struct text *t, const struct pf_state *s, enum pf_layout layout)
{
	text_add(t, "{\"id\":\"%016" PRIx64 "\",\"creatorid\":\"%08" PRIx32 "\"", s->id,
		 s->creatorid);
	json_name(t, "ifname", s->ifname, sizeof(s->ifname));
	json_family(t, "af", layout, s->af);
	text_add(t, ",\"proto\":%u", s->proto);
	json_direction(t, s->direction);
	json_key(t, "wire", s, layout, PF_WIRE);
	json_key(t, "stack", s, layout, PF_STACK);
	json_peer(t, "src", &s->src);
	json_peer(t, "dst", &s->dst);
	text_add(t,
		 ",\"rule\":%" PRId32 ",\"anchor\":%" PRId32 ",\"nat_rule\":%" PRId32
		 ",\"creation\":%" PRIu32 ",\"expire\":%" PRIu32,
		 (int32_t)s->rule, (int32_t)s->anchor, (int32_t)s->nat_rule, s->creation,
		 s->expire);
	text_add(t,
		 ",\"packets\":[%" PRIu64 ",%" PRIu64 "],\"bytes\":[%" PRIu64 ",%" PRIu64
		 "],\"timeout\":%u,\"state_flags\":%u",
		 s->packets[0], s->packets[1], s->bytes[0], s->bytes[1], s->timeout,
		 s->state_flags);
	if (layout != LAYOUT_1500)
		text_add(t, ",\"sync_flags\":%u", s->sync_flags);
	text_add(t, ",\"log\":%u", s->log);
	json_options(t, s, layout);
	text_add(t, "}");
}

static void json_upd_c(struct text *t, const struct msg_upd_c *m)
{
	text_add(t, "{\"id\":\"%016" PRIx64 "\",\"creatorid\":\"%08" PRIx32 "\"", m->id,
		 m->creatorid);
	json_peer(t, "src", &m->src);
	json_peer(t, "dst", &m->dst);
	text_add(t, ",\"expire\":%" PRIu32 ",\"timeout\":%u}", m->expire, m->timeout);
}

static void json_bus(struct text *t, const struct msg_bus *m)
{
	text_add(t, "{\"creatorid\":\"%08" PRIx32 "\",\"endtime\":%" PRIu32 ",\"status\":",
		 m->creatorid, m->endtime);
	if (m->status == BUS_START || m->status == BUS_END)
		text_add(t, "\"%s\"}", m->status == BUS_START ? "start" : "end");
	else
		text_add(t, "%u}", m->status);
}

static void json_clr(struct text *t, const struct msg_clr *m)
{
	text_add(t, "{\"ifname\":");
	text_add_json(t, m->ifname, show_name_len(m->ifname, sizeof(m->ifname)));
	text_add(t, ",\"creatorid\":\"%08" PRIx32 "\"}", m->creatorid);
}

static bool json_message(struct text *t, struct section *s, uint8_t version)
{
	union {
		struct pf_state state;
		struct msg_id id;
		struct msg_upd_c upd_c;
		struct msg_clr clr;
		struct msg_bus bus;
		struct msg_tdb tdb;
	} m;

	switch (s->action) {
	case ACT_INS:
	case ACT_UPD:
	case ACT_DEL:
		if (!section_next_state(s, &m.state))
			return false;
		json_state(t, &m.state, s->layout);
		return true;
	case ACT_INS_ACK:
	case ACT_UPD_REQ:
	case ACT_DEL_C:
		if (!section_next_id(s, &m.id))
			return false;
		text_add(t, "{\"id\":\"%016" PRIx64 "\",\"creatorid\":\"%08" PRIx32 "\"}", m.id.id,
			 m.id.creatorid);
		return true;
	case ACT_UPD_C:
		if (!section_next_upd_c(s, &m.upd_c))
			return false;
		json_upd_c(t, &m.upd_c);
		return true;
	case ACT_CLR:
		if (!section_next_clr(s, &m.clr))
			return false;
		json_clr(t, &m.clr);
		return true;
	case ACT_BUS:
		if (!section_next_bus(s, &m.bus))
			return false;
		json_bus(t, &m.bus);
		return true;
	case ACT_TDB:
		if (!section_next_tdb(s, version, &m.tdb))
			return false;
		text_add(t,
			 "{\"spi\":%" PRIu32 ",\"rpl\":%" PRIu64 ",\"cur_bytes\":%" PRIu64
			 ",\"sproto\":%u}",
			 m.tdb.spi, m.tdb.rpl, m.tdb.cur_bytes, m.tdb.sproto);
		return true;
	case ACT_EOF:
	case ACT_UNKNOWN:
		break;
	}
	return false;
}

static void json_section(struct text *t, struct section *s, uint8_t version)
{
	text_add(t, "{\"action\":\"%s\",\"number\":%u,\"count\":%u", action_name(s->action),
		 s->number, s->count);
	if (s->layout != LAYOUT_NONE)
		text_add(t, ",\"layout\":\"%s\"", layout_name(s->layout));
	text_add(t, ",\"messages\":[");
	while (json_message(t, s, version))
		if (reader_left(&s->body))
			text_add(t, ",");
	text_add(t, "]}");
}

static void json_meta(struct text *t, const struct show_meta *m)
{
	text_add(t, "{\"time\":%" PRIu64 ".%06" PRIu32, m->sec, m->usec);
	if (!m->family)
		return;
	text_add(t, ",\"src\":\"");
	text_add_address(t, m->family, m->src);
	text_add(t, "\",\"dst\":\"");
	text_add_address(t, m->family, m->dst);
	text_add(t, "\",\"ttl\":%u", m->ttl);
}

void show_json(struct text *t, const struct show_meta *m, const void *data, size_t len)
{
	struct errors errors = {.n = 0};
	struct packet p;
	struct section s;
	bool first = true;

	json_meta(t, m);
	errors_add(&errors, packet_open(&p, data, len));
	if (p.error != R_SHORT_HEADER) {
		text_add(t, ",\"version\":%u,\"length\":%u,\"checksum\":\"", p.version, p.length);
		text_add_hex(t, p.checksum, 16);
		text_add(t, "\"");
	}
	if (p.length_wrong)
		errors_add(&errors, R_LENGTH);
	text_add(t, ",\"sections\":[");
	for (; packet_next(&p, &s); first = false) {
		if (!first)
			text_add(t, ",");
		if (s.action == ACT_UNKNOWN)
			errors_add(&errors, R_ACTION);
		json_section(t, &s, p.version);
	}
	errors_add(&errors, p.error);
	text_add(t, "],\"errors\":[");
	for (size_t i = 0; i < errors.n; i++)
		text_add(t, "%s\"%s\"", i ? "," : "", reason_word(errors.why[i]));
	text_add(t, "]}");
}
