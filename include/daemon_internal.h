/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of the daemon, shared by its files; nobody else includes this. Which file answers
 * what:
 *
 *	daemon.c          start and stop in order, the hook of each wake-up
 *	daemon_ops.c      what the engine wants done, and what the adapters tell it
 *	daemon_control.c  requests of pfsyncctl, signals, reload
 *	daemon_defer.c    first packets that are held back
 *	daemon_health.c   what the host is like, what was lately, what keepalived is told
 */
#ifndef PFSYNC_DAEMON_INTERNAL_H
#define PFSYNC_DAEMON_INTERNAL_H

#include "control.h"
#include "ctlsock.h"
#include "ctnl.h"
#include "health.h"
#include "log.h"
#include "loop.h"
#include "netif.h"
#include "settings.h"
#include "sync_socket.h"

struct daemon;
struct nfqueue;

struct daemon_link {
	struct daemon *d;
	unsigned number;
	struct sync_socket *sock;
	struct loop_fd *watch;
	unsigned index; /* of the interface it is attached to; 0 none */
	unsigned mtu;
	uint32_t changes; /* as netif counts them */
	bool up;
	bool peer_asked;	 /* it was said that nobody can be sent to */
	int tap[2];		 /* by enum tap_kind; -1: none */
	struct link_facts facts; /* what is counted of it */
};

enum { DEMOTION_UNKNOWN = -1, DEMOTION_FAILED = -2 };

struct daemon {
	const char *file;
	struct log log;
	struct settings *settings;
	uint32_t hostid;
	uint8_t key[16];
	struct loop *loop;
	struct ctnl *ctnl;
	struct netif *netif;
	struct loop_fd *event_watch, *dump_watch, *netif_watch;
	struct daemon_link link[ENGINE_LINKS_MAX];
	struct nfqueue *queue; /* of held packets; NULL: none */
	struct loop_fd *queue_watch;
	int queue_error; /* why there is none: 0 or -errno */
	int queue_rule;	 /* a rule was found at queue_rule_at: 0, 1 */
	uint64_t queue_rule_at;
	struct ctlsock *control;
	struct engine *engine;
	struct text line; /* of notes for monitors */
	uint64_t started, look_at, looks;
	bool dump_failed;
	bool unread; /* a socket was left with something in it */
	struct health_history history;
	int demotion; /* as it stands in the file */
	bool foreground;
	int ready;			/* gets a byte once we are up; -1 none */
	bool up;			/* the kernel's table was read once */
	bool news;			/* the status has changed, or may have */
	struct text told;		/* the status, to the service manager */
	uint64_t alive_every, alive_at; /* words to its watchdog; UINT64_MAX none */
	size_t unsent;			/* packets, not counted yet */
	int64_t events_refused;		/* value of nf_conntrack_events that could not be changed */
	int status;			/* to exit with */
};

/* daemon.c */
void daemon_up(struct daemon *d);

/* daemon_ops.c */
extern const struct engine_ops daemon_ops;
extern const struct ctnl_handler daemon_ctnl;
void daemon_flush(void *ctx);
void daemon_on_packet(void *ctx, const struct packet_from *from, const void *data, size_t len);
void daemon_on_netif(void *ctx);
void daemon_on_routes(void *ctx);
void daemon_events_readable(void *ctx, bool readable, bool writable);
void daemon_dump_readable(void *ctx, bool readable, bool writable);
void daemon_netif_readable(void *ctx, bool readable, bool writable);
void daemon_link_readable(void *ctx, bool readable, bool writable);

/* daemon_control.c */
extern const struct ctlsock_handler daemon_ctlsock;
double daemon_wall_clock(void);
void daemon_tell_status(struct daemon *d);
void daemon_env(struct daemon *d, struct control_env *env);
void daemon_on_end(void *ctx, int number);
void daemon_on_reload(void *ctx, int number);

/* daemon_defer.c */
void daemon_release(void *ctx, uint32_t token);
/* Opens or closes the queue, as the configuration wants it; tries again if it could not. */
void daemon_defer(struct daemon *d);
void daemon_defer_stop(struct daemon *d);
/* Number of the queue, 0 if none is wanted, or -errno. */
int daemon_defer_queue(const struct daemon *d);
/* A rule sends packets to it: 1, 0, or below 0 if that is not known. */
int daemon_defer_rule(struct daemon *d);

/* daemon_health.c */
void daemon_facts(void *ctx, struct host_facts *f);
void daemon_tap(struct daemon_link *l, unsigned index);
void daemon_demote(struct daemon *d, int value);
void daemon_health(struct daemon *d);

#endif
