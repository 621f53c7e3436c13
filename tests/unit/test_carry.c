/* SPDX-License-Identifier: GPL-2.0-or-later */
/* States that need more than a tuple: when they are installed, as what, and how they go back. */
#include "check.h"
#include "model.h"
#include "xlat.h"

#include <errno.h>

enum { OURS = 0x0a0b0c0d, PEERS = 0x11223344, AHEAD = 0x3c000000 };

static struct node n;
static struct fake pf;
static struct pf_state in, out;

static void begin(enum dialect_id d, const struct tuples *t)
{
	struct engine_config c = node_config(OURS);

	node_meet(&n, &pf, &c, d);
	in = fake_half(&pf, t, PF_IN, 10);
	out = fake_half(&pf, t, PF_OUT, 11);
}

static void end(void)
{
	CHECK_STR(n.wrong ? n.wrong : "", "");
	node_stop(&n);
}

static void diffs(struct pf_state *s, uint32_t src, uint32_t dst)
{
	s->src.seqdiff = src;
	s->dst.seqdiff = dst;
}

static void tell(const struct pf_state *s)
{
	fake_state(&pf, &n, ACT_INS, s);
}

static void check_adds(const struct tuples *t, uint32_t orig, uint32_t reply)
{
	const struct model_entry *m = node_entry(&n, t);

	if (!CHECK(m != NULL))
		return;
	CHECK_EQ(m->k.seqadj[0], orig);
	CHECK_EQ(m->k.seqadj[1], reply);
}

static void check_kept(const struct tuples *t, enum reason r)
{
	struct flow_view v;

	CHECK(node_entry(&n, t) == NULL);
	CHECK(node_flow(&n, t, &v) && v.kept == r && !v.in_kernel);
}

/* Offsets of both states, in any order of their coming; the sum is modulo 2^32. */
static void both_add(void)
{
	static const struct {
		uint32_t in[2], out[2], sum[2];
	} rows[] = {
		{{0, 0}, {77, 88}, {77, 88}},
		{{77, 88}, {0, 0}, {77, 88}},
		{{1, 2}, {30, 40}, {31, 42}},
		{{0x80000001, 0xffffffff}, {0x80000000, 2}, {1, 1}},
		{{5, 6}, {(uint32_t)-5, 7}, {0, 13}},
		{{5, 6}, {(uint32_t)-5, (uint32_t)-6}, {0, 0}},
	};
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	struct flow_view v;

	tuples_snat(&t, 2, 50001);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int order = 0; order < 3; order++) {
			begin(order ? DIALECT_OPENBSD : DIALECT_FREEBSD_14, &t);
			diffs(&in, rows[i].in[0], rows[i].in[1]);
			diffs(&out, rows[i].out[0], rows[i].out[1]);
			if (order == 2) {
				fake_begin(&pf);
				(void)builder_add_state(&pf.b, ACT_INS, &in);
				(void)builder_add_state(&pf.b, ACT_INS, &out);
				fake_end(&pf, &n);
			} else {
				tell(order ? &out : &in);
				tell(order ? &in : &out);
			}
			check_adds(&t, rows[i].sum[0], rows[i].sum[1]);
			CHECK(node_flow(&n, &t, &v) && v.kept == R_NONE && v.in_kernel);
			CHECK_EQ(node_flows(&n), 1);
			end();
		}
	}
}

/* What cannot be added yet, or at all, is kept: nothing of it is in the kernel. */
static void kept(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);

	begin(DIALECT_FREEBSD_13, &t);
	diffs(&out, 77, 88);
	tell(&out); /* a half alone */
	check_kept(&t, R_SEQDIFF);
	diffs(&in, 5, 0); /* pf will draw the other one when the server speaks */
	fake_begin(&pf);
	(void)builder_add_state(&pf.b, ACT_UPD, &in);
	fake_end(&pf, &n);
	check_kept(&t, R_SEQDIFF);
	CHECK(node_refused(&n, R_SEQDIFF) >= 2);
	diffs(&in, 5, 6);
	fake_upd_c(&pf, &n, &in);
	check_adds(&t, 82, 94);
	diffs(&in, 5, 7); /* another offset: another entry */
	fake_upd_c(&pf, &n, &in);
	check_adds(&t, 82, 95);
	end();

	begin(DIALECT_FREEBSD_13, &t); /* its tracker rewrites nothing */
	diffs(&out, 77, 88);
	out.state_flags = PF_FLAG_SLOPPY;
	tell(&in);
	CHECK(node_entry(&n, &t) != NULL);
	tell(&out);
	check_kept(&t, R_SEQDIFF);
	end();

	begin(DIALECT_FREEBSD_14, &t); /* the other half has something of its own */
	diffs(&out, 77, 88);
	in.rt = 2;
	tell(&in);
	tell(&out);
	check_kept(&t, R_ROUTE_TO);
	end();

	begin(DIALECT_FREEBSD_13, &t); /* of what is no TCP it means nothing */
	t = tuples_v4(PROTO_UDP, 10, 40000);
	in = fake_half(&pf, &t, PF_IN, 10);
	diffs(&in, 77, 88);
	tell(&in);
	CHECK(node_entry(&n, &t) != NULL);
	end();
}

/* A synproxy handshake, and what it leaves. */
static void synproxy(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);

	begin(DIALECT_FREEBSD_13, &t);
	in.src.state = PF_TCP_PROXY_DST;
	in.dst.state = 0;
	tell(&in);
	check_kept(&t, R_SYNPROXY);
	in.src.state = in.dst.state = PF_TCP_ESTABLISHED;
	diffs(&in, 0xffffff00, 3);
	fake_upd_c(&pf, &n, &in);
	check_kept(&t, R_SEQDIFF);
	tell(&out);
	check_adds(&t, 0xffffff00, 3);
	end();

	begin(DIALECT_FREEBSD_13, &t); /* nothing was shifted: a flow like any other */
	in.src.state = PF_TCP_PROXY_DST;
	in.dst.state = 0;
	tell(&in);
	in.src.state = in.dst.state = PF_TCP_ESTABLISHED;
	fake_upd_c(&pf, &n, &in);
	check_adds(&t, 0, 0);
	end();
}

/* A state that began to shift after it was told: the whole of it is asked for. */
static void shifted_later(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);

	begin(DIALECT_FREEBSD_14, &t);
	tell(&in);
	tell(&out);
	check_adds(&t, 0, 0);
	diffs(&out, 77, 88);
	fake_upd_c(&pf, &n, &out);
	CHECK(node_about(&n, ACT_UPD_REQ, 11, PEERS) != NULL);
	fake_state(&pf, &n, ACT_UPD, &out);
	check_adds(&t, 77, 88);
	node_quiet(&n);
	fake_upd_c(&pf, &n, &out);
	CHECK_EQ(node_said(&n, ACT_UPD_REQ), 0);
	CHECK_EQ(node_count(&n), 1);
	end();
}

/* The half that shifted is replaced by one that does not, under another name. */
static void shifts_no_more(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);

	for (int kept = 0; kept < 2; kept++) {
		begin(DIALECT_FREEBSD_13, &t);
		diffs(&out, 77, kept ? 0 : 88);
		tell(&in);
		tell(&out);
		if (kept)
			check_kept(&t, R_SEQDIFF);
		else
			check_adds(&t, 77, 88);
		fake_id(&pf, &n, ACT_DEL_C, 11, PEERS);
		out = fake_half(&pf, &t, PF_OUT, 13);
		tell(&out);
		check_adds(&t, 0, 0);
		end();
	}
}

/* A kernel that refuses the offsets, or takes the entry without them. */
static void kernel_cannot(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);

	for (int silent = 0; silent < 2; silent++) {
		begin(DIALECT_FREEBSD_13, &t);
		diffs(&out, 77, 88);
		tell(&out);
		n.fail = silent ? 0 : EINVAL;
		n.no_seqadj = silent;
		tell(&in);
		check_kept(&t, R_SEQDIFF);
		n.fail = 0;
		n.no_seqadj = false;
		CHECK(node_refused(&n, R_SEQDIFF) >= 2);
		fake_upd_c(&pf, &n, &in); /* not tried at each word */
		node_run(&n, 20000);
		check_kept(&t, R_SEQDIFF);
		end();
	}
	begin(DIALECT_FREEBSD_13, &t); /* a full table is none of that: it is tried again */
	diffs(&out, 77, 88);
	tell(&out);
	n.fail = ENOMEM;
	tell(&in);
	CHECK(node_entry(&n, &t) == NULL);
	n.fail = 0;
	node_run(&n, 20000);
	check_adds(&t, 77, 88);
	end();
}

/* The state that rewrites is moved ahead, once on the same numbers; the other one is replaced. */
static void taken_over(void)
{
	for (int d = DIALECT_FREEBSD_13; d <= DIALECT_OPENBSD; d++) {
		struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
		const struct said *m;

		begin((enum dialect_id)d, &t);
		diffs(&out, 77, 88);
		out.dst.seqlo = (uint32_t)-AHEAD; /* never 0, which means that nothing is known */
		tell(&in);
		tell(&out);
		CHECK(node_packet(&n, &t, false) && node_packet(&n, &t, true));
		node_run(&n, 60);
		CHECK(node_about(&n, ACT_DEL_C, 10, PEERS) && node_about(&n, ACT_INS, 10, PEERS));
		CHECK(!node_about(&n, ACT_DEL_C, 11, PEERS) && !node_about(&n, ACT_INS, 11, PEERS));
		m = node_about(&n, ACT_UPD_C, 11, PEERS);
		if (CHECK(m != NULL)) {
			CHECK_EQ(m->u.src.seqdiff, 77);
			CHECK_EQ(m->u.dst.seqdiff, 88);
			CHECK_EQ(m->u.src.seqlo, 0x10000000 + AHEAD);
			CHECK_EQ(m->u.src.seqhi, 0x10000001 + AHEAD);
			CHECK_EQ(m->u.dst.seqlo, 1);
			CHECK_EQ(m->u.src.max_win & m->u.dst.max_win, 65535);
			CHECK_EQ(m->u.src.wscale & m->u.dst.wscale, 0x8e);
			CHECK_EQ(m->u.src.state & m->u.dst.state, PF_TCP_ESTABLISHED);
		}
		/* who asks gets the same, strict and whole */
		node_quiet(&n);
		fake_id(&pf, &n, ACT_UPD_REQ, 11, PEERS);
		node_run(&n, 60);
		m = node_about(&n, ACT_UPD, 11, PEERS);
		if (CHECK(m != NULL)) {
			CHECK_EQ(m->s.src.seqdiff, 77);
			CHECK_EQ(m->s.dst.seqdiff, 88);
			CHECK_EQ(m->s.src.seqlo, 0x10000000 + AHEAD);
			CHECK_EQ(m->s.state_flags, 0);
		}
		/* pf carries it and has passed one side's: the other stays where it is */
		node_run(&n, 5000);
		out.src = m ? m->s.src : out.src;
		out.src.seqlo += 1000;
		out.dst.seqlo = 1;
		for (int i = 0; i < 3; i++) {
			out.src.seqlo += 1000;
			fake_upd_c(&pf, &n, &out);
			node_run(&n, 1000);
		}
		node_quiet(&n);
		for (int i = 0; i < 40 && !node_about(&n, ACT_UPD_C, 11, PEERS); i++) {
			(void)node_packet(&n, &t, i & 1);
			node_run(&n, 1000);
		}
		m = node_about(&n, ACT_UPD_C, 11, PEERS);
		if (CHECK(m != NULL)) {
			CHECK_EQ(m->u.src.seqlo, out.src.seqlo + AHEAD);
			CHECK_EQ(m->u.dst.seqlo, 1);
		}
		end();
	}
}

/* A daemon that begins anew finds its entry, and does not tell it as one that shifts nothing. */
static void restarted(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);
	size_t told = 0;

	begin(DIALECT_FREEBSD_13, &t);
	diffs(&out, 77, 88);
	tell(&in);
	tell(&out);
	CHECK(node_packet(&n, &t, true));
	node_run(&n, 60);
	node_restart(&n);
	node_quiet(&n);
	fake_bus(&pf, &n, BUS_START);
	out.src.seqlo += AHEAD; /* as it was told before */
	out.dst.seqlo += AHEAD;
	out.src.seqhi = out.src.seqlo + 1;
	out.dst.seqhi = out.dst.seqlo + 1;
	out.src.max_win = out.dst.max_win = 65535;
	out.src.wscale = out.dst.wscale = 0x8e;
	in.state_flags = PF_FLAG_SLOPPY;
	fake_state(&pf, &n, ACT_UPD, &in);
	fake_state(&pf, &n, ACT_UPD, &out);
	fake_bus(&pf, &n, BUS_END);
	n.created = n.deleted = 0;
	for (int i = 0; i < 60; i++) {
		(void)node_packet(&n, &t, i & 1);
		node_run(&n, 500);
	}
	check_adds(&t, 77, 88);
	CHECK_EQ(n.created + n.deleted, 0);
	CHECK_EQ(node_said(&n, ACT_INS) + node_said(&n, ACT_DEL_C), 0);
	for (size_t i = 0; i < n.saids; i++) {
		if (n.said[i].id != 11)
			continue;
		told++;
		CHECK_EQ(n.said[i].action == ACT_UPD ? n.said[i].s.src.seqlo
						     : n.said[i].u.src.seqlo,
			 out.src.seqlo);
	}
	CHECK(told > 0);
	end();
}

/* Another node has carried the flow and moved it: its word is not moved once more. */
static void moved_by_another(void)
{
	struct tuples t = tuples_v6(PROTO_TCP, 10, 40000);
	const struct said *m;

	begin(DIALECT_FREEBSD_15, &t);
	diffs(&out, 77, 88);
	tell(&in);
	tell(&out);
	out.src.seqlo += AHEAD;
	out.dst.seqlo += AHEAD;
	out.src.seqhi = out.src.seqlo + 1;
	out.dst.seqhi = out.dst.seqlo + 1;
	out.src.max_win = out.dst.max_win = 65535;
	out.src.wscale = out.dst.wscale = 0x8e;
	fake_upd_c(&pf, &n, &out);
	node_quiet(&n);
	CHECK(node_packet(&n, &t, false) && node_packet(&n, &t, true));
	node_run(&n, 60);
	m = node_about(&n, ACT_UPD_C, 11, PEERS);
	if (CHECK(m != NULL)) {
		CHECK_EQ(m->u.src.seqlo, 0x10000000 + AHEAD);
		CHECK_EQ(m->u.dst.seqlo, 0x20000000 + AHEAD);
		CHECK_EQ(m->u.src.seqdiff, 77);
	}
	check_adds(&t, 77, 88);
	end();
}

/* The kernel has an entry already: one that adds something else is made anew. */
static void exists(void)
{
	struct tuples t = tuples_v4(PROTO_TCP, 10, 40000);

	begin(DIALECT_FREEBSD_13, &t);
	node_plant(&n, &t, CT_TCP_ESTABLISHED, CT_STATUS_CONFIRMED, 600)->k.seqadj[0] = 5;
	diffs(&out, 77, 88);
	tell(&out);
	tell(&in);
	check_adds(&t, 77, 88);
	CHECK_EQ(node_count(&n), 1);
	end();
}

/* ---- SCTP ------------------------------------------------------------------------------ */

enum { TAG = 0x0a1b2c3d, TAG_BACK = 0xf0e1d2c3, TAG_SENT = 0x3d2c1b0a, TAG_BACK_SENT = 0xc3d2e1f0 };

static struct tuples association(void)
{
	struct tuples t = tuples_v4(PROTO_SCTP, 10, 0);

	t.end[ORIG_SRC].port = t.end[REPLY_DST].port = 5060;
	t.end[ORIG_DST].port = t.end[REPLY_SRC].port = 2905;
	return t;
}

static struct pf_state sctp_half(const struct tuples *t, uint8_t direction, uint64_t id)
{
	struct pf_state s = fake_half(&pf, t, direction, id);

	s.src = (struct pf_peer){.state = 8, .scrub_flag = 1, .ts_mod = TAG_SENT};
	s.dst = (struct pf_peer){.state = 8, .scrub_flag = 1, .ts_mod = TAG_BACK_SENT};
	s.timeout = PFTM_SCTP_ESTABLISHED;
	return s;
}

static struct model_entry *plant(const struct tuples *t, uint8_t state)
{
	struct model_entry *m = node_plant(&n, t, 0, CT_STATUS_CONFIRMED | CT_STATUS_SEEN_REPLY,
					   210);

	m->k.sctp_state = state;
	m->k.vtag[0] = TAG;
	m->k.vtag[1] = TAG_BACK;
	return m;
}

static void check_tags(const struct pf_peer *src, const struct pf_peer *dst)
{
	CHECK_EQ(src->state, 8);
	CHECK_EQ(dst->state, 8);
	CHECK_EQ(src->scrub_flag & dst->scrub_flag, 1);
	CHECK_EQ(src->ts_mod, TAG_SENT);
	CHECK_EQ(dst->ts_mod, TAG_BACK_SENT);
	CHECK_EQ(src->scrub_flags | dst->scrub_flags | src->scrub_ttl | dst->scrub_ttl, 0);
	CHECK_EQ(src->seqlo | dst->seqlo | src->seqhi | dst->seqhi, 0);
}

static void sctp_told(void)
{
	for (int d = DIALECT_FREEBSD_13; d <= DIALECT_OPENBSD; d++) {
		bool knows = d == DIALECT_FREEBSD_14 || d == DIALECT_FREEBSD_15;
		struct tuples t = association();
		struct model_entry *m;
		const struct said *said;

		begin((enum dialect_id)d, &t);
		m = plant(&t, CT_SCTP_COOKIE_ECHOED);
		engine_resync(n.e, n.now);
		node_run(&n, 1000);
		CHECK_EQ(node_said(&n, ACT_INS), 0);
		CHECK(node_refused(&n, R_NOT_YET) > 0);
		m->k.sctp_state = CT_SCTP_ESTABLISHED;
		engine_resync(n.e, n.now);
		node_run(&n, 5000);
		CHECK_EQ(node_said(&n, ACT_INS), knows ? 2 : 0);
		for (size_t i = 0; knows && i < 2; i++) {
			said = node_nth(&n, ACT_INS, i);
			if (!CHECK(said != NULL))
				break;
			check_tags(&said->s.src, &said->s.dst);
			CHECK_EQ(said->s.timeout, PFTM_SCTP_ESTABLISHED);
			CHECK_EQ(said->s.state_flags, 0);
			CHECK_EQ(said->s.key[PF_WIRE].port[0] + said->s.key[PF_WIRE].port[1],
				 5060 + 2905);
		}
		/* kept alive, and in no state of a shutdown, which no pf takes */
		m->k.sctp_state = CT_SCTP_SHUTDOWN_SENT;
		node_quiet(&n);
		for (int i = 0; i < 40; i++) {
			(void)node_packet(&n, &t, i & 1);
			node_run(&n, 1000);
		}
		said = node_nth(&n, d == DIALECT_FREEBSD_14 ? ACT_UPD : ACT_UPD_C, 0);
		CHECK_EQ(said != NULL, knows);
		if (said && d == DIALECT_FREEBSD_15)
			check_tags(&said->u.src, &said->u.dst);
		end();
	}
}

static void sctp_taken(void)
{
	struct tuples t = association();
	const struct model_entry *m;
	struct flow_view v;

	begin(DIALECT_FREEBSD_15, &t);
	in = sctp_half(&t, PF_IN, 10);
	out = sctp_half(&t, PF_OUT, 11);
	in.dst.ts_mod = 0; /* the server has not answered yet */
	in.src.state = 2;
	in.dst.state = 0;
	in.timeout = PFTM_SCTP_FIRST;
	tell(&in);
	check_kept(&t, R_SCTP_TAGS);
	in = sctp_half(&t, PF_IN, 10);
	fake_upd_c(&pf, &n, &in);
	tell(&out);
	m = node_entry(&n, &t);
	if (CHECK(m != NULL)) {
		CHECK_EQ(m->k.sctp_state, CT_SCTP_ESTABLISHED);
		CHECK_EQ(m->k.vtag[0], TAG);
		CHECK_EQ(m->k.vtag[1], TAG_BACK);
		CHECK_EQ(m->k.timeout, 86400);
	}
	CHECK(node_flow(&n, &t, &v) && v.kept == R_NONE && v.in_kernel);
	/* another association between the same ports */
	out.src.ts_mod = 0x01000000;
	fake_upd_c(&pf, &n, &out);
	m = node_entry(&n, &t);
	CHECK(m && m->k.vtag[0] == 1 && m->k.vtag[1] == TAG_BACK);
	/* nothing tells that its traffic comes here, so it is looked at */
	node_quiet(&n);
	for (int i = 0; i < 30 && !v.live; i++) {
		(void)node_packet(&n, &t, i & 1);
		node_run(&n, 1000);
		CHECK(node_flow(&n, &t, &v));
	}
	CHECK(v.live);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 0);
	CHECK(node_about(&n, ACT_UPD_C, 10, PEERS) != NULL);
	end();
}

/* An entry of an association before it would drop everything. */
static void sctp_exists(void)
{
	struct tuples t = association();
	const struct model_entry *m;

	begin(DIALECT_FREEBSD_14, &t);
	plant(&t, CT_SCTP_SHUTDOWN_SENT)->k.vtag[0] = 5;
	in = sctp_half(&t, PF_IN, 10);
	tell(&in);
	m = node_entry(&n, &t);
	CHECK(m && m->k.vtag[0] == TAG && m->k.sctp_state == CT_SCTP_ESTABLISHED);
	CHECK_EQ(node_count(&n), 1);
	end();
}

/* Those who do not track SCTP tell neither ports nor tags: kept for them, and given to no other. */
static void sctp_of_others(void)
{
	for (int d = DIALECT_FREEBSD_13; d <= DIALECT_OPENBSD; d += DIALECT_OPENBSD) {
		struct tuples t = tuples_v4(PROTO_SCTP, 10, 0);
		const struct said *said;

		begin((enum dialect_id)d, &t);
		tell(&in);
		check_kept(&t, R_SCTP_TAGS);
		fake_id(&pf, &n, ACT_UPD_REQ, 10, PEERS);
		node_run(&n, 60);
		said = node_about(&n, ACT_UPD, 10, PEERS);
		if (CHECK(said != NULL)) {
			CHECK_EQ(said->s.timeout, PFTM_OTHER_MULTIPLE);
			CHECK_EQ(said->s.key[0].port[0] | said->s.key[0].port[1], 0);
		}
		end();
	}
}

/* ---- GRE ------------------------------------------------------------------------------- */

/* An entry of ours outlasts its packets, is told while they pass, and runs out at rest. */
static void gre(void)
{
	struct tuples t = tuples_v4(PROTO_GRE, 10, 0);
	struct flow_view v;

	begin(DIALECT_FREEBSD_15, &t);
	tell(&in);
	tell(&out);
	for (int i = 0; i < 100; i++) { /* the peer carries it */
		fake_upd_c(&pf, &n, &in);
		node_run(&n, 1000);
		CHECK(node_entry(&n, &t) != NULL);
	}
	CHECK_EQ(n.writes_failed, 0);
	node_quiet(&n);
	for (int i = 0; i < 200; i++) {
		CHECK(node_packet(&n, &t, i & 1));
		node_run(&n, 1000);
	}
	CHECK(node_flow(&n, &t, &v) && v.live);
	CHECK_EQ(node_counter(&n, C_TAKEN_OVER), 1);
	CHECK_EQ(n.writes_failed, 0);
	CHECK(node_said(&n, ACT_UPD_C) >= 6 && node_said(&n, ACT_DEL_C) == 0);
	for (int i = 0; i < 5; i++) { /* and the peer again: our own packets are old news */
		fake_upd_c(&pf, &n, &in);
		node_run(&n, 1000);
	}
	CHECK(node_flow(&n, &t, &v) && !v.live);
	CHECK_EQ(node_counter(&n, C_TAKEN_OVER), 1);
	node_quiet(&n);
	node_run(&n, 200000);
	CHECK(node_entry(&n, &t) == NULL);
	CHECK_EQ(node_said(&n, ACT_DEL_C), 0);
	end();
}

/* What pf has no place for is not told. */
static void keyed(void)
{
	struct tuples t = tuples_v4(PROTO_GRE, 10, 0);

	begin(DIALECT_FREEBSD_13, &t);
	t.end[ORIG_DST].port = t.end[REPLY_SRC].port = 77;
	node_open(&n, &t);
	node_run(&n, 5000);
	CHECK_EQ(node_said(&n, ACT_INS), 0);
	CHECK(node_refused(&n, R_KEYED) > 0);
	end();
}

/* ---- af-to ----------------------------------------------------------------------------- */

/* A client of IPv6 and a server of IPv4; the stack key has the other family, and its ends swapped.
 */
static struct pf_state nat64(uint8_t proto, uint64_t id)
{
	struct tuples t = tuples_v6(proto, 10, 40000), four = tuples_v4(proto, 2, 50001);
	struct pf_state s = fake_half(&pf, &t, PF_IN, id);
	struct pf_key key[2];

	if (proto == PROTO_ICMPV6) {
		four.proto = PROTO_ICMP;
		four.icmp_type = 8;
		s.stack_proto = PROTO_ICMP;
	}
	xlat_keys(&four, PF_OUT, true, key);
	s.key[PF_STACK] = key[PF_STACK];
	s.stack_af = 4;
	return s;
}

/* Kept, shown, told again as it came to who says it in the same layout, never deleted there. */
static void af_to(void)
{
	static const uint8_t protos[] = {PROTO_TCP, PROTO_UDP, PROTO_ICMPV6};

	for (int i = 0; i < 6; i++) {
		enum dialect_id d = i & 1 ? DIALECT_OPENBSD : DIALECT_FREEBSD_15;
		struct tuples t = tuples_v6(protos[i / 2], 10, 40000);
		const struct said *said;
		struct flow_view v;

		begin(d, &t);
		n.created = n.deleted = 0;
		in = nat64(protos[i / 2], 10);
		tell(&in);
		check_kept(&t, R_AF_TO);
		CHECK_EQ(n.created, 0);
		CHECK_EQ(node_refused(&n, R_AF_TO), 1);
		for (int bulk = 0; bulk < 2; bulk++) {
			node_quiet(&n);
			fake_id(&pf, &n, ACT_UPD_REQ, bulk ? 0 : 10, bulk ? 0 : PEERS);
			node_run(&n, 1000);
			CHECK_EQ(node_said(&n, ACT_UPD), 1);
			said = node_about(&n, ACT_UPD, 10, PEERS);
			if (!CHECK(said != NULL))
				continue;
			CHECK_MEM(&said->s.key[PF_WIRE].addr, &in.key[PF_WIRE].addr, 32);
			CHECK_MEM(&said->s.key[PF_STACK].addr, &in.key[PF_STACK].addr, 32);
			CHECK_MEM(&said->s.key[PF_WIRE].port, &in.key[PF_WIRE].port, 4);
			CHECK_MEM(&said->s.key[PF_STACK].port, &in.key[PF_STACK].port, 4);
			CHECK_MEM(&said->s.src, &in.src, sizeof(in.src));
			CHECK_MEM(&said->s.dst, &in.dst, sizeof(in.dst));
			CHECK_EQ(layout_family(said->layout, said->s.af), 6);
			CHECK_EQ(layout_family(said->layout, said->s.stack_af), 4);
			if (d == DIALECT_FREEBSD_15)
				CHECK_EQ(said->s.stack_proto, in.stack_proto);
			CHECK_EQ(said->s.timeout, in.timeout);
			CHECK_EQ(said->s.direction, PF_IN);
		}
		node_quiet(&n);
		fake_upd_c(&pf, &n, &in);
		CHECK(node_flow(&n, &t, &v) && v.kept == R_AF_TO);
		node_run(&n, 90000000); /* it runs out in silence */
		CHECK_EQ(node_flows(&n), 0);
		CHECK_EQ(node_said(&n, ACT_DEL_C) + node_said(&n, ACT_INS), 0);
		in.id = 12;
		tell(&in);
		CHECK_EQ(node_flows(&n), 1);
		fake_id(&pf, &n, ACT_DEL_C, 12, PEERS);
		CHECK_EQ(node_flows(&n), 0);
		CHECK_EQ(n.created + n.deleted, 0);
		end();
	}
}

/* A peer of another layout is not told: it would be another state there. */
static void af_to_elsewhere(void)
{
	struct tuples t = tuples_v6(PROTO_TCP, 10, 40000);
	struct fake other;

	begin(DIALECT_OPENBSD, &t);
	fake_init(&other, DIALECT_FREEBSD_15, 3, 0x55667788);
	t = tuples_v4(PROTO_UDP, 200, 9);
	out = fake_half(&other, &t, PF_IN, 77);
	fake_state(&other, &n, ACT_INS, &out);
	in = nat64(PROTO_TCP, 10);
	tell(&in);
	node_run(&n, 1000);
	node_quiet(&n);
	fake_id(&pf, &n, ACT_UPD_REQ, 10, PEERS);
	node_run(&n, 1000);
	CHECK(node_said(&n, ACT_UPD) > 0);
	for (size_t i = 0; i < n.saids; i++)
		if (n.said[i].id == 10 && n.said[i].action == ACT_UPD)
			CHECK_EQ(n.said[i].layout, LAYOUT_OPENBSD);
	end();
}

int main(void)
{
	static const struct check_test tests[] = {
		{"both states add", both_add},
		{"kept", kept},
		{"synproxy", synproxy},
		{"the kernel cannot", kernel_cannot},
		{"taken over", taken_over},
		{"restarted", restarted},
		{"shifted later", shifted_later},
		{"shifts no more", shifts_no_more},
		{"moved by another", moved_by_another},
		{"exists already", exists},
		{"SCTP is told", sctp_told},
		{"SCTP is taken", sctp_taken},
		{"SCTP exists already", sctp_exists},
		{"SCTP of others", sctp_of_others},
		{"GRE", gre},
		{"keyed", keyed},
		{"af-to", af_to},
		{"af-to elsewhere", af_to_elsewhere},
	};

	return check_main("carry", tests, sizeof(tests) / sizeof(tests[0]));
}
