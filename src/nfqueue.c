/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows libmnl. */
#include "nfqueue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "headers.h"

enum {
	QUEUE_LENGTH = 256, /* packets: while nobody reads them, what comes beyond them passes */
	READ_AT_ONCE = 64,
	MESSAGE_SIZE = 8192, /* meta data, entry, and HEADERS_ROOM bytes of the packet */
	BUFFER_SIZE = 1 << 20,
	ALL_IDS = 1 << 30, /* further than any id that is waiting */
};

struct nfqueue {
	struct mnl_socket *socket;
	uint16_t number;
	uint32_t last; /* id that was seen */
	struct ctnl_scope scope;
	nfqueue_held_fn *held;
	void *ctx;
	_Alignas(struct nlmsghdr) char buf[MESSAGE_SIZE];
};

/* ---- requests -------------------------------------------------------------------------- */

static struct nlmsghdr *request(const struct nfqueue *q, void *buf, uint16_t type)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfh;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type);
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nfh = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfh));
	nfh->nfgen_family = AF_UNSPEC;
	nfh->version = NFNETLINK_V0;
	nfh->res_id = htons(q->number);
	return nlh;
}

/* Sends it and waits for the kernel's word, which comes at once. */
static int ask(struct nfqueue *q, struct nlmsghdr *nlh)
{
	unsigned portid = mnl_socket_get_portid(q->socket);
	int r = MNL_CB_OK;

	nlh->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(q->socket, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (r > MNL_CB_STOP) { /* first packets may come before its word */
		ssize_t n = mnl_socket_recvfrom(q->socket, q->buf, sizeof(q->buf));

		r = n < 0 ? MNL_CB_ERROR : mnl_cb_run(q->buf, (size_t)n, 0, portid, NULL, NULL);
	}
	return r < 0 ? -errno : 0;
}

/*
 * GSO: packets come as they are, not cut into segments. The kernel carries the request out as a
 * whole or not at all: -EOPNOTSUPP if it cannot attach entries.
 */
static int configure(struct nfqueue *q, uint16_t number)
{
	_Alignas(struct nlmsghdr) char buf[256] = {0};
	struct nfqnl_msg_config_cmd cmd = {.command = NFQNL_CFG_CMD_BIND, .pf = htons(AF_UNSPEC)};
	bool attach = number == QUEUE_ANY;
	struct nfqnl_msg_config_params params = {.copy_range = htonl(attach ? 0 : HEADERS_ROOM),
						 .copy_mode = attach ? NFQNL_COPY_META
								     : NFQNL_COPY_PACKET};
	uint32_t flags = NFQA_CFG_F_FAIL_OPEN | NFQA_CFG_F_GSO;
	struct nlmsghdr *nlh;

	q->number = number;
	if (attach)
		flags |= NFQA_CFG_F_CONNTRACK;
	nlh = request(q, buf, NFQNL_MSG_CONFIG);
	mnl_attr_put(nlh, NFQA_CFG_CMD, sizeof(cmd), &cmd);
	mnl_attr_put(nlh, NFQA_CFG_PARAMS, sizeof(params), &params);
	mnl_attr_put_u32(nlh, NFQA_CFG_QUEUE_MAXLEN, htonl(QUEUE_LENGTH));
	mnl_attr_put_u32(nlh, NFQA_CFG_FLAGS, htonl(flags));
	mnl_attr_put_u32(nlh, NFQA_CFG_MASK, htonl(flags));
	return ask(q, nlh);
}

static void verdict(struct nfqueue *q, uint16_t type, uint32_t id)
{
	_Alignas(struct nlmsghdr) char buf[64] = {0};
	struct nfqnl_msg_verdict_hdr v = {.verdict = htonl(NF_ACCEPT), .id = htonl(id)};
	struct nlmsghdr *nlh = request(q, buf, type);

	mnl_attr_put(nlh, NFQA_VERDICT_HDR, sizeof(v), &v);
	/* one that is gone already (its interface, say) is told as an error and passed over */
	(void)mnl_socket_sendto(q->socket, nlh, nlh->nlmsg_len);
}

void nfqueue_release(struct nfqueue *q, uint32_t token)
{
	if (q)
		verdict(q, NFQNL_MSG_VERDICT, token);
}

/* ---- packets --------------------------------------------------------------------------- */

struct attrs {
	const struct nlattr *header, *payload, *entry;
};

static int on_attr(const struct nlattr *a, void *ctx)
{
	struct attrs *found = ctx;

	if (mnl_attr_get_type(a) == NFQA_PACKET_HDR)
		found->header = a;
	else if (mnl_attr_get_type(a) == NFQA_PAYLOAD)
		found->payload = a;
	else if (mnl_attr_get_type(a) == NFQA_CT)
		found->entry = a;
	return MNL_CB_OK;
}

/* What is attached are the attributes of a ctnetlink message: read as one. */
static bool attached(const struct nfqueue *q, uint8_t family, const struct nlattr *a,
		     struct kernel_entry *k)
{
	_Alignas(struct nlmsghdr) char buf[2048] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfh;
	size_t len = mnl_attr_get_payload_len(a);
	void *at;

	nlh->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW;
	nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	nfh = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfh));
	if (len > sizeof(buf) - nlh->nlmsg_len)
		return false;
	at = mnl_nlmsg_get_payload_tail(nlh);
	memcpy(at, mnl_attr_get_payload(a), len);
	nlh->nlmsg_len += (uint32_t)MNL_ALIGN(len);
	nfh->nfgen_family = family;
	return !ctnl_msg_parse(nlh, &q->scope, k);
}

static bool by_headers(const struct nlattr *a, struct kernel_entry *k)
{
	memset(k, 0, sizeof(*k));
	if (!headers_tuples(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a), &k->tuples))
		return false;
	if (k->tuples.proto == PROTO_TCP)
		k->tcp_state = CT_TCP_SYN_SENT;
	return true;
}

static int on_packet(const struct nlmsghdr *nlh, void *ctx)
{
	struct nfqueue *q = ctx;
	struct nfqnl_msg_packet_hdr header;
	const struct nfgenmsg *nfh = mnl_nlmsg_get_payload(nlh);
	struct attrs found = {0};
	struct kernel_entry k;
	bool known = false;

	if (nlh->nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET) ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(*nfh))
		return MNL_CB_OK;
	mnl_attr_parse(nlh, sizeof(struct nfgenmsg), on_attr, &found);
	if (!found.header || mnl_attr_get_payload_len(found.header) < sizeof(header))
		return MNL_CB_OK;
	memcpy(&header, mnl_attr_get_payload(found.header), sizeof(header));
	q->last = ntohl(header.packet_id);
	if (q->number == QUEUE_PLAIN && found.payload)
		known = by_headers(found.payload, &k);
	else if (q->number == QUEUE_ANY && found.entry)
		known = attached(q, nfh->nfgen_family, found.entry, &k);
	q->held(q->ctx, known ? &k : NULL, q->last);
	return MNL_CB_OK;
}

/* A verdict on a packet that is gone is answered by an error: nothing is wrong. */
static int on_error(const struct nlmsghdr *nlh, void *ctx)
{
	(void)nlh;
	(void)ctx;
	return MNL_CB_OK;
}

int nfqueue_read(struct nfqueue *q)
{
	mnl_cb_t control[NLMSG_MIN_TYPE] = {[NLMSG_ERROR] = on_error};

	for (int i = 0; i < READ_AT_ONCE; i++) {
		ssize_t n = recv(mnl_socket_get_fd(q->socket), q->buf, sizeof(q->buf),
				 MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -errno;
		(void)mnl_cb_run2(q->buf, (size_t)n, 0, 0, on_packet, q, control, NLMSG_MIN_TYPE);
	}
	return 0;
}

/* ---- life ------------------------------------------------------------------------------ */

int nfqueue_open(struct nfqueue **queue, const struct ctnl_scope *scope, nfqueue_held_fn *held,
		 void *ctx)
{
	struct timeval patience = {.tv_sec = 1};
	struct nfqueue *q = calloc(1, sizeof(*q));
	int on = 1, size = BUFFER_SIZE, err = -ENOMEM;

	if (!q)
		return -ENOMEM;
	q->scope = *scope;
	q->held = held;
	q->ctx = ctx;
	q->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!q->socket || mnl_socket_bind(q->socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(mnl_socket_get_fd(q->socket), SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) < 0) {
		err = -errno;
		goto out;
	}
	/* what finds no room passes, so there is nothing to tell of it */
	(void)mnl_socket_setsockopt(q->socket, NETLINK_NO_ENOBUFS, &on, sizeof(on));
	(void)setsockopt(mnl_socket_get_fd(q->socket), SOL_SOCKET, SO_RCVBUFFORCE, &size,
			 sizeof(size));
	err = configure(q, QUEUE_ANY);
	if (err == -EOPNOTSUPP)
		err = configure(q, QUEUE_PLAIN);
	if (!err) /* packets that came before we listen */
		verdict(q, NFQNL_MSG_VERDICT_BATCH, ALL_IDS);
out:
	if (err) {
		if (q->socket)
			mnl_socket_close(q->socket);
		free(q);
		return err;
	}
	*queue = q;
	return 0;
}

/*
 * A queue of no length takes nothing more, and what comes passes: then everything that is in it is
 * let go, read or not.
 */
void nfqueue_close(struct nfqueue *q)
{
	_Alignas(struct nlmsghdr) char buf[64] = {0};
	struct nlmsghdr *nlh;

	if (!q)
		return;
	nlh = request(q, buf, NFQNL_MSG_CONFIG);
	mnl_attr_put_u32(nlh, NFQA_CFG_QUEUE_MAXLEN, htonl(0));
	(void)mnl_socket_sendto(q->socket, nlh, nlh->nlmsg_len);
	verdict(q, NFQNL_MSG_VERDICT_BATCH, q->last + ALL_IDS);
	mnl_socket_close(q->socket);
	free(q);
}

unsigned nfqueue_number(const struct nfqueue *q)
{
	return q->number;
}

int nfqueue_fd(const struct nfqueue *q)
{
	return mnl_socket_get_fd(q->socket);
}
