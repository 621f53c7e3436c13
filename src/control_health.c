/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is it in sync, and if not: why, and what is to be done about it. */
#include "control_view.h"

#include <inttypes.h>
#include <string.h>

enum { MTU_MIN = 576 };

/* ---- check ----------------------------------------------------------------------------- */

static const struct settings_sync *sync_of(const struct control_env *env, unsigned link)
{
	return &env->settings->sync[link];
}

/* The first thing that is wrong with a link; NULL if it is in sync. */
static const char *link_fault(const struct control_env *env, unsigned link,
			      const struct link_view *l)
{
	if (!l->mtu)
		return "the interface is not there; create it or correct `interface`";
	if (!l->up)
		return "the interface is down; bring it up with `ip link set ... up`";
	if (sync_of(env, link)->mode == MODE_SEND_ONLY)
		return NULL;
	if (l->bulk_failed)
		return "no peer answered the bulk request to its end; see `pfsyncctl doctor`, then "
		       "`pfsyncctl resync`";
	if (!l->ever_synced && l->bulk == BULK_RECEIVING)
		return "the first bulk update is under way; wait for its end";
	if (!l->peers)
		return "no peer was heard yet; see `pfsyncctl doctor`";
	if (!l->ever_synced)
		return "no peer has answered a bulk request yet; wait, or see `pfsyncctl doctor`";
	return NULL;
}

enum health health_of(const struct control_env *env, struct text *why)
{
	struct engine_totals totals;
	struct link_view l;
	unsigned links = 0, down = 0;
	size_t peers = 0;

	for (; engine_link_view(env->engine, links, &l); links++) {
		const char *fault = link_fault(env, links, &l);

		peers += l.peers;
		if (!l.up || !l.mtu)
			down++;
		if (fault)
			text_add(why, "%slink %s (%s): %s", why->len ? "; " : "", l.name,
				 sync_of(env, links)->interface, fault);
	}
	if (links == down)
		return HEALTH_DOWN;
	if (why->len)
		return HEALTH_DEGRADED;
	engine_totals(env->engine, &totals);
	text_add(why, "in sync: %zu peer%s, %zu flows", peers, peers == 1 ? "" : "s", totals.flows);
	return HEALTH_OK;
}

void view_check(const struct control_env *env, struct text *out)
{
	struct text why = {0};
	enum health health = health_of(env, &why);

	text_add(out, "{\"status\":%d,\"why\":", (int)health);
	text_add_json(out, why.s ? why.s : "", why.len);
	text_add(out, "}");
	text_free(&why);
}

/* ---- doctor ---------------------------------------------------------------------------- */

enum verdict { FINE, WARN, FAIL };

struct doctor {
	struct text *out;
	bool first;
	bool failed;
};

static void tell(struct doctor *d, const char *name, enum verdict verdict, const char *text,
		 const char *remedy)
{
	static const char *const names[] = {[FINE] = "ok", [WARN] = "warn", [FAIL] = "fail"};

	text_add(d->out, "%s{\"name\":", d->first ? "" : ",");
	text_add_json(d->out, name, strlen(name));
	text_add(d->out, ",\"result\":\"%s\",\"text\":", names[verdict]);
	text_add_json(d->out, text, strlen(text));
	if (verdict != FINE) {
		text_add(d->out, ",\"remedy\":");
		text_add_json(d->out, remedy, strlen(remedy));
	}
	text_add(d->out, "}");
	d->first = false;
	d->failed |= verdict == FAIL;
}

static void test_sysctls(struct doctor *d, const struct host_facts *f)
{
	struct text t = {0};
	enum verdict events = f->conntrack_events == 1	 ? FINE
			      : f->conntrack_events == 2 ? WARN
							 : FAIL;
	bool full = f->conntrack_max > 0 && f->conntrack_count > f->conntrack_max / 10 * 9;

	if (f->conntrack_events < 0)
		tell(d, "nf_conntrack_events", FAIL, "cannot be read",
		     "load the module: modprobe nf_conntrack_netlink");
	else
		tell(d, "nf_conntrack_events", events,
		     events == FINE   ? "every connection sends events"
		     : events == WARN ? "connections older than the daemon send no events"
				      : "connections send no events; nothing can be told to peers",
		     "sysctl -w net.netfilter.nf_conntrack_events=1");
	tell(d, "nf_conntrack_acct", f->conntrack_acct == 1 ? FINE : WARN,
	     f->conntrack_acct == 1 ? "packets are counted"
				    : "packets are not counted; peers see 0 packets and bytes",
	     "sysctl -w net.netfilter.nf_conntrack_acct=1");
	tell(d, "nf_conntrack_timestamp", f->conntrack_timestamp == 1 ? FINE : WARN,
	     f->conntrack_timestamp == 1
		     ? "the age of connections is known"
		     : "the age of connections from before the start is not known",
	     "sysctl -w net.netfilter.nf_conntrack_timestamp=1");
	text_add(&t, "%" PRId64 " of %" PRId64 " entries are used", f->conntrack_count,
		 f->conntrack_max);
	tell(d, "nf_conntrack_max", full ? WARN : FINE, t.s ? t.s : "",
	     "raise net.netfilter.nf_conntrack_max");
	text_free(&t);
}

static void test_rights(struct doctor *d, const struct control_env *env, const struct host_facts *f)
{
	const struct counters *c = engine_counters(env->engine);
	const char *remedy = "start it from its unit, or as root";

	tell(d, "CAP_NET_ADMIN",
	     f->net_admin == 0	? FAIL
	     : f->net_admin < 0 ? WARN
				: FINE,
	     f->net_admin == 0	? "missing; the kernel table cannot be written"
	     : f->net_admin < 0 ? "not known"
				: "in effect",
	     remedy);
	tell(d, "CAP_NET_RAW",
	     f->net_raw == 0  ? FAIL
	     : f->net_raw < 0 ? WARN
			      : FINE,
	     f->net_raw == 0  ? "missing; pfsync packets cannot be sent"
	     : f->net_raw < 0 ? "not known"
			      : "in effect",
	     remedy);
	tell(d, "nat chain", f->nat_chain == 1 || !c->refused[R_NO_NAT_CHAIN] ? FINE : FAIL,
	     f->nat_chain == 1		  ? "a nat base chain is there"
	     : f->nat_chain < 0		  ? "cannot be told from here; one is assumed"
	     : c->refused[R_NO_NAT_CHAIN] ? "translated flows came, but no nat base chain is there"
					  : "none, and none was needed yet",
	     "create one: nft 'add table ip nat; add chain ip nat postrouting "
	     "{ type nat hook postrouting priority srcnat; }'");
}

static void test_link(struct doctor *d, const struct control_env *env, const struct host_facts *f,
		      unsigned i, const struct link_view *l)
{
	const struct settings_sync *sync = sync_of(env, i);
	struct text name = {0}, text = {0}, remedy = {0};
	enum verdict verdict = FINE;

	text_add(&name, "interface %s", sync->interface);
	text_add(&remedy, "ip link set %s up mtu 1500", sync->interface);
	if (!l->mtu)
		text_add(&text, "there is no such interface");
	else if (!l->up)
		text_add(&text, "it is down");
	else
		text_add(&text, "up, MTU %u", l->mtu);
	if (!l->mtu || !l->up)
		verdict = FAIL;
	else if (l->mtu < MTU_MIN)
		verdict = FAIL;
	tell(d, name.s ? name.s : "", verdict, text.s ? text.s : "", remedy.s ? remedy.s : "");

	if (sync->multicast) {
		text_clear(&name);
		text_add(&name, "multicast on %s", sync->interface);
		tell(d, name.s ? name.s : "",
		     f->joined[i] == 0	? FAIL
		     : f->joined[i] < 0 ? WARN
					: FINE,
		     f->joined[i] == 0	? "the group is not joined"
		     : f->joined[i] < 0 ? "not known"
					: "the group is joined",
		     "the interface needs an address and the multicast flag; restart the daemon");
	}

	text_clear(&name);
	text_clear(&text);
	text_add(&name, "peers on %s", sync->interface);
	text_add(&text, "%zu heard%s", l->peers,
		 l->bulk_failed ? ", but none answered the last bulk request" : "");
	verdict = sync->mode == MODE_SEND_ONLY || (l->peers && !l->bulk_failed) ? FINE : WARN;
	tell(d, name.s ? name.s : "", verdict, text.s ? text.s : "",
	     "let IP protocol 240 pass the packet filters of both hosts, in and out (nft add rule "
	     "inet filter input ip protocol 240 accept), check `syncdev` and `syncpeer` on the "
	     "peer, and multicast snooping on the switch");
	text_free(&name);
	text_free(&text);
	text_free(&remedy);
}

static void test_counters(struct doctor *d, const struct control_env *env)
{
	static const struct {
		enum reason reason;
		enum verdict verdict;
		const char *remedy;
	} tests[] = {
		{R_HOSTID_CLASH, FAIL, "give each node its own hostid"},
		{R_TTL, WARN, "a router stands between the peers; connect them directly"},
		{R_SOURCE, WARN, "add the peer's address to `accept`"},
		{R_VERSION, WARN, "correct `dialect` of the link, or set it to auto"},
		{R_KERNEL_FULL, FAIL, "raise net.netfilter.nf_conntrack_max"},
		{R_MAX_STATES, WARN, "raise `max-states`"},
		{R_PEER_MAX_STATES, WARN, "raise `max-states` or `peer-max-states`"},
		{R_PEERS, WARN, "name the peers in `accept`"},
		{R_SEND_ERROR, WARN, "look at the link and at the packet filter's output chain"},
	};
	const struct counters *c = engine_counters(env->engine);
	struct text t = {0};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		uint64_t n = c->refused[tests[i].reason];

		text_clear(&t);
		if (n)
			text_add(&t, "%" PRIu64 " times: %s", n, reason_text(tests[i].reason));
		else
			text_add(&t, "not seen");
		tell(d, reason_word(tests[i].reason), n ? tests[i].verdict : FINE, t.s ? t.s : "",
		     tests[i].remedy);
	}
	text_clear(&t);
	text_add(&t, "the kernel lost events %" PRIu64 " times", c->done[C_EVENT_OVERRUN]);
	tell(d, "event-overrun", c->done[C_EVENT_OVERRUN] ? WARN : FINE, t.s ? t.s : "",
	     "raise `receive-buffer`");
	text_free(&t);
}

void view_doctor(const struct control_env *env, struct text *out)
{
	struct doctor d = {.out = out, .first = true};
	struct host_facts facts;
	struct link_view l;

	memset(&facts, 0xff, sizeof(facts)); /* all -1 */
	if (env->facts)
		env->facts(env->ctx, &facts);
	text_add(out, "{\"tests\":[");
	test_sysctls(&d, &facts);
	test_rights(&d, env, &facts);
	for (unsigned i = 0; engine_link_view(env->engine, i, &l); i++)
		test_link(&d, env, &facts, i, &l);
	test_counters(&d, env);
	text_add(out, "],\"status\":%d}", d.failed ? 1 : 0);
}
