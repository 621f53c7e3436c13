/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "health.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MTU_MIN = 576,
	HALVES_MIN = 4,	 /* flows told by one half only, and none whole */
	FULL_TENTHS = 9, /* of the kernel's table */
	FRAMES_MIN = 3,	 /* that may be on their way while we look */
	NO_DUMP_S = 280, /* the table is read every two minutes */
};

#define NS 1000000000.0

/* ---- what there is to find ------------------------------------------------------------- */

static const struct {
	const char *id;
	enum severity severity;
	const char *test;
} kinds[] = {
#define X(name, id, severity, test) [FINDING_##name] = {id, SEVERITY_##severity, test},
	FINDINGS(X)
#undef X
};

/* Behind source translation, where both tuples are known; the entry is not confirmed before its
 * first packet leaves. */
#define QUEUE_RULE(status, queue)                                                                  \
	"nft 'add table inet pfsync_defer; add chain inet pfsync_defer hold { type filter hook "   \
	"postrouting priority srcnat + 100; }; add rule inet pfsync_defer hold meta l4proto != "   \
	"240 " status " queue flags bypass to " queue "'"

static const char queue_rule_plain[] = QUEUE_RULE("ct status ! confirmed,snat,dnat", "241");

static const char *const remedies[FINDING_COUNT] = {
	[FINDING_NO_CAPABILITY] = "start the daemon from its unit, or as root",
	[FINDING_EVENTS_OFF] =
		"sysctl -w net.netfilter.nf_conntrack_events=1, and in /etc/sysctl.d",
	[FINDING_EVENTS_LATE] =
		"sysctl -w net.netfilter.nf_conntrack_events=1, and in /etc/sysctl.d",
	[FINDING_KERNEL_SILENT] = "modprobe nf_conntrack_netlink; restart the daemon",
	[FINDING_OVERRUN] = "raise conntrack.receive-buffer",
	[FINDING_TABLE_FULL] = "raise net.netfilter.nf_conntrack_max",
	[FINDING_IMPORT_FULL] = "raise import.max-states if the peers are to be trusted with more",
	[FINDING_NO_NAT_CHAIN] =
		"create one, it may be empty: nft 'add table ip nat; add chain ip nat "
		"postrouting { type nat hook postrouting priority srcnat; }'",
	[FINDING_NO_QUEUE] = "end the other program that listens to it, or set defer = no",
	[FINDING_NO_QUEUE_RULE] = QUEUE_RULE("ct status ! confirmed", "240"),
	[FINDING_LINK_MISSING] = "create the interface, or correct `interface` of the sync section",
	[FINDING_LINK_DOWN] = "look at the cable and the other end; ip link set dev INTERFACE up",
	[FINDING_MTU_TINY] = "ip link set dev INTERFACE mtu 1500",
	[FINDING_MTU_NARROW] =
		"give the interfaces of all nodes, and the switch between them, the same "
		"MTU; 1500 is best",
	[FINDING_NOT_JOINED] =
		"ip link set dev INTERFACE multicast on, give it an address, restart the "
		"daemon",
	[FINDING_NO_NEIGHBOUR] = "correct `peer`: it is the peer's address on this link; is it up?",
	[FINDING_UNREACHABLE] =
		"start pfsync on the peer (ifconfig pfsync0 syncdev ... syncpeer ... up), "
		"or correct `peer`",
	[FINDING_PACKETS_LOST] = "give the daemon more of the CPU, then pfsyncctl resync",
	[FINDING_FILTERED] =
		"let IP protocol 240 in: nft add rule inet filter input ip protocol 240 "
		"accept, and look for other chains that drop it",
	[FINDING_NOT_SENT] =
		"let IP protocol 240 out, and see whether the peer's address can be reached",
	[FINDING_HOSTID_CLASH] =
		"give each node its own hostid (here `hostid`, on pf `set hostid`)",
	[FINDING_DIALECT] = "set `dialect` to what the peer speaks, or to \"auto\"",
	[FINDING_NEVER_HEARD] =
		"start pfsync there (ifconfig pfsync0 syncdev ... up), and let IP protocol "
		"240 pass the packet filters of both; mind multicast snooping on the "
		"switch; pfsyncctl doctor",
	[FINDING_SILENT] =
		"see whether it is up, its pfsync runs and its packet filter lets IP protocol 240 "
		"pass; if it was taken away for good, restart the daemon",
	[FINDING_ONE_WAY] =
		"its packets arrive here but ours not there: let IP protocol 240 into it, and "
		"correct syncpeer or syncdev there and `peer` here",
	[FINDING_BULK_FAILED] = "see whether it hears us, then pfsyncctl resync",
	[FINDING_BULK_RUNNING] = "wait for its end; pfsyncctl peers shows it",
	[FINDING_NEVER_SYNCED] = "wait a minute, then pfsyncctl resync",
	[FINDING_HALVES] =
		"pfsyncctl resync; on the pf, pfsync and its packet filter must be up, and both "
		"sides of a connection without no-sync",
	[FINDING_NOT_INSTALLED] =
		"pfsyncctl monitor says why while they are tried again; what stands in "
		"their way goes with conntrack -D",
	[FINDING_IFNAME] =
		"add interface \"...\" { pf-name = \"NAME\" }, or set state-policy floating there",
};

/* What is refused and why that matters; a reason that is not here is ordinary. */
static const struct {
	enum reason reason;
	enum severity severity;
	const char *test, *remedy;
} refusals[] = {
	{R_TTL, SEVERITY_DEGRADED, "peers",
	 "connect the peers directly: a router or a wrong configuration changes the TTL"},
	{R_VERSION, SEVERITY_DEGRADED, "dialect",
	 "set `dialect` to what the peer speaks, or to \"auto\""},
	{R_SOURCE, SEVERITY_DEGRADED, "peers", "add the sender to `accept` if it is a peer"},
	{R_SHORT_HEADER, SEVERITY_DEGRADED, "refusals",
	 "see who sends it: pfsyncdump -i INTERFACE"},
	{R_LENGTH, SEVERITY_DEGRADED, "refusals",
	 "see who sends it: pfsyncdump -i INTERFACE; packets are cut off on their way"},
	{R_TRUNCATED, SEVERITY_DEGRADED, "refusals",
	 "see who sends it: pfsyncdump -i INTERFACE; packets are cut off on their way"},
	{R_ACTION, SEVERITY_DEGRADED, "dialect",
	 "set `dialect` to what the peer speaks; it may be newer than this program"},
	{R_STRIDE, SEVERITY_DEGRADED, "dialect",
	 "set `dialect` to what the peer speaks; it may be newer than this program"},
	{R_TIMEOUT_INDEX, SEVERITY_DEGRADED, "dialect",
	 "set `dialect` to what the peer speaks; it may be newer than this program"},
	{R_PEER_STATE, SEVERITY_DEGRADED, "dialect",
	 "set `dialect` to what the peer speaks; it may be newer than this program"},
	{R_DIRECTION, SEVERITY_DEGRADED, "dialect",
	 "set `dialect` to what the peer speaks; it may be newer than this program"},
	{R_ADDRESS_FAMILY, SEVERITY_DEGRADED, "dialect",
	 "set `dialect` to what the peer speaks; it may be newer than this program"},
	{R_MAX_STATES, SEVERITY_DEGRADED, "refusals",
	 "raise import.max-states if the peers are to be trusted with more"},
	{R_PEER_MAX_STATES, SEVERITY_DEGRADED, "refusals",
	 "raise import.max-states or import.peer-max-states if the peer is to be trusted with "
	 "more"},
	{R_PEERS, SEVERITY_DEGRADED, "peers", "name the peers in `accept`"},
	{R_MAX_RATE, SEVERITY_DEGRADED, "refusals", "raise import.max-rate, then pfsyncctl resync"},
	{R_KEY_CLASH, SEVERITY_DEGRADED, "refusals",
	 "old entries here stand against the peer's states: pfsyncctl monitor names them, "
	 "conntrack -D removes them, then pfsyncctl resync; are the NAT rules of both the same?"},
	{R_KERNEL_CLASH, SEVERITY_DEGRADED, "refusals",
	 "old entries here stand against the peer's states: pfsyncctl monitor names them, "
	 "conntrack -D removes them, then pfsyncctl resync"},
	{R_KERNEL_FULL, SEVERITY_DEGRADED, "conntrack table",
	 "raise net.netfilter.nf_conntrack_max, then pfsyncctl resync"},
	{R_KERNEL_ERROR, SEVERITY_DEGRADED, "refusals",
	 "see the log; is conntrack.zone right, and the modules nf_conntrack_netlink and nf_nat "
	 "loaded?"},
	{R_NO_MEMORY, SEVERITY_DEGRADED, "refusals", "give the host more memory"},
	{R_OUTGOING, SEVERITY_DEGRADED, "refusals", "this is a fault of the program: report it"},
	{R_AF_TO, SEVERITY_NOTICE, "refusals",
	 "Linux cannot carry such flows on; they end with the pf"},
	{R_SEQDIFF, SEVERITY_NOTICE, "refusals",
	 "on the pf, `keep state` in place of `modulate state`"},
	{R_SYNPROXY, SEVERITY_NOTICE, "refusals",
	 "on the pf, `keep state` in place of `synproxy state`"},
	{R_TS_MODULATED, SEVERITY_NOTICE, "refusals", "on the pf, scrub without reassemble tcp"},
	{R_ROUTE_TO, SEVERITY_NOTICE, "refusals",
	 "Linux cannot carry flows with route-to or reply-to on; use routes there"},
	{R_RDOMAIN, SEVERITY_NOTICE, "refusals", "flows of other routing domains stay with the pf"},
	{R_NAT_FORM, SEVERITY_NOTICE, "refusals", "Linux cannot carry that kind of translation on"},
	{R_CLR_INTERFACE, SEVERITY_NOTICE, "refusals",
	 "states of one interface were cleared there (pfctl -i); here they run out by themselves"},
};

static struct finding *found_as(struct health *h, enum finding_kind kind, int link)
{
	struct finding *f;

	if (h->count == FINDINGS_MAX)
		return NULL;
	f = &h->finding[h->count++];
	*f = (struct finding){.kind = kind,
			      .severity = kinds[kind].severity,
			      .test = kinds[kind].test,
			      .link = link,
			      .remedy = remedies[kind]};
	(void)snprintf(f->id, sizeof(f->id), "%s", kinds[kind].id);
	return f;
}

__attribute__((format(printf, 4, 5))) static void found(struct health *h, enum finding_kind kind,
							int link, const char *format, ...)
{
	struct finding *f = found_as(h, kind, link);
	char line[256];
	va_list ap;

	if (!f)
		return;
	va_start(ap, format);
	(void)vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	text_add(&f->text, "%s", line);
}

/* ---- what happened lately -------------------------------------------------------------- */

static void sample(struct health_sample *s, const struct control_env *env,
		   const struct host_facts *facts)
{
	struct link_view l;

	*s = (struct health_sample){.counters = *engine_counters(env->engine), .at = env->now};
	for (unsigned i = 0; engine_link_view(env->engine, i, &l); i++) {
		s->link[i].packets = l.packets_in;
		if (!facts)
			continue;
		s->link[i].frames = facts->link[i].frames;
		s->link[i].unreachable = facts->link[i].unreachable;
		s->link[i].lost = facts->link[i].lost;
	}
}

void health_remember(struct health_history *h, const struct control_env *env,
		     const struct host_facts *facts)
{
	const uint64_t every = HEALTH_MINUTES * 60 * (uint64_t)NS / HEALTH_SLOTS;

	if (h->used && env->now - h->slot[h->used - 1].at < every)
		return;
	if (h->used == HEALTH_SLOTS)
		memmove(h->slot, h->slot + 1, --h->used * sizeof(h->slot[0]));
	sample(&h->slot[h->used++], env, facts);
}

const struct health_sample *health_before(const struct control_env *env)
{
	static const struct health_sample nothing;

	/* the first one is of the start: what came before it is recent as well */
	return env->history && env->history->used == HEALTH_SLOTS ? &env->history->slot[0]
								  : &nothing;
}

/* ---- looking --------------------------------------------------------------------------- */

struct look {
	struct health *h;
	const struct control_env *env;
	const struct host_facts *facts;
	const struct health_sample *before;
	struct health_sample now;
};

static uint64_t recent(const struct look *k, enum reason r)
{
	return k->now.counters.refused[r] - k->before->counters.refused[r];
}

static double seconds_since(const struct look *k, uint64_t then)
{
	return k->env->now > then ? (double)(k->env->now - then) / NS : 0.0;
}

static void look_at_defer(const struct look *k)
{
	const struct host_facts *f = k->facts;

	if (f->defer_queue < 0)
		found(k->h, FINDING_NO_QUEUE, -1, "defer: no packet can be held: %s",
		      strerror(-f->defer_queue));
	if (f->defer_queue <= 0 || f->defer_rule != 0)
		return;
	found(k->h, FINDING_NO_QUEUE_RULE, -1,
	      "defer: no rule of nftables sends first packets to queue %d: none is held",
	      f->defer_queue);
	if (f->defer_plain && k->h->count)
		k->h->finding[k->h->count - 1].remedy = queue_rule_plain;
}

static void look_at_host(const struct look *k)
{
	const struct host_facts *f = k->facts;
	const struct counters *c = &k->now.counters;
	uint64_t overruns = c->done[C_EVENT_OVERRUN] - k->before->counters.done[C_EVENT_OVERRUN];
	const struct engine_totals *totals = &k->h->totals;

	if (f->net_admin == 0 || f->net_raw == 0)
		found(k->h, FINDING_NO_CAPABILITY, -1, "CAP_NET_%s is missing: %s",
		      f->net_admin == 0 ? "ADMIN" : "RAW",
		      f->net_admin == 0 ? "the kernel's table cannot be written"
					: "pfsync cannot be spoken");
	if (f->conntrack_events == 0)
		found(k->h, FINDING_EVENTS_OFF, -1,
		      "nf_conntrack_events is 0: connections send no events, nothing is told to "
		      "the "
		      "peers");
	else if (f->conntrack_events == 2)
		found(k->h, FINDING_EVENTS_LATE, -1,
		      "nf_conntrack_events is 2: connections older than the daemon send no events");
	if (c->done[C_DUMPS] == k->before->counters.done[C_DUMPS] &&
	    seconds_since(k, k->before->at ? k->before->at : k->env->started) > NO_DUMP_S)
		found(k->h, FINDING_KERNEL_SILENT, -1,
		      "the kernel's table could not be read for %d minutes", HEALTH_MINUTES);
	if (overruns)
		found(k->h, FINDING_OVERRUN, -1,
		      "the kernel lost events %" PRIu64
		      " times in %d minutes; peers were told late",
		      overruns, HEALTH_MINUTES);
	overruns = c->done[C_PACKET_OVERRUN] - k->before->counters.done[C_PACKET_OVERRUN];
	if (overruns)
		found(k->h, FINDING_PACKETS_LOST, -1,
		      "%" PRIu64
		      " packets of peers were lost in %d minutes: they came faster than they "
		      "could be read",
		      overruns, HEALTH_MINUTES);
	if (f->conntrack_max > 0 && f->conntrack_count > f->conntrack_max / 10 * FULL_TENTHS)
		found(k->h, FINDING_TABLE_FULL, -1,
		      "the kernel's table is nearly full: %" PRId64 " of %" PRId64 " entries",
		      f->conntrack_count, f->conntrack_max);
	if (totals->remote && totals->remote >= k->env->settings->max_states)
		found(k->h, FINDING_IMPORT_FULL, -1,
		      "import.max-states is reached: no more than %zu flows are taken from the "
		      "peers",
		      totals->remote);
	if (totals->missing)
		found(k->h, FINDING_NOT_INSTALLED, -1,
		      "%zu flows of peers are not in the kernel: they would not survive a "
		      "take-over",
		      totals->missing);
	look_at_defer(k);
	if (f->nat_chain == 0 && c->refused[R_NO_NAT_CHAIN])
		found(k->h, FINDING_NO_NAT_CHAIN, -1,
		      "translated flows came (%" PRIu64
		      "), but no nat base chain would rewrite their packets: they stall here",
		      c->refused[R_NO_NAT_CHAIN]);
}

/* Packets of ours, and those that never become packets for us. */
static void look_at_wire(const struct look *k, unsigned i, const char *where)
{
	const struct settings_sync *sync = &k->env->settings->sync[i];
	const struct link_facts *f = &k->facts->link[i];
	uint64_t frames = k->now.link[i].frames - k->before->link[i].frames;
	uint64_t packets = k->now.link[i].packets - k->before->link[i].packets +
			   k->now.counters.done[C_PACKET_OVERRUN] -
			   k->before->counters.done[C_PACKET_OVERRUN];
	uint64_t lost = k->now.link[i].lost - k->before->link[i].lost;

	if (sync->multicast && f->joined == 0)
		found(k->h, FINDING_NOT_JOINED, (int)i,
		      "%s is not in the group: the peers are not heard", where);
	if (!sync->multicast && f->neighbour == 0)
		found(k->h, FINDING_NO_NEIGHBOUR, (int)i,
		      "the peer's address does not answer ARP on %s", where);
	if (!sync->multicast && k->now.link[i].unreachable > k->before->link[i].unreachable)
		found(k->h, FINDING_UNREACHABLE, (int)i,
		      "ICMP on %s says that IP protocol 240 is not taken at the other end", where);
	if (frames > FRAMES_MIN + 2 * packets)
		found(k->h, FINDING_FILTERED, (int)i,
		      "%" PRIu64 " pfsync packets came in on %s, %" PRIu64
		      " came through: a packet filter here drops them",
		      frames, where, packets);
	if (lost)
		found(k->h, FINDING_NOT_SENT, (int)i, "%" PRIu64 " packets did not leave on %s: %s",
		      lost, where, f->lost_error ? strerror(f->lost_error) : "no reason known");
}

static void look_at_peers(const struct look *k, unsigned i)
{
	const struct dialect *set = k->env->settings->sync[i].dialect;
	struct peer_view p;

	for (size_t n = 0; engine_peer_view(k->env->engine, n, &p); n++) {
		struct text who = {0};

		if (p.link != i)
			continue;
		text_add_address(&who, p.addr.family, p.addr.addr);
		if (!who.s)
			continue;
		if (p.clash)
			found(k->h, FINDING_HOSTID_CLASH, (int)i,
			      "peer %s goes by our hostid %08" PRIx32, who.s, k->env->hostid);
		if (set && p.dialect && p.dialect != set)
			found(k->h, FINDING_DIALECT, (int)i, "peer %s speaks %s, not %s", who.s,
			      p.dialect->name, set->name);
		if (p.deaf && p.heard > p.deaf)
			found(k->h, FINDING_ONE_WAY, (int)i,
			      "peer %s is heard, but has answered nothing for %.0f s: it does not "
			      "hear "
			      "us",
			      who.s, seconds_since(k, p.answered ? p.answered : p.deaf));
		else if (p.deaf)
			found(k->h, FINDING_SILENT, (int)i,
			      "peer %s is silent for %.0f s, and answers nothing", who.s,
			      seconds_since(k, p.heard));
		else if (p.states_half >= HALVES_MIN && !p.states_whole)
			found(k->h, FINDING_HALVES, (int)i,
			      "peer %s told one half only of each of %" PRIu32 " flows", who.s,
			      p.states_half);
		text_free(&who);
	}
}

static bool first_of(const struct link_view *l, enum bulk_state bulk)
{
	return l->bulk == bulk && !l->ever_synced;
}

static void look_at_link(const struct look *k, unsigned i, const struct link_view *l)
{
	const struct settings_sync *sync = &k->env->settings->sync[i];
	char where[SETTINGS_NAME_MAX + PF_IFNAME_LEN + 16];

	(void)snprintf(where, sizeof(where), "link %s (%s)", l->name, sync->interface);
	if (!l->mtu) {
		found(k->h, FINDING_LINK_MISSING, (int)i, "the interface of %s is not there",
		      where);
		return;
	}
	if (!l->up) {
		found(k->h, FINDING_LINK_DOWN, (int)i, "%s is down", where);
		return;
	}
	if (l->mtu < MTU_MIN)
		found(k->h, FINDING_MTU_TINY, (int)i, "the MTU of %s is only %u", where, l->mtu);
	else if (l->narrow)
		found(k->h, FINDING_MTU_NARROW, (int)i,
		      "the MTU of %s is %u: short packets of the peers arrive, long ones do not",
		      where, l->mtu);
	look_at_wire(k, i, where);
	look_at_peers(k, i);
	if (sync->mode == MODE_SEND_ONLY)
		return;
	if (!l->peers)
		found(k->h, FINDING_NEVER_HEARD, (int)i, "no peer was heard on %s%s", where,
		      l->bulk_failed ? ", no peer answered a request for its states" : "");
	else if (l->bulk_failed)
		found(k->h, FINDING_BULK_FAILED, (int)i,
		      "no peer answered the bulk request to its end on %s", where);
	else if (first_of(l, BULK_RECEIVING))
		found(k->h, FINDING_BULK_RUNNING, (int)i,
		      "the first bulk update is under way on %s", where);
	else if (!l->ever_synced)
		found(k->h, FINDING_NEVER_SYNCED, (int)i,
		      "no peer has answered a bulk request on %s yet", where);
}

/* Names that only a peer can have used: not "all", and of no interface section. */
static void look_at_names(const struct look *k)
{
	const struct settings *s = k->env->settings;
	struct text names = {0};
	const char *name;

	for (size_t n = 0; (name = engine_ifname(k->env->engine, n)); n++) {
		if (strcmp(name, "all") != 0 && !settings_interface(s, name) && names.len < 100)
			text_add(&names, "%s%s", names.len ? ", " : "", name);
	}
	if (names.s)
		found(k->h, FINDING_IFNAME, -1,
		      "states of peers are bound to %s, which no interface section names", names.s);
	text_free(&names);
}

static void look_at_refusals(const struct look *k)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		enum reason r = refusals[i].reason;
		struct finding *f = recent(k, r) ? found_as(k->h, FINDING_REFUSED, -1) : NULL;

		if (!f)
			continue;
		(void)snprintf(f->id, sizeof(f->id), "refused-%s", reason_word(r));
		f->severity = refusals[i].severity;
		f->test = refusals[i].test;
		f->remedy = refusals[i].remedy;
		text_add(&f->text, "refused in the last %d minutes: %" PRIu64 " of \"%s\"",
			 HEALTH_MINUTES, recent(k, r), reason_text(r));
	}
}

void health_look(struct health *h, const struct control_env *env, const struct host_facts *facts)
{
	static const struct host_facts unknown = {.conntrack_events = -1,
						  .net_admin = -1,
						  .net_raw = -1,
						  .nat_chain = -1,
						  .defer_rule = -1};
	struct look k = {.h = h,
			 .env = env,
			 .facts = facts ? facts : &unknown,
			 .before = health_before(env)};
	unsigned links = 0, down = 0;
	struct link_view l;

	memset(h, 0, sizeof(*h));
	sample(&k.now, env, facts);
	engine_totals_walked(env->engine, &h->totals);
	look_at_host(&k);
	look_at_refusals(&k);
	for (; engine_link_view(env->engine, links, &l); links++) {
		look_at_link(&k, links, &l);
		down += !l.up || !l.mtu;
	}
	look_at_names(&k);
	for (size_t i = 0; i < h->count; i++)
		if ((int)h->finding[i].severity > h->status)
			h->status = (int)h->finding[i].severity;
	if (links == down)
		h->status = (int)SEVERITY_DOWN;
}

void health_free(struct health *h)
{
	for (size_t i = 0; i < h->count; i++)
		text_free(&h->finding[i].text);
	h->count = 0;
}

void health_why(const struct health *h, const struct control_env *env, struct text *why)
{
	enum { SHOWN = 3 };
	struct link_view l;
	size_t peers = 0, wrong = 0;

	for (size_t i = 0; i < h->count; i++) {
		const struct finding *f = &h->finding[i];

		if (f->severity == SEVERITY_NOTICE || ++wrong > SHOWN)
			continue;
		text_add(why, "%s%s: %s; %s", why->len ? " | " : "", f->id,
			 f->text.s ? f->text.s : "", f->remedy);
	}
	if (wrong > SHOWN)
		text_add(why, " | and %zu more, see pfsyncctl status", wrong - SHOWN);
	if (wrong)
		return;
	for (unsigned i = 0; engine_link_view(env->engine, i, &l); i++)
		peers += l.peers;
	text_add(why, "in sync: %zu peer%s, %zu flows", peers, peers == 1 ? "" : "s",
		 h->totals.flows);
}

int health_demotion(const struct engine *e)
{
	struct link_view l;

	for (unsigned i = 0; engine_link_view(e, i, &l); i++)
		if (!l.up || l.behind)
			return HEALTH_DEMOTION;
	return 0;
}
