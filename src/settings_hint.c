/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "settings_hint.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

enum { WORD_MAX = 32, SHOWN_MAX = 64, FAR = 1000 };

/* ---- what may be meant ----------------------------------------------------------------- */

static int same(char a, char b)
{
	a = a == '_' ? '-' : (char)tolower((unsigned char)a);
	b = b == '_' ? '-' : (char)tolower((unsigned char)b);
	return a == b;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Letters to add, leave out, change or swap with their neighbour to make a out of b. */
static unsigned distance(const char *a, const char *b)
{
	unsigned d[WORD_MAX + 1][WORD_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > WORD_MAX || lb > WORD_MAX)
		return FAR;
	for (size_t i = 0; i <= la; i++)
		d[i][0] = (unsigned)i;
	for (size_t j = 0; j <= lb; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		for (size_t j = 1; j <= lb; j++) {
			d[i][j] = least(d[i - 1][j], d[i][j - 1]) + 1;
			d[i][j] = least(d[i][j], d[i - 1][j - 1] + !same(a[i - 1], b[j - 1]));
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[la][lb];
}

struct guess {
	const char *word;
	enum section_kind section;
	unsigned distance; /* only a better one is taken */
};

static void consider(struct guess *g, const char *typed, const char *word, enum section_kind where)
{
	unsigned d = distance(typed, word);

	if (d >= g->distance)
		return;
	*g = (struct guess){.word = word, .section = where, .distance = d};
}

static void consider_section(struct guess *g, const char *typed, enum section_kind where)
{
	struct keyword k;

	for (size_t n = 0; keyword_get(n, &k); n++)
		if (k.section == where)
			consider(g, typed, k.name, where);
	if (where != IN_ROOT)
		return;
	for (enum section_kind s = IN_ROOT + 1; s < SECTION_KINDS; s++)
		consider(g, typed, section_name(s), IN_ROOT);
}

/* Of three letters one may be wrong, of four two; one of what belongs elsewhere. */
static struct guess nearest(enum section_kind section, const char *typed)
{
	unsigned most = 2 + (unsigned)strlen(typed) / 4;
	struct guess g = {.distance = most < FAR ? most : FAR};

	if (g.distance > strlen(typed))
		g.distance = (unsigned)strlen(typed);
	consider_section(&g, typed, section);
	if (g.word)
		return g;
	g.distance = least(g.distance, 2);
	for (enum section_kind s = IN_ROOT; s < SECTION_KINDS; s++)
		consider_section(&g, typed, s);
	return g;
}

static void add_words(enum section_kind section, struct text *t)
{
	const char *between = " ";
	struct keyword k;

	for (size_t n = 0; keyword_get(n, &k); n++) {
		if (k.section != section)
			continue;
		text_add(t, "%s%s", between, k.name);
		between = ", ";
	}
	if (section != IN_ROOT)
		return;
	for (enum section_kind s = IN_ROOT + 1; s < SECTION_KINDS; s++)
		text_add(t, ", %s", section_name(s));
}

static void add_place(enum section_kind section, const char *in, struct text *t)
{
	if (section == IN_ROOT)
		text_add(t, "outside the sections");
	else
		text_add(t, "%s %s", in, section_name(section));
}

void hint_unknown(enum section_kind section, const char *word, struct text *t)
{
	struct guess g = nearest(section, word);

	text_add(t, "unknown %s \"%.*s\" ",
		 section == IN_ROOT	  ? "keyword or section"
		 : section == IN_TIMEOUTS ? "timeout"
					  : "keyword",
		 SHOWN_MAX, word);
	add_place(section, "in", t);
	if (g.word && g.section == section) {
		text_add(t, "; did you mean \"%s\"?", g.word);
	} else if (g.word) {
		text_add(t, "; \"%s\" belongs ", g.word);
		add_place(g.section, "into", t);
	} else if (section == IN_TIMEOUTS) {
		text_add(t, "; the names are those of pf's `set timeout`, like tcp.established");
	} else {
		text_add(t, "; there %s", section == IN_ROOT ? "are" : "you can write");
		add_words(section, t);
	}
}

/* ---- syntax ---------------------------------------------------------------------------- */

/* The word between single quotes, without what is around it. */
static void add_quoted(const char *message, struct text *t)
{
	const char *from = strchr(message, '\''), *to = strrchr(message, '\'');
	int len = from && to > from ? (int)(to - from - 1) : 0;

	text_add(t, "%.*s", len < SHOWN_MAX ? len : SHOWN_MAX, len ? from + 1 : "");
}

static bool begins(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

void hint_syntax(const char *message, struct text *t)
{
	static const struct {
		const char *message, *before, *after;
	} known[] = {
		{"missing equal sign after option '", "",
		 " needs an equal sign; write it like "
		 "KEYWORD = VALUE"},
		{"missing opening brace for section '", "an opening brace { is missing behind ",
		 "; write it like announce { ... }, and sync and interface with one name before "
		 "the brace"},
		{"missing title for section '", "the name of ",
		 " is missing; write it like sync \"pf\" { ... } or interface \"eth0\" { ... }"},
		{"found duplicate title '", "a second section called \"",
		 "\"; give it another name or join the two"},
		{"attempt to append to non-list option '", "",
		 " has one value; write = in place of +="},
		{"unexpected token ','", "unexpected \"",
		 "\"; only the members of a list in braces have commas between them"},
		{"unexpected token '", "unexpected \"",
		 "\"; here a keyword = value, a value or } is wanted"},
		{"unexpected closing brace", "a closing brace } without an opening one; remove it",
		 ""},
		{"invalid octal number '", "\"",
		 "\" stands for no character; write \\\\ for a backslash"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!begins(message, known[i].message))
			continue;
		text_add(t, "%s", known[i].before);
		add_quoted(message, t);
		text_add(t, "%s", known[i].after);
		return;
	}
	text_add(t, "%s; see pfsync-linux.conf(5)", message);
}

/* ---- files ----------------------------------------------------------------------------- */

const char *hint_file(int error)
{
	switch (error) {
	case ENOENT:
		return "no such file; name it with -c, or begin with the one that came with the "
		       "program";
	case EACCES:
		return "permission denied; be root, or let root's group read it";
	case EISDIR:
		return "this is a folder; name the file in it";
	case EFBIG:
		return "larger than 1 MiB; is this a configuration?";
	default:
		return strerror(error);
	}
}
