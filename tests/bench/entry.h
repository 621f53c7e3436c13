/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Entries of IPv4 TCP connections written to conntrack as fast as the kernel takes them. */
#ifndef BENCH_ENTRY_H
#define BENCH_ENTRY_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	BATCH = 64,
	MESSAGE = 256,
	STATUS = 0x8, /* CONFIRMED; and with replies, and ASSURED: */
	STATUS_TWO_WAY = 0xa,
	STATUS_ASSURED = 0xe,
	ESTABLISHED = 3,
};

struct out {
	struct mnl_socket *s;
	uint32_t timeout; /* seconds */
	char buf[BATCH * MESSAGE];
	size_t len;
	unsigned n;
	uint32_t seq;
	unsigned long failed;
};

/* Ends the program. */
_Noreturn void entry_die(const char *what);

/* Seconds of a clock that never goes back. */
double entry_clock(void);

/* A netlink socket with a buffer of that many bytes: SO_RCVBUFFORCE or SO_SNDBUFFORCE. */
struct mnl_socket *entry_socket(int option, int size);

/* The tuple of entry number n: its client's address and port. */
uint32_t entry_address(unsigned long n);
uint16_t entry_port(unsigned long n);

/*
 * Makes, changes or, with state 0, deletes an entry; leaves in a send of BATCH, or by out_flush(),
 * which also counts what the kernel refused.
 */
void out_entry(struct out *o, unsigned long n, uint8_t state, uint32_t status, bool create);
void out_flush(struct out *o);

#endif
