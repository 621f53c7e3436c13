/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What check says, and findings as JSON. */
#include "control_view.h"

#include <string.h>

void view_look(const struct control_env *env, struct host_facts *facts, struct health *h)
{
	memset(facts, 0xff, sizeof(*facts)); /* all -1 */
	facts->own = NULL;
	facts->owns = 0;
	facts->defer_queue = 0;
	facts->defer_plain = false;
	for (int i = 0; i < ENGINE_LINKS_MAX; i++)
		facts->link[i] = (struct link_facts){.joined = -1, .neighbour = -1};
	if (env->facts)
		env->facts(env->ctx, facts);
	health_look(h, env, facts);
}

static void add_string(struct text *t, const char *key, const char *value)
{
	text_add(t, "\"%s\":", key);
	text_add_json(t, value, strlen(value));
}

void view_findings(const struct control_env *env, const struct health *h, struct text *out)
{
	static const char *const names[] = {[SEVERITY_NOTICE] = "notice",
					    [SEVERITY_DEGRADED] = "degraded",
					    [SEVERITY_DOWN] = "down"};

	text_add(out, "\"findings\":[");
	for (size_t i = 0; i < h->count; i++) {
		const struct finding *f = &h->finding[i];

		text_add(out, "%s{", i ? "," : "");
		add_string(out, "id", f->id);
		text_add(out, ",\"severity\":\"%s\",", names[f->severity]);
		if (f->link >= 0) {
			add_string(out, "link", env->settings->sync[f->link].name);
			text_add(out, ",");
		}
		add_string(out, "text", f->text.s ? f->text.s : "");
		text_add(out, ",");
		add_string(out, "remedy", f->remedy);
		text_add(out, "}");
	}
	text_add(out, "]");
}

void view_check(const struct control_env *env, struct text *out)
{
	struct host_facts facts;
	struct text why = {0};
	struct health h;

	view_look(env, &facts, &h);
	health_why(&h, env, &why);
	text_add(out, "{\"status\":%d,", h.status);
	add_string(out, "why", why.s ? why.s : "");
	text_add(out, ",");
	view_findings(env, &h, out);
	text_add(out, "}");
	text_free(&why);
	health_free(&h);
}
