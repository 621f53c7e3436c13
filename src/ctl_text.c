/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "ctl_text.h"

#include <string.h>
#include <time.h>

enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ICMPV6 = 58, PROTO_SCTP = 132 };

/* ---- reading what may be missing ------------------------------------------------------- */

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "-";
}

static long long num(const json_t *o, const char *key)
{
	return (long long)json_number_value(json_object_get(o, key));
}

static double real(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

static bool yes(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

/* "12 s", "3 min", "5 h", "2 d". */
static void print_age(FILE *out, double seconds)
{
	if (seconds < 120)
		fprintf(out, "%.0f s", seconds);
	else if (seconds < 7200)
		fprintf(out, "%.0f min", seconds / 60);
	else if (seconds < 172800)
		fprintf(out, "%.0f h", seconds / 3600);
	else
		fprintf(out, "%.0f d", seconds / 86400);
}

/* A word in its colour: 0 green, 1 yellow, 2 red. */
static void print_mark(FILE *out, const char *word, int width, int badness, bool colour)
{
	static const int codes[] = {32, 33, 31};

	if (colour)
		fprintf(out, "\033[%dm%-*s\033[0m", codes[badness], width, word);
	else
		fprintf(out, "%-*s", width, word);
}

/* 0 for what is well, 1 for what is less so, 2 for the rest. */
static int badness_of(const char *word)
{
	if (!strcmp(word, "ok"))
		return 0;
	return !strcmp(word, "warn") || !strcmp(word, "degraded") || !strcmp(word, "notice") ? 1
											     : 2;
}

/* ---- status, check, doctor ------------------------------------------------------------- */

static void print_findings(FILE *out, const json_t *o, bool colour)
{
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(o, "findings"), i, f)
	{
		fprintf(out, "  ");
		print_mark(out, str(f, "id"), 22, badness_of(str(f, "severity")), colour);
		fprintf(out, " %s\n%25sremedy: %s\n", str(f, "text"), "", str(f, "remedy"));
	}
}

static void print_status(FILE *out, const json_t *o, bool colour)
{
	const json_t *flows = json_object_get(o, "flows");
	const json_t *rates = json_object_get(o, "rates");
	const json_t *link;
	size_t i;

	fprintf(out, "pfsync-linux %s, hostid %s, running for ", str(o, "version"),
		str(o, "hostid"));
	print_age(out, real(o, "uptime"));
	fprintf(out, "\n\nhealth  ");
	print_mark(out, str(o, "health"), 0, badness_of(str(o, "health")), colour);
	if (!strcmp(str(o, "health"), "ok"))
		fprintf(out, ": %s", str(o, "why"));
	if (num(o, "demotion"))
		fprintf(out, "; demoted by %lld: not yet in sync", num(o, "demotion"));
	fprintf(out, "\n");
	print_findings(out, o, colour);
	fprintf(out,
		"\nflows   %lld: %lld local, %lld remote, %lld in the kernel, %lld live here\n",
		num(flows, "total"), num(flows, "local"), num(flows, "remote"),
		num(flows, "in_kernel"), num(flows, "live"));
	if (num(flows, "waiting"))
		fprintf(out, "        %lld wait for `pfsyncctl takeover`\n", num(flows, "waiting"));
	fprintf(out, "queue   %lld messages wait to be sent\n", num(o, "queued"));
	fprintf(out, "rates   %.1f events/s, packets/s %.1f in, %.1f out (last ",
		real(rates, "events"), real(rates, "packets_in"), real(rates, "packets_out"));
	print_age(out, real(rates, "seconds"));
	fprintf(out, ")\n");
	json_array_foreach(json_object_get(o, "links"), i, link)
	{
		fprintf(out, "link    %s: %s ", str(link, "name"), str(link, "interface"));
		print_mark(out, yes(link, "up") ? "up" : "down", 0, yes(link, "up") ? 0 : 2,
			   colour);
		fprintf(out, ", MTU %lld, %lld peer%s, bulk %s, packets %lld in, %lld out\n",
			num(link, "mtu"), num(link, "peers"), num(link, "peers") == 1 ? "" : "s",
			str(link, "bulk"), num(link, "packets_in"), num(link, "packets_out"));
	}
}

static void print_check(FILE *out, const json_t *o, bool colour)
{
	static const char *const words[] = {"OK", "DEGRADED", "DOWN"};
	long long status = num(o, "status");
	int bad = status < 0 || status > 2 ? 2 : (int)status;

	print_mark(out, words[bad], 0, bad, colour);
	fprintf(out, ": %s\n", str(o, "why"));
}

static void print_doctor(FILE *out, const json_t *o, bool colour)
{
	const json_t *test;
	size_t i;

	json_array_foreach(json_object_get(o, "tests"), i, test)
	{
		print_mark(out, str(test, "result"), 5, badness_of(str(test, "result")), colour);
		fprintf(out, "%-24s ", str(test, "name"));
		if (json_object_get(test, "id"))
			fprintf(out, "%s: ", str(test, "id"));
		fprintf(out, "%s\n", str(test, "text"));
		if (json_object_get(test, "remedy"))
			fprintf(out, "%30sremedy: %s\n", "", str(test, "remedy"));
	}
}

/* ---- peers ----------------------------------------------------------------------------- */

static void print_peers(FILE *out, const json_t *o)
{
	const json_t *peers = json_object_get(o, "peers"), *p, *hostid;
	size_t i, n;

	if (!json_array_size(peers))
		fprintf(out, "no peer was heard yet\n");
	json_array_foreach(peers, i, p)
	{
		const char *dialect = json_string_value(json_object_get(p, "dialect"));

		fprintf(out, "%s on link %s\n", str(p, "address"), str(p, "link"));
		fprintf(out, "    dialect  %s, header version %lld",
			dialect ? dialect : "not learned yet", num(p, "version"));
		if (json_object_get(p, "icmp_keys"))
			fprintf(out, ", ICMP by %s",
				strcmp(str(p, "icmp_keys"), "id") ? "id and type" : "id");
		fputc('\n', out);
		fprintf(out, "    hostids ");
		json_array_foreach(json_object_get(p, "hostids"), n, hostid)
			fprintf(out, " %s", json_string_value(hostid));
		fprintf(out, "%s\n    heard    ", n ? "" : " none yet");
		print_age(out, real(p, "heard"));
		fprintf(out, " ago, known for ");
		print_age(out, real(p, "known"));
		fprintf(out, "\n    hears us ");
		if (json_is_null(json_object_get(p, "hears_us")))
			fprintf(out, "not known yet");
		else
			fprintf(out, yes(p, "hears_us") ? "yes" : "no");
		if (json_object_get(p, "answered")) {
			fprintf(out, ", answered ");
			print_age(out, real(p, "answered"));
			fprintf(out, " ago");
		}
		fprintf(out, "\n    in       %lld packets, %lld messages, %lld refused\n",
			num(p, "packets_in"), num(p, "messages_in"), num(p, "refused"));
		fprintf(out, "    out      %lld packets on the link, %lld messages behind\n",
			num(p, "packets_out"), num(p, "lag"));
		fprintf(out, "    bulk     %s\n", str(p, "bulk"));
		fprintf(out, "    states   %lld flows whole, %lld by one half\n",
			num(p, "states_whole"), num(p, "states_half"));
		fprintf(out, "    flows    %lld count for it\n", num(p, "flows"));
	}
}

/* ---- flows, notes ---------------------------------------------------------------------- */

static void print_proto(FILE *out, long long proto)
{
	const char *name = proto == PROTO_TCP	   ? "tcp"
			   : proto == PROTO_UDP	   ? "udp"
			   : proto == PROTO_ICMP   ? "icmp"
			   : proto == PROTO_ICMPV6 ? "icmpv6"
			   : proto == PROTO_SCTP   ? "sctp"
						   : NULL;

	if (name)
		fprintf(out, "%-6s", name);
	else
		fprintf(out, "%-6lld", proto);
}

static void print_endpoint(FILE *out, const json_t *tuple, const char *addr, const char *port)
{
	const char *s = str(tuple, addr);

	if (!json_object_get(tuple, port))
		fprintf(out, "%s", s);
	else
		fprintf(out, strchr(s, ':') ? "[%s]:%lld" : "%s:%lld", s, num(tuple, port));
}

static void print_tuple(FILE *out, const json_t *tuple)
{
	print_endpoint(out, tuple, "src", "sport");
	fprintf(out, " -> ");
	print_endpoint(out, tuple, "dst", "dport");
	if (json_object_get(tuple, "icmp_id"))
		fprintf(out, " id %lld type %lld", num(tuple, "icmp_id"), num(tuple, "icmp_type"));
}

static void print_flow(FILE *out, const json_t *o)
{
	const json_t *state;
	size_t i;

	print_proto(out, num(o, "proto"));
	fprintf(out, " ");
	print_tuple(out, json_object_get(o, "orig"));
	fprintf(out, "  reply ");
	print_tuple(out, json_object_get(o, "reply"));
	if (json_object_get(o, "tcp_state"))
		fprintf(out, "  %s", str(o, "tcp_state"));
	fprintf(out, "  %s%s%s  creator %s", str(o, "origin"), yes(o, "in_kernel") ? " kernel" : "",
		yes(o, "live") ? " live" : "", str(o, "creatorid"));
	json_array_foreach(json_object_get(o, "states"), i, state)
		fprintf(out, " %s %s%s%s", str(state, "direction"), str(state, "id"),
			json_object_get(state, "ifname") ? " on " : "",
			json_object_get(state, "ifname") ? str(state, "ifname") : "");
	if (yes(o, "waiting"))
		fprintf(out, "  waits for takeover");
	if (json_object_get(o, "reason"))
		fprintf(out, "  not installed: %s", str(o, "reason"));
	fprintf(out, "\n");
}

static void print_note(FILE *out, const json_t *o)
{
	static const char *const keys[] = {"link", "peer", "action", "reason", "id", "detail"};
	time_t when = (time_t)real(o, "time");
	char clock[32] = "";
	struct tm tm;

	if (localtime_r(&when, &tm))
		(void)strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	fprintf(out, "%s %-13s", clock, str(o, "event"));
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (json_object_get(o, keys[i]))
			fprintf(out, " %s", str(o, keys[i]));
	if (json_object_get(o, "orig")) {
		fprintf(out, "  ");
		print_proto(out, num(o, "proto"));
		fprintf(out, " ");
		print_tuple(out, json_object_get(o, "orig"));
		if (json_object_get(o, "reason")) { /* of a clash it is the answer's side */
			fprintf(out, "  reply ");
			print_tuple(out, json_object_get(o, "reply"));
		}
	}
	if (json_object_get(o, "text"))
		fprintf(out, "  (%s)", str(o, "text"));
	fprintf(out, "\n");
}

/* ---- counters -------------------------------------------------------------------------- */

static void print_counters(FILE *out, const json_t *o)
{
	static const char *const groups[] = {"counters", "refused"};

	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
		json_t *group = json_object_get(o, groups[g]);

		fprintf(out, "%s\n", groups[g]);
		for (void *i = json_object_iter(group); i; i = json_object_iter_next(group, i))
			fprintf(out, "    %-24s %lld\n", json_object_iter_key(i),
				(long long)json_integer_value(json_object_iter_value(i)));
	}
}

/* ---- the choice ------------------------------------------------------------------------ */

void ctl_text(FILE *out, const char *command, const json_t *object, bool colour)
{
	if (!strcmp(command, "status")) {
		print_status(out, object, colour);
	} else if (!strcmp(command, "check")) {
		print_check(out, object, colour);
	} else if (!strcmp(command, "doctor")) {
		print_doctor(out, object, colour);
	} else if (!strcmp(command, "peers")) {
		print_peers(out, object);
	} else if (!strcmp(command, "flows")) {
		print_flow(out, object);
	} else if (!strcmp(command, "monitor")) {
		print_note(out, object);
	} else if (!strcmp(command, "counters")) {
		print_counters(out, object);
	} else if (json_object_get(object, "text")) {
		fprintf(out, "%s\n", str(object, "text"));
	} else {
		(void)json_dumpf(object, out, JSON_COMPACT);
		fprintf(out, "\n");
	}
}
