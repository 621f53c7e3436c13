/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "table.h"

#include <stdlib.h>

#include "hash.h"

enum {
	CHUNK = 4096, /* records; large enough that what malloc() adds to each does not count */
	INDEX_FIRST = 1024,
	MIDDLE_LOAD = 2, /* nodes in a bucket, on average, when there are to be more buckets */
	NAME_LOAD = 4,	 /* two flows, mostly: see name_hash() */
	MOVE = 4,
};

/* ---- hashes ---------------------------------------------------------------------------- */

/*
 * One name, or middle, is mostly hashed several times in a row, and a few of them by turns; mix is
 * where they differ.
 */
static uint32_t hash_once(struct table *t, struct hashed *lately, unsigned mix, const void *bytes,
			  size_t len)
{
	struct hashed *last = &lately[mix & (HASHES - 1)];

	if (len != last->len || memcmp(bytes, last->bytes, len) != 0) {
		memcpy(last->bytes, bytes, len);
		last->len = len;
		last->hash = (uint32_t)hash_bytes(t->key, bytes, len);
	}
	return last->hash;
}

/*
 * The two names of a flow mostly differ in the lowest bit alone: they stand in one bucket, so that
 * finding the second one loads no memory that the first one has not.
 */
static uint32_t name_hash(struct table *t, uint64_t id, uint32_t creatorid)
{
	return hash_once(t, t->name_hashed, (unsigned)(id >> 1), (uint64_t[]){id >> 1, creatorid},
			 2 * sizeof(uint64_t));
}

/* A half does not keep the hash of its name: it is rarely wanted, and there are many halves. */
static uint32_t node_hash(struct table *t, const struct index *x, struct hnode *n)
{
	const struct half *h;

	if (x == &t->middle)
		return container_of(n, struct flow, node)->hash;
	h = container_of(n, struct half, node);
	return name_hash(t, h->id, h->creatorid);
}

/* ---- index ----------------------------------------------------------------------------- */

static bool index_init(struct index *x, size_t load)
{
	*x = (struct index){.size = INDEX_FIRST, .load = load};
	x->bucket = calloc(x->size, sizeof(*x->bucket));
	return x->bucket != NULL;
}

static void index_free(struct index *x)
{
	free(x->bucket);
	free(x->old);
	*x = (struct index){0};
}

/* Where a hash is filed now: a bucket of the old array as long as that was not emptied. */
static struct hnode **index_slot(const struct index *x, uint32_t hash)
{
	if (x->old && (hash & (x->old_size - 1)) >= x->moved)
		return &x->old[hash & (x->old_size - 1)];
	return &x->bucket[hash & (x->size - 1)];
}

/* The old buckets that come next but one, and the chains of those that come next. */
static void index_move_ahead(const struct index *x)
{
	for (size_t i = x->moved; i < x->moved + MOVE && i + 2 * MOVE < x->old_size; i++) {
		__builtin_prefetch(x->old[i + 2 * MOVE], 1);
		for (struct hnode *n = x->old[i + MOVE]; n; n = n->next)
			__builtin_prefetch(n->next, 1);
	}
}

static void index_move(struct table *t, struct index *x)
{
	if (x->old)
		index_move_ahead(x);
	for (int i = 0; x->old && i < MOVE; i++) {
		struct hnode *n = x->old[x->moved];

		x->old[x->moved++] = NULL;
		while (n) {
			struct hnode *next = n->next;
			struct hnode **to = &x->bucket[node_hash(t, x, n) & (x->size - 1)];

			n->next = *to;
			*to = n;
			n = next;
		}
		if (x->moved == x->old_size) {
			free(x->old);
			x->old = NULL;
		}
	}
}

static void index_add(struct table *t, struct index *x, struct hnode *n, uint32_t hash)
{
	struct hnode **to;

	if (x->count >= x->load * x->size && !x->old) {
		/* without memory for more buckets the chains grow longer, that is all */
		struct hnode **bigger = calloc(x->size * 2, sizeof(*bigger));

		if (bigger) {
			x->old = x->bucket;
			x->old_size = x->size;
			x->moved = 0;
			x->bucket = bigger;
			x->size *= 2;
		}
	}
	index_move(t, x);
	to = index_slot(x, hash);
	n->next = *to;
	*to = n;
	x->count++;
}

static void index_remove(struct index *x, struct hnode *n, uint32_t hash)
{
	struct hnode **at = index_slot(x, hash);

	while (*at && *at != n)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = n->next;
	n->next = NULL;
	x->count--;
}

/* ---- records --------------------------------------------------------------------------- */

static size_t ends_len(int family)
{
	return 4 * (family_len(family) + 2);
}

static struct flow *slab_at(const struct slab *s, size_t i)
{
	return (struct flow *)(void *)(s->chunk[i / CHUNK] + i % CHUNK * s->record);
}

static struct flow *slab_take(struct slab *s)
{
	struct hnode *n = s->free;

	if (n) {
		s->free = n->next;
		return container_of(n, struct flow, node);
	}
	if (s->used == s->chunks * CHUNK) {
		uint8_t **chunk = realloc(s->chunk, (s->chunks + 1) * sizeof(*chunk));

		if (!chunk)
			return NULL;
		s->chunk = chunk;
		s->chunk[s->chunks] = calloc(CHUNK, s->record);
		if (!s->chunk[s->chunks])
			return NULL;
		s->chunks++;
	}
	return slab_at(s, s->used++);
}

static void slab_free(struct slab *s)
{
	for (size_t i = 0; i < s->chunks; i++)
		free(s->chunk[i]);
	free(s->chunk);
}

bool table_init(struct table *t, const uint8_t key[16])
{
	*t = (struct table){0};
	memcpy(t->key, key, sizeof(t->key));
	for (int i = 0; i < 2; i++)
		t->slab[i].record = (sizeof(struct flow) + ends_len(i ? 6 : 4) + 7) & ~(size_t)7;
	if (index_init(&t->middle, MIDDLE_LOAD) && index_init(&t->name, NAME_LOAD))
		return true;
	table_free(t);
	return false;
}

static void extra_free(struct flow *f)
{
	if (!f->extra)
		return;
	free(f->extra->raw[0]);
	free(f->extra->raw[1]);
	free(f->extra);
	f->extra = NULL;
}

void table_free(struct table *t)
{
	uint64_t cursor = 0;
	struct flow *f;

	while ((f = table_walk(t, &cursor)))
		extra_free(f);
	for (int i = 0; i < 2; i++)
		slab_free(&t->slab[i]);
	index_free(&t->middle);
	index_free(&t->name);
	actions_free(&t->actions);
	*t = (struct table){0};
}

static uint8_t *put_end(uint8_t *p, size_t len, const struct endpoint *e)
{
	memcpy(p, e->addr, len);
	p[len] = (uint8_t)(e->port >> 8);
	p[len + 1] = (uint8_t)e->port;
	return p + len + 2;
}

void flow_set_tuples(struct flow *f, const struct tuples *t)
{
	uint8_t *p = f->ends;

	for (int i = ORIG_SRC; i <= REPLY_DST; i++)
		p = put_end(p, family_len(f->family), &t->end[i]);
}

void flow_tuples(const struct flow *f, struct tuples *t)
{
	size_t len = family_len(f->family);
	const uint8_t *p = f->ends;

	memset(t, 0, sizeof(*t));
	t->family = f->family;
	t->proto = f->proto;
	t->icmp_type = f->icmp_type;
	for (int i = ORIG_SRC; i <= REPLY_DST; i++, p += len + 2) {
		memcpy(t->end[i].addr, p, len);
		t->end[i].port = (uint16_t)(p[len] << 8 | p[len + 1]);
	}
}

static uint32_t middle_hash(struct table *t, const struct tuples *tuples)
{
	size_t len = family_len(tuples->family);
	uint8_t bytes[HASHED_MAX], *p = bytes;

	*p++ = tuples->family;
	*p++ = tuples->proto;
	p = put_end(p, len, &tuples->end[ORIG_SRC]);
	p = put_end(p, len, &tuples->end[REPLY_SRC]);
	return hash_once(t, t->middle_hashed,
			 tuples->end[ORIG_SRC].port ^ tuples->end[ORIG_SRC].addr[len - 1], bytes,
			 (size_t)(p - bytes));
}

static bool same_middle(const struct flow *f, const struct tuples *t)
{
	size_t len = family_len(t->family), step = len + 2;
	uint8_t bytes[2 * 18];

	if (f->family != t->family || f->proto != t->proto || f->icmp_type != t->icmp_type)
		return false;
	(void)put_end(put_end(bytes, len, &t->end[ORIG_SRC]), len, &t->end[REPLY_SRC]);
	return !memcmp(f->ends, bytes, step) &&
	       !memcmp(f->ends + REPLY_SRC * step, bytes + step, step);
}

struct flow *table_add(struct table *t, const struct tuples *tuples)
{
	struct flow *f = slab_take(&t->slab[tuples->family == 6]);

	if (!f)
		return NULL;
	memset(f, 0, sizeof(*f));
	list_init(&f->timer);
	list_init(&f->queue);
	f->half[HALF_OUT].flags = H_OUT;
	f->flags = F_USED;
	f->family = tuples->family;
	f->proto = tuples->proto;
	f->icmp_type = tuples->icmp_type;
	flow_set_tuples(f, tuples);
	f->hash = middle_hash(t, tuples);
	index_add(t, &t->middle, &f->node, f->hash);
	t->flows++;
	return f;
}

void table_unlink(struct table *t, struct flow *f)
{
	table_unname(t, f, HALF_IN);
	table_unname(t, f, HALF_OUT);
	index_remove(&t->middle, &f->node, f->hash);
	t->flows--;
}

void table_release(struct table *t, struct flow *f)
{
	struct slab *s = &t->slab[f->family == 6];

	extra_free(f);
	f->flags = 0;
	f->node.next = s->free;
	s->free = &f->node;
}

struct flow *table_next_middle(struct table *t, const struct tuples *tuples, struct flow *after)
{
	uint32_t hash = after ? after->hash : middle_hash(t, tuples);
	struct hnode *n = after ? after->node.next : *index_slot(&t->middle, hash);

	for (; n; n = n->next) {
		struct flow *f = container_of(n, struct flow, node);

		if (f->hash == hash && same_middle(f, tuples))
			return f;
	}
	return NULL;
}

bool table_is(const struct flow *f, const struct tuples *tuples)
{
	size_t len = family_len(tuples->family), step = len + 2;
	uint8_t bytes[2 * 18];

	(void)put_end(put_end(bytes, len, &tuples->end[ORIG_DST]), len, &tuples->end[REPLY_DST]);
	return !memcmp(f->ends + ORIG_DST * step, bytes, step) &&
	       !memcmp(f->ends + REPLY_DST * step, bytes + step, step);
}

struct flow *table_find(struct table *t, const struct tuples *tuples)
{
	struct flow *f = NULL;

	while ((f = table_next_middle(t, tuples, f)))
		if (table_is(f, tuples))
			return f;
	return NULL;
}

/* ---- names ----------------------------------------------------------------------------- */

static struct half *find_half(const struct table *t, uint64_t id, uint32_t creatorid, uint32_t hash)
{
	for (struct hnode *n = *index_slot(&t->name, hash); n; n = n->next) {
		struct half *h = container_of(n, struct half, node);

		if (h->id == id && h->creatorid == creatorid)
			return h;
	}
	return NULL;
}

struct half *table_find_half(struct table *t, uint64_t id, uint32_t creatorid)
{
	return find_half(t, id, creatorid, name_hash(t, id, creatorid));
}

bool table_name(struct table *t, struct flow *f, int half, uint64_t id, uint32_t creatorid)
{
	uint32_t hash = name_hash(t, id, creatorid);
	struct half *h = &f->half[half];

	if (find_half(t, id, creatorid, hash))
		return false;
	h->id = id;
	h->creatorid = creatorid;
	h->flags |= H_PRESENT;
	index_add(t, &t->name, &h->node, hash);
	return true;
}

void table_unname(struct table *t, struct flow *f, int half)
{
	struct half *h = &f->half[half];

	if (!(h->flags & H_PRESENT))
		return;
	index_remove(&t->name, &h->node, name_hash(t, h->id, h->creatorid));
	h->flags &= H_OUT;
	actions_drop(&t->actions, h->actions);
	h->actions = 0;
	h->pf = 0;
}

/* ---- looking ahead --------------------------------------------------------------------- */

static void expect(struct expected *x, struct hnode **bucket)
{
	__builtin_prefetch(bucket, 1);
	x->bucket[x->count++] = bucket;
}

void table_expect_half(struct table *t, struct expected *x, uint64_t id, uint32_t creatorid)
{
	expect(x, index_slot(&t->name, name_hash(t, id, creatorid)));
}

void table_expect_middle(struct table *t, struct expected *x, const struct tuples *tuples)
{
	expect(x, index_slot(&t->middle, middle_hash(t, tuples)));
}

/* As far as chains mostly reach. */
void table_fetch(const struct expected *x)
{
	struct hnode *at[2 * EXPECTED_MAX];

	for (size_t i = 0; i < x->count; i++) {
		at[i] = *x->bucket[i];
		__builtin_prefetch(at[i]);
	}
	for (int depth = 0; depth < 2; depth++)
		for (size_t i = 0; i < x->count; i++) {
			if (at[i])
				at[i] = at[i]->next;
			__builtin_prefetch(at[i]);
		}
}

/* ---- all records ------------------------------------------------------------------------ */

struct flow *half_flow(struct half *h)
{
	return container_of(h - half_index(h), struct flow, half[0]);
}

struct flow_extra *flow_extra(struct flow *f)
{
	if (!f->extra)
		f->extra = calloc(1, sizeof(*f->extra));
	return f->extra;
}

size_t table_records(const struct table *t)
{
	return t->slab[0].used + t->slab[1].used;
}

struct flow *table_walk(const struct table *t, uint64_t *cursor)
{
	size_t first = t->slab[0].used;

	/* IPv4 records by their number from 0 on, IPv6 ones from bit 63 on */
	for (;;) {
		bool v6 = *cursor >> 63;
		size_t i = (size_t)(*cursor & ~(1ULL << 63));
		struct flow *f;

		if (!v6 && i >= first) {
			*cursor = 1ULL << 63;
			continue;
		}
		if (v6 && i >= t->slab[1].used)
			return NULL;
		++*cursor;
		f = slab_at(&t->slab[v6], i);
		if (f->flags & F_USED && !(f->flags & F_DEAD))
			return f;
	}
}
