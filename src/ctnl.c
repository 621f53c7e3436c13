/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The three ctnetlink sockets; knows libmnl and socket calls. */
#include "ctnl.h"
#include "sysctl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
	EVENTS_AT_ONCE = 64,
	EVENT_SIZE = 4096,
	EVENT_ROUNDS = 8, /* then what was learned is told before more is read */
	DUMP_SIZE = 65536,
	DUMP_ROUNDS = 4,
	COMMAND_BUFFER = 4 << 20,
};

struct ctnl {
	struct mnl_socket *events, *command, *dump;
	struct ctnl_scope scope;
	const struct ctnl_handler *handler;
	void *ctx;
	uint32_t seq;
	uint32_t dump_seq;
	bool dumping;
	bool dump_torn; /* the table changed in a way that may have hidden entries */
	struct mmsghdr msg[EVENTS_AT_ONCE];
	struct iovec iov[EVENTS_AT_ONCE];
	char *event_buf;   /* EVENTS_AT_ONCE * EVENT_SIZE */
	char *command_buf; /* ENGINE_BATCH * CTNL_MSG_MAX */
	char *dump_buf;	   /* DUMP_SIZE */
	/* not shared: an event, or a dumped entry, may lead to a commit */
	struct mmsghdr answer[ENGINE_BATCH];
	struct iovec answer_iov[ENGINE_BATCH];
	char *answer_buf; /* ENGINE_BATCH * EVENT_SIZE */
};

/* ---- sockets --------------------------------------------------------------------------- */

static void force_buffer(int fd, int force, int plain, size_t size)
{
	int v = size > 1 << 30 ? 1 << 30 : (int)size;

	if (setsockopt(fd, SOL_SOCKET, force, &v, sizeof(v)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, plain, &v, sizeof(v));
}

static int open_socket(struct mnl_socket **s)
{
	*s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!*s || mnl_socket_bind(*s, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	return 0;
}

/* Lets nothing through that the command socket caused. */
static int filter_own(int fd, uint32_t portid)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(portid), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog prog = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0)
		return -errno;
	return 0;
}

static int open_command(struct ctnl *c)
{
	int on = 1;
	int err = open_socket(&c->command);

	if (err)
		return err;
	force_buffer(mnl_socket_get_fd(c->command), SO_RCVBUFFORCE, SO_RCVBUF, COMMAND_BUFFER);
	force_buffer(mnl_socket_get_fd(c->command), SO_SNDBUFFORCE, SO_SNDBUF, COMMAND_BUFFER);
	/* Errors without a copy of the request. */
	(void)mnl_socket_setsockopt(c->command, NETLINK_CAP_ACK, &on, sizeof(on));
	return 0;
}

static int open_events(struct ctnl *c, size_t receive_buffer)
{
	static const int groups[] = {NFNLGRP_CONNTRACK_NEW, NFNLGRP_CONNTRACK_UPDATE,
				     NFNLGRP_CONNTRACK_DESTROY};
	int on = 1;
	int err = open_socket(&c->events);
	int fd;

	if (err)
		return err;
	fd = mnl_socket_get_fd(c->events);
	force_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, receive_buffer);
	err = filter_own(fd, mnl_socket_get_portid(c->command));
	if (err)
		return err;
	/* The kernel keeps the end of an entry until it could be told. */
	if (mnl_socket_setsockopt(c->events, NETLINK_BROADCAST_ERROR, &on, sizeof(on)) < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		int group = groups[i];

		if (mnl_socket_setsockopt(c->events, NETLINK_ADD_MEMBERSHIP, &group,
					  sizeof(group)) < 0)
			return -errno;
	}
	return 0;
}

/* n messages of EVENT_SIZE each, in a row in buf. */
static void prepare(struct mmsghdr *msg, struct iovec *iov, char *buf, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		iov[i].iov_base = buf + i * EVENT_SIZE;
		iov[i].iov_len = EVENT_SIZE;
		msg[i].msg_hdr.msg_iov = &iov[i];
		msg[i].msg_hdr.msg_iovlen = 1;
	}
}

int ctnl_open(struct ctnl **ctnl, const struct ctnl_scope *scope, size_t receive_buffer,
	      const struct ctnl_handler *handler, void *ctx)
{
	struct ctnl *c = calloc(1, sizeof(*c));
	int err = -ENOMEM;

	if (!c)
		return -ENOMEM;
	c->scope = *scope;
	c->handler = handler;
	c->ctx = ctx;
	c->event_buf = malloc((size_t)EVENTS_AT_ONCE * EVENT_SIZE);
	c->command_buf = calloc(ENGINE_BATCH, CTNL_MSG_MAX); /* libmnl leaves padding as it was */
	c->dump_buf = malloc(DUMP_SIZE);
	c->answer_buf = malloc((size_t)ENGINE_BATCH * EVENT_SIZE);
	if (!c->event_buf || !c->command_buf || !c->dump_buf || !c->answer_buf)
		goto fail;
	prepare(c->msg, c->iov, c->event_buf, EVENTS_AT_ONCE);
	prepare(c->answer, c->answer_iov, c->answer_buf, ENGINE_BATCH);
	err = open_command(c);
	if (!err)
		err = open_socket(&c->dump);
	if (!err)
		err = open_events(c, receive_buffer);
	if (err)
		goto fail;
	*ctnl = c;
	return 0;
fail:
	ctnl_close(c);
	return err;
}

void ctnl_close(struct ctnl *c)
{
	if (!c)
		return;
	if (c->events)
		mnl_socket_close(c->events);
	if (c->command)
		mnl_socket_close(c->command);
	if (c->dump)
		mnl_socket_close(c->dump);
	free(c->event_buf);
	free(c->command_buf);
	free(c->dump_buf);
	free(c->answer_buf);
	free(c);
}

void ctnl_set_mark(struct ctnl *c, uint32_t mark, uint32_t mask)
{
	c->scope.mark = mark;
	c->scope.mark_mask = mask;
}

int ctnl_event_fd(const struct ctnl *c)
{
	return mnl_socket_get_fd(c->events);
}

int ctnl_dump_fd(const struct ctnl *c)
{
	return mnl_socket_get_fd(c->dump);
}

int ctnl_pressure(uint32_t *count, uint32_t *max)
{
	int64_t n, most;
	int err = sysctl_read("net/netfilter/nf_conntrack_count", &n);

	if (!err)
		err = sysctl_read("net/netfilter/nf_conntrack_max", &most);
	if (err)
		return err;
	*count = (uint32_t)n;
	*max = (uint32_t)most;
	return 0;
}

void ctnl_timeouts(struct kernel_timeouts *t)
{
	const struct {
		const char *name;
		uint32_t *seconds;
	} at[] = {
		{"tcp_timeout_syn_sent", &t->tcp[CT_TCP_SYN_SENT]},
		{"tcp_timeout_syn_recv", &t->tcp[CT_TCP_SYN_RECV]},
		{"tcp_timeout_established", &t->tcp[CT_TCP_ESTABLISHED]},
		{"tcp_timeout_fin_wait", &t->tcp[CT_TCP_FIN_WAIT]},
		{"tcp_timeout_close_wait", &t->tcp[CT_TCP_CLOSE_WAIT]},
		{"tcp_timeout_last_ack", &t->tcp[CT_TCP_LAST_ACK]},
		{"tcp_timeout_time_wait", &t->tcp[CT_TCP_TIME_WAIT]},
		{"tcp_timeout_close", &t->tcp[CT_TCP_CLOSE]},
		{"udp_timeout", &t->udp},
		{"udp_timeout_stream", &t->udp_stream},
		{"icmp_timeout", &t->icmp},
		{"icmpv6_timeout", &t->icmpv6},
	};

	*t = (struct kernel_timeouts){0};
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		char name[64];
		int64_t n;

		(void)snprintf(name, sizeof(name), "net/netfilter/nf_conntrack_%s", at[i].name);
		if (!sysctl_read(name, &n) && n > 0 && n < UINT32_MAX / 10)
			*at[i].seconds = (uint32_t)n;
	}
}

/* ---- events ---------------------------------------------------------------------------- */

static void hand_on_event(struct ctnl *c, const struct nlmsghdr *nlh)
{
	enum kernel_event event = KERNEL_UPDATE;
	struct kernel_entry e;

	if (nlh->nlmsg_type == (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE))
		event = KERNEL_DESTROY;
	else if (nlh->nlmsg_type != (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW))
		return;
	else if (nlh->nlmsg_flags & (NLM_F_CREATE | NLM_F_EXCL))
		event = KERNEL_NEW;
	if (!ctnl_msg_parse(nlh, &c->scope, &e))
		c->handler->event(c->ctx, event, &e, nlh->nlmsg_pid == 0);
}

int ctnl_on_events(struct ctnl *c)
{
	int fd = mnl_socket_get_fd(c->events);

	for (int round = 0; round < EVENT_ROUNDS; round++) {
		int n = recvmmsg(fd, c->msg, EVENTS_AT_ONCE, MSG_DONTWAIT, NULL);

		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			c->handler->overrun(c->ctx);
			continue;
		}
		if (n < 0)
			return -errno;
		for (int i = 0; i < n; i++) {
			const struct nlmsghdr *nlh = c->iov[i].iov_base;
			int len = (int)c->msg[i].msg_len;

			if (c->msg[i].msg_hdr.msg_flags & MSG_TRUNC)
				c->handler->overrun(c->ctx);
			else
				for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
					hand_on_event(c, nlh);
		}
		if (n < EVENTS_AT_ONCE)
			return 0;
	}
	return 1;
}

/* ---- dump ------------------------------------------------------------------------------ */

int ctnl_dump_start(struct ctnl *c)
{
	union {
		struct nlmsghdr nlh;
		char buf[CTNL_MSG_MAX];
	} request;
	struct nlmsghdr *nlh;

	if (c->dumping)
		return -EBUSY;
	nlh = ctnl_msg_build_dump(request.buf, ++c->seq);
	if (mnl_socket_sendto(c->dump, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	c->dump_seq = nlh->nlmsg_seq;
	c->dumping = true;
	c->dump_torn = false;
	return 0;
}

static void dump_end(struct ctnl *c, bool complete)
{
	if (!c->dumping)
		return;
	c->dumping = false;
	c->handler->dump_end(c->ctx, complete);
}

static void dump_message(struct ctnl *c, const struct nlmsghdr *nlh)
{
	struct kernel_entry e;

	if (!c->dumping || nlh->nlmsg_seq != c->dump_seq)
		return;
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		c->dump_torn = true;
	if (nlh->nlmsg_type == NLMSG_DONE) {
		dump_end(c, !c->dump_torn);
		return;
	}
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		dump_end(c, false);
		return;
	}
	if (nlh->nlmsg_type != (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW))
		return;
	if (!ctnl_msg_parse(nlh, &c->scope, &e))
		c->handler->dumped(c->ctx, &e);
}

int ctnl_on_dump(struct ctnl *c)
{
	for (int round = 0; round < DUMP_ROUNDS; round++) {
		const struct nlmsghdr *nlh;
		ssize_t n = recv(mnl_socket_get_fd(c->dump), c->dump_buf, DUMP_SIZE,
				 MSG_DONTWAIT | MSG_TRUNC);
		int len;

		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			c->dump_torn = true;
			if (errno != ENOBUFS)
				dump_end(c, false);
			continue;
		}
		if (n > DUMP_SIZE) {
			c->dump_torn = true;
			continue;
		}
		nlh = (const void *)c->dump_buf;
		len = (int)n;
		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			dump_message(c, nlh);
	}
	return 1;
}

/* ---- commands -------------------------------------------------------------------------- */

struct batch {
	struct kernel_op **op;
	size_t n;
	uint32_t seq; /* of the first */
	bool answered[ENGINE_BATCH];
};

static void batch_answer(struct ctnl *c, struct batch *b, const struct nlmsghdr *nlh)
{
	uint32_t i = nlh->nlmsg_seq - b->seq;
	const struct nlmsgerr *e;
	int r;

	if (i >= b->n)
		return;
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		if (mnl_nlmsg_get_payload_len(nlh) < sizeof(e->error))
			return;
		e = mnl_nlmsg_get_payload(nlh);
		b->op[i]->error = -e->error;
		b->answered[i] = true;
		return;
	}
	if (b->op[i]->verb != KERNEL_GET)
		return;
	r = ctnl_msg_parse(nlh, &c->scope, &b->op[i]->entry);
	b->op[i]->error = r > 0 ? ENOENT : -r;
	b->answered[i] = true;
}

/* Netlink requests are carried out within the send: whatever is answered is there already. */
static void batch_receive(struct ctnl *c, struct batch *b)
{
	bool lost = false;

	for (;;) {
		int n = recvmmsg(mnl_socket_get_fd(c->command), c->answer, ENGINE_BATCH,
				 MSG_DONTWAIT, NULL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			lost = true;
			continue;
		}
		for (int i = 0; i < n; i++) {
			const struct nlmsghdr *nlh = c->answer_iov[i].iov_base;
			int len = (int)c->answer[i].msg_len;

			for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
				batch_answer(c, b, nlh);
		}
		if (n < ENGINE_BATCH)
			break;
	}
	for (size_t i = 0; i < b->n; i++) {
		if (b->op[i]->verb == KERNEL_GET && !b->answered[i])
			b->op[i]->error = lost ? ENOBUFS : ENOENT;
	}
}

/* One message after the other, in one send; on lack of room in two halves. */
static void batch_run(struct ctnl *c, struct kernel_op **ops, size_t n)
{
	struct batch b = {.op = ops, .n = n, .seq = c->seq + 1};
	size_t len = 0;
	ssize_t sent;

	for (size_t i = 0; i < n; i++) {
		struct nlmsghdr *nlh;

		ops[i]->error = 0;
		nlh = ctnl_msg_build(c->command_buf + len, &c->scope, ops[i], b.seq + (uint32_t)i);
		if (nlh) {
			len += MNL_ALIGN(nlh->nlmsg_len);
		} else {
			ops[i]->error = EAFNOSUPPORT;
			b.answered[i] = true;
		}
	}
	c->seq += (uint32_t)n;
	if (!len)
		return;
	do {
		sent = mnl_socket_sendto(c->command, c->command_buf, len);
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0) {
		batch_receive(c, &b);
		return;
	}
	if (n > 1 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)) {
		batch_run(c, ops, n / 2);
		batch_run(c, ops + n / 2, n - n / 2);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (!b.answered[i])
			ops[i]->error = errno;
	}
}

/*
 * The kernel refuses a change whose status lacks a bit that the entry has. Such changes are
 * repeated with what is there.
 */
static void repeat_busy(struct ctnl *c, struct kernel_op *ops, size_t n)
{
	struct kernel_op get[ENGINE_BATCH];
	struct kernel_op *run[ENGINE_BATCH];
	struct kernel_op *busy[ENGINE_BATCH];
	size_t found = 0, again = 0;

	for (size_t i = 0; i < n; i++) {
		if (ops[i].verb != KERNEL_CHANGE || ops[i].error != EBUSY || !ops[i].entry.status)
			continue;
		get[found] = (struct kernel_op){.verb = KERNEL_GET,
						.entry.tuples = ops[i].entry.tuples};
		run[found] = &get[found];
		busy[found++] = &ops[i];
	}
	if (!found)
		return;
	batch_run(c, run, found);
	for (size_t i = 0; i < found; i++) {
		if (get[i].error) {
			busy[i]->error = get[i].error;
			continue;
		}
		busy[i]->entry.status |= get[i].entry.status &
					 (CT_STATUS_SEEN_REPLY | CT_STATUS_ASSURED);
		run[again++] = busy[i];
	}
	if (again)
		batch_run(c, run, again);
}

void ctnl_commit(struct ctnl *c, struct kernel_op *ops, size_t n)
{
	while (n) {
		size_t part = n < ENGINE_BATCH ? n : ENGINE_BATCH;
		struct kernel_op *run[ENGINE_BATCH];

		for (size_t i = 0; i < part; i++)
			run[i] = &ops[i];
		batch_run(c, run, part);
		repeat_busy(c, ops, part);
		ops += part;
		n -= part;
	}
}
