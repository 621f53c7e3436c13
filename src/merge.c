/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "merge.h"

#include "flow.h"

enum merge merge_peer(uint8_t proto, const struct pf_peer *known, bool known_numbers,
		      const struct pf_peer *incoming)
{
	bool left_proxy = proto == PROTO_TCP && known->state >= PF_TCP_PROXY_SRC &&
			  incoming->state < PF_TCP_PROXY_SRC;

	if (left_proxy)
		return MERGE_NEWER;
	if (known->state != incoming->state)
		return known->state > incoming->state ? MERGE_STALE : MERGE_NEWER;
	if (proto != PROTO_TCP || !known_numbers || known->seqlo == incoming->seqlo)
		return MERGE_EQUAL;
	return (int32_t)(known->seqlo - incoming->seqlo) > 0 ? MERGE_STALE : MERGE_NEWER;
}
