/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows libmnl. */
#include "natchain.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { ANSWER_SIZE = 65536 };

/*
 * The file names the tables of legacy iptables; it is not there if the module is not. Only root
 * may read it: 1, 0 or -errno.
 */
static int legacy_has_nat(const char *file)
{
	FILE *f = fopen(file, "re");
	int found = 0;
	char line[64];

	if (!f)
		return errno == ENOENT ? 0 : -errno;
	while (!found && fgets(line, sizeof(line), f))
		found = !strcmp(line, "nat\n") || !strcmp(line, "nat");
	fclose(f);
	return found;
}

struct chain {
	bool hooked, nat;
};

static int on_attr(const struct nlattr *a, void *ctx)
{
	struct chain *c = ctx;

	if (mnl_attr_get_type(a) == NFTA_CHAIN_HOOK)
		c->hooked = true;
	else if (mnl_attr_get_type(a) == NFTA_CHAIN_TYPE &&
		 mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
		c->nat = !strcmp(mnl_attr_get_str(a), "nat");
	return MNL_CB_OK;
}

static int on_chain(const struct nlmsghdr *nlh, void *ctx)
{
	struct chain c = {.nat = false};
	bool *found = ctx;

	mnl_attr_parse(nlh, sizeof(struct nfgenmsg), on_attr, &c);
	if (c.hooked && c.nat)
		*found = true;
	return MNL_CB_OK;
}

static int ask_chains(struct mnl_socket *s, char *buf, bool *found)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	uint32_t seq = (uint32_t)time(NULL);
	struct nfgenmsg *nfh;
	int r = MNL_CB_OK;

	nlh->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN;
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
		r = mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(s), on_chain, found);
	}
	return r < 0 ? -errno : 0;
}

/* A list that changed while it was read (EINTR) is read again. */
static int nftables_has_nat(void)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	struct timeval patience = {.tv_sec = 1};
	char *buf = malloc(ANSWER_SIZE);
	bool found = false;
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
	for (int i = 0; i < 3 && err == -EINTR && !found; i++)
		err = ask_chains(s, buf, &found);
	/* A kernel without nf_tables has no such chain. */
	if (err == -EOPNOTSUPP || err == -EINVAL)
		err = 0;
out:
	if (s)
		mnl_socket_close(s);
	free(buf);
	return found ? 1 : err;
}

int natchain_present(void)
{
	int v4 = legacy_has_nat("/proc/net/ip_tables_names");
	int v6 = legacy_has_nat("/proc/net/ip6_tables_names");
	int nft;

	if (v4 == 1 || v6 == 1)
		return 1;
	nft = nftables_has_nat();
	if (nft)
		return nft;
	return v4 ? v4 : v6;
}
