/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "text.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for more bytes and a NUL; false when memory is out. */
static bool text_grow(struct text *t, size_t more)
{
	size_t size = t->size ? t->size : 256;
	char *s;

	if (t->failed)
		return false;
	if (t->len + more + 1 <= t->size)
		return true;
	while (size < t->len + more + 1)
		size *= 2;
	s = realloc(t->s, size);
	if (!s) {
		t->failed = true;
		return false;
	}
	t->s = s;
	t->size = size;
	return true;
}

void text_add(struct text *t, const char *format, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, format);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, format, ap);
	if (n >= 0 && text_grow(t, (size_t)n)) {
		(void)vsnprintf(t->s + t->len, (size_t)n + 1, format, again);
		t->len += (size_t)n;
	}
	va_end(again);
	va_end(ap);
}

void text_add_bytes(struct text *t, const char *bytes, size_t len)
{
	if (!text_grow(t, len))
		return;
	memcpy(t->s + t->len, bytes, len);
	t->len += len;
	t->s[t->len] = '\0';
}

void text_add_json(struct text *t, const char *bytes, size_t len)
{
	text_add_bytes(t, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c == '"' || c == '\\')
			text_add(t, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			text_add(t, "\\u%04x", c);
		else
			text_add_bytes(t, &bytes[i], 1);
	}
	text_add_bytes(t, "\"", 1);
}

void text_add_hex(struct text *t, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		text_add(t, "%02x", bytes[i]);
}

void text_add_address(struct text *t, int family, const uint8_t *addr)
{
	char s[INET6_ADDRSTRLEN] = "?";

	(void)inet_ntop(family == 6 ? AF_INET6 : AF_INET, addr, s, sizeof(s));
	text_add(t, "%s", s);
}

void text_clear(struct text *t)
{
	t->len = 0;
	t->failed = false;
	if (t->s)
		t->s[0] = '\0';
}

void text_free(struct text *t)
{
	free(t->s);
	*t = (struct text){0};
}
