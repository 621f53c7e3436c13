/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "wheel.h"

void wheel_init(struct wheel *w, uint32_t now)
{
	w->now = now;
	w->count = 0;
	list_init(&w->due);
	for (int l = 0; l < WHEEL_LEVELS; l++)
		for (int s = 0; s < WHEEL_SLOTS; s++)
			list_init(&w->slot[l][s]);
}

static unsigned slot_of(uint32_t tick, int level)
{
	return tick >> (WHEEL_BITS * level) & (WHEEL_SLOTS - 1);
}

/* Files a timer by the highest digit in which its tick differs from now. */
static void file(struct wheel *w, struct list *n, uint32_t tick)
{
	uint32_t ahead = tick - w->now;

	if ((int32_t)ahead <= 0) {
		list_append(&w->due, n);
		return;
	}
	for (int l = 0; l < WHEEL_LEVELS; l++) {
		if (ahead < (uint32_t)1 << (WHEEL_BITS * (l + 1))) {
			list_append(&w->slot[l][slot_of(tick, l)], n);
			return;
		}
	}
	/* beyond the last level: its farthest slot, from where the owner sets it again */
	list_append(
		&w->slot[WHEEL_LEVELS - 1][slot_of(w->now, WHEEL_LEVELS - 1) ^ (WHEEL_SLOTS / 2)],
		n);
}

void wheel_set(struct wheel *w, struct list *n, uint32_t tick)
{
	wheel_cancel(w, n);
	file(w, n, tick);
	w->count++;
}

void wheel_cancel(struct wheel *w, struct list *n)
{
	if (list_empty(n))
		return;
	list_remove(n);
	w->count--;
}

void wheel_turn(struct wheel *w, uint32_t now)
{
	while ((int32_t)(now - w->now) > 0) {
		if (!w->count) {
			w->now = now;
			return;
		}
		w->now++;
		list_splice(&w->due, &w->slot[0][slot_of(w->now, 0)]);
		/* a slot of a higher level that begins now holds what is due within it: owners
		 * refile */
		for (int l = 1; l < WHEEL_LEVELS; l++) {
			if (w->now & (((uint32_t)1 << (WHEEL_BITS * l)) - 1))
				break;
			list_splice(&w->due, &w->slot[l][slot_of(w->now, l)]);
		}
	}
}

struct list *wheel_take(struct wheel *w)
{
	struct list *n = w->due.next;

	if (n == &w->due)
		return NULL;
	list_remove(n);
	w->count--;
	return n;
}

uint32_t wheel_next(const struct wheel *w)
{
	if (!w->count)
		return UINT32_MAX;
	if (!list_empty(&w->due))
		return w->now;
	for (uint32_t i = 1; i <= WHEEL_SLOTS; i++) {
		uint32_t tick = w->now + i;

		if (!list_empty(&w->slot[0][slot_of(tick, 0)]) || !slot_of(tick, 0))
			return tick;
	}
	return w->now + WHEEL_SLOTS;
}
