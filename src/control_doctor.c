/* SPDX-License-Identifier: GPL-2.0-or-later */
/* doctor: one line for each thing that is looked at, with what was found (health.h) or that it is
 * well. */
#include "control_view.h"

#include <inttypes.h>
#include <string.h>

enum { FLOWS_MOST = 200000 }; /* looked at for addresses that are not shared */

struct doctor {
	const struct control_env *env;
	const struct host_facts *facts;
	const struct health *health;
	struct text *out;
	bool later; /* something was told already */
	bool failed;
};

static void tell(struct doctor *d, const char *name, const char *result, const char *id,
		 const char *text, const char *remedy)
{
	text_add(d->out, "%s{\"name\":", d->later ? "," : "");
	text_add_json(d->out, name, strlen(name));
	text_add(d->out, ",\"result\":\"%s\",\"text\":", result);
	text_add_json(d->out, text, strlen(text));
	if (id) {
		text_add(d->out, ",\"id\":");
		text_add_json(d->out, id, strlen(id));
	}
	if (remedy) {
		text_add(d->out, ",\"remedy\":");
		text_add_json(d->out, remedy, strlen(remedy));
	}
	text_add(d->out, "}");
	d->later = true;
	d->failed |= !strcmp(result, "fail");
}

/* What was found of that test, else that all is well. link: -1, or its number; then it is named. */
static void report(struct doctor *d, const char *test, int link, const char *fine)
{
	struct text name = {0};
	bool any = false;

	text_add(&name, link < 0 ? "%s" : "%s %s", test,
		 link < 0 ? "" : d->env->settings->sync[link].interface);
	for (size_t i = 0; i < d->health->count; i++) {
		const struct finding *f = &d->health->finding[i];

		/* refusals are of no link; they are told with the first */
		if (strcmp(f->test, test) != 0 || (f->link != link && !(f->link < 0 && link <= 0)))
			continue;
		tell(d, name.s ? name.s : test, f->severity == SEVERITY_NOTICE ? "warn" : "fail",
		     f->id, f->text.s ? f->text.s : "", f->remedy);
		any = true;
	}
	if (!any)
		tell(d, name.s ? name.s : test, "ok", NULL, fine, NULL);
	text_free(&name);
}

/* ---- the host -------------------------------------------------------------------------- */

static void advise(struct doctor *d, const char *name, int value, int want, const char *fine,
		   const char *text)
{
	struct text remedy = {0};

	text_add(&remedy, "sysctl -w net.netfilter.%s=%d, and in /etc/sysctl.d", name, want);
	if (value == want)
		tell(d, name, "ok", NULL, fine, NULL);
	else
		tell(d, name, "warn", NULL, value < 0 ? "cannot be read" : text,
		     remedy.s ? remedy.s : "");
	text_free(&remedy);
}

static void test_host(struct doctor *d)
{
	const struct host_facts *f = d->facts;
	const struct counters *c = engine_counters(d->env->engine);
	struct text t = {0};

	report(d, "capabilities", -1,
	       f->net_admin == 1 && f->net_raw == 1 ? "CAP_NET_ADMIN and CAP_NET_RAW are in effect"
						    : "not known");
	if (f->conntrack_events < 0)
		tell(d, "nf_conntrack_events", "fail", "events-unknown", "cannot be read",
		     "load the module: modprobe nf_conntrack_netlink");
	else
		report(d, "nf_conntrack_events", -1, "every connection sends events");
	advise(d, "nf_conntrack_acct", f->conntrack_acct, 1, "packets are counted",
	       "packets are not counted; peers see 0 packets and bytes");
	advise(d, "nf_conntrack_timestamp", f->conntrack_timestamp, 1,
	       "the age of connections is known",
	       "the age of connections from before the start is not known");
	advise(d, "nf_conntrack_tcp_loose", f->tcp_loose, 0,
	       "no TCP connection is picked up in its middle",
	       "TCP connections that no peer told are picked up in their middle, without their "
	       "translation");
	text_add(&t, "zone %" PRIu32 ", whole readings of the table: %" PRIu64,
		 d->env->settings->zone, c->done[C_DUMPS]);
	report(d, "conntrack netlink", -1, t.s ? t.s : "");
	text_clear(&t);
	text_add(&t, "%" PRId64 " of %" PRId64 " entries are used", f->conntrack_count,
		 f->conntrack_max);
	report(d, "conntrack table", -1, t.s ? t.s : "");
	text_free(&t);
	report(d, "nat chain", -1,
	       f->nat_chain == 1  ? "a nat base chain is there"
	       : f->nat_chain < 0 ? "cannot be told from here; one is assumed"
				  : "none, and none was needed yet");
}

static void test_defer(struct doctor *d)
{
	const struct counters *c = engine_counters(d->env->engine);
	const struct host_facts *f = d->facts;
	struct text t = {0};

	if (!f->defer_queue)
		return;
	text_add(&t,
		 "queue %d, %s: %" PRIu64 " held, of these %" PRIu64 " acknowledged; %" PRIu64
		 " passed at once",
		 f->defer_queue,
		 f->defer_rule < 0 ? "whether a rule sends packets there is not known"
		 : f->defer_plain  ? "translated connections cannot be held on this kernel"
				   : "a rule sends packets there",
		 c->done[C_DEFERRED], c->done[C_DEFER_ACKED],
		 c->done[C_DEFER_NO_PEER] + c->done[C_DEFER_PASSED]);
	report(d, "defer", -1, t.s ? t.s : "");
	text_free(&t);
}

/* ---- translated addresses -------------------------------------------------------------- */

static bool is_own(const struct host_facts *f, int family, const uint8_t *addr)
{
	for (size_t i = 0; i < f->owns; i++)
		if (f->own[i].family == family && !memcmp(f->own[i].addr, addr, family_len(family)))
			return true;
	return false;
}

static bool is_shared(const struct settings *s, int family, const uint8_t *addr)
{
	for (size_t i = 0; i < s->vip.count; i++)
		if (prefix_has(&s->vip.prefix[i], family, addr))
			return true;
	return false;
}

/* The peer cannot answer for an address of this host alone: such flows end with this node. */
static void test_shared(struct doctor *d)
{
	size_t bad = 0, translated = 0, looked = 0;
	struct text t = {0};
	struct endpoint first = {.port = 0};
	struct flow_view f;
	uint64_t cursor = 0;
	int family = 4;

	while (looked++ < FLOWS_MOST &&
	       engine_flow_next(d->env->engine, &cursor, &f, d->env->now)) {
		const uint8_t *to = f.tuples.end[REPLY_DST].addr;

		if (f.remote || !tuples_have_snat(&f.tuples))
			continue;
		translated++;
		if (is_shared(d->env->settings, f.tuples.family, to) ||
		    !is_own(d->facts, f.tuples.family, to))
			continue;
		if (!bad++) {
			first = f.tuples.end[REPLY_DST];
			family = f.tuples.family;
		}
	}
	if (bad) {
		text_add(&t, "%zu flows are translated to ", bad);
		text_add_address(&t, family, first.addr);
		text_add(&t,
			 ", an address of this host that is not shared: they end with this node");
		tell(d, "shared addresses", "fail", "not-shared", t.s ? t.s : "",
		     "translate to an address that VRRP or CARP moves to the other node, and name "
		     "it "
		     "in announce.vip");
	} else {
		text_add(&t, "%zu flows of ours are translated, all to addresses that can move",
			 translated);
		tell(d, "shared addresses", "ok", NULL, t.s ? t.s : "", NULL);
	}
	text_free(&t);
}

/* ---- links ----------------------------------------------------------------------------- */

static void test_link(struct doctor *d, int i, const struct link_view *l)
{
	const struct settings_sync *sync = &d->env->settings->sync[i];
	const struct link_facts *f = &d->facts->link[i];
	struct text t = {0};

	report(d, "interface", i, "up");
	if (!l->up || !l->mtu)
		return;
	text_add(&t, "%u; it must be the same on all nodes", l->mtu);
	report(d, "mtu", i, t.s ? t.s : "");
	if (sync->multicast)
		report(d, "multicast", i, f->joined < 0 ? "not known" : "the group is joined");
	else
		report(d, "neighbour", i,
		       f->neighbour < 0 ? "not known"
					: "the peer answers ARP, and takes the protocol");
	text_clear(&t);
	if (f->tapped)
		text_add(&t, "%" PRIu64 " pfsync packets came in, %" PRIu64 " came through",
			 f->frames, l->packets_in);
	else
		text_add(&t, "not known: what comes in cannot be counted before it");
	report(d, "packet filter", i, t.s ? t.s : "");
	text_clear(&t);
	text_add(&t, "%zu heard%s", l->peers, l->peers ? ", all answer" : "");
	report(d, "peers", i, t.s ? t.s : "");
	report(d, "dialect", i, sync->dialect ? sync->dialect->name : "auto");
	text_clear(&t);
	text_add(&t, "ours is %08" PRIx32 ", nobody else's", d->env->hostid);
	report(d, "hostid", i, t.s ? t.s : "");
	report(d, "bulk update", i, l->ever_synced ? "came to its end" : "not asked for");
	report(d, "halves", i, "peers tell both halves of flows");
	text_free(&t);
}

void view_doctor(const struct control_env *env, struct text *out)
{
	struct host_facts facts;
	struct health health;
	struct doctor d = {.env = env, .facts = &facts, .health = &health, .out = out};
	struct link_view l;

	view_look(env, &facts, &health);
	text_add(out, "{\"tests\":[");
	test_host(&d);
	test_defer(&d);
	test_shared(&d);
	for (unsigned i = 0; engine_link_view(env->engine, i, &l); i++)
		test_link(&d, (int)i, &l);
	report(&d, "imported flows", -1, "all are in the kernel that can be");
	report(&d, "interface names", -1, "all names in states are known");
	report(&d, "refusals", -1, "nothing that should be taken is refused");
	text_add(out, "],\"status\":%d}", d.failed ? 1 : 0);
	health_free(&health);
}
