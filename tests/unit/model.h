/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A model kernel and a node: the real engine between a conntrack table that behaves as the real
 * one was seen to, and a sync link whose packets are kept and taken apart. Time is virtual. It
 * needs no library, so that the fuzzer has it too.
 */
#ifndef PFSYNC_MODEL_H
#define PFSYNC_MODEL_H

#include "builder.h"
#include "engine.h"

#define MS 1000000ull
#define S  1000000000ull

/* ---- the model kernel ------------------------------------------------------------------ */

struct model_entry {
	bool used;
	bool mute;     /* raises no events */
	bool written;  /* by netlink, not by a packet */
	bool bypassed; /* its traffic went elsewhere: a strict TCP entry drops everything now */
	struct kernel_entry k;
	uint64_t expires;
	uint64_t made;
};

/* One message of a packet that the node sent. */
struct said {
	enum pf_action action;
	enum pf_layout layout;
	uint8_t version;
	unsigned link;
	uint64_t at;
	size_t packet; /* number of the packet that it left in */
	uint64_t id;
	uint32_t creatorid;
	struct pf_state s; /* full states */
	struct msg_upd_c u;
	struct msg_bus b;
};

struct sent {
	unsigned link;
	size_t len;
	uint64_t at;
	uint8_t data[2048];
};

struct node {
	struct engine *e;
	struct engine_config config;
	uint64_t now, next;
	/* kernel */
	struct model_entry *entry;
	size_t entries, room;
	uint32_t next_id;
	size_t most;	/* entries it takes; 0: no limit */
	int fail;	/* errno of the next writes; 0: none */
	bool no_seqadj; /* makes entries without it */
	bool dump_wanted, hold_dumps, lose_events;
	size_t dumps;
	unsigned created, changed, deleted, got; /* operations that succeeded */
	unsigned writes_failed;
	/* link */
	struct sent *sent;
	size_t sents, sent_room;
	struct said *said;
	size_t saids, said_room;
	int send_error;
	bool interfaces; /* em0 and em1 are mapped, or what route says */
	const char *route[2];
	unsigned routes_asked;
	uint32_t mark; /* of entries that are made */
	/* tokens of held packets that were let go, in order, and when the last one was */
	uint32_t released[512];
	size_t releases;
	uint64_t released_at;
	struct address address;
	/* what the engine noted */
	unsigned notes[NOTE_HOSTID_CLASH + 1];
	/* what must not be: a packet that is none, a busy loop. NULL while all is well */
	const char *wrong;
	uint64_t runs;
};

/* A configuration with one link "sync", all defaults, and this hostid. */
struct engine_config node_config(uint32_t hostid);

/* A node with the address 203.0.113.<last>/24 on its link, which is up; not run yet. */
void node_start(struct node *n, const struct engine_config *config, uint8_t last, uint64_t now);
/* The engine is made anew, the kernel table stays. */
void node_restart(struct node *n);
void node_stop(struct node *n);

/* Advances time, lets timeouts run out and calls the engine when it wants to be called. */
void node_run(struct node *n, uint64_t ms);
/* Calls the engine until nothing is due now; gives the next time at which something is. */
uint64_t node_settle(struct node *n);
/* The start until everything found is decided. */
void node_begin(struct node *n);

void node_link(struct node *n, unsigned link, bool up, unsigned mtu);

/* ---- traffic and other programs on the node -------------------------------------------- */

struct tuples tuples_v4(uint8_t proto, uint8_t client, uint16_t port);
struct tuples tuples_v6(uint8_t proto, uint8_t client, uint16_t port);
/* Source address and port as the server sees them; destination as the client asked for. */
void tuples_snat(struct tuples *t, uint8_t last, uint16_t port);
void tuples_dnat(struct tuples *t, uint8_t last, uint16_t port);

struct model_entry *node_entry(struct node *n, const struct tuples *t);
/* An entry without an event, as one that was there before we listened. */
struct model_entry *node_plant(struct node *n, const struct tuples *t, uint8_t tcp_state,
			       uint32_t status, uint32_t timeout);
/* First packet, then the answer, then (TCP: established, UDP: assured) the third packet. */
void node_new(struct node *n, const struct tuples *t);
/* The first packet is held back; its entry comes with node_new(). */
void node_hold(struct node *n, const struct tuples *t, uint32_t token);
bool node_packet(struct node *n, const struct tuples *t, bool reply);
void node_open(struct node *n, const struct tuples *t);
/* The next step of an orderly close by one of the sides. */
void node_fin(struct node *n, const struct tuples *t, bool reply);
void node_close(struct node *n, const struct tuples *t, bool reply_first);
void node_reset(struct node *n, const struct tuples *t);
/* conntrack -D */
void node_kill(struct node *n, const struct tuples *t);
/* The traffic of all entries went elsewhere for a while. */
void node_bypass(struct node *n);
size_t node_count(const struct node *n);

/* ---- what the node says and hears
 * ----------------------------------------------------------------- */

void node_quiet(struct node *n); /* forgets what was sent so far */
size_t node_said(const struct node *n, enum pf_action action);
/* The nth message of that kind; NULL if there is none. */
const struct said *node_nth(const struct node *n, enum pf_action action, size_t nth);
const struct said *node_about(const struct node *n, enum pf_action action, uint64_t id,
			      uint32_t creatorid);
/* How often it was said on that link; of any state if id is 0. */
size_t node_times(const struct node *n, unsigned link, enum pf_action action, uint64_t id);
/* The first one; NULL if there is none. */
const struct said *node_on(const struct node *n, unsigned link, enum pf_action action, uint64_t id);
/* All messages on a link that say something of states. */
size_t node_talk(const struct node *n, unsigned link);
/* The nth full state of that direction. */
const struct said *node_half(const struct node *n, enum pf_action action, uint8_t direction,
			     size_t nth);

/* After 100 ms: the flow was told by an INS under a name of this creator. */
bool node_told(struct node *n, const struct tuples *t, uint32_t creatorid);
bool node_flow(const struct node *n, const struct tuples *t, struct flow_view *v);
size_t node_flows(const struct node *n);
uint64_t node_counter(const struct node *n, enum counter c);
uint64_t node_refused(const struct node *n, enum reason r);

/* A peer that is only pretended. */
struct fake {
	const struct dialect *dialect;
	unsigned link;
	struct address address;
	uint32_t hostid;
	struct builder b;
	uint8_t buf[2048];
};

/* On the first link, with the address 203.0.113.<last>. */
void fake_init(struct fake *f, enum dialect_id d, uint8_t last, uint32_t hostid);
/* On another link of the node. */
void fake_move(struct fake *f, unsigned link);
/* Answers the node's bulk request; the one flow that it tells, to show its dialect, ends at once.
 */
void fake_greet(struct fake *f, struct node *n);
/* A node that has met a peer, and got its (empty) bulk update; what was sent is forgotten. */
void node_meet(struct node *n, struct fake *f, const struct engine_config *config,
	       enum dialect_id d);
/* The same with two links and two peers: a on the first link, b on that one. */
void node_between(struct node *n, struct fake *a, struct fake *b,
		  const struct engine_config *config);
/* A configuration, and peers, for that. */
struct engine_config config_between(struct fake *a, enum dialect_id da, struct fake *b,
				    enum dialect_id db, unsigned link);
/* In their layout, on their link. */
size_t fake_times(const struct fake *f, const struct node *n, enum pf_action action, uint64_t id);
/* A bulk update of one flow. */
void fake_bulk(struct fake *f, struct node *n, const struct tuples *t, uint64_t id);
/* Both halves deleted by name. */
void fake_deletes(struct fake *f, struct node *n, uint64_t id, uint32_t creatorid);
struct address address_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d);

/* The address of whoever has that one on the first link. */
struct address address_on(const struct address *a, unsigned link);

void node_hear_raw(struct node *n, const struct address *from, const void *data, size_t len);
void node_hear_on(struct node *n, unsigned link, const struct address *from, const void *data,
		  size_t len);
/* One packet: begin, add with the builder, end. */
void fake_begin(struct fake *f);
void fake_end(struct fake *f, struct node *n);
/* One packet with one message. */
void fake_state(struct fake *f, struct node *n, enum pf_action action, const struct pf_state *s);
void fake_id(struct fake *f, struct node *n, enum pf_action action, uint64_t id,
	     uint32_t creatorid);
void fake_upd_c(struct fake *f, struct node *n, const struct pf_state *s);
void fake_bus(struct fake *f, struct node *n, uint8_t status);
void fake_clr(struct fake *f, struct node *n, uint32_t creatorid, const char *ifname);

/* A state of a flow as that peer would tell it: strictly tracked TCP, 4/4. */
struct pf_state fake_half(const struct fake *f, const struct tuples *t, uint8_t direction,
			  uint64_t id);
/* A later word of the peer, with numbers that have gone on. */
struct pf_state fake_later(const struct fake *f, const struct tuples *t, uint8_t direction,
			   uint64_t id);
/* Addresses and ports of both keys are the same. */
bool same_keys(const struct pf_key *x, const struct pf_key *y);
/* Both halves by INS in one packet; names id and id + 1. */
void fake_tells(struct fake *f, struct node *n, const struct tuples *t, uint64_t id);

#endif
