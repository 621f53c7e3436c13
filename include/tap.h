/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts what comes in on an interface before any packet filter sees it: pfsync packets, and ICMP
 * that says somebody does not take them. Nothing is read: the kernel counts what passes the filter
 * of a packet socket even where there is no room for it. Functions return 0 or -errno.
 */
#ifndef PFSYNC_TAP_H
#define PFSYNC_TAP_H

#include <stdbool.h>
#include <stdint.h>

enum tap_kind { TAP_PFSYNC, TAP_UNREACHABLE };

/* group: what is sent to a group counts as well. Needs CAP_NET_RAW. The descriptor is the caller's
 * to close. */
int tap_open(int *fd, unsigned index, enum tap_kind kind, bool group);

/* How many since the last call; 0 if that cannot be told. */
uint64_t tap_count(int fd);

#endif
