/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the host is like, what was lately, and what keepalived is told. */
#include "config.h"

#include "daemon_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "caps.h"
#include "host.h"
#include "natchain.h"
#include "nfqueue.h"
#include "sysctl.h"
#include "tap.h"

/* ---- facts ----------------------------------------------------------------------------- */

static int number_of(const char *name)
{
	int64_t v;

	return sysctl_read(name, &v) ? -1 : (int)v;
}

static void count_taps(struct daemon_link *l)
{
	l->facts.tapped = l->tap[TAP_PFSYNC] >= 0;
	l->facts.frames += tap_count(l->tap[TAP_PFSYNC]);
	l->facts.unreachable += tap_count(l->tap[TAP_UNREACHABLE]);
}

void daemon_facts(void *ctx, struct host_facts *f)
{
	struct daemon *d = ctx;
	const char *missing = NULL;
	uint32_t count, max;

	f->conntrack_events = number_of("net/netfilter/nf_conntrack_events");
	f->conntrack_acct = number_of("net/netfilter/nf_conntrack_acct");
	f->conntrack_timestamp = number_of("net/netfilter/nf_conntrack_timestamp");
	f->tcp_loose = number_of("net/netfilter/nf_conntrack_tcp_loose");
	if (!ctnl_pressure(&count, &max)) {
		f->conntrack_count = count;
		f->conntrack_max = max;
	}
	f->net_admin = f->net_raw = 1;
	if (caps_check(&missing) == -EPERM) {
		if (strstr(missing, "ADMIN"))
			f->net_admin = 0;
		else
			f->net_raw = 0;
	}
	f->nat_chain = natchain_present();
	f->defer_queue = daemon_defer_queue(d);
	f->defer_plain = f->defer_queue == QUEUE_PLAIN;
	f->defer_rule = daemon_defer_rule(d);
	f->own = netif_addresses(d->netif, &f->owns);
	for (size_t i = 0; i < d->settings->syncs; i++) {
		const struct settings_sync *s = &d->settings->sync[i];

		count_taps(&d->link[i]);
		f->link[i] = d->link[i].facts;
		f->link[i].joined = s->multicast ? host_in_group(s->interface, &s->peer) : -1;
		f->link[i].neighbour = s->multicast ? -1
						    : host_has_neighbour(s->interface, &s->peer);
	}
}

/* ---- taps ------------------------------------------------------------------------------ */

void daemon_tap(struct daemon_link *l, unsigned index)
{
	count_taps(l);
	for (int kind = TAP_PFSYNC; kind <= TAP_UNREACHABLE; kind++) {
		if (l->tap[kind] >= 0)
			close(l->tap[kind]);
		l->tap[kind] = -1;
		if (index)
			(void)tap_open(&l->tap[kind], index, (enum tap_kind)kind,
				       l->d->settings->sync[l->number].multicast);
	}
}

/* ---- demotion -------------------------------------------------------------------------- */

/* Whoever reads it finds a whole number at any time. */
static int write_number(const char *file, int value)
{
	char beside[SETTINGS_SOCKET_MAX + 8];
	int err = 0;
	FILE *f;

	(void)snprintf(beside, sizeof(beside), "%s.new", file);
	f = fopen(beside, "we");
	if (!f)
		return -errno;
	if (fprintf(f, "%d\n", value) < 0)
		err = -EIO;
	if (fclose(f) && !err)
		err = -errno;
	if (!err && rename(beside, file))
		err = -errno;
	if (err)
		(void)unlink(beside);
	return err;
}

void daemon_demote(struct daemon *d, int value)
{
	const char *file = d->settings->demotion_file;
	int err;

	if (!*file || value == d->demotion)
		return;
	err = write_number(file, value);
	if (err && d->demotion != DEMOTION_FAILED)
		log_say(&d->log, LOG_LEVEL_ERR, "demotion-file %s: %s", file, strerror(-err));
	else if (!err)
		log_say(&d->log, LOG_LEVEL_NOTICE, "demotion is %d", value);
	d->demotion = err ? DEMOTION_FAILED : value;
}

void daemon_health(struct daemon *d)
{
	struct host_facts counted = {.nat_chain = -1, .defer_rule = -1};
	struct control_env env;

	daemon_env(d, &env);
	for (size_t i = 0; i < d->settings->syncs; i++) {
		count_taps(&d->link[i]);
		counted.link[i] = d->link[i].facts;
	}
	health_remember(&d->history, &env, &counted);
	daemon_demote(d, health_demotion(d->engine));
}
