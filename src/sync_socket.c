/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bytes.h"
#include "sync_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PROTO_PFSYNC = 240,
	HOP_LIMIT = 255,
	RECEIVE_BUFFER =
		64 << 20, /* a second of states that come faster than the kernel takes them */
	SEND_BUFFER = 8 << 20,
	RECEIVE_AT_ONCE = 64,
	RECEIVE_ROUNDS = 4,
	RECEIVE_SIZE = 65536, /* pages that are never written to cost nothing */
	SEND_AT_ONCE = 64,
	SEND_ROOM = 128 * 1024,
	CONTROL_SIZE = 128,
	IPV4_HEADER = 20,
};

union any_addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

union control {
	struct cmsghdr align;
	char buf[CONTROL_SIZE];
};

struct sync_socket {
	int fd;
	bool v6, multicast, joined;
	unsigned index;
	union any_addr peer;
	sync_socket_call call;
	void *ctx;

	struct mmsghdr in[RECEIVE_AT_ONCE];
	struct iovec in_iov[RECEIVE_AT_ONCE];
	union any_addr in_from[RECEIVE_AT_ONCE];
	union control in_control[RECEIVE_AT_ONCE];
	uint8_t *in_buf;
	uint32_t dropped, dropped_told; /* by the kernel, since the socket is there */

	struct mmsghdr out[SEND_AT_ONCE];
	struct iovec out_iov[SEND_AT_ONCE];
	unsigned out_count;
	size_t out_len;
	size_t failed; /* since the last flush */
	int error;
	uint8_t out_buf[SEND_ROOM];
};

/* ---- life ------------------------------------------------------------------------------ */

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int set_options(const struct sync_socket *s)
{
	static const int v4[][2] = {
		{IP_TTL, HOP_LIMIT},	  {IP_MULTICAST_TTL, HOP_LIMIT},
		{IP_MULTICAST_LOOP, 0},	  {IP_MULTICAST_ALL, 0},
		{IP_TOS, IPTOS_LOWDELAY}, {IP_MTU_DISCOVER, IP_PMTUDISC_DO},
		{IP_RECVTTL, 1},	  {IP_PKTINFO, 1},
	};
	static const int v6[][2] = {
		{IPV6_UNICAST_HOPS, HOP_LIMIT},
		{IPV6_MULTICAST_HOPS, HOP_LIMIT},
		{IPV6_MULTICAST_LOOP, 0},
		{IPV6_TCLASS, 0},
		{IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO},
		{IPV6_DONTFRAG, 1},
		{IPV6_RECVHOPLIMIT, 1},
		{IPV6_RECVPKTINFO, 1},
	};
	size_t n = s->v6 ? sizeof(v6) / sizeof(v6[0]) : sizeof(v4) / sizeof(v4[0]);
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		const int *o = s->v6 ? v6[i] : v4[i];

		err = set_int(s->fd, s->v6 ? IPPROTO_IPV6 : IPPROTO_IP, o[0], o[1]);
	}
	if (!err)
		err = set_int(s->fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
	if (set_int(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER))
		(void)set_int(s->fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
	if (set_int(s->fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER))
		(void)set_int(s->fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
	return err;
}

static socklen_t addr_len(const struct sync_socket *s)
{
	return s->v6 ? sizeof(s->peer.v6) : sizeof(s->peer.v4);
}

static void prepare_messages(struct sync_socket *s)
{
	for (size_t i = 0; i < RECEIVE_AT_ONCE; i++) {
		s->in_iov[i].iov_base = s->in_buf + i * RECEIVE_SIZE;
		s->in_iov[i].iov_len = RECEIVE_SIZE;
		s->in[i].msg_hdr.msg_iov = &s->in_iov[i];
		s->in[i].msg_hdr.msg_iovlen = 1;
		s->in[i].msg_hdr.msg_name = &s->in_from[i];
		s->in[i].msg_hdr.msg_control = &s->in_control[i];
	}
	for (size_t i = 0; i < SEND_AT_ONCE; i++) {
		s->out[i].msg_hdr.msg_iov = &s->out_iov[i];
		s->out[i].msg_hdr.msg_iovlen = 1;
		s->out[i].msg_hdr.msg_name = &s->peer;
		s->out[i].msg_hdr.msg_namelen = addr_len(s);
	}
}

void sync_socket_set_peer(struct sync_socket *s, const struct address *peer)
{
	if (s->v6) {
		s->peer.v6.sin6_family = AF_INET6;
		memcpy(&s->peer.v6.sin6_addr, peer->addr, 16);
	} else {
		s->peer.v4.sin_family = AF_INET;
		memcpy(&s->peer.v4.sin_addr, peer->addr, 4);
	}
}

int sync_socket_open(struct sync_socket **sock, const struct address *peer, sync_socket_call call,
		     void *ctx)
{
	struct sync_socket *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->call = call;
	s->ctx = ctx;
	s->v6 = peer->family == 6;
	s->multicast = s->v6 ? peer->addr[0] == 0xff : (peer->addr[0] & 0xf0) == 0xe0;
	sync_socket_set_peer(s, peer);
	s->in_buf = malloc((size_t)RECEIVE_AT_ONCE * RECEIVE_SIZE);
	s->fd = socket(s->v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
		       PROTO_PFSYNC);
	err = s->fd < 0 ? -errno : !s->in_buf ? -ENOMEM : set_options(s);
	if (err) {
		sync_socket_close(s);
		return err;
	}
	prepare_messages(s);
	*sock = s;
	return 0;
}

void sync_socket_close(struct sync_socket *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	free(s->in_buf);
	free(s);
}

int sync_socket_fd(const struct sync_socket *s)
{
	return s->fd;
}

bool sync_socket_joined(const struct sync_socket *s)
{
	return s->joined;
}

/* ---- interface ------------------------------------------------------------------------- */

static int membership(const struct sync_socket *s, bool join)
{
	struct ipv6_mreq v6 = {.ipv6mr_multiaddr = s->peer.v6.sin6_addr,
			       .ipv6mr_interface = s->index};
	struct ip_mreqn v4 = {.imr_multiaddr = s->peer.v4.sin_addr, .imr_ifindex = (int)s->index};
	int r;

	if (s->v6)
		r = setsockopt(s->fd, IPPROTO_IPV6, join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, &v6,
			       sizeof(v6));
	else
		r = setsockopt(s->fd, IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP,
			       &v4, sizeof(v4));
	return r < 0 ? -errno : 0;
}

/* Where multicast leaves. */
static int set_outgoing(const struct sync_socket *s)
{
	struct ip_mreqn v4 = {.imr_ifindex = (int)s->index};

	if (s->v6)
		return set_int(s->fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)s->index);
	if (setsockopt(s->fd, IPPROTO_IP, IP_MULTICAST_IF, &v4, sizeof(v4)) < 0)
		return -errno;
	return 0;
}

static int bind_to(const struct sync_socket *s)
{
	char name[IF_NAMESIZE];

	if (!if_indextoname(s->index, name))
		return -errno;
	if (setsockopt(s->fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name) + 1) < 0)
		return -errno;
	return 0;
}

int sync_socket_attach(struct sync_socket *s, unsigned index)
{
	int err;

	/* A group of an interface that is gone still counts against the limit of groups. */
	if (s->joined)
		(void)membership(s, false);
	s->joined = false;
	s->index = index;
	if (!index)
		return 0;
	if (s->v6)
		s->peer.v6.sin6_scope_id = index;
	err = bind_to(s);
	if (!err && s->multicast) {
		err = set_outgoing(s);
		if (!err)
			err = membership(s, true);
		s->joined = !err;
	}
	if (err)
		s->index = 0;
	return err;
}

/* ---- receiving ------------------------------------------------------------------------- */

static unsigned control_info(struct sync_socket *s, struct msghdr *m, uint8_t *ttl)
{
	unsigned index = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		bool v4 = c->cmsg_level == IPPROTO_IP;
		bool v6 = c->cmsg_level == IPPROTO_IPV6;

		if ((v4 && c->cmsg_type == IP_TTL) || (v6 && c->cmsg_type == IPV6_HOPLIMIT)) {
			int v;

			memcpy(&v, CMSG_DATA(c), sizeof(v));
			*ttl = (uint8_t)v;
		} else if (v4 && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo i;

			memcpy(&i, CMSG_DATA(c), sizeof(i));
			index = (unsigned)i.ipi_ifindex;
		} else if (v6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo i;

			memcpy(&i, CMSG_DATA(c), sizeof(i));
			index = (unsigned)i.ipi6_ifindex;
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			memcpy(&s->dropped, CMSG_DATA(c), sizeof(s->dropped));
		}
	}
	return index;
}

static void hand_on_packet(struct sync_socket *s, size_t n)
{
	struct msghdr *m = &s->in[n].msg_hdr;
	struct reader r = reader_of(s->in_iov[n].iov_base, s->in[n].msg_len);
	struct packet_from from = {.ttl = 0};

	if (m->msg_flags & MSG_TRUNC)
		return;
	from.right_interface = control_info(s, m, &from.ttl) == s->index && s->index;
	from.src.family = s->v6 ? 6 : 4;
	if (s->v6) {
		memcpy(from.src.addr, &s->in_from[n].v6.sin6_addr, 16);
	} else {
		uint8_t first = reader_u8(&r);
		size_t header = (first & 0x0f) * (size_t)4;

		memcpy(from.src.addr, &s->in_from[n].v4.sin_addr, 4);
		if (first >> 4 != 4 || header < IPV4_HEADER)
			return;
		reader_skip(&r, header - 1);
	}
	if (!r.failed)
		s->call(s->ctx, &from, r.at, reader_left(&r));
}

int sync_socket_receive(struct sync_socket *s)
{
	for (int round = 0; round < RECEIVE_ROUNDS; round++) {
		int n;

		for (size_t i = 0; i < RECEIVE_AT_ONCE; i++) {
			s->in[i].msg_hdr.msg_namelen = sizeof(s->in_from[i]);
			s->in[i].msg_hdr.msg_controllen = sizeof(s->in_control[i]);
		}
		n = recvmmsg(s->fd, s->in, RECEIVE_AT_ONCE, MSG_DONTWAIT, NULL);
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		/* Errors of the network (ENETDOWN, EHOSTUNREACH) are reported here once each. */
		if (n < 0)
			return -errno;
		for (int i = 0; i < n; i++)
			hand_on_packet(s, (size_t)i);
		if (n < RECEIVE_AT_ONCE)
			return 0;
	}
	return 1;
}

uint32_t sync_socket_dropped(struct sync_socket *s)
{
	uint32_t n = s->dropped - s->dropped_told;

	s->dropped_told = s->dropped;
	return n;
}

/* ---- sending --------------------------------------------------------------------------- */

static void send_gathered(struct sync_socket *s)
{
	unsigned at = 0;

	while (at < s->out_count) {
		int n = sendmmsg(s->fd, s->out + at, s->out_count - at, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0) {
			at += (unsigned)n;
			continue;
		}
		/* The first of them failed; what is behind it may do better, unless it is full. */
		s->error = n < 0 ? errno : EIO;
		if (s->error == EAGAIN || s->error == ENOBUFS) {
			s->failed += s->out_count - at;
			break;
		}
		s->failed++;
		at++;
	}
	s->out_count = 0;
	s->out_len = 0;
}

int sync_socket_send(struct sync_socket *s, const uint8_t *data, size_t len)
{
	if (!s->index)
		return ENETDOWN;
	if (len > UINT16_MAX)
		return EMSGSIZE;
	if (s->out_count == SEND_AT_ONCE || len > SEND_ROOM - s->out_len)
		send_gathered(s);
	memcpy(s->out_buf + s->out_len, data, len);
	s->out_iov[s->out_count].iov_base = s->out_buf + s->out_len;
	s->out_iov[s->out_count].iov_len = len;
	s->out_len += len;
	s->out_count++;
	return 0;
}

size_t sync_socket_flush(struct sync_socket *s, int *error)
{
	size_t failed;

	if (s->out_count)
		send_gathered(s);
	failed = s->failed;
	if (failed)
		*error = s->error;
	s->failed = 0;
	return failed;
}
