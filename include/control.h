/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control commands: a request as text in, the answer as text out. No sockets here.
 *
 * A client sends one line of JSON, {"command":"flows","args":["192.0.2.10"]}. The answer's first
 * line is {"ok":true,"payload":"object"} or {"ok":false,"error":"..."}; what follows it up to the
 * end of the connection is the payload: "object" one JSON object on one line, "lines" any number
 * of such lines, "text" text for people or another program.
 *
 * Large answers are made piece by piece while the client reads: see control_stream_next().
 */
#ifndef PFSYNC_CONTROL_H
#define PFSYNC_CONTROL_H

#include "engine.h"
#include "settings.h"
#include "text.h"

enum { CONTROL_REQUEST_MAX = 4096 }; /* a longer line is no request */

/* What this host is like; numbers are -1 where they cannot be told. */
struct host_facts {
	int conntrack_events, conntrack_acct, conntrack_timestamp, tcp_loose; /* sysctls */
	int64_t conntrack_count, conntrack_max;
	int net_admin, net_raw;	   /* capabilities in effect: 0, 1 */
	int nat_chain;		   /* a nat base chain is there: 0, 1 */
	int defer_queue;	   /* of held packets: its number, 0: none is wanted, or -errno */
	bool defer_plain;	   /* translated flows cannot be held */
	int defer_rule;		   /* a rule sends packets there: 0, 1 */
	const struct address *own; /* addresses of this host; NULL if they are not known */
	size_t owns;
	struct link_facts {
		int joined;	      /* the kernel has the interface in the group: 0, 1 */
		int neighbour;	      /* the one peer answers ARP: 0, 1 */
		bool tapped;	      /* frames can be counted */
		uint64_t frames;      /* of pfsync that came in, before any packet filter */
		uint64_t unreachable; /* ICMP from peers that do not take the protocol */
		uint64_t lost;	      /* packets of ours that the kernel did not take */
		int lost_error;	      /* the last errno of them */
	} link[ENGINE_LINKS_MAX];
};

struct health_history;

/* Who answers. Lives during one call; the times are the engine's nanoseconds and Unix time. */
struct control_env {
	struct engine *engine;
	const struct settings *settings;
	const char *version;
	uint32_t hostid;
	uint64_t started, now;
	double wall;
	void *ctx;
	void (*resync)(void *ctx);
	size_t (*takeover)(void *ctx); /* how many flows */
	size_t (*flush)(void *ctx);
	/* Fills what it can tell; numbers are -1, what is counted 0 before. */
	void (*facts)(void *ctx, struct host_facts *facts);
	const struct health_history *history; /* NULL: since the start */
};

enum control_result {
	CONTROL_DONE,	/* out is the whole answer: send it, close */
	CONTROL_STREAM, /* send out, then what control_stream_next() gives, close */
	CONTROL_MONITOR /* send out, then a line of control_note() for each note */
};

struct control_stream;

/*
 * Answers one request line (without its newline). out gets text to send. *stream is set for
 * CONTROL_STREAM only and must be freed. Never fails: what is wrong is told in the answer.
 */
enum control_result control_request(const struct control_env *env, const char *line, size_t len,
				    struct text *out, struct control_stream **stream);

/* Adds about 64 kB to out; false when that was the last. May be called at any later time. */
bool control_stream_next(struct control_stream *s, const struct control_env *env, struct text *out);
void control_stream_free(struct control_stream *s);

/* One note as a line of JSON, newline included, for monitor. */
void control_note(struct text *out, const struct note *n, const struct settings *settings,
		  double wall);

#endif
