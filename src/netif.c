/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows libnl-3 and libnl-route-3. */
#include "netif.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "routes.h"

enum {
	DATAGRAMS_AT_ONCE = 512,
	DATAGRAM_SIZE = 32768,
	REQUEST_SECONDS = 1,
};

struct link_entry {
	unsigned index;
	unsigned mtu;
	uint32_t changes;
	bool up;
	char name[NETIF_NAME_LEN];
	size_t first, count; /* of its addresses */
};

struct netif {
	struct nl_sock *events, *requests;
	netif_call call, rerouted;
	void *ctx;
	struct link_entry *link;
	size_t links;
	struct prefix *addr;  /* grouped by link */
	struct address *host; /* the same without the length */
	size_t addrs;
	struct routes *routes; /* NULL: not used */
	char buf[DATAGRAM_SIZE];
};

/* libnl has its own error numbers; those of the kernel are among them only in part. */
static int from_nl(int err)
{
	switch (err < 0 ? -err : err) {
	case 0:
		return 0;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_PERM:
	case NLE_NOACCESS:
		return -EPERM;
	case NLE_DUMP_INTR:
	case NLE_INTR:
		return -EINTR;
	case NLE_AGAIN:
		return -EAGAIN;
	default:
		return -EIO;
	}
}

static int open_socket(struct nl_sock **s)
{
	*s = nl_socket_alloc();
	if (!*s)
		return -ENOMEM;
	return from_nl(nl_connect(*s, NETLINK_ROUTE));
}

/* ---- what is there --------------------------------------------------------------------- */

static int read_links(struct nl_cache *cache, struct link_entry **out, size_t *count)
{
	int items = nl_cache_nitems(cache);
	struct link_entry *l = calloc(items > 0 ? (size_t)items : 1, sizeof(*l));
	size_t n = 0;

	if (!l)
		return -ENOMEM;
	for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
		struct rtnl_link *rl = (struct rtnl_link *)o;
		unsigned flags = rtnl_link_get_flags(rl);
		const char *name = rtnl_link_get_name(rl);

		/* Bridge ports come a second time, as AF_BRIDGE. */
		if (!name || rtnl_link_get_family(rl) != AF_UNSPEC)
			continue;
		l[n].index = (unsigned)rtnl_link_get_ifindex(rl);
		l[n].mtu = rtnl_link_get_mtu(rl);
		(void)rtnl_link_get_carrier_changes(rl, &l[n].changes);
		l[n].up = (flags & IFF_UP) && (flags & IFF_RUNNING);
		strncpy(l[n].name, name, NETIF_NAME_LEN - 1);
		n++;
	}
	*out = l;
	*count = n;
	return 0;
}

static bool read_address(struct rtnl_addr *ra, struct prefix *p)
{
	struct nl_addr *a = rtnl_addr_get_local(ra);
	int family = a ? nl_addr_get_family(a) : AF_UNSPEC;

	if (family != AF_INET && family != AF_INET6)
		return false;
	memset(p, 0, sizeof(*p));
	p->family = family == AF_INET6 ? 6 : 4;
	if (nl_addr_get_len(a) != family_len(p->family))
		return false;
	memcpy(p->addr, nl_addr_get_binary_addr(a), family_len(p->family));
	p->bits = (uint8_t)rtnl_addr_get_prefixlen(ra);
	return true;
}

/* Addresses in the order of the links; sets their first and count. */
static int read_addresses(struct nl_cache *cache, struct link_entry *link, size_t links,
			  struct prefix **out, size_t *count)
{
	int items = nl_cache_nitems(cache);
	size_t most = items > 0 ? (size_t)items : 1;
	struct prefix *p = calloc(most, sizeof(*p));
	size_t n = 0;

	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < links; i++) {
		struct nl_object *o = nl_cache_get_first(cache);

		link[i].first = n;
		for (; o && n < most; o = nl_cache_get_next(o)) {
			struct rtnl_addr *ra = (struct rtnl_addr *)o;

			if ((unsigned)rtnl_addr_get_ifindex(ra) == link[i].index &&
			    read_address(ra, &p[n]))
				n++;
		}
		link[i].count = n - link[i].first;
	}
	*out = p;
	*count = n;
	return 0;
}

static struct address *host_addresses(const struct prefix *p, size_t n)
{
	struct address *a = calloc(n ? n : 1, sizeof(*a));

	for (size_t i = 0; a && i < n; i++) {
		a[i].family = p[i].family;
		memcpy(a[i].addr, p[i].addr, sizeof(a[i].addr));
	}
	return a;
}

static int read_all(struct netif *n)
{
	struct nl_cache *links = NULL, *addrs = NULL;
	struct link_entry *link = NULL;
	struct prefix *addr = NULL;
	struct address *host = NULL;
	size_t link_count = 0, addr_count = 0;
	int err = from_nl(rtnl_link_alloc_cache(n->requests, AF_UNSPEC, &links));

	if (!err)
		err = from_nl(rtnl_addr_alloc_cache(n->requests, &addrs));
	if (!err)
		err = read_links(links, &link, &link_count);
	if (!err)
		err = read_addresses(addrs, link, link_count, &addr, &addr_count);
	if (!err) {
		host = host_addresses(addr, addr_count);
		err = host ? 0 : -ENOMEM;
	}
	if (!err) {
		free(n->link);
		free(n->addr);
		free(n->host);
		n->link = link;
		n->links = link_count;
		n->addr = addr;
		n->host = host;
		n->addrs = addr_count;
	} else {
		free(link);
		free(addr);
	}
	if (links)
		nl_cache_free(links);
	if (addrs)
		nl_cache_free(addrs);
	return err;
}

/* ---- life ------------------------------------------------------------------------------ */

static int netif_start(struct netif *n)
{
	struct timeval patience = {.tv_sec = REQUEST_SECONDS};
	int err = open_socket(&n->events);

	if (!err)
		err = open_socket(&n->requests);
	if (!err)
		err = from_nl(nl_socket_add_memberships(
			n->events, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, 0));
	if (!err && n->rerouted)
		err = from_nl(nl_socket_add_memberships(n->events, RTNLGRP_IPV4_ROUTE,
							RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,
							RTNLGRP_IPV6_RULE, RTNLGRP_NEXTHOP, 0));
	if (!err && n->rerouted)
		err = routes_open(&n->routes);
	if (err)
		return err;
	if (setsockopt(nl_socket_get_fd(n->requests), SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) < 0)
		return -errno;
	return read_all(n);
}

int netif_open(struct netif **netif, netif_call call, netif_call rerouted, void *ctx)
{
	struct netif *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return -ENOMEM;
	n->call = call;
	n->rerouted = rerouted;
	n->ctx = ctx;
	err = netif_start(n);
	if (err) {
		netif_close(n);
		return err;
	}
	*netif = n;
	return 0;
}

void netif_close(struct netif *n)
{
	if (!n)
		return;
	if (n->events)
		nl_socket_free(n->events);
	if (n->requests)
		nl_socket_free(n->requests);
	free(n->link);
	free(n->addr);
	free(n->host);
	routes_close(n->routes);
	free(n);
}

int netif_fd(const struct netif *n)
{
	return nl_socket_get_fd(n->events);
}

/* ---- changes --------------------------------------------------------------------------- */

/* Events only say that something changed; what there is now is read anew. */
static bool is_about_links(const void *data, size_t len)
{
	const struct nlmsghdr *nlh = data;
	int left = (int)len;

	for (; nlmsg_ok(nlh, left); nlh = nlmsg_next((struct nlmsghdr *)(uintptr_t)nlh, &left)) {
		switch (nlh->nlmsg_type) {
		case RTM_NEWLINK:
		case RTM_DELLINK:
		case RTM_NEWADDR:
		case RTM_DELADDR:
			return true;
		default:
			break;
		}
	}
	return false;
}

int netif_on_event(struct netif *n)
{
	bool any = false, links = false;
	int more = 1, err = 0;

	for (int i = 0; i < DATAGRAMS_AT_ONCE; i++) {
		ssize_t len = recv(netif_fd(n), n->buf, sizeof(n->buf), MSG_DONTWAIT);

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0 && errno == EAGAIN) {
			more = 0;
			break;
		}
		if (len < 0 && errno != ENOBUFS)
			return -errno;
		any = true;
		links = links || len < 0 || is_about_links(n->buf, (size_t)len);
	}
	if (any && n->routes)
		routes_changed(n->routes);
	if (links) {
		err = read_all(n);
		/* It changed while it was read: an event about that waits already. */
		if (err == -EINTR)
			return 1;
		n->call(n->ctx);
	}
	if (any && n->rerouted)
		n->rerouted(n->ctx);
	return err ? err : more;
}

bool netif_get(const struct netif *n, const char *name, struct netif_link *link)
{
	memset(link, 0, sizeof(*link));
	for (size_t i = 0; i < n->links; i++) {
		const struct link_entry *l = &n->link[i];

		if (strcmp(l->name, name) != 0)
			continue;
		link->index = l->index;
		link->up = l->up;
		link->mtu = l->mtu;
		link->changes = l->changes;
		link->addrs = n->addr + l->first;
		link->count = l->count;
		return true;
	}
	return false;
}

const struct address *netif_addresses(const struct netif *n, size_t *count)
{
	*count = n->addrs;
	return n->host;
}

/* ---- routes ---------------------------------------------------------------------------- */

static void copy_name(const struct netif *n, unsigned index, char name[NETIF_NAME_LEN])
{
	memset(name, 0, NETIF_NAME_LEN);
	for (size_t i = 0; index && i < n->links; i++) {
		if (n->link[i].index == index) {
			memcpy(name, n->link[i].name, NETIF_NAME_LEN);
			return;
		}
	}
}

void netif_route(struct netif *n, const struct tuples *t, char in[NETIF_NAME_LEN],
		 char out[NETIF_NAME_LEN])
{
	unsigned index[2] = {0};

	if (n->routes)
		routes_find(n->routes, t, index);
	copy_name(n, index[0], in);
	copy_name(n, index[1], out);
}
