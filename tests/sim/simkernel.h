/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The conntrack table of a Linux node, as far as flows that pass it can tell. */
#ifndef PFSYNC_SIMKERNEL_H
#define PFSYNC_SIMKERNEL_H

#include "sim.h"

enum { KERNEL_BUCKETS = 1024 };

struct kway { /* one of the two tuples of an entry, in its bucket */
	struct kway *next;
	struct kent *entry;
	bool reply;
};

struct kent {
	struct kway way[2];
	struct kernel_entry k;
	uint64_t expires, made;
	uint64_t bytes; /* of its connection, when a packet passed here last */
	bool used;
	bool imported, learnt;
};

struct kevent {
	enum kernel_event event;
	struct kernel_entry k;
	bool by_packet;
	uint64_t at;
};

struct ktable {
	struct kway *bucket[KERNEL_BUCKETS];
	struct kent **entry;
	size_t entries, room, count;
	size_t most; /* entries it takes; 0: no limit */
	uint32_t next_id;
	struct kevent *event;
	size_t events, event_room, event_first;
	uint64_t evicted; /* last time that somebody was dropped to make room */
	bool deaf;	  /* events are lost */
	bool lost;	  /* some were, and the listener was not told yet */
};

void kernel_timeouts(struct kernel_timeouts *t);
void kernel_clear(struct ktable *k); /* without events */
void kernel_free(struct ktable *k);
struct kent *kernel_find(struct ktable *k, const struct tuples *t, bool reply);
struct kent *kernel_exact(struct ktable *k, const struct tuples *t);
struct kernel_entry kernel_seen(const struct kent *m);
enum verdict kernel_packet(struct ktable *k, const struct conn *c, const struct pkt *p);
void kernel_gc(struct ktable *k, unsigned percent); /* of what has run out */
void kernel_kill(struct ktable *k, struct kent *m); /* by another program */
/* What netlink does; 0 or an errno. */
int kernel_create(struct ktable *k, const struct kernel_entry *e);
int kernel_change(struct ktable *k, const struct kernel_entry *e);
int kernel_delete(struct ktable *k, const struct tuples *t);
struct kevent *kernel_event(struct ktable *k); /* the next one that has come; NULL: none */
uint64_t kernel_event_at(const struct ktable *k);

#endif
