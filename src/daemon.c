/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon as a whole: ordered start, what the adapters tell handed to the engine, what the
 * engine wants done by the adapters, reload, reverse stop. The one context of the process lives
 * on the stack of daemon_run().
 */
#include "config.h"

#include "daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "caps.h"
#include "daemon_internal.h"
#include "natchain.h"
#include "notify.h"
#include "sysctl.h"

#define MACHINE_ID "/etc/machine-id"

enum { LOOK_NS = 1000 * 1000 * 1000, LOOKS_PRESSURE = 5, LOOKS_HOST = 30, LOOKS_STATUS = 30 };
enum { NS_PER_MS = 1000 * 1000, REST_MS_MAX = 20 };

/* ---- the host -------------------------------------------------------------------------- */

/*
 * Entries made while nf_conntrack_events is 2 and nobody listened never make an event, nor do any
 * while it is 0. Somebody may change it while we run.
 */
static void check_events(struct daemon *d)
{
	static const char name[] = "net/netfilter/nf_conntrack_events";
	int64_t value;

	if (sysctl_read(name, &value))
		return;
	if (value == 1) {
		d->events_refused = 1;
		return;
	}
	if (!sysctl_write(name, 1)) {
		log_say(&d->log, LOG_LEVEL_NOTICE,
			"set net.netfilter.nf_conntrack_events to 1, it was %" PRId64, value);
		return;
	}
	if (value == d->events_refused) /* said already */
		return;
	d->events_refused = value;
	log_say(&d->log, value ? LOG_LEVEL_WARNING : LOG_LEVEL_ERR,
		"net.netfilter.nf_conntrack_events is %" PRId64 " and cannot be changed from here: "
		"%s; set it to 1",
		value,
		value ? "entries made before the daemon started tell nothing of their life"
		      : "no connection tells of its life, and peers hear of it minutes late");
}

static void check_nat(struct daemon *d, bool say)
{
	int chain = natchain_present();

	if (chain < 0)
		return;
	engine_on_nat_chain(d->engine, chain);
	if (!chain && say)
		log_say(&d->log, LOG_LEVEL_NOTICE,
			"there is no nat base chain here: translated flows of a peer could not be "
			"carried on. An empty chain of type nat is enough");
}

static void check_timeouts(struct daemon *d)
{
	struct kernel_timeouts t;

	ctnl_timeouts(&t);
	engine_on_timeouts(d->engine, &t);
}

/* Once a second or so: what nothing tells us of. */
static void look(struct daemon *d)
{
	uint64_t now = loop_now(d->loop);
	uint32_t count, max;

	if (now < d->look_at)
		return;
	d->look_at = now + LOOK_NS;
	if (d->looks % LOOKS_PRESSURE == 0 && !ctnl_pressure(&count, &max))
		engine_on_pressure(d->engine, count, max);
	if (d->looks % LOOKS_HOST == 0) {
		check_nat(d, d->looks == 0);
		check_events(d);
		check_timeouts(d);
		daemon_defer(d);
	}
	if (d->news || d->looks % LOOKS_STATUS == 0)
		daemon_tell_status(d);
	d->looks++;
	daemon_health(d);
	ctlsock_tick(d->control);
	log_tick(&d->log, now);
}

/* From the loop itself: a loop that hangs is silent. */
static void stay_alive(struct daemon *d)
{
	uint64_t now = loop_now(d->loop);

	if (now < d->alive_at)
		return;
	notify_alive();
	d->alive_at = now + d->alive_every;
}

/*
 * Under load a wake-up costs more than the few events that it brings. An eighth of what a change
 * waits for company in a packet is waited before the next look, so that there are more of them;
 * what comes to a daemon at rest is taken at once.
 */
static void rest(struct daemon *d, uint64_t next)
{
	uint64_t ms = UINT64_MAX, until;

	for (size_t i = 0; i < d->settings->syncs; i++)
		if (d->settings->sync[i].flush_ms < ms)
			ms = d->settings->sync[i].flush_ms;
	if (ms > REST_MS_MAX)
		ms = REST_MS_MAX;
	until = loop_now(d->loop) + ms * NS_PER_MS / 8;
	if (!d->unread && d->up)
		loop_rest(d->loop, next < until ? next : until);
	d->unread = false;
}

static void hook(void *ctx)
{
	struct daemon *d = ctx;
	uint64_t next;

	look(d);
	stay_alive(d);
	if (d->dump_failed) {
		d->dump_failed = false;
		engine_on_dump_end(d->engine, false, loop_now(d->loop));
	}
	next = engine_run(d->engine, loop_now(d->loop));
	daemon_flush(d);
	engine_on_packets_lost(d->engine, d->unsent, 0);
	d->unsent = 0;
	if (next > d->look_at)
		next = d->look_at;
	if (next > d->alive_at)
		next = d->alive_at;
	loop_set_timer(d->loop, next);
	rest(d, next);
}

/* ---- start ----------------------------------------------------------------------------- */

static int start_settings(struct daemon *d)
{
	char error[SETTINGS_ERROR_MAX];
	int r = settings_read(&d->settings, d->file, error, sizeof(error));

	if (r) {
		log_say(&d->log, LOG_LEVEL_ERR, "%s", error);
		return r;
	}
	r = settings_hostid(d->settings, MACHINE_ID, &d->hostid);
	if (r)
		log_say(&d->log, LOG_LEVEL_ERR,
			"hostid = \"auto\" needs a machine id in " MACHINE_ID
			" (%s); set hostid to "
			"a number of your own",
			strerror(-r));
	return r;
}

static int start_caps(struct daemon *d)
{
	const char *missing = NULL;
	int r = caps_drop(&missing);

	if (r && missing)
		log_say(&d->log, LOG_LEVEL_ERR,
			"%s is missing: run as root, or give it to the service's user", missing);
	else if (r)
		log_say(&d->log, LOG_LEVEL_ERR, "giving up privileges: %s", strerror(-r));
	return r;
}

static int start_control(struct daemon *d)
{
	const struct settings *s = d->settings;
	int r = ctlsock_open(&d->control, d->loop, s->socket, s->group, &daemon_ctlsock, d);

	if (r == -EADDRINUSE)
		log_say(&d->log, LOG_LEVEL_ERR,
			"%s: another daemon is running and answers there; stop it first",
			s->socket);
	else if (r == -ENOENT && s->group[0])
		log_say(&d->log, LOG_LEVEL_ERR,
			"control socket %s: its folder or the group %s does not exist", s->socket,
			s->group);
	else if (r == -EPERM && s->group[0])
		log_say(&d->log, LOG_LEVEL_ERR,
			"control socket %s: it cannot be given to the group %s; without root, its "
			"folder must belong to that group and have the setgid bit",
			s->socket, s->group);
	else if (r)
		log_say(&d->log, LOG_LEVEL_ERR, "control socket %s: %s", s->socket, strerror(-r));
	return r;
}

static int start_engine(struct daemon *d)
{
	struct engine_ops ops = daemon_ops;
	struct engine_config config;

	if (getrandom(d->key, sizeof(d->key), 0) != (ssize_t)sizeof(d->key)) {
		log_say(&d->log, LOG_LEVEL_ERR, "no random numbers: %s", strerror(errno));
		return -EIO;
	}
	if (!d->settings->interfaces)
		ops.interfaces = NULL;
	settings_engine(d->settings, d->hostid, d->key, &config);
	d->started = loop_now(d->loop);
	d->engine = engine_new(&config, &ops, d, d->started);
	if (!d->engine) {
		log_say(&d->log, LOG_LEVEL_ERR, "out of memory");
		return -ENOMEM;
	}
	return 0;
}

static int start_kernel(struct daemon *d)
{
	const struct settings *s = d->settings;
	struct ctnl_scope scope = {
		.zone = (uint16_t)s->zone, .mark = s->mark, .mark_mask = s->mark_mask};
	int r;

	check_events(d);
	r = ctnl_open(&d->ctnl, &scope, s->receive_buffer, &daemon_ctnl, d);
	if (!r)
		r = loop_add_fd(d->loop, ctnl_event_fd(d->ctnl), daemon_events_readable, d,
				&d->event_watch);
	if (!r)
		r = loop_add_fd(d->loop, ctnl_dump_fd(d->ctnl), daemon_dump_readable, d,
				&d->dump_watch);
	if (r)
		log_say(&d->log, LOG_LEVEL_ERR, "conntrack netlink: %s", strerror(-r));
	return r;
}

static int start_links(struct daemon *d)
{
	int r;

	for (size_t i = 0; i < d->settings->syncs; i++) {
		struct daemon_link *l = &d->link[i];

		l->d = d;
		l->number = (unsigned)i;
		r = sync_socket_open(&l->sock, &d->settings->sync[i].peer, daemon_on_packet, l);
		if (!r)
			r = loop_add_fd(d->loop, sync_socket_fd(l->sock), daemon_link_readable, l,
					&l->watch);
		if (r) {
			log_say(&d->log, LOG_LEVEL_ERR, "sync %s: raw socket: %s",
				d->settings->sync[i].name, strerror(-r));
			return r;
		}
	}
	r = netif_open(&d->netif, daemon_on_netif,
		       d->settings->interfaces ? daemon_on_routes : NULL, d);
	if (!r)
		r = loop_add_fd(d->loop, netif_fd(d->netif), daemon_netif_readable, d,
				&d->netif_watch);
	if (r) {
		log_say(&d->log, LOG_LEVEL_ERR, "route netlink: %s", strerror(-r));
		return r;
	}
	daemon_on_netif(d);
	for (size_t i = 0; i < d->settings->syncs; i++)
		if (!d->link[i].index)
			log_say(&d->log, LOG_LEVEL_WARNING,
				"sync %s: interface %s is not there; waiting for it",
				d->settings->sync[i].name, d->settings->sync[i].interface);
	return 0;
}

static int start_signals(struct daemon *d)
{
	int r = loop_add_signal(d->loop, SIGTERM, daemon_on_end, d);

	if (!r)
		r = loop_add_signal(d->loop, SIGINT, daemon_on_end, d);
	if (!r)
		r = loop_add_signal(d->loop, SIGHUP, daemon_on_reload, d);
	if (r)
		log_say(&d->log, LOG_LEVEL_ERR, "signals: %s", strerror(-r));
	return r;
}

/* In the order of dependence: what comes later may use what came before. */
static int start(struct daemon *d)
{
	int r = start_settings(d);

	if (!r) {
		r = loop_new(&d->loop);
		if (r)
			log_say(&d->log, LOG_LEVEL_ERR, "event loop: %s", strerror(-r));
	}
	if (!r)
		r = start_control(
			d); /* before start_caps(): giving the socket to a group needs more */
	if (!r)
		r = start_caps(d);
	if (!r)
		r = start_engine(d);
	if (!r)
		r = start_kernel(d);
	if (!r)
		r = start_links(d);
	if (!r)
		r = start_signals(d);
	return r;
}

static void stop(struct daemon *d)
{
	if (d->engine && d->ctnl && d->netif)
		engine_finish(d->engine, loop_now(d->loop));
	daemon_defer_stop(d);
	if (d->engine) /* who does not run is not in sync */
		daemon_demote(d, HEALTH_DEMOTION);
	loop_remove_fd(d->netif_watch);
	netif_close(d->netif);
	for (size_t i = 0; i < ENGINE_LINKS_MAX; i++) {
		daemon_tap(&d->link[i], 0);
		loop_remove_fd(d->link[i].watch);
		sync_socket_close(d->link[i].sock);
	}
	loop_remove_fd(d->event_watch);
	loop_remove_fd(d->dump_watch);
	ctnl_close(d->ctnl);
	ctlsock_close(d->control);
	engine_free(d->engine);
	loop_free(d->loop);
	settings_free(d->settings);
	text_free(&d->line);
	text_free(&d->told);
	log_close(&d->log);
}

/* Whoever started us may go on: nothing falls between what we have seen and what is to come. */
void daemon_up(struct daemon *d)
{
	d->up = true;
	if (!d->foreground) {
		log_close(&d->log);
		log_open(&d->log, "pfsync-linux", false, LOG_LEVEL_INFO);
	}
	if (d->ready >= 0 && write(d->ready, "", 1) != 1)
		log_say(&d->log, LOG_LEVEL_WARNING, "nobody waits for the start any more");
	notify_ready();
	log_say(&d->log, LOG_LEVEL_NOTICE, "pfsync-linux %s is up, hostid %08x", PACKAGE_VERSION,
		d->hostid);
}

int daemon_run(const char *file, bool foreground, int ready)
{
	struct daemon d = {.file = file,
			   .foreground = foreground,
			   .ready = ready,
			   .events_refused = 1,
			   .demotion = DEMOTION_UNKNOWN,
			   .status = EXIT_FAILURE};

	for (size_t i = 0; i < ENGINE_LINKS_MAX; i++)
		d.link[i].tap[0] = d.link[i].tap[1] = -1;
	/* until everything is up, whoever started us sees what is wrong */
	log_open(&d.log, "pfsync-linux", true, LOG_LEVEL_INFO);
	d.alive_every = notify_alive_every();
	d.alive_at = d.alive_every ? 0 : UINT64_MAX;
	if (!start(&d)) {
		d.status = EXIT_SUCCESS;
		loop_set_hook(d.loop, hook, &d);
		if (loop_run(d.loop))
			d.status = EXIT_FAILURE;
		notify_stopping();
	}
	if (ready >= 0)
		close(ready);
	stop(&d);
	return d.status;
}
