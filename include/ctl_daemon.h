/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client's side of the control socket (control.h has the protocol). */
#ifndef PFSYNC_CTL_DAEMON_H
#define PFSYNC_CTL_DAEMON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* NULL with errno set if nobody answers there. */
FILE *ctl_connect(const char *socket);

/* args ends with NULL. */
bool ctl_ask(FILE *daemon, const char *command, char *const *args);

/* The next line as an object, NULL at the end or if it is none. line and size as for getline(). */
json_t *ctl_next(FILE *daemon, char **line, size_t *size);

/* The object that answers a command without arguments; NULL if there is none. */
json_t *ctl_object(const char *socket, const char *command);

#endif
