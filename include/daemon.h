/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon as a whole: ordered start, loop, reverse stop. */
#ifndef PFSYNC_DAEMON_H
#define PFSYNC_DAEMON_H

#include <stdbool.h>

/*
 * Runs until a signal ends it. ready (a file descriptor, -1: none) gets one byte once everything
 * is up. Returns the exit status; what went wrong was said.
 */
int daemon_run(const char *file, bool foreground, int ready);

#endif
