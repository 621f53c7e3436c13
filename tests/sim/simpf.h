/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pf node: what two real kernels were seen to do, FreeBSD 12 and OpenBSD of 2025. */
#ifndef PFSYNC_SIMPF_H
#define PFSYNC_SIMPF_H

#include "builder.h"
#include "sim.h"

enum { PF_BUCKETS = 1024, PF_QUEUES = 2, PF_REQUESTS = 64 };

enum queued { Q_NONE, Q_INS, Q_UPD, Q_UPD_C };

struct pfs {			      /* a state */
	struct pfs *by_key, *by_name; /* next in its buckets */
	struct pfs *next;	      /* in the list of all, or of the free */
	struct pf_key key[2];
	uint64_t id;
	uint32_t creatorid;
	uint8_t family, proto, direction;
	struct pf_peer peer[2]; /* src, dst */
	uint8_t timeout;
	bool sloppy, used, foreign;
	uint64_t base; /* its timeout runs from here */
	uint64_t created, heard;
	enum queued queued;
	uint8_t queue;
	unsigned updates; /* packets since it was queued */
};

/* A bucket of FreeBSD, a slice of OpenBSD: gathers messages and sends them by its own timer. */
struct pfqueue {
	struct pfs **state;
	size_t states, room;
	struct msg_id request[PF_REQUESTS];
	size_t requests;
	struct msg_id ack[PF_REQUESTS];
	size_t acks;
	struct msg_id *gone; /* DEL_C */
	size_t gones, gone_room;
	uint8_t bus; /* BUS_START or BUS_END to be sent */
	uint64_t bus_since;
	bool clr;
	uint64_t at; /* NEVER: no timer runs */
	size_t bytes;
};

struct pf {
	const struct fw *fw;
	bool openbsd;
	const struct dialect *dialect;
	bool began; /* it was up before */
	struct pfs *by_key[PF_BUCKETS], *by_name[PF_BUCKETS];
	struct pfs *all, *free;
	size_t count;
	uint32_t hostid;
	uint64_t next_id;
	struct pfqueue queue[PF_QUEUES];
	uint64_t purge_at, own_at;
	/* its own bulk request */
	enum { PF_BULK_DONE, PF_BULK_ASKED, PF_BULK_RUNS } bulk;
	uint64_t asked_at, bulk_at;
	unsigned tries;
	bool gave_up; /* nobody answered to the end */
	/* its answer to one */
	bool answering, started;
	struct pfs **answer; /* what the table held at the request */
	size_t answers, answer_room, answered;
	uint64_t answer_at, requested_at;
	uint64_t mismatches, badver;
};

/* simpf.c */
struct pfs *pf_by_key(const struct pf *p, int direction, uint8_t proto, const struct pf_key key[2]);
struct pfs *pf_by_name(const struct pf *p, uint64_t id, uint32_t creatorid);
bool pf_same_keys(const struct pfs *s, const struct pf_key key[2]);
struct pfs *pf_add(struct pf *p, const struct pfs *like); /* NULL: it collides */
void pf_remove(struct pf *p, struct pfs *s);		  /* silently */
void pf_clear(struct pf *p);
bool pf_due_out(const struct pfs *s); /* its timeout is over */

/* simpfsync.c */
void pfsync_touched(struct pf *p, struct pfs *s); /* a packet met it */
void pfsync_added(struct pf *p, struct pfs *s);
void pfsync_removed(struct pf *p, struct pfs *s); /* and removes it */
void pfsync_flushed(struct pf *p);		  /* pfctl -F states */
void pfsync_up(struct pf *p);
uint64_t pfsync_next(const struct pf *p);
void pfsync_due(struct pf *p);

#endif
