/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A growing text buffer for whatever is printed: packets, flows, configuration. */
#ifndef PFSYNC_TEXT_H
#define PFSYNC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *s;    /* NUL-terminated once anything was added, else NULL */
	size_t len; /* without the NUL */
	size_t size;
	bool failed; /* out of memory: what was added since is lost */
};

void text_add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_bytes(struct text *t, const char *bytes, size_t len);

/* A JSON string with its quotes. Bytes are taken as Latin-1, so any bytes make valid JSON. */
void text_add_json(struct text *t, const char *bytes, size_t len);

/* len bytes as lower-case hexadecimal digits, in their order. */
void text_add_hex(struct text *t, const uint8_t *bytes, size_t len);

/* An address of family 4 or 6, as inet_ntop writes it. */
void text_add_address(struct text *t, int family, const uint8_t *addr);

/* Empties the buffer but keeps its memory. */
void text_clear(struct text *t);
void text_free(struct text *t);

#endif
