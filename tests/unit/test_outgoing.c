/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The judge of outgoing packets: good ones pass, each single fault is found. */
#include "builder.h"
#include "check.h"
#include "outgoing.h"
#include "sample.h"

#include <limits.h>
#include <stdio.h>

enum { BUF = 4096, HEAD = PFSYNC_HEADER_LEN + PFSYNC_SUBHEADER_LEN };

static size_t built(const struct dialect *d, uint8_t *buf, const struct pf_state *s)
{
	struct builder b;

	builder_start(&b, d, buf, 1460, false);
	CHECK(builder_add_state(&b, ACT_INS, s));
	return builder_finish(&b);
}

static void test_good(void)
{
	for (int i = 0; i < DIALECT_COUNT; i++)
		for (int family = 4; family <= 6; family += 2) {
			const struct dialect *d = dialect_get((enum dialect_id)i);
			struct pf_state s = sample_state(family);
			struct msg_upd_c m = sample_upd_c();
			uint8_t buf[BUF];
			struct builder b;
			size_t len;

			builder_start(&b, d, buf, 1460, false);
			CHECK(builder_add_state(&b, ACT_INS, &s));
			CHECK(builder_add_id(&b, ACT_INS_ACK, 1, 2));
			CHECK(builder_add_state(&b, ACT_UPD, &s));
			CHECK(builder_add_upd_c(&b, &m));
			CHECK(builder_add_id(&b, ACT_DEL_C, 1, 2));
			CHECK(builder_add_id(&b, ACT_UPD_REQ, 0, 0));
			CHECK(builder_add_bus(
				&b, &(struct msg_bus){.creatorid = 7, .status = BUS_END}));
			CHECK(builder_add_clr(&b, &(struct msg_clr){.creatorid = 7}));
			len = builder_finish(&b);
			CHECK_STR(outgoing_wrong(d, buf, len) ? outgoing_wrong(d, buf, len) : "",
				  "");
		}
}

#define ONLY(layout) (1u << (layout))
#define ALL	     UINT_MAX

/* What changes one thing of a good state, by the layouts that tell it. */
#define FAULTS(X)                                                                                  \
	X(bad_id, ALL, s->id = 0)                                                                  \
	X(bad_creatorid, ALL, s->creatorid = 0)                                                    \
	X(bad_family, ALL, s->af = 10)                                                             \
	X(bad_direction, ALL, s->direction = PF_INOUT)                                             \
	X(bad_rule, ALL, s->rule = 0x80000000)                                                     \
	X(bad_anchor, ALL, s->anchor = 0xfffffffe)                                                 \
	X(bad_nat_rule, ALL, s->nat_rule = 0xffff0000)                                             \
	X(bad_source_state, ALL, s->src.state = 13)                                                \
	X(bad_destination_state, ALL, s->dst.state = 13)                                           \
	X(bad_scrub_flag_of_the_source, ALL, s->src.scrub_flag = 2)                                \
	X(bad_scrub_flag_of_the_destination, ALL, s->dst.scrub_flag = 255)                         \
	X(bad_timeout_14, ALL, s->timeout = 14)                                                    \
	X(bad_timeout_25, ALL, s->timeout = 25)                                                    \
	X(bad_expire, ALL, s->expire = 86401)                                                      \
	X(bad_flag_no_sync, ALL, s->state_flags = 0x08)                                            \
	X(bad_flag_pflow, ONLY(LAYOUT_1301) | ONLY(LAYOUT_1400), s->state_flags = 0x04)            \
	X(bad_flag_scrub, ONLY(LAYOUT_1301), s->state_flags = 0x20)                                \
	X(bad_flag_dummynet, ONLY(LAYOUT_OPENBSD), s->state_flags = 0x4000)                        \
	X(bad_flag_unlinked, ~ONLY(LAYOUT_1301), s->state_flags = 0x400)                           \
	X(bad_ack_for_an_in_state, ALL, (s->direction = PF_IN, s->state_flags = PF_FLAG_ACK))      \
	X(bad_empty_ifname, ALL, memset(s->ifname, 0, sizeof(s->ifname)))                          \
	X(bad_ifname_without_NUL, ALL, memset(s->ifname, 'x', sizeof(s->ifname)))                  \
	X(bad_rt_addr, ~ONLY(LAYOUT_1301), s->rt_addr[15] = 1)                                     \
	X(bad_rt, ~ONLY(LAYOUT_1301), s->rt = 5; s->rt_ifname[0] = 'e')                            \
	X(bad_rt_4, ~ONLY(LAYOUT_1301), s->rt = 4)                                                 \
	X(bad_rt_nowhere, ONLY(LAYOUT_1400) | ONLY(LAYOUT_1500), s->rt = 2)                        \
	X(bad_rt_af, ONLY(LAYOUT_1500), s->rt = 2; s->rt_ifname[0] = 'e'; s->rt_af = 24)           \
	X(bad_rtableid, ~ONLY(LAYOUT_1301), s->rtableid[0] = -2)                                   \
	X(bad_second_rtableid, ONLY(LAYOUT_OPENBSD), s->rtableid[1] = -2)                          \
	X(bad_rt_ifname, ONLY(LAYOUT_1400) | ONLY(LAYOUT_1500), s->rt_ifname[0] = 'e')             \
	X(bad_orig_ifname_without_NUL, ONLY(LAYOUT_1500),                                          \
	  memset(s->orig_ifname, 'x', sizeof(s->orig_ifname)))                                     \
	X(bad_tag_without_NUL, ONLY(LAYOUT_1500), memset(s->tag, 'x', sizeof(s->tag)))             \
	X(bad_stack_proto, ONLY(LAYOUT_1500), s->stack_proto = 17)                                 \
	X(bad_stack_af, ONLY(LAYOUT_1500) | ONLY(LAYOUT_OPENBSD), s->stack_af = 10)                \
	X(bad_sctp, ALL, s->proto = s->stack_proto = 132; s->timeout = 22)

#define X(name, layouts, change)                                                                   \
	static void name(struct pf_state *s)                                                       \
	{                                                                                          \
		change;                                                                            \
	}
FAULTS(X)
#undef X

static const struct fault {
	const char *name;
	unsigned layouts;
	void (*change)(struct pf_state *s);
} faults[] = {
#define X(name, layouts, change) {#name, layouts, name},
	FAULTS(X)
#undef X
};

/* The judge finds each one, in every dialect that has the field. */
static void test_bad_states(void)
{
	for (int i = 0; i < DIALECT_COUNT; i++)
		for (size_t bad = 0; bad < sizeof(faults) / sizeof(faults[0]); bad++) {
			const struct dialect *d = dialect_get((enum dialect_id)i);
			struct pf_state s = sample_state(4);
			uint8_t buf[BUF];
			bool wrong;

			faults[bad].change(&s);
			wrong = outgoing_wrong(d, buf, built(d, buf, &s)) != NULL;
			if (!CHECK_EQ(wrong, !!(faults[bad].layouts & ONLY(d->layout))))
				printf(" (%s, %s)", d->name, faults[bad].name);
		}
}

/* Translation between families, where it can be said; ICMP is another protocol then. */
static void test_af_to(void)
{
	for (int i = 0; i < DIALECT_COUNT; i++) {
		const struct dialect *d = dialect_get((enum dialect_id)i);
		struct pf_state s = sample_state(4);
		uint8_t buf[BUF];

		s.af = 6;
		CHECK(!outgoing_wrong(d, buf, built(d, buf, &s)));
		s.proto = 58;
		s.stack_proto = 1;
		s.timeout = 10;
		s.expire = 0;
		CHECK(!outgoing_wrong(d, buf, built(d, buf, &s)));
		s.stack_proto = 6;
		CHECK_EQ(!outgoing_wrong(d, buf, built(d, buf, &s)), d->layout != LAYOUT_1500);
	}
}

/* An acknowledgement is asked for by the INS of an out state, whose packet is held. */
static void test_ack_wanted(void)
{
	for (int i = 0; i < DIALECT_COUNT; i++) {
		const struct dialect *d = dialect_get((enum dialect_id)i);
		struct pf_state s = sample_state(4);
		uint8_t buf[BUF];
		struct builder b;

		s.direction = PF_OUT;
		s.state_flags = PF_FLAG_SLOPPY | PF_FLAG_ACK;
		for (int ins = 0; ins < 2; ins++) {
			builder_start(&b, d, buf, sizeof(buf), false);
			CHECK(builder_add_state(&b, ins ? ACT_INS : ACT_UPD, &s));
			CHECK_EQ(!outgoing_wrong(d, buf, builder_finish(&b)), ins);
		}
	}
}

/* Good bytes with one of them changed. */
static void test_bad_bytes(void)
{
	for (int i = 0; i < DIALECT_COUNT; i++) {
		const struct dialect *d = dialect_get((enum dialect_id)i);
		struct pf_state s = sample_state(4);
		uint8_t buf[BUF];
		size_t len = built(d, buf, &s);
		/* version, pad, length, checksum, action, pad or stride, count, behind an address
		 */
		const size_t at[] = {0, 1, 3, 4, 19, 20, 21, 23, HEAD + 24 + 4, HEAD + 24 + 31};

		CHECK(!outgoing_wrong(d, buf, len));
		for (size_t k = 0; k < sizeof(at) / sizeof(at[0]); k++) {
			buf[at[k]] ^= 0x41;
			if (!CHECK(outgoing_wrong(d, buf, len) != NULL))
				printf(" (%s, byte %zu)", d->name, at[k]);
			buf[at[k]] ^= 0x41;
		}
		for (size_t cut = 0; cut < len; cut++)
			CHECK(outgoing_wrong(d, buf, cut) != NULL);
		CHECK(outgoing_wrong(d, buf, len + 1) != NULL);
		for (int other = 0; other < DIALECT_COUNT; other++)
			CHECK_EQ(!outgoing_wrong(dialect_get((enum dialect_id)other), buf, len),
				 other == i);
	}
}

static size_t patched_length(uint8_t *buf, size_t len)
{
	buf[2] = (uint8_t)(len >> 8);
	buf[3] = (uint8_t)len;
	return len;
}

static void test_eof(void)
{
	const struct dialect *d = dialect_get(DIALECT_FREEBSD_13);
	struct pf_state s = sample_state(4);
	uint8_t buf[BUF] = {0};
	size_t len = built(d, buf, &s);

	CHECK(outgoing_wrong(d, buf, patched_length(buf, len - 4)) != NULL);
	CHECK(outgoing_wrong(d, buf, patched_length(buf, len + 4)) != NULL);
	CHECK(!outgoing_wrong(d, buf, patched_length(buf, len)));
	buf[len - 1] = 0;
	CHECK(outgoing_wrong(d, buf, len) != NULL);
	d = dialect_get(DIALECT_OPENBSD);
	len = built(d, buf, &s);
	memcpy(buf + len, (const uint8_t[]){12, 0, 0, 1}, 4);
	CHECK(outgoing_wrong(d, buf, patched_length(buf, len + 4)) != NULL);
	CHECK(!outgoing_wrong(d, buf, patched_length(buf, len)));
	patched_length(buf, PFSYNC_HEADER_LEN);
	CHECK(outgoing_wrong(d, buf, PFSYNC_HEADER_LEN) != NULL);
}

static bool small_wrong(enum pf_action action, const void *message)
{
	const struct dialect *d = dialect_get(DIALECT_FREEBSD_15);
	const struct msg_id *id = message;
	uint8_t buf[BUF];
	struct builder b;

	builder_start(&b, d, buf, 1460, false);
	switch (action) {
	case ACT_UPD_C:
		CHECK(builder_add_upd_c(&b, message));
		break;
	case ACT_BUS:
		CHECK(builder_add_bus(&b, message));
		break;
	case ACT_CLR:
		CHECK(builder_add_clr(&b, message));
		break;
	default:
		CHECK(builder_add_id(&b, action, id->id, id->creatorid));
	}
	return outgoing_wrong(d, buf, builder_finish(&b)) != NULL;
}

static void test_small(void)
{
	struct msg_upd_c m = sample_upd_c();

	CHECK(!small_wrong(ACT_UPD_C, &m));
	m.expire = 1;
	CHECK(small_wrong(ACT_UPD_C, &m));
	m = sample_upd_c();
	m.timeout = 19;
	CHECK(small_wrong(ACT_UPD_C, &m));
	m.timeout = 24;
	CHECK(!small_wrong(ACT_UPD_C, &m));
	m.dst.state = 13;
	CHECK(small_wrong(ACT_UPD_C, &m));
	m = sample_upd_c();
	m.src.scrub_flag = 2;
	CHECK(small_wrong(ACT_UPD_C, &m));
	m = sample_upd_c();
	m.id = 0;
	CHECK(small_wrong(ACT_UPD_C, &m));
	m = sample_upd_c();
	m.creatorid = 0;
	CHECK(small_wrong(ACT_UPD_C, &m));
	CHECK(small_wrong(ACT_CLR,
			  &(struct msg_clr){.creatorid = 1, .ifname = "0123456789abcdef"}));
	CHECK(small_wrong(ACT_INS_ACK, &(struct msg_id){.id = 1}));
	CHECK(small_wrong(ACT_BUS, &(struct msg_bus){.creatorid = 1, .status = 3}));
	CHECK(small_wrong(ACT_BUS, &(struct msg_bus){.status = BUS_END}));
	CHECK(small_wrong(ACT_CLR, &(struct msg_clr){.creatorid = 0}));
	CHECK(small_wrong(ACT_DEL_C, &(struct msg_id){.id = 1}));
	CHECK(small_wrong(ACT_DEL_C, &(struct msg_id){.creatorid = 1}));
	CHECK(small_wrong(ACT_INS_ACK, &(struct msg_id){.id = 0}));
	CHECK(small_wrong(ACT_UPD_REQ, &(struct msg_id){.id = 1}));
	CHECK(!small_wrong(ACT_UPD_REQ, &(struct msg_id){.id = 0}));
}

/* Sections that the builder never makes. */
static void test_sections(void)
{
	static const uint8_t longer[] = {6, 0, 0,	 40,	   [20] = 7, 4,
					 0, 1, [31] = 1, [35] = 2, [39] = 0};
	static const uint8_t empty[] = {6, 0, 0, 40, [20] = 5, 3,	 0,
					0, 7, 3, 0,  1,	       [35] = 1, [39] = 2};
	const struct dialect *d = dialect_get(DIALECT_FREEBSD_13);
	struct pf_state s = sample_state(4);
	uint8_t buf[BUF];
	struct builder b;
	struct writer w;
	size_t len;

	CHECK(outgoing_wrong(dialect_get(DIALECT_OPENBSD), longer, sizeof(longer)) != NULL);
	CHECK(outgoing_wrong(dialect_get(DIALECT_OPENBSD), empty, sizeof(empty)) != NULL);

	builder_start(&b, d, buf, 1460, false);
	CHECK(builder_add_bus(&b, &(struct msg_bus){.creatorid = 1, .status = BUS_END}));
	len = builder_finish(&b);
	CHECK(!outgoing_wrong(d, buf, len));
	buf[HEAD + 11] = 1;
	CHECK(outgoing_wrong(d, buf, len) != NULL);

	for (uint8_t count = 8; count <= 9; count++) {
		(void)built(d, buf, &s);
		buf[HEAD - 1] = count;
		w = writer_of(buf + HEAD + 242, BUF - HEAD - 242);
		for (int i = 1; i < count; i++)
			writer_bytes(&w, buf + HEAD, 242);
		writer_u32(&w, 12U << 24 | 1);
		len = patched_length(buf, HEAD + count * (size_t)242 + PFSYNC_SUBHEADER_LEN);
		CHECK_EQ(outgoing_wrong(d, buf, len) == NULL, count == 8);
	}
}

/* ---- each byte --------------------------------------------------------------------------- */

/*
 * What a byte of a packet may be: FIXED: nothing else than it is; BOUND: some other values; FREE:
 * what a peer, the traffic or the clock says. No byte is without a class.
 */
enum class { FIXED, BOUND, FREE };

struct field {
	size_t at, size;
	enum class class;
};

#define FIELD(type, member, class)                                                                 \
	{                                                                                          \
		offsetof(struct type, member), sizeof(((struct type *)0)->member), class           \
	}
#define PEER_FIELDS(type, p)                                                                       \
	FIELD(type, p.seqlo, FREE), FIELD(type, p.seqhi, FREE), FIELD(type, p.seqdiff, FREE),      \
		FIELD(type, p.max_win, FREE), FIELD(type, p.mss, FREE),                            \
		FIELD(type, p.wscale, FREE), FIELD(type, p.scrub_flags, FREE),                     \
		FIELD(type, p.scrub_ttl, FREE), FIELD(type, p.ts_mod, FREE),                       \
		FIELD(type, p.state, BOUND), FIELD(type, p.scrub_flag, BOUND)

static const struct field state_fields[] = {
	FIELD(pf_state, id, FREE),
	FIELD(pf_state, creatorid, FREE),
	FIELD(pf_state, ifname, FREE),
	FIELD(pf_state, ifname[0], BOUND),
	FIELD(pf_state, key[0].addr, FREE),
	FIELD(pf_state, key[1].addr, FREE),
	FIELD(pf_state, key[0].port, FREE),
	FIELD(pf_state, key[1].port, FREE),
	FIELD(pf_state, key[0].rdomain, FREE),
	FIELD(pf_state, key[1].rdomain, FREE),
	PEER_FIELDS(pf_state, src),
	PEER_FIELDS(pf_state, dst),
	FIELD(pf_state, creation, FREE),
	FIELD(pf_state, expire, BOUND),
	FIELD(pf_state, packets, FREE),
	FIELD(pf_state, bytes, FREE),
	FIELD(pf_state, direction, BOUND),
	FIELD(pf_state, timeout, BOUND),
	FIELD(pf_state, state_flags, BOUND),
	FIELD(pf_state, log, FREE),
	FIELD(pf_state, sync_flags, FREE),
	FIELD(pf_state, updates, FREE),
	FIELD(pf_state, max_mss, FREE),
	FIELD(pf_state, min_ttl, FREE),
	FIELD(pf_state, set_tos, FREE),
	FIELD(pf_state, set_prio, FREE),
	FIELD(pf_state, orig_ifname, FREE),
	FIELD(pf_state, rule, BOUND),
	FIELD(pf_state, anchor, BOUND),
	FIELD(pf_state, nat_rule, BOUND),
	FIELD(pf_state, rtableid, BOUND),
	FIELD(pf_state, rt, BOUND),
	FIELD(pf_state, rt_addr, FREE), /* of 1301 alone */
	FIELD(pf_state, qid, FREE),
	FIELD(pf_state, pqid, FREE),
	FIELD(pf_state, dnpipe, FREE),
	FIELD(pf_state, dnrpipe, FREE),
	FIELD(pf_state, tag, FREE),
};

static const struct field upd_c_fields[] = {
	FIELD(msg_upd_c, id, FREE),  FIELD(msg_upd_c, creatorid, FREE), PEER_FIELDS(msg_upd_c, src),
	PEER_FIELDS(msg_upd_c, dst), FIELD(msg_upd_c, timeout, BOUND),
};

static const struct field id_fields[] = {FIELD(msg_id, id, FREE), FIELD(msg_id, creatorid, FREE)};
static const struct field bus_fields[] = {FIELD(msg_bus, creatorid, FREE),
					  FIELD(msg_bus, status, BOUND)};
static const struct field clr_fields[] = {FIELD(msg_clr, creatorid, FREE)};

/* One message, whatever it is. */
static size_t one(const struct dialect *d, enum pf_action action, const void *m, uint8_t *buf)
{
	const struct msg_id *id = m;
	struct builder b;

	builder_start(&b, d, buf, 1460, false);
	switch (action) {
	case ACT_INS:
	case ACT_UPD:
		CHECK(builder_add_state(&b, action, m));
		break;
	case ACT_UPD_C:
		CHECK(builder_add_upd_c(&b, m));
		break;
	case ACT_BUS:
		CHECK(builder_add_bus(&b, m));
		break;
	case ACT_CLR:
		CHECK(builder_add_clr(&b, m));
		break;
	default:
		CHECK(builder_add_id(&b, action, id->id, id->creatorid));
	}
	return builder_finish(&b);
}

static void each_byte(const struct dialect *d, enum pf_action action, const void *m, size_t size,
		      const struct field *field, size_t fields)
{
	enum class class[1500] = {FIXED};
	uint8_t buf[1500], other[1500], changed[sizeof(struct pf_state)];
	size_t len = one(d, action, m, buf);

	CHECK(!outgoing_wrong(d, buf, len));
	for (size_t f = 0; f < fields; f++)
		for (unsigned fill = 0; fill < 2; fill++) { /* one of both is another value */
			memcpy(changed, m, size);
			memset(changed + field[f].at, fill ? 0x5a : 0xa5, field[f].size);
			CHECK_EQ(one(d, action, changed, other), len);
			for (size_t i = 0; i < len; i++)
				if (buf[i] != other[i])
					class[i] = field[f].class;
		}
	class[PFSYNC_HEADER_LEN] = BOUND; /* other actions have messages of that length */
	if (size == sizeof(struct pf_state) && d->layout != LAYOUT_1500) {
		struct pf_state s; /* told once: there is nothing to compare it with */

		memcpy(&s, m, sizeof(s));
		if (d->layout != LAYOUT_OPENBSD)
			s.af = s.stack_af = 6;
		s.proto = s.stack_proto = 17;
		(void)one(d, action, &s, other);
		for (size_t i = 0; i < len; i++)
			if (buf[i] != other[i])
				class[i] = FREE;
	}
	/* another family on one side is af-to, where there is a place to say it */
	if (size == sizeof(struct pf_state) && d->layout == LAYOUT_1500)
		class[HEAD + 344] = class[HEAD + 345] = BOUND;
	if (size == sizeof(struct pf_state) && d->layout == LAYOUT_OPENBSD)
		class[HEAD + 64 + 38] = BOUND;
	for (size_t i = 0; i < len; i++) {
		unsigned refused = 0;
		uint8_t was = buf[i];

		for (unsigned v = 0; v < 256; v++) {
			buf[i] = (uint8_t)v;
			refused += v != was && outgoing_wrong(d, buf, len);
		}
		buf[i] = was;
		if (!CHECK(class[i] == FREE || (class[i] == FIXED && refused == 255) ||
			   (class[i] == BOUND && refused)))
			printf(" (%s, %s, byte %zu, %u refused)", d->name, action_name(action), i,
			       refused);
	}
}

#define EACH_BYTE(action, m, fields)                                                               \
	each_byte(d, action, m, sizeof(*(m)), fields, sizeof(fields) / sizeof((fields)[0]))

static void test_each_byte(void)
{
	static const struct msg_bus bus = {.creatorid = 0x01020304, .status = BUS_START};
	static const struct msg_clr clr = {.creatorid = 0x01020304};
	static const struct msg_id id = {.id = 0x0102030405060708, .creatorid = 0x01020304};
	struct pf_state s = sample_state(4);
	struct msg_upd_c u = sample_upd_c();

	s.id = u.id = id.id; /* no byte alone makes it zero */
	s.creatorid = u.creatorid = id.creatorid;
	for (int i = 0; i < DIALECT_COUNT; i++) {
		const struct dialect *d = dialect_get((enum dialect_id)i);

		EACH_BYTE(ACT_INS, &s, state_fields);
		EACH_BYTE(ACT_UPD, &s, state_fields);
		EACH_BYTE(ACT_UPD_C, &u, upd_c_fields);
		EACH_BYTE(ACT_INS_ACK, &id, id_fields);
		EACH_BYTE(ACT_UPD_REQ, &id, id_fields);
		EACH_BYTE(ACT_DEL_C, &id, id_fields);
		EACH_BYTE(ACT_BUS, &bus, bus_fields);
		EACH_BYTE(ACT_CLR, &clr, clr_fields);
	}
}

int main(void)
{
	static const struct check_test tests[] = {
		{"good packets pass", test_good},
		{"each bad field of a state is found", test_bad_states},
		{"acknowledgement wanted", test_ack_wanted},
		{"each bad byte is found", test_bad_bytes},
		{"translation between families", test_af_to},
		{"EOF where it belongs", test_eof},
		{"bad small messages are found", test_small},
		{"bad sections are found", test_sections},
		{"each byte has one value, some, or any", test_each_byte},
	};

	return check_main("outgoing", tests, sizeof(tests) / sizeof(tests[0]));
}
