/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PROTO_PFSYNC = 240,
	PROTO_ICMP = 1,
	PROTO_ICMPV6 = 58,
	ICMP_UNREACHABLE = 3,
	ICMPV6_UNREACHABLE = 1,
	ICMPV6_PARAMETER = 4, /* an unknown next header is one of those */
	V4_PROTO = 9,
	V4_FRAGMENT = 6,
	V4_OFFSET_MASK = 0x1fff,
	V6_NEXT = 6,
	V6_HEADER = 40,
	ICMP_HEADER = 8,
	ANY = 1, /* bytes kept of what is counted */
	FILTER_MAX = 32,
};

#define LOAD(size, at)	  BPF_STMT(BPF_LD | (size) | BPF_ABS, (unsigned)(at))
#define LOAD_X(at)	  BPF_STMT(BPF_LD | BPF_B | BPF_IND, (unsigned)(at))
#define EQUAL(v, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(v), yes, no)
#define TAKE		  BPF_STMT(BPF_RET | BPF_K, ANY)
#define LEAVE		  BPF_STMT(BPF_RET | BPF_K, 0)

/* For this host, or for a group that it is in; where it should be in none: NOBODY. */
#define FOR_US(no)                                                                                 \
	LOAD(BPF_B, SKF_AD_OFF + SKF_AD_PKTTYPE), EQUAL(PACKET_HOST, 1, 0),                        \
		EQUAL(PACKET_MULTICAST, 0, (no)-3)

enum { FOR_GROUP = 2, NOBODY = 255 }; /* the instruction with the group */

/* From the network header on; of fragments only the first counts. */
static const struct sock_filter pfsync[] = {
	FOR_US(12),
	LOAD(BPF_H, SKF_AD_OFF + SKF_AD_PROTOCOL),
	EQUAL(ETH_P_IPV6, 5, 0),
	EQUAL(ETH_P_IP, 0, 6),
	LOAD(BPF_H, V4_FRAGMENT),
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, V4_OFFSET_MASK, 4, 0),
	LOAD(BPF_B, V4_PROTO),
	EQUAL(PROTO_PFSYNC, 3, 2),
	LOAD(BPF_B, V6_NEXT),
	EQUAL(PROTO_PFSYNC, 1, 0),
	LEAVE,
	TAKE,
};

static const struct sock_filter unreachable[] = {
	FOR_US(20),
	LOAD(BPF_H, SKF_AD_OFF + SKF_AD_PROTOCOL),
	EQUAL(ETH_P_IPV6, 8, 0),
	EQUAL(ETH_P_IP, 0, 14),
	LOAD(BPF_B, V4_PROTO),
	EQUAL(PROTO_ICMP, 0, 12),
	BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
	LOAD_X(0),
	EQUAL(ICMP_UNREACHABLE, 0, 9),
	LOAD_X(ICMP_HEADER + V4_PROTO),
	EQUAL(PROTO_PFSYNC, 8, 7),
	LOAD(BPF_B, V6_NEXT),
	EQUAL(PROTO_ICMPV6, 0, 5),
	LOAD(BPF_B, V6_HEADER),
	EQUAL(ICMPV6_UNREACHABLE, 1, 0),
	EQUAL(ICMPV6_PARAMETER, 0, 2),
	LOAD(BPF_B, V6_HEADER + ICMP_HEADER + V6_NEXT),
	EQUAL(PROTO_PFSYNC, 1, 0),
	LEAVE,
	TAKE,
};

_Static_assert(sizeof(unreachable) <= FILTER_MAX * sizeof(unreachable[0]), "it has to fit");

int tap_open(int *fd, unsigned index, enum tap_kind kind, bool group)
{
	bool frames = kind == TAP_PFSYNC;
	struct sock_filter code[FILTER_MAX];
	struct sock_fprog program = {
		.len = (frames ? sizeof(pfsync) : sizeof(unreachable)) / sizeof(code[0]),
		.filter = code,
	};
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_ALL),
				 .sll_ifindex = (int)index};
	int s, one = 1, least = 1, err;

	memcpy(code, frames ? pfsync : unreachable, program.len * sizeof(code[0]));
	if (!group)
		code[FOR_GROUP].k = NOBODY;
	/* protocol 0: nothing comes in until it is bound, filter in place */
	s = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s < 0)
		return -errno;
	if (setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ||
	    setsockopt(s, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)) < 0 ||
	    setsockopt(s, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0 ||
	    bind(s, (const struct sockaddr *)&to, sizeof(to)) < 0) {
		err = -errno;
		close(s);
		return err;
	}
	*fd = s;
	return 0;
}

uint64_t tap_count(int fd)
{
	struct tpacket_stats stats = {0};
	socklen_t len = sizeof(stats);

	if (fd < 0 || getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) < 0)
		return 0;
	return stats.tp_packets; /* those without room are among them */
}
