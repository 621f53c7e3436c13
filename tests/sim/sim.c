/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 200, TWICE_EVERY = 20 };

struct sim sim;

/* ---- chance ---------------------------------------------------------------------------- */

uint64_t sim_random(void)
{
	uint64_t z = sim.rng += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint64_t sim_below(uint64_t n)
{
	return n ? sim_random() % n : 0;
}

bool sim_chance(unsigned percent)
{
	return sim_below(100) < percent;
}

/* ---- trace ----------------------------------------------------------------------------- */

void sim_mix(uint64_t what)
{
	sim.hash = (sim.hash ^ what ^ sim.now) * 0x100000001b3ull;
	sim.hash ^= sim.hash >> 29;
}

void sim_trace(const char *format, ...)
{
	va_list ap;

	if (!sim.verbose)
		return;
	va_start(ap, format);
	printf("%12.6f ", (double)(sim.now - 1000 * S) / 1e9);
	vprintf(format, ap);
	putchar('\n');
	va_end(ap);
}

void sim_fail(const struct conn *c, const char *format, ...)
{
	char flow[200] = "-";
	va_list ap;
	int n;

	if (sim.failed)
		return;
	sim.failed = true;
	va_start(ap, format);
	n = vsnprintf(sim.what, sizeof(sim.what), format, ap);
	va_end(ap);
	if (c)
		conn_text(c, flow, sizeof(flow));
	if (n > 0 && (size_t)n < sizeof(sim.what))
		snprintf(sim.what + n, sizeof(sim.what) - (size_t)n, "; at %.3f s; %s",
			 (double)(sim.now - 1000 * S) / 1e9, flow);
	sim_trace("FAILED: %s", sim.what);
}

void *sim_grow(void *p, size_t *room, size_t used, size_t size)
{
	if (used < *room)
		return p;
	*room = *room ? *room * 2 : 64;
	p = realloc(p, *room * size);
	if (!p)
		abort();
	return p;
}

/* ---- clock ----------------------------------------------------------------------------- */

static uint64_t node_next(const struct fw *f)
{
	if (f->stalled_until != NEVER)
		return NEVER;
	return f->kind == FW_LINUX ? lin_next(f) : pf_next(f);
}

void sim_run(uint64_t until)
{
	while (!sim.failed) {
		uint64_t at = wire_next(), next = plan_next();
		struct fw *who = NULL;

		for (unsigned i = 0; i < sim.fws; i++) {
			uint64_t t = node_next(&sim.fw[i]);

			if (t < at) {
				at = t;
				who = &sim.fw[i];
			}
		}
		if (next < at ? next > until : at > until)
			break;
		if (next < at) {
			if (next > sim.now)
				sim.now = next;
			plan_due();
			continue;
		}
		if (at > sim.now)
			sim.now = at;
		if (!who)
			wire_step();
		else if (who->kind == FW_LINUX)
			lin_due(who);
		else
			pf_due(who);
	}
	if (!sim.failed && sim.now < until)
		sim.now = until;
}

/* ---- seeds ----------------------------------------------------------------------------- */

static bool run_seed(const struct scenario *sc, uint64_t seed, bool verbose)
{
	wire_reset();
	conn_reset();
	memset(&sim, 0, offsetof(struct sim, conn));
	memset((char *)&sim + offsetof(struct sim, conns), 0,
	       sizeof(sim) - offsetof(struct sim, conns));
	sim.seed = sim.rng = seed;
	sim.now = 1000 * S;
	sim.hash = 0xcbf29ce484222325ull;
	sim.scenario = sc;
	sim.verbose = verbose;
	plan_run();
	for (unsigned i = 0; i < sim.fws; i++) {
		if (sim.fw[i].kind == FW_LINUX)
			lin_free(&sim.fw[i]);
		else
			pf_free(&sim.fw[i]);
	}
	if (sim.failed)
		printf("%s seed %llu: %s; replay: sim --scenario %s --seed %llu --verbose\n",
		       sc->name, (unsigned long long)seed, sim.what, sc->name,
		       (unsigned long long)seed);
	return !sim.failed;
}

/* The same seed has the same trace. */
static bool run_again(const struct scenario *sc, uint64_t seed)
{
	uint64_t hash = sim.hash;

	if (!run_seed(sc, seed, false))
		return false;
	if (sim.hash == hash)
		return true;
	printf("%s seed %llu: another trace the second time\n", sc->name, (unsigned long long)seed);
	return false;
}

static int usage(void)
{
	const struct scenario *sc;

	fprintf(stderr,
		"usage: sim [--seeds N] [--from N] [--seed S] [--scenario NAME] [--verbose]\n"
		"scenarios:");
	for (size_t i = 0; (sc = plan_nth(i)); i++)
		fprintf(stderr, " %s", sc->name);
	fprintf(stderr, "\n");
	return 2;
}

int main(int argc, char **argv)
{
	const struct scenario *only = NULL;
	uint64_t seeds = SEEDS, from = 1, failed = 0, ran = 0, flows = 0, hung = 0, packets = 0,
		 together = 0;
	uint64_t excused[EXCUSE_COUNT] = {0};
	bool verbose = false;

	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (!strcmp(argv[i], "--verbose")) {
			verbose = true;
			continue;
		}
		if (!value)
			return usage();
		i++;
		if (!strcmp(argv[i - 1], "--seeds")) {
			seeds = strtoull(value, NULL, 10);
		} else if (!strcmp(argv[i - 1], "--from")) {
			from = strtoull(value, NULL, 10);
		} else if (!strcmp(argv[i - 1], "--seed")) {
			from = strtoull(value, NULL, 10);
			seeds = 1;
		} else if (!strcmp(argv[i - 1], "--scenario")) {
			only = plan_scenario(value);
			if (!only)
				return usage();
		} else {
			return usage();
		}
	}
	while (plan_nth(together))
		together++;
	for (uint64_t seed = from; seed < from + seeds; seed++) {
		/* a seed stands for one scenario after another, unless one is named */
		const struct scenario *sc = only ? only : plan_nth(seed % together);

		ran++;
		failed += !run_seed(sc, seed, verbose);
		flows += sim.opened;
		hung += sim.hung;
		packets += sim.packets;
		for (int i = 0; i < EXCUSE_COUNT; i++)
			excused[i] += sim.excused[i];
		if (!sim.failed && seed % TWICE_EVERY == 0)
			failed += !run_again(sc, seed);
	}
	printf("%llu runs, %llu failed; %llu flows, of which %llu hung by faults; %llu packets\n",
	       (unsigned long long)ran, (unsigned long long)failed, (unsigned long long)flows,
	       (unsigned long long)hung, (unsigned long long)packets);
	printf("excused deaths: lost by the node %llu, other programs %llu, pf in trouble %llu, "
	       "window %llu\n",
	       (unsigned long long)excused[EXCUSE_LOST], (unsigned long long)excused[EXCUSE_OTHERS],
	       (unsigned long long)excused[EXCUSE_PF], (unsigned long long)excused[EXCUSE_WINDOW]);
	return failed ? 1 : 0;
}
