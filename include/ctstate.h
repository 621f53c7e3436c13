/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conntrack's protocol states and pf's pair of peer states, each way. pf knows who closed first
 * by which peer is ahead, conntrack by the CLOSE_INIT flag of that direction.
 */
#ifndef PFSYNC_CTSTATE_H
#define PFSYNC_CTSTATE_H

#include <stdbool.h>
#include <stdint.h>

/* TCP states and flags as linux/netfilter/nf_conntrack_tcp.h numbers them. */
enum ct_tcp {
	CT_TCP_NONE,
	CT_TCP_SYN_SENT,
	CT_TCP_SYN_RECV,
	CT_TCP_ESTABLISHED,
	CT_TCP_FIN_WAIT,
	CT_TCP_CLOSE_WAIT,
	CT_TCP_LAST_ACK,
	CT_TCP_TIME_WAIT,
	CT_TCP_CLOSE,
	CT_TCP_SYN_SENT2,
	CT_TCP_COUNT
};

/* SCTP states as linux/netfilter/nf_conntrack_sctp.h numbers them. */
enum ct_sctp {
	CT_SCTP_NONE,
	CT_SCTP_CLOSED,
	CT_SCTP_COOKIE_WAIT,
	CT_SCTP_COOKIE_ECHOED,
	CT_SCTP_ESTABLISHED,
	CT_SCTP_SHUTDOWN_SENT,
	CT_SCTP_SHUTDOWN_RECD,
	CT_SCTP_SHUTDOWN_ACK_SENT,
	CT_SCTP_HEARTBEAT_SENT,
};

enum {
	CT_TCP_FLAG_WINDOW_SCALE = 0x01,
	CT_TCP_FLAG_SACK_PERM = 0x02,
	CT_TCP_FLAG_CLOSE_INIT = 0x04,
	CT_TCP_FLAG_LIBERAL = 0x08,
};

/* Status bits as linux/netfilter/nf_conntrack_common.h has them. */
enum {
	CT_STATUS_EXPECTED = 1 << 0,
	CT_STATUS_SEEN_REPLY = 1 << 1,
	CT_STATUS_ASSURED = 1 << 2,
	CT_STATUS_CONFIRMED = 1 << 3,
	CT_STATUS_DYING = 1 << 9,
	CT_STATUS_FIXED_TIMEOUT = 1 << 10, /* packets do not prolong it, nor can a change */
};

struct pf_pair {
	uint8_t src, dst; /* peer states: who opened, who answered */
	uint8_t timeout;  /* index */
};

/*
 * conntrack → pf. TCP: state and whether the reply direction sent the first FIN; SCTP: state; other
 * protocols: status bits. Only numbers that pf's own tracker sets come out (pfsync-protocol 7.1 to
 * 7.3), and of SCTP none of a shutdown, for no pf takes those: DEL_C ends its state.
 */
struct pf_pair ctstate_to_pf(uint8_t proto, uint8_t state, bool reply_closed_first,
			     uint32_t status);

/* pf's pair → timeout index by pf's own rule (7.1, 7.2); index says single or first for non-TCP. */
uint8_t pf_timeout_of(uint8_t proto, uint8_t src, uint8_t dst, uint8_t index);

/*
 * pf → conntrack TCP state. Half-open pairs become SYN_RECV, never SYN_SENT: a SYN_SENT entry
 * drops the packets of a connection that is established meanwhile, SYN_RECV passes them. 0:0
 * (a state that pf relearns) is ESTABLISHED.
 */
uint8_t ctstate_from_pf(uint8_t src, uint8_t dst);

/*
 * The same for SCTP as FreeBSD 14 and later track it. Any pair but a closed one is ESTABLISHED:
 * both tags are known then, and a state of the handshake would not let the rest of it pass.
 */
uint8_t ctstate_sctp_from_pf(uint8_t src, uint8_t dst);

/* CONFIRMED, with SEEN_REPLY where the pair says that both sides spoke; never ASSURED. */
uint32_t ctstatus_from_pf(uint8_t proto, uint8_t dst, uint8_t timeout);

/* "ESTABLISHED", ... ; NULL if there is no such state. */
const char *ct_tcp_name(uint8_t state);

#endif
