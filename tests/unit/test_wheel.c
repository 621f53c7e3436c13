/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The timer wheel against a list of deadlines. */
#include "check.h"
#include "wheel.h"

enum { TIMERS = 200 };

struct timer {
	struct list node;
	uint32_t at;
	bool set;
};

static struct wheel w;
static struct timer timer[TIMERS];

static void start(uint32_t now)
{
	wheel_init(&w, now);
	for (int i = 0; i < TIMERS; i++) {
		timer[i] = (struct timer){0};
		list_init(&timer[i].node);
	}
}

static void set(struct timer *t, uint32_t at)
{
	wheel_set(&w, &t->node, at);
	t->at = at;
	t->set = true;
}

static uint32_t count(void)
{
	uint32_t n = 0;

	for (int i = 0; i < TIMERS; i++)
		n += timer[i].set;
	return n;
}

/* Takes what is due as an owner does: what is early is set again. */
static bool turn(uint32_t now)
{
	struct list *n;

	wheel_turn(&w, now);
	while ((n = wheel_take(&w))) {
		struct timer *t = container_of(n, struct timer, node);

		if (!CHECK(t->set) || !CHECK(list_empty(&t->node)))
			return false;
		if ((int32_t)(t->at - now) > 0)
			set(t, t->at);
		else
			t->set = false;
	}
	for (int i = 0; i < TIMERS; i++)
		if (timer[i].set && !CHECK((int32_t)(timer[i].at - now) > 0)) /* late */
			return false;
	return CHECK_EQ(w.count, count());
}

/* wheel_next is never late, and never so early that nothing gets done. */
static bool next_is_right(uint32_t now)
{
	uint32_t next = wheel_next(&w), first = UINT32_MAX;

	for (int i = 0; i < TIMERS; i++)
		if (timer[i].set && timer[i].at - now < first)
			first = timer[i].at - now;
	if (first == UINT32_MAX)
		return CHECK_EQ(next, UINT32_MAX);
	return CHECK(next - now <= first) && CHECK(next - now > 0);
}

static void at_random(uint32_t start_at, uint32_t longest, uint32_t longest_step)
{
	uint32_t now = start_at;

	start(now);
	for (int round = 0; round < 3000; round++) {
		struct timer *t = &timer[check_below(TIMERS)];

		switch (check_below(4)) {
		case 0:
		case 1:
			set(t, now + 1 + (uint32_t)check_below(longest));
			break;
		case 2:
			wheel_cancel(&w, &t->node);
			t->set = false;
			break;
		default:
			now += (uint32_t)check_below(longest_step);
			if (!turn(now) || !next_is_right(now))
				return;
		}
	}
	now += longest;
	CHECK(turn(now));
	now += 256;
	CHECK(turn(now));
	CHECK_EQ(w.count, 0);
}

static void random_timers(void)
{
	at_random(1u << 28, 50, 10);
	at_random(0, 300, 40);
	at_random(12345, 70000, 3000);
	at_random(1u << 28, 5000000, 40000);
}

static void far_away(void)
{
	at_random(1u << 28, 50000000, 300000);
}

static void wrap(void)
{
	at_random(0xffffff00, 1000, 20);
	at_random(0xfffff000, 100000, 300);
}

static void due_now(void)
{
	start(100);
	set(&timer[0], 100);
	set(&timer[1], 90); /* past */
	set(&timer[2], 101);
	CHECK_EQ(wheel_next(&w), 100);
	wheel_turn(&w, 100);
	CHECK(wheel_take(&w) && wheel_take(&w) && !wheel_take(&w));
	CHECK_EQ(w.count, 1);
	wheel_turn(&w, 101);
	CHECK(wheel_take(&w) == &timer[2].node);
	CHECK_EQ(wheel_next(&w), UINT32_MAX);
}

static void moved_and_cancelled(void)
{
	start(0);
	set(&timer[0], 10);
	set(&timer[0], 20);
	CHECK_EQ(w.count, 1);
	wheel_turn(&w, 15);
	CHECK(!wheel_take(&w));
	wheel_turn(&w, 20);
	wheel_cancel(&w, &timer[0].node); /* also when it is due already */
	CHECK(!wheel_take(&w));
	CHECK_EQ(w.count, 0);
	wheel_cancel(&w, &timer[0].node);
	CHECK_EQ(w.count, 0);
}

int main(void)
{
	static const struct check_test tests[] = {
		{"due now", due_now},
		{"moved and cancelled", moved_and_cancelled},
		{"random timers", random_timers},
		{"far away", far_away},
		{"the tick wraps", wrap},
	};

	return check_main("wheel", tests, sizeof(tests) / sizeof(tests[0]));
}
