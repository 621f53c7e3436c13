/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration file as a struct. Every keyword has its default, range and meaning in
 * pfsync-linux.conf(5). Nothing is accepted and then ignored: what this version cannot do is
 * refused with a message.
 */
#ifndef PFSYNC_SETTINGS_H
#define PFSYNC_SETTINGS_H

#include "engine.h"
#include "text.h"

enum {
	SETTINGS_NAME_MAX = 32,	   /* of a section, with its NUL */
	SETTINGS_SOCKET_MAX = 108, /* what sockaddr_un takes */
	SETTINGS_ERROR_MAX = 512,  /* enough for any error text */
};

enum commit_when { COMMIT_DIRECT, COMMIT_TAKEOVER };
enum tcp_window { TCP_LIBERAL, TCP_STRICT };
enum handover { HANDOVER_SLOPPY, HANDOVER_STRICT };

struct settings_sync {
	char name[SETTINGS_NAME_MAX];
	char interface[PF_IFNAME_LEN];
	struct address peer;	       /* where packets go: a group or one address */
	struct address self;	       /* of two that were named, the one of this host */
	bool multicast;		       /* peer is a group; it has to be joined */
	const struct dialect *dialect; /* NULL: auto */
	enum link_mode mode;
	enum handover handover;
	struct prefix_list accept; /* empty: on-link addresses of the interface */
	uint32_t flush_ms;
	uint32_t bulk_rate;
	uint32_t probe_s; /* 0: never */
	bool defer;
};

struct settings_interface {
	char name[PF_IFNAME_LEN];
	char pf_name[PF_IFNAME_LEN];
	uint32_t mark; /* its number in conntrack.interface-mark; 0: none */
};

struct settings {
	uint32_t hostid; /* 0: auto */
	char socket[SETTINGS_SOCKET_MAX];
	char demotion_file[SETTINGS_SOCKET_MAX]; /* for keepalived; empty: none is written */
	char group[SETTINGS_NAME_MAX]; /* who may use the socket beside root; empty: nobody */

	struct settings_sync sync[ENGINE_LINKS_MAX]; /* in the order of the file */
	size_t syncs;
	struct settings_interface *interface;
	size_t interfaces;

	enum announce_from tcp, udp, icmp, other;
	struct prefix_list exclude, vip;
	bool local;

	struct prefix_list protect;
	uint32_t max_states;
	uint32_t peer_max_states; /* 0: a fair share */
	uint32_t max_rate;	  /* 0: no limit */

	enum commit_when commit;
	enum tcp_window tcp_window;
	uint32_t zone;
	uint32_t mark, mark_mask; /* written to imported entries where the mask has bits */
	uint32_t name_mask[2]; /* bits of the mark with the number of where a flow enters, leaves */
	uint64_t receive_buffer;

	struct timeouts timeouts;
};

/*
 * Reads a file, or a text that is called name in errors. 0 or a negative errno; then error holds
 * one line "FILE:LINE: what is wrong and what to do" ("FILE: ..." if it cannot be read at all)
 * and *out is NULL. Not reentrant: libconfuse's scanner is not.
 */
int settings_read(struct settings **out, const char *file, char *error, size_t size);
int settings_parse(struct settings **out, const char *text, size_t len, const char *name,
		   char *error, size_t size);
void settings_free(struct settings *s);

/* The effective configuration, defaults included; valid as input. */
void settings_print(const struct settings *s, struct text *t);

/*
 * The engine's configuration; it points into s, which must live as long. Links are in the order
 * of s->sync.
 */
void settings_engine(const struct settings *s, uint32_t hostid, const uint8_t key[16],
		     struct engine_config *config);

/*
 * The hostid to use, never 0: what the file says, or one made from the machine id, always the
 * same on one host. -ENOENT (or another negative errno) if that file cannot be read, -EINVAL if
 * there is no machine id in it: hostid has to be configured then.
 */
int settings_hostid(const struct settings *s, const char *machine_id_file, uint32_t *hostid);

/*
 * Where two addresses are named, so that one file serves both nodes, the one in own becomes self
 * and the other peer. False while nothing can be sent: none or all of what is named is this host's.
 */
bool settings_pick_peer(struct settings_sync *sync, const struct address *own, size_t count);

/* The same addresses in any order. */
bool settings_same_peers(const struct settings_sync *a, const struct settings_sync *b);

/* The pf name of an interface, NULL if it has none. */
const char *settings_pf_name(const struct settings *s, const char *interface);

/*
 * The pf name of where a flow with that mark enters (0) or leaves (1), "all" if no interface has
 * the number; NULL if the mark does not tell.
 */
const char *settings_marked_name(const struct settings *s, uint32_t mark, int side);

/* The other way round. */
const char *settings_interface(const struct settings *s, const char *pf_name);

/* Writes what is wrong with the marks of interfaces as a whole, and in which section; or false. */
bool settings_marks_wrong(const struct settings *s, struct text *why, const char **interface);

#endif
