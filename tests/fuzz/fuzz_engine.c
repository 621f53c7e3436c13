/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine with the model kernel, driven by a script: packets of two peers (raw bytes, and
 * messages that are well-formed but say anything), traffic, events, link changes, commands, time.
 * Beside what the sanitizers find: no packet of ours that no pf would send, no busy loop, and
 * views that agree with themselves. The first byte chooses the configuration.
 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct node n;
static struct fake peer[2];

static struct tuples some_tuples(struct reader *r)
{
	static const uint8_t protos[] = {PROTO_TCP, PROTO_UDP, PROTO_ICMP, 47};
	uint8_t b = reader_u8(r), c = reader_u8(r);
	uint8_t proto = protos[b & 3];
	struct tuples t;

	if (b & 4)
		t = tuples_v6(proto == PROTO_ICMP ? PROTO_ICMPV6 : proto, 10, 1000 + (c & 3));
	else
		t = tuples_v4(proto, 10, 1000 + (c & 3));
	if (b & 8)
		tuples_snat(&t, 2, (uint16_t)(5000 + (c >> 2 & 3)));
	if (b & 16 && !proto_is_icmp(t.proto))
		tuples_dnat(&t, 200, (uint16_t)(6000 + (c >> 4 & 1)));
	if (b & 32)
		t.end[ORIG_SRC].addr[3] = t.end[REPLY_DST].addr[3] = 2; /* ours */
	return t;
}

static struct pf_state some_state(struct reader *r, const struct fake *f)
{
	struct tuples t = some_tuples(r);
	uint8_t b = reader_u8(r), c = reader_u8(r), d = reader_u8(r);
	struct pf_state s = fake_half(f, &t, b & 1 ? PF_IN : PF_OUT, b >> 2 & 15);

	s.src.state = c & 15;
	s.dst.state = c >> 4;
	s.src.seqlo += (uint32_t)(d & 15) << 27;
	s.dst.seqlo += (uint32_t)(d >> 4) << 27;
	if (b & 2)
		s.state_flags = reader_u8(r);
	if (b & 64)
		s.timeout = reader_u8(r);
	if (b & 128) {
		b = reader_u8(r);
		s.creatorid = b & 7 ? 0x100u + (b & 7) : 0;
		s.src.seqdiff = b & 8;
		s.key[0].port[1] ^= b >> 4 & 1;
		s.key[1].addr[0][0] ^= b >> 5 & 1;
		s.direction = b & 64 ? reader_u8(r) : s.direction;
		s.expire = b & 128 ? reader_u32(r) : 0;
	}
	return s;
}

static void put_message(struct reader *r, struct fake *f)
{
	struct pf_state s = some_state(r, f);
	uint8_t b = reader_u8(r);
	struct msg_upd_c u = {.id = s.id,
			      .creatorid = s.creatorid,
			      .src = s.src,
			      .dst = s.dst,
			      .timeout = s.timeout};
	struct msg_bus bus = {.creatorid = s.creatorid, .status = b >> 4};
	struct msg_clr clr = {.creatorid = s.creatorid};

	switch (b & 15) {
	case 0:
	case 1:
	case 2:
		(void)builder_add_state(&f->b, ACT_INS, &s);
		break;
	case 3:
		(void)builder_add_state(&f->b, ACT_UPD, &s);
		break;
	case 4:
	case 5:
		(void)builder_add_upd_c(&f->b, &u);
		break;
	case 6:
	case 7:
		(void)builder_add_id(&f->b, ACT_DEL_C, s.id, s.creatorid);
		break;
	case 8:
		(void)builder_add_id(&f->b, ACT_UPD_REQ, b & 16 ? 0 : s.id,
				     b & 16 ? 0 : s.creatorid);
		break;
	case 9:
		(void)builder_add_bus(&f->b, &bus);
		break;
	case 10:
		if (b & 16)
			memcpy(clr.ifname, "em0", 3);
		(void)builder_add_clr(&f->b, &clr);
		break;
	case 11:
		(void)builder_add_id(&f->b, ACT_INS_ACK, s.id, s.creatorid);
		break;
	default: /* about what the node itself has told */
		if (!n.saids)
			break;
		u.id = n.said[b % n.saids].id;
		u.creatorid = n.said[b % n.saids].creatorid;
		s.id = u.id;
		s.creatorid = u.creatorid;
		if (b & 16)
			(void)builder_add_upd_c(&f->b, &u);
		else if (b & 32)
			(void)builder_add_id(&f->b, ACT_DEL_C, u.id, u.creatorid);
		else if (b & 64)
			(void)builder_add_id(&f->b, ACT_UPD_REQ, u.id, u.creatorid);
		else
			(void)builder_add_state(&f->b, ACT_INS, &s);
	}
}

static void hear(struct reader *r)
{
	uint8_t b = reader_u8(r);
	struct fake *f = &peer[b & 1];
	size_t len;

	fake_begin(f);
	for (int i = 0; i <= (b >> 1 & 7); i++)
		put_message(r, f);
	if (!builder_empty(&f->b)) {
		len = builder_finish(&f->b);
		if (b & 16) /* with a wrong byte */
			f->buf[reader_u8(r) % len] = reader_u8(r);
		node_hear_raw(&n, &f->address, f->buf, len);
		n.next = n.now;
	}
}

static void hear_raw(struct reader *r)
{
	size_t len = reader_u8(r);
	const uint8_t *p;
	uint8_t *copy;

	if (len > reader_left(r))
		len = reader_left(r);
	p = reader_bytes(r, len);
	copy = malloc(len ? len : 1); /* so that a byte too many is seen */
	if (!copy || !p)
		abort();
	memcpy(copy, p, len);
	node_hear_raw(&n, &peer[0].address, copy, len);
	free(copy);
}

static void traffic(struct reader *r)
{
	uint8_t b = reader_u8(r);
	struct tuples t = some_tuples(r);

	switch (b & 7) {
	case 0:
		node_new(&n, &t);
		break;
	case 1:
	case 2:
		(void)node_packet(&n, &t, b & 8);
		break;
	case 3:
		node_open(&n, &t);
		break;
	case 4:
		node_fin(&n, &t, b & 8);
		break;
	case 5:
		node_reset(&n, &t);
		break;
	case 6:
		node_kill(&n, &t);
		break;
	default:
		n.lose_events = b & 8;
	}
}

static void host(struct reader *r)
{
	uint8_t b = reader_u8(r);

	switch (b & 7) {
	case 0:
		node_link(&n, 0, b & 8, b & 16 ? 1500 : b & 32 ? 576 : 0);
		break;
	case 1:
		n.fail = b & 8 ? 12 : b & 16 ? 17 : 0;
		break;
	case 2:
		n.send_error = b & 8 ? 105 : 0;
		break;
	case 3:
		engine_on_overrun(n.e, n.now);
		break;
	case 4:
		engine_resync(n.e, n.now);
		break;
	case 5:
		if (b & 8)
			(void)engine_flush(n.e, n.now);
		else
			(void)engine_takeover(n.e, n.now);
		break;
	case 6:
		engine_on_pressure(n.e, b, 64);
		engine_on_nat_chain(n.e, b & 8);
		n.most = b & 16 ? 3 : 0;
		break;
	default:
		if (b & 8)
			node_restart(&n);
		else
			engine_reload(n.e, &n.config, n.now);
	}
	n.next = n.now;
}

static void check_views(void)
{
	struct engine_totals t;
	struct flow_view v;
	struct link_view l;
	struct peer_view p;
	uint64_t cursor = 0;
	size_t flows = 0, remote = 0;

	engine_totals(n.e, &t);
	while (engine_flow_next(n.e, &cursor, &v, n.now)) {
		flows++;
		remote += v.remote;
	}
	if (flows != t.flows || remote != t.remote || t.in_kernel > flows || t.live > flows)
		abort();
	if (!engine_link_view(n.e, 0, &l))
		abort();
	for (size_t i = 0; i < l.peers; i++)
		if (!engine_peer_view(n.e, i, &p))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct engine_config c = node_config(0x101);
	uint8_t b = reader_u8(&r);

	if (b & 1)
		c.link[0].dialect = dialect_get((enum dialect_id)(b >> 1 & 3));
	c.takeover = b & 8;
	c.link[0].handover_strict = b & 16;
	c.tcp_strict = b & 32;
	c.announce_local = b & 64;
	if (b & 128) {
		c.tcp = c.udp = c.icmp = c.other = FROM_NEW;
		c.max_states = 5;
		c.max_rate = 100;
	}
	node_start(&n, &c, 2, 1000 * S);
	fake_init(&peer[0], (enum dialect_id)(b >> 1 & 3), 1, 0x102);
	fake_init(&peer[1], (enum dialect_id)(b >> 2 & 3), 3, 0x103);
	for (int i = 0; i < 300 && reader_left(&r); i++) {
		b = reader_u8(&r);
		switch (b & 7) {
		case 0:
		case 1:
		case 2:
			hear(&r);
			break;
		case 3:
			hear_raw(&r);
			break;
		case 4:
			traffic(&r);
			break;
		case 5:
			host(&r);
			break;
		default:
			if (n.saids > 500)
				node_quiet(&n);
			node_run(&n, (uint64_t)1 << (b >> 3 & 15));
		}
	}
	node_run(&n, 5000);
	check_views();
	if (n.wrong) {
		(void)fprintf(stderr, "wrong: %s\n", n.wrong);
		abort();
	}
	node_stop(&n);
	return 0;
}
