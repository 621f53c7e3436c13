/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The flow table: compact records, found by the middle tuple (what the kernel's events and both
 * pf states of a flow have in common) and each half by its name (id, creatorid). Both indexes are
 * keyed and grow a few buckets at a time, so no insertion pauses the daemon. Records live in slabs
 * and can be walked by a cursor that no coming and going disturbs.
 */
#ifndef PFSYNC_TABLE_H
#define PFSYNC_TABLE_H

#include "actions.h"
#include "flow.h"
#include "list.h"
#include "pfstate.h"
#include "reason.h"

struct hnode {
	struct hnode *next;
};

enum { HALF_IN, HALF_OUT };

enum half_flag {
	H_PRESENT = 1 << 0,   /* has a name and is in the index */
	H_OUT = 1 << 1,	      /* it is half[HALF_OUT] of its flow */
	H_TOLD = 1 << 2,      /* a peer has it: we told it, or it told us */
	H_SLOPPY = 1 << 3,    /* the peers' copy carries the flow on whatever was sent meanwhile */
	H_CONTESTED = 1 << 4, /* another name was heard once and not taken */
	H_NUMBERS = 1 << 5,   /* extra->num holds what the peer told of its sequence space */
	H_ACK = 1 << 6,	      /* to be acknowledged once it is in the kernel */
	H_RAW = 1 << 7,	      /* extra->raw holds the whole state */
};

struct half {
	struct hnode node;
	uint64_t id;
	uint32_t creatorid;
	uint8_t state[2];    /* peer states: src, dst */
	uint8_t timeout;     /* index */
	uint8_t flags;	     /* enum half_flag */
	uint8_t ifname;	     /* index of the engine's interned names */
	uint8_t carrier;     /* place of the peer that said last that it carries it; 0: none did */
	uint16_t actions;    /* number in the table's; 0: of a state of ours, or nothing is known */
	uint8_t pf;	     /* place of the pf that has it under this name; 0: none */
	uint8_t links;	     /* bits of those on which peers have it */
	uint8_t replaced;    /* when it was last deleted to be inserted again: see relay.c */
	uint8_t relayed : 1; /* it was told on since `told` of the flow */
	uint8_t full : 4;    /* when it was last told on as a full state: see relay.c */
};

enum flow_flag {
	F_USED = 1 << 0,      /* the record is in use */
	F_REMOTE = 1 << 1,    /* a peer told it before the kernel did */
	F_KERNEL = 1 << 2,    /* there is a kernel entry, as far as known */
	F_LIVE = 1 << 3,      /* traffic passed here since the peers' last word */
	F_DEAD = 1 << 4,      /* only waits for its DEL_C to leave; in no index */
	F_UNDECIDED = 1 << 5, /* found at the start: a peer may name it yet */
	F_LIBERAL = 1 << 6,   /* the kernel entry has the liberal flags */
	F_ASSURED = 1 << 7,   /* the kernel entry is ASSURED */
	F_REPLY_FIN = 1 << 8, /* the reply direction closed first */
	F_TAKEN = 1 << 9,     /* peers' strict states were replaced; again when a peer reappears */
	F_MARK = 1 << 10,     /* seen by the dump of this parity */
	F_COMMIT = 1 << 11,   /* waits to be written to the kernel */
	F_HELD = 1 << 12,     /* commit = takeover: waits for the command */
	F_PROBE = 1 << 13,    /* look soon whether its traffic passes here */
	F_WSCALE = 1 << 14,   /* both window scales are known */
	F_REPLIED = 1 << 15,  /* the kernel entry is SEEN_REPLY */
};

/* What a flow has beyond the ordinary. */
struct flow_extra {
	struct pf_peer num[2][2];      /* by half; src, dst */
	struct pf_state *raw[2];       /* kept states, af fields as families */
	uint64_t packets[2], bytes[2]; /* original, reply; where accounting is on */
	bool counted;
	/* of states that need more than a tuple: see carry.c */
	uint8_t why[2];	      /* enum reason that raw is kept for, by half */
	bool barred;	      /* the kernel has refused the adjustment */
	uint32_t adjust[2];   /* of sequence numbers: original, reply */
	uint32_t vtag[2];     /* SCTP: in packets of original and reply; 0 not known */
	uint8_t layout[2];    /* enum pf_layout that raw came in */
	uint32_t moved[2][2]; /* seqlo that we have told ahead of pf's; 0: none */
};

struct flow {
	struct hnode node;
	uint32_t hash;	    /* of the middle */
	uint32_t kernel_id; /* of the entry; 0: not known */
	struct list timer;
	struct list queue;
	struct half half[2];
	struct flow_extra *extra;
	uint32_t created; /* times in tenths of a second of the engine */
	uint32_t told;	  /* last time a peer's timer was restarted by us */
	uint32_t heard;	  /* last word of a peer */
	uint32_t checked; /* last probe of the kernel entry */
	uint32_t expires; /* when the kernel entry runs out, by what was last seen or written */
	uint16_t flags;	  /* enum flow_flag */
	uint8_t pend;	  /* enum pend of in in the low bits, of out in the high ones */
	uint8_t family, proto, icmp_type;
	uint8_t tcp_state;   /* of the kernel entry; of SCTP its enum ct_sctp */
	uint8_t wscale;	     /* original low nibble, reply high nibble */
	uint8_t kept;	     /* reason why it is not installed, R_NONE if it may be */
	uint8_t place;	     /* F_REMOTE: of the peer that it counts for */
	uint8_t scope : 7;   /* who is to hear what is pending: enum scope */
	uint8_t again : 1;   /* our carrying it is said once more */
	uint8_t from : 6;    /* segment of the peers' last word: see relay.c; 0: none */
	uint8_t hearsay : 1; /* peers know it, and none has said that it carries it */
	uint8_t marked : 1;  /* the names of its interfaces are those of its mark */
	uint8_t ends[];	     /* four times address and port, network order */
};

struct index {
	struct hnode **bucket;
	size_t size; /* a power of two */
	size_t load; /* nodes in a bucket, on average, when there are to be more buckets */
	size_t count;
	struct hnode **old; /* being emptied into bucket */
	size_t old_size, moved;
};

struct slab {
	uint8_t **chunk;
	size_t chunks, used, record;
	struct hnode *free;
};

enum { HASHED_MAX = 2 + 2 * 18, HASHES = 8 };

/* What was hashed lately, and its hash. */
struct hashed {
	uint8_t bytes[HASHED_MAX];
	size_t len;
	uint32_t hash;
};

struct table {
	uint8_t key[16];
	struct hashed name_hashed[HASHES], middle_hashed[HASHES];
	struct index middle, name;
	struct actions actions; /* of the halves */
	struct slab slab[2];	/* IPv4, IPv6 */
	size_t flows;
};

bool table_init(struct table *t, const uint8_t key[16]);
void table_free(struct table *t);

/* A new flow, in the middle index; NULL when memory is out. */
struct flow *table_add(struct table *t, const struct tuples *tuples);
/* Takes it out of both indexes; the record stays valid until table_release(). */
void table_unlink(struct table *t, struct flow *f);
void table_release(struct table *t, struct flow *f);

void flow_tuples(const struct flow *f, struct tuples *t);
/* Changes ends of the same middle. */
void flow_set_tuples(struct flow *f, const struct tuples *t);

/* The flow with exactly these tuples. */
struct flow *table_find(struct table *t, const struct tuples *tuples);
/* Flows with that middle, one after another: after NULL gives the first. */
struct flow *table_next_middle(struct table *t, const struct tuples *tuples, struct flow *after);

/* The flow, found by the middle of these tuples, has all of them. */
bool table_is(const struct flow *f, const struct tuples *tuples);

/* Gives a half its name; it must have none. False: the name is taken or memory is out. */
bool table_name(struct table *t, struct flow *f, int half, uint64_t id, uint32_t creatorid);
void table_unname(struct table *t, struct flow *f, int half);
struct half *table_find_half(struct table *t, uint64_t id, uint32_t creatorid);

/*
 * What is about to be looked for: the memory that this takes is fetched for all of it at once, for
 * in a large table each bucket and each record is waited for. First all are named, by
 * table_expect_half() and table_expect_middle(), EXPECTED_MAX of each at most, then table_fetch().
 */
enum { EXPECTED_MAX = 8 };
struct expected {
	struct hnode **bucket[2 * EXPECTED_MAX];
	size_t count;
};
void table_expect_half(struct table *t, struct expected *x, uint64_t id, uint32_t creatorid);
void table_expect_middle(struct table *t, struct expected *x, const struct tuples *tuples);
void table_fetch(const struct expected *x);

struct flow *half_flow(struct half *h);
static inline int half_index(const struct half *h)
{
	return h->flags & H_OUT ? HALF_OUT : HALF_IN;
}

/* Made when first needed; NULL when memory is out. */
struct flow_extra *flow_extra(struct flow *f);

/* Records in use and free ones: what a walk has to look at. */
size_t table_records(const struct table *t);

/* The record at or behind *cursor, and the cursor moved behind it; NULL at the end. */
struct flow *table_walk(const struct table *t, uint64_t *cursor);

#endif
