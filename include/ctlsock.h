/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket's server: carries request lines in and answers out, knows nothing of what
 * they mean. Answers are made while the client reads; a client that hangs costs one bounded
 * buffer and is dropped after CTLSOCK_PATIENCE seconds. Functions return 0 or -errno.
 */
#ifndef PFSYNC_CTLSOCK_H
#define PFSYNC_CTLSOCK_H

#include "control.h"
#include "loop.h"

enum { CTLSOCK_CLIENTS = 32, CTLSOCK_PATIENCE = 30, CTLSOCK_MONITOR_BUFFER = 256 * 1024 };

struct ctlsock;

struct ctlsock_handler {
	/* As control_request(). */
	enum control_result (*request)(void *ctx, const char *line, size_t len, struct text *out,
				       struct control_stream **stream);
	/* As control_stream_next(); the stream is freed by control_stream_free(). */
	bool (*next)(void *ctx, struct control_stream *stream, struct text *out);
};

/*
 * Listens on path with mode 0660. A socket file that nobody answers on is replaced; -EADDRINUSE
 * if somebody does: another daemon. group: owner of the socket beside the user; NULL or "" for
 * none, -ENOENT if it does not exist. handler is kept. SIGPIPE plays no part.
 */
int ctlsock_open(struct ctlsock **sock, struct loop *loop, const char *path, const char *group,
		 const struct ctlsock_handler *handler, void *ctx);

/* Drops all clients and removes the socket file. NULL is allowed. */
void ctlsock_close(struct ctlsock *s);

/* Whether anybody listens to monitor lines. */
bool ctlsock_monitored(const struct ctlsock *s);

/*
 * Gives a line (newline included) to each monitor. Those whose buffer is full miss it; they are
 * told how many as {"event":"missed","count":N} when there is room again.
 */
void ctlsock_broadcast(struct ctlsock *s, const char *line, size_t len);

/* Drops clients that made no progress for too long; to be called every few seconds. */
void ctlsock_tick(struct ctlsock *s);

#endif
