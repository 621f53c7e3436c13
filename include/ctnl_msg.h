/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ctnetlink messages and struct kernel_entry, both ways. Reading (ctnl_msg.c) allocates nothing and
 * agrees with libnetfilter_conntrack, which the tests hold it to. Writing (ctnl_build.c) is done
 * with libmnl.
 */
#ifndef PFSYNC_CTNL_MSG_H
#define PFSYNC_CTNL_MSG_H

#include "engine.h"

struct nlmsghdr;

enum { CTNL_MSG_MAX = 512 }; /* bytes a built message takes at most, header included */

struct ctnl_scope {
	uint16_t zone;
	uint32_t mark, mark_mask; /* given to entries that are created; mask 0: none */
};

/*
 * A message of the conntrack subsystem (new or delete) into e. Addresses stay in network order,
 * all numbers become host order. GRE keys stand as ports, as the kernel gives them. Nothing behind
 * nlmsg_len is read; attributes that are not known are left alone.
 * 0; 1 if the entry belongs to another zone; -EPROTO if it makes no sense.
 */
int ctnl_msg_parse(const struct nlmsghdr *nlh, const struct ctnl_scope *scope,
		   struct kernel_entry *e);

/*
 * The request for op into buf, aligned for a struct nlmsghdr and of CTNL_MSG_MAX bytes; returns
 * it, or NULL if the tuples are of no known family. No acknowledgement is asked for.
 *
 * Create: CONFIRMED is added to status; flags are written as given. Translation comes from the
 * difference of the two tuples; seqadj is written if any is not 0. Change: status (CONFIRMED added)
 * only if it is not 0, timeout if has_timeout or not 0, flags are only ever added, NONE leaves the
 * TCP state alone.
 */
struct nlmsghdr *ctnl_msg_build(void *buf, const struct ctnl_scope *scope,
				const struct kernel_op *op, uint32_t seq);

/* Request of everything, both families. */
struct nlmsghdr *ctnl_msg_build_dump(void *buf, uint32_t seq);

#endif
