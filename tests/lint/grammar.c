/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What docs.sh compares the documentation with. Without arguments every keyword, a line each:
 * section, keyword and range, between bars; the range is empty where it can only be described.
 * With a file: what the configuration in it means, as `pfsyncctl config` prints it; status 1 and
 * the error if it is wrong.
 */
#include "settings_keyword.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* From the message that a value far out of range gets. */
static void print_bounds(const struct keyword *k, const char *far)
{
	static const char before[] = "it goes from ";
	struct settings *scratch = calloc(1, sizeof(*scratch));
	struct text why = {0};
	const char *range;

	if (!scratch)
		exit(EXIT_FAILURE);
	(void)keyword_read(k, far, scratch, &why);
	range = why.s ? strstr(why.s, before) : NULL;
	if (range)
		fputs(range + strlen(before), stdout);
	text_free(&why);
	free(scratch);
}

static void print_range(const struct keyword *k)
{
	switch (k->kind) {
	case AS_NUMBER:
		print_bounds(k, "99999999999");
		break;
	case AS_MS:
	case AS_SECONDS:
		print_bounds(k, "99999999d");
		break;
	case AS_SIZE:
		print_bounds(k, "99999999G");
		break;
	case AS_CHOICE:
		for (size_t i = 0; k->words[i]; i++)
			printf("%s\"%s\"", i ? ", " : "", k->words[i]);
		break;
	case AS_DIALECT:
		printf("\"auto\"");
		for (int i = 0; i < DIALECT_COUNT; i++)
			printf(", \"%s\"", dialect_get((enum dialect_id)i)->name);
		break;
	default:
		break;
	}
}

static int print_file(const char *name)
{
	char error[SETTINGS_ERROR_MAX];
	struct settings *s;
	struct text t = {0};

	if (settings_read(&s, name, error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		return EXIT_FAILURE;
	}
	settings_print(s, &t);
	fputs(t.s, stdout);
	text_free(&t);
	settings_free(s);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct keyword k;

	if (argc > 1)
		return print_file(argv[1]);
	for (size_t n = 0; keyword_get(n, &k); n++) {
		printf("%s|%s|", section_name(k.section), k.name);
		print_range(&k);
		printf("\n");
	}
	return EXIT_SUCCESS;
}
