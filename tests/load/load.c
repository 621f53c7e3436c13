/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Short TCP connections at a rate, for the namespace tests: one byte each way, then closed.
 *
 *	load server PORT
 *	load client ADDRESS PORT COUNT PER_SECOND
 *
 * The client prints how many were done and failed and how long it took, and ends with 0 if none
 * failed. IPv4 only; both end by themselves or on SIGTERM.
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

static _Noreturn void server(uint16_t port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
	int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0), on = 1;
	struct epoll_event ev[EVENTS];
	char byte;

	if (l < 0 || ep < 0 || setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(l, (struct sockaddr *)&sin, sizeof(sin)) || listen(l, BACKLOG))
		die("server");
	watch(ep, l, EPOLLIN);
	for (;;) {
		int n = epoll_wait(ep, ev, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = ev[i].data.fd;

			if (fd == l) {
				while ((fd = accept4(l, NULL, NULL, SOCK_NONBLOCK)) >= 0)
					watch(ep, fd, EPOLLIN);
			} else if (read(fd, &byte, 1) <= 0 || write(fd, &byte, 1) != 1) {
				close(fd); /* the client closes first */
			}
		}
	}
}

struct client {
	int ep;
	struct sockaddr_in to;
	unsigned long open, done, failed;
};

static void begin(struct client *c)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

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

/* Writable: connected, say the byte. Readable: it came back, close. */
static void go_on(struct client *c, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
	char byte = 'x';
	bool ended = true;

	if (events & (EPOLLERR | EPOLLHUP)) {
		c->failed++;
	} else if (events & EPOLLOUT) {
		ended = write(fd, &byte, 1) != 1 || epoll_ctl(c->ep, EPOLL_CTL_MOD, fd, &ev);
		c->failed += ended;
	} else if (read(fd, &byte, 1) == 1) {
		c->done++;
	} else {
		c->failed++;
	}
	if (!ended)
		return;
	c->open--;
	close(fd);
}

static int client(const char *addr, uint16_t port, unsigned long count, unsigned long rate)
{
	struct client c = {.ep = epoll_create1(0),
			   .to = {.sin_family = AF_INET, .sin_port = htons(port)}};
	uint64_t begun = clock_ns(), last = begun;
	struct epoll_event ev[EVENTS];
	unsigned long started = 0;
	double spent;

	if (c.ep < 0 || !rate || inet_pton(AF_INET, addr, &c.to.sin_addr) != 1)
		die("client");
	while (started < count || c.open) {
		uint64_t now = clock_ns();
		int n;

		while (started < count && started < (now - begun) * rate / 1000000000u) {
			begin(&c);
			started++;
		}
		n = epoll_wait(c.ep, ev, EVENTS, 1);
		for (int i = 0; i < n; i++)
			go_on(&c, ev[i].data.fd, ev[i].events);
		if (n > 0)
			last = now;
		if (now - last > 5000000000u) /* whatever is left never ends */
			break;
	}
	spent = (double)(clock_ns() - begun) / 1e9;
	printf("%lu done, %lu failed, %.2f s, %.0f per second\n", c.done, c.failed + c.open, spent,
	       (double)c.done / spent);
	return c.failed || c.open ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct rlimit files = {.rlim_cur = 65536, .rlim_max = 65536};

	(void)setrlimit(RLIMIT_NOFILE, &files);
	if (argc == 3 && !strcmp(argv[1], "server"))
		server((uint16_t)atoi(argv[2]));
	if (argc == 6 && !strcmp(argv[1], "client"))
		return client(argv[2], (uint16_t)atoi(argv[3]), strtoul(argv[4], NULL, 10),
			      strtoul(argv[5], NULL, 10));
	fprintf(stderr, "usage: load server PORT | load client ADDRESS PORT COUNT PER_SECOND\n");
	return 64;
}
