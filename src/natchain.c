/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows libmnl. */
#include "natchain.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "nft.h"

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
	struct nft_search *search = ctx;

	mnl_attr_parse(nlh, sizeof(struct nfgenmsg), on_attr, &c);
	if (c.hooked && c.nat)
		search->found = true;
	return MNL_CB_OK;
}

int natchain_present(void)
{
	int v4 = legacy_has_nat("/proc/net/ip_tables_names");
	int v6 = legacy_has_nat("/proc/net/ip6_tables_names");
	int nft;

	if (v4 == 1 || v6 == 1)
		return 1;
	nft = nft_look(NFT_MSG_GETCHAIN, on_chain, 0);
	if (nft)
		return nft;
	return v4 ? v4 : v6;
}
