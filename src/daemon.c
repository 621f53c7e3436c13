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
#include "control.h"
#include "ctlsock.h"
#include "ctnl.h"
#include "log.h"
#include "loop.h"
#include "natchain.h"
#include "netif.h"
#include "notes.h"
#include "settings.h"
#include "sync_socket.h"
#include "sysctl.h"

#define MACHINE_ID "/etc/machine-id"

enum { LOOK_NS = 1000 * 1000 * 1000, LOOKS_PRESSURE = 5, LOOKS_NAT = 30 };

struct daemon;

struct daemon_link {
	struct daemon *d;
	unsigned number;
	struct sync_socket *sock;
	struct loop_fd *watch;
	unsigned index; /* of the interface it is attached to; 0 none */
	bool up;
};

struct daemon {
	const char *file;
	struct log log;
	struct settings *settings;
	uint32_t hostid;
	uint8_t key[16];
	struct loop *loop;
	struct ctnl *ctnl;
	struct netif *netif;
	struct loop_fd *event_watch, *dump_watch, *netif_watch;
	struct daemon_link link[ENGINE_LINKS_MAX];
	struct ctlsock *control;
	struct engine *engine;
	struct text line; /* of notes for monitors */
	uint64_t started, look_at, looks;
	bool dump_failed;
	int status; /* to exit with */
};

static double wall_clock(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- what the engine wants done -----------------------------------------------------------------
 */

static int op_send(void *ctx, unsigned link, const uint8_t *data, size_t len)
{
	struct daemon *d = ctx;

	return sync_socket_send(d->link[link].sock, data, len);
}

static void op_flush_packets(void *ctx)
{
	struct daemon *d = ctx;

	for (size_t i = 0; i < d->settings->syncs; i++) {
		int error = 0;
		size_t lost = sync_socket_flush(d->link[i].sock, &error);

		if (lost)
			log_limited(&d->log, R_SEND_ERROR, loop_now(d->loop), LOG_LEVEL_WARNING,
				    "sync %s: %zu packets did not leave: %s",
				    d->settings->sync[i].name, lost, strerror(error));
	}
}

static void op_kernel(void *ctx, struct kernel_op *ops, size_t n)
{
	struct daemon *d = ctx;

	ctnl_commit(d->ctnl, ops, n);
}

static void op_dump(void *ctx)
{
	struct daemon *d = ctx;

	if (ctnl_dump_start(d->ctnl))
		d->dump_failed = true; /* told in the hook: an op must not call the engine */
}

/* The pf names of where a flow enters and leaves; an interface without one is said as "all". */
static bool op_interfaces(void *ctx, const struct tuples *t, char name[2][PF_IFNAME_LEN])
{
	struct daemon *d = ctx;
	char interface[2][PF_IFNAME_LEN];

	netif_route(d->netif, t, interface[0], interface[1]);
	for (int i = 0; i < 2; i++) {
		const char *pf = settings_pf_name(d->settings, interface[i]);

		if (pf)
			(void)snprintf(name[i], PF_IFNAME_LEN, "%s", pf);
	}
	return true;
}

static void op_note(void *ctx, const struct note *n)
{
	struct daemon *d = ctx;

	notes_log(&d->log, n, d->settings, loop_now(d->loop));
	if (!d->control || !ctlsock_monitored(d->control))
		return;
	text_clear(&d->line);
	control_note(&d->line, n, d->settings, wall_clock());
	if (d->line.len && !d->line.failed)
		ctlsock_broadcast(d->control, d->line.s, d->line.len);
}

/* ---- what the adapters tell ---------------------------------------------------------------------
 */

static void on_event(void *ctx, enum kernel_event event, const struct kernel_entry *entry,
		     bool caused_by_packet)
{
	struct daemon *d = ctx;

	engine_on_event(d->engine, event, entry, caused_by_packet, loop_now(d->loop));
}

static void on_overrun(void *ctx)
{
	struct daemon *d = ctx;

	engine_on_overrun(d->engine, loop_now(d->loop));
}

static void on_dumped(void *ctx, const struct kernel_entry *entry)
{
	struct daemon *d = ctx;

	engine_on_dump(d->engine, entry, loop_now(d->loop));
}

static void on_dump_end(void *ctx, bool complete)
{
	struct daemon *d = ctx;

	engine_on_dump_end(d->engine, complete, loop_now(d->loop));
}

static void fail(struct daemon *d, const char *what, int error)
{
	log_say(&d->log, LOG_LEVEL_ERR, "%s: %s", what, strerror(error < 0 ? -error : error));
	d->status = EXIT_FAILURE;
	loop_quit(d->loop);
}

static void events_readable(void *ctx, bool readable, bool writable)
{
	struct daemon *d = ctx;
	int r = ctnl_on_events(d->ctnl);

	(void)readable;
	(void)writable;
	if (r < 0)
		fail(d, "reading conntrack events", r);
}

static void dump_readable(void *ctx, bool readable, bool writable)
{
	struct daemon *d = ctx;

	(void)readable;
	(void)writable;
	(void)ctnl_on_dump(d->ctnl);
}

static void on_packet(void *ctx, const struct packet_from *from, const void *data, size_t len)
{
	struct daemon_link *l = ctx;

	engine_on_packet(l->d->engine, l->number, from, data, len, loop_now(l->d->loop));
}

static void link_readable(void *ctx, bool readable, bool writable)
{
	struct daemon_link *l = ctx;
	int r = sync_socket_receive(l->sock);

	(void)readable;
	(void)writable;
	if (r < 0 && r != -ENETDOWN)
		log_limited(&l->d->log, R_SEND_ERROR, loop_now(l->d->loop), LOG_LEVEL_WARNING,
			    "sync %s: receiving: %s", l->d->settings->sync[l->number].name,
			    strerror(-r));
}

/* ---- interfaces ---------------------------------------------------------------------------------
 */

static void link_look(struct daemon *d, struct daemon_link *l)
{
	const struct settings_sync *s = &d->settings->sync[l->number];
	struct netif_link now = {0};
	bool there = netif_get(d->netif, s->interface, &now);
	bool up = there && now.up;

	if (now.index != l->index || (up && !l->up)) {
		int r = sync_socket_attach(l->sock, there ? now.index : 0);

		if (r) {
			log_say(&d->log, LOG_LEVEL_WARNING, "sync %s: interface %s: %s", s->name,
				s->interface, strerror(-r));
			up = false;
		}
	}
	if (up != l->up || (there && !l->index))
		log_say(&d->log, LOG_LEVEL_NOTICE, "sync %s: interface %s is %s", s->name,
			s->interface,
			up	? "up"
			: there ? "down"
				: "not there");
	l->index = there ? now.index : 0;
	l->up = up;
	engine_on_link(d->engine, l->number, up, now.mtu, now.addrs, now.count, loop_now(d->loop));
}

static void on_netif(void *ctx)
{
	struct daemon *d = ctx;
	size_t n;
	const struct address *own = netif_addresses(d->netif, &n);

	engine_on_addresses(d->engine, own, n);
	for (size_t i = 0; i < d->settings->syncs; i++)
		link_look(d, &d->link[i]);
}

static void netif_readable(void *ctx, bool readable, bool writable)
{
	struct daemon *d = ctx;
	int r = netif_on_event(d->netif);

	(void)readable;
	(void)writable;
	if (r < 0)
		log_limited(&d->log, R_SEND_ERROR, loop_now(d->loop), LOG_LEVEL_WARNING,
			    "reading link events: %s", strerror(-r));
}

/* ---- the host -----------------------------------------------------------------------------------
 */

/* Entries made while nf_conntrack_events is 2 and nobody listened never make an event. */
static void check_events(struct daemon *d)
{
	static const char name[] = "net/netfilter/nf_conntrack_events";
	int64_t value = -1;

	if (sysctl_read(name, &value) || value == 1)
		return;
	if (!sysctl_write(name, 1)) {
		log_say(&d->log, LOG_LEVEL_NOTICE,
			"set net.netfilter.nf_conntrack_events to 1, it was %" PRId64, value);
		return;
	}
	log_say(&d->log, LOG_LEVEL_WARNING,
		"net.netfilter.nf_conntrack_events is %" PRId64 " and cannot be changed from here: "
		"entries made before the daemon started tell nothing of their life; set it to 1",
		value);
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
	if (d->looks % LOOKS_NAT == 0)
		check_nat(d, d->looks == 0);
	d->looks++;
	ctlsock_tick(d->control);
	log_tick(&d->log, now);
}

static void hook(void *ctx)
{
	struct daemon *d = ctx;
	uint64_t next;

	look(d);
	if (d->dump_failed) {
		d->dump_failed = false;
		engine_on_dump_end(d->engine, false, loop_now(d->loop));
	}
	next = engine_run(d->engine, loop_now(d->loop));
	op_flush_packets(d);
	loop_set_timer(d->loop, next < d->look_at ? next : d->look_at);
}

/* ---- control ------------------------------------------------------------------------------------
 */

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

static int number_of(const char *name)
{
	int64_t v;

	return sysctl_read(name, &v) ? -1 : (int)v;
}

static void facts(void *ctx, struct host_facts *f)
{
	struct daemon *d = ctx;
	const char *missing = NULL;
	uint32_t count, max;

	f->conntrack_events = number_of("net/netfilter/nf_conntrack_events");
	f->conntrack_acct = number_of("net/netfilter/nf_conntrack_acct");
	f->conntrack_timestamp = number_of("net/netfilter/nf_conntrack_timestamp");
	if (!ctnl_pressure(&count, &max)) {
		f->conntrack_count = count;
		f->conntrack_max = max;
	}
	f->net_admin = f->net_raw = 1;
	if (caps_drop(&missing) == -EPERM && missing) {
		if (strstr(missing, "ADMIN"))
			f->net_admin = 0;
		else
			f->net_raw = 0;
	}
	f->nat_chain = natchain_present();
	for (size_t i = 0; i < d->settings->syncs; i++)
		if (d->settings->sync[i].multicast)
			f->joined[i] = sync_socket_joined(d->link[i].sock);
}

static void env_of(struct daemon *d, struct control_env *env)
{
	*env = (struct control_env){
		.engine = d->engine,
		.settings = d->settings,
		.version = PACKAGE_VERSION,
		.hostid = d->hostid,
		.started = d->started,
		.now = loop_now(d->loop),
		.wall = wall_clock(),
		.ctx = d,
		.resync = do_resync,
		.takeover = do_takeover,
		.flush = do_flush,
		.facts = facts,
	};
}

static enum control_result on_request(void *ctx, const char *line, size_t len, struct text *out,
				      struct control_stream **stream)
{
	struct control_env env;

	env_of(ctx, &env);
	return control_request(&env, line, len, out, stream);
}

static bool on_stream(void *ctx, struct control_stream *stream, struct text *out)
{
	struct control_env env;

	env_of(ctx, &env);
	return control_stream_next(stream, &env, out);
}

/* ---- signals ------------------------------------------------------------------------------------
 */

static void on_end(void *ctx, int number)
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
		    memcmp(&a->sync[i].peer, &b->sync[i].peer, sizeof(a->sync[i].peer)))
			return "name, interface or peer of a sync section";
	if (a->hostid != b->hostid)
		return "hostid";
	if (strcmp(a->socket, b->socket) || strcmp(a->group, b->group))
		return "the control socket";
	if (a->zone != b->zone || a->receive_buffer != b->receive_buffer)
		return "conntrack.zone or conntrack.receive-buffer";
	return NULL;
}

/* All or nothing: a file that is wrong, or asks for what needs a restart, changes nothing. */
static void on_reload(void *ctx, int number)
{
	struct daemon *d = ctx;
	struct engine_config config;
	char error[SETTINGS_ERROR_MAX];
	struct settings *s, *old = d->settings;
	const char *fixed;

	(void)number;
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
	ctnl_set_mark(d->ctnl, s->mark, s->mark_mask);
	settings_free(old);
	log_say(&d->log, LOG_LEVEL_NOTICE, "%s: read again and in force", d->file);
}

/* ---- start --------------------------------------------------------------------------------------
 */

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
	static const struct ctlsock_handler handler = {.request = on_request, .next = on_stream};
	const struct settings *s = d->settings;
	int r = ctlsock_open(&d->control, d->loop, s->socket, s->group, &handler, d);

	if (r == -EADDRINUSE)
		log_say(&d->log, LOG_LEVEL_ERR,
			"%s: another daemon is running and answers there; stop it first",
			s->socket);
	else if (r == -ENOENT && s->group[0])
		log_say(&d->log, LOG_LEVEL_ERR,
			"control socket %s: its folder or the group %s does not exist", s->socket,
			s->group);
	else if (r)
		log_say(&d->log, LOG_LEVEL_ERR, "control socket %s: %s", s->socket, strerror(-r));
	return r;
}

static int start_engine(struct daemon *d)
{
	struct engine_ops ops = {
		.send = op_send,
		.flush_packets = op_flush_packets,
		.kernel = op_kernel,
		.dump = op_dump,
		.interfaces = d->settings->interfaces ? op_interfaces : NULL,
		.note = op_note,
	};
	struct engine_config config;

	if (getrandom(d->key, sizeof(d->key), 0) != (ssize_t)sizeof(d->key)) {
		log_say(&d->log, LOG_LEVEL_ERR, "no random numbers: %s", strerror(errno));
		return -EIO;
	}
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
	static const struct ctnl_handler handler = {
		.event = on_event,
		.overrun = on_overrun,
		.dumped = on_dumped,
		.dump_end = on_dump_end,
	};
	const struct settings *s = d->settings;
	struct ctnl_scope scope = {
		.zone = (uint16_t)s->zone, .mark = s->mark, .mark_mask = s->mark_mask};
	int r;

	check_events(d);
	r = ctnl_open(&d->ctnl, &scope, s->receive_buffer, &handler, d);
	if (!r)
		r = loop_add_fd(d->loop, ctnl_event_fd(d->ctnl), events_readable, d,
				&d->event_watch);
	if (!r)
		r = loop_add_fd(d->loop, ctnl_dump_fd(d->ctnl), dump_readable, d, &d->dump_watch);
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
		r = sync_socket_open(&l->sock, &d->settings->sync[i].peer, on_packet, l);
		if (!r)
			r = loop_add_fd(d->loop, sync_socket_fd(l->sock), link_readable, l,
					&l->watch);
		if (r) {
			log_say(&d->log, LOG_LEVEL_ERR, "sync %s: raw socket: %s",
				d->settings->sync[i].name, strerror(-r));
			return r;
		}
	}
	r = netif_open(&d->netif, d->settings->interfaces, on_netif, d);
	if (!r)
		r = loop_add_fd(d->loop, netif_fd(d->netif), netif_readable, d, &d->netif_watch);
	if (r) {
		log_say(&d->log, LOG_LEVEL_ERR, "route netlink: %s", strerror(-r));
		return r;
	}
	on_netif(d);
	for (size_t i = 0; i < d->settings->syncs; i++)
		if (!d->link[i].index)
			log_say(&d->log, LOG_LEVEL_WARNING,
				"sync %s: interface %s is not there; waiting for it",
				d->settings->sync[i].name, d->settings->sync[i].interface);
	return 0;
}

static int start_signals(struct daemon *d)
{
	int r = loop_add_signal(d->loop, SIGTERM, on_end, d);

	if (!r)
		r = loop_add_signal(d->loop, SIGINT, on_end, d);
	if (!r)
		r = loop_add_signal(d->loop, SIGHUP, on_reload, d);
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
	if (d->engine && d->loop)
		op_flush_packets(d);
	loop_remove_fd(d->netif_watch);
	netif_close(d->netif);
	for (size_t i = 0; i < ENGINE_LINKS_MAX; i++) {
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
	log_close(&d->log);
}

int daemon_run(const char *file, bool foreground, int ready)
{
	struct daemon d = {.file = file, .status = EXIT_FAILURE};

	/* until everything is up, whoever started us sees what is wrong */
	log_open(&d.log, "pfsync-linux", true, LOG_LEVEL_INFO);
	if (!start(&d)) {
		d.status = EXIT_SUCCESS;
		if (!foreground) {
			log_close(&d.log);
			log_open(&d.log, "pfsync-linux", false, LOG_LEVEL_INFO);
			if (ready >= 0 && write(ready, "", 1) != 1)
				d.status = EXIT_FAILURE;
		}
		log_say(&d.log, LOG_LEVEL_NOTICE, "pfsync-linux %s is up, hostid %08x",
			PACKAGE_VERSION, d.hostid);
		loop_set_hook(d.loop, hook, &d);
		if (loop_run(d.loop))
			d.status = EXIT_FAILURE;
	}
	if (ready >= 0)
		close(ready);
	stop(&d);
	return d.status;
}
