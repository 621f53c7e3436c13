/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interfaces, addresses and routes of this host, by rtnetlink (libnl). Interfaces may come, go
 * and return with another index. Functions return 0 or -errno.
 */
#ifndef PFSYNC_NETIF_H
#define PFSYNC_NETIF_H

#include "engine.h"

enum { NETIF_NAME_LEN = 16 };

struct netif;

/* Not called from within netif_open(). */
typedef void (*netif_call)(void *ctx);

/*
 * Reads what is there and subscribes. call: something about links or addresses changed. rerouted:
 * the same, or routes or rules; NULL if netif_route() will not be used.
 */
int netif_open(struct netif **netif, netif_call call, netif_call rerouted, void *ctx);
void netif_close(struct netif *n);

/* To be polled for reading. */
int netif_fd(const struct netif *n);

/* Takes notice of changes; 1 if there may be more, else 0 or -errno. Calls back once at most, each.
 */
int netif_on_event(struct netif *n);

struct netif_link {
	unsigned index; /* 0: there is no such interface */
	bool up;	/* administratively, and its lower layer works */
	unsigned mtu;
	uint32_t changes; /* how often its lower layer went or came, as far as the kernel counts */
	const struct prefix *addrs; /* its own addresses; valid until the next netif_on_event() */
	size_t count;
};

/* false (and link zeroed) if there is no interface of that name. */
bool netif_get(const struct netif *n, const char *name, struct netif_link *link);

/* All addresses of this host, each as whole address; valid until the next netif_on_event(). */
const struct address *netif_addresses(const struct netif *n, size_t *count);

/*
 * The interfaces through which packets of a flow enter and leave, as the routing table has it
 * now: see routes_find(). "" where there is no route.
 */
void netif_route(struct netif *n, const struct tuples *t, char in[NETIF_NAME_LEN],
		 char out[NETIF_NAME_LEN]);

#endif
