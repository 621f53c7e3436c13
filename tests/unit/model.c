/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "xlat.h"

enum { RUNS_AT_ONCE = 20000 };

static void *grow(void *p, size_t *room, size_t used, size_t size)
{
	if (used < *room)
		return p;
	*room = *room ? *room * 2 : 64;
	p = realloc(p, *room * size);
	if (!p)
		abort();
	return p;
}

static void wrong(struct node *n, const char *what)
{
	if (!n->wrong)
		n->wrong = what;
}

/* ---- table ----------------------------------------------------------------------------- */

static bool same_way(const struct tuples *a, int a_from, const struct tuples *b, int b_from)
{
	return a->family == b->family && a->proto == b->proto && a->icmp_type == b->icmp_type &&
	       endpoint_equal(&a->end[a_from], &b->end[b_from]) &&
	       endpoint_equal(&a->end[a_from + 1], &b->end[b_from + 1]);
}

/* The entry that a packet with this tuple (from = ORIG_SRC or REPLY_SRC) meets. */
static struct model_entry *find_way(struct node *n, const struct tuples *t, int from)
{
	for (size_t i = 0; i < n->entries; i++) {
		struct model_entry *m = &n->entry[i];

		if (m->used && (same_way(&m->k.tuples, ORIG_SRC, t, from) ||
				same_way(&m->k.tuples, REPLY_SRC, t, from)))
			return m;
	}
	return NULL;
}

struct model_entry *node_entry(struct node *n, const struct tuples *t)
{
	for (size_t i = 0; i < n->entries; i++)
		if (n->entry[i].used && tuples_equal(&n->entry[i].k.tuples, t))
			return &n->entry[i];
	return NULL;
}

size_t node_count(const struct node *n)
{
	size_t count = 0;

	for (size_t i = 0; i < n->entries; i++)
		count += n->entry[i].used;
	return count;
}

static struct model_entry *add(struct node *n, const struct kernel_entry *k)
{
	struct model_entry *m = NULL;

	for (size_t i = 0; i < n->entries && !m; i++)
		if (!n->entry[i].used)
			m = &n->entry[i];
	if (!m) {
		n->entry = grow(n->entry, &n->room, n->entries, sizeof(*n->entry));
		m = &n->entry[n->entries++];
	}
	*m = (struct model_entry){.used = true, .k = *k, .made = n->now};
	m->k.id = ++n->next_id * 2654435761u | 1u;
	m->expires = n->now + k->timeout * S;
	return m;
}

static uint32_t seconds_left(const struct node *n, const struct model_entry *m)
{
	return m->expires > n->now ? (uint32_t)((m->expires - n->now) / S) : 0;
}

static struct kernel_entry seen(const struct node *n, const struct model_entry *m)
{
	struct kernel_entry k = m->k;

	k.timeout = seconds_left(n, m);
	k.has_timeout = true;
	k.has_tcp_flags = k.tuples.proto == PROTO_TCP;
	return k;
}

static void event(struct node *n, enum kernel_event what, const struct model_entry *m, bool packet)
{
	struct kernel_entry k = seen(n, m);

	if (m->mute || n->lose_events)
		return;
	engine_on_event(n->e, what, &k, packet, n->now);
	n->next = n->now; /* it wants to be run */
}

static void destroy(struct node *n, struct model_entry *m, bool ran_out, bool packet)
{
	struct kernel_entry k = seen(n, m);
	bool mute = m->mute || n->lose_events;

	k.has_timeout = !ran_out;
	if (ran_out)
		k.timeout = 0;
	k.has_tcp_flags = false;
	k.tcp_flags[0] = k.tcp_flags[1] = k.wscale[0] = k.wscale[1] = 0;
	k.status |= CT_STATUS_DYING;
	m->used = false;
	if (mute)
		return;
	engine_on_event(n->e, KERNEL_DESTROY, &k, packet, n->now);
	n->next = n->now;
}

/* ---- what the engine asks of the kernel
 * ----------------------------------------------------------- */

static int create(struct node *n, const struct kernel_entry *k)
{
	struct model_entry *m;

	if (!(k->status & CT_STATUS_CONFIRMED) ||
	    k->status & (CT_STATUS_EXPECTED | CT_STATUS_DYING))
		return EBUSY;
	if (!k->has_timeout)
		return EINVAL;
	if (find_way(n, &k->tuples, ORIG_SRC) || find_way(n, &k->tuples, REPLY_SRC))
		return EEXIST;
	if (n->most && node_count(n) >= n->most)
		return ENOMEM;
	m = add(n, k);
	m->written = true;
	if (n->no_seqadj)
		m->k.seqadj[0] = m->k.seqadj[1] = 0;
	n->created++;
	return 0;
}

static int change(struct node *n, const struct kernel_entry *k)
{
	struct model_entry *m = find_way(n, &k->tuples, ORIG_SRC);

	if (!m)
		return ENOENT;
	if (m->k.status & CT_STATUS_FIXED_TIMEOUT)
		return EPERM;
	m->k.status |= k->status;
	if (k->has_timeout || k->timeout)
		m->expires = n->now + k->timeout * S;
	if (k->tuples.proto == PROTO_TCP) {
		if (k->tcp_state)
			m->k.tcp_state = k->tcp_state;
		if (k->has_tcp_flags)
			for (int i = 0; i < 2; i++)
				m->k.tcp_flags[i] |= k->tcp_flags[i];
	}
	n->changed++;
	return 0;
}

static void op_kernel(void *ctx, struct kernel_op *ops, size_t count)
{
	struct node *n = ctx;

	if (!count || count > ENGINE_BATCH)
		wrong(n, "a batch of an impossible size");
	for (size_t i = 0; i < count; i++) {
		struct kernel_op *op = &ops[i];
		struct model_entry *m;

		op->error = 0;
		if (n->fail && op->verb != KERNEL_GET) {
			op->error = n->fail;
			n->writes_failed++;
			continue;
		}
		switch (op->verb) {
		case KERNEL_CREATE:
			op->error = create(n, &op->entry);
			break;
		case KERNEL_CHANGE:
			op->error = change(n, &op->entry);
			break;
		case KERNEL_DELETE:
			m = find_way(n, &op->entry.tuples, ORIG_SRC);
			op->error = m ? 0 : ENOENT;
			if (m) {
				m->used = false; /* own writes raise no events */
				n->deleted++;
			}
			break;
		case KERNEL_GET:
			m = find_way(n, &op->entry.tuples, ORIG_SRC);
			if (m && m->expires <= n->now) /* not shown any more */
				m = NULL;
			op->error = m ? 0 : ENOENT;
			if (m) {
				op->entry = seen(n, m);
				n->got++;
			}
			break;
		}
		n->writes_failed += op->error && op->verb != KERNEL_GET;
	}
}

static void op_dump(void *ctx)
{
	struct node *n = ctx;

	if (n->dump_wanted)
		wrong(n, "a dump was asked for while one is under way");
	n->dump_wanted = true;
}

static void op_flush(void *ctx)
{
	(void)ctx;
}

/* Of a mark the low bytes are numbers of interfaces. */
static void op_interfaces(void *ctx, const struct tuples *t, uint32_t mark,
			  char name[2][PF_IFNAME_LEN])
{
	struct node *n = ctx;

	(void)t;
	n->routes_asked++;
	for (int i = 0; i < 2; i++) {
		unsigned number = mark >> (i ? 0 : 8) & 0xff;
		const char *route = n->route[i] ? n->route[i] : i ? "em1" : "em0";

		if (number)
			(void)snprintf(name[i], PF_IFNAME_LEN, "vlan%u", number);
		else
			(void)snprintf(name[i], PF_IFNAME_LEN, "%s", n->interfaces ? route : "all");
	}
}

static void op_note(void *ctx, const struct note *note)
{
	struct node *n = ctx;

	n->notes[note->kind]++;
	if (note->kind == NOTE_REFUSED && note->reason == R_OUTGOING)
		wrong(n, note->detail ? note->detail : "a packet that no pf would send");
}

/* ---- packets of the node
 * ---------------------------------------------------------------------------- */

static void op_release(void *ctx, uint32_t token)
{
	struct node *n = ctx;

	if (n->releases == sizeof(n->released) / sizeof(n->released[0]))
		n->releases = 0;
	for (size_t i = 0; i < n->releases; i++)
		if (n->released[i] == token)
			wrong(n, "a packet let go twice");
	n->released[n->releases++] = token;
	n->released_at = n->now;
}

static struct said *say(struct node *n, const struct section *s, unsigned link, uint8_t version)
{
	struct said *said;

	n->said = grow(n->said, &n->said_room, n->saids, sizeof(*n->said));
	said = &n->said[n->saids++];
	*said = (struct said){.action = s->action,
			      .layout = s->layout,
			      .version = version,
			      .link = link,
			      .at = n->now,
			      .packet = n->sents};
	return said;
}

static void take_apart(struct node *n, struct section *s, unsigned link, uint8_t version)
{
	struct said *m;
	struct pf_state state;
	struct msg_id id;
	struct msg_upd_c u;
	struct msg_bus b;
	struct msg_clr clr;

	switch (s->action) {
	case ACT_INS:
	case ACT_UPD:
		while (section_next_state(s, &state)) {
			m = say(n, s, link, version);
			m->s = state;
			m->id = state.id;
			m->creatorid = state.creatorid;
		}
		break;
	case ACT_UPD_C:
		while (section_next_upd_c(s, &u)) {
			m = say(n, s, link, version);
			m->u = u;
			m->id = u.id;
			m->creatorid = u.creatorid;
		}
		break;
	case ACT_INS_ACK:
	case ACT_UPD_REQ:
	case ACT_DEL_C:
		while (section_next_id(s, &id)) {
			m = say(n, s, link, version);
			m->id = id.id;
			m->creatorid = id.creatorid;
		}
		break;
	case ACT_BUS:
		while (section_next_bus(s, &b))
			say(n, s, link, version)->b = b;
		break;
	case ACT_CLR: /* relayed */
		while (section_next_clr(s, &clr))
			say(n, s, link, version)->creatorid = clr.creatorid;
		break;
	case ACT_EOF:
		break;
	default:
		wrong(n, "a message that we never send");
	}
}

static int op_send(void *ctx, unsigned link, const uint8_t *data, size_t len)
{
	struct node *n = ctx;
	struct packet p;
	struct section s;
	struct sent *sent;

	if (n->send_error)
		return n->send_error;
	if (len > 1480)
		wrong(n, "a packet beyond 1500 bytes");
	if (packet_open(&p, data, len) != R_NONE || p.length_wrong || p.length != len) {
		wrong(n, "a packet with a wrong header");
		return 0;
	}
	while (packet_next(&p, &s))
		take_apart(n, &s, link, p.version);
	if (p.error != R_NONE)
		wrong(n, "a packet with a wrong section");
	n->sent = grow(n->sent, &n->sent_room, n->sents, sizeof(*n->sent));
	sent = &n->sent[n->sents++];
	*sent = (struct sent){.link = link, .len = len, .at = n->now};
	memcpy(sent->data, data, len < sizeof(sent->data) ? len : sizeof(sent->data));
	return 0;
}

/* ---- life
 * ------------------------------------------------------------------------------------------- */

struct engine_config node_config(uint32_t hostid)
{
	struct engine_config c = {.hostid = hostid, .links = 1};

	c.link[0] = (struct link_config){.name = "sync", .flush_ms = 20, .bulk_rate = 20000};
	c.tcp = c.udp = c.icmp = c.other = FROM_REPLIED;
	c.max_states = 1000000;
	timeouts_default(&c.timeouts);
	for (size_t i = 0; i < sizeof(c.hash_key); i++)
		c.hash_key[i] = (uint8_t)(hostid >> i % 4 * 8) ^ (uint8_t)i;
	return c;
}

struct address address_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct address){.family = 4, .addr = {a, b, c, d}};
}

struct address address_on(const struct address *a, unsigned link)
{
	struct address on = *a;

	on.addr[2] = (uint8_t)(on.addr[2] + link);
	return on;
}

void node_link(struct node *n, unsigned link, bool up, unsigned mtu)
{
	struct address at = address_on(&n->address, link);
	struct prefix own = {.family = 4, .bits = 24};

	memcpy(own.addr, at.addr, 4);
	engine_on_link(n->e, link, up, mtu, &own, 1, n->now);
	n->next = n->now;
}

static void engine_up(struct node *n)
{
	static const struct engine_ops ops = {.send = op_send,
					      .flush_packets = op_flush,
					      .kernel = op_kernel,
					      .dump = op_dump,
					      .interfaces = op_interfaces,
					      .release = op_release,
					      .note = op_note};
	struct address own[3] = {n->address, address_v4(192, 0, 2, 2), address_v4(198, 51, 100, 2)};

	n->e = engine_new(&n->config, &ops, n, n->now);
	if (!n->e)
		abort();
	n->dump_wanted = false;
	n->next = n->now;
	engine_on_addresses(n->e, own, 3);
	for (unsigned i = 0; i < n->config.links; i++)
		node_link(n, i, true, 1500);
}

void node_start(struct node *n, const struct engine_config *config, uint8_t last, uint64_t now)
{
	*n = (struct node){.config = *config, .now = now, .address = address_v4(203, 0, 113, last)};
	engine_up(n);
}

void node_restart(struct node *n)
{
	engine_free(n->e);
	engine_up(n);
}

/* Whatever a test is about: what was wrong is not overlooked. */
void node_stop(struct node *n)
{
	if (n->wrong) {
		(void)fprintf(stderr, "wrong: %s\n", n->wrong);
		abort();
	}
	engine_free(n->e);
	free(n->entry);
	free(n->sent);
	free(n->said);
	n->e = NULL;
	n->entry = NULL;
	n->sent = NULL;
	n->said = NULL;
}

static void give_dump(struct node *n)
{
	n->dump_wanted = false;
	n->dumps++;
	for (size_t i = 0; i < n->entries; i++) {
		struct kernel_entry k;

		if (!n->entry[i].used || n->entry[i].expires <= n->now)
			continue;
		k = seen(n, &n->entry[i]);
		engine_on_dump(n->e, &k, n->now);
	}
	engine_on_dump_end(n->e, true, n->now);
}

static void expire(struct node *n)
{
	for (size_t i = 0; i < n->entries; i++)
		if (n->entry[i].used && n->entry[i].expires <= n->now)
			destroy(n, &n->entry[i], true, true);
}

static uint64_t first_expiry(const struct node *n)
{
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < n->entries; i++)
		if (n->entry[i].used && n->entry[i].expires < first)
			first = n->entry[i].expires;
	return first;
}

uint64_t node_settle(struct node *n)
{
	for (int i = 0;; i++) {
		if (i == RUNS_AT_ONCE) {
			wrong(n, "the engine wants to run again and again at one moment");
			return n->next = n->now + MS;
		}
		n->runs++;
		n->next = engine_run(n->e, n->now);
		if (n->dump_wanted && !n->hold_dumps)
			give_dump(n);
		else if (n->next > n->now)
			return n->next;
	}
}

void node_run(struct node *n, uint64_t ms)
{
	uint64_t end = n->now + ms * MS, runs = n->runs;

	(void)node_settle(n);
	while (n->now < end) {
		uint64_t next = n->next, expiry = first_expiry(n);

		if (expiry < next)
			next = expiry;
		if (next > end)
			next = end;
		if (next > n->now)
			n->now = next;
		expire(n);
		(void)node_settle(n);
	}
	/* portions of a walk or a bulk are 5 ms apart, and each may be followed by a flush */
	if (n->runs - runs > 100 + ms)
		wrong(n, "the engine is called too often");
}

void node_begin(struct node *n)
{
	struct engine_totals t;

	for (int i = 0; i < 1000; i++) {
		node_run(n, 100);
		engine_totals(n->e, &t);
		if (!t.undecided)
			break;
	}
	node_run(n, 500);
}

/* ---- traffic
 * ---------------------------------------------------------------------------------------- */

/* The kernel's own timeouts. */
static uint64_t kernel_timeout(const struct kernel_entry *k)
{
	static const uint32_t tcp[CT_TCP_COUNT] = {
		[CT_TCP_NONE] = 60,	 [CT_TCP_SYN_SENT] = 120,
		[CT_TCP_SYN_RECV] = 60,	 [CT_TCP_ESTABLISHED] = 432000,
		[CT_TCP_FIN_WAIT] = 120, [CT_TCP_CLOSE_WAIT] = 60,
		[CT_TCP_LAST_ACK] = 30,	 [CT_TCP_TIME_WAIT] = 120,
		[CT_TCP_CLOSE] = 10,	 [CT_TCP_SYN_SENT2] = 120,
	};

	switch (k->tuples.proto) {
	case PROTO_TCP:
		return k->tcp_state < CT_TCP_COUNT ? tcp[k->tcp_state] : 60;
	case PROTO_UDP:
		return k->status & CT_STATUS_ASSURED ? 120 : 30;
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		return 30;
	default:
		return 600;
	}
}

static void touch(struct node *n, struct model_entry *m)
{
	if (m->k.status & CT_STATUS_FIXED_TIMEOUT)
		return;
	m->expires = n->now + kernel_timeout(&m->k) * S;
	if (m->written && m->k.tuples.proto == PROTO_GRE) /* its timeouts are those of a packet */
		m->expires = n->now;
}

struct model_entry *node_plant(struct node *n, const struct tuples *t, uint8_t tcp_state,
			       uint32_t status, uint32_t timeout)
{
	struct kernel_entry k = {.tuples = *t,
				 .tcp_state = tcp_state,
				 .status = status | CT_STATUS_CONFIRMED,
				 .timeout = timeout,
				 .mark = n->mark};

	if (t->proto == PROTO_TCP) {
		k.tcp_flags[0] = k.tcp_flags[1] = CT_TCP_FLAG_WINDOW_SCALE;
		k.wscale[0] = 7;
		k.wscale[1] = 10;
	}
	return add(n, &k);
}

void node_new(struct node *n, const struct tuples *t)
{
	struct model_entry *m = node_plant(n, t, t->proto == PROTO_TCP ? CT_TCP_SYN_SENT : 0, 0,
					   30);

	touch(n, m);
	event(n, KERNEL_NEW, m, true);
}

void node_hold(struct node *n, const struct tuples *t, uint32_t token)
{
	struct kernel_entry k = {.tuples = *t};

	if (t->proto == PROTO_TCP)
		k.tcp_state = CT_TCP_SYN_SENT;
	engine_on_held(n->e, &k, token, n->now);
	n->next = n->now;
	(void)node_settle(n);
}

bool node_packet(struct node *n, const struct tuples *t, bool reply)
{
	struct model_entry *m = find_way(n, t, reply ? REPLY_SRC : ORIG_SRC);
	uint32_t status;
	uint8_t state;
	bool is_reply;

	if (!m)
		return false;
	is_reply = same_way(&m->k.tuples, REPLY_SRC, t, reply ? REPLY_SRC : ORIG_SRC);
	if (m->k.tuples.proto == PROTO_TCP && m->bypassed &&
	    !(m->k.tcp_flags[0] & m->k.tcp_flags[1] & CT_TCP_FLAG_LIBERAL))
		return false; /* INVALID */
	status = m->k.status;
	state = m->k.tcp_state;
	if (state == CT_TCP_SYN_SENT && is_reply)
		m->k.tcp_state = CT_TCP_SYN_RECV;
	else if (state == CT_TCP_SYN_RECV && !is_reply)
		m->k.tcp_state = CT_TCP_ESTABLISHED;
	if (is_reply) {
		if (m->k.status & CT_STATUS_SEEN_REPLY && !proto_is_icmp(m->k.tuples.proto) &&
		    (m->k.tuples.proto != PROTO_TCP || state >= CT_TCP_ESTABLISHED))
			m->k.status |= CT_STATUS_ASSURED;
		m->k.status |= CT_STATUS_SEEN_REPLY;
	} else if (state == CT_TCP_SYN_RECV) {
		m->k.status |= CT_STATUS_ASSURED;
	}
	touch(n, m);
	if (status != m->k.status || state != m->k.tcp_state)
		event(n, KERNEL_UPDATE, m, true);
	return true;
}

void node_open(struct node *n, const struct tuples *t)
{
	node_new(n, t);
	(void)node_packet(n, t, true);
	(void)node_packet(n, t, false);
	if (t->proto == PROTO_UDP)
		(void)node_packet(n, t, true);
}

void node_fin(struct node *n, const struct tuples *t, bool reply)
{
	struct model_entry *m = find_way(n, t, ORIG_SRC);

	if (!m)
		return;
	switch (m->k.tcp_state) {
	case CT_TCP_ESTABLISHED:
		m->k.tcp_state = CT_TCP_FIN_WAIT;
		m->k.tcp_flags[reply] |= CT_TCP_FLAG_CLOSE_INIT;
		break;
	case CT_TCP_FIN_WAIT:
		m->k.tcp_state = CT_TCP_CLOSE_WAIT;
		break;
	case CT_TCP_CLOSE_WAIT:
		m->k.tcp_state = CT_TCP_LAST_ACK;
		break;
	case CT_TCP_LAST_ACK:
		m->k.tcp_state = CT_TCP_TIME_WAIT;
		break;
	default:
		return;
	}
	touch(n, m);
	event(n, KERNEL_UPDATE, m, true);
}

void node_close(struct node *n, const struct tuples *t, bool reply_first)
{
	for (int i = 0; i < 4; i++)
		node_fin(n, t, reply_first);
}

void node_reset(struct node *n, const struct tuples *t)
{
	struct model_entry *m = find_way(n, t, ORIG_SRC);

	if (!m)
		return;
	m->k.tcp_state = CT_TCP_CLOSE;
	touch(n, m);
	event(n, KERNEL_UPDATE, m, true);
}

void node_kill(struct node *n, const struct tuples *t)
{
	struct model_entry *m = find_way(n, t, ORIG_SRC);

	if (m)
		destroy(n, m, false, false);
}

void node_bypass(struct node *n)
{
	for (size_t i = 0; i < n->entries; i++)
		n->entry[i].bypassed = true;
}
