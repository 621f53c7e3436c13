/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What pfsyncctl top shows, as lines of text; rates are those since the last time it was asked. */
#ifndef PFSYNC_CTL_LIVE_H
#define PFSYNC_CTL_LIVE_H

#include <stdio.h>

/* The first character of each line says how it looks. */
enum { LIVE_PLAIN = ' ', LIVE_HEAD = '#', LIVE_BAD = '!', LIVE_GOOD = '+' };

struct ctl_live;

struct ctl_live *ctl_live_new(const char *socket);
void ctl_live_free(struct ctl_live *l);

/* Asks the daemon and writes the lines; that it does not answer is a line as well. */
void ctl_live_lines(struct ctl_live *l, FILE *out);

#endif
