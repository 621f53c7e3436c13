/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the service manager that started us hears (libsystemd). Where there is none, or the build
 * is without libsystemd, nothing happens. A manager that does not listen is no fault of ours:
 * there are no errors.
 */
#ifndef PFSYNC_NOTIFY_H
#define PFSYNC_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* Somebody listens. */
bool notify_wanted(void);

/* Nanoseconds from one notify_alive() to the next: half of what is allowed. 0: none is expected. */
uint64_t notify_alive_every(void);
void notify_alive(void);

/* The start, or a reload, is over. */
void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);

/* One line for people. */
void notify_status(const char *line);

#endif
