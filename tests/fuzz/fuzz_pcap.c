/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a captured frame; the first of them picks the link type. */
#include "frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int links[] = {LINK_ETHERNET,	 LINK_NULL,    LINK_RAW_BSD,
			    LINK_RAW_OPENBSD,	 LINK_RAW,     LINK_LOOP,
			    LINK_COOKED,	 LINK_COOKED2, LINK_IPV4,
			    LINK_IPV6,		 LINK_PFSYNC,  LINK_PFSYNC_FREEBSD,
			    LINK_PFSYNC_OPENBSD, 147 /* none that is known */};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct show_meta m = {.sec = 0};
	struct text t = {.s = NULL};
	const uint8_t *payload;
	size_t len;
	int link;

	if (!size)
		return 0;
	link = links[data[0] % (sizeof(links) / sizeof(links[0]))];
	if (!frame_find(link, data + 1, size - 1, &m, &payload, &len))
		return 0;
	if (!frame_known(link) || payload < data || payload + len > data + size)
		abort();
	show_json(&t, &m, payload, len);
	show_text(&t, &m, payload, len, true);
	text_free(&t);
	return 0;
}
