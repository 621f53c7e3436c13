/* SPDX-License-Identifier: GPL-2.0-or-later */
/* defer: first packets of flows, from the queue to the engine and back. */
#include "daemon_internal.h"

#include <errno.h>
#include <string.h>

#include "nfqueue.h"
#include "queuerule.h"

/* A rule that was found is looked for again after so long: reading all rules takes a while. */
#define RULE_NS (10 * 1000000000ull)

static bool wanted(const struct settings *s)
{
	for (size_t i = 0; i < s->syncs; i++)
		if (s->sync[i].defer)
			return true;
	return false;
}

static void on_held(void *ctx, const struct kernel_entry *entry, uint32_t token)
{
	struct daemon *d = ctx;

	engine_on_held(d->engine, entry, token, loop_now(d->loop));
}

static void close_queue(struct daemon *d)
{
	loop_remove_fd(d->queue_watch);
	nfqueue_close(d->queue);
	d->queue_watch = NULL;
	d->queue = NULL;
}

static void on_readable(void *ctx, bool readable, bool writable)
{
	struct daemon *d = ctx;
	int r = nfqueue_read(d->queue);

	(void)readable;
	(void)writable;
	if (!r)
		return;
	log_say(&d->log, LOG_LEVEL_ERR, "defer: reading held packets: %s; none is held any more",
		strerror(-r));
	close_queue(d);
}

void daemon_release(void *ctx, uint32_t token)
{
	struct daemon *d = ctx;

	nfqueue_release(d->queue, token);
}

static int open_queue(struct daemon *d)
{
	struct ctnl_scope scope = {.zone = (uint16_t)d->settings->zone};
	int r = nfqueue_open(&d->queue, &scope, on_held, d);

	if (!r)
		r = loop_add_fd(d->loop, nfqueue_fd(d->queue), on_readable, d, &d->queue_watch);
	if (r)
		close_queue(d);
	return r;
}

void daemon_defer(struct daemon *d)
{
	int r = 0;

	if (!wanted(d->settings)) {
		close_queue(d);
	} else if (!d->queue) {
		r = open_queue(d);
		if (r && r != d->queue_error)
			log_say(&d->log, LOG_LEVEL_ERR, "defer: no packet can be held: %s%s",
				strerror(-r),
				r == -EPERM ? "; does another program listen to the queue?" : "");
	}
	d->queue_error = r;
}

void daemon_defer_stop(struct daemon *d)
{
	close_queue(d);
}

int daemon_defer_queue(const struct daemon *d)
{
	if (!wanted(d->settings))
		return 0;
	return d->queue ? (int)nfqueue_number(d->queue) : d->queue_error;
}

int daemon_defer_rule(struct daemon *d)
{
	int queue = daemon_defer_queue(d);
	uint64_t now = loop_now(d->loop);

	if (queue <= 0)
		return -1;
	if (d->queue_rule <= 0 || now - d->queue_rule_at > RULE_NS) {
		d->queue_rule = queuerule_present((unsigned)queue);
		d->queue_rule_at = now;
	}
	return d->queue_rule;
}
