/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctstate.h"

#include <stddef.h>

#include "flow.h"
#include "pfstate.h"
#include "timeouts.h"

static struct pf_pair tcp_to_pf(uint8_t state)
{
	switch (state) {
	case CT_TCP_SYN_RECV:
		return (struct pf_pair){PF_TCP_ESTABLISHED, PF_TCP_SYN_SENT, 0};
	case CT_TCP_SYN_SENT2:
		return (struct pf_pair){PF_TCP_SYN_SENT, PF_TCP_SYN_SENT, 0};
	case CT_TCP_ESTABLISHED:
		return (struct pf_pair){PF_TCP_ESTABLISHED, PF_TCP_ESTABLISHED, 0};
	case CT_TCP_FIN_WAIT:
		return (struct pf_pair){PF_TCP_CLOSING, PF_TCP_ESTABLISHED, 0};
	case CT_TCP_CLOSE_WAIT:
		return (struct pf_pair){PF_TCP_FIN_WAIT_2, PF_TCP_ESTABLISHED, 0};
	case CT_TCP_LAST_ACK:
		return (struct pf_pair){PF_TCP_FIN_WAIT_2, PF_TCP_CLOSING, 0};
	case CT_TCP_TIME_WAIT:
		return (struct pf_pair){PF_TCP_FIN_WAIT_2, PF_TCP_FIN_WAIT_2, 0};
	case CT_TCP_CLOSE:
		return (struct pf_pair){PF_TCP_TIME_WAIT, PF_TCP_TIME_WAIT, 0};
	default:
		return (struct pf_pair){PF_TCP_SYN_SENT, PF_TCP_CLOSED, 0};
	}
}

uint8_t pf_timeout_of(uint8_t proto, uint8_t src, uint8_t dst, uint8_t index)
{
	if (proto == PROTO_TCP) {
		if (src >= PF_TCP_FIN_WAIT_2 && dst >= PF_TCP_FIN_WAIT_2)
			return PFTM_TCP_CLOSED;
		if (src >= PF_TCP_CLOSING && dst >= PF_TCP_CLOSING)
			return PFTM_TCP_FINWAIT;
		if (src < PF_TCP_ESTABLISHED || dst < PF_TCP_ESTABLISHED)
			return dst ? PFTM_TCP_OPENING : PFTM_TCP_FIRST;
		if (src >= PF_TCP_CLOSING || dst >= PF_TCP_CLOSING)
			return PFTM_TCP_CLOSING;
		return PFTM_TCP_ESTABLISHED;
	}
	if (proto_is_icmp(proto))
		return index;
	if (proto == PROTO_SCTP && index >= PFTM_SCTP_FIRST) { /* else it is one of the others */
		if (src >= PF_SCTP_ESTABLISHED && dst >= PF_SCTP_ESTABLISHED)
			return PFTM_SCTP_ESTABLISHED;
		if (!src && !dst)
			return PFTM_SCTP_CLOSED;
		return dst ? PFTM_SCTP_OPENING : PFTM_SCTP_FIRST;
	}
	if (src >= PF_OTHER_MULTIPLE && dst >= PF_OTHER_MULTIPLE)
		return proto == PROTO_UDP ? PFTM_UDP_MULTIPLE : PFTM_OTHER_MULTIPLE;
	if (dst)
		return proto == PROTO_UDP ? PFTM_UDP_SINGLE : PFTM_OTHER_SINGLE;
	return proto == PROTO_UDP ? PFTM_UDP_FIRST : PFTM_OTHER_FIRST;
}

struct pf_pair ctstate_to_pf(uint8_t proto, uint8_t state, bool reply_closed_first, uint32_t status)
{
	struct pf_pair p = {0};

	if (proto == PROTO_TCP) {
		p = tcp_to_pf(state);
		if (reply_closed_first && p.src >= PF_TCP_CLOSING)
			p = (struct pf_pair){p.dst, p.src, 0};
	} else if (proto_is_icmp(proto)) {
		p.timeout = status & CT_STATUS_SEEN_REPLY ? PFTM_ICMP_ERROR : PFTM_ICMP_FIRST;
	} else if (proto == PROTO_SCTP) {
		p = (struct pf_pair){PF_SCTP_COOKIE_WAIT, 0, PFTM_SCTP_FIRST};
		if (state >= CT_SCTP_ESTABLISHED && state <= CT_SCTP_SHUTDOWN_ACK_SENT)
			p.src = p.dst = PF_SCTP_ESTABLISHED;
	} else if (status & CT_STATUS_ASSURED) {
		p = (struct pf_pair){PF_OTHER_MULTIPLE, PF_OTHER_MULTIPLE, 0};
	} else if (status & CT_STATUS_SEEN_REPLY) {
		p = (struct pf_pair){PF_OTHER_MULTIPLE, PF_OTHER_SINGLE, 0};
	} else {
		p = (struct pf_pair){PF_OTHER_SINGLE, 0, 0};
	}
	p.timeout = pf_timeout_of(proto, p.src, p.dst, p.timeout);
	return p;
}

uint8_t ctstate_from_pf(uint8_t src, uint8_t dst)
{
	uint8_t high = src > dst ? src : dst, low = src > dst ? dst : src;

	if (high >= PF_TCP_PROXY_SRC || (high == 0 && low == 0))
		return CT_TCP_ESTABLISHED;
	if (low >= PF_TCP_TIME_WAIT)
		return CT_TCP_CLOSE;
	if (low >= PF_TCP_FIN_WAIT_2)
		return CT_TCP_TIME_WAIT;
	if (low > PF_TCP_ESTABLISHED)
		return CT_TCP_LAST_ACK;
	if (high >= PF_TCP_FIN_WAIT_2)
		return CT_TCP_CLOSE_WAIT;
	if (high > PF_TCP_ESTABLISHED)
		return CT_TCP_FIN_WAIT;
	return low == PF_TCP_ESTABLISHED ? CT_TCP_ESTABLISHED : CT_TCP_SYN_RECV;
}

uint8_t ctstate_sctp_from_pf(uint8_t src, uint8_t dst)
{
	return src || dst ? CT_SCTP_ESTABLISHED : CT_SCTP_CLOSED;
}

uint32_t ctstatus_from_pf(uint8_t proto, uint8_t dst, uint8_t timeout)
{
	bool replied;

	if (proto == PROTO_TCP)
		replied = true;
	else if (proto_is_icmp(proto))
		replied = timeout != PFTM_ICMP_FIRST;
	else
		replied = dst > 0;
	return CT_STATUS_CONFIRMED | (replied ? (uint32_t)CT_STATUS_SEEN_REPLY : 0);
}

const char *ct_tcp_name(uint8_t state)
{
	static const char *const names[CT_TCP_COUNT] = {
		"NONE",	      "SYN_SENT", "SYN_RECV",  "ESTABLISHED", "FIN_WAIT",
		"CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",	      "SYN_SENT2",
	};

	return state < CT_TCP_COUNT ? names[state] : NULL;
}
