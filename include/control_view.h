/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the control commands show: parts of control.c's answers, each without a newline. */
#ifndef PFSYNC_CONTROL_VIEW_H
#define PFSYNC_CONTROL_VIEW_H

#include "health.h"

/* ---- health: control_health.c, control_doctor.c */

/* As health_look(), with what the host says. */
void view_look(const struct control_env *env, struct host_facts *facts, struct health *h);
/* "findings":[...] */
void view_findings(const struct control_env *env, const struct health *h, struct text *out);
void view_check(const struct control_env *env, struct text *out);
void view_doctor(const struct control_env *env, struct text *out);

/* ---- tables: control_view.c */

extern const char *const view_protos[TOTALS_PROTOS];
void view_status(const struct control_env *env, struct text *out);
void view_peers(const struct control_env *env, struct text *out);
void view_counters(const struct control_env *env, struct text *out);
void view_flow(const struct flow_view *f, const struct settings *s, uint32_t hostid,
	       struct text *out);

/* ---- OpenMetrics: control_metrics.c */

/* Complete text with its # EOF line. */
void view_metrics(const struct control_env *env, struct text *out);

/* ---- filter of flows: control_filter.c */

/*
 * True if every word matches: local or remote, a protocol's name, a port, an address or prefix,
 * or a part of the addresses, the TCP state or an id.
 */
bool filter_matches(const struct flow_view *f, const char *const *words, size_t count);

#endif
