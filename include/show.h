/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text and JSON of any pfsync packet, also of damaged ones. */
#ifndef PFSYNC_SHOW_H
#define PFSYNC_SHOW_H

#include "packet.h"
#include "text.h"

/* What is known of a packet beside its payload. */
struct show_meta {
	uint64_t sec;
	uint32_t usec;
	int family; /* 4 or 6; 0: there was no IP header */
	uint8_t src[16], dst[16];
	uint8_t ttl;
};

/* One line; with verbose, every field of every message on lines of their own. */
void show_text(struct text *t, const struct show_meta *m, const void *data, size_t len,
	       bool verbose);

/* One JSON object without a newline, as the interface of pfsyncdump -j has it. */
void show_json(struct text *t, const struct show_meta *m, const void *data, size_t len);

/* Length of a name in a field of size bytes that may lack its NUL. */
static inline size_t show_name_len(const char *s, size_t size)
{
	const char *end = memchr(s, '\0', size);

	return end ? (size_t)(end - s) : size;
}

/* 4 or 6: how the addresses of a key are printed; a family nobody knows shows all 16 bytes. */
int show_key_family(const struct pf_state *s, enum pf_layout layout, int which);

/* A state key pair like pfctl -ss: "tcp 192.0.2.10:40000 -> 198.51.100.10:443"; for logs and -v. */
void show_state_keys(struct text *t, const struct pf_state *s, enum pf_layout layout);

#endif
