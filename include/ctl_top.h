/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pfsyncctl top: a live screen. */
#ifndef PFSYNC_CTL_TOP_H
#define PFSYNC_CTL_TOP_H

/* Runs until the user ends it; the exit status. Reconnects when the daemon is restarted. */
int ctl_top(const char *socket);

#endif
