/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tuples of a packet by its headers: what conntrack makes of it where nothing is translated. */
#ifndef PFSYNC_HEADERS_H
#define PFSYNC_HEADERS_H

#include "flow.h"

enum { HEADERS_ROOM = 256 }; /* bytes of a packet in which they are looked for */

/*
 * data begins with the IP header, IPv4 or IPv6 with extension headers, and may be cut off. The
 * reply is the original turned round. False, and t is of no use, for what begins no flow that can
 * be told by its headers alone: fragments, TCP but a bare SYN, ICMP but echo requests, protocols
 * whose ports stand elsewhere, and what is cut off.
 */
bool headers_tuples(const void *data, size_t len, struct tuples *t);

#endif
