/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's own limits, for the benchmark: what reads conntrack events and keeps nothing, what
 * writes entries and knows nothing.
 *
 *	bare read			reads events until SIGTERM: recvmmsg, attributes walked, a
 *					rest of 2.5 ms when there are no more
 *	bare insert COUNT [FIRST]	ESTABLISHED TCP entries, 64 in a send, without
 *acknowledgement bare cycle COUNT PER_SECOND	TCP connections from SYN_SENT to the end, as
 *entries: eight events each; 0: as fast as it goes
 *
 * Each prints one line of JSON: what was done, and the processor time and wall time it took.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "entry.h"

enum {
	EVENT_SIZE = 4096,
	READ_BUFFER = 64 << 20,
	REST_NS = 2500 * 1000,
};

static volatile sig_atomic_t ended;

static void on_end(int number)
{
	(void)number;
	ended = 1;
}

/* What it says of processor time comes with the count. */
static void report(const char *what, unsigned long n, unsigned long lost, double began)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	printf("{\"%s\": %lu, \"lost\": %lu, \"user\": %.6f, \"system\": %.6f, \"wall\": %.6f}\n",
	       what, n, lost, (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6,
	       (double)u.ru_stime.tv_sec + (double)u.ru_stime.tv_usec / 1e6, entry_clock() - began);
}

/* ---- reading --------------------------------------------------------------------------- */

static uint64_t seen; /* so that nothing of the walk is left out */

static int walk(const struct nlattr *a, void *depth)
{
	uint16_t type = mnl_attr_get_type(a);
	int *level = depth, deeper = *level + 1;

	seen += type + mnl_attr_get_payload_len(a);
	if (a->nla_type & NLA_F_NESTED && deeper < 4)
		return mnl_attr_parse_nested(a, walk, &deeper);
	return MNL_CB_OK;
}

static int bare_read(void)
{
	struct mnl_socket *s = entry_socket(SO_RCVBUFFORCE, READ_BUFFER);
	static char buf[BATCH][EVENT_SIZE];
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	struct pollfd p = {.fd = mnl_socket_get_fd(s), .events = POLLIN};
	struct timespec rest = {0};
	unsigned long events = 0, lost = 0;
	double began = entry_clock();

	for (int group = NFNLGRP_CONNTRACK_NEW; group <= NFNLGRP_CONNTRACK_DESTROY; group++)
		if (mnl_socket_setsockopt(s, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
			entry_die("group");
	memset(msg, 0, sizeof(msg));
	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){buf[i], EVENT_SIZE};
		msg[i].msg_hdr.msg_iov = &iov[i];
		msg[i].msg_hdr.msg_iovlen = 1;
	}
	while (!ended) {
		int n = poll(&p, 1, -1) < 0 ? -1 : recvmmsg(p.fd, msg, BATCH, MSG_DONTWAIT, NULL);

		lost += n < 0 && errno == ENOBUFS;
		rest.tv_nsec = n < BATCH ? REST_NS : 0;
		for (int i = 0; i < n; i++) {
			const struct nlmsghdr *nlh = (const void *)buf[i];
			int len = (int)msg[i].msg_len, level = 0;

			for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len), events++)
				(void)mnl_attr_parse(nlh, sizeof(struct nfgenmsg), walk, &level);
		}
		if (rest.tv_nsec)
			(void)nanosleep(&rest, NULL);
	}
	report("events", events, lost, began);
	return seen || !events ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- writing --------------------------------------------------------------------------- */

static int bare_insert(unsigned long count, unsigned long first)
{
	struct out o = {.s = entry_socket(SO_SNDBUFFORCE, 4 << 20), .timeout = 86400};
	double began = entry_clock();

	for (unsigned long i = 0; i < count; i++)
		out_entry(&o, first + i, 3, STATUS_ASSURED, true);
	out_flush(&o);
	report("inserted", count - o.failed, o.failed, began);
	return o.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void wait_until(double when)
{
	double left = when - entry_clock();
	struct timespec ts = {.tv_nsec = (long)(left * 1e9)};

	if (left > 0 && left < 1)
		(void)nanosleep(&ts, NULL);
}

static int bare_cycle(unsigned long count, unsigned long rate)
{
	static const struct {
		uint8_t state;
		uint32_t status;
	} life[] = {
		{1, STATUS},	     {2, STATUS_TWO_WAY}, {3, STATUS_ASSURED}, {4, STATUS_ASSURED},
		{5, STATUS_ASSURED}, {6, STATUS_ASSURED}, {7, STATUS_ASSURED}, {0, 0}};
	struct out o = {.s = entry_socket(SO_SNDBUFFORCE, 4 << 20), .timeout = 86400};
	size_t steps = sizeof(life) / sizeof(life[0]);
	double began = entry_clock();

	/* a few at a time through all of their life, as short connections go */
	for (unsigned long first = 0; first < count; first += BATCH) {
		unsigned long n = count - first < BATCH ? count - first : BATCH;

		if (rate)
			wait_until(began + (double)first / (double)rate);
		for (size_t step = 0; step < steps; step++)
			for (unsigned long i = 0; i < n; i++)
				out_entry(&o, first + i, life[step].state, life[step].status,
					  !step);
	}
	out_flush(&o);
	report("cycled", count, o.failed, began);
	return o.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct sigaction end = {.sa_handler = on_end}; /* without SA_RESTART: poll() returns */

	(void)sigaction(SIGTERM, &end, NULL);
	if (argc == 2 && !strcmp(argv[1], "read"))
		return bare_read();
	if (argc >= 3 && !strcmp(argv[1], "insert"))
		return bare_insert(strtoul(argv[2], NULL, 10),
				   argc > 3 ? strtoul(argv[3], NULL, 10) : 0);
	if (argc == 4 && !strcmp(argv[1], "cycle"))
		return bare_cycle(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
	fprintf(stderr,
		"usage: bare read | bare insert COUNT [FIRST] | bare cycle COUNT PER_SECOND\n");
	return 64;
}
