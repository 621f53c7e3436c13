/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Timer wheel: any number of timers, constant work to set, move and take one. Ticks are whatever
 * the caller counts in (the engine: tenths of a second); a timer further off than the wheel
 * reaches comes early and is set again by its owner, who knows when it is really due.
 */
#ifndef PFSYNC_WHEEL_H
#define PFSYNC_WHEEL_H

#include <stdint.h>

#include "list.h"

enum { WHEEL_BITS = 8, WHEEL_SLOTS = 1 << WHEEL_BITS, WHEEL_LEVELS = 3 };

struct wheel {
	uint32_t now; /* tick up to which everything was taken */
	uint32_t count;
	struct list slot[WHEEL_LEVELS][WHEEL_SLOTS];
	struct list due;
};

void wheel_init(struct wheel *w, uint32_t now);

/* Sets or moves the timer n to tick; one that is not later than now is due at the next turn. */
void wheel_set(struct wheel *w, struct list *n, uint32_t tick);
void wheel_cancel(struct wheel *w, struct list *n);

/* Turns the wheel to now; what fell due is then given out by wheel_take(). */
void wheel_turn(struct wheel *w, uint32_t now);
/* A due timer, no longer set; NULL when there is none. */
struct list *wheel_take(struct wheel *w);

/* The tick at which something may be due, UINT32_MAX if no timer is set. Never late, maybe early.
 */
uint32_t wheel_next(const struct wheel *w);

#endif
