/* SPDX-License-Identifier: GPL-2.0-or-later */
/* States that need more than a tuple: when they are installed, as what, and how they go back. */
#include "check.h"
#include "model.h"

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

int main(void)
{
	static const struct check_test tests[] = {
		{"both states add", both_add}, {"kept", kept},
		{"synproxy", synproxy},	       {"the kernel cannot", kernel_cannot},
		{"taken over", taken_over},    {"restarted", restarted},
		{"exists already", exists},
	};

	return check_main("carry", tests, sizeof(tests) / sizeof(tests[0]));
}
