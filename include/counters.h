/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters of what was done (what was not done: reason.h). One table for text, JSON and metrics. */
#ifndef PFSYNC_COUNTERS_H
#define PFSYNC_COUNTERS_H

#include <stdint.h>

#include "reason.h"

/* name, key, what it counts */
#define COUNTERS(X)                                                                                \
	X(PACKETS_IN, "packets-in", "pfsync packets received")                                     \
	X(BYTES_IN, "bytes-in", "bytes of pfsync received, without the IP header")                 \
	X(PACKETS_OUT, "packets-out", "pfsync packets sent")                                       \
	X(BYTES_OUT, "bytes-out", "bytes of pfsync sent, without the IP header")                   \
	X(INS_IN, "ins-in", "INS received")                                                        \
	X(UPD_IN, "upd-in", "UPD received")                                                        \
	X(UPD_C_IN, "upd-c-in", "UPD_C received")                                                  \
	X(DEL_IN, "del-in", "DEL_C and DEL received")                                              \
	X(UPD_REQ_IN, "upd-req-in", "UPD_REQ for single states received")                          \
	X(INS_ACK_IN, "ins-ack-in", "INS_ACK received")                                            \
	X(CLR_IN, "clr-in", "CLR received")                                                        \
	X(BULK_REQUEST_IN, "bulk-request-in", "bulk update requests received")                     \
	X(INS_OUT, "ins-out", "INS sent")                                                          \
	X(UPD_OUT, "upd-out", "UPD sent")                                                          \
	X(UPD_C_OUT, "upd-c-out", "UPD_C sent")                                                    \
	X(DEL_C_OUT, "del-c-out", "DEL_C sent")                                                    \
	X(UPD_REQ_OUT, "upd-req-out", "UPD_REQ for single states sent")                            \
	X(INS_ACK_OUT, "ins-ack-out", "INS_ACK sent")                                              \
	X(BULK_REQUEST_OUT, "bulk-request-out", "bulk update requests sent")                       \
	X(BULK_ANSWER_OUT, "bulk-answer-out", "bulk updates answered")                             \
	X(BULK_DONE, "bulk-done", "bulk updates received to their end")                            \
	X(BULK_FAILED, "bulk-failed", "bulk requests that nobody answered to the end")             \
	X(EVENTS, "events", "conntrack events read")                                               \
	X(EVENT_OVERRUN, "event-overrun", "times the kernel lost conntrack events (ENOBUFS)")      \
	X(PACKET_OVERRUN, "packet-overrun", "packets of peers that the kernel had no room for")    \
	X(DUMPS, "dumps", "kernel table dumps read to their end")                                  \
	X(SWEPT, "swept", "flows that a dump found gone")                                          \
	X(COMMIT_CREATED, "commit-created", "kernel entries created")                              \
	X(COMMIT_UPDATED, "commit-updated", "kernel entries updated")                              \
	X(COMMIT_DELETED, "commit-deleted", "kernel entries deleted")                              \
	X(COMMIT_REPLACED, "commit-replaced", "kernel entries replaced for another translation")   \
	X(TAKEN_OVER, "taken-over", "peers' flows whose traffic began to pass here")               \
	X(HANDED_OVER, "handed-over", "our flows whose traffic a peer carries now")                \
	X(REPLACED_OUT, "replaced-out", "peers' TCP states replaced by ones that pf can carry on") \
	X(RELAYED, "relayed", "messages of peers told on to other links or dialects")              \
	X(REFRESHED, "refreshed", "live flows told again before the peers' timeout")               \
	X(PROBES, "probes", "kernel entries read to see whether their flow lives")                 \
	X(NEVER_TOLD, "never-told", "flows that ended before they were told")                      \
	X(DEFERRED, "deferred", "first packets held back until a peer had their state")            \
	X(DEFER_ACKED, "defer-acknowledged", "held packets let go because a peer had their state") \
	X(DEFER_TIMEOUT, "defer-timeout", "held packets let go after 20 ms")                       \
	X(DEFER_CROWDED, "defer-crowded", "held packets let go because 128 others were held")      \
	X(DEFER_ENDED, "defer-ended", "held packets let go because their flow, or we, ended")      \
	X(DEFER_NO_PEER, "defer-no-peer", "first packets passed at once: no peer is there")        \
	X(DEFER_PASSED, "defer-passed", "first packets passed at once: not told, or told already")

enum counter {
#define X(name, key, text) C_##name,
	COUNTERS(X)
#undef X
		C_COUNT
};

struct counters {
	uint64_t done[C_COUNT];
	uint64_t refused[R_COUNT]; /* by reason; R_NONE is not used */
};

const char *counter_key(enum counter c);
const char *counter_text(enum counter c);

#endif
