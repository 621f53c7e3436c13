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
	.half = {{true, 0x5e8f2a0100000001, 0x1a2b3c4d, 4, 4, PFTM_TCP_ESTABLISHED},
		 {true, 0x5e8f2a0100000002, 0x1a2b3c4d, 4, 4, PFTM_TCP_ESTABLISHED}},
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
			  .conntrack_max = 1000,
			  .net_admin = 1,
			  .net_raw = 1,
			  .nat_chain = 1,
			  .joined = {1}},
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
	CHECK_STR(string_of(o, "health"), "ok");
	CHECK_STR(string_of(o, "hostid"), "1a2b3c4d");
	CHECK_EQ(number_of(o, "uptime"), 10);
	json_decref(o);

	o = ask(&env, "{\"command\":\"peers\",\"args\":[]}");
	first = json_array_get(json_object_get(o, "peers"), 0);
	CHECK_STR(string_of(first, "address"), "203.0.113.1");
	CHECK(json_is_null(json_object_get(first, "dialect")));
	CHECK_EQ(json_array_size(json_object_get(first, "hostids")), 1);
	json_decref(o);

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

static bool doctor_says(const struct control_env *env, const char *name, const char *result,
			int status)
{
	json_t *o = ask(env, "{\"command\":\"doctor\"}"), *test;
	bool found = false;
	size_t i;

	json_array_foreach(json_object_get(o, "tests"), i, test)
	{
		found |= !strcmp(string_of(test, "name"), name) &&
			 !strcmp(string_of(test, "result"), result);
		CHECK_EQ(strcmp(string_of(test, "result"), "ok") != 0,
			 json_object_get(test, "remedy") != NULL);
	}
	found &= number_of(o, "status") == status;
	json_decref(o);
	return found;
}

static void test_doctor(void)
{
	struct control_env env;
	struct engine e;

	start(&e, &env);
	CHECK(doctor_says(&env, "nf_conntrack_events", "ok", 0));
	CHECK(doctor_says(&env, "multicast on eth2", "ok", 0));
	e.facts.conntrack_events = 2;
	CHECK(doctor_says(&env, "nf_conntrack_events", "warn", 0));
	e.facts.conntrack_events = 0;
	CHECK(doctor_says(&env, "nf_conntrack_events", "fail", 1));
	start(&e, &env);
	e.counters.refused[R_HOSTID_CLASH] = 1;
	CHECK(doctor_says(&env, "hostid-clash", "fail", 1));
	start(&e, &env);
	e.link.mtu = 500;
	CHECK(doctor_says(&env, "interface eth2", "fail", 1));
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
	struct control_env env;
	struct engine e;
	json_t *o, *state;

	start(&e, &env);
	e.flows = 1;
	CHECK_EQ(stream_flows(&env, "{\"command\":\"flows\"}", &o), 1);
	CHECK_EQ(number_of(o, "proto"), 6);
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
		{"doctor", test_doctor},
		{"a flow", test_flow_object},
		{"a large table comes in pieces", test_large_table},
		{"filter", test_filter},
		{"metrics and config", test_text},
		{"monitor", test_monitor},
	};

	return check_main("control", tests, sizeof(tests) / sizeof(tests[0]));
}
