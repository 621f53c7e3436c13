/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests of pfsyncctl, signals, reload. */
#include "config.h"

#include "daemon_internal.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control_view.h"
#include "notify.h"

double daemon_wall_clock(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- control --------------------------------------------------------------------------- */

static void do_resync(void *ctx)
{
	struct daemon *d = ctx;

	engine_resync(d->engine, loop_now(d->loop));
}

static size_t do_takeover(void *ctx)
{
	struct daemon *d = ctx;

	return engine_takeover(d->engine, loop_now(d->loop));
}

static size_t do_flush(void *ctx)
{
	struct daemon *d = ctx;

	return engine_flush(d->engine, loop_now(d->loop));
}

void daemon_env(struct daemon *d, struct control_env *env)
{
	*env = (struct control_env){
		.engine = d->engine,
		.settings = d->settings,
		.version = PACKAGE_VERSION,
		.hostid = d->hostid,
		.started = d->started,
		.now = loop_now(d->loop),
		.wall = daemon_wall_clock(),
		.ctx = d,
		.resync = do_resync,
		.takeover = do_takeover,
		.flush = do_flush,
		.facts = daemon_facts,
		.history = &d->history,
	};
}

static enum control_result on_request(void *ctx, const char *line, size_t len, struct text *out,
				      struct control_stream **stream)
{
	struct control_env env;

	daemon_env(ctx, &env);
	return control_request(&env, line, len, out, stream);
}

static bool on_stream(void *ctx, struct control_stream *stream, struct text *out)
{
	struct control_env env;

	daemon_env(ctx, &env);
	return control_stream_next(stream, &env, out);
}

const struct ctlsock_handler daemon_ctlsock = {.request = on_request, .next = on_stream};

/* As `pfsyncctl check`; what was told already is not told again. */
void daemon_tell_status(struct daemon *d)
{
	struct host_facts facts;
	struct control_env env;
	struct text line = {0};
	struct health h;

	d->news = false;
	if (!notify_wanted())
		return;
	daemon_env(d, &env);
	view_look(&env, &facts, &h);
	health_why(&h, &env, &line);
	health_free(&h);
	if (line.failed || !line.s || (d->told.s && !strcmp(line.s, d->told.s))) {
		text_free(&line);
		return;
	}
	notify_status(line.s);
	text_free(&d->told);
	d->told = line;
}

/* ---- signals --------------------------------------------------------------------------- */

void daemon_on_end(void *ctx, int number)
{
	struct daemon *d = ctx;

	log_say(&d->log, LOG_LEVEL_NOTICE,
		"ending on signal %d; kernel entries and the peers' states stay", number);
	loop_quit(d->loop);
}

/* What only a restart can change: the links themselves, the hostid, the control socket. */
static const char *fixed_difference(const struct settings *a, const struct settings *b)
{
	if (a->syncs != b->syncs)
		return "the number of sync sections";
	for (size_t i = 0; i < a->syncs; i++)
		if (strcmp(a->sync[i].name, b->sync[i].name) ||
		    strcmp(a->sync[i].interface, b->sync[i].interface) ||
		    !settings_same_peers(&a->sync[i], &b->sync[i]))
			return "name, interface or peer of a sync section";
	if (a->hostid != b->hostid)
		return "hostid";
	if (strcmp(a->socket, b->socket) || strcmp(a->group, b->group))
		return "the control socket";
	if (!a->interfaces != !b->interfaces)
		return "the first or last interface section";
	if (a->zone != b->zone || a->receive_buffer != b->receive_buffer)
		return "conntrack.zone or conntrack.receive-buffer";
	return NULL;
}

/* All or nothing: a file that is wrong, or asks for what needs a restart, changes nothing. */
static void reload(struct daemon *d)
{
	struct engine_config config;
	char error[SETTINGS_ERROR_MAX];
	struct settings *s, *old = d->settings;
	const char *fixed;

	if (settings_read(&s, d->file, error, sizeof(error))) {
		log_say(&d->log, LOG_LEVEL_ERR, "%s", error);
		log_say(&d->log, LOG_LEVEL_ERR, "the old configuration stays in force");
		return;
	}
	fixed = fixed_difference(old, s);
	if (fixed) {
		log_say(&d->log, LOG_LEVEL_ERR,
			"%s: %s cannot change by a reload, restart for that; the old "
			"configuration stays in force",
			d->file, fixed);
		settings_free(s);
		return;
	}
	settings_engine(s, d->hostid, d->key, &config);
	d->settings = s;
	engine_reload(d->engine, &config, loop_now(d->loop));
	daemon_defer(d);
	ctnl_set_mark(d->ctnl, s->mark, s->mark_mask);
	if (*old->demotion_file && strcmp(old->demotion_file, s->demotion_file) != 0)
		(void)unlink(old->demotion_file);
	d->demotion = DEMOTION_UNKNOWN;
	daemon_on_netif(d); /* of two peers that are named, which is this host */
	settings_free(old);
	log_say(&d->log, LOG_LEVEL_NOTICE, "%s: read again and in force", d->file);
}

void daemon_on_reload(void *ctx, int number)
{
	struct daemon *d = ctx;

	(void)number;
	if (!d->up) {
		reload(d);
		return;
	}
	notify_reloading();
	reload(d);
	notify_ready();
}
