/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any text as a configuration: it is read or refused with one line, and what was read prints to a
 * text that reads back to the same.
 */
#include "settings.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool held)
{
	if (!held)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text first = {0}, second = {0};
	struct settings *s, *again;
	char error[SETTINGS_ERROR_MAX];

	if (settings_parse(&s, (const char *)data, size, "f", error, sizeof(error))) {
		must(!s && !strncmp(error, "f:", 2) && !strpbrk(error, "\n\r"));
		return 0;
	}
	settings_print(s, &first);
	must(!settings_parse(&again, first.s, first.len, "f", error, sizeof(error)));
	settings_print(again, &second);
	must(first.len == second.len && !memcmp(first.s, second.s, first.len));
	settings_free(s);
	settings_free(again);
	text_free(&first);
	text_free(&second);
	return 0;
}
