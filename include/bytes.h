/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounded cursors over packet bytes. The only place in the project that moves a pointer over
 * memory that came from, or goes to, the wire: a reader cannot be advanced past its end and a
 * writer cannot be filled past its end. All integers are big-endian on the wire.
 *
 * A failing access leaves the cursor where it is, marks it (failed, full) and yields zero, so a
 * caller may read a whole record and ask once at its end.
 */
#ifndef PFSYNC_BYTES_H
#define PFSYNC_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct reader {
	const uint8_t *at;
	const uint8_t *end;
	bool failed; /* something was asked for that is not there */
};

struct writer {
	uint8_t *base;
	uint8_t *at;
	uint8_t *end;
	bool full; /* something was written that has no room */
};

static inline struct reader reader_of(const void *data, size_t len)
{
	const uint8_t *p = data;

	return (struct reader){.at = p, .end = p + len};
}

static inline size_t reader_left(const struct reader *r)
{
	return (size_t)(r->end - r->at);
}

/* The next n bytes, or NULL (and failed) if there are fewer. */
static inline const uint8_t *reader_bytes(struct reader *r, size_t n)
{
	const uint8_t *p = r->at;

	if (reader_left(r) < n) {
		r->failed = true;
		return NULL;
	}
	r->at += n;
	return p;
}

static inline void reader_skip(struct reader *r, size_t n)
{
	(void)reader_bytes(r, n);
}

/* A reader of the next n bytes alone; empty and failed if there are fewer. */
static inline struct reader reader_sub(struct reader *r, size_t n)
{
	const uint8_t *p = reader_bytes(r, n);

	return (struct reader){.at = p, .end = p ? p + n : NULL, .failed = !p};
}

static inline void reader_copy(struct reader *r, void *to, size_t n)
{
	const uint8_t *p = reader_bytes(r, n);

	if (p)
		memcpy(to, p, n);
	else
		memset(to, 0, n);
}

/* Written out, for compilers make one load, or store, of them. */
static inline uint16_t be16_of(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t be32_of(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void be32_put(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static inline uint8_t reader_u8(struct reader *r)
{
	const uint8_t *p = reader_bytes(r, 1);

	return p ? *p : 0;
}

static inline uint16_t reader_u16(struct reader *r)
{
	const uint8_t *p = reader_bytes(r, 2);

	return p ? be16_of(p) : 0;
}

static inline uint32_t reader_u32(struct reader *r)
{
	const uint8_t *p = reader_bytes(r, 4);

	return p ? be32_of(p) : 0;
}

static inline uint64_t reader_u64(struct reader *r)
{
	const uint8_t *p = reader_bytes(r, 8);

	return p ? (uint64_t)be32_of(p) << 32 | be32_of(p + 4) : 0;
}

static inline struct writer writer_of(void *data, size_t len)
{
	uint8_t *p = data;

	return (struct writer){.base = p, .at = p, .end = p + len};
}

static inline size_t writer_left(const struct writer *w)
{
	return (size_t)(w->end - w->at);
}

static inline size_t writer_len(const struct writer *w)
{
	return (size_t)(w->at - w->base);
}

static inline uint8_t *writer_room(struct writer *w, size_t n)
{
	uint8_t *p = w->at;

	if (writer_left(w) < n) {
		w->full = true;
		return NULL;
	}
	w->at += n;
	return p;
}

static inline void writer_bytes(struct writer *w, const void *from, size_t n)
{
	uint8_t *p = writer_room(w, n);

	if (p && n)
		memcpy(p, from, n);
}

static inline void writer_zero(struct writer *w, size_t n)
{
	uint8_t *p = writer_room(w, n);

	if (p)
		memset(p, 0, n);
}

static inline void writer_u8(struct writer *w, uint8_t v)
{
	uint8_t *p = writer_room(w, 1);

	if (p)
		*p = v;
}

static inline void writer_u16(struct writer *w, uint16_t v)
{
	uint8_t *p = writer_room(w, 2);

	if (!p)
		return;
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void writer_u32(struct writer *w, uint32_t v)
{
	uint8_t *p = writer_room(w, 4);

	if (p)
		be32_put(p, v);
}

static inline void writer_u64(struct writer *w, uint64_t v)
{
	uint8_t *p = writer_room(w, 8);

	if (!p)
		return;
	be32_put(p, (uint32_t)(v >> 32));
	be32_put(p + 4, (uint32_t)v);
}

#endif
