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

static inline uint64_t reader_be(struct reader *r, size_t n)
{
	const uint8_t *p = reader_bytes(r, n);
	uint64_t v = 0;

	for (size_t i = 0; p && i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static inline uint8_t reader_u8(struct reader *r)
{
	return (uint8_t)reader_be(r, 1);
}

static inline uint16_t reader_u16(struct reader *r)
{
	return (uint16_t)reader_be(r, 2);
}

static inline uint32_t reader_u32(struct reader *r)
{
	return (uint32_t)reader_be(r, 4);
}

static inline uint64_t reader_u64(struct reader *r)
{
	return reader_be(r, 8);
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

static inline void writer_be(struct writer *w, uint64_t v, size_t n)
{
	uint8_t *p = writer_room(w, n);

	for (size_t i = 0; p && i < n; i++)
		p[i] = (uint8_t)(v >> 8 * (n - 1 - i));
}

static inline void writer_u8(struct writer *w, uint8_t v)
{
	writer_be(w, v, 1);
}

static inline void writer_u16(struct writer *w, uint16_t v)
{
	writer_be(w, v, 2);
}

static inline void writer_u32(struct writer *w, uint32_t v)
{
	writer_be(w, v, 4);
}

static inline void writer_u64(struct writer *w, uint64_t v)
{
	writer_be(w, v, 8);
}

#endif
