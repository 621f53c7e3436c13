/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the event of a new entry in one kernel to the same entry in another one:
 *
 *	latency NETNS_A NETNS_B COUNT PER_SECOND
 *
 * Makes entries in A, waits for the events of their likes in B, and prints one line of JSON:
 * milliseconds, and how many never came. It runs before all others, or its own waiting for a
 * processor would be counted as theirs.
 */
#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "entry.h"

enum { EVENT_BUFFER = 64 << 20, FIRST = 1 << 23, TIMEOUT = 120, PATIENCE_S = 3 };

struct run {
	unsigned long count, came, sent;
	double *began, *took;
};

static void enter(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		entry_die(path);
	close(fd);
}

struct wanted {
	uint32_t src;
	uint16_t sport;
};

static int find_tuple(const struct nlattr *a, void *ctx)
{
	struct wanted *w = ctx;
	uint16_t type = mnl_attr_get_type(a);

	if (a->nla_type & NLA_F_NESTED) /* addresses, ports */
		return mnl_attr_parse_nested(a, find_tuple, ctx);
	if (mnl_attr_get_payload_len(a) == sizeof(w->src) && type == CTA_IP_V4_SRC)
		memcpy(&w->src, mnl_attr_get_payload(a), sizeof(w->src));
	else if (mnl_attr_get_payload_len(a) == sizeof(w->sport) && type == CTA_PROTO_SRC_PORT)
		memcpy(&w->sport, mnl_attr_get_payload(a), sizeof(w->sport));
	return MNL_CB_OK;
}

static int find_original(const struct nlattr *a, void *ctx)
{
	if (mnl_attr_get_type(a) != CTA_TUPLE_ORIG)
		return MNL_CB_OK;
	(void)mnl_attr_parse_nested(a, find_tuple, ctx);
	return MNL_CB_STOP;
}

static void came(struct run *r, const struct nlmsghdr *nlh, double now)
{
	struct wanted w = {0};
	unsigned long n;

	(void)mnl_attr_parse(nlh, sizeof(struct nfgenmsg), find_original, &w);
	w.src = __builtin_bswap32(w.src);
	w.sport = __builtin_bswap16(w.sport);
	if (w.src < entry_address(FIRST) || w.sport < 1024)
		return;
	n = (unsigned long)(w.src - entry_address(FIRST)) * 16 + (w.sport - 1024) / 4000u;
	if (n >= r->sent || r->took[n] >= 0 || w.sport != entry_port(FIRST + n))
		return;
	r->took[n] = now - r->began[n];
	r->came++;
}

static void read_events(struct run *r, int fd)
{
	char buf[8192];
	ssize_t size;

	while ((size = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		const struct nlmsghdr *nlh = (const void *)buf;
		double now = entry_clock();
		int len = (int)size;

		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			came(r, nlh, now);
	}
}

static void run(struct run *r, struct out *o, int events, double every)
{
	double next = entry_clock(), last = next;

	while (r->came < r->count && entry_clock() < last + PATIENCE_S) {
		struct pollfd p = {.fd = events, .events = POLLIN};
		struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
		double left = next - entry_clock();

		if (left < 0 && r->sent < r->count) {
			r->took[r->sent] = -1;
			last = r->began[r->sent] = entry_clock();
			out_entry(o, FIRST + r->sent++, ESTABLISHED, STATUS_ASSURED, true);
			out_flush(o);
			/* not in step with anybody's timers */
			next += every * (0.5 + (double)rand() / RAND_MAX);
			continue;
		}
		if (r->sent < r->count && left < 0.1)
			pause.tv_nsec = (long)(left * 1e9);
		if (ppoll(&p, 1, &pause, NULL) > 0)
			read_events(r, events);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	struct out o = {.timeout = TIMEOUT};
	struct sched_param first = {.sched_priority = 1};
	struct mnl_socket *events;
	struct run r = {0};
	int group = NFNLGRP_CONNTRACK_NEW;
	double *t;

	if (argc != 5) {
		fprintf(stderr, "usage: latency NETNS_A NETNS_B COUNT PER_SECOND\n");
		return 64;
	}
	if (sched_setscheduler(0, SCHED_FIFO, &first))
		entry_die("priority");
	r.count = strtoul(argv[3], NULL, 10);
	r.began = calloc(r.count + 1, sizeof(*r.began));
	r.took = t = calloc(r.count + 1, sizeof(*r.took));
	enter(argv[2]);
	events = entry_socket(SO_RCVBUFFORCE, EVENT_BUFFER);
	if (!t || !r.began ||
	    mnl_socket_setsockopt(events, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
		entry_die("events");
	enter(argv[1]);
	o.s = entry_socket(SO_SNDBUFFORCE, 1 << 20);
	run(&r, &o, mnl_socket_get_fd(events), 1 / strtod(argv[4], NULL));
	qsort(t, r.sent, sizeof(*t), compare);
	t += r.sent - r.came; /* those that never came stand first */
	if (!r.came)
		return EXIT_FAILURE;
	printf("{\"count\": %lu, \"lost\": %lu, \"median\": %.3f, \"p99\": %.3f, \"p99.9\": %.3f, "
	       "\"max\": %.3f}\n",
	       r.came, r.sent - r.came, 1e3 * t[r.came / 2], 1e3 * t[r.came * 99 / 100],
	       1e3 * t[r.came * 999 / 1000], 1e3 * t[r.came - 1]);
	return EXIT_SUCCESS;
}
