/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages for people: to stderr in the foreground, else to syslog (facility daemon). */
#ifndef PFSYNC_LOG_H
#define PFSYNC_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_NOTICE,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

enum { LOG_KEYS = 96, LOG_LIMIT = 5, LOG_SECONDS = 10 };

struct log {
	bool foreground;
	enum log_level level; /* what is less important is left out */
	struct log_limit {
		uint64_t since; /* ns */
		unsigned count, left_out;
		enum log_level level;
	} limit[LOG_KEYS];
};

/* name as in syslog; it must live as long as the log. */
void log_open(struct log *log, const char *name, bool foreground, enum log_level level);
void log_close(struct log *log);

/* One line; no newline at the end of format. */
void log_say(struct log *log, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * At most LOG_LIMIT lines of one key (below LOG_KEYS) in LOG_SECONDS; how many were left out is
 * told with the next one, or by log_tick(). now: ns of a clock that never goes back.
 */
void log_limited(struct log *log, unsigned key, uint64_t now, enum log_level level,
		 const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Tells what was left out of keys whose time is over; to be called every few seconds. */
void log_tick(struct log *log, uint64_t now);

#endif
