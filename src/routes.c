/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows libnl-3 and libnl-route-3. */
#include "routes.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	SLOTS = 4096, /* a power of two */
	REQUEST_SECONDS = 1,
};

/* What is asked: towards dst, of a packet from src that comes in by iif (0: of one of ours). */
struct question {
	uint8_t family;
	uint8_t dst[16], src[16];
	unsigned iif;
};

struct slot {
	struct question question;
	uint32_t generation;
	unsigned index;
};

struct routes {
	struct nl_sock *sock;
	uint32_t generation; /* of what is true now; never 0 */
	bool rules_known, policy[2];
	unsigned found; /* answer to the request under way */
	struct slot slot[SLOTS];
};

/* ---- asking the kernel ----------------------------------------------------------------- */

static int on_answer(struct nl_msg *msg, void *ctx)
{
	struct routes *r = ctx;
	struct rtnl_route *route = NULL;
	struct rtnl_nexthop *hop;

	if (nlmsg_hdr(msg)->nlmsg_type != RTM_NEWROUTE ||
	    rtnl_route_parse(nlmsg_hdr(msg), &route) < 0)
		return NL_OK;
	hop = rtnl_route_nexthop_n(route, 0);
	if (hop)
		r->found = (unsigned)rtnl_route_nh_get_ifindex(hop);
	rtnl_route_put(route);
	return NL_OK;
}

static unsigned ask_kernel(struct routes *r, const struct question *q)
{
	size_t len = family_len(q->family);
	struct rtmsg rtm = {.rtm_family = q->family == 6 ? AF_INET6 : AF_INET,
			    .rtm_dst_len = (unsigned char)(len * 8)};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, 0);
	bool good;

	if (!msg)
		return 0;
	r->found = 0;
	if (q->iif)
		rtm.rtm_src_len = rtm.rtm_dst_len;
	good = nlmsg_append(msg, &rtm, sizeof(rtm), NLMSG_ALIGNTO) >= 0 &&
	       nla_put(msg, RTA_DST, (int)len, q->dst) >= 0;
	if (q->iif)
		good = good && nla_put(msg, RTA_SRC, (int)len, q->src) >= 0 &&
		       nla_put_u32(msg, RTA_IIF, q->iif) >= 0;
	if (good && nl_send_auto(r->sock, msg) >= 0)
		(void)nl_recvmsgs_default(r->sock);
	nlmsg_free(msg);
	return r->found;
}

/* Some rule leads to another table than those which every host has. */
static bool has_policy(struct routes *r, int family)
{
	struct nl_cache *rules = NULL;
	bool any = false;

	if (rtnl_rule_alloc_cache(r->sock, family, &rules) < 0)
		return true; /* dearer, and never wrong */
	for (struct nl_object *o = nl_cache_get_first(rules); o && !any; o = nl_cache_get_next(o)) {
		uint32_t table = rtnl_rule_get_table((struct rtnl_rule *)o);

		any = table != RT_TABLE_LOCAL && table != RT_TABLE_MAIN &&
		      table != RT_TABLE_DEFAULT;
	}
	nl_cache_free(rules);
	return any;
}

/* ---- what is remembered ---------------------------------------------------------------- */

static uint32_t hash_of(const struct question *q)
{
	const uint8_t *p = (const uint8_t *)q;
	uint32_t hash = 2166136261U;

	for (size_t i = 0; i < sizeof(*q); i++)
		hash = (hash ^ p[i]) * 16777619U;
	return hash ^ hash >> 16;
}

/* One slot for each hash value: who comes later takes it. */
static unsigned ask(struct routes *r, uint8_t family, const uint8_t *dst, const uint8_t *src,
		    unsigned iif)
{
	struct question q;
	struct slot *s;

	memset(&q, 0, sizeof(q)); /* compared as bytes */
	q.family = family;
	q.iif = iif;
	memcpy(q.dst, dst, family_len(family));
	if (iif)
		memcpy(q.src, src, family_len(family));
	s = &r->slot[hash_of(&q) & (SLOTS - 1)];
	if (s->generation != r->generation || memcmp(&s->question, &q, sizeof(q)) != 0) {
		memcpy(&s->question, &q, sizeof(q));
		s->index = ask_kernel(r, &q);
		s->generation = r->generation;
	}
	return s->index;
}

void routes_changed(struct routes *r)
{
	r->rules_known = false;
	if (++r->generation == 0) { /* slots of the first time round must not come true again */
		memset(r->slot, 0, sizeof(r->slot));
		r->generation = 1;
	}
}

/* As a packet that came in by that interface, or if the kernel refuses that, as one of ours. */
static unsigned onwards(struct routes *r, const struct tuples *t, enum flow_end to,
			enum flow_end from, unsigned iif)
{
	unsigned index = iif ? ask(r, t->family, t->end[to].addr, t->end[from].addr, iif) : 0;

	return index ? index : ask(r, t->family, t->end[to].addr, NULL, 0);
}

void routes_find(struct routes *r, const struct tuples *t, unsigned index[2])
{
	unsigned in;

	if (!r->rules_known) {
		r->policy[0] = has_policy(r, AF_INET);
		r->policy[1] = has_policy(r, AF_INET6);
		r->rules_known = true;
	}
	index[0] = in = ask(r, t->family, t->end[ORIG_SRC].addr, NULL, 0);
	if (!r->policy[t->family == 6]) {
		index[1] = ask(r, t->family, t->end[REPLY_SRC].addr, NULL, 0);
		return;
	}
	/* where it comes from is a guess until the way of its answers is known */
	index[1] = onwards(r, t, REPLY_SRC, ORIG_SRC, in);
	index[0] = onwards(r, t, ORIG_SRC, REPLY_SRC, index[1]);
	if (index[0] != in)
		index[1] = onwards(r, t, REPLY_SRC, ORIG_SRC, index[0]);
}

/* ---- life ------------------------------------------------------------------------------ */

static int start(struct routes *r)
{
	struct timeval patience = {.tv_sec = REQUEST_SECONDS};

	r->sock = nl_socket_alloc();
	if (!r->sock)
		return -ENOMEM;
	if (nl_connect(r->sock, NETLINK_ROUTE) < 0)
		return -EIO;
	if (setsockopt(nl_socket_get_fd(r->sock), SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) < 0)
		return -errno;
	nl_socket_disable_auto_ack(r->sock);
	nl_socket_modify_cb(r->sock, NL_CB_VALID, NL_CB_CUSTOM, on_answer, r);
	return 0;
}

int routes_open(struct routes **routes)
{
	struct routes *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->generation = 1;
	err = start(r);
	if (err) {
		routes_close(r);
		return err;
	}
	*routes = r;
	return 0;
}

void routes_close(struct routes *r)
{
	if (!r)
		return;
	if (r->sock)
		nl_socket_free(r->sock);
	free(r);
}
