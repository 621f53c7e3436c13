/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What others may see of the engine. Nothing here changes it. */
#include <string.h>

#include "engine_internal.h"

const struct counters *engine_counters(const struct engine *e)
{
	return &e->counters;
}

bool engine_flow_next(const struct engine *e, uint64_t *cursor, struct flow_view *v, uint64_t now)
{
	const struct flow *f = table_walk(&e->table, cursor);

	if (!f)
		return false;
	memset(v, 0, sizeof(*v));
	flow_tuples(f, &v->tuples);
	v->remote = f->flags & F_REMOTE;
	v->in_kernel = f->flags & F_KERNEL;
	v->live = f->flags & F_LIVE;
	v->waiting = (f->flags & (F_HELD | F_KERNEL)) == F_HELD;
	v->kept = (enum reason)f->kept;
	v->age = (engine_ns_to_ds(e, now) - f->created) / 10;
	for (int h = HALF_IN; h <= HALF_OUT; h++) {
		const struct half *half = &f->half[h];

		v->half[h].present = half->flags & H_PRESENT;
		v->half[h].id = half->id;
		v->half[h].creatorid = half->creatorid;
		v->half[h].src = half->state[0];
		v->half[h].dst = half->state[1];
		v->half[h].timeout = half->timeout;
		v->half[h].ifname = announce_ifname(e, half);
		v->told |= half->flags & H_TOLD;
	}
	if (f->proto == PROTO_TCP) {
		const struct half *half = &f->half[f->half[HALF_IN].flags & H_PRESENT ? 0 : 1];

		v->tcp_state = f->flags & F_KERNEL
				       ? f->tcp_state
				       : ctstate_from_pf(half->state[0], half->state[1]);
	}
	return true;
}

static unsigned kind_of(uint8_t proto)
{
	return proto == PROTO_TCP ? 0 : proto == PROTO_UDP ? 1 : proto_is_icmp(proto) ? 2 : 3;
}

/* Refused by the kernel some while ago; it is tried again now and then. */
static bool is_missing(const struct engine *e, const struct flow *f)
{
	enum { SETTLED_DS = 30 };

	return f->flags & F_REMOTE && !(f->flags & (F_KERNEL | F_HELD | F_COMMIT)) &&
	       f->kept == R_NONE && !half_closed(f, HALF_IN) && !half_closed(f, HALF_OUT) &&
	       e->ds - f->heard > SETTLED_DS;
}

void engine_totals(const struct engine *e, struct engine_totals *t)
{
	*t = (struct engine_totals){.flows = e->table.flows,
				    .remote = e->remote,
				    .local = e->table.flows - e->remote,
				    .queued = e->queued,
				    .undecided = e->undecided};
}

void engine_totals_walked(const struct engine *e, struct engine_totals *t)
{
	uint64_t cursor = 0;
	const struct flow *f;

	engine_totals(e, t);
	while ((f = table_walk(&e->table, &cursor))) {
		t->in_kernel += !!(f->flags & F_KERNEL);
		t->missing += is_missing(e, f);
		t->live += !!(f->flags & F_LIVE);
		t->waiting += (f->flags & (F_HELD | F_KERNEL)) == F_HELD;
		t->by_proto[kind_of(f->proto)][!!(f->flags & F_REMOTE)]++;
	}
}

bool engine_link_view(const struct engine *e, unsigned link, struct link_view *v)
{
	const struct link *l = &e->link[link];
	struct list *n;

	if (link >= e->links)
		return false;
	*v = (struct link_view){
		.name = l->config.name,
		.up = l->up,
		.mtu = l->mtu,
		.bulk = l->quiet ? BULK_IDLE : l->bulk,
		.ever_synced = l->ever_synced,
		.answering = l->answer.active,
		.bulk_failed = l->bulk_failed,
		.packets_in = l->packets_in,
		.packets_out = l->packets_out,
		.behind = l->behind,
		.narrow = l->narrow > 1,
	};
	list_for_each (n, &e->peers)
		v->peers += container_of(n, struct peer, node)->link == link;
	return true;
}

bool engine_peer_view(const struct engine *e, size_t n, struct peer_view *v)
{
	struct list *at;

	list_for_each (at, &e->peers) {
		const struct peer *p = container_of(at, struct peer, node);

		if (n--)
			continue;
		*v = (struct peer_view){
			.link = p->link,
			.addr = p->addr,
			.dialect = p->dialect,
			.version = p->version,
			.heard = p->heard,
			.first = p->first,
			.packets_in = p->packets,
			.messages_in = p->messages,
			.refused = p->refused,
			.states_whole = p->whole,
			.states_half = p->half,
			.held = p->held,
			.answered = p->answered,
			.deaf = p->deaf,
			.clash = p->clash,
			.icmp_told = p->icmp_told,
			.icmp_typed = p->icmp_typed,
		};
		memcpy(v->hostid, p->hostid, sizeof(v->hostid));
		return true;
	}
	return false;
}

const char *engine_ifname(const struct engine *e, size_t n)
{
	return n < e->name_count ? e->names[n] : NULL;
}
