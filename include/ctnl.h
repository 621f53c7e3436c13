/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's connection table over ctnetlink: what happens there, changing it, reading it all.
 * Three sockets, so that events, answers and the dump never wait for each other. Nothing blocks;
 * everything returns 0 or -errno. What our own commands cause is dropped in the kernel, before
 * it takes room in the event socket.
 */
#ifndef PFSYNC_CTNL_H
#define PFSYNC_CTNL_H

#include "ctnl_msg.h"

struct ctnl;

struct ctnl_handler {
	/* caused_by_packet: false if another program did it. */
	void (*event)(void *ctx, enum kernel_event event, const struct kernel_entry *entry,
		      bool caused_by_packet);
	void (*overrun)(void *ctx); /* events were lost */
	void (*dumped)(void *ctx, const struct kernel_entry *entry);
	void (*dump_end)(void *ctx, bool complete); /* false: interrupted or failed */
};

/*
 * Opens the sockets and subscribes. receive_buffer in bytes, for events (the kernel takes twice
 * as much). handler is kept. Needs CAP_NET_ADMIN.
 */
int ctnl_open(struct ctnl **ctnl, const struct ctnl_scope *scope, size_t receive_buffer,
	      const struct ctnl_handler *handler, void *ctx);
void ctnl_close(struct ctnl *c);

/* Of entries created from now on; the zone cannot be changed. */
void ctnl_set_mark(struct ctnl *c, uint32_t mark, uint32_t mask);

/* To be polled for reading. */
int ctnl_event_fd(const struct ctnl *c);
int ctnl_dump_fd(const struct ctnl *c);

/*
 * Reads some thousand events at most and hands them on; 1 if there may be more, else 0 or -errno
 * (then the socket is of no use any more).
 */
int ctnl_on_events(struct ctnl *c);

/* Asks for the whole table; -EBUSY while a dump is under way. */
int ctnl_dump_start(struct ctnl *c);

/* Reads some of the dump; 1 if there may be more, else 0. dump_end comes exactly once per start. */
int ctnl_on_dump(struct ctnl *c);

/*
 * Carries out up to ENGINE_BATCH operations in their order, and fills error and, of a KERNEL_GET,
 * entry: what the kernel has under that tuple, which may be its reply tuple. A KERNEL_CHANGE only
 * adds status bits. If answers were lost a KERNEL_GET has ENOBUFS.
 */
void ctnl_commit(struct ctnl *c, struct kernel_op *ops, size_t n);

/* Entries in the table and the most it takes, of this network namespace. */
int ctnl_pressure(uint32_t *count, uint32_t *max);

/* What it is set to give entries at each packet; 0 for what cannot be read. */
void ctnl_timeouts(struct kernel_timeouts *t);

#endif
