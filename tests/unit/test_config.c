/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration as those who write it meet it: every keyword with every kind of wrong value,
 * what is told of it, and random files that read back the same. */
#include "check.h"
#include "settings_hint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RANDOM_FILES = 400 };

/* ---- a value that is wrong for the kind of its keyword --------------------------------- */

struct wrong {
	const char *value, *about;
};

static const struct wrong wrong_number[] = {{"many", "digits"},
					    {"-1", "digits"},
					    {"1k", "digits"},
					    {"\"\"", "digits"},
					    {"1.5", "digits"},
					    {"99999999999999999999", "digits"},
					    {"99999999999", "out of range"},
					    {NULL, NULL}};
static const struct wrong wrong_time[] = {{"soon", "digits and a unit"},
					  {"20", "unit is missing"},
					  {"20 ms", "unit is missing"},
					  {"3weeks", "unknown unit"},
					  {"20MS", "unknown unit"},
					  {"-5s", "digits and a unit"},
					  {"0ms", "out of range"},
					  {"99999999d", "out of range"},
					  {"9999999999999999s", "out of range"},
					  {"1.5s", "unknown unit"},
					  {"99999999999999999999s", "no duration"},
					  {NULL, NULL}};
static const struct wrong wrong_size[] = {{"big", "digits and a unit"},
					  {"8", "unit is missing"},
					  {"8MB", "unknown unit"},
					  {"1K", "out of range"},
					  {"9999G", "out of range"},
					  {"8m", "unknown unit"},
					  {NULL, NULL}};
static const struct wrong wrong_choice[] = {
	{"whatever", "write "}, {"\"\"", "write "}, {"1", "write "}, {NULL, NULL}};
static const struct wrong wrong_prefix[] = {{"\"10.0.0.0/33\"", "prefix"},
					    {"\"2001:db8::/129\"", "prefix"},
					    {"\"10.0.0\"", "prefix"},
					    {"\"10.0.0.0/\"", "prefix"},
					    {"\"host.example.org\"", "prefix"},
					    {"{ \"10.0.0.1\", \"10.0.0.256\" }", "10.0.0.256"},

					    {"\"10.0.0.1 10.0.0.2\"", "prefix"},
					    {NULL, NULL}};
static const struct wrong wrong_address[] = {{"\"10.0.0.0/8\"", "lone"},
					     {"\"10.0.0\"", "IPv4 or IPv6 address"},
					     {"{ \"::1\", \"::g\" }", "::g"},
					     {NULL, NULL}};
static const struct wrong wrong_peer[] = {
	{"\"pf.example.org\"", "IPv4 or IPv6 address"},
	{"\"10.0.0.1/24\"", "IPv4 or IPv6 address"},
	{"\"239.1.2.3\"", "of the groups"},
	{"\"ff02::1\"", "of the groups"},
	{"\"::\"", "no address of a host"},
	{"{ \"10.0.0.1\", \"multicast\" }", "a group stands alone"},
	{"{ \"ff12::f0\", \"::1\" }", "a group stands alone"},
	{"{ \"10.0.0.1\", \"::1\" }", "both IPv6"},
	{"{ \"10.0.0.1\", \"10.0.0.1\" }", "twice"},
	{"{ \"10.0.0.1\", \"10.0.0.2\", \"10.0.0.3\" }", "two addresses at most"},
	{NULL, NULL}};
static const struct wrong wrong_hostid[] = {{"\"0x1234567890\"", "32 bits"},
					    {"\"0x\"", "32 bits"},
					    {"fw1", "32 bits"},
					    {"0", "not allowed"},
					    {"-1", "32 bits"},
					    {NULL, NULL}};
static const struct wrong wrong_path[] = {
	{"control.sock", "beginning with /"},
	{"\"\"", "beginning with /"},
	{"\"/a\\nb\"", "control characters"},
	{"/abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
	 "abcdefghijklmnopqrstuvwxyz1234",
	 "107 characters"},
	{NULL, NULL}};
static const struct wrong wrong_word[] = {
	{"\"a b\"", "letters"}, {"abcdefghijklmnopqrstuvwxyzabcdef", "31"}, {NULL, NULL}};
static const struct wrong wrong_name[] = {
	{"\"\"", "empty"},	    {"\"a b\"", "blanks"},
	{"\"e0;\"", "blanks"},	    {"abcdefghijklmnop", "15 characters"},
	{"\"..\"", "no interface"}, {NULL, NULL}};
static const struct wrong wrong_mark[] = {{"1", "VALUE/MASK"},
					  {"\"2/1\"", "bits"},
					  {"\"0x1ffffffff/0\"", "VALUE/MASK"},
					  {"\"/1\"", "VALUE/MASK"},
					  {NULL, NULL}};
static const struct wrong wrong_masks[] = {{"0xff", "0xff00/0x00ff"},
					   {"\"0xff/0\"", "row of bits"},
					   {"\"0xff00/0x5\"", "row of bits"},
					   {"\"0xf0/0xff\"", "in common"},
					   {NULL, NULL}};
static const struct wrong wrong_yes_no[] = {
	{"maybe", "yes or no"}, {"1", "yes or no"}, {"\"\"", "yes or no"}, {NULL, NULL}};

static const struct wrong *wrong_of(enum value_kind kind)
{
	switch (kind) {
	case AS_HOSTID:
		return wrong_hostid;
	case AS_PATH:
		return wrong_path;
	case AS_WORD:
		return wrong_word;
	case AS_IFNAME:
	case AS_PF_NAME:
		return wrong_name;
	case AS_PEER:
		return wrong_peer;
	case AS_DIALECT:
	case AS_CHOICE:
		return wrong_choice;
	case AS_YES_NO:
		return wrong_yes_no;
	case AS_NUMBER:
		return wrong_number;
	case AS_MS:
	case AS_SECONDS:
		return wrong_time;
	case AS_SIZE:
		return wrong_size;
	case AS_MARK:
		return wrong_mark;
	case AS_MASKS:
		return wrong_masks;
	case AS_PREFIXES:
		return wrong_prefix;
	case AS_ADDRESSES:
		return wrong_address;
	}
	return NULL;
}

/* ---- what is told ---------------------------------------------------------------------- */

static void add_open(enum section_kind s, const char *title, struct text *t)
{
	if (s != IN_ROOT)
		text_add(t, "%s%s%s {\n", section_name(s), section_has_title(s) ? " " : "",
			 section_has_title(s) ? title : "");
	if (s == IN_SYNC)
		text_add(t, "interface = e1\n");
}

/* The keyword on its own line: the 4th in a sync section, the 3rd in others, else the 2nd. */
static int line_of(const struct keyword *k)
{
	return k->section == IN_ROOT ? 2 : k->section == IN_SYNC && k->kind != AS_IFNAME ? 4 : 3;
}

static void write_keyword(const struct keyword *k, const char *rest, struct text *t)
{
	text_add(t, "sync first { interface = e9 }\n");
	if (k->kind == AS_IFNAME)
		text_add(t, "sync second {\n");
	else
		add_open(k->section, "e0", t);
	text_add(t, "%s%s\n%s\n", k->name, rest, k->section == IN_ROOT ? "" : "}");
}

/* One line FILE:LINE: ..., with the words that it has to have. */
static bool told(const char *text, int line, const char *keyword, const char *about)
{
	char error[SETTINGS_ERROR_MAX], place[16];
	struct settings *s;
	int status = settings_parse(&s, text, strlen(text), "f", error, sizeof(error));
	bool good;

	(void)snprintf(place, sizeof(place), "f:%d: ", line);
	good = status == -EINVAL && !s && !strncmp(error, place, strlen(place)) &&
	       strstr(error, keyword) && strstr(error, about) && strlen(error) < 300 &&
	       strcspn(error, "\r\n\t") == strlen(error);
	settings_free(s);
	if (!CHECK(good))
		printf("\n%s  wanted %s...%s...%s\n  got    %s\n", text, place, keyword, about,
		       error);
	return good;
}

static bool keyword_told(const struct keyword *k, const char *rest, const char *about)
{
	struct text t = {0};
	bool good;

	write_keyword(k, rest, &t);
	good = told(t.s, line_of(k), k->name, about);
	text_free(&t);
	return good;
}

/* Each keyword of the grammar, so that a new one is here by itself. */
static void every_keyword(void)
{
	struct keyword k;

	for (size_t n = 0; keyword_get(n, &k); n++) {
		const struct wrong *w = wrong_of(k.kind);

		for (; w && w->value; w++) {
			char rest[256];

			if (!k.min && (!strcmp(w->value, "0ms") || !strcmp(w->value, "\"\"")))
				continue;
			(void)snprintf(rest, sizeof(rest), " = %s", w->value);
			(void)keyword_told(&k, rest, w->about);
		}
		(void)keyword_told(&k, " 3", "equal sign");
		(void)keyword_told(&k, " { }", "equal sign");
		if (!keyword_takes_list(&k)) {
			struct text t = {0};

			(void)keyword_told(&k, " += 3", "write = in place of +=");
			write_keyword(&k, " = { 3 }", &t);
			(void)told(t.s, line_of(&k), "", "unexpected \"{\"");
			text_free(&t);
		}
		(void)keyword_told(&k, "x = 3", "did you mean"); /* misspelt */
	}
}

static void words(void)
{
	static const struct {
		const char *text;
		int line;
		const char *about;
	} cases[] = {
		{"conntrak { }", 1, "did you mean \"conntrack\"?"},
		{"Hostid = 3", 1, "did you mean \"hostid\"?"},
		{"sync a { intrface = e0 }", 1, "did you mean \"interface\"?"},
		{"sync a { interface = e0 bulk_rate = 5 }", 1, "did you mean \"bulk-rate\"?"},
		{"sync a { interface = e0\nlfush = 5 }", 2, "did you mean \"flush\"?"},
		{"flush = 5", 1, "\"flush\" belongs into sync"},
		{"import { hostid = 5 }", 1, "\"hostid\" belongs outside the sections"},
		{"conntrack { max-state = 5 }", 1, "\"max-states\" belongs into import"},
		{"conntrack { colour = 5 }", 1,
		 "write commit, tcp, zone, mark, interface-mark, receive-buffer"},
		{"colour = 5", 1, "there are hostid, control, sync, interface"},
		{"timeouts { tcp.establised = 1h }", 1, "did you mean \"tcp.established\"?"},
		{"timeouts { adaptive = 1h }", 1, "pf's `set timeout`"},
		{"include(\"other.conf\")", 1, "unknown keyword or section \"include\""},
		{"sync { interface = e0 }", 1, "sync \"pf\" { ... }"},
		{"sync a b { }", 1, "opening brace"},
		{"sync a { interface = e0, flush = 5ms }", 1, "only the members of a list"},
		{"sync a { interface = e0; }", 1, "e0;"},
		{"announce { vip = { ::1 ::2 } }", 1, "unexpected \"::2\""},
		{"hostid = ", 1, "hostid has no value"},
		{"hostid = \"\\777\"", 1, "stands for no character"},
		{"hostid = 1\n}", 2, "remove it"},
		{"sync a { interface = e0", 1, "closing brace"},
		{"sync a { interface = \"e0 }", 1, "quote"},
		{"/* sync a { interface = e0 }\n", 1, "comment"},
		{"hostid = 1\n", 1, "no sync section"},
		{"sync a { interface = e0 }\nsync b { interface = e0 }", 2,
		 "uses interface \"e0\""},
		{"sync a { interface = e0 }\nsync a { interface = e1 }", 2,
		 "second section called"},
		{"announce { }\nannounce { }", 2, "second section announce"},
		{"interface e0 { pf-name = a }\ninterface e0 { pf-name = b }", 2, "second section"},
		{"sync a { }", 1, "interface = \"NAME\" is missing"},
		{"hostid = 1\nhostid = 1", 2, "second time"},
		{"hostid = 1\nhostid = \x1b[2J", 2, "byte 0x1b"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		(void)told(cases[i].text, cases[i].line, "", cases[i].about);
}

/* Very long words leave room for the remedy. */
static void long_words(void)
{
	size_t len = 200000;
	char *word = malloc(len + 64), *end;

	if (!CHECK(word))
		return;
	memset(word, 'a', len);
	end = word + len;
	memcpy(end, " = 1", 5);
	(void)told(word, 1, "", "there are hostid");
	memcpy(end, "\n", 2);
	memcpy(word, "hostid = ", 9);
	(void)told(word, 1, "hostid = \"aaaa", "32 bits");
	memcpy(end, " { interface = e0 }", 20);
	memcpy(word, "sync aaa ", 5);
	memset(word + 5, 'a', 4);
	(void)told(word, 1, "", "1 to 31 characters");
	free(word);
}

/* ---- files ----------------------------------------------------------------------------- */

static void check_file(const char *name, int status, const char *about)
{
	char error[SETTINGS_ERROR_MAX];
	struct settings *s;

	CHECK_EQ(settings_read(&s, name, error, sizeof(error)), status);
	if (!CHECK(!strncmp(error, name, strlen(name)) && strstr(error, about) && !s))
		printf("  %s\n", error);
	settings_free(s);
}

static void files(void)
{
	char folder[] = "/tmp/test-config-XXXXXX", name[64];
	FILE *f;

	if (!CHECK(mkdtemp(folder)))
		return;
	(void)snprintf(name, sizeof(name), "%s/conf", folder);
	check_file(name, -ENOENT, "no such file");
	check_file(folder, -EISDIR, "this is a folder");
	f = fopen(name, "w");
	if (!CHECK(f))
		return;
	check_file(name, -EINVAL, "1: no sync section");
	(void)fwrite("sync a {\n\0", 1, 10, f);
	(void)fflush(f);
	check_file(name, -EINVAL, "2: byte 0x00");
	for (int i = 0; i < 300000; i++)
		(void)fputs("#####", f);
	(void)fclose(f);
	check_file(name, -EFBIG, "is this a configuration?");
	(void)chmod(name, 0);
	if (geteuid()) /* root reads it all the same */
		check_file(name, -EACCES, "permission denied");
	CHECK_STR(hint_file(EACCES), "permission denied; be root, or let root's group read it");
	(void)unlink(name);
	(void)rmdir(folder);
}

/* What editors on other systems make of a file. */
static void foreign_files(void)
{
	static const char text[] =
		"\xef\xbb\xbfsync a {\r\n interface = e0\r\n # \xc3\xbc\r\n}\r\n";
	char error[SETTINGS_ERROR_MAX];
	struct settings *s;

	CHECK_EQ(settings_parse(&s, text, strlen(text), "f", error, sizeof(error)), 0);
	CHECK_STR(error, "");
	CHECK_STR(s ? s->sync[0].interface : "", "e0");
	settings_free(s);
}

/* ---- one file for both nodes ----------------------------------------------------------- */

static void pick_peer(void)
{
	static const char text[] =
		"sync a { interface = e0 peer = { \"10.0.0.1\", \"10.0.0.2\" } }";
	static const char lone[] = "sync a { interface = e0 peer = \"10.0.0.1\" }";
	const struct address one = {4, {10, 0, 0, 1}}, two = {4, {10, 0, 0, 2}};
	const struct address both[] = {one, two}, other = {4, {10, 0, 0, 9}};
	char error[SETTINGS_ERROR_MAX];
	struct settings *s, *same;

	if (!CHECK(!settings_parse(&s, text, strlen(text), "f", error, sizeof(error))) ||
	    !CHECK(!settings_parse(&same, text, strlen(text), "f", error, sizeof(error))))
		return;
	CHECK(!s->sync[0].multicast);
	for (int i = 0; i < 4; i++) { /* each node in turn, in any order */
		const struct address *own = &both[i % 3 == 0];

		CHECK(settings_pick_peer(&s->sync[0], own, 1));
		CHECK_MEM(&s->sync[0].self, own, sizeof(*own));
		CHECK(settings_same_peers(&s->sync[0], &same->sync[0]));
	}
	CHECK(!settings_pick_peer(&s->sync[0], &other, 1));
	CHECK(!settings_pick_peer(&s->sync[0], both, 2));
	settings_free(s);
	if (!CHECK(!settings_parse(&s, lone, strlen(lone), "f", error, sizeof(error))))
		return;
	CHECK(settings_pick_peer(&s->sync[0], &two, 1));
	CHECK(!settings_pick_peer(&s->sync[0], &one, 1));
	CHECK(!settings_same_peers(&s->sync[0], &same->sync[0]));
	settings_free(s);
	settings_free(same);
}

/* ---- random files ---------------------------------------------------------------------- */

static void random_address(int family, struct text *t)
{
	if (family == 4)
		text_add(t, "%d.%d.%d.%d", 1 + (int)check_below(222), (int)check_below(256),
			 (int)check_below(256), (int)check_below(256));
	else
		text_add(t, "2001:db8:%x::%x", (unsigned)check_below(65536),
			 (unsigned)check_below(65536));
}

static void random_list(bool prefixes, struct text *t)
{
	text_add(t, "{ ");
	for (uint64_t n = check_below(5), i = 0; i < n; i++) {
		int family = check_below(2) ? 4 : 6;

		text_add(t, "%s\"", i ? ", " : "");
		random_address(family, t);
		if (prefixes && check_below(2))
			text_add(t, "/%d", (int)check_below(family == 4 ? 33 : 129));
		text_add(t, "\"");
	}
	text_add(t, " }");
}

static void random_name(const char *prefix, struct text *t)
{
	text_add(t, "\"%s%d\"", prefix, (int)check_below(100000));
}

static void random_peer(struct text *t)
{
	int family = check_below(2) ? 4 : 6;

	switch (check_below(4)) {
	case 0:
		text_add(t, "multicast");
		return;
	case 1:
		text_add(t, "\"ff12::f0\"");
		return;
	case 2:
		text_add(t, "\"");
		random_address(family, t);
		text_add(t, "\"");
		return;
	default:
		text_add(t, "{ \"10.1.2.%d\", \"10.1.3.%d\" }", (int)check_below(256),
			 (int)check_below(256));
	}
}

static void random_value(const struct keyword *k, struct text *t)
{
	uint64_t n = k->max > k->min ? k->min + check_below(k->max - k->min + 1) : k->min;
	uint32_t mask = (uint32_t)check_random();
	size_t words = 0;

	switch (k->kind) {
	case AS_HOSTID:
		text_add(t, check_below(4) ? "%u" : "auto", 1 + (unsigned)check_below(UINT32_MAX));
		break;
	case AS_PATH:
		random_name("/run/a b/", t);
		break;
	case AS_WORD:
	case AS_PF_NAME:
		random_name("g.-_", t);
		break;
	case AS_IFNAME: /* another one in each section: written there */
		break;
	case AS_PEER:
		random_peer(t);
		break;
	case AS_DIALECT:
		text_add(t, "\"%s\"",
			 dialect_get((enum dialect_id)check_below(DIALECT_COUNT))->name);
		break;
	case AS_CHOICE:
		while (k->words[words])
			words++;
		text_add(t, "%s", k->words[check_below(words)]);
		break;
	case AS_YES_NO:
		text_add(t, "%s", check_below(2) ? "yes" : "no");
		break;
	case AS_NUMBER:
		text_add(t, "%llu", (unsigned long long)n);
		break;
	case AS_MS:
		text_add(t, "%llums", (unsigned long long)n);
		break;
	case AS_SECONDS:
		text_add(t, "%llus", (unsigned long long)n);
		break;
	case AS_SIZE:
		text_add(t, "%lluK", (unsigned long long)n >> 10);
		break;
	case AS_MASKS: /* comes with marks of interfaces: see test_settings */
		text_add(t, "\"0/0\"");
		break;
	case AS_MARK:
		text_add(t, "\"0x%x/%u\"", (uint32_t)check_random() & mask, mask);
		break;
	case AS_PREFIXES:
	case AS_ADDRESSES:
		random_list(k->kind == AS_PREFIXES, t);
		break;
	}
}

static void random_section(enum section_kind s, int number, struct text *t)
{
	struct keyword k;

	if (s != IN_ROOT)
		text_add(t, "%s", section_name(s));
	if (section_has_title(s))
		text_add(t, " n%d", number);
	text_add(t, s == IN_ROOT ? "" : " {\n");
	if (s == IN_SYNC)
		text_add(t, "interface = e%d ", number);
	for (size_t n = 0; keyword_get(n, &k); n++) {
		if (k.section != s || k.kind == AS_IFNAME ||
		    (s == IN_INTERFACE && k.kind == AS_NUMBER) ||
		    (k.kind != AS_PF_NAME && check_below(3)) ||
		    (!strcmp(k.name, "mode") && number % 2) || /* not each goes with defer */
		    (!strcmp(k.name, "defer") && !(number % 2)))
			continue;
		text_add(t, "%s = ", k.name);
		random_value(&k, t);
		text_add(t, check_below(2) ? "\n" : " # why\n");
	}
	text_add(t, s == IN_ROOT ? "" : "}\n");
}

static void random_files(void)
{
	for (int i = 0; i < RANDOM_FILES; i++) {
		struct text text = {0}, first = {0}, second = {0};
		struct settings *a, *b = NULL;
		char error[SETTINGS_ERROR_MAX];
		bool good;

		for (enum section_kind s = IN_ROOT; s < SECTION_KINDS; s++) {
			uint64_t n = section_has_title(s) ? check_below(4) + (s == IN_SYNC)
				     : s == IN_ROOT	  ? 1
							  : check_below(2);

			for (uint64_t j = 0; j < n; j++)
				random_section(s, (int)j, &text);
		}
		good = CHECK(!settings_parse(&a, text.s, text.len, "f", error, sizeof(error)));
		if (good) {
			settings_print(a, &first);
			good = CHECK(!settings_parse(&b, first.s, first.len, "printed", error,
						     sizeof(error)));
		}
		if (good) {
			settings_print(b, &second);
			good = CHECK_STR(first.s, second.s) && CHECK_EQ(a->syncs, b->syncs) &&
			       CHECK_MEM(&a->timeouts, &b->timeouts, sizeof(a->timeouts)) &&
			       CHECK_EQ(a->hostid, b->hostid) && CHECK_EQ(a->mark, b->mark);
		}
		if (!good)
			printf("%s\n%s\n", text.s, error);
		settings_free(a);
		settings_free(b);
		text_free(&text);
		text_free(&first);
		text_free(&second);
		if (!good)
			return;
	}
}

int main(void)
{
	static const struct check_test tests[] = {
		{"every keyword with every kind of wrong value", every_keyword},
		{"what is told of wrong words and syntax", words},
		{"long words", long_words},
		{"files that cannot be read", files},
		{"files of other systems", foreign_files},
		{"which of two peers is the other one", pick_peer},
		{"random files read back the same", random_files},
	};

	return check_main("config", tests, sizeof(tests) / sizeof(tests[0]));
}
