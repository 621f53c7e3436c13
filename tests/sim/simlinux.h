/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A Linux node, for those who look into it. */
#ifndef PFSYNC_SIMLINUX_H
#define PFSYNC_SIMLINUX_H

#include "simkernel.h"

struct lin {
	struct engine *e; /* NULL: it does not run */
	struct engine_config config;
	struct ktable kernel;
	uint64_t next; /* when the engine wants to run */
	uint64_t gc_at;
	uint64_t dump_at; /* next portion; NEVER: none under way */
	size_t dumped;
	struct kernel_entry portion[32]; /* read, and on its way to the daemon */
	size_t portions;
	uint64_t told_lost_at;
	uint64_t pressure_at, memory_at;
	uint64_t second, runs; /* of the engine, in this second */
	uint64_t before[C_COUNT];
};

bool lin_claims(const struct fw *f, const struct tuples *t); /* its engine says: mine */
uint64_t lin_counter(const struct fw *f, enum counter c);

#endif
