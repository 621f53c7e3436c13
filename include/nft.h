/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asking nf_tables for all that there is of a kind. */
#ifndef PFSYNC_NFT_H
#define PFSYNC_NFT_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>

/* What is looked for, and whether it was found. */
struct nft_search {
	unsigned number;
	bool found;
};

/*
 * Calls on with each object (NFT_MSG_GETCHAIN, NFT_MSG_GETRULE) of this network namespace and a
 * struct nft_search. 1 if it was found, 0 if not, or -errno. Waits for the kernel's answer, which
 * comes at once. Needs CAP_NET_ADMIN.
 */
int nft_look(uint8_t message, mnl_cb_t on, unsigned number);

#endif
