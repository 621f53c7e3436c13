/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows libsystemd. */
#include "config.h"

#include "notify.h"

#ifdef HAVE_SYSTEMD

#include <inttypes.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <time.h>

bool notify_wanted(void)
{
	return getenv("NOTIFY_SOCKET") != NULL;
}

uint64_t notify_alive_every(void)
{
	uint64_t us = 0;

	return sd_watchdog_enabled(0, &us) > 0 ? us * 1000 / 2 : 0;
}

void notify_alive(void)
{
	(void)sd_notify(0, "WATCHDOG=1");
}

void notify_ready(void)
{
	(void)sd_notify(0, "READY=1");
}

/* The manager compares the time with that of its request: it must be this moment's. */
void notify_reloading(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
			 (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000);
}

void notify_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1");
}

void notify_status(const char *line)
{
	(void)sd_notifyf(0, "STATUS=%s", line);
}

#else

bool notify_wanted(void)
{
	return false;
}

uint64_t notify_alive_every(void)
{
	return 0;
}

void notify_alive(void)
{
}

void notify_ready(void)
{
}

void notify_reloading(void)
{
}

void notify_stopping(void)
{
}

void notify_status(const char *line)
{
	(void)line;
}

#endif
