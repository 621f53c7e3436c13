/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is it in sync, and if not: what is wrong and what is to be done about it. Everything that can be
 * found is one line of FINDINGS or one line of the table of refusals in health.c; check, status and
 * doctor say the same about it. What merely happened (a refusal, lost events) counts for
 * HEALTH_MINUTES, what is so counts for as long as it is so.
 */
#ifndef PFSYNC_HEALTH_H
#define PFSYNC_HEALTH_H

#include "control.h"

enum severity {
	SEVERITY_NOTICE,   /* worth knowing; check stays 0 */
	SEVERITY_DEGRADED, /* check 1 */
	SEVERITY_DOWN,	   /* check 2 */
};

/* name, id, severity, the test of doctor that it belongs to */
#define FINDINGS(X)                                                                                \
	X(NO_CAPABILITY, "capability", DOWN, "capabilities")                                       \
	X(EVENTS_OFF, "events-off", DEGRADED, "nf_conntrack_events")                               \
	X(EVENTS_LATE, "events-late", NOTICE, "nf_conntrack_events")                               \
	X(KERNEL_SILENT, "kernel-silent", DOWN, "conntrack netlink")                               \
	X(OVERRUN, "overrun", DEGRADED, "conntrack netlink")                                       \
	X(TABLE_FULL, "table-full", DEGRADED, "conntrack table")                                   \
	X(IMPORT_FULL, "import-full", DEGRADED, "conntrack table")                                 \
	X(NO_NAT_CHAIN, "no-nat-chain", DEGRADED, "nat chain")                                     \
	X(NO_QUEUE, "no-queue", DEGRADED, "defer")                                                 \
	X(NO_QUEUE_RULE, "no-queue-rule", DEGRADED, "defer")                                       \
	X(LINK_MISSING, "link-missing", DEGRADED, "interface")                                     \
	X(LINK_DOWN, "link-down", DEGRADED, "interface")                                           \
	X(MTU_TINY, "mtu-tiny", DEGRADED, "mtu")                                                   \
	X(MTU_NARROW, "mtu", DEGRADED, "mtu")                                                      \
	X(NOT_JOINED, "not-joined", DEGRADED, "multicast")                                         \
	X(NO_NEIGHBOUR, "no-neighbour", DEGRADED, "neighbour")                                     \
	X(UNREACHABLE, "unreachable", DEGRADED, "neighbour")                                       \
	X(PACKETS_LOST, "packets-lost", DEGRADED, "packet filter")                                 \
	X(FILTERED, "filtered", DEGRADED, "packet filter")                                         \
	X(NOT_SENT, "not-sent", DEGRADED, "packet filter")                                         \
	X(HOSTID_CLASH, "hostid-clash", DEGRADED, "hostid")                                        \
	X(DIALECT, "dialect", DEGRADED, "dialect")                                                 \
	X(NEVER_HEARD, "never-heard", DEGRADED, "peers")                                           \
	X(SILENT, "peer-silent", DEGRADED, "peers")                                                \
	X(ONE_WAY, "one-way", DEGRADED, "peers")                                                   \
	X(BULK_FAILED, "bulk-failed", DEGRADED, "bulk update")                                     \
	X(BULK_RUNNING, "bulk-running", DEGRADED, "bulk update")                                   \
	X(NEVER_SYNCED, "never-synced", DEGRADED, "bulk update")                                   \
	X(HALVES, "halves-withheld", DEGRADED, "halves")                                           \
	X(NOT_INSTALLED, "not-installed", DEGRADED, "imported flows")                              \
	X(IFNAME, "interface-names", NOTICE, "interface names")                                    \
	X(REFUSED, "refused", NOTICE, "refusals") /* id, severity, test: by reason */

enum finding_kind {
#define X(name, id, severity, test) FINDING_##name,
	FINDINGS(X)
#undef X
		FINDING_COUNT
};

enum { FINDINGS_MAX = 48, HEALTH_MINUTES = 5, HEALTH_SLOTS = 30, FINDING_ID_MAX = 40 };

struct finding {
	enum finding_kind kind;
	char id[FINDING_ID_MAX];
	enum severity severity;
	const char *test;
	int link; /* -1: of none */
	struct text text;
	const char *remedy;
};

struct health {
	struct finding finding[FINDINGS_MAX]; /* causes first */
	size_t count;
	int status; /* the exit status of check */
	struct engine_totals
		totals; /* to count them takes a walk through the table: once is enough */
};

/* What health_look() compares with: how it was a few minutes ago. */
struct health_sample {
	struct counters counters;
	struct {
		uint64_t packets, frames, unreachable, lost;
	} link[ENGINE_LINKS_MAX];
	uint64_t at;
};

struct health_history {
	struct health_sample slot[HEALTH_SLOTS];
	unsigned used;
};

/* To be called about once a second; of facts only what is counted is looked at. */
void health_remember(struct health_history *h, const struct control_env *env,
		     const struct host_facts *facts);

/* All that is wrong; to be freed. facts: NULL if nothing is known of the host. */
void health_look(struct health *h, const struct control_env *env, const struct host_facts *facts);
void health_free(struct health *h);

/* How the counters were HEALTH_MINUTES ago, or at the start; its time in at. */
const struct health_sample *health_before(const struct control_env *env);

/* One line: findings with their remedies, or that all is well. */
void health_why(const struct health *h, const struct control_env *env, struct text *why);

/*
 * What to tell keepalived, as pf demotes carp: 0, or HEALTH_DEMOTION while a sync link is down or
 * the first bulk update since it is up has neither come nor failed to come.
 */
enum { HEALTH_DEMOTION = 240 };
int health_demotion(const struct engine *e);

#endif
