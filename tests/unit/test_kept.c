/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of a peer's state Linux has no word for: it is kept beside the flow and told again as it
 * was told; in another layout as far as that has the fields, and what is lost is counted.
 */
#include "check.h"
#include "engine_internal.h"
#include "model.h"

#include <stdio.h>
#include <string.h>

enum { OURS = 0x0a0b0c0d, PEERS = 0x11223344, MORE = 40 };

static struct node n;
static struct fake pf, other;

static void begin(enum dialect_id d)
{
	struct engine_config c = node_config(OURS);

	node_meet(&n, &pf, &c, d);
}

static void end(void)
{
	CHECK_STR(n.wrong ? n.wrong : "", "");
	node_stop(&n);
}

/* ---- one field after the other --------------------------------------------------------- */

#define ONLY(layout) (1u << (layout))
#define ALL	     (ONLY(LAYOUT_1301) | ONLY(LAYOUT_1400) | ONLY(LAYOUT_1500) | ONLY(LAYOUT_OPENBSD))
#define NEWER	     (ONLY(LAYOUT_1400) | ONLY(LAYOUT_1500))
#define WIDE	     (NEWER | ONLY(LAYOUT_OPENBSD))

/* name, layouts that have it, the change, whether Linux carries the flow all the same */
#define FIELDS(X)                                                                                  \
	X(log, ALL, s->log = 3, true)                                                              \
	X(allow_opts, ALL, s->state_flags = 0x0001, true)                                          \
	X(pflow, ONLY(LAYOUT_1500) | ONLY(LAYOUT_OPENBSD), s->state_flags = 0x0004, true)          \
	X(scrub_flags, WIDE, s->state_flags = 0x01a0, true)                                        \
	X(set_tos, WIDE, (s->state_flags = 0x0040, s->set_tos = 0xb8), true)                       \
	X(set_prio, WIDE, (s->state_flags = 0x0200, s->set_prio[0] = 3, s->set_prio[1] = 6), true) \
	X(pipe, NEWER, (s->state_flags = 0x4000, s->dnpipe = 7, s->dnrpipe = 8), true)             \
	X(dummynet_queue, NEWER, (s->state_flags = 0x8000, s->dnpipe = 9), true)                   \
	X(queue, NEWER, (s->qid = 0x1234, s->pqid = 0x4321), true)                                 \
	X(max_mss, WIDE, s->max_mss = 1452, true)                                                  \
	X(min_ttl, WIDE, s->min_ttl = 64, true)                                                    \
	X(sync_flags, ALL & ~ONLY(LAYOUT_1500), s->sync_flags = 0x0c, true)                        \
	X(tag, ONLY(LAYOUT_1500), memcpy(s->tag, "guests", 7), true)                               \
	X(long_tag, ONLY(LAYOUT_1500), memset(s->tag, 'x', sizeof(s->tag) - 1), true)              \
	X(orig_ifname, ONLY(LAYOUT_1500), memcpy(s->orig_ifname, "igb3", 5), true)                 \
	X(ifname, ALL, (memset(s->ifname, 0, sizeof(s->ifname)), memcpy(s->ifname, "em7", 4)),     \
	  true)                                                                                    \
	X(scrub, ALL, (s->src.scrub_flag = 1, s->src.scrub_ttl = 63, s->dst.scrub_flag = 1), true) \
	X(table_0, WIDE, s->rtableid[0] = 0, true)                                                 \
	X(table_2, WIDE, s->rtableid[0] = 2, false)                                                \
	X(next_hop, ONLY(LAYOUT_1301), memcpy(s->rt_addr, "\xcb\x00\x71\x09", 4), true)            \
	X(route_to, NEWER,                                                                         \
	  (s->rt = 2, memcpy(s->rt_addr, "\xcb\x00\x71\x09", 4), memcpy(s->rt_ifname, "em2", 4)),  \
	  false)                                                                                   \
	X(reply_to, ONLY(LAYOUT_OPENBSD), (s->rt = 3, s->rt_addr[3] = 9), false)                   \
	X(modulated, ALL, s->src.seqdiff = 5, false)

struct field {
	const char *name;
	unsigned layouts;
	void (*set)(struct pf_state *s);
	bool carried;
};

#define X(name, layouts, change, carried)                                                          \
	static void set_##name(struct pf_state *s)                                                 \
	{                                                                                          \
		change;                                                                            \
	}
FIELDS(X)
#undef X

static const struct field fields[] = {
#define X(name, layouts, change, carried) {#name, layouts, set_##name, carried},
	FIELDS(X)
#undef X
};
enum { FIELD_COUNT = sizeof(fields) / sizeof(fields[0]) };

/* What is not kept is a matter of time, of the receiver, or of a ruleset: all are set alike. */
static void record(const struct pf_state *from, enum pf_layout layout, uint8_t *to)
{
	struct writer w = writer_of(to, 512);
	struct pf_state s = *from;

	memset(to, 0, 512);
	s.expire = s.creation = 0;
	s.rule = s.anchor = s.nat_rule = UINT32_MAX;
	if (s.af == 4) { /* of a fake's, not of the wire */
		s.af = s.stack_af = layout_af(layout, 4);
		if (layout == LAYOUT_OPENBSD)
			s.key[0].af = s.key[1].af = s.af;
	}
	pfstate_write(&w, layout, &s);
}

static bool same(const struct said *m, const struct pf_state *want, enum pf_layout layout)
{
	uint8_t a[512], b[512];

	if (!CHECK(m != NULL))
		return false;
	record(&m->s, layout, a);
	record(want, layout, b);
	CHECK_EQ(m->s.rule & m->s.anchor & m->s.nat_rule, UINT32_MAX);
	return CHECK_MEM(a, b, pfstate_size(layout));
}

static const struct said *in_layout(enum pf_action action, uint64_t id, enum pf_layout layout)
{
	for (size_t i = 0; i < n.saids; i++)
		if (n.said[i].action == action && n.said[i].id == id && n.said[i].layout == layout)
			return &n.said[i];
	return NULL;
}

static const struct said *asked(uint64_t id)
{
	node_quiet(&n);
	node_run(&n, 2000); /* one state is not told again and again at one moment */
	fake_id(&pf, &n, ACT_UPD_REQ, id, PEERS);
	node_run(&n, 100);
	return in_layout(ACT_UPD, id, pf.dialect->layout);
}

static const struct said *in_bulk(uint64_t id)
{
	node_quiet(&n);
	fake_id(&pf, &n, ACT_UPD_REQ, 0, 0);
	node_run(&n, 2000);
	return in_layout(ACT_UPD, id, pf.dialect->layout);
}

/* A pf tells one flow; both of its halves have the field. */
static void tell(const struct field *f, const struct tuples *t, struct pf_state half[2])
{
	for (int h = 0; h < 2; h++) {
		half[h] = fake_half(&pf, t, h ? PF_OUT : PF_IN, 10 + (uint64_t)h);
		f->set(&half[h]);
	}
	fake_begin(&pf);
	for (int h = 0; h < 2; h++)
		(void)builder_add_state(&pf.b, ACT_INS, &half[h]);
	fake_end(&pf, &n);
	node_run(&n, 50);
}

static void one_field(enum dialect_id d, const struct field *f, uint8_t proto)
{
	struct tuples t = tuples_v4(proto, 10, 1000);
	enum pf_layout layout = dialect_get(d)->layout;
	struct pf_state half[2];
	bool good = true;

	if (proto != PROTO_TCP && (f->set == set_scrub || f->set == set_modulated))
		return; /* of TCP alone */
	begin(d);
	tell(f, &t, half);
	good &= CHECK_EQ(node_entry(&n, &t) != NULL, f->carried);
	for (int h = 0; h < 2; h++) {
		good &= same(asked(10 + (uint64_t)h), &half[h], layout);
		good &= same(in_bulk(10 + (uint64_t)h), &half[h], layout);
	}
	good &= CHECK_EQ(node_refused(&n, R_OPTIONS_LOST) + node_refused(&n, R_UNTOLD), 0);
	if (!good)
		printf(" (%s, %s, protocol %u)", f->name, pf.dialect->name, proto);
	end();
}

static void told_again_unchanged(void)
{
	for (int d = 0; d < DIALECT_COUNT; d++)
		for (size_t i = 0; i < FIELD_COUNT; i++)
			if (fields[i].layouts & ONLY(dialect_get((enum dialect_id)d)->layout)) {
				one_field((enum dialect_id)d, &fields[i], PROTO_TCP);
				one_field((enum dialect_id)d, &fields[i], PROTO_UDP);
			}
}

/* A take-over replaces the states of a TCP flow: what rules gave them stays with them. */
static void replaced_with_all(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1000);

	for (int d = 0; d < DIALECT_COUNT; d++)
		for (size_t i = 0; i < FIELD_COUNT; i++) {
			enum pf_layout layout = dialect_get((enum dialect_id)d)->layout;
			static const struct pf_peer sloppy = {.state = 4, .seqlo = 1};
			struct pf_state half[2];

			if (!(fields[i].layouts & ONLY(layout)) || !fields[i].carried)
				continue;
			begin((enum dialect_id)d);
			tell(&fields[i], &t, half);
			node_quiet(&n);
			(void)node_packet(&n, &t, false);
			(void)node_packet(&n, &t, true);
			node_run(&n, 200);
			for (int h = 0; h < 2; h++) {
				half[h].src = half[h].dst = sloppy;
				half[h].state_flags |= PF_FLAG_SLOPPY;
				if (!same(in_layout(ACT_INS, 10 + (uint64_t)h, layout), &half[h],
					  layout))
					printf(" (%s, %s)", fields[i].name, pf.dialect->name);
			}
			end();
		}
}

/* Flags that mute a state, ask for an answer, or make a pf drop its packets stay with who had them.
 */
static void flags_of_one_node(void)
{
	for (int d = 0; d < DIALECT_COUNT; d++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, 1000);
		const struct said *m;
		struct pf_state s;

		begin((enum dialect_id)d);
		s = fake_half(&pf, &t, PF_IN, 10);
		s.state_flags = 0xffff;
		fake_state(&pf, &n, ACT_INS, &s);
		m = asked(10);
		if (CHECK(m != NULL))
			CHECK_EQ(m->s.state_flags, dialect_get((enum dialect_id)d)->flags);
		end();
	}
}

/* A hostile peer's route-to, which no pf has: the state is kept and never told again. */
static void no_such_route(void)
{
	for (int d = DIALECT_FREEBSD_14; d < DIALECT_COUNT; d++)
		for (int bad = 0; bad < 3; bad++) {
			struct tuples t = tuples_v4(PROTO_TCP, 10, 1000);
			struct pf_state s;

			begin((enum dialect_id)d);
			s = fake_half(&pf, &t, PF_IN, 10);
			memcpy(s.rt_ifname, "em0", 4);
			s.rt = bad ? 5 : 200;
			if (bad == 2 && d != DIALECT_OPENBSD) {
				s.rt = 2;
				memset(s.rt_ifname, 0, sizeof(s.rt_ifname));
			}
			fake_state(&pf, &n, ACT_INS, &s);
			CHECK(node_entry(&n, &t) == NULL);
			CHECK(asked(10) == NULL);
			CHECK_EQ(node_refused(&n, R_UNTOLD), 1);
			end();
		}
}

/* ---- into another layout --------------------------------------------------------------- */

enum outcome { WHOLE, PART, UNSAID };

/* From pf-to other by the protocol's tables, written down apart from the code. */
static enum outcome expected(const struct field *f, enum pf_layout from, enum pf_layout to)
{
	bool newer = NEWER & ONLY(from) && NEWER & ONLY(to);

	if (f->set == set_route_to || f->set == set_reply_to)
		return UNSAID;
	if (f->set == set_table_2)
		return newer ? WHOLE : UNSAID;
	if (f->set == set_tag || f->set == set_long_tag || f->set == set_next_hop)
		return PART;
	if (f->set == set_pipe || f->set == set_dummynet_queue || f->set == set_queue)
		return newer ? WHOLE : PART;
	if (f->set == set_pflow)
		return to == LAYOUT_1500 || to == LAYOUT_OPENBSD ? WHOLE : PART;
	if (f->set == set_scrub_flags || f->set == set_set_tos || f->set == set_set_prio ||
	    f->set == set_max_mss || f->set == set_min_ttl)
		return to == LAYOUT_1301 ? PART : WHOLE;
	return WHOLE;
}

/* What must be the same, or be as of a state of ours. */
static void check_converted(const struct pf_state *s, const struct pf_state *was,
			    enum pf_layout from, enum pf_layout to)
{
	const struct dialect *d = dialect_by_layout(to);
	bool newer = NEWER & ONLY(from) && NEWER & ONLY(to);
	bool wide = WIDE & ONLY(from) && WIDE & ONLY(to);

	CHECK_EQ(s->rule & s->anchor & s->nat_rule, UINT32_MAX);
	CHECK_EQ(s->state_flags, was->state_flags & d->flags);
	CHECK_EQ(s->log, was->log);
	CHECK_EQ(s->sync_flags, 0);
	CHECK_EQ(s->max_mss, wide ? was->max_mss : 0);
	CHECK_EQ(s->min_ttl, wide ? was->min_ttl : 0);
	CHECK_EQ(s->set_tos, wide ? was->set_tos : 0);
	CHECK_EQ(s->set_prio[1], wide ? was->set_prio[1] : 0);
	CHECK_EQ(s->qid, newer ? was->qid : 0);
	CHECK_EQ(s->pqid, newer ? was->pqid : 0);
	CHECK_EQ(s->dnpipe, newer ? was->dnpipe : 0);
	CHECK_EQ(s->dnrpipe, newer ? was->dnrpipe : 0);
	CHECK_EQ(s->rt, 0);
	CHECK_EQ(s->rtableid[0], newer ? was->rtableid[0]
				 : to == LAYOUT_OPENBSD && was->direction == PF_OUT ? 0
										    : -1);
	CHECK_EQ(s->src.scrub_flag, was->src.scrub_flag);
	CHECK_EQ(s->src.scrub_ttl, was->src.scrub_ttl);
	CHECK_STR(s->ifname, d->version == dialect_by_layout(from)->version ? was->ifname : "all");
	CHECK_STR(s->tag, "");
	CHECK_STR(s->orig_ifname, to == LAYOUT_1500 && strcmp(s->ifname, "all") ? s->ifname : "");
}

static void into_another(enum dialect_id from, enum dialect_id to, const struct field *f)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1000);
	enum pf_layout a = dialect_get(from)->layout, b = dialect_get(to)->layout;
	enum outcome want = expected(f, a, b);
	struct tuples u = tuples_v4(PROTO_UDP, 20, 2000);
	const struct said *m;
	struct pf_state half[2];
	int failed = 0;

	begin(from);
	fake_init(&other, to, 8, PEERS + 1);
	fake_tells(&other, &n, &u, 500); /* so that its dialect is known */
	node_run(&n, 3000);
	tell(f, &t, half);
	node_run(&n, 100); /* and it is relayed */
	m = in_layout(ACT_INS, 11, b);
	failed += !CHECK_EQ(m != NULL, want != UNSAID);
	failed += !CHECK_EQ(node_refused(&n, R_OPTIONS_LOST) > 0, want == PART);
	failed += !CHECK_EQ(node_refused(&n, R_UNTOLD) > 0, want == UNSAID);
	failed += !CHECK(asked(11) != NULL);
	if (m)
		check_converted(&m->s, &half[1], a, b);
	if (failed)
		printf(" (%s from %s to %s)", f->name, pf.dialect->name, other.dialect->name);
	end();
}

static void converted(void)
{
	for (int a = 0; a < DIALECT_COUNT; a++)
		for (int b = 0; b < DIALECT_COUNT; b++)
			for (size_t i = 0; a != b && i < FIELD_COUNT; i++)
				if (fields[i].layouts &
				    ONLY(dialect_get((enum dialect_id)a)->layout))
					into_another((enum dialect_id)a, (enum dialect_id)b,
						     &fields[i]);
}

/* ---- what it costs --------------------------------------------------------------------- */

static size_t extras(void)
{
	uint64_t cursor = 0;
	size_t count = 0;
	struct flow *f;

	while ((f = table_walk(&n.e->table, &cursor)))
		count += f->extra != NULL;
	return count;
}

/* Many flows of one rule share what it gave them; none has memory of its own for it. */
static void shared(void)
{
	begin(DIALECT_FREEBSD_15);
	for (unsigned i = 0; i < 1000; i++) {
		struct tuples t = tuples_v4(PROTO_UDP, (uint8_t)(10 + i % 100), (uint16_t)(1 + i));
		struct pf_state s = fake_half(&pf, &t, PF_IN, 10 + i);

		memcpy(s.tag, "guests", 7);
		s.log = i % 4;
		fake_state(&pf, &n, ACT_INS, &s);
	}
	CHECK_EQ(node_flows(&n), 1000);
	CHECK_EQ(n.e->table.actions.used, 1 + 4);
	CHECK_EQ(extras(), 0);
	CHECK_EQ(sizeof(struct half), 32);
	CHECK(offsetof(struct flow, ends) <= 152); /* of IPv4 176 with them */
	for (unsigned i = 0; i < 1000; i++)
		fake_id(&pf, &n, ACT_DEL_C, 10 + i, PEERS);
	CHECK_EQ(node_flows(&n), 0);
	for (unsigned i = 1; i <= 4; i++)
		CHECK_EQ(n.e->table.actions.slot[i].users, 0);
	end();
}

/* Somebody makes up tags without end: bounded, counted, the flows are taken all the same. */
static void too_many(void)
{
	struct tuples last = tuples_v4(PROTO_UDP, 200, 9);
	struct pf_state s;
	char tag[PF_TAG_LEN];

	begin(DIALECT_FREEBSD_15);
	for (unsigned i = 0; i < ACTIONS_MAX - 1 + MORE; i++) {
		struct tuples t = tuples_v4(PROTO_UDP, (uint8_t)(10 + i / 60000),
					    (uint16_t)(1 + i));

		s = fake_half(&pf, &t, PF_IN, 10 + i);
		(void)snprintf(tag, sizeof(tag), "tag%u", i);
		memcpy(s.tag, tag, sizeof(s.tag));
		fake_state(&pf, &n, ACT_INS, &s);
	}
	CHECK_EQ(node_flows(&n), ACTIONS_MAX - 1 + MORE);
	CHECK_EQ(node_refused(&n, R_ACTIONS), MORE);
	CHECK_STR(asked(s.id)->s.tag, "");
	fake_id(&pf, &n, ACT_DEL_C, 10, PEERS);
	s = fake_half(&pf, &last, PF_IN, 5);
	memcpy(s.tag, "late", 5);
	fake_state(&pf, &n, ACT_INS, &s);
	CHECK_EQ(node_refused(&n, R_ACTIONS), MORE);
	CHECK_STR(asked(5)->s.tag, "late");
	end();
}

/* An update tells both sides; what rules gave the state is not in it, or not to be believed. */
static void updates_change_none_of_it(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 1000);
	const struct said *m;
	struct pf_state s;

	begin(DIALECT_FREEBSD_15);
	s = fake_half(&pf, &t, PF_IN, 10);
	memcpy(s.tag, "guests", 7);
	s.src.scrub_flag = 1;
	s.src.scrub_ttl = 61;
	fake_state(&pf, &n, ACT_INS, &s);
	s.src.seqlo += 1000;
	s.src.seqhi += 1000;
	s.src.scrub_flag = s.src.scrub_ttl = 0; /* as pf: not flagged, not replaced */
	memcpy(s.tag, "others", 7);
	fake_upd_c(&pf, &n, &s);
	fake_state(&pf, &n, ACT_UPD, &s);
	m = asked(10);
	if (CHECK(m != NULL)) {
		CHECK_STR(m->s.tag, "guests");
		CHECK_EQ(m->s.src.seqlo, s.src.seqlo);
		CHECK_EQ(m->s.src.scrub_flag, 1);
		CHECK_EQ(m->s.src.scrub_ttl, 61);
	}
	fake_id(&pf, &n, ACT_DEL_C, 10, PEERS); /* made anew under the same name */
	fake_state(&pf, &n, ACT_INS, &s);
	m = asked(10);
	if (CHECK(m != NULL))
		CHECK_STR(m->s.tag, "others");
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"each field is told again unchanged", told_again_unchanged},
		{"states that are replaced have them, too", replaced_with_all},
		{"flags of one node are not handed on", flags_of_one_node},
		{"a route-to that no pf has is not told", no_such_route},
		{"into another layout", converted},
		{"flows of one rule share what it gave them", shared},
		{"there is no end of tags", too_many},
		{"updates change none of it", updates_change_none_of_it},
	};

	return check_main("kept", tests, sizeof(tests) / sizeof(tests[0]));
}
