/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Life of the core, its time, and what is due. */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#include "engine_internal.h"
#include "hash.h"

enum {
	DECIDE_S = 2,	    /* how long peers may take to begin to name what the start found */
	DUMP_EVERY_S = 120, /* entries that make no events are found gone by a dump */
	DUMP_MAX_S = 540,   /* it makes looks at idle flows needless, which come after 600 */
	DUMP_SHARE = 200,   /* a dump takes half a percent of the time */
	GAP_S = 3,	    /* called later than that, we have stood still */
	MISSED_S = 10,	    /* and so long that what peers have told is asked for */
	ROUTES_MS = 200,    /* changes of routes come together */
	ROUTES_AGAIN_S = 2, /* and for ever where they are learned: ever more seldom looked at */
	ROUTES_AGAIN_MAX_S = 64,
	OLD_MS = 1000, /* in which what the kernel told meanwhile is read */
};

/* ---- small things ---------------------------------------------------------------------- */

void engine_count(struct engine *e, enum counter c)
{
	e->counters.done[c]++;
}

void engine_note(struct engine *e, const struct note *n)
{
	if (e->ops.note)
		e->ops.note(e->ctx, n);
}

void engine_note_flow(struct engine *e, enum engine_note kind, const struct flow *f)
{
	struct tuples t;

	if (!e->ops.note)
		return;
	flow_tuples(f, &t);
	e->ops.note(e->ctx, &(struct note){.kind = kind, .link = -1, .tuples = &t});
}

void engine_refuse(struct engine *e, enum reason r, struct peer *p, const struct pf_state *s)
{
	e->counters.refused[r]++;
	if (p)
		p->refused++;
	engine_note(e, &(struct note){.kind = NOTE_REFUSED,
				      .reason = r,
				      .action = ACT_UNKNOWN,
				      .link = p ? (int)p->link : -1,
				      .peer = p ? &p->addr : NULL,
				      .id = s ? s->id : 0,
				      .creatorid = s ? s->creatorid : 0});
}

void engine_wake(uint64_t *at, uint64_t when)
{
	if (when < *at)
		*at = when;
}

/* Takes one out of a bucket, in advance if it is empty; when it may be used. */
uint64_t engine_bucket_at(struct bucket *b, uint64_t now, uint64_t step, unsigned burst)
{
	uint64_t may;

	if (b->at + burst * step < now)
		b->at = now - burst * step;
	may = b->at < now ? now : b->at;
	b->at += step;
	return may;
}

/* The same now or not at all. */
bool engine_bucket(struct bucket *b, uint64_t now, uint64_t step, unsigned burst)
{
	return b->at < now && engine_bucket_at(b, now, step, burst) == now;
}

uint32_t engine_ns_to_ds(const struct engine *e, uint64_t ns)
{
	/* away from zero, so that "long ago" has room before the start */
	return (uint32_t)((ns - e->start) / TICK_NS) + (1u << 28);
}

static uint64_t ds_to_ns(const struct engine *e, uint32_t ds)
{
	return e->start + (uint64_t)(ds - (1u << 28)) * TICK_NS;
}

/* Number of an interface name, 0 ("all") for what is empty, or when there are too many. */
uint8_t engine_intern(struct engine *e, const char name[PF_IFNAME_LEN], size_t most)
{
	char whole[PF_IFNAME_LEN] = {0};

	memcpy(whole, name, strnlen(name, PF_IFNAME_LEN - 1));
	if (!whole[0])
		return 0;
	for (size_t i = 0; i < e->name_count; i++)
		if (!memcmp(e->names[i], whole, sizeof(whole)))
			return (uint8_t)i;
	if (e->name_count >= most) {
		e->counters.refused[R_IFNAMES]++;
		return 0;
	}
	memcpy(e->names[e->name_count], whole, sizeof(whole));
	return (uint8_t)e->name_count++;
}

/* ---- end of a flow --------------------------------------------------------------------- */

static void unhook(struct engine *e, struct flow *f)
{
	defer_end(e, f);
	commit_drop(e, f);
	wheel_cancel(&e->wheel, &f->timer);
	peer_drop_flow(e, f);
	table_unlink(&e->table, f);
	f->flags |= F_DEAD;
}

void engine_forget(struct engine *e, struct flow *f)
{
	sendq_drop(e, f);
	unhook(e, f);
	table_release(&e->table, f);
}

void engine_end(struct engine *e, struct flow *f)
{
	bool told = false;

	sendq_drop(e, f);
	for (int h = HALF_IN; h <= HALF_OUT; h++) {
		if (!(f->half[h].flags & H_TOLD))
			continue;
		sendq_pend(e, f, h, PEND_DEL);
		told = true;
	}
	if (!told)
		engine_count(e, C_NEVER_TOLD);
	if (!f->pend) {
		engine_forget(e, f);
		return;
	}
	unhook(e, f); /* the record stays until its DEL_C has left */
}

/* ---- configuration --------------------------------------------------------------------- */

static void link_configure(struct link *l, const struct link_config *config)
{
	bool redo = l->config.dialect != config->dialect || !l->dialects;

	l->config = *config;
	if (redo)
		l->dialects = config->dialect ? 1u << config->dialect->id : 0;
}

static void configure(struct engine *e, const struct engine_config *config)
{
	static const uint8_t purpose[] = "pfsync-linux state names";
	uint8_t key[16] = {0};

	e->config = *config;
	e->links = config->links;
	for (size_t i = 0; i < e->links; i++) {
		link_configure(&e->link[i], &config->link[i]);
		peer_dialects(e, (unsigned)i);
	}
	for (int half = 0; half < 2; half++) {
		struct writer w = writer_of(key, sizeof(key));
		uint64_t h;

		writer_u32(&w, config->hostid);
		writer_u8(&w, (uint8_t)half);
		h = hash_bytes(key, purpose, sizeof(purpose));
		memcpy(e->name_key + 8 * half, &h, sizeof(h));
	}
}

struct engine *engine_new(const struct engine_config *config, const struct engine_ops *ops,
			  void *ctx, uint64_t now)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->names = calloc(NAMES_MAX, sizeof(*e->names));
	if (!e->names || !table_init(&e->table, config->hash_key)) {
		free(e->names);
		free(e);
		return NULL;
	}
	memcpy(e->names[0], "all", 4);
	e->name_count = 1;
	e->ops = *ops;
	e->ctx = ctx;
	e->start = e->now = now;
	e->ds = engine_ns_to_ds(e, now);
	wheel_init(&e->wheel, e->ds);
	list_init(&e->peers);
	list_init(&e->queue);
	e->nat_chain = true;
	e->undecided = true;
	e->decide_at = now + DECIDE_S * NS_PER_S;
	e->dump_at = now;
	e->flush_at = e->walk_at = e->walk_asked_at = e->due = e->routes_at = NEVER;
	for (size_t i = 0; i < ENGINE_LINKS_MAX; i++)
		e->link[i].bulk_at = NEVER;
	configure(e, config);
	return e;
}

void engine_free(struct engine *e)
{
	struct list *n, *next;

	if (!e)
		return;
	list_for_each_safe (n, next, &e->queue) {
		struct flow *f = container_of(n, struct flow, queue);

		sendq_drop(e, f);
		if (f->flags & F_DEAD)
			table_release(&e->table, f);
	}
	list_for_each_safe (n, next, &e->peers)
		free(container_of(n, struct peer, node));
	table_free(&e->table);
	free(e->own);
	free(e->names);
	free(e);
}

void engine_reload(struct engine *e, const struct engine_config *config, uint64_t now)
{
	e->now = now;
	memset(e->refused, 0, sizeof(e->refused));
	if (e->config.takeover && !config->takeover) { /* nothing waits in direct mode */
		e->direct = false;
		commit_move(e, MOVE_IN);
	}
	configure(e, config);
	engine_on_routes(e, now); /* interfaces may have other names */
}

void engine_finish(struct engine *e, uint64_t now)
{
	e->now = now;
	e->ds = engine_ns_to_ds(e, now);
	defer_finish(e);
	commit_run(e);
	sendq_flush(e);
}

/* ---- host ------------------------------------------------------------------------------ */

void engine_on_link(struct engine *e, unsigned link, bool up, unsigned mtu,
		    const struct prefix *addrs, size_t count, uint64_t now)
{
	struct link *l = &e->link[link];
	bool returns = up && !l->up;

	e->now = now;
	e->ds = engine_ns_to_ds(e, now);
	if (count > sizeof(l->addr) / sizeof(l->addr[0]))
		count = sizeof(l->addr) / sizeof(l->addr[0]);
	if (count)
		memcpy(l->addr, addrs, count * sizeof(*addrs));
	l->addrs = count;
	l->mtu = mtu;
	l->up = up;
	if (!returns)
		return;
	l->behind = l->config.mode != MODE_SEND_ONLY;
	bulk_ask(e, l, true);
	if (now == e->start)
		return;
	relay_retell(e, link); /* what was told meanwhile was told to nobody */
	bulk_walk(e, WALK_RETELL);
}

void engine_on_addresses(struct engine *e, const struct address *addrs, size_t count)
{
	struct address *own = count ? calloc(count, sizeof(*own)) : NULL;

	if (count && !own) {
		e->counters.refused[R_NO_MEMORY]++;
		return;
	}
	if (count)
		memcpy(own, addrs, count * sizeof(*own));
	free(e->own);
	e->own = own;
	e->owns = count;
}

void engine_on_packets_lost(struct engine *e, size_t unsent, size_t unread)
{
	e->counters.refused[R_SEND_ERROR] += unsent;
	e->counters.done[C_PACKET_OVERRUN] += unread;
}

void engine_on_routes(struct engine *e, uint64_t now)
{
	if (!e->ops.interfaces || e->routes_at != NEVER)
		return;
	if (now > e->routes_next + e->routes_pause) /* it was quiet for as long */
		e->routes_pause = 0;
	e->routes_at = now + ROUTES_MS * NS_PER_MS;
	if (e->routes_at < e->routes_next)
		e->routes_at = e->routes_next;
}

void engine_on_pressure(struct engine *e, uint32_t count, uint32_t max)
{
	e->tight = max && count > max - max / 5;
}

void engine_on_nat_chain(struct engine *e, bool present)
{
	e->nat_chain = present;
}

/* ---- what is due ----------------------------------------------------------------------- */

/* Until the next dump, by what the last one took. */
static uint64_t dump_pause(const struct engine *e)
{
	uint64_t pause = DUMP_SHARE * e->dump_took;

	if (pause < DUMP_EVERY_S * NS_PER_S)
		return DUMP_EVERY_S * NS_PER_S;
	return pause < DUMP_MAX_S * NS_PER_S ? pause : DUMP_MAX_S * NS_PER_S;
}

static void dump_run(struct engine *e)
{
	/* the marks of a dump are needed until everything was swept by them */
	if (e->dumping || bulk_walks(e, WALK_SWEEP) || e->now < e->dump_at)
		return;
	e->dumping = true;
	memset(e->gone, 0, sizeof(e->gone));
	e->mark = !e->mark;
	e->dumped_at = e->now;
	e->dump_at = e->now + dump_pause(e);
	e->ops.dump(e->ctx);
}

/*
 * Have we stood still, as a machine does that is suspended? What the kernel tells first is of the
 * time before, and what it shows to be new may have a name at the peers by now, as at the start.
 * After long nobody was heard.
 */
static void after_gap(struct engine *e)
{
	uint64_t gap = e->now > e->due ? e->now - e->due : 0;

	if (gap <= GAP_S * NS_PER_S)
		return;
	e->gap_ds = e->ds;
	e->due = e->now;
	e->old_until = e->now + OLD_MS * NS_PER_MS;
	e->undecided = true;
	e->decide_at = e->now + DECIDE_S * NS_PER_S;
	for (size_t i = 0; gap > MISSED_S * NS_PER_S && i < e->links; i++)
		bulk_ask(e, &e->link[i], false);
}

void engine_clock(struct engine *e, uint64_t now)
{
	e->now = now;
	e->ds = engine_ns_to_ds(e, now);
	after_gap(e);
}

static void routes_run(struct engine *e)
{
	if (e->now < e->routes_at)
		return;
	e->routes_pause = e->routes_pause ? 2 * e->routes_pause : ROUTES_AGAIN_S * NS_PER_S;
	if (e->routes_pause > ROUTES_AGAIN_MAX_S * NS_PER_S)
		e->routes_pause = ROUTES_AGAIN_MAX_S * NS_PER_S;
	e->routes_at = NEVER;
	e->routes_next = e->now + e->routes_pause;
	bulk_walk(e, WALK_ROUTES);
}

uint64_t engine_run(struct engine *e, uint64_t now)
{
	uint64_t next = NEVER;
	uint32_t tick;

	engine_clock(e, now);
	dump_run(e);
	refresh_run(e);
	routes_run(e);
	bulk_run(e);
	peer_look(e);
	commit_move_run(e);
	probe_run(e);
	commit_run(e);
	defer_run(e);
	if (e->flush_at <= e->now)
		sendq_flush(e);
	tick = wheel_next(&e->wheel);
	if (tick != UINT32_MAX)
		engine_wake(&next, ds_to_ns(e, tick));
	engine_wake(&next, e->flush_at);
	engine_wake(&next, e->routes_at);
	engine_wake(&next, e->move != MOVE_NONE ? e->now : NEVER);
	engine_wake(&next, defer_next(e));
	engine_wake(&next, bulk_next(e));
	engine_wake(&next, peer_next(e));
	engine_wake(&next, probe_next(e));
	if (!e->dumping && !bulk_walks(e, WALK_SWEEP))
		engine_wake(&next, e->dump_at);
	e->due = next;
	return next;
}

/* ---- commands -------------------------------------------------------------------------- */

void engine_resync(struct engine *e, uint64_t now)
{
	e->now = now;
	for (size_t i = 0; i < e->links; i++)
		bulk_ask(e, &e->link[i], true);
	e->dump_at = now;
}

size_t engine_takeover(struct engine *e, uint64_t now)
{
	uint64_t cursor = 0;
	size_t n = 0;
	struct flow *f;

	e->now = now;
	if (!e->config.takeover)
		return 0;
	e->direct = true;
	while ((f = table_walk(&e->table, &cursor)))
		n += !!(f->flags & F_HELD);
	commit_move(e, MOVE_IN);
	return n;
}

/*
 * With commit = takeover flows are not forgotten: they would be lost if the next command came
 * before the peers have told them again.
 */
size_t engine_flush(struct engine *e, uint64_t now)
{
	uint64_t cursor = 0;
	size_t n = 0;
	struct flow *f;

	e->now = now;
	e->ds = engine_ns_to_ds(e, now);
	e->direct = false;
	commit_run(e);
	while ((f = table_walk(&e->table, &cursor))) {
		if (e->config.takeover) {
			n += commit_withdraws(f);
			continue;
		}
		if (!(f->flags & F_REMOTE) || f->flags & F_LIVE)
			continue;
		commit_delete(e, f);
		engine_forget(e, f);
		n++;
	}
	if (e->config.takeover)
		commit_move(e, MOVE_OUT);
	commit_run(e);
	return n;
}
