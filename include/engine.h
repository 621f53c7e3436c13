/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The core: flow table, peers, merge, send queue, bulk update, refresh. It does no I/O, reads no
 * clock, does not log and never exits. Packets, kernel events and the time come in as arguments;
 * effects go out through struct engine_ops. Times are nanoseconds of a clock that never goes back.
 *
 * Nothing here is reentrant: an op must not call the engine.
 */
#ifndef PFSYNC_ENGINE_H
#define PFSYNC_ENGINE_H

#include "counters.h"
#include "ctstate.h"
#include "dialect.h"
#include "flow.h"
#include "pfstate.h"
#include "timeouts.h"

enum { ENGINE_LINKS_MAX = 8, ENGINE_BATCH = 64 };

/* An IPv4 or IPv6 address without a port. */
struct address {
	uint8_t family; /* 4 or 6 */
	uint8_t addr[16];
};

/* ---- configuration --------------------------------------------------------------------- */

enum link_mode { MODE_BOTH, MODE_RECEIVE_ONLY, MODE_SEND_ONLY };

enum announce_from {		   /* in the order in which a flow reaches them */
		     FROM_NEW,	   /* tcp: syn */
		     FROM_REPLIED, /* tcp: established */
		     FROM_ASSURED,
};

struct prefix_list {
	struct prefix *prefix; /* owned by whoever made the configuration */
	size_t count;
};

struct link_config {
	const char *name;
	const struct dialect *dialect; /* NULL: auto */
	enum link_mode mode;
	bool handover_strict;
	bool defer;		   /* first packets wait for the peers: see engine_on_held() */
	bool ipv6;		   /* packets go over IPv6 */
	struct prefix_list accept; /* empty: on-link addresses of the interface */
	uint32_t flush_ms;
	uint32_t bulk_rate; /* states a second in a bulk answer */
	uint32_t probe_s;   /* between two questions whether a peer hears us; 0: never */
};

struct engine_config {
	uint32_t hostid; /* never 0 */
	struct link_config link[ENGINE_LINKS_MAX];
	size_t links;
	enum announce_from tcp, udp, icmp, other;
	struct prefix_list exclude, vip, protect;
	bool announce_local;
	uint32_t max_states;	  /* flows taken from peers */
	uint32_t peer_max_states; /* of these from one peer; 0: its share */
	uint32_t max_rate;	  /* states a second and peer; 0: no limit */
	bool takeover;		  /* commit = takeover */
	bool tcp_strict;	  /* conntrack.tcp = strict */
	uint32_t name_mask;	  /* bits of the mark that tell the interfaces; 0: none */
	struct timeouts timeouts; /* the peers' */
	uint8_t hash_key[16];	  /* of the table's hashes: random */
};

/* ---- the kernel ------------------------------------------------------------------------ */

struct kernel_entry {
	struct tuples tuples;
	uint32_t id;	    /* CTA_ID as it stands in the message; 0 unknown */
	uint32_t status;    /* CT_STATUS_* */
	uint32_t timeout;   /* seconds left */
	bool has_timeout;   /* absent in the DESTROY of an entry that ran out by itself */
	bool has_tcp_flags; /* absent in DESTROY */
	bool has_counters;
	uint8_t tcp_state;    /* enum ct_tcp */
	uint8_t tcp_flags[2]; /* original, reply */
	uint8_t wscale[2];
	uint64_t packets[2], bytes[2];
	uint8_t sctp_state; /* enum ct_sctp; written by a create alone, as the tags are */
	/* SCTP: verification tag in packets of original and reply; 0 not known */
	uint32_t vtag[2];
	/*
	 * Added to the sequence numbers of the original and of the reply direction, and taken from
	 * the acknowledgements and SACK blocks of the other one; modulo 2^32, 0 is none. Written
	 * by a create alone.
	 */
	uint32_t seqadj[2];
	bool seqadj_moves; /* read: not the same from the first byte on, as helpers make it */
	uint32_t age;	   /* seconds since it was made, 0 where the kernel keeps no timestamps */
	uint32_t mark;
};

enum kernel_event { KERNEL_NEW, KERNEL_UPDATE, KERNEL_DESTROY };

enum kernel_verb {
	KERNEL_CREATE, /* fails with EEXIST if original or reply tuple is taken */
	/* timeout, TCP state and flags, status bits to add (0: none); ENOENT if it is gone */
	KERNEL_CHANGE,
	KERNEL_DELETE, /* by original tuple */
	KERNEL_GET,    /* by original tuple; fills entry */
};

struct kernel_op {
	enum kernel_verb verb;
	struct kernel_entry entry;
	int error;  /* out: 0 or a positive errno */
	void *flow; /* the engine's */
};

/* ---- effects --------------------------------------------------------------------------- */

enum engine_note {		   /* for the log and for `pfsyncctl monitor` */
		   NOTE_SENT,	   /* message of ours: action, flow may be NULL */
		   NOTE_RECEIVED,  /* message of a peer */
		   NOTE_REFUSED,   /* reason, peer */
		   NOTE_COMMITTED, /* verb in detail */
		   NOTE_PEER_APPEARED,
		   NOTE_PEER_DIALECT, /* learned or changed; the name in detail */
		   NOTE_TAKEN_OVER,   /* flow */
		   NOTE_HANDED_OVER,  /* flow */
		   NOTE_BULK_ASKED,
		   NOTE_BULK_DONE,
		   NOTE_BULK_FAILED,
		   NOTE_BULK_ANSWERED,
		   NOTE_OVERRUN,
		   NOTE_IFNAME, /* a peer's states are bound to the one in detail, first seen */
		   NOTE_HOSTID_CLASH,
};

struct note {
	enum engine_note kind;
	enum reason reason;
	enum pf_action action;
	int link;		     /* -1: none */
	const struct address *peer;  /* NULL: none */
	const struct tuples *tuples; /* NULL: none */
	uint64_t id;
	uint32_t creatorid;
	const char *detail; /* NULL: none */
};

struct engine_ops {
	/*
	 * A finished packet for the peers of a link (payload behind the IP header). The adapter
	 * may gather packets until flush_packets. 0 or a positive errno.
	 */
	int (*send)(void *ctx, unsigned link, const uint8_t *data, size_t len);
	void (*flush_packets)(void *ctx);
	/* Carries out n <= ENGINE_BATCH operations in their order and fills their error and entry.
	 */
	void (*kernel)(void *ctx, struct kernel_op *ops, size_t n);
	/* Starts a dump; its entries come through engine_on_dump(), its end by
	 * engine_on_dump_end(). */
	void (*dump)(void *ctx);
	/*
	 * pf interface names for where a flow enters (0) and leaves (1): by its mark if that tells
	 * them, else by its tuples; "all" where an interface has no name, "" where it is not known
	 * now. Both NUL-terminated. NULL if no interface is mapped.
	 */
	void (*interfaces)(void *ctx, const struct tuples *t, uint32_t mark,
			   char name[2][PF_IFNAME_LEN]);
	/* Lets go of a packet of engine_on_held(), out of which it may be called; may be NULL if
	 * no link defers. */
	void (*release)(void *ctx, uint32_t token);
	/* Something worth telling; may be NULL. Everything pointed to is valid during the call. */
	void (*note)(void *ctx, const struct note *n);
};

/* ---- life ------------------------------------------------------------------------------ */

struct engine;

/* config is copied but for what its pointers name: those must live until the next reload. */
struct engine *engine_new(const struct engine_config *config, const struct engine_ops *ops,
			  void *ctx, uint64_t now);
void engine_free(struct engine *e);

/* Tells what still waits: to be called once before the end. Deletes nothing anywhere. */
void engine_finish(struct engine *e, uint64_t now);

/* A new configuration; links must be the same in number and order. Peers and bulks are kept. */
void engine_reload(struct engine *e, const struct engine_config *config, uint64_t now);

/* ---- what comes in --------------------------------------------------------------------- */

struct packet_from {
	struct address src;
	uint8_t ttl;
	bool right_interface;
};

void engine_on_packet(struct engine *e, unsigned link, const struct packet_from *from,
		      const void *data, size_t len, uint64_t now);

/* caused_by_packet: port id 0 (packet, timer, garbage collection), not another program. */
void engine_on_event(struct engine *e, enum kernel_event event, const struct kernel_entry *entry,
		     bool caused_by_packet, uint64_t now);

/*
 * The first packet of a flow is about to leave and held back, under a token of the adapter's; the
 * kernel has no entry of the flow yet. entry: what it is going to have, id 0 where that is not
 * known; NULL if the packet could not be read. ops.release() lets it go: at once where there is
 * nothing to wait for, 20 ms later at the latest.
 */
void engine_on_held(struct engine *e, const struct kernel_entry *entry, uint32_t token,
		    uint64_t now);

/* The kernel lost events. */
void engine_on_overrun(struct engine *e, uint64_t now);

/* Packets that the adapter took and could not send; ones of peers that the kernel had no room for.
 */
void engine_on_packets_lost(struct engine *e, size_t unsent, size_t unread);

void engine_on_dump(struct engine *e, const struct kernel_entry *entry, uint64_t now);
/* complete: false if it was interrupted or failed; it is asked for again then. */
void engine_on_dump_end(struct engine *e, bool complete, uint64_t now);

/* State of a sync link. addrs: its own addresses with their prefix lengths. mtu 0: not there. */
void engine_on_link(struct engine *e, unsigned link, bool up, unsigned mtu,
		    const struct prefix *addrs, size_t count, uint64_t now);

/* All addresses of this host; copied. */
void engine_on_addresses(struct engine *e, const struct address *addrs, size_t count);

/* Routes have changed: the interfaces of live flows are looked at again, soon. */
void engine_on_routes(struct engine *e, uint64_t now);

/* Entries in the kernel's table and the most it takes; decides whether entries get ASSURED. */
void engine_on_pressure(struct engine *e, uint32_t count, uint32_t max);

/* What the kernel is set to give an entry at each packet, in seconds; 0: not known. */
struct kernel_timeouts {
	uint32_t tcp[CT_TCP_COUNT], udp, udp_stream, icmp, icmpv6;
};

/* Until told, only what events show is known. Events win, for a rule may set others. */
void engine_on_timeouts(struct engine *e, const struct kernel_timeouts *t);

/* Whether a nat base chain exists; until told, one is assumed. */
void engine_on_nat_chain(struct engine *e, bool present);

/*
 * Writes to the kernel what packets asked for, does what is due and returns the time of the next
 * call that is needed. To be called after any of the above, at the latest when the returned time
 * has come. Work per call is bounded.
 */
uint64_t engine_run(struct engine *e, uint64_t now);

/* ---- commands -------------------------------------------------------------------------- */

void engine_resync(struct engine *e, uint64_t now);
/* commit = takeover: installs what waits, and what comes until the next flush; how many flows. */
size_t engine_takeover(struct engine *e, uint64_t now);
/*
 * Removes flows told by peers from the kernel and forgets them, or, with commit = takeover, lets
 * them wait again; returns how many.
 */
size_t engine_flush(struct engine *e, uint64_t now);

/* ---- views ----------------------------------------------------------------------------- */

const struct counters *engine_counters(const struct engine *e);

struct flow_view {
	struct tuples tuples;
	bool remote; /* told by a peer */
	bool in_kernel;
	bool live; /* its traffic passes here, as far as known */
	bool told;
	bool waiting;	   /* commit = takeover: for the command */
	uint8_t tcp_state; /* enum ct_tcp, CT_TCP_NONE if not TCP */
	enum reason kept;  /* why it is not installed, R_NONE if it is no such flow */
	uint32_t age;	   /* seconds */
	struct {
		bool present;
		uint64_t id;
		uint32_t creatorid;
		uint8_t src, dst, timeout;
		const char *ifname; /* that it is bound to, or "all" */
	} half[2];		    /* in, out */
};

/*
 * All flows, in no order: start with *cursor 0; false at the end. Flows that come and go between
 * two calls may be missed, none is seen twice.
 */
bool engine_flow_next(const struct engine *e, uint64_t *cursor, struct flow_view *v, uint64_t now);

enum { TOTALS_PROTOS = 4 };

struct engine_totals {
	size_t flows, local, remote, queued;
	/* of engine_totals_walked() */
	size_t in_kernel, live, waiting;
	size_t missing; /* told by peers, and not in the kernel as they should be */
	size_t by_proto[TOTALS_PROTOS][2]; /* tcp, udp, icmp, other; local, remote */
	bool undecided; /* the start is not over: peers were asked, entries not yet told */
};

void engine_totals(const struct engine *e, struct engine_totals *t);
/* The same and what only a walk through the table tells: some 10 ms for a million flows. */
void engine_totals_walked(const struct engine *e, struct engine_totals *t);

enum bulk_state { BULK_IDLE, BULK_ASKED, BULK_RECEIVING };

struct link_view {
	const char *name;
	bool up;
	unsigned mtu;
	enum bulk_state bulk;
	bool ever_synced; /* a bulk update came to its end */
	bool answering;	  /* a bulk answer is under way */
	bool bulk_failed; /* the last request was not answered to the end */
	bool behind;	  /* it came up, and the bulk update since then has not ended yet */
	bool narrow;	  /* short packets of the peers come in, long ones do not */
	size_t peers;
	uint64_t packets_in, packets_out;
};

bool engine_link_view(const struct engine *e, unsigned link, struct link_view *v);

struct peer_view {
	unsigned link;
	struct address addr;
	const struct dialect *dialect; /* as learned; NULL not yet */
	uint8_t version;	       /* of its last header */
	uint32_t hostid[4];	       /* seen in BUS or as creators, latest first; 0: none */
	uint64_t heard;		       /* ns */
	uint64_t first;
	uint64_t packets_in, messages_in;
	uint64_t refused;
	uint32_t states_whole, states_half; /* flows of which it told both halves, or one */
	uint32_t held;			    /* flows that count for it in import.max-states */
	uint64_t answered;		    /* its last answer to a question of ours; 0 never */
	uint64_t deaf; /* what it was asked since then it did not answer; 0: it answers */
	bool clash;    /* it goes by our hostid */
	/* its states have shown how it keys ICMP; by id and type, not by the id twice */
	bool icmp_told, icmp_typed;
};

/* n-th peer; false if there is none. */
bool engine_peer_view(const struct engine *e, size_t n, struct peer_view *v);

/* n-th interface name that was seen in states of peers or said in ours; NULL behind the last. */
const char *engine_ifname(const struct engine *e, size_t n);

#endif
