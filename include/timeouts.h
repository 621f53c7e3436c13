/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pf's timeout indexes: names as in `set timeout`, default seconds (pfsync-protocol 7.4). */
#ifndef PFSYNC_TIMEOUTS_H
#define PFSYNC_TIMEOUTS_H

#include <stdint.h>

enum pf_timeout {
	PFTM_TCP_FIRST,
	PFTM_TCP_OPENING,
	PFTM_TCP_ESTABLISHED,
	PFTM_TCP_CLOSING,
	PFTM_TCP_FINWAIT,
	PFTM_TCP_CLOSED,
	PFTM_UDP_FIRST,
	PFTM_UDP_SINGLE,
	PFTM_UDP_MULTIPLE,
	PFTM_ICMP_FIRST,
	PFTM_ICMP_ERROR,
	PFTM_OTHER_FIRST,
	PFTM_OTHER_SINGLE,
	PFTM_OTHER_MULTIPLE,
	/* 14 to 19 are no timeouts of states */
	PFTM_SCTP_FIRST = 20,
	PFTM_SCTP_OPENING,
	PFTM_SCTP_ESTABLISHED,
	PFTM_SCTP_CLOSING,
	PFTM_SCTP_CLOSED,
	PFTM_COUNT
};

struct timeouts {
	uint32_t seconds[PFTM_COUNT];
};

/* pf's defaults. */
void timeouts_default(struct timeouts *t);

/* The default of one index, in seconds; as timeout_seconds() for an index that no state has. */
uint32_t timeout_default(unsigned index);

/* "tcp.established"; NULL for an index that no state has. */
const char *timeout_name(unsigned index);

/* Seconds of an index; the indexes that no state has count as other.multiple. */
uint32_t timeout_seconds(const struct timeouts *t, unsigned index);

#endif
