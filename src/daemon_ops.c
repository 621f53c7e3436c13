/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the engine wants done by the adapters, and what they tell it. */
#include "daemon_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "notes.h"

/* ---- what the engine wants done -------------------------------------------------------- */

static int op_send(void *ctx, unsigned link, const uint8_t *data, size_t len)
{
	struct daemon *d = ctx;

	return sync_socket_send(d->link[link].sock, data, len);
}

void daemon_flush(void *ctx)
{
	struct daemon *d = ctx;

	for (size_t i = 0; i < d->settings->syncs; i++) {
		int error = 0;
		size_t lost = sync_socket_flush(d->link[i].sock, &error);

		if (!lost)
			continue;
		d->unsent += lost;
		d->link[i].facts.lost += lost;
		d->link[i].facts.lost_error = error;
		log_limited(&d->log, R_SEND_ERROR, loop_now(d->loop), LOG_LEVEL_WARNING,
			    "sync %s: %zu packets did not leave: %s", d->settings->sync[i].name,
			    lost, strerror(error));
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

/*
 * The pf names of where a flow enters and leaves: by the numbers in its mark, else by routes. An
 * interface without a name is said as "all".
 */
static void op_interfaces(void *ctx, const struct tuples *t, uint32_t mark,
			  char name[2][PF_IFNAME_LEN])
{
	struct daemon *d = ctx;
	char interface[2][NETIF_NAME_LEN] = {"", ""};
	const char *pf[2];

	pf[0] = settings_marked_name(d->settings, mark, 0);
	pf[1] = settings_marked_name(d->settings, mark, 1);
	if (!pf[0] || !pf[1])
		netif_route(d->netif, t, interface[0], interface[1]);
	for (int i = 0; i < 2; i++) {
		if (!pf[i] && interface[i][0]) {
			pf[i] = settings_pf_name(d->settings, interface[i]);
			if (!pf[i])
				pf[i] = "all";
		}
		(void)snprintf(name[i], PF_IFNAME_LEN, "%s", pf[i] ? pf[i] : "");
	}
}

static void op_note(void *ctx, const struct note *n)
{
	struct daemon *d = ctx;

	notes_log(&d->log, n, d->settings, loop_now(d->loop));
	if (n->kind == NOTE_PEER_APPEARED || n->kind == NOTE_BULK_ASKED ||
	    n->kind == NOTE_BULK_DONE || n->kind == NOTE_BULK_FAILED)
		d->news = true;
	if (!d->control || !ctlsock_monitored(d->control))
		return;
	text_clear(&d->line);
	control_note(&d->line, n, d->settings, daemon_wall_clock());
	if (d->line.len && !d->line.failed)
		ctlsock_broadcast(d->control, d->line.s, d->line.len);
}

const struct engine_ops daemon_ops = {
	.send = op_send,
	.flush_packets = daemon_flush,
	.kernel = op_kernel,
	.dump = op_dump,
	.interfaces = op_interfaces,
	.release = daemon_release,
	.note = op_note,
};

/* ---- what the adapters tell ------------------------------------------------------------ */

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
	if (complete && !d->up)
		daemon_up(d);
}

static void fail(struct daemon *d, const char *what, int error)
{
	log_say(&d->log, LOG_LEVEL_ERR, "%s: %s", what, strerror(error < 0 ? -error : error));
	d->status = EXIT_FAILURE;
	loop_quit(d->loop);
}

void daemon_events_readable(void *ctx, bool readable, bool writable)
{
	struct daemon *d = ctx;
	int r = ctnl_on_events(d->ctnl);

	(void)readable;
	(void)writable;
	if (r < 0)
		fail(d, "reading conntrack events", r);
	d->unread |= r > 0;
}

void daemon_dump_readable(void *ctx, bool readable, bool writable)
{
	struct daemon *d = ctx;

	(void)readable;
	(void)writable;
	d->unread |= ctnl_on_dump(d->ctnl) > 0;
}

void daemon_on_packet(void *ctx, const struct packet_from *from, const void *data, size_t len)
{
	struct daemon_link *l = ctx;

	engine_on_packet(l->d->engine, l->number, from, data, len, loop_now(l->d->loop));
}

void daemon_link_readable(void *ctx, bool readable, bool writable)
{
	struct daemon_link *l = ctx;
	int r = sync_socket_receive(l->sock);
	uint32_t dropped = sync_socket_dropped(l->sock);

	(void)readable;
	(void)writable;
	if (r < 0 && r != -ENETDOWN)
		log_limited(&l->d->log, R_SEND_ERROR, loop_now(l->d->loop), LOG_LEVEL_WARNING,
			    "sync %s: receiving: %s", l->d->settings->sync[l->number].name,
			    strerror(-r));
	l->d->unread |= r > 0;
	if (!dropped)
		return;
	engine_on_packets_lost(l->d->engine, 0, dropped);
	log_limited(&l->d->log, NOTES_KEY_PACKETS, loop_now(l->d->loop), LOG_LEVEL_WARNING,
		    "sync %s: %u packets came faster than they could be read and were lost",
		    l->d->settings->sync[l->number].name, dropped);
}

const struct ctnl_handler daemon_ctnl = {
	.event = on_event,
	.overrun = on_overrun,
	.dumped = on_dumped,
	.dump_end = on_dump_end,
};

/* ---- interfaces ------------------------------------------------------------------------ */

/* Whether it is known where to send to. */
static bool link_has_peer(struct daemon *d, struct daemon_link *l, bool there)
{
	struct settings_sync *s = &d->settings->sync[l->number];
	size_t n;
	const struct address *own = netif_addresses(d->netif, &n);
	bool known = settings_pick_peer(s, own, n);

	sync_socket_set_peer(l->sock, &s->peer);
	if (!known && there && !l->peer_asked)
		log_say(&d->log, LOG_LEVEL_WARNING,
			s->self.family
				? "sync %s: of the two addresses in peer exactly one must be this "
				  "host's; waiting for that"
				: "sync %s: peer is an address of this host; name the other "
				  "node's, or both",
			s->name);
	l->peer_asked = !known && there;
	return known;
}

static void link_look(struct daemon *d, struct daemon_link *l)
{
	const struct settings_sync *s = &d->settings->sync[l->number];
	struct netif_link now = {0};
	bool there = netif_get(d->netif, s->interface, &now);
	bool known = link_has_peer(d, l, there);
	bool up = known && there && now.up;
	bool other = now.index != l->index || now.changes != l->changes;
	bool gap = up && l->up && other;

	if (gap) /* it went and came between two looks: what was said meanwhile was lost */
		engine_on_link(d->engine, l->number, false, l->mtu, NULL, 0, loop_now(d->loop));
	/* the kernel forgets groups of IPv6 where the MTU is too small for it */
	if (other || (up && (!l->up || now.mtu != l->mtu))) {
		int r = sync_socket_attach(l->sock, there ? now.index : 0);

		if (r) {
			log_say(&d->log, LOG_LEVEL_WARNING, "sync %s: interface %s: %s", s->name,
				s->interface, strerror(-r));
			up = false;
		}
	}
	if ((there ? now.index : 0) != l->index)
		daemon_tap(l, there ? now.index : 0);
	if (known && (up != l->up || (there && !l->index)))
		log_say(&d->log, LOG_LEVEL_NOTICE, "sync %s: interface %s is %s", s->name,
			s->interface,
			up	? "up"
			: there ? "down"
				: "not there");
	else if (gap)
		log_say(&d->log, LOG_LEVEL_NOTICE, "sync %s: interface %s was away for a moment",
			s->name, s->interface);
	d->news |= up != l->up;
	l->index = there ? now.index : 0;
	l->mtu = now.mtu;
	l->changes = now.changes;
	l->up = up;
	engine_on_link(d->engine, l->number, up, now.mtu, now.addrs, now.count, loop_now(d->loop));
}

void daemon_on_netif(void *ctx)
{
	struct daemon *d = ctx;
	size_t n;
	const struct address *own = netif_addresses(d->netif, &n);

	engine_on_addresses(d->engine, own, n);
	for (size_t i = 0; i < d->settings->syncs; i++)
		link_look(d, &d->link[i]);
}

void daemon_on_routes(void *ctx)
{
	struct daemon *d = ctx;

	engine_on_routes(d->engine, loop_now(d->loop));
}

void daemon_netif_readable(void *ctx, bool readable, bool writable)
{
	struct daemon *d = ctx;
	int r = netif_on_event(d->netif);

	(void)readable;
	(void)writable;
	if (r < 0)
		log_limited(&d->log, R_SEND_ERROR, loop_now(d->loop), LOG_LEVEL_WARNING,
			    "reading link events: %s", strerror(-r));
}
