/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "control_view.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool word_is_number(const char *word)
{
	return *word && strspn(word, "0123456789") == strlen(word) && strlen(word) <= 5;
}

static bool port_matches(const struct tuples *t, unsigned long port)
{
	for (int i = 0; i < 4; i++)
		if (t->end[i].port == port)
			return true;
	return false;
}

static bool prefix_matches(const struct tuples *t, const struct prefix *p)
{
	for (int i = 0; i < 4; i++)
		if (prefix_has(p, t->family, t->end[i].addr))
			return true;
	return false;
}

/* The flow as words, for what is only a part of something. */
static bool part_matches(const struct flow_view *f, const char *word)
{
	const char *state = ct_tcp_name(f->tcp_state);
	struct text t = {0};
	bool found;

	for (int i = 0; i < 4; i++) {
		text_add(&t, " ");
		text_add_address(&t, f->tuples.family, f->tuples.end[i].addr);
	}
	for (int i = 0; i < 2; i++)
		if (f->half[i].present)
			text_add(&t, " %016" PRIx64 " %08" PRIx32, f->half[i].id,
				 f->half[i].creatorid);
	found = (t.s && strstr(t.s, word)) || (state && !strcasecmp(state, word));
	text_free(&t);
	return found;
}

static bool word_matches(const struct flow_view *f, const char *word)
{
	struct text proto = {0};
	struct prefix p;
	bool same;

	if (!strcmp(word, "local") || !strcmp(word, "remote"))
		return f->remote == !strcmp(word, "remote");
	if (word_is_number(word))
		return port_matches(&f->tuples, strtoul(word, NULL, 10));
	if (prefix_parse(&p, word))
		return prefix_matches(&f->tuples, &p);
	text_add_proto(&proto, f->tuples.proto);
	same = proto.s && !strcasecmp(proto.s, word);
	text_free(&proto);
	return same || part_matches(f, word);
}

bool filter_matches(const struct flow_view *f, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!word_matches(f, words[i]))
			return false;
	return true;
}
