/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A simulation of firewalls that share their states: real engines over model kernels and model pf
 * nodes on one wire, with connections routed through one of them at a time. Everything is drawn
 * from one seed and happens on virtual time, so that a run can be repeated exactly.
 *
 *	sim.c		options, the clock, the end of a run
 *	simplan.c	what happens in a run: configuration, moves, quiet periods
 *	simfault.c	what goes wrong in it
 *	simwire.c	what waits for its time: packets on the wire, connections
 *	simconn.c	clients and servers
 *	simlinux.c	a Linux node: an engine and its kernel
 *	simkernel.c	the conntrack table
 *	simpf.c		a pf node: its states and the packets that meet them
 *	simpfsync.c	a pf node: what it sends, hears and forgets
 *	simcheck.c	what must hold
 */
#ifndef PFSYNC_SIM_H
#define PFSYNC_SIM_H

#include "engine.h"
#include "packet.h"

#define MS    1000000ull
#define S     1000000000ull
#define NEVER UINT64_MAX

enum { FW_MAX = 5, CONN_MAX = 4000, WIRE_MTU = 1500 };

enum fw_kind { FW_LINUX, FW_FREEBSD, FW_OPENBSD };

/* ---- connections ----------------------------------------------------------------------- */

enum { TH_FIN = 1, TH_SYN = 2, TH_RST = 4, TH_ACK = 16 };

/* Why a connection may die although it was owed; each use of one is counted and shown. */
enum excuse {
	EXCUSE_NONE,
	EXCUSE_LOST,   /* the node lost it without anybody's message: reboot, flush, full table */
	EXCUSE_OTHERS, /* another program deleted the entry */
	EXCUSE_PF,     /* pf lets go what it does not hear of, and nobody told it in the trouble */
	EXCUSE_WINDOW, /* see owed() */
	EXCUSE_COUNT
};

enum conn_phase { CONN_OPENING, CONN_OPEN, CONN_CLOSING, CONN_OVER };

struct pkt {
	bool reply;
	unsigned flags;
	uint32_t seq, end, ack;
};

enum verdict {
	PASS,	     /* by a state that was there */
	PASS_NEW,    /* and made a state */
	DROP_NONE,   /* no state, and it may not begin one */
	DROP_WINDOW, /* out of the window, or a state that does not take it */
	DROP_FULL,   /* no room for a state */
	DROP_DOWN,   /* the node is not there */
};

struct conn {
	struct tuples t;
	struct pf_key key[2][2][2]; /* ICMP typed; in, out; wire, stack */
	enum conn_phase phase;
	unsigned step;
	bool client_closes;
	uint32_t next[2]; /* sequence number of what is sent next: client, server */
	uint64_t bytes;	  /* both ways, as it passed */
	uint64_t every;	  /* ns between two exchanges */
	uint32_t size;	  /* bytes of an exchange at most */
	uint64_t open_at; /* established */
	uint64_t steady;  /* since then there was never a pause that timeouts notice */
	uint64_t last;	  /* last exchange that passed */
	uint64_t stuck;	  /* first packet that was dropped since; 0: none */
	enum verdict why;
	const char *owed; /* why it should not have been dropped; NULL: it may */
	int owner;	  /* node that it passed last, -1: none */
	uint64_t owner_since;
	uint64_t seen[FW_MAX]; /* last time that it passed a node */
	uint64_t lost[FW_MAX]; /* last time that another program took it from a node */
	enum excuse excuse;    /* why what was owed was not owed after all */
	uint64_t ends_at;
	bool counted; /* of the steady ones, when silence is measured */
};

/* ---- nodes ----------------------------------------------------------------------------- */

struct lin;
struct pf;

struct fw {
	int index;
	enum fw_kind kind;
	bool up;		/* it runs and forwards */
	bool link;		/* its sync interface is up */
	unsigned wires;		/* mask: the first, the second, or both */
	uint64_t excuse;	/* last time that it lost states without anybody's message */
	uint64_t up_at;		/* reboot: when it comes back; NEVER: it is up */
	uint64_t link_at;	/* the same of the link */
	uint64_t restart_at;	/* of the engine */
	uint64_t stalled_until; /* it stands still; NEVER: it does not */
	struct lin *lin;
	struct pf *pf;
};

/* ---- the run --------------------------------------------------------------------------- */

struct scenario {
	const char *name;
	enum fw_kind fw[FW_MAX];
	unsigned wires[FW_MAX]; /* mask; 0: the first */
	unsigned fws, linuxes;	/* of them Linux */
	unsigned flows;		/* at most */
	bool churn;
	bool upgrade; /* FreeBSD 13 nodes become 15, one after another */
};

enum fault {
	FAULT_LOSS = 1 << 0,
	FAULT_TWICE = 1 << 1,
	FAULT_REORDER = 1 << 2,
	FAULT_DELAY = 1 << 3,
	FAULT_CUT = 1 << 4,
	FAULT_RESTART = 1 << 5,
	FAULT_REBOOT = 1 << 6,
	FAULT_LINK = 1 << 7,
	FAULT_OVERRUN = 1 << 8,
	FAULT_FULL = 1 << 9,
	FAULT_NAME = 1 << 10,	/* pf: a new creatorid */
	FAULT_FLUSH = 1 << 11,	/* pf: all states flushed */
	FAULT_OTHERS = 1 << 12, /* conntrack -D, -F */
	FAULT_STALL = 1 << 13,	/* a node stands still, and its clock goes on */
	FAULT_JUMP = 1 << 14,	/* all of them: suspended for minutes or hours */
	FAULT_RESYNC = 1 << 15, /* pfsyncctl resync */
	FAULT_ALL = (1 << 16) - 1,
};

struct wire {
	unsigned loss, twice;	/* percent */
	uint64_t jitter, delay; /* ns at most */
	bool reorder;
	bool cut[FW_MAX][FW_MAX];
};

struct sim {
	uint64_t seed, now, rng, hash;
	bool verbose;
	const struct scenario *scenario;
	struct fw fw[FW_MAX];
	unsigned fws;
	struct conn conn[CONN_MAX];
	size_t conns;
	unsigned wanted;    /* connections that are kept open */
	bool opening, busy; /* new ones are opened; open ones have traffic */
	unsigned port;
	int carrier;
	uint64_t carrier_since;
	struct wire wire;
	unsigned faults;   /* enum fault that this run may have */
	uint64_t trouble;  /* when there was something wrong last */
	uint64_t recovery; /* time after it until everything is owed again */
	struct timeouts timeouts;
	uint32_t established;	    /* tcp.established of all */
	enum dialect_id dialect[2]; /* by wire; of pure Linux links, and of named ones */
	bool auto_dialect;
	bool strict, tcp_strict, takeover; /* handover, conntrack.tcp, commit */
	enum announce_from tcp, udp, icmp;
	uint32_t max_states, bulk_rate;
	uint32_t kernel_established; /* the kernels' own timeout */
	uint64_t packets, messages;
	unsigned opened, moved, hung;
	unsigned excused[EXCUSE_COUNT];
	bool failed;
	char what[512];
};

extern struct sim sim;

/* sim.c */
uint64_t sim_random(void);
uint64_t sim_below(uint64_t n); /* 0 .. n - 1 */
bool sim_chance(unsigned percent);
void sim_mix(uint64_t what); /* into the hash of the trace */
__attribute__((format(printf, 1, 2))) void sim_trace(const char *format, ...);
__attribute__((format(printf, 2, 3))) void sim_fail(const struct conn *c, const char *format, ...);
void *sim_grow(void *p, size_t *room, size_t used, size_t size);
void sim_run(uint64_t until);
static inline void sim_earlier(uint64_t *at, uint64_t when)
{
	if (when < *at)
		*at = when;
}

/* Its address on a wire. */
static inline struct address fw_address(const struct fw *f, unsigned wire)
{
	return (struct address){.family = 4,
				.addr = {203, 0, (uint8_t)(113 + wire), (uint8_t)(f->index + 1)}};
}

/* It runs and forwards. */
static inline bool fw_works(const struct fw *f)
{
	return f->up && f->stalled_until == NEVER;
}

/* simplan.c */
const struct scenario *plan_scenario(const char *name);
const struct scenario *plan_nth(size_t n);
void plan_run(void);
uint64_t plan_next(void);
void plan_due(void);
void plan_move(void); /* of the traffic, to some other node that works */

/* simfault.c */
void fault_reset(void);
void fault_node_up(struct fw *f);
void fault_node_down(struct fw *f, uint64_t until);
void fault_kill(struct fw *f, uint64_t down);
void fault_some(void);
void fault_mend(void);
bool fault_is(void); /* something is broken */
void fault_hunt(struct fw *f);
uint64_t fault_next(void);
void fault_due(void);

/* simwire.c */
void wire_send(const struct fw *from, unsigned wire, const uint8_t *data, size_t len);
void wire_after(uint64_t at, struct conn *c); /* the next step of a connection */
uint64_t wire_next(void);
void wire_step(void);
void wire_reset(void);

/* simconn.c */
struct conn *conn_open(void);
void conn_step(struct conn *c);
struct conn *conn_find(const struct tuples *t);
void conn_reset(void);
void conn_killed(struct conn *c, const struct fw *f, bool live); /* by another program */
void conn_suspended(void);
bool conn_passed_both(const struct conn *c); /* two pf nodes */
void conn_move(int to);
uint64_t conn_announced(const struct fw *by);
uint64_t conn_told_after(const struct conn *c, const struct fw *by);
void conn_text(const struct conn *c, char *buf, size_t size);

/* simlinux.c, simpf.c: the same of both kinds */
void lin_init(struct fw *f);
void lin_free(struct fw *f);
void lin_up(struct fw *f); /* the kernel, empty, and the engine */
void lin_down(struct fw *f);
void lin_start(struct fw *f); /* the engine alone */
void lin_stop(struct fw *f);
void lin_link(struct fw *f);
void lin_takeover(struct fw *f); /* the command */
void lin_receive(struct fw *f, const struct fw *from, unsigned wire, const uint8_t *data,
		 size_t len);
enum verdict lin_forward(struct fw *f, struct conn *c, const struct pkt *p);
uint64_t lin_next(const struct fw *f);
void lin_due(struct fw *f);

void pf_init(struct fw *f);
void pf_free(struct fw *f);
void pf_up(struct fw *f);
void pf_down(struct fw *f);
void pf_link(struct fw *f);
void pf_receive(struct fw *f, const uint8_t *data, size_t len);
enum verdict pf_forward(struct fw *f, struct conn *c, const struct pkt *p);
uint64_t pf_next(const struct fw *f);
void pf_due(struct fw *f);

/* simcheck.c */
void check_everywhere(void); /* all know the same flows */
void check_counters(void);
bool check_both_kinds(void); /* FreeBSD and OpenBSD beside each other */
void check_memory(struct fw *f);
void check_names_keep(void); /* before a restart in peace */
void check_names_kept(void); /* and after it */
void check_bulks(void);
void check_silence_begin(void);
void check_silence_end(uint64_t window);
void check_empty(void);

#endif
