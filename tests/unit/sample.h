/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Made-up states and recorded packets for the tests of the wire layer. */
#ifndef PFSYNC_SAMPLE_H
#define PFSYNC_SAMPLE_H

#include "packet.h"

/* A TCP state as a real node sends it, family 4 or 6; af fields hold the family (for a builder). */
struct pf_state sample_state(int family);

/* Random values in each field that the layout has on the wire, valid address families. */
struct pf_state sample_random_state(enum pf_layout layout);

struct msg_upd_c sample_upd_c(void);

/* A pcap file of the classic kind, read whole. */
struct pcap_file {
	uint8_t *data;
	size_t len, at;
	int linktype;
	bool swapped;
};

bool pcap_file_open(struct pcap_file *f, const char *path);
/* The next frame; false at the end. */
bool pcap_file_next(struct pcap_file *f, const uint8_t **frame, size_t *len);
void pcap_file_close(struct pcap_file *f);

/* The pfsync payload of an Ethernet frame that holds one in IPv4. */
bool sample_payload(const uint8_t *frame, size_t len, const uint8_t **payload, size_t *payload_len);

#endif
