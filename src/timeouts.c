/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "timeouts.h"

#include <stddef.h>

static const struct {
	const char *name;
	uint32_t seconds;
} defaults[PFTM_COUNT] = {
	[PFTM_TCP_FIRST] = {"tcp.first", 120},
	[PFTM_TCP_OPENING] = {"tcp.opening", 30},
	[PFTM_TCP_ESTABLISHED] = {"tcp.established", 86400},
	[PFTM_TCP_CLOSING] = {"tcp.closing", 900},
	[PFTM_TCP_FINWAIT] = {"tcp.finwait", 45},
	[PFTM_TCP_CLOSED] = {"tcp.closed", 90},
	[PFTM_UDP_FIRST] = {"udp.first", 60},
	[PFTM_UDP_SINGLE] = {"udp.single", 30},
	[PFTM_UDP_MULTIPLE] = {"udp.multiple", 60},
	[PFTM_ICMP_FIRST] = {"icmp.first", 20},
	[PFTM_ICMP_ERROR] = {"icmp.error", 10},
	[PFTM_OTHER_FIRST] = {"other.first", 60},
	[PFTM_OTHER_SINGLE] = {"other.single", 30},
	[PFTM_OTHER_MULTIPLE] = {"other.multiple", 60},
	[PFTM_SCTP_FIRST] = {"sctp.first", 120},
	[PFTM_SCTP_OPENING] = {"sctp.opening", 30},
	[PFTM_SCTP_ESTABLISHED] = {"sctp.established", 86400},
	[PFTM_SCTP_CLOSING] = {"sctp.closing", 900},
	[PFTM_SCTP_CLOSED] = {"sctp.closed", 90},
};

void timeouts_default(struct timeouts *t)
{
	for (size_t i = 0; i < PFTM_COUNT; i++)
		t->seconds[i] = defaults[i].seconds;
}

const char *timeout_name(unsigned index)
{
	return index < PFTM_COUNT ? defaults[index].name : NULL;
}

static unsigned of_states(unsigned index)
{
	return index < PFTM_COUNT && defaults[index].name ? index : PFTM_OTHER_MULTIPLE;
}

uint32_t timeout_default(unsigned index)
{
	return defaults[of_states(index)].seconds;
}

uint32_t timeout_seconds(const struct timeouts *t, unsigned index)
{
	return t->seconds[of_states(index)];
}
