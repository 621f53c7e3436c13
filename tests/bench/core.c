/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The core without a kernel and without a wire, for the benchmark and for profilers:
 *
 *	core encode|decode LAYOUT COUNT	states of a layout into packets, or out of them
 *	core build COUNT		nothing but the making of the events for what follows
 *	core short COUNT		the events of TCP connections that end before they are told
 *	core told COUNT			and of those that live long enough to be told
 *	core import COUNT		told, and what is sent of them taken by a second engine
 *	core resync COUNT		flows that one has, all told to another that has nothing
 *
 * Prints one line of JSON with the processor time, of resync that of the receiver alone. Under
 *callgrind the difference of two counts gives the instructions of one: what start and end cost
 *drops out.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "builder.h"
#include "ctnl_msg.h"
#include "engine.h"

enum { PACKET = 1480, BATCH = 64, MS = 1000000, EVENT_NS = 3000, FLUSH_MS = 20, STEP_MS = 5 };

static double cpu_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "core: %s\n", what);
	exit(EXIT_FAILURE);
}

/* ---- codec ----------------------------------------------------------------------------- */

static void example(struct pf_state *s, unsigned long n)
{
	*s = (struct pf_state){.id = 0x5e8f2a0100000000u + n,
			       .creatorid = 0x1a2b3c4d,
			       .ifname = "all",
			       .src = {.seqlo = 1, .state = PF_TCP_ESTABLISHED},
			       .dst = {.seqlo = 1, .state = PF_TCP_ESTABLISHED},
			       .rule = UINT32_MAX,
			       .anchor = UINT32_MAX,
			       .nat_rule = UINT32_MAX,
			       .af = 4,
			       .stack_af = 4,
			       .proto = PROTO_TCP,
			       .stack_proto = PROTO_TCP,
			       .direction = PF_IN,
			       .timeout = PFTM_TCP_ESTABLISHED,
			       .state_flags = PF_FLAG_SLOPPY,
			       .rtableid = {-1, -1}};
	for (int k = 0; k < 2; k++) {
		s->key[k].addr[0][0] = 198;
		s->key[k].addr[1][0] = 10;
		s->key[k].addr[1][3] = (uint8_t)n;
		s->key[k].port[0] = 443;
		s->key[k].port[1] = (uint16_t)n;
	}
}

static size_t fill(const struct dialect *d, uint8_t *packet, unsigned long *n)
{
	struct builder b;
	struct pf_state s;

	builder_start(&b, d, packet, PACKET, false);
	for (;; ++*n) {
		example(&s, *n);
		if (!builder_add_state(&b, ACT_UPD, &s))
			return builder_finish(&b);
	}
}

static unsigned long take(const uint8_t *packet, size_t len)
{
	unsigned long n = 0;
	struct section sec;
	struct pf_state s;
	struct packet p;

	if (packet_open(&p, packet, len) != R_NONE)
		die("a packet that cannot be read");
	while (packet_next(&p, &sec))
		while (section_next_state(&sec, &s))
			n += s.proto == PROTO_TCP;
	return n;
}

static unsigned long codec(bool decode, const char *dialect, unsigned long count)
{
	const struct dialect *d = dialect_by_name(dialect);
	static uint8_t packet[PACKET];
	unsigned long n = 0, taken = 0;
	size_t len;

	if (!d)
		die("no such dialect");
	len = fill(d, packet, &n);
	if (decode)
		while (taken < count)
			taken += take(packet, len);
	else
		while (n < count)
			(void)fill(d, packet, &n);
	return decode ? taken : n;
}

/* ---- engines --------------------------------------------------------------------------- */

struct node {
	struct engine *e;
	bool idle;	    /* does nothing with the events */
	bool keeps;	    /* its kernel has what it is asked for */
	struct node *other; /* who gets what it sends; NULL: nobody */
	uint8_t last;	    /* of its address */
	size_t made;	    /* entries in its kernel */
	struct {
		uint8_t *data;
		size_t len;
	} * packet; /* sent, and not yet taken */
	size_t packets, room;
};

static int op_send(void *ctx, unsigned link, const uint8_t *data, size_t len)
{
	struct node *n = ctx;

	(void)link;
	if (!n->other)
		return 0;
	if (n->packets == n->room) {
		n->room = n->room ? 2 * n->room : 1024;
		n->packet = realloc(n->packet, n->room * sizeof(*n->packet));
	}
	n->packet[n->packets].data = malloc(len);
	n->packet[n->packets].len = len;
	memcpy(n->packet[n->packets++].data, data, len);
	return 0;
}

static void op_flush(void *ctx)
{
	(void)ctx;
}

/* A kernel that takes everything. Its requests are built, as they would be. */
static void op_kernel(void *ctx, struct kernel_op *ops, size_t count)
{
	static const struct ctnl_scope scope;
	static union {
		struct nlmsghdr nlh;
		char buf[CTNL_MSG_MAX];
	} m;
	struct node *n = ctx;

	for (size_t i = 0; i < count; i++) {
		ops[i].error = ops[i].verb == KERNEL_GET && !n->keeps ? ENOENT : 0;
		n->made += ops[i].verb == KERNEL_CREATE;
		if (!ctnl_msg_build(m.buf, &scope, &ops[i], 1))
			die("a request that cannot be built");
	}
}

static void op_dump(void *ctx)
{
	(void)ctx;
}

static void node_start(struct node *n, uint8_t last, uint64_t now)
{
	static const struct engine_ops ops = {
		.send = op_send, .flush_packets = op_flush, .kernel = op_kernel, .dump = op_dump};
	struct prefix own = {.family = 4, .bits = 24, .addr = {203, 0, 113, last}};
	struct engine_config c = {.hostid = last, .tcp = FROM_REPLIED, .max_states = 10000000};

	timeouts_default(&c.timeouts);
	c.links = 1;
	c.link[0] = (struct link_config){.name = "bench",
					 .dialect = dialect_get(DIALECT_FREEBSD_13),
					 .flush_ms = FLUSH_MS,
					 .bulk_rate = n->other ? 20000 : 400000};
	n->last = last;
	n->e = engine_new(&c, &ops, n, now);
	if (!n->e)
		die("no memory");
	engine_on_link(n->e, 0, true, 1500, &own, 1, now);
	(void)engine_run(n->e, now);
	engine_on_dump_end(n->e, true, now);
}

/* The event of a connection in that state; 0: its end. */
static void event(struct node *n, unsigned long number, uint8_t state, uint64_t now)
{
	static const struct ctnl_scope scope;
	static union {
		struct nlmsghdr nlh;
		char buf[CTNL_MSG_MAX];
	} m;
	struct kernel_op op = {.verb = KERNEL_CREATE};
	struct kernel_entry k;
	struct tuples *t = &op.entry.tuples;
	enum kernel_event kind = state == CT_TCP_SYN_SENT ? KERNEL_NEW
				 : state		  ? KERNEL_UPDATE
							  : KERNEL_DESTROY;

	t->family = 4;
	t->proto = PROTO_TCP;
	for (int i = 0; i < 4; i++) {
		bool client = i == ORIG_SRC || i == REPLY_DST;

		t->end[i].addr[0] = client ? 10 : 198;
		t->end[i].addr[1] = client ? (uint8_t)(number >> 24) : 51;
		t->end[i].addr[2] = client ? (uint8_t)(number >> 16) : 100;
		t->end[i].addr[3] = client ? (uint8_t)(number >> 8) : 10;
		t->end[i].port = client ? (uint16_t)(1024 + (number & 255)) : 443;
	}
	op.entry.status = state > CT_TCP_SYN_RECV ? 0xe : 0x8;
	op.entry.timeout = state == CT_TCP_ESTABLISHED ? 432000 : 120;
	op.entry.tcp_state = state ? state : CT_TCP_TIME_WAIT;
	op.entry.has_tcp_flags = state;
	(void)ctnl_msg_build(m.buf, &scope, &op, 0);
	mnl_attr_put_u32(&m.nlh, CTA_ID, (uint32_t)number + 1);
	if (n->idle)
		return;
	if (ctnl_msg_parse(&m.nlh, &scope, &k))
		die("an event that cannot be read");
	engine_on_event(n->e, kind, &k, true, now);
}

static void deliver(struct node *n, uint64_t now)
{
	struct packet_from from = {.src = {.family = 4, .addr = {203, 0, 113, n->last}},
				   .ttl = 255,
				   .right_interface = true};

	for (size_t i = 0; i < n->packets; i++) {
		engine_on_packet(n->other->e, 0, &from, n->packet[i].data, n->packet[i].len, now);
		free(n->packet[i].data);
	}
	n->packets = 0;
	(void)engine_run(n->other->e, now);
}

/* A few at a time through their states; wait: they are told in between, and their end, too. */
static void connections(struct node *n, unsigned long count, bool wait)
{
	static const uint8_t life[] = {
		CT_TCP_SYN_SENT,   CT_TCP_SYN_RECV, CT_TCP_ESTABLISHED, CT_TCP_FIN_WAIT,
		CT_TCP_CLOSE_WAIT, CT_TCP_LAST_ACK, CT_TCP_TIME_WAIT,	0};
	uint64_t now = 1000000000;

	for (unsigned long first = 0; first < count; first += BATCH) {
		for (size_t step = 0; step < sizeof(life); step++) {
			for (unsigned long i = first; i < first + BATCH; i++)
				event(n, i, life[step], now += EVENT_NS);
			if (wait && (life[step] == CT_TCP_ESTABLISHED || !life[step]))
				now += (FLUSH_MS + 1) * MS;
			(void)engine_run(n->e, now);
			if (n->other)
				deliver(n, now);
		}
	}
}

static size_t engines(const char *what, unsigned long count)
{
	struct node a = {.idle = !strcmp(what, "build")}, b = {0};

	if (!strcmp(what, "import")) {
		a.other = &b;
		node_start(&b, 3, 1000000000);
	}
	node_start(&a, 2, 1000000000);
	connections(&a, count, a.other || !strcmp(what, "told"));
	if (a.other && b.made < count)
		die("not all of them arrived");
	engine_free(a.e);
	if (b.e)
		engine_free(b.e);
	free(a.packet);
	return count;
}

/* Both run in steps of a portion; what the second one does is timed. */
static unsigned long resync(unsigned long count, double *took)
{
	static const uint8_t life[] = {CT_TCP_SYN_SENT, CT_TCP_ESTABLISHED};
	struct node a = {.keeps = true}, b = {.other = &a, .keeps = true};
	uint64_t now = 1000000000;

	node_start(&a, 2, now);
	for (unsigned long i = 0; i < count; i++)
		for (size_t step = 0; step < sizeof(life); step++)
			event(&a, i, life[step], now += EVENT_NS);
	for (unsigned long i = 0; i < count / 500 + 50; i++)
		(void)engine_run(a.e, now += FLUSH_MS * MS);
	a.other = &b;
	node_start(&b, 3, now);
	(void)engine_run(b.e, now);
	for (int idle = 0; b.made < count && idle < 1000; idle++) {
		double began;

		deliver(&b, now += STEP_MS * MS);
		idle = a.packets ? 0 : idle;
		began = cpu_s();
		deliver(&a, now);
		*took += cpu_s() - began;
	}
	if (b.made < count)
		die("not all of them arrived");
	engine_free(a.e);
	engine_free(b.e);
	free(a.packet);
	free(b.packet);
	return count;
}

int main(int argc, char **argv)
{
	unsigned long done;
	double cpu = 0;

	if (argc == 4 && (!strcmp(argv[1], "encode") || !strcmp(argv[1], "decode")))
		done = codec(argv[1][0] == 'd', argv[2], strtoul(argv[3], NULL, 10));
	else if (argc == 3 && (!strcmp(argv[1], "build") || !strcmp(argv[1], "short") ||
			       !strcmp(argv[1], "told") || !strcmp(argv[1], "import")))
		done = engines(argv[1], strtoul(argv[2], NULL, 10));
	else if (argc == 3 && !strcmp(argv[1], "resync"))
		done = resync(strtoul(argv[2], NULL, 10), &cpu);
	else {
		fprintf(stderr, "usage: core encode|decode DIALECT COUNT | core "
				"build|short|told|import|resync COUNT\n");
		return 64;
	}
	printf("{\"done\": %lu, \"cpu\": %.6f}\n", done, cpu > 0 ? cpu : cpu_s());
	return EXIT_SUCCESS;
}
