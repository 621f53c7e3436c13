/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctlsock.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { PIECES_AT_ONCE = 4 }; /* parts of an answer made per turn */

enum phase { ASKING, ANSWERING, MONITORING };

struct client {
	struct ctlsock *sock;
	int fd;
	struct loop_fd *watch;
	enum phase phase;
	bool eof;	   /* it sends nothing any more, but may still read */
	uint64_t progress; /* when something was last read or written */
	struct control_stream *stream;
	struct text out;
	size_t sent; /* of out */
	uint64_t missed;
	size_t have;
	char request[CONTROL_REQUEST_MAX];
};

struct ctlsock {
	struct loop *loop;
	const struct ctlsock_handler *handler;
	void *ctx;
	int fd;
	struct loop_fd *watch;
	bool bound; /* the file is ours */
	struct sockaddr_un addr;
	size_t monitors;
	struct client *client[CTLSOCK_CLIENTS]; /* NULL: free */
};

static void client_drop(struct client *cl)
{
	struct ctlsock *s = cl->sock;

	loop_remove_fd(cl->watch);
	close(cl->fd);
	if (cl->stream)
		control_stream_free(cl->stream);
	if (cl->phase == MONITORING)
		s->monitors--;
	text_free(&cl->out);
	for (size_t i = 0; i < CTLSOCK_CLIENTS; i++) {
		if (s->client[i] == cl)
			s->client[i] = NULL;
	}
	free(cl);
}

/* Sends what waits; false if the client is gone. */
static bool client_send(struct client *cl)
{
	while (cl->sent < cl->out.len) {
		ssize_t n = send(cl->fd, cl->out.s + cl->sent, cl->out.len - cl->sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		cl->sent += (size_t)n;
		cl->progress = loop_now(cl->sock->loop);
	}
	text_clear(&cl->out);
	cl->sent = 0;
	return true;
}

static bool client_waits(const struct client *cl)
{
	return cl->sent < cl->out.len;
}

static void add_missed(struct client *cl)
{
	if (!cl->missed || client_waits(cl))
		return;
	text_add(&cl->out, "{\"event\":\"missed\",\"count\":%llu}\n",
		 (unsigned long long)cl->missed);
	cl->missed = 0;
}

/* Sends and makes more; false when the client is done with, or gone. */
static bool client_serve(struct client *cl)
{
	const struct ctlsock *s = cl->sock;

	for (int i = 0; i < PIECES_AT_ONCE; i++) {
		if (!client_send(cl) || cl->out.failed)
			return false;
		if (client_waits(cl))
			break;
		if (cl->phase == MONITORING) {
			add_missed(cl);
			if (!client_waits(cl))
				break;
		} else if (cl->stream) {
			if (!s->handler->next(s->ctx, cl->stream, &cl->out)) {
				control_stream_free(cl->stream);
				cl->stream = NULL;
			}
		} else if (cl->phase == ANSWERING) {
			return false;
		}
	}
	/* an answer whose last piece was empty still has to be ended */
	loop_want(cl->watch, !cl->eof, client_waits(cl) || cl->phase == ANSWERING);
	return true;
}

static bool client_request(struct client *cl, size_t len)
{
	struct ctlsock *s = cl->sock;

	cl->phase = ANSWERING;
	if (s->handler->request(s->ctx, cl->request, len, &cl->out, &cl->stream) ==
	    CONTROL_MONITOR) {
		cl->phase = MONITORING;
		s->monitors++;
	}
	return client_serve(cl);
}

/* What a client sends behind its request is read and thrown away; false at its end. */
static bool client_read(struct client *cl)
{
	char rest[512];
	bool asking = cl->phase == ASKING;
	size_t room = asking ? sizeof(cl->request) - cl->have : sizeof(rest);
	char *to = asking ? cl->request + cl->have : rest;
	char *end;
	ssize_t n = recv(cl->fd, to, room, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (!asking) {
		if (n == 0) {
			cl->eof = true;
			return client_serve(cl);
		}
		return true;
	}
	if (n == 0) {
		cl->eof = true;
		return cl->have && client_request(cl, cl->have);
	}
	cl->progress = loop_now(cl->sock->loop);
	cl->have += (size_t)n;
	end = memchr(cl->request, '\n', cl->have);
	if (end)
		return client_request(cl, (size_t)(end - cl->request));
	return cl->have < sizeof(cl->request);
}

static void on_client(void *ctx, bool readable, bool writable)
{
	struct client *cl = ctx;
	bool keep = true;

	if (readable)
		keep = client_read(cl);
	if (keep && writable)
		keep = client_serve(cl);
	if (!keep)
		client_drop(cl);
}

static void on_accept(void *ctx, bool readable, bool writable)
{
	struct ctlsock *s = ctx;
	struct client **slot = NULL;
	struct client *cl;
	int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	for (size_t i = 0; i < CTLSOCK_CLIENTS && !slot; i++) {
		if (!s->client[i])
			slot = &s->client[i];
	}
	cl = slot ? calloc(1, sizeof(*cl)) : NULL;
	if (!cl) {
		close(fd);
		return;
	}
	cl->sock = s;
	cl->fd = fd;
	cl->progress = loop_now(s->loop);
	if (loop_add_fd(s->loop, fd, on_client, cl, &cl->watch) < 0) {
		close(fd);
		free(cl);
		return;
	}
	*slot = cl;
}

static int group_id(const char *name, gid_t *gid)
{
	struct group g, *found;
	char buf[4096];
	int err = getgrnam_r(name, &g, buf, sizeof(buf), &found);

	if (err)
		return -err;
	if (!found)
		return -ENOENT;
	*gid = g.gr_gid;
	return 0;
}

/* Whether somebody answers there; a file that is left over is removed. */
static int take_path(const struct sockaddr_un *addr)
{
	struct stat st;
	int err, fd;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = connect(fd, (const void *)addr, sizeof(*addr)) < 0 ? errno : 0;
	close(fd);
	if (err == 0 || err == EAGAIN)
		return -EADDRINUSE;
	if (err != ECONNREFUSED)
		return err == ENOENT ? 0 : -err;
	return unlink(addr->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

/* The folder of the socket, if it alone is missing: /run is empty after each boot. */
static void make_folder(const char *path)
{
	char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return;
	memcpy(folder, path, (size_t)(slash - path));
	folder[slash - path] = '\0';
	(void)mkdir(folder, 0755); /* what is wrong shows when the socket is bound */
}

/* The folder may have given the group already; who may not call chown() needs not then. */
static int give_to_group(const char *path, gid_t gid)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return -errno;
	return st.st_gid == gid || !chown(path, (uid_t)-1, gid) ? 0 : -errno;
}

static int ctlsock_listen(struct ctlsock *s, const char *group)
{
	bool has_group = group && *group;
	gid_t gid = 0;
	mode_t mask;
	int err = has_group ? group_id(group, &gid) : 0;

	if (!err)
		err = take_path(&s->addr);
	if (err)
		return err;
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -errno;
	make_folder(s->addr.sun_path);
	mask = umask(0177);
	if (bind(s->fd, (const void *)&s->addr, sizeof(s->addr)) < 0)
		err = -errno;
	umask(mask);
	if (err)
		return err;
	s->bound = true;
	if (has_group)
		err = give_to_group(s->addr.sun_path, gid);
	if (err)
		return err;
	if (chmod(s->addr.sun_path, 0660) < 0 || listen(s->fd, CTLSOCK_CLIENTS) < 0)
		return -errno;
	return loop_add_fd(s->loop, s->fd, on_accept, s, &s->watch);
}

int ctlsock_open(struct ctlsock **sock, struct loop *loop, const char *path, const char *group,
		 const struct ctlsock_handler *handler, void *ctx)
{
	struct ctlsock *s;
	int err;

	if (strlen(path) >= sizeof(s->addr.sun_path))
		return -ENAMETOOLONG;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->handler = handler;
	s->ctx = ctx;
	s->fd = -1;
	s->addr.sun_family = AF_UNIX;
	memcpy(s->addr.sun_path, path, strlen(path));
	err = ctlsock_listen(s, group);
	if (err) {
		ctlsock_close(s);
		return err;
	}
	*sock = s;
	return 0;
}

void ctlsock_close(struct ctlsock *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < CTLSOCK_CLIENTS; i++) {
		if (s->client[i])
			client_drop(s->client[i]);
	}
	loop_remove_fd(s->watch);
	if (s->fd >= 0)
		close(s->fd);
	if (s->bound)
		unlink(s->addr.sun_path);
	free(s);
}

bool ctlsock_monitored(const struct ctlsock *s)
{
	return s->monitors > 0;
}

void ctlsock_broadcast(struct ctlsock *s, const char *line, size_t len)
{
	for (size_t i = 0; s->monitors && i < CTLSOCK_CLIENTS; i++) {
		struct client *cl = s->client[i];

		if (!cl || cl->phase != MONITORING)
			continue;
		if (cl->missed || cl->out.len + len > CTLSOCK_MONITOR_BUFFER) {
			cl->missed++;
			continue;
		}
		if (!client_waits(cl))
			cl->progress = loop_now(s->loop);
		text_add_bytes(&cl->out, line, len);
		loop_want(cl->watch, !cl->eof, true);
	}
}

void ctlsock_tick(struct ctlsock *s)
{
	uint64_t patience = CTLSOCK_PATIENCE * UINT64_C(1000000000);
	uint64_t now = loop_now(s->loop);

	for (size_t i = 0; i < CTLSOCK_CLIENTS; i++) {
		struct client *cl = s->client[i];

		if (!cl || (cl->phase == MONITORING && !client_waits(cl)))
			continue;
		if (now > cl->progress && now - cl->progress > patience)
			client_drop(cl);
	}
}
