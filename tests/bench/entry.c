/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "entry.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#define SERVER 0xc633640a /* 198.51.100.10 */

enum { LIBERAL = 0x8 };

double entry_clock(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

_Noreturn void entry_die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

struct mnl_socket *entry_socket(int option, int size)
{
	struct mnl_socket *s = mnl_socket_open(NETLINK_NETFILTER);

	if (!s || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) ||
	    setsockopt(mnl_socket_get_fd(s), SOL_SOCKET, option, &size, sizeof(size)))
		entry_die("netlink");
	return s;
}

/* Sixteen connections to an address. */
uint32_t entry_address(unsigned long n)
{
	return 0x0a000000 + (uint32_t)(n >> 4);
}

uint16_t entry_port(unsigned long n)
{
	return (uint16_t)(1024 + (n & 15) * 4000 + (n >> 4) % 4000);
}

void out_flush(struct out *o)
{
	char answer[8192];
	ssize_t n;

	if (o->n && mnl_socket_sendto(o->s, o->buf, o->len) < 0)
		entry_die("send");
	while ((n = recv(mnl_socket_get_fd(o->s), answer, sizeof(answer), MSG_DONTWAIT)) > 0)
		o->failed++;
	o->len = o->n = 0;
}

static void put_tuple(struct nlmsghdr *nlh, uint16_t attr, const uint32_t addr[2],
		      const uint16_t port[2], bool turned)
{
	struct nlattr *tuple = mnl_attr_nest_start(nlh, attr), *part;

	part = mnl_attr_nest_start(nlh, CTA_TUPLE_IP);
	mnl_attr_put_u32(nlh, CTA_IP_V4_SRC, htonl(addr[turned]));
	mnl_attr_put_u32(nlh, CTA_IP_V4_DST, htonl(addr[!turned]));
	mnl_attr_nest_end(nlh, part);
	part = mnl_attr_nest_start(nlh, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(nlh, CTA_PROTO_NUM, IPPROTO_TCP);
	mnl_attr_put_u16(nlh, CTA_PROTO_SRC_PORT, htons(port[turned]));
	mnl_attr_put_u16(nlh, CTA_PROTO_DST_PORT, htons(port[!turned]));
	mnl_attr_nest_end(nlh, part);
	mnl_attr_nest_end(nlh, tuple);
}

/* state 0: the end of it. The number makes the tuple. */
void out_entry(struct out *o, unsigned long n, uint8_t state, uint32_t status, bool create)
{
	uint32_t addr[2] = {entry_address(n), SERVER};
	uint16_t port[2] = {entry_port(n), 443};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(o->buf + o->len);
	struct nlattr *info, *tcp;
	uint8_t flags[2] = {LIBERAL, LIBERAL};
	struct nfgenmsg *nfh;

	nlh->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 |
			  (state ? IPCTNL_MSG_CT_NEW : IPCTNL_MSG_CT_DELETE);
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | (create ? NLM_F_CREATE | NLM_F_EXCL : 0));
	nlh->nlmsg_seq = ++o->seq;
	nfh = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfh));
	nfh->nfgen_family = AF_INET;
	nfh->version = NFNETLINK_V0;
	nfh->res_id = 0;
	put_tuple(nlh, CTA_TUPLE_ORIG, addr, port, false);
	if (create)
		put_tuple(nlh, CTA_TUPLE_REPLY, addr, port, true);
	if (state) {
		mnl_attr_put_u32(nlh, CTA_STATUS, htonl(status));
		mnl_attr_put_u32(nlh, CTA_TIMEOUT, htonl(o->timeout));
		info = mnl_attr_nest_start(nlh, CTA_PROTOINFO);
		tcp = mnl_attr_nest_start(nlh, CTA_PROTOINFO_TCP);
		mnl_attr_put_u8(nlh, CTA_PROTOINFO_TCP_STATE, state);
		mnl_attr_put(nlh, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, sizeof(flags), flags);
		mnl_attr_put(nlh, CTA_PROTOINFO_TCP_FLAGS_REPLY, sizeof(flags), flags);
		mnl_attr_nest_end(nlh, tcp);
		mnl_attr_nest_end(nlh, info);
	}
	o->len += MNL_ALIGN(nlh->nlmsg_len);
	if (++o->n == BATCH)
		out_flush(o);
}
