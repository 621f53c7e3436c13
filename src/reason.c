/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reason.h"

static const char *const words[] = {
#define X(name, word, text) [R_##name] = word,
	REASONS(X)
#undef X
};

static const char *const texts[] = {
#define X(name, word, text) [R_##name] = text,
	REASONS(X)
#undef X
};

const char *reason_word(enum reason r)
{
	return (unsigned)r < R_COUNT ? words[r] : "unknown";
}

const char *reason_text(enum reason r)
{
	return (unsigned)r < R_COUNT ? texts[r] : "unknown reason";
}
