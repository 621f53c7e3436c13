/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop (libevent). Level-triggered: a callback reads a bounded amount and is called
 * again if more is there, after everybody else had a turn. Callbacks may add and remove any
 * watch, their own included. Functions return 0 or -errno.
 */
#ifndef PFSYNC_LOOP_H
#define PFSYNC_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_fd;

typedef void (*loop_call)(void *ctx);
typedef void (*loop_fd_call)(void *ctx, bool readable, bool writable);
typedef void (*loop_signal_call)(void *ctx, int number);

int loop_new(struct loop **loop);
/* Watches that are left are removed; file descriptors stay open. */
void loop_free(struct loop *l);

/* Nanoseconds of CLOCK_MONOTONIC, read once per wake-up. */
uint64_t loop_now(struct loop *l);

/* Calls back while fd is readable (readable at errors, too). The descriptor remains the caller's.
 */
int loop_add_fd(struct loop *l, int fd, loop_fd_call call, void *ctx, struct loop_fd **watch);
/* What is asked for from now on; after loop_add_fd() it is reading alone. */
int loop_want(struct loop_fd *watch, bool read, bool write);
/* To be called before the descriptor is closed; NULL is allowed. */
void loop_remove_fd(struct loop_fd *watch);

/* The callback runs in the loop, not in the signal handler. */
int loop_add_signal(struct loop *l, int number, loop_signal_call call, void *ctx);

/*
 * The one timer: the loop wakes up at that time at the latest and calls the hook. It stays set
 * until it is set anew; a time that has passed wakes once. UINT64_MAX: never.
 */
void loop_set_timer(struct loop *l, uint64_t when);

/*
 * Sleeps until that time, for the hook: what comes meanwhile is found together. A signal ends it,
 * and there is none when the loop is about to quit.
 */
void loop_rest(struct loop *l, uint64_t until);

/* Called once after each wake-up, when all callbacks are through, and once before the first. */
void loop_set_hook(struct loop *l, loop_call call, void *ctx);

/* Runs until loop_quit(). */
int loop_run(struct loop *l);
void loop_quit(struct loop *l);

#endif
