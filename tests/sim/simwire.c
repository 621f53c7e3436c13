/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What waits for its time: packets on the wire and the next steps of connections. One heap. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

struct load { /* of a packet, shared by its copies */
	struct load *next;
	unsigned users;
	size_t len;
	uint8_t data[WIRE_MTU];
};

struct item {
	uint64_t at, seq;
	struct conn *conn; /* a connection's step, or */
	struct load *load; /* a packet */
	int from, to;
	unsigned wire;
};

static struct item *heap;
static size_t items, room;
static uint64_t seq;
static struct load *spare;
static uint64_t last[FW_MAX][FW_MAX]; /* arrival of the last one, where order is kept */

/* ---- heap ------------------------------------------------------------------------------ */

static bool before(const struct item *a, const struct item *b)
{
	return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void put(struct item it)
{
	size_t i;

	heap = sim_grow(heap, &room, items, sizeof(*heap));
	it.seq = ++seq;
	for (i = items++; i && before(&it, &heap[(i - 1) / 2]); i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = it;
}

static struct item take(void)
{
	struct item first = heap[0], it = heap[--items];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= items)
			break;
		if (child + 1 < items && before(&heap[child + 1], &heap[child]))
			child++;
		if (!before(&heap[child], &it))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = it;
	return first;
}

static void drop(struct load *l)
{
	if (--l->users)
		return;
	l->next = spare;
	spare = l;
}

void wire_reset(void)
{
	for (size_t i = 0; i < items; i++)
		if (heap[i].load)
			drop(heap[i].load);
	items = 0;
	seq = 0;
	memset(last, 0, sizeof(last));
}

uint64_t wire_next(void)
{
	return items ? heap[0].at : NEVER;
}

/* ---- wire ------------------------------------------------------------------------------ */

static void fly(struct load *l, unsigned wire, int from, int to)
{
	struct wire *w = &sim.wire;
	uint64_t at = sim.now + MS / 10 + sim_below(MS / 5);

	if (w->cut[from][to] || (w->loss && sim_chance(w->loss)))
		return;
	if (w->delay)
		at += w->delay;
	if (w->jitter)
		at += sim_below(w->jitter);
	if (!w->reorder && at < last[from][to])
		at = last[from][to];
	last[from][to] = at;
	l->users++;
	put((struct item){.at = at, .load = l, .from = from, .to = to, .wire = wire});
}

static void trace_name(struct text *t, uint64_t id, uint32_t creatorid)
{
	text_add(t, " %llx/%x", (unsigned long long)id, creatorid);
}

static void trace_sides(struct text *t, const struct pf_peer *src, const struct pf_peer *dst)
{
	text_add(t, " %u/%u %x/%x", src->state, dst->state, src->seqlo, dst->seqlo);
}

static void trace_section(struct text *t, struct section *s)
{
	struct pf_state state;
	struct msg_upd_c u;
	struct msg_id m;

	text_add(t, " %s*%u", action_name(s->action), s->count);
	while (section_next_state(s, &state)) {
		trace_name(t, state.id, state.creatorid);
		if (state.state_flags & PF_FLAG_SLOPPY)
			text_add(t, " sloppy");
		trace_sides(t, &state.src, &state.dst);
	}
	while (s->action == ACT_UPD_C && section_next_upd_c(s, &u)) {
		trace_name(t, u.id, u.creatorid);
		trace_sides(t, &u.src, &u.dst);
	}
	while ((s->action == ACT_DEL_C || s->action == ACT_UPD_REQ) && section_next_id(s, &m))
		trace_name(t, m.id, m.creatorid);
}

static void trace_packet(const struct fw *from, unsigned wire, const uint8_t *data, size_t len)
{
	static struct text t;
	struct packet p;
	struct section s;

	text_clear(&t);
	if (packet_open(&p, data, len) == R_NONE)
		while (packet_next(&p, &s))
			if (s.action != ACT_EOF)
				trace_section(&t, &s);
	sim_trace("node %d sends%s%s", from->index, wire ? " (second wire)" : "", t.s ? t.s : "");
}

void wire_send(const struct fw *from, unsigned wire, const uint8_t *data, size_t len)
{
	struct load *l = spare;

	if (len > WIRE_MTU || !from->link)
		return;
	if (l)
		spare = l->next;
	else
		l = malloc(sizeof(*l));
	if (!l)
		abort();
	l->users = 1;
	l->len = len;
	memcpy(l->data, data, len);
	sim.packets++;
	sim_mix((uint64_t)from->index << 32 | len);
	sim_mix((uint64_t)data[len / 2] << 8 | data[20]);
	if (sim.verbose)
		trace_packet(from, wire, data, len);
	for (unsigned to = 0; to < sim.fws; to++) {
		if ((int)to == from->index || !(sim.fw[to].wires & 1u << wire))
			continue;
		fly(l, wire, from->index, (int)to);
		if (sim.wire.twice && sim_chance(sim.wire.twice))
			fly(l, wire, from->index, (int)to);
	}
	drop(l);
}

void wire_after(uint64_t at, struct conn *c)
{
	put((struct item){.at = at, .conn = c});
}

void wire_step(void)
{
	struct item it = take();
	struct fw *f;

	if (it.conn) {
		conn_step(it.conn);
		return;
	}
	f = &sim.fw[it.to];
	if (f->stalled_until != NEVER && sim_chance(80)) { /* in its receive buffer */
		it.at = sim.now + S;
		put(it);
		return;
	}
	sim_mix((uint64_t)it.from << 8 | (unsigned)it.to);
	if (fw_works(f) && f->link) {
		if (f->kind == FW_LINUX)
			lin_receive(f, &sim.fw[it.from], it.wire, it.load->data, it.load->len);
		else
			pf_receive(f, it.load->data, it.load->len);
	}
	drop(it.load);
}
