/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters and gauges as OpenMetrics text. */
#include "control_view.h"

#include <inttypes.h>
#include <string.h>

static void add_family(struct text *t, const char *name, const char *type, const char *help)
{
	text_add(t, "# TYPE pfsync_%s %s\n# HELP pfsync_%s %s\n", name, type, name, help);
}

/* A label's value between its quotes. */
static void add_label(struct text *t, const char *s)
{
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			text_add(t, "\\");
		if (*s == '\n')
			text_add(t, "\\n");
		else
			text_add_bytes(t, s, 1);
	}
}

static void add_counters(const struct counters *c, struct text *t)
{
	for (int i = 0; i < C_COUNT; i++) {
		char name[64] = "";
		const char *key = counter_key((enum counter)i);

		for (size_t n = 0; key[n] && n + 1 < sizeof(name); n++)
			name[n] = key[n] == '-' ? '_' : key[n];
		add_family(t, name, "counter", counter_text((enum counter)i));
		text_add(t, "pfsync_%s_total %" PRIu64 "\n", name, c->done[i]);
	}
	add_family(t, "refused", "counter", "what was refused, dropped or skipped, by reason");
	for (int i = R_NONE + 1; i < R_COUNT; i++) {
		text_add(t, "pfsync_refused_total{reason=\"");
		add_label(t, reason_word((enum reason)i));
		text_add(t, "\"} %" PRIu64 "\n", c->refused[i]);
	}
}

static void add_gauge(struct text *t, const char *name, const char *help, double value)
{
	add_family(t, name, "gauge", help);
	text_add(t, "pfsync_%s %.0f\n", name, value);
}

/* Calls by what each link has; one family after the other, as the format wants it. */
static void add_links(const struct control_env *env, struct text *t)
{
	static const struct {
		const char *name, *help;
	} families[] = {
		{"link_up", "the sync interface is up"},
		{"link_synced", "a bulk update came to its end on this link"},
		{"link_peers", "peers heard on this link"},
		{"link_mtu_bytes", "the sync interface's MTU"},
	};

	for (size_t n = 0; n < sizeof(families) / sizeof(families[0]); n++) {
		struct link_view l;

		add_family(t, families[n].name, "gauge", families[n].help);
		for (unsigned i = 0; engine_link_view(env->engine, i, &l); i++) {
			size_t values[] = {l.up, l.ever_synced, l.peers, l.mtu};

			text_add(t, "pfsync_%s{link=\"", families[n].name);
			add_label(t, l.name);
			text_add(t, "\"} %zu\n", values[n]);
		}
	}
}

static void add_peer(const struct control_env *env, const struct peer_view *p, const char *name,
		     struct text *t)
{
	struct link_view l = {.name = ""};

	(void)engine_link_view(env->engine, p->link, &l);
	text_add(t, "pfsync_%s{link=\"", name);
	add_label(t, l.name);
	text_add(t, "\",peer=\"");
	text_add_address(t, p->addr.family, p->addr.addr);
	text_add(t, "\"} ");
}

static void add_peers(const struct control_env *env, struct text *t)
{
	struct peer_view p;

	add_family(t, "peer_heard_seconds", "gauge", "time since a peer's last packet");
	for (size_t n = 0; engine_peer_view(env->engine, n, &p); n++) {
		uint64_t since = env->now > p.heard ? env->now - p.heard : 0;

		add_peer(env, &p, "peer_heard_seconds", t);
		text_add(t, "%.3f\n", (double)since / 1e9);
	}
	add_family(t, "peer_hears_us", "gauge", "0 if a peer answers nothing");
	for (size_t n = 0; engine_peer_view(env->engine, n, &p); n++) {
		add_peer(env, &p, "peer_hears_us", t);
		text_add(t, "%d\n", !p.deaf);
	}
	add_family(t, "peer_flows", "gauge", "flows that a peer told, by whether both halves came");
	for (size_t n = 0; engine_peer_view(env->engine, n, &p); n++)
		for (int whole = 0; whole < 2; whole++) {
			add_peer(env, &p, "peer_flows", t);
			t->len -= 2; /* one more label */
			text_add(t, ",halves=\"%d\"} %" PRIu32 "\n", whole + 1,
				 whole ? p.states_whole : p.states_half);
		}
}

/* How often the same was found before that one. */
static bool is_repeated(const struct health *h, size_t i)
{
	for (size_t n = 0; n < i; n++)
		if (h->finding[n].link == h->finding[i].link &&
		    !strcmp(h->finding[n].id, h->finding[i].id))
			return true;
	return false;
}

static void add_health(const struct control_env *env, const struct host_facts *facts,
		       const struct health *h, struct text *t)
{
	add_gauge(t, "health", "0 in sync, 1 degraded, 2 not working", (double)h->status);
	add_gauge(t, "demotion", "what is told to keepalived", health_demotion(env->engine));
	add_family(t, "finding", "gauge", "1 for each thing that is wrong, see pfsyncctl status");
	for (size_t i = 0; i < h->count; i++) {
		const struct finding *f = &h->finding[i];

		if (is_repeated(h, i))
			continue;
		text_add(t, "pfsync_finding{id=\"%s\",link=\"", f->id);
		add_label(t, f->link < 0 ? "" : env->settings->sync[f->link].name);
		text_add(t, "\"} 1\n");
	}
	if (facts->conntrack_max > 0) {
		add_gauge(t, "conntrack_entries", "entries in the kernel's table",
			  (double)facts->conntrack_count);
		add_gauge(t, "conntrack_entries_max", "entries that the kernel's table takes",
			  (double)facts->conntrack_max);
	}
}

void view_metrics(const struct control_env *env, struct text *out)
{
	struct host_facts facts;
	struct health h;

	view_look(env, &facts, &h);
	add_family(out, "build_info", "gauge", "the daemon's version");
	text_add(out, "pfsync_build_info{version=\"");
	add_label(out, env->version);
	text_add(out, "\"} 1\n");
	add_counters(engine_counters(env->engine), out);
	add_family(out, "flows", "gauge", "known flows by protocol and origin");
	for (int i = 0; i < TOTALS_PROTOS; i++)
		for (int remote = 0; remote < 2; remote++)
			text_add(out, "pfsync_flows{protocol=\"%s\",origin=\"%s\"} %zu\n",
				 view_protos[i], remote ? "remote" : "local",
				 h.totals.by_proto[i][remote]);
	add_gauge(out, "flows_in_kernel", "flows that have a kernel entry",
		  (double)h.totals.in_kernel);
	add_gauge(out, "flows_missing", "flows of peers that the kernel did not take",
		  (double)h.totals.missing);
	add_gauge(out, "flows_live", "flows whose traffic passes here", (double)h.totals.live);
	add_gauge(out, "queued", "messages that wait to be sent", (double)h.totals.queued);
	add_health(env, &facts, &h, out);
	add_gauge(out, "uptime_seconds", "time since the daemon's start",
		  env->now > env->started ? (double)(env->now - env->started) / 1e9 : 0.0);
	add_links(env, out);
	add_peers(env, out);
	health_free(&h);
	text_add(out, "# EOF\n");
}
