/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows libmnl. */
#include "queuerule.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "nft.h"

/* One expression of a rule: its name, and the attributes of its data by their numbers. */
struct expression {
	const char *name;
	const struct nlattr *data[4];
};

static int on_data(const struct nlattr *a, void *ctx)
{
	struct expression *x = ctx;
	uint16_t type = mnl_attr_get_type(a);

	if (type < sizeof(x->data) / sizeof(x->data[0]))
		x->data[type] = a;
	return MNL_CB_OK;
}

static int on_expression(const struct nlattr *a, void *ctx)
{
	struct expression *x = ctx;

	if (mnl_attr_get_type(a) == NFTA_EXPR_NAME &&
	    mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
		x->name = mnl_attr_get_str(a);
	else if (mnl_attr_get_type(a) == NFTA_EXPR_DATA)
		mnl_attr_parse_nested(a, on_data, x);
	return MNL_CB_OK;
}

/* nft: `queue num 240`, `queue num 240-243` */
static bool queues(const struct expression *x, unsigned number)
{
	const struct nlattr *num = x->data[NFTA_QUEUE_NUM], *total = x->data[NFTA_QUEUE_TOTAL];
	unsigned first, count = 1;

	if (!num || mnl_attr_validate(num, MNL_TYPE_U16) < 0)
		return false;
	first = ntohs(mnl_attr_get_u16(num));
	if (total && mnl_attr_validate(total, MNL_TYPE_U16) >= 0)
		count = ntohs(mnl_attr_get_u16(total));
	return number >= first && number - first < count;
}

/* iptables-nft: the target's own data begins with the number, in host order. */
static bool targets(const struct expression *x, unsigned number)
{
	const struct nlattr *name = x->data[NFTA_TARGET_NAME], *info = x->data[NFTA_TARGET_INFO];
	uint16_t first;

	if (!name || !info || mnl_attr_validate(name, MNL_TYPE_NUL_STRING) < 0 ||
	    strcmp(mnl_attr_get_str(name), "NFQUEUE") != 0 ||
	    mnl_attr_get_payload_len(info) < sizeof(first))
		return false;
	memcpy(&first, mnl_attr_get_payload(info), sizeof(first));
	return first == number;
}

static int on_element(const struct nlattr *a, void *ctx)
{
	struct nft_search *search = ctx;
	struct expression x = {.name = ""};

	if (mnl_attr_get_type(a) != NFTA_LIST_ELEM)
		return MNL_CB_OK;
	mnl_attr_parse_nested(a, on_expression, &x);
	if (!strcmp(x.name, "queue"))
		search->found |= queues(&x, search->number);
	else if (!strcmp(x.name, "target"))
		search->found |= targets(&x, search->number);
	return MNL_CB_OK;
}

static int on_attr(const struct nlattr *a, void *ctx)
{
	if (mnl_attr_get_type(a) == NFTA_RULE_EXPRESSIONS)
		mnl_attr_parse_nested(a, on_element, ctx);
	return MNL_CB_OK;
}

static int on_rule(const struct nlmsghdr *nlh, void *ctx)
{
	mnl_attr_parse(nlh, sizeof(struct nfgenmsg), on_attr, ctx);
	return MNL_CB_OK;
}

int queuerule_present(unsigned number)
{
	return nft_look(NFT_MSG_GETRULE, on_rule, number);
}
