/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows libmnl. */
#include "nft.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum { ANSWER_SIZE = 65536 };

static int ask(struct mnl_socket *s, char *buf, uint8_t message, mnl_cb_t on,
	       struct nft_search *search)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	uint32_t seq = (uint32_t)time(NULL);
	struct nfgenmsg *nfh;
	int r = MNL_CB_OK;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message);
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = seq;
	nfh = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfh));
	nfh->nfgen_family = AF_UNSPEC;
	nfh->version = NFNETLINK_V0;
	if (mnl_socket_sendto(s, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (r > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(s, buf, ANSWER_SIZE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		r = mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(s), on, search);
	}
	return r < 0 ? -errno : 0;
}

/* A list that changed while it was read (EINTR) is read again. */
int nft_look(uint8_t message, mnl_cb_t on, unsigned number)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	struct timeval patience = {.tv_sec = 1};
	struct nft_search search = {.number = number};
	char *buf = malloc(ANSWER_SIZE);
	int err = -EINTR;

	if (!s || !buf) {
		err = s ? -ENOMEM : -errno;
		goto out;
	}
	if (setsockopt(mnl_socket_get_fd(s), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) <
		    0 ||
	    mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0) {
		err = -errno;
		goto out;
	}
	for (int i = 0; i < 3 && err == -EINTR && !search.found; i++)
		err = ask(s, buf, message, on, &search);
	/* A kernel without nf_tables has none of it. */
	if (err == -EOPNOTSUPP || err == -EINVAL)
		err = 0;
out:
	if (s)
		mnl_socket_close(s);
	free(buf);
	return search.found ? 1 : err;
}
