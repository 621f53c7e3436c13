/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading the configuration with libconfuse, which does the grammar. Values are checked while the
 * scanner stands on their line, in its parse callbacks, and taken over when the whole was read.
 *
 * libconfuse has no context pointer for callbacks and takes the end of the file for the end of an
 * open section. Hence two hidden options with names that no file can contain: CARRIER holds the
 * context, and SENTINEL = x is appended to the text: if it turns up elsewhere than outside all
 * sections, a brace is open; if it never does, a comment or a string is.
 */
#include "settings_hint.h"

#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CARRIER	 "\x01"
#define SENTINEL "\x02"

enum { FILE_MAX = 1 << 20, OPTIONS_MAX = 40, KEYWORDS_MAX = 64 };

struct reading {
	const char *name; /* of the file */
	char *error;
	size_t size;
	int last_line;
	bool failed;
	bool at_end; /* the sentinel was met */
	cfg_t *root;
	const cfg_t *set_in[KEYWORDS_MAX]; /* where each keyword was set last */
};

/* ---- errors ---------------------------------------------------------------------------- */

/* The first error counts; what libconfuse says after it is a consequence. */
__attribute__((format(printf, 3, 4))) static void fail_at(struct reading *r, int line,
							  const char *format, ...)
{
	va_list ap;
	int n;

	if (r->failed)
		return;
	r->failed = true;
	if (line > r->last_line)
		line = r->last_line;
	n = snprintf(r->error, r->size, "%s:%d: ", r->name, line);
	if (n < 0 || (size_t)n >= r->size)
		return;
	va_start(ap, format);
	(void)vsnprintf(r->error + n, r->size - (size_t)n, format, ap);
	va_end(ap);
	for (char *p = r->error; *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = '?';
}

static struct reading *reading_of(cfg_t *cfg)
{
	for (cfg_opt_t *o = cfg->opts; o->name; o++)
		if (!strcmp(o->name, CARRIER))
			return (void *)o->simple_value.ptr;
	return NULL;
}

static void fail_end(struct reading *r, int line)
{
	fail_at(r, line, "the file ends too early; a closing brace } or quote is missing above");
}

static enum section_kind section_of(const cfg_t *cfg)
{
	for (enum section_kind s = IN_ROOT + 1; s < SECTION_KINDS; s++)
		if (!strcmp(section_name(s), cfg->name))
			return s;
	return IN_ROOT;
}

static void fail_hint(struct reading *r, int line, struct text *why)
{
	fail_at(r, line, "%s", why->s ? why->s : "out of memory");
	text_free(why);
}

static void fail_unknown(struct reading *r, const cfg_t *cfg, const char *word)
{
	struct text why = {0};

	hint_unknown(section_of(cfg), word, &why);
	fail_hint(r, cfg->line, &why);
}

/* libconfuse's own messages, in words that say what to do. */
__attribute__((format(printf, 2, 0))) static void on_error(cfg_t *cfg, const char *format,
							   va_list ap)
{
	static const char unknown[] = "no such option '";
	struct reading *r = reading_of(cfg);
	struct text why = {0};
	char text[256];

	if (!r || r->failed)
		return;
	(void)vsnprintf(text, sizeof(text), format, ap);
	if (strstr(text, "'" SENTINEL "'") || !strcmp(text, "premature end of file")) {
		fail_end(r, cfg->line);
	} else if (!strncmp(text, unknown, strlen(unknown))) {
		text[strlen(text) - 1] = '\0';
		fail_unknown(r, cfg, text + strlen(unknown));
	} else {
		hint_syntax(text, &why);
		fail_hint(r, cfg->line, &why);
	}
}

/* ---- callbacks of libconfuse ----------------------------------------------------------- */

static size_t keyword_number(enum section_kind section, const char *name, struct keyword *k)
{
	size_t n;

	for (n = 0; keyword_get(n, k); n++)
		if (k->section == section && !strcmp(k->name, name))
			break;
	return n;
}

/* Another sync section that uses the interface already. */
static bool interface_is_used(struct reading *r, const cfg_t *self, const char *interface)
{
	unsigned count = cfg_size(r->root, section_name(IN_SYNC));

	for (unsigned i = 0; i < count; i++) {
		cfg_t *sync = cfg_getnsec(r->root, section_name(IN_SYNC), i);
		const char *other = sync == self ? NULL : cfg_getstr(sync, "interface");

		if (other && !strcmp(other, interface))
			return true;
	}
	return false;
}

/* A value is checked into a scratch struct. */
static bool value_is_good(struct reading *r, const cfg_t *cfg, cfg_opt_t *opt,
			  const struct keyword *k, const char *value)
{
	union {
		struct settings settings;
		struct settings_sync sync;
		struct settings_interface interface;
		struct prefix prefix;
	} *scratch = calloc(1, sizeof(*scratch));
	struct text why = {0};
	bool good = scratch;

	if (k->kind == AS_PEER) /* what stands before it in the list matters */
		for (unsigned i = 0; good && i + 1 < opt->nvalues; i++)
			good = keyword_read(k, cfg_opt_getnstr(opt, i), scratch, &why);
	good = good && keyword_read(k, value, scratch, &why);
	if (!good && !strcmp(value, SENTINEL))
		fail_at(r, cfg->line, "%s has no value; write it behind the equal sign", k->name);
	else if (!good)
		fail_at(r, cfg->line, "%s = \"%.64s\": %s", k->name, value,
			why.s ? why.s : "out of memory");
	text_free(&why);
	free(scratch);
	return good;
}

static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct reading *r = reading_of(cfg);
	struct keyword k;
	size_t n = keyword_number(section_of(cfg), opt->name, &k);
	bool first = !keyword_takes_list(&k) || opt->nvalues == 1;

	if (!keyword_get(n, &k)) {
		fail_unknown(r, cfg, opt->name);
		return -1;
	}
	if (!value_is_good(r, cfg, opt, &k, value))
		return -1;
	if (first && n < KEYWORDS_MAX && r->set_in[n] == cfg) {
		fail_at(r, cfg->line, "%s is set a second time; keep one of the two", k.name);
		return -1;
	}
	if (k.kind == AS_IFNAME && interface_is_used(r, cfg, value)) {
		fail_at(r, cfg->line, "another sync section uses interface \"%s\" already", value);
		return -1;
	}
	if (n < KEYWORDS_MAX)
		r->set_in[n] = cfg;
	*(const char **)result = value;
	return 0;
}

static int on_hidden(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct reading *r = reading_of(cfg);

	if (strcmp(opt->name, SENTINEL) != 0 || cfg->line <= r->last_line || cfg != r->root) {
		fail_at(r, cfg->line, "unknown keyword; see pfsync-linux.conf(5)");
		return -1;
	}
	r->at_end = true;
	*(const char **)result = value;
	return 0;
}

/* Of one sync section: what does not go together. Its values were found good before. */
static const char *sync_fault(cfg_t *section)
{
	struct settings_sync sync = {.name = ""};
	struct text why = {0};
	struct keyword k;

	if (!cfg_getstr(section, "interface"))
		return "interface = \"NAME\" is missing";
	for (size_t n = 0; keyword_get(n, &k); n++)
		if (k.section == IN_SYNC && (k.kind == AS_YES_NO || k.kind == AS_CHOICE) &&
		    cfg_getstr(section, k.name))
			(void)keyword_read(&k, cfg_getstr(section, k.name), &sync, &why);
	text_free(&why);
	if (sync.defer && sync.mode == MODE_RECEIVE_ONLY)
		return "defer = yes waits for the peers to acknowledge what they are told, and "
		       "mode = \"receive-only\" tells nothing; leave out one of the two";
	return NULL;
}

/* At the closing brace of a section. */
static int on_section(cfg_t *cfg, cfg_opt_t *opt)
{
	struct reading *r = reading_of(cfg);
	unsigned count = cfg_opt_size(opt);
	cfg_t *section = cfg_opt_getnsec(opt, count - 1);
	const char *title = cfg_title(section), *fault = NULL;

	if (!title) {
		if (count > 1)
			fail_at(r, cfg->line, "a second section %s; join the two", opt->name);
		return r->failed ? -1 : 0;
	}
	if (section_of(section) == IN_SYNC) {
		fault = name_fault(title);
		if (!fault && count > ENGINE_LINKS_MAX)
			fault = "too many sync sections; there can be 8";
		if (!fault)
			fault = sync_fault(section);
	} else {
		fault = ifname_fault(title);
		if (!fault && !cfg_getstr(section, "pf-name"))
			fault = "pf-name = \"NAME\" is missing";
	}
	if (fault)
		fail_at(r, cfg->line, "%s \"%.64s\": %s", opt->name, title, fault);
	return fault ? -1 : 0;
}

/* ---- the grammar ----------------------------------------------------------------------- */

static void add_options(cfg_opt_t *o, enum section_kind section, struct reading *r)
{
	cfg_opt_t carrier = CFG_STR(CARRIER, NULL, CFGF_NODEFAULT);
	cfg_opt_t end = CFG_END();
	struct keyword k;

	for (size_t n = 0; keyword_get(n, &k); n++) {
		cfg_opt_t value = CFG_STR_CB(k.name, NULL, CFGF_NODEFAULT, on_value);
		cfg_opt_t list = CFG_STR_LIST_CB(k.name, NULL, CFGF_NODEFAULT, on_value);

		if (k.section == section)
			*o++ = keyword_takes_list(&k) ? list : value;
	}
	carrier.simple_value.ptr = (void *)r;
	carrier.parsecb = on_hidden;
	*o++ = carrier;
	*o = end;
}

static cfg_t *grammar_new(struct reading *r)
{
	cfg_opt_t(*options)[OPTIONS_MAX] = calloc(SECTION_KINDS, sizeof(*options));
	cfg_opt_t sentinel = CFG_STR_CB(SENTINEL, NULL, CFGF_NODEFAULT, on_hidden);
	cfg_opt_t end = CFG_END(), *o;
	cfg_t *cfg;

	if (!options)
		return NULL;
	for (enum section_kind s = IN_ROOT; s < SECTION_KINDS; s++)
		add_options(options[s], s, r);
	for (o = options[IN_ROOT]; o->name; o++)
		;
	*o++ = sentinel;
	for (enum section_kind s = IN_ROOT + 1; s < SECTION_KINDS; s++) {
		cfg_flag_t title = CFGF_TITLE | CFGF_NO_TITLE_DUPES;
		cfg_opt_t section = CFG_SEC(section_name(s), options[s],
					    CFGF_MULTI | CFGF_NODEFAULT |
						    (section_has_title(s) ? title : 0));

		section.validcb = on_section;
		*o++ = section;
	}
	*o = end;
	cfg = cfg_init(options[IN_ROOT], CFGF_NONE);
	free(options);
	if (cfg)
		(void)cfg_set_error_function(cfg, on_error);
	return cfg;
}

/* ---- taking over ----------------------------------------------------------------------- */

static bool take_list(const struct keyword *k, cfg_t *from, struct prefix_list *list)
{
	unsigned count = cfg_size(from, k->name);
	struct text why = {0};

	if (!count)
		return true;
	list->prefix = calloc(count, sizeof(*list->prefix));
	if (!list->prefix)
		return false;
	for (unsigned i = 0; i < count; i++)
		if (keyword_read(k, cfg_getnstr(from, k->name, i), &list->prefix[list->count],
				 &why))
			list->count++;
	text_free(&why);
	return true;
}

static bool take_peers(const struct keyword *k, cfg_t *from, struct settings_sync *sync)
{
	unsigned count = cfg_size(from, k->name);
	struct text why = {0};
	bool done = true;

	if (count)
		sync->peer = (struct address){0};
	for (unsigned i = 0; done && i < count; i++)
		done = keyword_read(k, cfg_getnstr(from, k->name, i), sync, &why);
	text_free(&why);
	return done;
}

/* Every value was found good before. */
static bool take_section(enum section_kind section, cfg_t *from, void *base)
{
	struct text why = {0};
	struct keyword k;
	bool done = true;

	for (size_t n = 0; done && keyword_get(n, &k); n++) {
		const char *value;

		if (k.section != section)
			continue;
		if (keyword_is_list(&k)) {
			void *list = (char *)base + k.offset;

			done = take_list(&k, from, list);
			continue;
		}
		if (k.kind == AS_PEER) {
			done = take_peers(&k, from, base);
			continue;
		}
		value = cfg_getstr(from, k.name);
		if (value)
			done = keyword_read(&k, value, base, &why);
	}
	text_free(&why);
	return done;
}

static bool take_syncs(cfg_t *root, struct settings *s)
{
	s->syncs = cfg_size(root, section_name(IN_SYNC));
	for (size_t i = 0; i < s->syncs; i++) {
		cfg_t *section = cfg_getnsec(root, section_name(IN_SYNC), (unsigned)i);
		struct settings_sync *sync = &s->sync[i];

		*sync = (struct settings_sync){
			.peer = {.family = 4, .addr = {224, 0, 0, 240}},
			.multicast = true,
			.flush_ms = 20,
			.bulk_rate = 20000,
			.probe_s = 60,
		};
		(void)snprintf(sync->name, sizeof(sync->name), "%s", cfg_title(section));
		if (!take_section(IN_SYNC, section, sync))
			return false;
	}
	return true;
}

static bool take_interfaces(cfg_t *root, struct settings *s)
{
	size_t count = cfg_size(root, section_name(IN_INTERFACE));

	s->interface = calloc(count + 1, sizeof(*s->interface));
	if (!s->interface)
		return false;
	s->interfaces = count;
	for (size_t i = 0; i < count; i++) {
		cfg_t *section = cfg_getnsec(root, section_name(IN_INTERFACE), (unsigned)i);
		struct settings_interface *interface = &s->interface[i];

		(void)snprintf(interface->name, sizeof(interface->name), "%s", cfg_title(section));
		if (!take_section(IN_INTERFACE, section, interface))
			return false;
	}
	return true;
}

static struct settings *settings_new(void)
{
	struct settings *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	(void)snprintf(s->socket, sizeof(s->socket), "/run/pfsync-linux/control.sock");
	(void)snprintf(s->group, sizeof(s->group), "adm");
	s->tcp = s->udp = s->icmp = s->other = FROM_REPLIED;
	s->max_states = 1000000;
	s->receive_buffer = 8U << 20;
	timeouts_default(&s->timeouts);
	return s;
}

static bool settings_take(struct settings *s, cfg_t *root)
{
	bool done = take_section(IN_ROOT, root, s) && take_syncs(root, s) &&
		    take_interfaces(root, s);

	for (enum section_kind kind = IN_ROOT + 1; done && kind < SECTION_KINDS; kind++)
		if (!section_has_title(kind) && cfg_size(root, section_name(kind)))
			done = take_section(kind, cfg_getnsec(root, section_name(kind), 0), s);
	return done;
}

void settings_free(struct settings *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->syncs; i++)
		free(s->sync[i].accept.prefix);
	free(s->interface);
	free(s->exclude.prefix);
	free(s->vip.prefix);
	free(s->protect.prefix);
	free(s);
}

/* ---- the whole ------------------------------------------------------------------------- */

/* Lines of the text; false if it holds a byte that no text file has. */
static bool text_is_clean(struct reading *r, const char *text, size_t len)
{
	int line = 1;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\n' && i + 1 < len)
			line++;
		r->last_line = line;
		if ((c < 0x20 && !strchr("\t\n\r\f", c)) || !c || c == 0x7f) {
			fail_at(r, line, "byte 0x%02x in the file; is this a configuration?", c);
			return false;
		}
	}
	return true;
}

/* Marks of interfaces, which only show as a whole whether they are right. */
static bool marks_are_good(struct reading *r, const struct settings *s)
{
	struct text why = {0};
	const char *interface;
	cfg_t *section;

	if (!settings_marks_wrong(s, &why, &interface))
		return true;
	section = interface ? cfg_gettsec(r->root, section_name(IN_INTERFACE), interface)
			    : cfg_getnsec(r->root, section_name(IN_CONNTRACK), 0);
	if (interface && why.s)
		fail_at(r, section ? section->line : r->last_line, "interface \"%s\": %s",
			interface, why.s);
	else
		fail_at(r, section ? section->line : r->last_line, "%s",
			why.s ? why.s : "out of memory");
	text_free(&why);
	return false;
}

static int parse_text(struct reading *r, const char *text, struct settings **out)
{
	struct settings *s = NULL;
	int status;

	r->root = grammar_new(r);
	if (!r->root)
		return -ENOMEM;
	status = cfg_parse_buf(r->root, text);
	if (status != CFG_SUCCESS)
		fail_at(r, r->root->line, "this cannot be read; see pfsync-linux.conf(5)");
	else if (!r->at_end)
		fail_at(r, r->last_line, "the file ends within a comment or a string");
	else if (!cfg_size(r->root, section_name(IN_SYNC)))
		fail_at(r, r->last_line,
			"no sync section; write sync \"NAME\" { interface = \"...\" }");
	if (!r->failed) {
		s = settings_new();
		if (!s || !settings_take(s, r->root) || !marks_are_good(r, s)) {
			settings_free(s);
			s = NULL;
		}
	}
	(void)cfg_free(r->root);
	*out = s;
	return s ? 0 : r->failed ? -EINVAL : -ENOMEM;
}

int settings_parse(struct settings **out, const char *text, size_t len, const char *name,
		   char *error, size_t size)
{
	struct reading r = {.name = name, .error = error, .size = size, .last_line = 1};
	struct text whole = {0};
	int status;

	*out = NULL;
	*error = '\0';
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) { /* a mark that some editors make */
		text += 3;
		len -= 3;
	}
	if (!text_is_clean(&r, text, len))
		return -EINVAL;
	text_add_bytes(&whole, text, len);
	text_add(&whole, "\n%s = x\n", SENTINEL);
	status = whole.failed ? -ENOMEM : parse_text(&r, whole.s, out);
	text_free(&whole);
	if (status == -ENOMEM)
		(void)snprintf(error, size, "%s: out of memory", name);
	return status;
}

int settings_read(struct settings **out, const char *file, char *error, size_t size)
{
	char *text = malloc(FILE_MAX + 1);
	size_t len = 0;
	ssize_t n = 0;
	int fd = open(file, O_RDONLY | O_CLOEXEC), status = 0;

	*out = NULL;
	if (fd < 0)
		status = -errno;
	else if (!text)
		status = -ENOMEM;
	while (!status && len <= FILE_MAX) {
		n = read(fd, text + len, FILE_MAX + 1 - len);
		if (n == 0)
			break;
		if (n > 0)
			len += (size_t)n;
		else if (errno != EINTR)
			status = -errno;
	}
	if (len > FILE_MAX)
		status = -EFBIG;
	if (status)
		(void)snprintf(error, size, "%s: cannot be read: %s", file, hint_file(-status));
	else
		status = settings_parse(out, text, len, file, error, size);
	if (fd >= 0)
		(void)close(fd);
	free(text);
	return status;
}
