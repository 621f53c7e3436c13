/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets that a packet filter rule holds back for us (NFQUEUE). Everything fails open: packets
 * pass when nobody listens (the rule's `bypass`), when the queue or its socket is full, and when
 * it is closed. Only a killed process loses what it held: the kernel drops it.
 *
 * Which queue it is depends on the kernel. Where it attaches the conntrack entry to the packet
 * (CONFIG_NETFILTER_NETLINK_GLUE_CT, as Debian's kernels) it is QUEUE_ANY: the rule is behind
 * source translation, and both tuples are known. Elsewhere only the packet is seen, which does not
 * show what it was before translation: QUEUE_PLAIN, whose rule leaves translated flows out.
 */
#ifndef PFSYNC_NFQUEUE_H
#define PFSYNC_NFQUEUE_H

#include "ctnl_msg.h"

enum { QUEUE_ANY = 240, QUEUE_PLAIN = 241 };

struct nfqueue;

/* entry: what the kernel is about to make; NULL if the packet could not be read, or is of another
 * zone. Each packet needs its nfqueue_release(), under its token. */
typedef void nfqueue_held_fn(void *ctx, const struct kernel_entry *entry, uint32_t token);

/*
 * Takes the queue that the kernel allows; 0 or -errno: -EPERM if another program has it, or
 * without CAP_NET_ADMIN.
 */
int nfqueue_open(struct nfqueue **queue, const struct ctnl_scope *scope, nfqueue_held_fn *held,
		 void *ctx);
/* Lets go of everything that is held. */
void nfqueue_close(struct nfqueue *q);

unsigned nfqueue_number(const struct nfqueue *q);
int nfqueue_fd(const struct nfqueue *q);

/* Reads some packets and hands them on; 0 or -errno. */
int nfqueue_read(struct nfqueue *q);
void nfqueue_release(struct nfqueue *q, uint32_t token);

#endif
