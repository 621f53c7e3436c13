/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections at a rate, for the namespace tests and the benchmark: one byte each way, then closed.
 *
 *	load server PORT				echoes, TCP and UDP
 *	load client ADDRESS PORT COUNT PER_SECOND [HOLD_MS]
 *	load udp ADDRESS PORT COUNT PER_SECOND [HOLD_MS]
 *	load live ADDRESS PORT COUNT SECONDS EVERY_MS	COUNT TCP connections, a byte at intervals
 *
 * A client closes at once after the answer, or HOLD_MS later. It prints how many were done and
 * failed and how long it took, and ends with 0 if none failed. IPv4 only; all end by themselves or
 * on SIGTERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, BACKLOG = 4096 };

static uint64_t clock_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void watch(int ep, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.fd = fd};

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev))
		die("epoll_ctl");
}

static void echo_datagrams(int fd)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char byte;

	while (recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &len) == 1)
		(void)sendto(fd, &byte, 1, 0, (struct sockaddr *)&from, len);
}

static _Noreturn void server(uint16_t port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
	int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0), on = 1;
	int u = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), room = 4 << 20;
	struct epoll_event ev[EVENTS];
	char byte;

	if (l < 0 || u < 0 || ep < 0 || setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    setsockopt(u, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
	    bind(l, (struct sockaddr *)&sin, sizeof(sin)) ||
	    bind(u, (struct sockaddr *)&sin, sizeof(sin)) || listen(l, BACKLOG))
		die("server");
	watch(ep, l, EPOLLIN);
	watch(ep, u, EPOLLIN);
	for (;;) {
		int n = epoll_wait(ep, ev, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = ev[i].data.fd;

			if (fd == l) {
				while ((fd = accept4(l, NULL, NULL, SOCK_NONBLOCK)) >= 0)
					watch(ep, fd, EPOLLIN);
			} else if (fd == u) {
				echo_datagrams(u);
			} else if (read(fd, &byte, 1) <= 0 || write(fd, &byte, 1) != 1) {
				close(fd); /* the client closes first */
			}
		}
	}
}

/* Sockets that have had their answer, and when they are to be closed; in that order. */
struct held {
	int fd;
	uint64_t until;
};

struct client {
	int ep, kind;
	struct sockaddr_in to;
	uint64_t hold;
	struct held *held; /* one for each connection of the run */
	unsigned long held_first, held_end;
	unsigned long open, done, failed;
};

static void begin(struct client *c)
{
	int fd = socket(AF_INET, c->kind | SOCK_NONBLOCK, 0);

	if (fd < 0 ||
	    (connect(fd, (struct sockaddr *)&c->to, sizeof(c->to)) && errno != EINPROGRESS)) {
		c->failed++;
		if (fd >= 0)
			close(fd);
		return;
	}
	c->open++;
	watch(c->ep, fd, EPOLLOUT);
}

/* The answer has come. */
static void answered(struct client *c, int fd, uint64_t now)
{
	c->done++;
	if (!c->hold) {
		c->open--;
		close(fd);
		return;
	}
	if (epoll_ctl(c->ep, EPOLL_CTL_DEL, fd, NULL))
		die("epoll_ctl");
	c->held[c->held_end++] = (struct held){fd, now + c->hold};
}

static void close_due(struct client *c, uint64_t now)
{
	while (c->held_first < c->held_end && c->held[c->held_first].until <= now) {
		close(c->held[c->held_first++].fd);
		c->open--;
	}
}

/* Writable: connected, say the byte. Readable: it came back. */
static void go_on(struct client *c, int fd, uint32_t events, uint64_t now)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
	char byte = 'x';

	if (events & (EPOLLERR | EPOLLHUP)) {
		;
	} else if (events & EPOLLOUT) {
		if (write(fd, &byte, 1) == 1 && !epoll_ctl(c->ep, EPOLL_CTL_MOD, fd, &ev))
			return;
	} else if (read(fd, &byte, 1) == 1) {
		answered(c, fd, now);
		return;
	}
	c->failed++;
	c->open--;
	close(fd);
}

static int client(struct client *c, unsigned long count, unsigned long rate)
{
	uint64_t begun = clock_ns(), last = begun;
	struct epoll_event ev[EVENTS];
	unsigned long started = 0;
	double spent;

	c->held = calloc(count, sizeof(*c->held));
	if (!rate || !c->held)
		die("client");
	while (started < count || c->open) {
		uint64_t now = clock_ns();
		int n;

		while (started < count && started < (now - begun) * rate / 1000000000u) {
			begin(c);
			started++;
		}
		n = epoll_wait(c->ep, ev, EVENTS, 1);
		for (int i = 0; i < n; i++)
			go_on(c, ev[i].data.fd, ev[i].events, now);
		close_due(c, now);
		if (n > 0)
			last = now;
		if (now - last > 5000000000u + c->hold) /* whatever is left never ends */
			break;
	}
	spent = (double)(clock_ns() - begun) / 1e9;
	printf("%lu done, %lu failed, %.2f s, %.0f per second\n", c->done, c->failed + c->open,
	       spent, (double)c->done / spent);
	return c->failed || c->open ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Opens them within a part of the first interval each, then goes round. */
static int live(struct client *c, unsigned long count, unsigned long seconds, unsigned long every)
{
	uint64_t begun = clock_ns(), until = begun + seconds * 1000000000u, said = 0;
	int *fd = calloc(count, sizeof(*fd));
	char bytes[16];

	if (!fd || !every)
		die("live");
	for (unsigned long i = 0; i < count; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (fd[i] < 0 || connect(fd[i], (struct sockaddr *)&c->to, sizeof(c->to)))
			die("live");
	}
	begun = clock_ns();
	while (clock_ns() < until) {
		struct timespec pause = {.tv_nsec = 1000000};
		uint64_t due = (clock_ns() - begun) / 1000 * count / (every * 1000);

		for (; said < due; said++) {
			if (write(fd[said % count], "x", 1) != 1)
				c->failed++;
			(void)recv(fd[said % count], bytes, sizeof(bytes), MSG_DONTWAIT);
		}
		(void)nanosleep(&pause, NULL);
	}
	printf("%lu live, %lu bytes said, %lu failed\n", count, (unsigned long)said, c->failed);
	return c->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static unsigned long number(char **argv, int argc, int i)
{
	return i < argc ? strtoul(argv[i], NULL, 10) : 0;
}

int main(int argc, char **argv)
{
	struct rlimit files = {.rlim_cur = 65536, .rlim_max = 65536};
	struct client c = {.kind = SOCK_STREAM, .to.sin_family = AF_INET};

	(void)setrlimit(RLIMIT_NOFILE, &files);
	if (argc == 3 && !strcmp(argv[1], "server"))
		server((uint16_t)atoi(argv[2]));
	if (argc >= 6 && argc <= 7 && inet_pton(AF_INET, argv[2], &c.to.sin_addr) == 1) {
		unsigned long count = number(argv, argc, 4), fifth = number(argv, argc, 5);

		c.to.sin_port = htons((uint16_t)atoi(argv[3]));
		c.ep = epoll_create1(0);
		if (c.ep < 0)
			die("epoll_create1");
		if (!strcmp(argv[1], "live"))
			return live(&c, count, fifth, number(argv, argc, 6));
		if (!strcmp(argv[1], "udp"))
			c.kind = SOCK_DGRAM;
		c.hold = number(argv, argc, 6) * 1000000u;
		return client(&c, count, fifth);
	}
	fprintf(stderr, "usage: load server PORT | load client|udp ADDRESS PORT COUNT PER_SECOND "
			"[HOLD_MS] | load live ADDRESS PORT COUNT SECONDS EVERY_MS\n");
	return 64;
}
