/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Judging a finished packet before it leaves. It is read back with the same reader that takes
 * what peers send, and each message is held against what real pf kernels of the dialect were seen
 * to send. Pads and unused address bytes are judged by writing the record again and comparing.
 */
#include "outgoing.h"
#include "flow.h"
#include "packet.h"
#include "timeouts.h"

static bool all_zero(const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static bool name_ended(const char *name, size_t len)
{
	return memchr(name, '\0', len) != NULL;
}

static bool timeout_good(const struct dialect *d, uint8_t index)
{
	if (index >= d->timeouts)
		return false;
	return index <= PFTM_OTHER_MULTIPLE || index >= PFTM_SCTP_FIRST;
}

/* A FreeBSD 14 or 15 never forgets a state that has more time left than its timeout. */
static bool expire_good(const struct pf_state *s)
{
	return s->expire <= timeout_default(s->timeout);
}

static const char *peer_wrong(const struct pf_peer *p)
{
	if (p->state > PF_PEER_STATE_MAX)
		return "peer state above 12";
	if (p->scrub_flag > 1)
		return "scrub flag above 1";
	return NULL;
}

static const char *name_wrong(uint64_t id, uint32_t creatorid)
{
	if (!id)
		return "id 0";
	return creatorid ? NULL : "creatorid 0";
}

static const char *family_wrong(const struct dialect *d, const struct pf_state *s)
{
	if (!layout_family(d->layout, s->af) || !layout_family(d->layout, s->stack_af))
		return "address family number of another system";
	if (s->proto != s->stack_proto &&
	    (s->af == s->stack_af || !proto_is_icmp(s->proto) || !proto_is_icmp(s->stack_proto)))
		return "translation to another protocol";
	if (d->layout == LAYOUT_OPENBSD &&
	    (s->key[PF_WIRE].af != s->af || s->key[PF_STACK].af != s->stack_af))
		return "key of another address family than the state";
	return NULL;
}

enum { RT_FREEBSD_MAX = 4, RT_OPENBSD_MAX = 3 };

static const char *routing_wrong(const struct dialect *d, const struct pf_state *s)
{
	for (int i = 0; i < 2; i++)
		if (s->rtableid[i] < -1)
			return "routing table below -1";
	if (!name_ended(s->rt_ifname, sizeof(s->rt_ifname)))
		return "name without an end";
	if (!s->rt) {
		if (s->rt_af || !all_zero(s->rt_ifname, sizeof(s->rt_ifname)) ||
		    (d->layout != LAYOUT_1301 && !all_zero(s->rt_addr, sizeof(s->rt_addr))))
			return "next hop without a route-to";
		return NULL;
	}
	if (s->rt > (d->layout == LAYOUT_OPENBSD ? RT_OPENBSD_MAX : RT_FREEBSD_MAX))
		return "route-to of no known kind";
	if (d->layout != LAYOUT_OPENBSD && !s->rt_ifname[0])
		return "route-to without an interface";
	if (s->rt_af && !layout_family(d->layout, s->rt_af))
		return "address family number of another system";
	return NULL;
}

static const char *rules_wrong(const struct pf_state *s)
{
	const uint32_t number[] = {s->rule, s->anchor, s->nat_rule};

	for (int i = 0; i < 3; i++)
		if (number[i] > INT32_MAX && number[i] != UINT32_MAX)
			return "rule number that no ruleset has";
	return NULL;
}

static const char *state_wrong(const struct dialect *d, const struct pf_state *s)
{
	const char *why = name_wrong(s->id, s->creatorid);

	if (!why)
		why = family_wrong(d, s);
	if (!why)
		why = peer_wrong(&s->src);
	if (!why)
		why = peer_wrong(&s->dst);
	if (!why)
		why = routing_wrong(d, s);
	if (!why)
		why = rules_wrong(s);
	if (why)
		return why;
	if (!name_ended(s->ifname, sizeof(s->ifname)) || !s->ifname[0])
		return "interface name empty or without an end";
	if (!name_ended(s->orig_ifname, sizeof(s->orig_ifname)) ||
	    !name_ended(s->tag, sizeof(s->tag)))
		return "name without an end";
	if (s->direction != PF_IN && s->direction != PF_OUT)
		return "direction neither in nor out";
	if (!timeout_good(d, s->timeout))
		return "timeout index that no state has";
	if (s->proto == PROTO_SCTP && s->timeout >= PFTM_SCTP_FIRST &&
	    !(s->src.scrub_flag && s->dst.scrub_flag))
		return "SCTP state without verification tags";
	if (!expire_good(s))
		return "more time left than the whole timeout";
	if (s->state_flags & ~(unsigned)(d->flags | PF_FLAG_ACK))
		return "state flag that the system does not have, or of one node alone";
	return NULL;
}

static const char *states_wrong(const struct dialect *d, struct section *s)
{
	uint8_t again[512];
	struct writer w;
	struct pf_state m;
	const uint8_t *at = s->body.at;
	const char *why;

	if (s->layout != d->layout)
		return "state in the layout of another dialect";
	if (s->action == ACT_DEL)
		return "DEL with a full state";
	for (; section_next_state(s, &m); at = s->body.at) {
		why = state_wrong(d, &m);
		if (!why && m.state_flags & PF_FLAG_ACK &&
		    (s->action != ACT_INS || m.direction != PF_OUT))
			why = "acknowledgement asked for where no packet is held";
		if (why)
			return why;
		w = writer_of(again, sizeof(again));
		pfstate_write(&w, s->layout, &m);
		if (w.full || writer_len(&w) != s->size || memcmp(at, again, s->size) != 0)
			return "pad or unused address byte not zero";
	}
	return NULL;
}

static const char *upd_c_wrong(const struct dialect *d, struct section *s)
{
	struct msg_upd_c m;
	const uint8_t *at = s->body.at;
	const char *why;

	for (; section_next_upd_c(s, &m); at = s->body.at) {
		why = name_wrong(m.id, m.creatorid);
		if (!why)
			why = peer_wrong(&m.src);
		if (!why)
			why = peer_wrong(&m.dst);
		if (why)
			return why;
		if (m.expire)
			return "UPD_C with an expire time";
		if (!timeout_good(d, m.timeout))
			return "timeout index that no state has";
		if (m.state_flags || at[82] || at[83] || !all_zero(at + 34, 6) ||
		    !all_zero(at + 66, 6)) /* behind each side */
			return "pad not zero";
	}
	return NULL;
}

static const char *ids_wrong(struct section *s)
{
	bool bulk = s->action == ACT_UPD_REQ;
	struct msg_id m;
	const char *why;

	while (section_next_id(s, &m)) {
		why = name_wrong(m.id, m.creatorid);
		if (why && !(bulk && !m.id && !m.creatorid))
			return why;
	}
	return NULL;
}

static const char *bus_wrong(struct section *s)
{
	struct msg_bus m;
	const uint8_t *at = s->body.at;

	for (; section_next_bus(s, &m); at = s->body.at) {
		if (!m.creatorid)
			return "creatorid 0";
		if (m.status != BUS_START && m.status != BUS_END)
			return "bulk status neither start nor end";
		if (m.endtime)
			return "bulk status with an end time";
		if (!all_zero(at + 9, 3))
			return "pad not zero";
	}
	return NULL;
}

static const char *clr_wrong(struct section *s)
{
	struct msg_clr m;

	while (section_next_clr(s, &m)) {
		if (!m.creatorid)
			return "creatorid 0";
		if (!all_zero(m.ifname, sizeof(m.ifname))) /* FreeBSD up to 14 clears all then */
			return "CLR with an interface name";
	}
	return NULL;
}

static const char *section_wrong(const struct dialect *d, struct section *s)
{
	if (!s->count)
		return "empty section";
	if (s->stride != s->size)
		return "section with another stride than its messages";
	if (s->count * s->stride > PFSYNC_SECTION_MAX)
		return "section above 2048 bytes";
	switch (s->action) {
	case ACT_INS:
	case ACT_UPD:
	case ACT_DEL:
		return states_wrong(d, s);
	case ACT_UPD_C:
		return upd_c_wrong(d, s);
	case ACT_INS_ACK:
	case ACT_UPD_REQ:
	case ACT_DEL_C:
		return ids_wrong(s);
	case ACT_BUS:
		return bus_wrong(s);
	case ACT_CLR:
		return clr_wrong(s);
	case ACT_TDB:
	case ACT_EOF:
	case ACT_UNKNOWN:
		break;
	}
	return "action that is never sent";
}

/* What the subheader in front of a section says beside action and count. */
static const char *subheader_wrong(const struct dialect *d, const uint8_t *at, struct section *s)
{
	if (d->version == PFSYNC_VERSION_FREEBSD && at[1] != 0)
		return "subheader pad not zero";
	if (s->action != ACT_EOF)
		return section_wrong(d, s);
	if (!d->eof)
		return "EOF, which this dialect does not send";
	return s->count == 1 ? NULL : "EOF with a count other than 1";
}

const char *outgoing_wrong(const struct dialect *d, const void *data, size_t len)
{
	const uint8_t *bytes = data, *at;
	struct packet p;
	struct section s = {.action = ACT_UNKNOWN};
	bool eof = false, any = false;
	const char *why;

	if (packet_open(&p, data, len) != R_NONE || p.length != len)
		return "header or its length";
	if (p.version != d->version)
		return "header version of another dialect";
	if (bytes[1] != 0)
		return "header pad not zero";
	if (!all_zero(p.checksum, 16))
		return "checksum not zero";
	for (at = p.body.at; packet_next(&p, &s); at = p.body.at) {
		if (s.present < s.count && s.action != ACT_EOF)
			return "section that is cut off or unknown";
		why = subheader_wrong(d, at, &s);
		if (why)
			return why;
		eof = s.action == ACT_EOF;
		any |= !eof;
	}
	if (p.error != R_NONE)
		return "bytes that are no section";
	if (!any)
		return "nothing in it";
	if (d->eof && !eof)
		return "no EOF at the end";
	if (reader_left(&p.body))
		return "bytes behind EOF";
	return NULL;
}
