/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop; knows libevent. */
#include "loop.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <time.h>

enum { NS = 1000000000, MAX_SIGNALS = 8 };

struct loop_fd {
	struct loop_fd *next, **prev;
	struct loop *loop;
	struct event *event;
	int fd;
	loop_fd_call call;
	void *ctx;
};

struct loop_signal {
	struct event *event;
	loop_signal_call call;
	void *ctx;
};

struct loop {
	struct event_base *base;
	struct event *timer;
	uint64_t timer_at; /* UINT64_MAX: not set */
	uint64_t now;	   /* 0: not read since the last wake-up */
	struct loop_fd *fds;
	struct loop_signal signal[MAX_SIGNALS];
	size_t signals;
	loop_call hook;
	void *hook_ctx;
	bool quit;
};

uint64_t loop_now(struct loop *l)
{
	struct timespec t;

	if (!l->now) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		l->now = (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
	}
	return l->now;
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct loop *l = ctx;

	l->timer_at = UINT64_MAX;
}

int loop_new(struct loop **loop)
{
	struct event_config *config = event_config_new();
	struct loop *l = calloc(1, sizeof(*l));

	if (!config || !l)
		goto fail;
	/* Without it the time goes in steps of several milliseconds. */
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	l->base = event_base_new_with_config(config);
	if (!l->base)
		goto fail;
	l->timer_at = UINT64_MAX;
	l->timer = evtimer_new(l->base, on_timer, l);
	if (!l->timer)
		goto fail;
	event_config_free(config);
	*loop = l;
	return 0;
fail:
	if (config)
		event_config_free(config);
	loop_free(l);
	return -ENOMEM;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	while (l->fds)
		loop_remove_fd(l->fds);
	for (size_t i = 0; i < l->signals; i++)
		event_free(l->signal[i].event);
	if (l->timer)
		event_free(l->timer);
	if (l->base)
		event_base_free(l->base);
	free(l);
}

static void on_fd(evutil_socket_t fd, short what, void *ctx)
{
	struct loop_fd *w = ctx;

	w->call(w->ctx, what & EV_READ, what & EV_WRITE);
}

int loop_add_fd(struct loop *l, int fd, loop_fd_call call, void *ctx, struct loop_fd **watch)
{
	struct loop_fd *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->loop = l;
	w->fd = fd;
	w->call = call;
	w->ctx = ctx;
	w->event = event_new(l->base, fd, EV_READ | EV_PERSIST, on_fd, w);
	if (!w->event || event_add(w->event, NULL) < 0) {
		if (w->event)
			event_free(w->event);
		free(w);
		return -ENOMEM;
	}
	w->next = l->fds;
	w->prev = &l->fds;
	if (w->next)
		w->next->prev = &w->next;
	l->fds = w;
	*watch = w;
	return 0;
}

int loop_want(struct loop_fd *w, bool read, bool write)
{
	short what = EV_PERSIST;

	if (read)
		what |= EV_READ;
	if (write)
		what |= EV_WRITE;
	if (event_get_events(w->event) == what)
		return 0;
	event_del(w->event);
	if (event_assign(w->event, w->loop->base, w->fd, what, on_fd, w) < 0)
		return -EINVAL;
	if ((read || write) && event_add(w->event, NULL) < 0)
		return -ENOMEM;
	return 0;
}

void loop_remove_fd(struct loop_fd *w)
{
	if (!w)
		return;
	event_free(w->event);
	*w->prev = w->next;
	if (w->next)
		w->next->prev = w->prev;
	free(w);
}

static void on_signal(evutil_socket_t number, short what, void *ctx)
{
	struct loop_signal *s = ctx;

	s->call(s->ctx, number);
}

int loop_add_signal(struct loop *l, int number, loop_signal_call call, void *ctx)
{
	struct loop_signal *s = &l->signal[l->signals];

	if (l->signals == MAX_SIGNALS)
		return -ENOSPC;
	s->call = call;
	s->ctx = ctx;
	s->event = evsignal_new(l->base, number, on_signal, s);
	if (!s->event)
		return -ENOMEM;
	if (event_add(s->event, NULL) < 0) {
		event_free(s->event);
		return -EINVAL;
	}
	l->signals++;
	return 0;
}

void loop_set_timer(struct loop *l, uint64_t when)
{
	uint64_t now = loop_now(l);
	uint64_t left = when > now ? when - now : 0;
	struct timeval tv;

	if (when == l->timer_at)
		return;
	l->timer_at = when;
	if (when == UINT64_MAX) {
		evtimer_del(l->timer);
		return;
	}
	tv.tv_sec = (time_t)(left / NS);
	tv.tv_usec = (suseconds_t)((left % NS + 999) / 1000);
	evtimer_add(l->timer, &tv);
}

void loop_rest(struct loop *l, uint64_t until)
{
	struct timespec t = {.tv_sec = (time_t)(until / NS), .tv_nsec = (long)(until % NS)};

	if (!l->quit)
		(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

void loop_set_hook(struct loop *l, loop_call call, void *ctx)
{
	l->hook = call;
	l->hook_ctx = ctx;
}

int loop_run(struct loop *l)
{
	l->quit = false;
	for (;;) {
		if (l->hook)
			l->hook(l->hook_ctx);
		l->now = 0;
		if (l->quit)
			return 0;
		if (event_base_loop(l->base, EVLOOP_ONCE) < 0)
			return -EIO;
	}
}

void loop_quit(struct loop *l)
{
	l->quit = true;
}
