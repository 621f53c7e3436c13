/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Status, peers, flows, counters and notes as JSON. */
#include "control_view.h"

#include <inttypes.h>
#include <string.h>

static void add_string(struct text *t, const char *key, const char *value)
{
	text_add(t, "\"%s\":", key);
	text_add_json(t, value, strlen(value));
}

const char *const view_protos[TOTALS_PROTOS] = {"tcp", "udp", "icmp", "other"};

static const char *yes_no(bool b)
{
	return b ? "true" : "false";
}

static double seconds(uint64_t from, uint64_t to)
{
	return to > from ? (double)(to - from) / 1e9 : 0.0;
}

static const char *bulk_name(const struct link_view *l)
{
	static const char *const names[] = {
		[BULK_IDLE] = "idle", [BULK_ASKED] = "asked", [BULK_RECEIVING] = "receiving"};

	if (l->bulk != BULK_IDLE)
		return names[l->bulk];
	if (l->answering)
		return "answering";
	return l->bulk_failed ? "failed" : l->ever_synced ? "done" : "idle";
}

/* ---- status ---------------------------------------------------------------------------- */

static void add_links(const struct control_env *env, struct text *t)
{
	struct link_view l;

	text_add(t, "\"links\":[");
	for (unsigned i = 0; engine_link_view(env->engine, i, &l); i++) {
		text_add(t, "%s{", i ? "," : "");
		add_string(t, "name", l.name);
		text_add(t, ",");
		add_string(t, "interface", env->settings->sync[i].interface);
		text_add(t, ",\"up\":%s,\"mtu\":%u,\"bulk\":\"%s\",\"ever_synced\":%s",
			 yes_no(l.up), l.mtu, bulk_name(&l), yes_no(l.ever_synced));
		text_add(t,
			 ",\"peers\":%zu,\"packets_in\":%" PRIu64 ",\"packets_out\":%" PRIu64 "}",
			 l.peers, l.packets_in, l.packets_out);
	}
	text_add(t, "]");
}

static void add_rates(const struct control_env *env, struct text *t)
{
	static const struct {
		const char *name;
		enum counter counter;
	} rates[] = {{"events", C_EVENTS},
		     {"packets_in", C_PACKETS_IN},
		     {"packets_out", C_PACKETS_OUT},
		     {"bytes_in", C_BYTES_IN},
		     {"bytes_out", C_BYTES_OUT}};
	const struct counters *c = engine_counters(env->engine);
	const struct health_sample *before = health_before(env);
	double time = seconds(before->at ? before->at : env->started, env->now);

	text_add(t, "\"rates\":{\"seconds\":%.0f", time);
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		enum counter n = rates[i].counter;

		text_add(t, ",\"%s\":%.1f", rates[i].name,
			 (double)(c->done[n] - before->counters.done[n]) /
				 (time < 1.0 ? 1.0 : time));
	}
	text_add(t, "}");
}

static void add_protos(const struct engine_totals *totals, struct text *t)
{
	text_add(t, "\"by_protocol\":{");
	for (int i = 0; i < TOTALS_PROTOS; i++)
		text_add(t, "%s\"%s\":{\"local\":%zu,\"remote\":%zu}", i ? "," : "", view_protos[i],
			 totals->by_proto[i][0], totals->by_proto[i][1]);
	text_add(t, "}");
}

void view_status(const struct control_env *env, struct text *out)
{
	static const char *const names[] = {"ok", "degraded", "down"};
	const struct engine_totals *totals;
	struct health h;
	struct host_facts facts;
	struct text why = {0};

	view_look(env, &facts, &h);
	health_why(&h, env, &why);
	totals = &h.totals;
	text_add(out, "{\"health\":\"%s\",", names[h.status]);
	add_string(out, "why", why.s ? why.s : "");
	text_free(&why);
	text_add(out, ",");
	view_findings(env, &h, out);
	health_free(&h);
	text_add(out, ",\"demotion\":%d", health_demotion(env->engine));
	text_add(out, ",\"version\":\"%s\",\"hostid\":\"%08" PRIx32 "\",\"uptime\":%.0f,",
		 env->version, env->hostid, seconds(env->started, env->now));
	text_add(out,
		 "\"flows\":{\"total\":%zu,\"local\":%zu,\"remote\":%zu,\"in_kernel\":%zu,"
		 "\"live\":%zu,\"waiting\":%zu,",
		 totals->flows, totals->local, totals->remote, totals->in_kernel, totals->live,
		 totals->waiting);
	add_protos(totals, out);
	text_add(out, "},\"queued\":%zu,\"undecided\":%s,", totals->queued,
		 yes_no(totals->undecided));
	add_links(env, out);
	text_add(out, ",");
	add_rates(env, out);
	text_add(out, "}");
}

/* ---- peers ----------------------------------------------------------------------------- */

static void add_peer(const struct control_env *env, const struct peer_view *p, size_t queued,
		     struct text *t)
{
	struct link_view l = {.name = ""};
	bool first = true;

	(void)engine_link_view(env->engine, p->link, &l);
	text_add(t, "{\"address\":\"");
	text_add_address(t, p->addr.family, p->addr.addr);
	text_add(t, "\",");
	add_string(t, "link", l.name);
	text_add(t, ",\"dialect\":");
	if (p->dialect)
		text_add(t, "\"%s\"", p->dialect->name);
	else
		text_add(t, "null");
	if (p->icmp_told)
		text_add(t, ",\"icmp_keys\":\"%s\"", p->icmp_typed ? "id-type" : "id");
	text_add(t, ",\"version\":%u,\"hostids\":[", p->version);
	for (int i = 0; i < 4; i++) {
		if (!p->hostid[i])
			continue;
		text_add(t, "%s\"%08" PRIx32 "\"", first ? "" : ",", p->hostid[i]);
		first = false;
	}
	text_add(t, "],\"heard\":%.3f,\"known\":%.0f", seconds(p->heard, env->now),
		 seconds(p->first, env->now));
	text_add(t, ",\"packets_in\":%" PRIu64 ",\"messages_in\":%" PRIu64 ",\"refused\":%" PRIu64,
		 p->packets_in, p->messages_in, p->refused);
	text_add(t, ",\"packets_out\":%" PRIu64 ",\"bulk\":\"%s\",\"lag\":%zu", l.packets_out,
		 bulk_name(&l), queued);
	text_add(t, ",\"hears_us\":%s", p->deaf ? "false" : p->answered ? "true" : "null");
	if (p->answered)
		text_add(t, ",\"answered\":%.3f", seconds(p->answered, env->now));
	text_add(t,
		 ",\"states_whole\":%" PRIu32 ",\"states_half\":%" PRIu32 ",\"flows\":%" PRIu32 "}",
		 p->states_whole, p->states_half, p->held);
}

void view_peers(const struct control_env *env, struct text *out)
{
	struct engine_totals totals;
	struct peer_view p;

	engine_totals(env->engine, &totals);
	text_add(out, "{\"peers\":[");
	for (size_t n = 0; engine_peer_view(env->engine, n, &p); n++) {
		text_add(out, "%s", n ? "," : "");
		add_peer(env, &p, totals.queued, out);
	}
	text_add(out, "]}");
}

/* ---- counters -------------------------------------------------------------------------- */

void view_counters(const struct control_env *env, struct text *out)
{
	const struct counters *c = engine_counters(env->engine);

	text_add(out, "{\"counters\":{");
	for (int i = 0; i < C_COUNT; i++)
		text_add(out, "%s\"%s\":%" PRIu64, i ? "," : "", counter_key((enum counter)i),
			 c->done[i]);
	text_add(out, "},\"refused\":{");
	for (int i = R_NONE + 1; i < R_COUNT; i++)
		text_add(out, "%s\"%s\":%" PRIu64, i > R_NONE + 1 ? "," : "",
			 reason_word((enum reason)i), c->refused[i]);
	text_add(out, "}}");
}

/* ---- flows ----------------------------------------------------------------------------- */

static bool proto_has_ports(uint8_t proto)
{
	enum { PROTO_DCCP = 33, PROTO_UDPLITE = 136 };

	return proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_SCTP ||
	       proto == PROTO_DCCP || proto == PROTO_UDPLITE;
}

/* The ICMP type that answers a query. */
static uint8_t icmp_answer(uint8_t proto, uint8_t type)
{
	static const uint8_t pairs[][2] = {{8, 0}, {13, 14}, {15, 16}, {17, 18}, {10, 9}};

	if (proto == PROTO_ICMPV6)
		return type == 128 ? 129 : type == 139 ? 140 : type;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (pairs[i][0] == type)
			return pairs[i][1];
	return type;
}

static void add_tuple(const struct tuples *f, bool reply, struct text *t)
{
	const struct endpoint *src = &f->end[reply ? REPLY_SRC : ORIG_SRC];
	const struct endpoint *dst = &f->end[reply ? REPLY_DST : ORIG_DST];

	text_add(t, "\"%s\":{\"src\":\"", reply ? "reply" : "orig");
	text_add_address(t, f->family, src->addr);
	text_add(t, "\",\"dst\":\"");
	text_add_address(t, f->family, dst->addr);
	text_add(t, "\"");
	if (proto_is_icmp(f->proto))
		text_add(t, ",\"icmp_id\":%u,\"icmp_type\":%u,\"icmp_code\":%u",
			 reply ? dst->port : src->port,
			 reply ? icmp_answer(f->proto, f->icmp_type) : f->icmp_type, f->icmp_code);
	else if (proto_has_ports(f->proto))
		text_add(t, ",\"sport\":%u,\"dport\":%u", src->port, dst->port);
	text_add(t, "}");
}

/* Where a state is bound, by the peers' name and by ours. */
static void add_interface(const char *pf_name, const struct settings *s, struct text *t)
{
	const char *name;

	if (!pf_name || !strcmp(pf_name, "all"))
		return;
	text_add(t, ",");
	add_string(t, "ifname", pf_name);
	name = settings_interface(s, pf_name);
	if (!name)
		return;
	text_add(t, ",");
	add_string(t, "interface", name);
}

static void add_states(const struct flow_view *f, const struct settings *s, struct text *t)
{
	static const char *const names[] = {"in", "out"};
	bool first = true;

	text_add(t, "\"states\":[");
	for (int i = 0; i < 2; i++) {
		if (!f->half[i].present)
			continue;
		text_add(t, "%s{\"direction\":\"%s\",\"id\":\"%016" PRIx64 "\"", first ? "" : ",",
			 names[i], f->half[i].id);
		text_add(t,
			 ",\"creatorid\":\"%08" PRIx32
			 "\",\"src\":%u,\"dst\":%u,\"timeout\":\"%s\"",
			 f->half[i].creatorid, f->half[i].src, f->half[i].dst,
			 timeout_name(f->half[i].timeout) ? timeout_name(f->half[i].timeout) : "");
		add_interface(f->half[i].ifname, s, t);
		text_add(t, "}");
		first = false;
	}
	text_add(t, "]");
}

void view_flow(const struct flow_view *f, const struct settings *s, uint32_t hostid,
	       struct text *out)
{
	const char *state = ct_tcp_name(f->tcp_state);
	uint32_t creator = hostid;

	text_add(out, "{\"proto\":%u,", f->tuples.proto);
	add_tuple(&f->tuples, false, out);
	text_add(out, ",");
	add_tuple(&f->tuples, true, out);
	if (f->tuples.proto == PROTO_TCP && f->tcp_state != CT_TCP_NONE && state)
		text_add(out, ",\"tcp_state\":\"%s\"", state);
	if (f->half[0].present || f->half[1].present)
		creator = f->half[f->half[0].present ? 0 : 1].creatorid;
	text_add(out, ",\"origin\":\"%s\",\"creatorid\":\"%08" PRIx32 "\",\"in_kernel\":%s,",
		 f->remote ? "remote" : "local", creator, yes_no(f->in_kernel));
	add_states(f, s, out);
	text_add(out, ",\"live\":%s,\"told\":%s,\"age\":%" PRIu32, yes_no(f->live), yes_no(f->told),
		 f->age);
	if (f->waiting)
		text_add(out, ",\"waiting\":true");
	if (f->kept != R_NONE)
		text_add(out, ",\"reason\":\"%s\"", reason_word(f->kept));
	text_add(out, "}");
}

/* ---- notes ----------------------------------------------------------------------------- */

static const char *note_name(enum engine_note kind)
{
	switch (kind) {
	case NOTE_SENT:
		return "sent";
	case NOTE_RECEIVED:
		return "received";
	case NOTE_REFUSED:
		return "refused";
	case NOTE_COMMITTED:
		return "committed";
	case NOTE_PEER_APPEARED:
		return "peer-appeared";
	case NOTE_PEER_DIALECT:
		return "peer-dialect";
	case NOTE_TAKEN_OVER:
		return "taken-over";
	case NOTE_HANDED_OVER:
		return "handed-over";
	case NOTE_BULK_ASKED:
		return "bulk-asked";
	case NOTE_BULK_DONE:
		return "bulk-done";
	case NOTE_BULK_FAILED:
		return "bulk-failed";
	case NOTE_BULK_ANSWERED:
		return "bulk-answered";
	case NOTE_OVERRUN:
		return "overrun";
	case NOTE_IFNAME:
		return "interface-name";
	case NOTE_HOSTID_CLASH:
		return "hostid-clash";
	}
	return "unknown";
}

void control_note(struct text *out, const struct note *n, const struct settings *settings,
		  double wall)
{
	bool message = n->kind == NOTE_SENT || n->kind == NOTE_RECEIVED;

	text_add(out, "{\"time\":%.6f,\"event\":\"%s\"", wall, note_name(n->kind));
	if (n->link >= 0 && (size_t)n->link < settings->syncs) {
		text_add(out, ",");
		add_string(out, "link", settings->sync[n->link].name);
	}
	if (n->peer) {
		text_add(out, ",\"peer\":\"");
		text_add_address(out, n->peer->family, n->peer->addr);
		text_add(out, "\"");
	}
	if (message)
		text_add(out, ",\"action\":\"%s\"", action_name(n->action));
	if (n->reason != R_NONE) {
		text_add(out, ",\"reason\":\"%s\",", reason_word(n->reason));
		add_string(out, "text", reason_text(n->reason));
	}
	if (n->id || n->creatorid)
		text_add(out, ",\"id\":\"%016" PRIx64 "\",\"creatorid\":\"%08" PRIx32 "\"", n->id,
			 n->creatorid);
	if (n->tuples && n->tuples->family) {
		text_add(out, ",\"proto\":%u,", n->tuples->proto);
		add_tuple(n->tuples, false, out);
		text_add(out, ",");
		add_tuple(n->tuples, true, out);
	}
	if (n->detail) {
		text_add(out, ",");
		add_string(out, "detail", n->detail);
	}
	text_add(out, "}\n");
}
