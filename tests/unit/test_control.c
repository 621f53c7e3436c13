/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Control requests against an engine that says what the test wants. */
#include "check.h"
#include "control_view.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct engine {
	struct counters counters;
	struct engine_totals totals;
	struct link_view link;
	struct peer_view peer;
	size_t peers;
	struct flow_view flow;
	uint64_t flows;
	int resyncs;
	struct host_facts facts;
	const char *names[2];
};

/* ---- the engine's views ---------------------------------------------------------------- */

const struct counters *engine_counters(const struct engine *e)
{
	return &e->counters;
}

void engine_totals(const struct engine *e, struct engine_totals *t)
{
	*t = e->totals;
}

void engine_totals_walked(const struct engine *e, struct engine_totals *t)
{
	engine_totals(e, t);
}

bool engine_link_view(const struct engine *e, unsigned link, struct link_view *v)
{
	*v = e->link;
	return link == 0;
}

bool engine_peer_view(const struct engine *e, size_t n, struct peer_view *v)
{
	*v = e->peer;
	return n < e->peers;
}

const char *engine_ifname(const struct engine *e, size_t n)
{
	return n < 2 ? e->names[n] : NULL;
}

bool engine_flow_next(const struct engine *e, uint64_t *cursor, struct flow_view *v, uint64_t now)
{
	if (*cursor >= e->flows)
		return false;
	*v = e->flow;
	v->tuples.end[ORIG_SRC].port = (uint16_t)(40000 + *cursor % 10000);
	++*cursor;
	return true;
}

/* ---- help ------------------------------------------------------------------------------ */

static void on_resync(void *ctx)
{
	((struct engine *)ctx)->resyncs++;
}

static size_t on_flows(void *ctx)
{
	return 7;
}

static void on_facts(void *ctx, struct host_facts *facts)
{
	*facts = ((const struct engine *)ctx)->facts;
}

static const struct flow_view tcp_flow = {
	.tuples = {.family = 4,
		   .proto = PROTO_TCP,
		   .end = {{{192, 0, 2, 10}, 40000},
			   {{198, 51, 100, 10}, 443},
			   {{198, 51, 100, 10}, 443},
			   {{198, 51, 100, 2}, 50001}}},
	.in_kernel = true,
	.live = true,
	.tcp_state = CT_TCP_ESTABLISHED,
	.half = {{true, 0x5e8f2a0100000001, 0x1a2b3c4d, 4, 4, PFTM_TCP_ESTABLISHED, "all"},
		 {true, 0x5e8f2a0100000002, 0x1a2b3c4d, 4, 4, PFTM_TCP_ESTABLISHED, "all"}},
};

static void start(struct engine *e, struct control_env *env)
{
	static struct settings *settings;
	char error[SETTINGS_ERROR_MAX];

	if (!settings)
		(void)settings_parse(&settings, "sync pf { interface = eth2 }", 28, "f", error,
				     sizeof(error));
	*e = (struct engine){
		.link = {.name = "pf", .up = true, .mtu = 1500, .ever_synced = true, .peers = 1},
		.peer = {.addr = {4, {203, 0, 113, 1}}, .hostid = {0xaabbccdd}},
		.peers = 1,
		.flow = tcp_flow,
		.flows = 3,
		.facts = {.conntrack_events = 1,
			  .conntrack_acct = 1,
			  .conntrack_timestamp = 1,
			  .tcp_loose = 0,
			  .conntrack_max = 1000,
			  .net_admin = 1,
			  .net_raw = 1,
			  .nat_chain = 1,
			  .defer_rule = 1,
			  .link = {{.joined = 1, .neighbour = -1}}},
	};
	*env = (struct control_env){
		.engine = e,
		.settings = settings,
		.version = "1.2",
		.hostid = 0x1a2b3c4d,
		.started = 1000000000,
		.now = 11000000000,
		.ctx = e,
		.resync = on_resync,
		.takeover = on_flows,
		.flush = on_flows,
		.facts = on_facts,
	};
}

/* Asks, takes the payload of a whole answer as JSON; NULL if it was refused or is none. */
static json_t *ask(const struct control_env *env, const char *request)
{
	struct control_stream *stream;
	struct text out = {0};
	json_t *payload = NULL;
	const char *body;

	CHECK_EQ(control_request(env, request, strlen(request), &out, &stream), CONTROL_DONE);
	body = out.s ? strchr(out.s, '\n') : NULL;
	if (CHECK(body) && !strncmp(out.s, "{\"ok\":true,", 11))
		payload = json_loads(body + 1, 0, NULL);
	text_free(&out);
	return payload;
}

static const char *string_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "(none)";
}

static long long number_of(const json_t *o, const char *key)
{
	return (long long)json_number_value(json_object_get(o, key));
}

/* ---- tests ----------------------------------------------------------------------------- */

static void test_refused(void)
{
	static const char *const requests[] = {
		"",
		"status",
		"[]",
		"{}",
		"{\"command\":5}",
		"{\"command\":\"frobnicate\"}",
		"{\"command\":\"status\",\"args\":[\"x\"]}",
		"{\"command\":\"flows\",\"args\":5}",
		"{\"command\":\"flows\",\"args\":[5]}",
		"{\"command\":\"flows\",\"args\":[\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\","
		"\"\",\"\",\"\","
		"\"\",\"\",\"\",\"\",\"\"]}",
	};
	struct control_env env;
	struct engine e;

	start(&e, &env);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct control_stream *stream;
		struct text out = {0};
		json_t *o;

		CHECK_EQ(control_request(&env, requests[i], strlen(requests[i]), &out, &stream),
			 CONTROL_DONE);
		CHECK(!stream);
		o = json_loads(out.s, 0, NULL);
		CHECK(json_is_false(json_object_get(o, "ok")));
		CHECK(*string_of(o, "error") != '(');
		json_decref(o);
		text_free(&out);
	}
}

static void test_objects(void)
{
	struct control_env env;
	struct engine e;
	json_t *o, *first;

	start(&e, &env);
	e.counters.refused[R_TTL] = 3;
	o = ask(&env, "{\"command\":\"status\"}");
	CHECK_STR(string_of(o, "health"), "degraded"); /* those three are recent */
	CHECK_STR(string_of(o, "hostid"), "1a2b3c4d");
	CHECK_EQ(number_of(o, "uptime"), 10);
	json_decref(o);

	o = ask(&env, "{\"command\":\"peers\",\"args\":[]}");
	first = json_array_get(json_object_get(o, "peers"), 0);
	CHECK_STR(string_of(first, "address"), "203.0.113.1");
	CHECK(json_is_null(json_object_get(first, "dialect")));
	CHECK_EQ(json_array_size(json_object_get(first, "hostids")), 1);
	CHECK(!json_object_get(first, "icmp_keys"));
	json_decref(o);
	for (int typed = 0; typed < 2; typed++) {
		e.peer.icmp_told = true;
		e.peer.icmp_typed = typed;
		o = ask(&env, "{\"command\":\"peers\",\"args\":[]}");
		first = json_array_get(json_object_get(o, "peers"), 0);
		CHECK_STR(string_of(first, "icmp_keys"), typed ? "id-type" : "id");
		json_decref(o);
	}

	o = ask(&env, "{\"command\":\"counters\"}");
	CHECK_EQ(number_of(json_object_get(o, "refused"), "ttl"), 3);
	CHECK_EQ(json_object_size(json_object_get(o, "refused")), R_COUNT - 1);
	CHECK_EQ(json_object_size(json_object_get(o, "counters")), C_COUNT);
	json_decref(o);

	json_decref(ask(&env, "{\"command\":\"resync\"}"));
	CHECK_EQ(e.resyncs, 1);
}

static void check_command(const struct control_env *env, const char *request, int flows,
			  const char *about)
{
	json_t *o = ask(env, request);

	CHECK_EQ(number_of(o, "flows"), flows);
	CHECK(strstr(string_of(o, "text"), about));
	json_decref(o);
}

/* What takeover and flush mean depends on conntrack.commit. */
static void test_takeover(void)
{
	struct control_env env;
	struct settings later;
	struct engine e;

	start(&e, &env);
	check_command(&env, "{\"command\":\"takeover\"}", 0, "commit is direct");
	check_command(&env, "{\"command\":\"flush\"}", 7, "forgotten");
	later = *env.settings;
	later.commit = COMMIT_TAKEOVER;
	env.settings = &later;
	check_command(&env, "{\"command\":\"takeover\"}", 7, "being installed");
	check_command(&env, "{\"command\":\"flush\"}", 7, "wait");
}

static void check_health(const struct control_env *env, int want, const char *about)
{
	json_t *o = ask(env, "{\"command\":\"check\"}");

	CHECK_EQ(number_of(o, "status"), want);
	CHECK(strstr(string_of(o, "why"), about));
	CHECK(!strchr(string_of(o, "why"), '\n'));
	json_decref(o);
}

static void test_health(void)
{
	struct control_env env;
	struct engine e;

	start(&e, &env);
	check_health(&env, 0, "in sync: 1 peer");
	e.totals.undecided = true; /* a matter of a second once the peers have answered */
	check_health(&env, 0, "in sync");
	e.link.bulk_failed = true;
	check_health(&env, 1, "no peer answered");
	e.link.bulk_failed = false;
	e.link.ever_synced = false;
	check_health(&env, 1, "no peer has answered");
	e.link.peers = 0;
	check_health(&env, 1, "no peer was heard");
	e.link.up = false;
	check_health(&env, 2, "down");
	e.link.mtu = 0;
	check_health(&env, 2, "not there");
}

/* Each thing that can be found: by check and status with its id, by doctor under its test. */
static bool finds(const struct control_env *env, const char *id, int status, const char *test)
{
	json_t *check = ask(env, "{\"command\":\"check\"}"), *f;
	json_t *doctor = ask(env, "{\"command\":\"doctor\"}");
	json_t *screen = ask(env, "{\"command\":\"status\"}");
	bool found = false, told = false;
	size_t i;

	json_array_foreach(json_object_get(check, "findings"), i, f)
	{
		found |= !strcmp(string_of(f, "id"), id);
		CHECK(*string_of(f, "remedy") != '(' && *string_of(f, "text") != '(');
	}
	CHECK_EQ(number_of(check, "status"), status);
	CHECK_EQ(strstr(string_of(check, "why"), id) != NULL, status > 0);
	CHECK(json_equal(json_object_get(check, "findings"), json_object_get(screen, "findings")));
	json_array_foreach(json_object_get(doctor, "tests"), i, f)
	{
		told |= !strcmp(string_of(f, "id"), id) && !strcmp(string_of(f, "name"), test) &&
			strcmp(string_of(f, "result"), status ? "fail" : "warn") == 0;
		CHECK_EQ(strcmp(string_of(f, "result"), "ok") != 0,
			 json_object_get(f, "remedy") != NULL);
	}
	CHECK_EQ(number_of(doctor, "status"), status > 0);
	json_decref(check);
	json_decref(doctor);
	json_decref(screen);
	return found && told;
}

static void test_findings(void)
{
	struct settings settings;
	struct control_env env;
	struct engine e;

#define FIND(id, status, test, ...)                                                                \
	do {                                                                                       \
		start(&e, &env);                                                                   \
		__VA_ARGS__;                                                                       \
		if (!CHECK(finds(&env, id, status, test)))                                         \
			CHECK_STR(id, "");                                                         \
	} while (0)

	FIND("capability", 2, "capabilities", e.facts.net_raw = 0);
	FIND("events-off", 1, "nf_conntrack_events", e.facts.conntrack_events = 0);
	FIND("events-late", 0, "nf_conntrack_events", e.facts.conntrack_events = 2);
	FIND("kernel-silent", 2, "conntrack netlink", env.now += 400 * (uint64_t)1000000000);
	FIND("overrun", 1, "conntrack netlink", e.counters.done[C_EVENT_OVERRUN] = 1);
	FIND("table-full", 1, "conntrack table", e.facts.conntrack_count = 950);
	FIND("import-full", 1, "conntrack table", e.totals.remote = 1000000);
	FIND("no-nat-chain", 1, "nat chain", e.facts.nat_chain = 0,
	     e.counters.refused[R_NO_NAT_CHAIN] = 1);
	FIND("no-queue", 1, "defer", e.facts.defer_queue = -1);
	FIND("no-queue-rule", 1, "defer", e.facts.defer_queue = 240, e.facts.defer_rule = 0);
	FIND("no-queue-rule", 1, "defer", e.facts.defer_queue = 241, e.facts.defer_rule = 0,
	     e.facts.defer_plain = true);
	FIND("link-missing", 2, "interface eth2", e.link.up = false, e.link.mtu = 0);
	FIND("link-down", 2, "interface eth2", e.link.up = false);
	FIND("mtu-tiny", 1, "mtu eth2", e.link.mtu = 500);
	FIND("mtu", 1, "mtu eth2", e.link.mtu = 1000, e.link.narrow = true);
	FIND("not-joined", 1, "multicast eth2", e.facts.link[0].joined = 0);
	FIND("packets-lost", 1, "packet filter eth2", e.counters.done[C_PACKET_OVERRUN] = 1);
	FIND("filtered", 1, "packet filter eth2", e.facts.link[0].frames = 9);
	FIND("not-sent", 1, "packet filter eth2", e.facts.link[0].lost = 1);
	FIND("hostid-clash", 1, "hostid eth2", e.peer.clash = true);
	FIND("never-heard", 1, "peers eth2", e.link.peers = 0);
	FIND("peer-silent", 1, "peers eth2", e.peer.heard = 5, e.peer.deaf = 7);
	FIND("one-way", 1, "peers eth2", e.peer.heard = 9, e.peer.deaf = 7);
	FIND("bulk-failed", 1, "bulk update eth2", e.link.bulk_failed = true);
	FIND("bulk-running", 1, "bulk update eth2", e.link.ever_synced = false,
	     e.link.bulk = BULK_RECEIVING);
	FIND("never-synced", 1, "bulk update eth2", e.link.ever_synced = false);
	FIND("halves-withheld", 1, "halves eth2", e.peer.states_half = 4);
	FIND("not-installed", 1, "imported flows", e.totals.missing = 1);
	FIND("interface-names", 0, "interface names", e.names[0] = "all", e.names[1] = "em7");
	FIND("refused-ttl", 1, "peers eth2", e.counters.refused[R_TTL] = 1);
	FIND("refused-version", 1, "dialect eth2", e.counters.refused[R_VERSION] = 1);
	FIND("refused-kernel-clash", 1, "refusals", e.counters.refused[R_KERNEL_CLASH] = 1);
	FIND("refused-route-to", 0, "refusals", e.counters.refused[R_ROUTE_TO] = 1);
#undef FIND
	start(&e, &env);
	settings = *env.settings;
	settings.sync[0].dialect = dialect_get(DIALECT_OPENBSD);
	env.settings = &settings;
	e.peer.dialect = dialect_get(DIALECT_FREEBSD_13);
	CHECK(finds(&env, "dialect", 1, "dialect eth2"));
	settings.sync[0].dialect = NULL;
	settings.sync[0].multicast = false;
	e.facts.link[0].neighbour = 0;
	CHECK(finds(&env, "no-neighbour", 1, "neighbour eth2"));
	e.facts.link[0].neighbour = 1;
	e.facts.link[0].unreachable = 1;
	CHECK(finds(&env, "unreachable", 1, "neighbour eth2"));
}

/* What happened is forgotten after a while, what is so is not. */
static void test_decay(void)
{
	struct health_history *history = calloc(1, sizeof(*history));
	struct control_env env;
	struct engine e;

	start(&e, &env);
	if (!CHECK(history))
		return;
	env.history = history;
	health_remember(history, &env, &e.facts);
	e.counters.refused[R_TTL] = 7;
	for (int second = 0; second <= 60 * HEALTH_MINUTES + 20; second++) {
		env.now += 1000000000;
		e.counters.done[C_DUMPS]++;
		health_remember(history, &env, &e.facts);
		if (second == 60 * HEALTH_MINUTES - 20)
			check_health(&env, 1, "7 of \"packet with a TTL");
	}
	check_health(&env, 0, "in sync");
	e.counters.refused[R_TTL]++;
	check_health(&env, 1, ": 1 of \"packet with a TTL");
	free(history);
}

static void test_many_findings(void)
{
	struct control_env env;
	struct engine e;
	json_t *o;

	start(&e, &env);
	e.peer.deaf = 7;
	e.peers = 100;
	o = ask(&env, "{\"command\":\"check\"}");
	CHECK_EQ(json_array_size(json_object_get(o, "findings")), FINDINGS_MAX);
	CHECK(strstr(string_of(o, "why"), "and 45 more"));
	json_decref(o);
}

static void test_demotion(void)
{
	struct control_env env;
	struct engine e;

	start(&e, &env);
	CHECK_EQ(health_demotion(&e), 0);
	e.link.behind = true;
	CHECK_EQ(health_demotion(&e), 240);
	e.link.behind = false;
	e.link.up = false;
	CHECK_EQ(health_demotion(&e), 240);
}

static bool doctor_says(const struct control_env *env, const char *name, const char *result,
			int status)
{
	json_t *o = ask(env, "{\"command\":\"doctor\"}"), *test;
	bool found = false;
	size_t i;

	json_array_foreach(json_object_get(o, "tests"), i, test)
		found |= !strcmp(string_of(test, "name"), name) &&
			 !strcmp(string_of(test, "result"), result);
	found &= number_of(o, "status") == status;
	json_decref(o);
	return found;
}

static bool answers(const struct control_env *env, const char *request, const char *words)
{
	json_t *o = ask(env, request);
	char *all = json_dumps(o, 0);
	bool found = all && strstr(all, words);

	free(all);
	json_decref(o);
	return found;
}

static void test_doctor(void)
{
	static const struct address own = {4, {198, 51, 100, 2}};
	struct control_env env;
	struct engine e;

	start(&e, &env);
	CHECK(doctor_says(&env, "nf_conntrack_events", "ok", 0));
	CHECK(doctor_says(&env, "multicast eth2", "ok", 0));
	CHECK(doctor_says(&env, "shared addresses", "ok", 0));
	CHECK(answers(&env, "{\"command\":\"doctor\"}",
		      "not known: what comes in cannot be counted"));
	e.facts.link[0].tapped = true;
	CHECK(answers(&env, "{\"command\":\"doctor\"}", "0 pfsync packets came in"));
	e.facts.own = &own; /* what the flow is translated to stays here */
	e.facts.owns = 1;
	CHECK(doctor_says(&env, "shared addresses", "fail", 1));
	e.flow.remote = true;
	CHECK(doctor_says(&env, "shared addresses", "ok", 0));
	e.facts.tcp_loose = 1;
	CHECK(doctor_says(&env, "nf_conntrack_tcp_loose", "warn", 0));
	env.facts = NULL;
	CHECK(doctor_says(&env, "nf_conntrack_events", "fail", 1));
}

/* Streams flows that match; returns how many lines of JSON came. */
static size_t stream_flows(const struct control_env *env, const char *request, json_t **last)
{
	struct control_stream *stream;
	struct text out = {0};
	size_t count = 0;
	bool more = true;

	CHECK_EQ(control_request(env, request, strlen(request), &out, &stream), CONTROL_STREAM);
	*last = NULL;
	while (stream && more) {
		text_clear(&out);
		more = control_stream_next(stream, env, &out);
		CHECK(out.len < 70000);
		for (char *line = out.s, *end; line && (end = strchr(line, '\n')); line = end + 1) {
			json_decref(*last);
			*last = json_loadb(line, (size_t)(end - line), 0, NULL);
			CHECK(json_is_object(*last));
			count++;
		}
	}
	control_stream_free(stream);
	text_free(&out);
	return count;
}

static void test_flow_object(void)
{
	struct settings settings;
	struct control_env env;
	struct engine e;
	json_t *o, *state;

	start(&e, &env);
	e.flows = 1;
	e.flow.half[0].ifname = "all";
	e.flow.half[1].ifname = "igb0";
	settings = *env.settings;
	settings.interface = (struct settings_interface[]){{.name = "eth0", .pf_name = "igb0"}};
	settings.interfaces = 1;
	env.settings = &settings;
	CHECK_EQ(stream_flows(&env, "{\"command\":\"flows\"}", &o), 1);
	CHECK_EQ(number_of(o, "proto"), 6);
	state = json_array_get(json_object_get(o, "states"), 0);
	CHECK(state && !json_object_get(state, "ifname"));
	state = json_array_get(json_object_get(o, "states"), 1);
	CHECK_STR(string_of(state, "ifname"), "igb0");
	CHECK_STR(string_of(state, "interface"), "eth0");
	CHECK_STR(string_of(json_object_get(o, "orig"), "src"), "192.0.2.10");
	CHECK_EQ(number_of(json_object_get(o, "orig"), "dport"), 443);
	CHECK_STR(string_of(json_object_get(o, "reply"), "dst"), "198.51.100.2");
	CHECK_EQ(number_of(json_object_get(o, "reply"), "dport"), 50001);
	CHECK_STR(string_of(o, "tcp_state"), "ESTABLISHED");
	CHECK_STR(string_of(o, "origin"), "local");
	CHECK_STR(string_of(o, "creatorid"), "1a2b3c4d");
	CHECK(json_is_true(json_object_get(o, "in_kernel")));
	state = json_array_get(json_object_get(o, "states"), 1);
	CHECK_STR(string_of(state, "direction"), "out");
	CHECK_STR(string_of(state, "id"), "5e8f2a0100000002");
	CHECK(!json_object_get(o, "reason"));
	json_decref(o);

	e.flow.tuples = (struct tuples){
		.family = 4, .proto = PROTO_ICMP, .icmp_type = 8, .end = {{{1, 1, 1, 1}, 99}}};
	e.flow.tuples.end[REPLY_DST].port = 77;
	e.flow.kept = R_ROUTE_TO;
	e.flow.tcp_state = CT_TCP_NONE;
	CHECK_EQ(stream_flows(&env, "{\"command\":\"flows\"}", &o), 1);
	CHECK(!json_object_get(json_object_get(o, "orig"), "sport"));
	CHECK_EQ(number_of(json_object_get(o, "orig"), "icmp_type"), 8);
	CHECK_EQ(number_of(json_object_get(o, "reply"), "icmp_type"), 0);
	CHECK_EQ(number_of(json_object_get(o, "reply"), "icmp_id"), 77);
	CHECK_STR(string_of(o, "reason"), "route-to");
	CHECK(!json_object_get(o, "tcp_state"));
	json_decref(o);
}

static void test_large_table(void)
{
	struct control_env env;
	struct engine e;
	json_t *o;

	start(&e, &env);
	e.flows = 50000;
	CHECK_EQ(stream_flows(&env, "{\"command\":\"flows\"}", &o), 50000);
	json_decref(o);
	CHECK_EQ(stream_flows(&env, "{\"command\":\"flows\",\"args\":[\"40007\"]}", &o), 5);
	json_decref(o);
}

static void test_filter(void)
{
	static const struct {
		const char *words[3];
		bool match;
	} cases[] = {
		{{"192.0.2.10"}, true},
		{{"192.0.2.77"}, false},
		{{"192.0.2.0/24"}, true},
		{{"192.0.3.0/24"}, false},
		{{"198.51.100.2"}, true},
		{{"tcp"}, true},
		{{"udp"}, false},
		{{"local"}, true},
		{{"remote"}, false},
		{{"443"}, true},
		{{"80"}, false},
		{{"established"}, true},
		{{"1a2b3c4d"}, true},
		{{"5e8f2a0100000002"}, true},
		{{"192.0."}, true},
		{{"tcp", "443", "local"}, true},
		{{"tcp", "443", "remote"}, false},
		{{"2001:db8::/32"}, false},
	};

	CHECK(filter_matches(&tcp_flow, NULL, 0));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = 0;

		while (n < 3 && cases[i].words[n])
			n++;
		if (!CHECK_EQ(filter_matches(&tcp_flow, cases[i].words, n), cases[i].match))
			CHECK_STR(cases[i].words[0], "");
	}
}

static void test_text(void)
{
	struct control_stream *stream;
	struct control_env env;
	struct text out = {0};
	struct engine e;

	start(&e, &env);
	e.counters.refused[R_TTL] = 3;
	CHECK_EQ(control_request(&env, "{\"command\":\"metrics\"}", 21, &out, &stream),
		 CONTROL_DONE);
	CHECK(strstr(out.s, "\npfsync_refused_total{reason=\"ttl\"} 3\n"));
	CHECK(strstr(out.s, "\n# TYPE pfsync_event_overrun counter\n"));
	CHECK(out.len > 6 && !strcmp(out.s + out.len - 6, "# EOF\n"));
	text_clear(&out);
	CHECK_EQ(control_request(&env, "{\"command\":\"config\"}", 20, &out, &stream),
		 CONTROL_DONE);
	CHECK(strstr(out.s, "max-states = 1000000"));
	text_free(&out);
}

static void test_monitor(void)
{
	static const struct address peer = {4, {203, 0, 113, 1}};
	struct note n = {.kind = NOTE_REFUSED, .reason = R_TTL, .peer = &peer, .detail = "a \"b\""};
	struct control_stream *stream;
	struct control_env env;
	struct text out = {0};
	struct engine e;
	json_t *o;

	start(&e, &env);
	CHECK_EQ(control_request(&env, "{\"command\":\"monitor\"}", 21, &out, &stream),
		 CONTROL_MONITOR);
	CHECK(!stream);
	for (int kind = NOTE_SENT; kind <= NOTE_HOSTID_CLASH; kind++) {
		text_clear(&out);
		n.kind = (enum engine_note)kind;
		n.tuples = kind % 2 ? &tcp_flow.tuples : NULL;
		control_note(&out, &n, env.settings, 1764000000.5);
		o = json_loads(out.s, 0, NULL);
		CHECK(json_is_object(o));
		CHECK_STR(string_of(o, "reason"), "ttl");
		CHECK_STR(string_of(o, "detail"), "a \"b\"");
		CHECK_EQ(out.s[out.len - 1], '\n');
		json_decref(o);
	}
	text_free(&out);
}

int main(void)
{
	static const struct check_test tests[] = {
		{"what is no request is refused", test_refused},
		{"objects", test_objects},
		{"takeover and flush", test_takeover},
		{"check", test_health},
		{"findings", test_findings},
		{"what happened is forgotten", test_decay},
		{"more than can be told", test_many_findings},
		{"demotion", test_demotion},
		{"doctor", test_doctor},
		{"a flow", test_flow_object},
		{"a large table comes in pieces", test_large_table},
		{"filter", test_filter},
		{"metrics and config", test_text},
		{"monitor", test_monitor},
	};

	return check_main("control", tests, sizeof(tests) / sizeof(tests[0]));
}
