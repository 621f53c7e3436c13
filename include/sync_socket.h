/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The raw socket of one sync link: IP protocol 240, IPv4 or IPv6, to a group or to one address.
 * The socket outlives its interface: it is attached when the interface is there, again when it
 * returns with another index. Nothing blocks. Functions return 0 or -errno.
 */
#ifndef PFSYNC_SYNC_SOCKET_H
#define PFSYNC_SYNC_SOCKET_H

#include "engine.h"

struct sync_socket;

/* Payload behind the IP header; valid during the call. */
typedef void (*sync_socket_call)(void *ctx, const struct packet_from *from, const void *data,
				 size_t len);

/* peer: where packets go; a multicast address is joined. Needs CAP_NET_RAW. */
int sync_socket_open(struct sync_socket **sock, const struct address *peer, sync_socket_call call,
		     void *ctx);
void sync_socket_close(struct sync_socket *s);

/* Another address of the same kind to send to. */
void sync_socket_set_peer(struct sync_socket *s, const struct address *peer);

/* To be polled for reading. */
int sync_socket_fd(const struct sync_socket *s);

/*
 * Binds to that interface and joins the group there. index 0: there is no interface now, and
 * sending gives ENETDOWN. To be called at each change of index and whenever the link came up.
 */
int sync_socket_attach(struct sync_socket *s, unsigned index);

/* Whether the group is joined; false for a single address. */
bool sync_socket_joined(const struct sync_socket *s);

/*
 * Reads a bounded number of packets; 1 if there may be more, else 0 or -errno: what the network
 * reported (-ENETDOWN, -EHOSTUNREACH). The socket is as good as before then.
 */
int sync_socket_receive(struct sync_socket *s);

/* How many packets the kernel has dropped since the last call, for want of room in the socket. */
uint32_t sync_socket_dropped(struct sync_socket *s);

/*
 * Takes a packet; it leaves at the next sync_socket_flush(), or at once when there is no room
 * for more. 0 or a positive errno, of this packet alone.
 */
int sync_socket_send(struct sync_socket *s, const uint8_t *data, size_t len);

/* Sends what was taken; how many packets failed, with the last positive errno in *error. */
size_t sync_socket_flush(struct sync_socket *s, int *error);

#endif
