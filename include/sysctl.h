/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel settings under /proc/sys as numbers, in the network namespace of the calling thread. */
#ifndef PFSYNC_SYSCTL_H
#define PFSYNC_SYSCTL_H

#include <stdint.h>

/*
 * The first number of a setting; name with slashes, as in "net/netfilter/nf_conntrack_max".
 * 0 or -errno: -ENOENT if there is no such setting, -EINVAL if it is no number.
 */
int sysctl_read(const char *name, int64_t *value);

/* 0 or -errno. */
int sysctl_write(const char *name, int64_t value);

#endif
