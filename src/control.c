/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests of the control socket: read, dispatched, answered. */
#include "control_view.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { ARGS_MAX = 16, CHUNK = 64 << 10, STEPS_MAX = 20000 };

struct control_stream {
	uint64_t cursor;
	json_t *request; /* owns the words */
	const char *words[ARGS_MAX];
	size_t count;
};

struct command {
	const char *name;
	const char *payload;
	void (*view)(const struct control_env *env, struct text *out);
};

static void refuse(struct text *out, const char *error)
{
	text_add(out, "{\"ok\":false,\"error\":");
	text_add_json(out, error, strlen(error));
	text_add(out, "}\n");
}

/* ---- commands -------------------------------------------------------------------------- */

static void do_config(const struct control_env *env, struct text *out)
{
	settings_print(env->settings, out);
}

static void do_resync(const struct control_env *env, struct text *out)
{
	env->resync(env->ctx);
	text_add(out, "{\"text\":\"asked the peers for a bulk update, reading the kernel table\"}");
}

static void do_takeover(const struct control_env *env, struct text *out)
{
	size_t n = env->takeover(env->ctx);

	if (env->settings->commit == COMMIT_DIRECT)
		text_add(out, "{\"flows\":0,\"text\":\"nothing waits: commit is direct\"}");
	else
		text_add(out, "{\"flows\":%zu,\"text\":\"%zu flows are being installed\"}", n, n);
}

static void do_flush(const struct control_env *env, struct text *out)
{
	size_t n = env->flush(env->ctx);

	text_add(out, "{\"flows\":%zu,\"text\":\"%zu imported flows %s\"}", n, n,
		 env->settings->commit == COMMIT_DIRECT
			 ? "were forgotten"
			 : "were withdrawn from the kernel and wait");
}

static const struct command commands[] = {
	{"status", "object", view_status},
	{"peers", "object", view_peers},
	{"flows", "lines", NULL},
	{"counters", "object", view_counters},
	{"metrics", "text", view_metrics},
	{"config", "text", do_config},
	{"monitor", "lines", NULL},
	{"resync", "object", do_resync},
	{"takeover", "object", do_takeover},
	{"flush", "object", do_flush},
	{"check", "object", view_check},
	{"doctor", "object", view_doctor},
};

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* ---- streams --------------------------------------------------------------------------- */

static struct control_stream *stream_new(json_t *request, json_t *args)
{
	struct control_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->request = json_incref(request);
	for (; s->count < json_array_size(args); s->count++)
		s->words[s->count] = json_string_value(json_array_get(args, s->count));
	return s;
}

bool control_stream_next(struct control_stream *s, const struct control_env *env, struct text *out)
{
	size_t begin = out->len;
	struct flow_view f;

	/* Steps are bounded too: a filter may leave nothing to send for long. */
	for (unsigned step = 0; step < STEPS_MAX && out->len - begin < CHUNK; step++) {
		if (out->failed || !engine_flow_next(env->engine, &s->cursor, &f, env->now))
			return false;
		if (!filter_matches(&f, s->words, s->count))
			continue;
		view_flow(&f, env->settings, env->hostid, out);
		text_add(out, "\n");
	}
	return true;
}

void control_stream_free(struct control_stream *s)
{
	if (!s)
		return;
	json_decref(s->request);
	free(s);
}

/* ---- requests -------------------------------------------------------------------------- */

static const char *args_fault(const struct command *c, const json_t *args)
{
	bool flows = !strcmp(c->name, "flows");

	if (args && !json_is_array(args))
		return "args is no array";
	if (json_array_size(args) && !flows)
		return "this command takes no arguments";
	if (json_array_size(args) > ARGS_MAX)
		return "too many words in the filter; there can be 16";
	for (size_t i = 0; i < json_array_size(args); i++)
		if (!json_is_string(json_array_get(args, i)))
			return "a word of the filter is no string";
	return NULL;
}

static enum control_result answer(const struct control_env *env, json_t *request, struct text *out,
				  struct control_stream **stream)
{
	const char *name = json_string_value(json_object_get(request, "command"));
	json_t *args = json_object_get(request, "args");
	const struct command *c = name ? command_find(name) : NULL;
	const char *fault = c ? args_fault(c, args) : "unknown command; pfsyncctl -h lists them";

	if (!fault && !strcmp(c->name, "flows")) {
		*stream = stream_new(request, args);
		if (!*stream)
			fault = "out of memory";
	}
	if (fault) {
		refuse(out, fault);
		return CONTROL_DONE;
	}
	text_add(out, "{\"ok\":true,\"payload\":\"%s\"}\n", c->payload);
	if (!c->view)
		return *stream ? CONTROL_STREAM : CONTROL_MONITOR;
	c->view(env, out);
	if (strcmp(c->payload, "text") != 0)
		text_add(out, "\n");
	return CONTROL_DONE;
}

enum control_result control_request(const struct control_env *env, const char *line, size_t len,
				    struct text *out, struct control_stream **stream)
{
	enum control_result result = CONTROL_DONE;
	json_error_t error;
	json_t *request = len <= CONTROL_REQUEST_MAX ? json_loadb(line, len, 0, &error) : NULL;

	*stream = NULL;
	if (!request)
		refuse(out, "the request is no JSON object on one line");
	else
		result = answer(env, request, out, stream);
	json_decref(request);
	return result;
}
