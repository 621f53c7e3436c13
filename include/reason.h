/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every reason to refuse, drop or skip something. Each value is a counter; its string is the word
 * in the log, the key in JSON and the label in the metrics. Nothing is dropped without one.
 */
#ifndef PFSYNC_REASON_H
#define PFSYNC_REASON_H

/* name, word, what it means (shown by pfsyncctl counters and in the man page) */
#define REASONS(X)                                                                                 \
	X(NONE, "none", "accepted")                                                                \
	/* the packet as a whole */                                                                \
	X(INTERFACE, "interface", "packet came in on another interface than the sync link")        \
	X(TTL, "ttl", "packet with a TTL or hop limit other than 255")                             \
	X(SOURCE, "source", "packet from a source that is not accepted")                           \
	X(OWN_PACKET, "own-packet", "one of our own packets came back")                            \
	X(SHORT_HEADER, "short-header", "packet shorter than the pfsync header")                   \
	X(VERSION, "version", "header version that this link's dialect does not have")             \
	X(LENGTH, "length", "header length beyond the packet or below the header")                 \
	X(MODE, "mode", "message that the mode of this link does not take")                        \
	/* a section */                                                                            \
	X(ACTION, "action", "unknown action; on FreeBSD the rest of the packet is lost with it")   \
	X(STRIDE, "stride", "section with messages shorter than their kind")                       \
	X(TRUNCATED, "truncated", "section that says it holds more than the packet does")          \
	/* a state */                                                                              \
	X(CREATOR_ZERO, "creatorid-zero", "state with id or creatorid 0")                          \
	X(TIMEOUT_INDEX, "timeout-index", "state with a timeout index the dialect does not know")  \
	X(PEER_STATE, "peer-state", "state with a peer state above 12")                            \
	X(DIRECTION, "direction", "state that is neither in nor out")                              \
	X(ADDRESS_FAMILY, "address-family",                                                        \
	  "state with an address family the dialect does not know")                                \
	X(AF_TO, "af-to", "state that translates between IPv4 and IPv6; kept, not installed")      \
	X(SEQDIFF, "seqdiff",                                                                      \
	  "shifted sequence numbers: state not wholly known, kept; own entry, not told")           \
	X(SCTP_TAGS, "sctp-tags",                                                                  \
	  "SCTP state without its ports or verification tags; kept, not installed")                \
	X(KEYED, "keyed",                                                                          \
	  "entry with ports or keys that pf does not track (GRE with keys, UDP-Lite); not told")   \
	X(SYNPROXY, "synproxy", "state in a synproxy handshake; kept, not installed")              \
	X(TS_MODULATED, "timestamp-modulation",                                                    \
	  "state with modulated timestamps; kept, not installed")                                  \
	X(ROUTE_TO, "route-to", "state with a route-to or reply-to; kept, not installed")          \
	X(RDOMAIN, "rdomain", "state of another routing domain; kept, not installed")              \
	X(NAT_FORM, "nat-form",                                                                    \
	  "translation on the side where Linux cannot do it; kept, not installed")                 \
	X(ICMP_TYPE, "icmp-type", "ICMP state that is no query with an id")                        \
	X(PROTOCOL, "protocol", "state of pfsync or another protocol that is never synchronised")  \
	X(LINK_LOCAL, "link-local", "state with a link-local, multicast or loopback address")      \
	X(EXCLUDED, "excluded", "flow that announce.exclude names")                                \
	X(PROTECTED, "protected", "state that covers an address of import.protect")                \
	X(MAX_STATES, "max-states", "state beyond import.max-states")                              \
	X(PEER_MAX_STATES, "peer-max-states",                                                      \
	  "state beyond what one peer may have of import.max-states")                              \
	X(MAX_RATE, "max-rate", "state beyond import.max-rate")                                    \
	X(IFNAMES, "interface-names",                                                              \
	  "interface name of a state beyond those that are remembered; taken as all")              \
	X(ACTIONS, "state-options",                                                                \
	  "tag, route or other options of a state beyond those that are remembered; not kept")     \
	X(PEERS, "peers", "peer forgotten because there are too many")                             \
	X(KEY_CLASH, "key-clash", "state that contradicts a flow which lives here")                \
	X(OTHER_NAME, "other-name", "state under a second name for a flow that has one already")   \
	X(STALE, "stale", "update that lags behind what is known; answered")                       \
	X(UNKNOWN_ID, "unknown-id", "update of an unknown state; asked for")                       \
	X(UNKNOWN_REQUEST, "unknown-request", "request for a state that is not known")             \
	X(UNKNOWN_DELETE, "unknown-delete", "deletion of a state that is not known")               \
	X(LIVE_DELETE, "live-delete", "deletion of a flow that is alive here; told again")         \
	X(OTHER_DELETE, "other-delete",                                                            \
	  "deletion by another peer than the one that carries the flow; not obeyed")               \
	X(ENDED, "ended", "state in a bulk update that was deleted a moment ago; not taken")       \
	X(RELAY_COPY, "relay-copy",                                                                \
	  "copy by another relay, or a word older than the carrier's; passed over")                \
	X(REQUEST_RATE, "request-rate",                                                            \
	  "request for a state beyond those answered in a second; not answered")                   \
	X(CLEARS, "clears", "CLR beyond those that are worked on already")                         \
	X(CLR_INTERFACE, "clear-interface", "CLR with an interface name; not obeyed")              \
	X(TDB_IGNORED, "tdb", "IPsec counter message; not for us")                                 \
	X(BUS_IGNORED, "bus", "bulk status that nothing here waits for")                           \
	/* the kernel */                                                                           \
	X(KERNEL_CLASH, "kernel-clash", "another kernel entry holds the reply tuple")              \
	X(KERNEL_FULL, "kernel-full", "the kernel's conntrack table is full")                      \
	X(KERNEL_ERROR, "kernel-error", "the kernel refused an entry for another reason")          \
	X(NO_NAT_CHAIN, "no-nat-chain",                                                            \
	  "translated flow, but no nat base chain rewrites its packets")                           \
	X(NO_MEMORY, "no-memory", "out of memory")                                                 \
	/* our own side */                                                                         \
	X(LOCAL, "local", "flow that ends on this host")                                           \
	X(NOT_YET, "not-yet", "flow that is not as far as announce wants it")                      \
	X(HOSTID_CLASH, "hostid-clash", "another node on the link uses our hostid")                \
	X(OPTIONS_LOST, "options-lost",                                                            \
	  "state told without options, like its tag, that the other dialect has no field for")     \
	X(UNTOLD, "not-tellable", "state that the other dialect cannot express; not told in it")   \
	X(OUTGOING, "outgoing", "packet of ours that no pf would send; not sent")                  \
	X(SEND_ERROR, "send-error", "the kernel did not take a packet of ours")

enum reason {
#define X(name, word, text) R_##name,
	REASONS(X)
#undef X
		R_COUNT
};

/* The word of a reason; never NULL. */
const char *reason_word(enum reason r);

/* What it means, one sentence without a full stop; never NULL. */
const char *reason_text(enum reason r);

#endif
