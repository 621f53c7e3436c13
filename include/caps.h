/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Privileges: CAP_NET_ADMIN and CAP_NET_RAW, and nothing else. */
#ifndef PFSYNC_CAPS_H
#define PFSYNC_CAPS_H

/* -EPERM if one of the two is not in effect: missing then names it (static storage). */
int caps_check(const char **missing);

/*
 * Gives up every capability but the two, out of the bounding set too where that is allowed. The
 * user stays the same. -EPERM if one of the two is not there: missing then names it (static
 * storage), else it is NULL; other -errno if giving up fails.
 */
int caps_drop(const char **missing);

#endif
