/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "counters.h"

static const char *const keys[] = {
#define X(name, key, text) [C_##name] = key,
	COUNTERS(X)
#undef X
};

static const char *const texts[] = {
#define X(name, key, text) [C_##name] = text,
	COUNTERS(X)
#undef X
};

const char *counter_key(enum counter c)
{
	return (unsigned)c < C_COUNT ? keys[c] : "unknown";
}

const char *counter_text(enum counter c)
{
	return (unsigned)c < C_COUNT ? texts[c] : "unknown counter";
}
