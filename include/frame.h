/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a captured frame of some link type to the pfsync payload in it. No I/O, no libpcap. */
#ifndef PFSYNC_FRAME_H
#define PFSYNC_FRAME_H

#include "show.h"

/* Link types as libpcap numbers them. */
enum {
	LINK_NULL = 0,
	LINK_ETHERNET = 1,
	LINK_RAW_BSD = 12,
	LINK_RAW_OPENBSD = 14,
	LINK_PFSYNC_OPENBSD = 18,
	LINK_RAW = 101,
	LINK_LOOP = 108,
	LINK_COOKED = 113,
	LINK_PFSYNC_FREEBSD = 121,
	LINK_IPV4 = 228,
	LINK_IPV6 = 229,
	LINK_PFSYNC = 246,
	LINK_COOKED2 = 276,
};

/* Whether frame_find() knows a link type. */
bool frame_known(int linktype);

/*
 * The pfsync payload of a frame, which may be cut anywhere; false if it holds none. Family,
 * addresses and TTL of m are set, its time is left alone. Of a later fragment the payload is empty
 * (its bytes are no header); of a first fragment it is what there is.
 */
bool frame_find(int linktype, const uint8_t *data, size_t len, struct show_meta *m,
		const uint8_t **payload, size_t *payload_len);

#endif
