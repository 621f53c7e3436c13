/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "notes.h"

#include <arpa/inet.h>

_Static_assert((int)NOTES_KEYS <= (int)LOG_KEYS, "more reasons than the log can tell apart");

struct words {
	char peer[INET6_ADDRSTRLEN];
	const char *link;
};

static void words_of(struct words *w, const struct note *n, const struct settings *s)
{
	*w = (struct words){.peer = "?", .link = "?"};
	if (n->peer)
		(void)inet_ntop(n->peer->family == 6 ? AF_INET6 : AF_INET, n->peer->addr, w->peer,
				sizeof(w->peer));
	if (n->link >= 0 && (size_t)n->link < s->syncs)
		w->link = s->sync[n->link].name;
}

/* Reasons of which an operator should hear; the others are for the counters. */
static enum log_level level_of(enum reason r)
{
	switch (r) {
	case R_OUTGOING:
	case R_KERNEL_FULL:
	case R_NO_NAT_CHAIN:
	case R_NO_MEMORY:
	case R_SEND_ERROR:
		return LOG_LEVEL_WARNING;
	case R_TTL:
	case R_VERSION:
	case R_SOURCE:
	case R_MAX_STATES:
	case R_PEER_MAX_STATES:
	case R_KERNEL_ERROR:
	case R_CLR_INTERFACE:
		return LOG_LEVEL_NOTICE;
	default:
		return LOG_LEVEL_DEBUG;
	}
}

static const char *remedy_of(enum reason r)
{
	switch (r) {
	case R_NO_NAT_CHAIN:
		return "; add a base chain of type nat (it may be empty), or translated flows "
		       "stall";
	case R_KERNEL_FULL:
		return "; raise net.netfilter.nf_conntrack_max";
	case R_MAX_STATES:
	case R_PEER_MAX_STATES:
		return "; raise import.max-states if the peers are to be trusted with more";
	case R_SOURCE:
		return "; name the peer in accept if it is one";
	case R_VERSION:
		return "; set dialect to what the peer speaks";
	default:
		return "";
	}
}

static void refused(struct log *log, const struct note *n, const struct words *w, uint64_t now)
{
	enum log_level level = level_of(n->reason);

	if (level == LOG_LEVEL_DEBUG)
		return;
	if (n->detail)
		log_limited(log, n->reason, now, level, "%s: %s: %s%s", reason_word(n->reason),
			    reason_text(n->reason), n->detail, remedy_of(n->reason));
	else
		log_limited(log, n->reason, now, level, "%s: %s%s%s%s", reason_word(n->reason),
			    reason_text(n->reason), n->peer ? ", from " : "",
			    n->peer ? w->peer : "", remedy_of(n->reason));
}

void notes_log(struct log *log, const struct note *n, const struct settings *s, uint64_t now)
{
	struct words w;

	if (n->kind == NOTE_RECEIVED || n->kind == NOTE_SENT || n->kind == NOTE_COMMITTED)
		return; /* many, and not for the log: no words are made of them */
	words_of(&w, n, s);
	switch (n->kind) {
	case NOTE_REFUSED:
		refused(log, n, &w, now);
		break;
	case NOTE_PEER_APPEARED:
		log_say(log, LOG_LEVEL_NOTICE, "sync %s: peer %s appeared", w.link, w.peer);
		break;
	case NOTE_PEER_DIALECT:
		log_say(log, LOG_LEVEL_NOTICE, "sync %s: peer %s speaks %s", w.link, w.peer,
			n->detail);
		break;
	case NOTE_BULK_ASKED:
		log_say(log, LOG_LEVEL_INFO, "sync %s: asked the peers for all their states",
			w.link);
		break;
	case NOTE_BULK_DONE:
		log_say(log, LOG_LEVEL_NOTICE, "sync %s: in sync with the peers", w.link);
		break;
	case NOTE_BULK_FAILED:
		log_say(log, LOG_LEVEL_WARNING,
			"sync %s: no peer answered the request for its states to the end; going on "
			"without (pfsyncctl resync asks again)",
			w.link);
		break;
	case NOTE_BULK_ANSWERED:
		log_say(log, LOG_LEVEL_INFO, "sync %s: told a peer all states", w.link);
		break;
	case NOTE_OVERRUN:
		log_limited(log, NOTES_KEY_OVERRUN, now, LOG_LEVEL_WARNING,
			    "the kernel lost conntrack events; reading its table again. Raise "
			    "conntrack.receive-buffer if this repeats");
		break;
	case NOTE_IFNAME:
		if (settings_interface(s, n->detail))
			break;
		log_say(log, LOG_LEVEL_NOTICE,
			"sync %s: peer %s binds states to its interface %s, which no interface "
			"section names; add interface \"NAME\" { pf-name = \"%s\" } with the name "
			"that it has here",
			w.link, w.peer, n->detail, n->detail);
		break;
	case NOTE_HOSTID_CLASH:
		log_limited(log, NOTES_KEY_CLASH, now, LOG_LEVEL_ERR,
			    "sync %s: %s uses our hostid %08x; give each node its own", w.link,
			    w.peer, n->creatorid);
		break;
	default:
		break;
	}
}
