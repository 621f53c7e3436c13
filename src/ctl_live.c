/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "ctl_live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl_daemon.h"

struct ctl_live {
	const char *socket;
	json_t *before; /* the counters as they were last */
	double asked;
};

static double seconds_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "-";
}

static double num(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

/* ---- parts ----------------------------------------------------------------------------- */

static void add_health(FILE *out, const json_t *status)
{
	const json_t *f;
	size_t i;

	fprintf(out, "#pfsync-linux %s  hostid %s  up %.0f s  health %s\n", str(status, "version"),
		str(status, "hostid"), num(status, "uptime"), str(status, "health"));
	json_array_foreach(json_object_get(status, "findings"), i, f)
		fprintf(out, "!%-22s %s\n", str(f, "id"), str(f, "text"));
	if (!i)
		fprintf(out, "+%s\n", str(status, "why"));
}

static void add_flows(FILE *out, const json_t *status)
{
	const json_t *flows = json_object_get(status, "flows"), *by;
	const char *proto;

	fprintf(out, " \n#%-10s %12s %12s %12s\n", "FLOWS", "LOCAL", "REMOTE", "ALL");
	json_object_foreach((json_t *)json_object_get(flows, "by_protocol"), proto, by)
		fprintf(out, " %-10s %12.0f %12.0f %12.0f\n", proto, num(by, "local"),
			num(by, "remote"), num(by, "local") + num(by, "remote"));
	fprintf(out, " %-10s %12.0f %12.0f %12.0f\n", "all", num(flows, "local"),
		num(flows, "remote"), num(flows, "total"));
	fprintf(out, " %.0f in the kernel, %.0f live here, %.0f messages wait to be sent\n",
		num(flows, "in_kernel"), num(flows, "live"), num(status, "queued"));
}

static void add_rates(FILE *out, const json_t *now, const json_t *before, double seconds)
{
	static const char *const shown[][2] = {
		{"packets-in", "packets-out"}, {"bytes-in", "bytes-out"}, {"ins-in", "ins-out"},
		{"upd-c-in", "upd-c-out"},     {"upd-in", "upd-out"},	  {"del-in", "del-c-out"},
	};
	static const char *const names[] = {"packets", "bytes",	       "inserts",
					    "updates", "full updates", "deletions"};
	double refused = 0, refused_before = 0;
	const char *key;
	const json_t *v;

	fprintf(out, " \n#%-12s %12s %12s\n", "PER SECOND", "IN", "OUT");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		double rate[2] = {0, 0};

		for (int d = 0; d < 2 && seconds > 0; d++)
			rate[d] = (num(json_object_get(now, "counters"), shown[i][d]) -
				   num(json_object_get(before, "counters"), shown[i][d])) /
				  seconds;
		fprintf(out, " %-12s %12.1f %12.1f\n", names[i], rate[0], rate[1]);
	}
	json_object_foreach((json_t *)json_object_get(now, "refused"), key, v)
		refused += json_number_value(v);
	json_object_foreach((json_t *)json_object_get(before, "refused"), key, v)
		refused_before += json_number_value(v);
	fprintf(out, " %-12s %12.1f\n", "refused",
		seconds > 0 ? (refused - refused_before) / seconds : 0.0);
}

static void add_peers(FILE *out, const json_t *peers)
{
	const json_t *p;
	size_t i;

	fprintf(out, " \n#%-28s %-10s %-8s %7s %6s %12s %10s %6s\n", "PEER", "DIALECT", "BULK",
		"HEARD", "HEARS", "MESSAGES IN", "REFUSED", "LAG");
	json_array_foreach(json_object_get(peers, "peers"), i, p)
	{
		const json_t *hears = json_object_get(p, "hears_us");

		fprintf(out, "%c%-28s %-10s %-8s %5.0f s %6s %12.0f %10.0f %6.0f\n",
			json_is_false(hears) ? LIVE_BAD : LIVE_PLAIN, str(p, "address"),
			str(p, "dialect"), str(p, "bulk"), num(p, "heard"),
			json_is_null(hears)   ? "?"
			: json_is_true(hears) ? "yes"
					      : "no",
			num(p, "messages_in"), num(p, "refused"), num(p, "lag"));
	}
	if (!i)
		fprintf(out, "!none was heard yet\n");
}

/* ---- the whole ------------------------------------------------------------------------- */

struct ctl_live *ctl_live_new(const char *socket)
{
	struct ctl_live *l = calloc(1, sizeof(*l));

	if (l)
		l->socket = socket;
	return l;
}

void ctl_live_free(struct ctl_live *l)
{
	if (!l)
		return;
	json_decref(l->before);
	free(l);
}

void ctl_live_lines(struct ctl_live *l, FILE *out)
{
	json_t *status = ctl_object(l->socket, "status");
	int err = errno;
	json_t *peers = ctl_object(l->socket, "peers"),
	       *counters = ctl_object(l->socket, "counters");
	double now = seconds_now();

	if (status && peers && counters) {
		/* a daemon that was restarted counts from 0 again */
		bool anew = !l->before ||
			    num(json_object_get(counters, "counters"), "packets-out") <
				    num(json_object_get(l->before, "counters"), "packets-out");

		add_health(out, status);
		add_flows(out, status);
		add_rates(out, counters, l->before, anew ? 0 : now - l->asked);
		add_peers(out, peers);
	} else {
		fprintf(out, "#pfsync-linux\n!%s: %s; trying again\n", l->socket,
			status ? "the daemon broke off its answer" : strerror(err));
	}
	json_decref(l->before);
	l->before = json_incref(counters);
	l->asked = now;
	json_decref(status);
	json_decref(peers);
	json_decref(counters);
}
