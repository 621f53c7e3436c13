/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine with the model kernel, driven by a script: packets of peers in every dialect (raw
 * bytes, and well-formed messages of every kind of which any field can be given any value),
 * traffic, events, other programs, link changes, commands, restarts, time. Beside what the
 * sanitizers find: no packet of ours that no pf would send, no busy loop, no name of two flows, no
 * more flows than allowed, each counted for one peer, and in the end a table that agrees with the
 * kernel's. The first two bytes choose the configuration.
 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct node n;
static struct fake peer[3]; /* the last one is forged: another address each time */

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

/* A section of any kind, whole or not, in front of the others: TDB, CLR, unknown ones as well. */
static size_t put_section(struct reader *r, struct fake *f, size_t len)
{
	uint8_t number = reader_u8(r), count = reader_u8(r) & 3, stride = reader_u8(r);
	enum pf_layout layout = LAYOUT_NONE;
	uint8_t version = f->dialect->version;
	enum pf_action action = dialect_action(version, number & 31, &layout);
	size_t size = dialect_message_size(version, action, layout);
	size_t more = PFSYNC_SUBHEADER_LEN + (size ? size : number >> 5) * count;
	uint8_t *at = f->buf + PFSYNC_HEADER_LEN;

	if (len + more > sizeof(f->buf))
		return len;
	memmove(at + more, at, len - PFSYNC_HEADER_LEN);
	memset(at, stride & 3 ? 0 : reader_u8(r), more);
	at[0] = number & 31;
	at[1] = version != PFSYNC_VERSION_OPENBSD ? 0 : stride & 128 ? stride : (uint8_t)(size / 4);
	at[2] = 0;
	at[3] = count;
	return len + more;
}

/* Any value, or one of those that mean something, in any field: of 1, 2, 4 or 8 bytes. */
static void change_field(struct reader *r, uint8_t *buf, size_t len)
{
	static const uint32_t telling[] = {0,	 1,	 2,	     4,		 0x7f,	0x80,
					   0xff, 0x7fff, 0x80000000, 0xffffffff, 0x101, 0x103};
	size_t at = reader_u16(r), width;
	uint8_t b = reader_u8(r);
	uint64_t value = b & 4 ? telling[(b >> 3) % (sizeof(telling) / sizeof(telling[0]))]
			       : reader_u32(r);

	width = (size_t)1 << (b & 3);
	if (len < width)
		return;
	for (at %= len - width + 1; width--; value >>= 8)
		buf[at + width] = (uint8_t)value;
}

static void say_to_node(struct reader *r, struct fake *f, size_t len, uint8_t how)
{
	struct packet_from from = {.src = f->address, .ttl = PFSYNC_TTL, .right_interface = true};

	if (how & 1) {
		uint8_t b = reader_u8(r);

		from.ttl = b & 1 ? reader_u8(r) : PFSYNC_TTL;
		from.right_interface = b & 2;
		from.src.addr[b & 4 ? 0 : 3] = reader_u8(r);
		from.src.family = b & 8 ? 6 : 4;
	}
	engine_on_packet(n.e, 0, &from, f->buf, len, n.now);
	n.next = n.now;
}

/* One packet of some peer: messages, perhaps a section of another kind, changed fields. */
static void hear(struct reader *r)
{
	uint8_t b = reader_u8(r), how = reader_u8(r);
	struct fake *f = &peer[b & 1 ? 1 : how & 2 ? 2 : 0];
	size_t len;

	if (f == &peer[2]) {
		f->address.addr[3] = reader_u8(r);
		f->dialect = dialect_get((enum dialect_id)(how >> 3 & 3));
	}
	fake_begin(f);
	for (int i = 0; i <= (b >> 1 & 7); i++)
		put_message(r, f);
	if (builder_empty(&f->b))
		return;
	len = builder_finish(&f->b);
	if (how & 4)
		len = put_section(r, f, len);
	f->buf[2] = (uint8_t)(len >> 8);
	f->buf[3] = (uint8_t)len;
	for (int i = 0; i < b >> 4; i++)
		change_field(r, f->buf, len);
	say_to_node(r, f, len, how);
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

/* What the kernel could say of an entry, whether it has it or not. */
static void event(struct reader *r, const struct tuples *t)
{
	uint8_t b = reader_u8(r);
	struct kernel_entry k = {.tuples = *t,
				 .id = reader_u8(r),
				 .status = CT_STATUS_CONFIRMED | (reader_u32(r) & 0xffff),
				 .timeout = b & 1 ? reader_u32(r) : reader_u8(r),
				 .has_timeout = b & 2,
				 .has_tcp_flags = b & 4,
				 .tcp_state = reader_u8(r) % (CT_TCP_SYN_SENT2 + 1),
				 .tcp_flags = {b, b},
				 .wscale = {b, 15}};

	if (t->proto != PROTO_TCP)
		k.tcp_state = CT_TCP_NONE;
	engine_on_event(n.e,
			b & 8	 ? KERNEL_DESTROY
			: b & 16 ? KERNEL_NEW
				 : KERNEL_UPDATE,
			&k, b & 32, n.now);
	n.next = n.now;
}

/* the last packet that was held, and how many a running engine was given */
static uint32_t token, holds;

static void traffic(struct reader *r)
{
	uint8_t b = reader_u8(r);
	struct tuples t = some_tuples(r);

	switch (b & 7) {
	case 0:
		if (b & 8) {
			node_hold(&n, &t, ++token);
			holds++;
		}
		if (!(b & 16))
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
		if (b & 16)
			event(r, &t);
		else
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
		if (b & 16) { /* as after a suspended host */
			n.now += S << (b >> 5 << 1);
		} else if (b & 8) {
			node_restart(&n);
			holds = (uint32_t)n.releases; /* what it held is gone with it */
		} else {
			engine_reload(n.e, &n.config, n.now);
		}
	}
	n.next = n.now;
}

static void must(bool held, const char *what)
{
	if (held)
		return;
	(void)fprintf(stderr, "wrong: %s\n", what);
	abort();
}

/* A name is one half's. */
static void check_names(const struct flow_view *a, const struct flow_view *b)
{
	for (int i = 0; i < 2; i++)
		for (int k = 0; k < 2; k++)
			must(!a->half[i].present || !b->half[k].present ||
				     a->half[i].id != b->half[k].id ||
				     a->half[i].creatorid != b->half[k].creatorid,
			     "one name for two flows");
}

static void check_views(void)
{
	struct engine_totals t;
	struct flow_view v, other;
	struct link_view l;
	struct peer_view p;
	uint64_t cursor = 0;
	size_t flows = 0, remote = 0, held = 0;

	engine_totals(n.e, &t);
	while (engine_flow_next(n.e, &cursor, &v, n.now)) {
		uint64_t next = cursor;

		flows++;
		remote += v.remote;
		while (engine_flow_next(n.e, &next, &other, n.now))
			check_names(&v, &other);
	}
	must(flows == t.flows && remote == t.remote, "totals");
	must(t.in_kernel <= flows && t.live <= flows, "totals of the kernel");
	must(remote <= n.config.max_states + n.entries, "more flows than allowed");
	must(engine_link_view(n.e, 0, &l) && l.peers <= 256, "peers of the link");
	for (size_t i = 0; i < l.peers; i++) {
		must(engine_peer_view(n.e, i, &p), "a peer");
		held += p.held;
	}
	must(held == remote, "what peers hold");
}

/* All is well again: what is believed to be in the kernel is there. */
static void check_kernel(void)
{
	struct flow_view v;
	uint64_t cursor = 0;

	n.fail = n.send_error = 0;
	n.lose_events = n.hold_dumps = false;
	engine_resync(n.e, n.now);
	node_run(&n, 10000);
	engine_resync(n.e, n.now);
	node_run(&n, 10000);
	while (engine_flow_next(n.e, &cursor, &v, n.now))
		must(!v.in_kernel || v.kept || node_entry(&n, &v.tuples), "no such kernel entry");
}

/* Every packet that was held has been let go, in the end. */
static void check_held(void)
{
	must(n.releases == holds, "a packet is still held");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct prefix net = {.family = 4, .bits = 28, .addr = {192, 0, 2, 192}};
	struct reader r = reader_of(data, len);
	struct engine_config c = node_config(0x101);
	uint8_t b = reader_u8(&r), more = reader_u8(&r);

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
	c.peer_max_states = more & 1 ? 3 : 0;
	if (more & 2)
		c.protect = (struct prefix_list){.prefix = &net, .count = 1};
	if (more & 4)
		c.exclude = (struct prefix_list){.prefix = &net, .count = 1};
	if (more & 8)
		c.link[0].mode = more & 16 ? MODE_SEND_ONLY : MODE_RECEIVE_ONLY;
	c.link[0].defer = more & 64;
	node_start(&n, &c, 2, 1000 * S);
	n.interfaces = more & 32;
	holds = token = 0;
	fake_init(&peer[0], (enum dialect_id)(b >> 1 & 3), 1, 0x102);
	fake_init(&peer[1], (enum dialect_id)(b >> 2 & 3), 3, 0x103);
	fake_init(&peer[2], DIALECT_OPENBSD, 4, 0x104);
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
	check_kernel();
	check_held();
	if (n.wrong)
		must(false, n.wrong);
	node_stop(&n);
	return 0;
}
