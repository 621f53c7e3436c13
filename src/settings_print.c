/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The effective configuration as text that reads back to the same. */
#include "settings_keyword.h"

static void print_section(enum section_kind section, const char *title, const void *base,
			  struct text *t)
{
	struct keyword k;

	if (section != IN_ROOT)
		text_add(t, "%s", section_name(section));
	if (title)
		text_add(t, " \"%s\"", title);
	if (section != IN_ROOT)
		text_add(t, " {\n");
	for (size_t n = 0; keyword_get(n, &k); n++) {
		if (k.section != section)
			continue;
		text_add(t, "%s%s = ", section == IN_ROOT ? "" : "\t", k.name);
		keyword_print(&k, base, t);
		text_add(t, "\n");
	}
	if (section != IN_ROOT)
		text_add(t, "}\n");
}

void settings_print(const struct settings *s, struct text *t)
{
	print_section(IN_ROOT, NULL, s, t);
	print_section(IN_CONTROL, NULL, s, t);
	for (size_t i = 0; i < s->syncs; i++)
		print_section(IN_SYNC, s->sync[i].name, &s->sync[i], t);
	for (size_t i = 0; i < s->interfaces; i++)
		print_section(IN_INTERFACE, s->interface[i].name, &s->interface[i], t);
	for (enum section_kind kind = IN_ANNOUNCE; kind < SECTION_KINDS; kind++)
		print_section(kind, NULL, s, t);
}
