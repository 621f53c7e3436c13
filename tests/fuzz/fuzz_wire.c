/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a pfsync packet: walked, printed both ways, judged. What is valid in it is built
 * again with the dialect's builder, and must come out of that packet as it went in.
 */
#include "builder.h"
#include "outgoing.h"
#include "show.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 1460 };

static void require(bool held)
{
	if (!held)
		abort();
}

/* The only section of a packet that was just built. */
static void reopen(struct builder *b, uint8_t *buf, struct packet *p, struct section *s)
{
	require(packet_open(p, buf, builder_finish(b)) == R_NONE && !p->length_wrong);
	require(packet_next(p, s) && s->present == 1);
}

static void state_again(const struct pf_state *in, enum pf_layout layout, enum pf_action action)
{
	const struct dialect *d = dialect_by_layout(layout);
	int family = layout_family(layout, in->af), stack = layout_family(layout, in->stack_af);
	uint8_t buf[ROOM], once[512], twice[512];
	struct pf_state s = *in, out;
	struct builder b;
	struct packet p;
	struct section section;
	struct writer w;

	if (!family || !stack)
		return;
	if (action == ACT_DEL && !d->del_full)
		action = ACT_UPD;
	s.af = (uint8_t)family;
	s.stack_af = (uint8_t)stack;
	builder_start(&b, d, buf, sizeof(buf), false);
	require(builder_add_state(&b, action, &s));
	reopen(&b, buf, &p, &section);
	require(section_next_state(&section, &out) && section.action == action);
	s.af = layout_af(layout, family);
	s.stack_af = layout_af(layout, stack);
	if (layout == LAYOUT_OPENBSD) {
		s.key[PF_WIRE].af = s.af;
		s.key[PF_STACK].af = s.stack_af;
	}
	if (!s.stack_proto)
		s.stack_proto = s.proto;
	w = writer_of(once, sizeof(once));
	pfstate_write(&w, layout, &s);
	w = writer_of(twice, sizeof(twice));
	pfstate_write(&w, layout, &out);
	require(writer_len(&w) == pfstate_size(layout) && !memcmp(once, twice, writer_len(&w)));
}

static void id_again(const struct dialect *d, enum pf_action action, const struct msg_id *m)
{
	uint8_t buf[ROOM];
	struct builder b;
	struct packet p;
	struct section s;
	struct msg_id out;

	builder_start(&b, d, buf, sizeof(buf), true);
	require(builder_add_id(&b, action, m->id, m->creatorid));
	reopen(&b, buf, &p, &s);
	require(section_next_id(&s, &out) && out.id == m->id && out.creatorid == m->creatorid);
	require((outgoing_wrong(d, buf, p.length) == NULL) ==
		((m->id && m->creatorid) || (action == ACT_UPD_REQ && !m->id && !m->creatorid)));
}

static void upd_c_again(const struct dialect *d, const struct msg_upd_c *m)
{
	uint8_t buf[ROOM];
	struct builder b;
	struct packet p;
	struct section s;
	struct msg_upd_c out;

	builder_start(&b, d, buf, sizeof(buf), false);
	require(builder_add_upd_c(&b, m));
	reopen(&b, buf, &p, &s);
	require(section_next_upd_c(&s, &out));
	require(out.id == m->id && out.creatorid == m->creatorid && out.timeout == m->timeout &&
		out.expire == m->expire && out.src.seqlo == m->src.seqlo &&
		out.dst.wscale == m->dst.wscale && out.dst.ts_mod == m->dst.ts_mod);
}

static void section_take(struct section s, uint8_t version)
{
	const struct dialect *d = dialect_get(
		version == PFSYNC_VERSION_OPENBSD ? DIALECT_OPENBSD : DIALECT_FREEBSD_15);
	struct pf_state state;
	struct msg_id id;
	struct msg_upd_c upd_c;
	struct msg_clr clr;
	struct msg_bus bus;
	struct msg_tdb tdb;

	switch (s.action) {
	case ACT_INS:
	case ACT_UPD:
	case ACT_DEL:
		while (section_next_state(&s, &state))
			state_again(&state, s.layout, s.action);
		break;
	case ACT_INS_ACK:
	case ACT_UPD_REQ:
	case ACT_DEL_C:
		while (section_next_id(&s, &id))
			id_again(d, s.action, &id);
		break;
	case ACT_UPD_C:
		while (section_next_upd_c(&s, &upd_c))
			upd_c_again(d, &upd_c);
		break;
	case ACT_CLR:
		while (section_next_clr(&s, &clr))
			;
		break;
	case ACT_BUS:
		while (section_next_bus(&s, &bus))
			;
		break;
	case ACT_TDB:
		while (section_next_tdb(&s, version, &tdb))
			;
		break;
	case ACT_EOF:
	case ACT_UNKNOWN:
		require(s.present == 0);
		return;
	}
	require(reader_left(&s.body) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct show_meta m = {.family = 0};
	struct text t = {.s = NULL};
	struct packet p;
	struct section s;

	if (packet_open(&p, data, size) == R_NONE)
		while (packet_next(&p, &s)) {
			require(s.present <= s.count);
			section_take(s, p.version);
		}
	for (int i = 0; i < DIALECT_COUNT; i++)
		(void)outgoing_wrong(dialect_get((enum dialect_id)i), data, size);
	show_json(&t, &m, data, size);
	show_text(&t, &m, data, size, true);
	require(t.failed || strlen(t.s) == t.len); /* no raw bytes of the packet in it */
	text_free(&t);
	return 0;
}
