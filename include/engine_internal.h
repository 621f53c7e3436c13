/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of the core, shared by its files; nobody else includes this. Which file answers what:
 *
 *	engine.c    life, time, what is due
 *	local.c     events and dumps of our own kernel
 *	receive.c   packets of peers
 *	import.c    states that peers tell, into the table
 *	sides.c     both sides of them, merged
 *	announce.c  what is told of a flow, and whether
 *	defer.c     first packets that wait until a peer has the state
 *	sendq.c     what waits to be told, and the packets it leaves in
 *	bulk.c      bulk update, both roles, and walks through the table
 *	commit.c    peers' flows into the kernel
 *	carry.c     states that need more than a tuple: may they be installed
 *	refresh.c   live flows kept alive at the peers
 *	peer.c      who is on the link
 *	probe.c     who of them still hears us
 *	relay.c     what peers tell, to those who cannot hear them
 *	view.c      what others may see of it
 */
#ifndef PFSYNC_ENGINE_INTERNAL_H
#define PFSYNC_ENGINE_INTERNAL_H

#include "builder.h"
#include "engine.h"
#include "merge.h"
#include "table.h"
#include "wheel.h"

enum {
	PACKET_MAX = 9000 - 20, /* payload of the largest packet that is built */
	QUEUE_IDS = 128,	/* acknowledgements and requests per link until they are sent */
	PEERS_MAX = 255,
	NAMES_MAX = 254,
	NAMES_PEERS =
		222,   /* of these may be told by peers: there are few, but any can be made up */
	PROBE_IDS = 5, /* as many full states as any dialect has in a packet */
	IFNAME_ASKED = 255,	     /* "all", and not to be asked again */
	TICK_NS = 100 * 1000 * 1000, /* ds: a tenth of a second */
};

#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull
#define NEVER	  UINT64_MAX

/* What waits to be said of a half. Told in this order; DEL and INS together replace a state. */
enum pend { PEND_DEL = 1, PEND_INS = 2, PEND_UPD = 4, PEND_UPD_C = 8, PEND_ALL = 15 };

/*
 * Who is to hear what is pending of a flow: all; all but those of a segment, who heard it from the
 * peer itself; only those of a segment. A segment is a link and a dialect: see relay.c.
 */
enum scope { SCOPE_ALL = 0, SCOPE_EXCEPT = 0, SCOPE_ONLY = 0x40, SCOPE_SEGMENT = 0x3f };

struct ids {
	struct msg_id id[QUEUE_IDS];
	size_t count;
};

struct bulk_answer {
	bool active, started, again;
	uint64_t cursor, next_at;
};

/* A bucket that holds burst things and is refilled by one each step: time up to which it is used
 * up.
 */
struct bucket {
	uint64_t at;
};

struct link {
	struct link_config config;
	bool up;
	unsigned mtu;
	struct prefix addr[16]; /* of the interface */
	size_t addrs;
	unsigned dialects;   /* mask of what is spoken on it */
	unsigned icmp_typed; /* of these, where the peers key ICMP by id and type */
	/* our own bulk request */
	enum bulk_state bulk;
	unsigned tries;
	uint64_t bulk_at; /* deadline of the state above */
	uint64_t asked_at;
	uint64_t retry_at, retry_every; /* of a request that failed */
	bool ever_synced, bulk_failed;
	uint64_t bulk_took; /* the last one that came to its end */
	bool behind;	    /* its bulk update since it came up has not ended */
	bool quiet;	    /* this request is a question only: see probe.c */
	/* questions whether the peers hear us: see probe.c */
	struct msg_id probe[PROBE_IDS];
	size_t probes;
	unsigned probe_step, probed_rounds;
	uint64_t probe_cursor, probe_at, probed, probe_bulk_at, probe_pause, wide_at;
	bool wide, wide_heard; /* asked for many states in this round; they came */
	unsigned narrow;       /* times in a row that they did not and a single one did */
	struct bulk_answer answer;
	uint64_t answered_at;	       /* the last portion of one, 0: never */
	struct bucket answers, states; /* bulk answers, and states that were asked for */
	struct bucket greetings;       /* requests to peers that appear while one is under way */
	struct ids acks, requests;
	struct ids deletions[2]; /* relayed, by header version: FreeBSD, OpenBSD */
	uint64_t packets_in, packets_out;
};

/* Kinds of entries by the timeout that a packet gives them, behind the states of TCP. */
enum {
	KERNEL_ICMP = CT_TCP_COUNT,
	KERNEL_ICMPV6,
	KERNEL_UDP,
	KERNEL_UDP_STREAM,
	KERNEL_OTHER, /* not known */
	KERNEL_TIMEOUTS
};

enum { GONE_MAX = 1024 };

enum { REFUSED_MAX = 4096, REFUSED_DS = 100 };

/* The name of a state that was not taken, and when. */
struct refused {
	uint64_t id;
	uint32_t creatorid, ds;
};

enum { ASKED_MAX = 1024 };

/* The name of a state that was asked for, since when, and how often. */
struct asked {
	uint64_t id;
	uint32_t creatorid, ds;
	unsigned times;
};

/* The name of a state of which a deletion was heard, when, and in which packet. */
struct deleted {
	uint64_t id, packet;
	uint32_t creatorid, ds;
	bool left; /* it was a copy of one that we had told there already */
};

struct peer {
	struct list node;
	unsigned link;
	struct address addr;
	const struct dialect *dialect; /* of its latest states; NULL not known yet */
	unsigned spoken;	       /* mask of dialects */
	uint8_t version;	       /* of its latest header */
	bool many;		       /* it speaks both header versions: no pf */
	bool relays;		       /* it has told what another link had told */
	bool dense;		       /* it reads several states of layout 1301 in a section */
	uint64_t version_at[2];	       /* when it spoke which: FreeBSD's, OpenBSD's */
	bool icmp_told, icmp_typed;    /* how it keys ICMP, as its states showed */
	uint32_t hostid[16]; /* creators, latest first; of a relay those of all that it hears */
	uint64_t first, returned, heard, packets, messages, refused;
	uint32_t whole, half;			  /* flows told in both halves, in one */
	uint32_t seen_whole, seen_half;		  /* at the last look for withheld halves */
	uint64_t gone_after;			  /* after a silence of this long it appears anew */
	uint64_t look_at, look_after, look_every; /* look_at 0: nothing to look for */
	uint64_t answers_from, answers_until;	  /* a bulk update, to us or to another */
	size_t received;    /* sections of states since its last START or END */
	struct bucket rate; /* import.max-rate */
	uint64_t wanted_at; /* when it last told a flow that was new */
	uint8_t place;	    /* 1 to PEERS_MAX, in engine.place */
	uint32_t held;	    /* flows that count for it */
	uint64_t answered;  /* last answer to a question of ours; 0: never */
	uint64_t deaf;	    /* asked since then in vain; 0: it is not */
	bool answers;	    /* its last word of a bulk update was a START */
	bool clash;	    /* it goes by our hostid */
	bool pf;	    /* it has told a state that it made itself: no Linux */
	/* of flows told in both halves it has spoken of one only, since then, so many times */
	uint8_t alone, alone_words;
	uint64_t alone_since;
};

/* Passes through the table that go on over many wake-ups. */
enum walk {
	WALK_ANNOUNCE = 1, /* tell what was undecided at the start */
	WALK_RETELL = 2,   /* tell live flows again: a peer or the link came back */
	WALK_REPLACE = 16, /* replace states that peers still hold as strict ones */
	WALK_SWEEP = 8,	   /* forget what the last dump did not find */
	WALK_CLEAR = 32,   /* delete what creators have cleared */
	WALK_ROUTES = 64,  /* see whether live flows use other interfaces now */
};

/* commit = takeover: what is done of the last command. */
enum move { MOVE_NONE, MOVE_IN, MOVE_OUT };

enum { CLEARS_MAX = 16 };

enum { HELD_MAX = 128 };

/* A packet that is held back. */
struct held {
	struct flow *flow;
	uint32_t token;
	bool asked; /* the peers were asked to acknowledge */
	uint64_t until;
};

struct defer {
	struct held held[HELD_MAX]; /* oldest first */
	size_t count;
	unsigned in_vain; /* in a row that nobody acknowledged, up to a few */
	uint64_t try_at;  /* then: not held before this time */
};

struct engine {
	struct engine_config config;
	struct engine_ops ops;
	void *ctx;
	uint64_t start, now;
	uint32_t ds;
	uint64_t due;	    /* when engine_run() wanted to be called again */
	uint32_t gap_ds;    /* end of the last time that we stood still; 0: never */
	uint64_t old_until; /* events may be of the time before it */
	uint8_t name_key[16];
	struct table table;
	struct wheel wheel;
	struct counters counters;
	struct link link[ENGINE_LINKS_MAX];
	size_t links;
	struct list peers;
	struct peer *place[PEERS_MAX + 1];
	size_t peer_count;
	struct address *own;
	size_t owns;
	bool nat_chain;
	bool tight;	/* the kernel table is nearly full */
	bool direct;	/* commit = takeover: the command was given */
	enum move move; /* of what waits into the kernel, or back, as far as move_cursor */
	uint64_t move_cursor;
	size_t remote; /* flows with F_REMOTE */
	/* start */
	bool undecided;
	uint64_t decide_at;
	bool first_dump_done;
	/* dump */
	bool dumping, mark;
	/* the kernel's own timeouts, as events showed them, and as it is set: TCP by state; others
	 */
	uint32_t own_timeout[KERNEL_TIMEOUTS], set_timeout[KERNEL_TIMEOUTS];
	uint64_t dump_at, dumped_at, dump_took;
	uint64_t gone[GONE_MAX]; /* hashes of what has ended since the dump began */
	/* send queue */
	struct list queue;
	size_t queued;
	uint64_t flush_at;
	uint64_t tokens_at; /* live states may be sent up to this time's worth */
	/* walk */
	unsigned walk, walk_next; /* the one under way, and what comes behind it */
	uint64_t walk_cursor, walk_at;
	unsigned walk_asked; /* by peers: from walk_asked_at on */
	uint64_t walk_asked_at;
	struct bucket walks;
	struct {
		uint32_t creatorid, ds;
	} cleared[CLEARS_MAX]; /* what WALK_CLEAR is after */
	size_t clears;
	uint32_t clear_ds;
	size_t clear_work; /* records looked at at once in this tenth of a second */
	struct asked clear_told[CLEARS_MAX];
	uint8_t retell_links; /* what WALK_RETELL is after besides live flows */
	struct defer defer;
	struct refused refused[REFUSED_MAX];
	struct asked asked[ASKED_MAX];
	struct asked corrected[ASKED_MAX]; /* names of which a peer was told that it lags behind */
	struct deleted deleted[ASKED_MAX]; /* see relay.c */
	/* kernel writes of this call */
	struct kernel_op op[ENGINE_BATCH];
	size_t ops_n;
	struct flow *commit[ENGINE_BATCH];
	size_t commits, commits_begun;
	uint64_t routes_at;		    /* of the walk after a change of routes; NEVER: none */
	uint64_t routes_next, routes_pause; /* not before; how long after the last one */
	char (*names)[PF_IFNAME_LEN];	    /* interned interface names, 0 is "all" */
	size_t name_count;
	uint8_t packet[PACKET_MAX];
};

/* Both sides of the connection have closed, or it was reset. */
static inline bool half_closed(const struct flow *f, int half)
{
	return f->proto == PROTO_TCP && f->half[half].state[0] >= PF_TCP_FIN_WAIT_2 &&
	       f->half[half].state[1] >= PF_TCP_FIN_WAIT_2;
}

/* There is no entry of it, nor what was known of one. */
static inline void not_in_kernel(struct flow *f)
{
	f->flags &= (uint16_t) ~(F_KERNEL | F_LIBERAL | F_ASSURED | F_REPLIED);
}

/* One of size places, a power of two, for what is remembered of a state's name. */
static inline size_t name_slot(uint64_t id, uint32_t creatorid, size_t size)
{
	return ((id * 0x9e3779b97f4a7c15u ^ creatorid) * 0x9e3779b97f4a7c15u) >> 32 & (size - 1);
}

/* engine.c */
void engine_clock(struct engine *e, uint64_t now); /* the time that it is; a gap is noticed */
void engine_count(struct engine *e, enum counter c);
void engine_refuse(struct engine *e, enum reason r, struct peer *p, const struct pf_state *s);
void engine_note(struct engine *e, const struct note *n);
void engine_note_flow(struct engine *e, enum engine_note kind, const struct flow *f);
void engine_forget(struct engine *e, struct flow *f); /* silently, out of everything */
void engine_end(struct engine *e, struct flow *f);    /* with DEL_C to who was told */
void engine_wake(uint64_t *at, uint64_t when);	      /* *at = earlier of both */
uint64_t engine_bucket_at(struct bucket *b, uint64_t now, uint64_t step, unsigned burst);
bool engine_bucket(struct bucket *b, uint64_t now, uint64_t step, unsigned burst);
uint8_t engine_intern(struct engine *e, const char name[PF_IFNAME_LEN], size_t most);
uint32_t engine_ns_to_ds(const struct engine *e, uint64_t ns);

/* announce.c */
enum reason announce_check(const struct engine *e, const struct kernel_entry *k, bool early);
bool announce_listed(const struct prefix_list *l, const struct tuples *t);
bool announce_is_local(const struct engine *e, const struct tuples *t);
void announce_name(struct engine *e, struct flow *f);
const char *announce_ifname(const struct engine *e, const struct half *half);
void announce_marked(struct engine *e, struct flow *f, uint32_t mark);
void announce_reroute(struct engine *e, struct flow *f);
bool announce_state(struct engine *e, struct flow *f, int half, const struct link *l,
		    const struct dialect *d, struct pf_state *s);
void announce_upd_c(struct engine *e, struct flow *f, int half, struct msg_upd_c *m);
void announce_pair(struct engine *e, struct flow *f, struct pf_pair *p);
bool announce_merge(struct flow *f, const struct pf_pair *p);

/* import.c: a state that a peer tells */
struct incoming {
	struct link *link;
	struct peer *peer;
	const struct pf_state *s;
	enum pf_layout layout;
	struct tuples tuples; /* as far as this half shows them */
	int half;
	enum reason kept; /* R_NONE, or why Linux does not carry it */
	bool ins;	  /* INS, not UPD */
};

/* These come next: EXPECTED_MAX of them at most. */
void import_expect(struct engine *e, const struct peer *p, const struct pf_state *s, size_t n,
		   enum pf_layout layout, bool ins);
enum reason import_state(struct engine *e, struct peer *p, const struct pf_state *s,
			 enum pf_layout layout, bool ins);
bool import_word(struct engine *e, const struct peer *p, struct flow *f, int h);
bool import_shows_same(const struct flow *f, const struct incoming *in);
bool import_in_bulk(const struct engine *e, const struct peer *p);

/* names.c */
void names_refused(struct engine *e, uint64_t id, uint32_t creatorid);
bool names_refused_lately(struct engine *e, uint64_t id, uint32_t creatorid, uint32_t ds);
void names_held(const struct peer *p, struct half *half);
void names_asked(const struct peer *p, struct half *half);
void names_dropped(const struct engine *e, const struct peer *p, struct half *half);
void names_tell_ours(struct engine *e, struct flow *f, const struct incoming *in);
bool names_take(struct engine *e, struct flow *f, const struct incoming *in);

/* sides.c */
enum reason sides_check(uint8_t timeouts, const struct pf_peer *src, const struct pf_peer *dst,
			uint8_t timeout);
bool sides_made_up(const struct pf_peer *p);
void sides_take(struct engine *e, struct flow *f, int h, int side, const struct pf_peer *p);
int sides_merge(struct engine *e, struct flow *f, int h, const struct pf_peer *src,
		const struct pf_peer *dst, uint8_t timeout, bool *news);

/* receive.c */
void receive_clear(struct engine *e, struct flow *f);
void receive_correct(struct engine *e, const struct peer *p, struct flow *f, int h);

/* local.c */
void local_update(struct engine *e, struct flow *f, const struct kernel_entry *k, bool traffic);
void local_gone(struct engine *e, struct flow *f);
struct flow *local_begin_held(struct engine *e, const struct kernel_entry *k);
void local_ran_out(struct engine *e, struct flow *f);
void local_note_gone(struct engine *e, const struct tuples *t);
bool local_gives_way(struct engine *e, struct flow *f);
bool local_adopt(struct engine *e, struct flow *f, const struct tuples *t);
void local_take_over(struct engine *e, struct flow *f);
bool local_only_pf(const struct engine *e);
bool local_lately(const struct engine *e, const struct kernel_entry *k);
uint32_t local_age(const struct engine *e, const struct kernel_entry *k);
bool local_before_gap(const struct engine *e, const struct kernel_entry *k);
bool local_touched(const struct engine *e, const struct flow *f, const struct kernel_entry *k);

/* defer.c */
bool defer_holds(const struct engine *e, const struct flow *f);
bool defer_asks(const struct engine *e, const struct link *l, const struct flow *f, int half);
void defer_asked(struct engine *e, const struct flow *f);
void defer_known(struct engine *e, struct flow *f); /* a peer has it */
void defer_acknowledged(struct engine *e, uint64_t id, uint32_t creatorid);
void defer_end(struct engine *e, const struct flow *f); /* it ends here */
void defer_finish(struct engine *e);
void defer_run(struct engine *e);
uint64_t defer_next(const struct engine *e);

/* sendq.c */
void sendq_pend(struct engine *e, struct flow *f, int half, unsigned what);
void sendq_answer(struct engine *e, struct flow *f, int half, unsigned what, uint8_t segment);
void sendq_relay(struct engine *e, struct flow *f, int half, unsigned what);
void sendq_pend_told(struct engine *e, struct flow *f, unsigned what);
void sendq_drop(struct engine *e, struct flow *f);
void sendq_drop_half(struct engine *e, struct flow *f, int half);
void sendq_urgent(struct engine *e);
void sendq_first(struct engine *e, struct flow *f);
void sendq_ack(struct engine *e, struct link *l, const struct half *h);
void sendq_request(struct engine *e, struct link *l, uint64_t id, uint32_t creatorid);
void sendq_request_later(struct engine *e, struct link *l, uint64_t id, uint32_t creatorid);
void sendq_unrequest(struct link *l, uint64_t id, uint32_t creatorid);
bool sendq_deletes(const struct link *l, uint8_t version, const struct half *h);
bool sendq_undelete(struct link *l, uint8_t version, uint64_t id, uint32_t creatorid);
void sendq_delete(struct engine *e, struct link *l, int version, uint64_t id, uint32_t creatorid);
void sendq_flush(struct engine *e);
size_t sendq_payload(const struct link *l, const struct dialect *d);
bool sendq_packet(struct engine *e, unsigned link, struct builder *b);

/* bulk.c */
void bulk_ask(struct engine *e, struct link *l, bool now);
void bulk_on_request(struct engine *e, struct link *l);
void bulk_on_status(struct engine *e, struct link *l, struct peer *p, const struct msg_bus *m);
void bulk_on_states(struct engine *e, struct link *l, struct peer *p);
void bulk_on_peer(struct engine *e, struct link *l);
bool bulk_speaks(const struct engine *e, const struct link *l, uint8_t version);
void bulk_probe(struct engine *e, struct link *l);
bool bulk_idle(const struct engine *e);
bool bulk_answers(const struct engine *e);
void bulk_run(struct engine *e);
uint64_t bulk_next(const struct engine *e);
void bulk_walk(struct engine *e, unsigned what);
void bulk_walk_asked(struct engine *e, unsigned what);
bool bulk_walks(const struct engine *e, unsigned what);
void bulk_decide(struct engine *e);

/* commit.c */
void commit_want(struct engine *e, struct flow *f);
void commit_renew(struct engine *e, struct flow *f);
void commit_delete(struct engine *e, struct flow *f);
void commit_drop(struct engine *e, struct flow *f);
void commit_run(struct engine *e);
void commit_move(struct engine *e, enum move move);
void commit_move_run(struct engine *e);
bool commit_withdraws(const struct flow *f);
uint32_t commit_seconds(const struct engine *e, const struct flow *f);

/* carry.c */
void carry_judge(struct engine *e, struct flow *f);
bool carry_adjusts(const uint32_t adjust[2]);
void carry_bar(struct engine *e, struct flow *f);
void carry_tags(struct engine *e, struct flow *f, const struct pf_peer *src,
		const struct pf_peer *dst);
void carry_move(struct engine *e, struct flow *f, int half);

/* refresh.c */
void refresh_arm(struct engine *e, struct flow *f);
void refresh_run(struct engine *e);
bool refresh_lives(struct engine *e, struct flow *f);
void refresh_dumped(struct engine *e, struct flow *f, const struct kernel_entry *k);
bool refresh_claims(struct engine *e, struct flow *f);
bool refresh_after_gap(struct engine *e, struct flow *f);
bool refresh_last_word(struct engine *e, struct flow *f);
bool refresh_rests(struct engine *e, const struct flow *f);
bool refresh_by_upd(const struct engine *e);
bool refresh_link_by_upd(const struct link *l);
bool refresh_own_timeout(const struct engine *e, const struct flow *f, uint32_t expires);

/* peer.c */
struct peer *peer_find(struct engine *e, unsigned link, const struct address *addr);
bool peer_heard(struct engine *e, struct peer *p, uint8_t version);
bool peer_known(const struct engine *e, uint32_t hostid);
bool peer_hostid(struct engine *e, struct peer *p, uint32_t hostid);
void peer_dialect(struct engine *e, struct peer *p, enum pf_layout layout);
void peer_dialects(struct engine *e, unsigned link);
void peer_icmp(struct engine *e, struct peer *p, const struct pf_state *s, enum pf_layout layout);
bool peer_single(const struct engine *e, unsigned link, const struct dialect *d);
bool peer_rate_ok(struct engine *e, struct peer *p);
enum reason peer_quota(struct engine *e, struct peer *p);
void peer_take_flow(struct engine *e, struct peer *p, struct flow *f);
void peer_drop_flow(struct engine *e, struct flow *f);
void peer_word(struct engine *e, struct peer *p, const struct flow *f, int half);
void peer_look(struct engine *e);
uint64_t peer_next(const struct engine *e);

/* probe.c */
void probe_run(struct engine *e);
uint64_t probe_next(const struct engine *e);
void probe_answered(struct engine *e, struct peer *p);
bool probe_is_echo(const struct msg_upd_c *m);
bool probe_request(struct engine *e, struct peer *p, const struct msg_id *m);
bool probe_state(struct engine *e, struct peer *p, const struct pf_state *s);

/* relay.c */
uint8_t relay_segment(const struct engine *e, const struct peer *p);
unsigned relay_link(uint8_t segment);
bool relay_needed(const struct engine *e);
bool relay_same_ears(uint8_t segment, unsigned link, uint8_t version);
bool relay_reaches(uint8_t scope, unsigned link, const struct dialect *d, bool state);
uint8_t relay_widen(uint8_t a, uint8_t b);
uint8_t relay_readers(const struct engine *e, uint8_t scope);
bool relay_has(const struct flow *f, int h, unsigned link);
bool relay_is_copy(struct engine *e, const struct peer *p, struct flow *f, bool news);
bool relay_is_older(struct engine *e, const struct peer *p, struct flow *f, int h,
		    const struct pf_peer *src, const struct pf_peer *dst);
void relay_heard(struct engine *e, const struct peer *p, struct flow *f, int h, bool word);
void relay_state(struct engine *e, struct flow *f, int h, bool answer);
void relay_update(struct engine *e, struct flow *f, int h, bool news);
unsigned relay_kind(const struct link *l, const struct flow *f, unsigned kind);
void relay_bulk(struct engine *e, const struct peer *p, struct flow *f, int h, bool news);
void relay_settle(const struct engine *e, struct flow *f, unsigned halves);
void relay_delete(struct engine *e, struct half *half, uint8_t segment);
void relay_replaced(const struct engine *e, struct half *half, bool ours);
void relay_note_deleted(struct engine *e, uint64_t id, uint32_t creatorid);
bool relay_has_ended(const struct engine *e, uint64_t id, uint32_t creatorid);
bool relay_is_deleted_twice(struct engine *e, struct peer *p, struct half *half);
void relay_refused(struct engine *e, const struct peer *p, struct half *half);
bool relay_is_retold(const struct engine *e, struct peer *p, struct half *half, bool news);
bool relay_is_answer(const struct engine *e, const struct half *half);
bool relay_is_maker(const struct peer *p, uint32_t creatorid);
void relay_rename(struct engine *e, const struct peer *p, const struct flow *f, int h);
void relay_named(struct engine *e, struct half *half);
void relay_renamed(struct engine *e, struct flow *f, int h);
void relay_clear(struct engine *e, const struct peer *p, uint32_t creatorid);
void relay_retell(struct engine *e, unsigned link);
void relay_flow(struct engine *e, struct flow *f);

#endif
