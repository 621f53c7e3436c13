/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

static const struct {
	int priority;
	const char *word;
} level_info[] = {
	[LOG_LEVEL_ERR] = {LOG_ERR, "error: "},
	[LOG_LEVEL_WARNING] = {LOG_WARNING, "warning: "},
	[LOG_LEVEL_NOTICE] = {LOG_NOTICE, ""},
	[LOG_LEVEL_INFO] = {LOG_INFO, ""},
	[LOG_LEVEL_DEBUG] = {LOG_DEBUG, "debug: "},
};

void log_open(struct log *log, const char *name, bool foreground, enum log_level level)
{
	memset(log, 0, sizeof(*log));
	log->foreground = foreground;
	log->level = level;
	if (!foreground)
		openlog(name, LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

void log_close(struct log *log)
{
	if (!log->foreground)
		closelog();
}

static void log_write(struct log *log, enum log_level level, const char *format, va_list ap)
	__attribute__((format(printf, 3, 0)));

static void log_write(struct log *log, enum log_level level, const char *format, va_list ap)
{
	char line[1024];

	if (level > log->level)
		return;
	vsnprintf(line, sizeof(line), format, ap);
	/* A peer or a user may have had a hand in it: one line stays one line. */
	for (char *p = line; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
	}
	if (log->foreground)
		fprintf(stderr, "%s%s\n", level_info[level].word, line);
	else
		syslog(level_info[level].priority, "%s%s", level_info[level].word, line);
}

void log_say(struct log *log, enum log_level level, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_write(log, level, format, ap);
	va_end(ap);
}

/* Begins a new period of a key if the old one is over. */
static void limit_renew(struct log *log, struct log_limit *l, uint64_t now)
{
	const uint64_t period = LOG_SECONDS * UINT64_C(1000000000);

	if (!l->count || now - l->since < period)
		return;
	if (l->left_out)
		log_say(log, l->level, "%u more such messages were left out", l->left_out);
	l->count = 0;
	l->left_out = 0;
}

void log_limited(struct log *log, unsigned key, uint64_t now, enum log_level level,
		 const char *format, ...)
{
	struct log_limit *l = &log->limit[key % LOG_KEYS];
	va_list ap;

	if (level > log->level)
		return;
	limit_renew(log, l, now);
	if (!l->count)
		l->since = now;
	l->level = level;
	if (l->count++ >= LOG_LIMIT) {
		l->left_out++;
		return;
	}
	va_start(ap, format);
	log_write(log, level, format, ap);
	va_end(ap);
}

void log_tick(struct log *log, uint64_t now)
{
	for (unsigned i = 0; i < LOG_KEYS; i++)
		limit_renew(log, &log->limit[i], now);
}
