/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sample.h"

#include "check.h"

#include <stdio.h>
#include <stdlib.h>

struct pf_state sample_state(int family)
{
	static const uint8_t v4[2][4] = {{192, 0, 2, 10}, {198, 51, 100, 10}};
	static const uint8_t v6[2][16] = {{0x20, 0x01, 0x0d, 0xb8, 0, 1, [15] = 0x10},
					  {0x20, 0x01, 0x0d, 0xb8, 0, 2, [15] = 0x10}};
	struct pf_state s = {
		.id = 0x5e8f2a0100000001,
		.creatorid = 0x1a2b3c4d,
		.ifname = "all",
		.src = {.state = 4, .seqlo = 1, .seqhi = 2, .max_win = 1, .wscale = 0x8e},
		.dst = {.state = 4, .seqlo = 3, .seqhi = 9, .max_win = 1, .wscale = 0x87},
		.rule = UINT32_MAX,
		.anchor = UINT32_MAX,
		.nat_rule = UINT32_MAX,
		.creation = 12,
		.expire = 86388,
		.af = (uint8_t)family,
		.stack_af = (uint8_t)family,
		.proto = 6,
		.stack_proto = 6,
		.direction = PF_IN,
		.timeout = 2,
		.state_flags = PF_FLAG_SLOPPY,
		.rtableid = {-1, -1}};

	for (int i = 0; i < 2; i++) {
		for (int j = 0; j < 2; j++)
			if (family == 6)
				memcpy(s.key[i].addr[j], v6[j], 16);
			else
				memcpy(s.key[i].addr[j], v4[j], 4);
		s.key[i].port[0] = 40000;
		s.key[i].port[1] = 443;
	}
	return s;
}

static void random_peer(struct pf_peer *p)
{
	check_fill(p, sizeof(*p));
	p->state = (uint8_t)check_below(13);
}

static void random_key(struct pf_key *k, size_t addr_len)
{
	*k = (struct pf_key){.port = {(uint16_t)check_random(), (uint16_t)check_random()}};
	check_fill(k->addr[0], addr_len);
	check_fill(k->addr[1], addr_len);
}

struct pf_state sample_random_state(enum pf_layout layout)
{
	struct pf_state s;
	int family = check_below(2) ? 4 : 6;

	check_fill(&s, sizeof(s));
	s.af = s.stack_af = layout_af(layout, family);
	random_key(&s.key[0], family == 4 ? 4 : 16);
	random_key(&s.key[1], family == 4 ? 4 : 16);
	random_peer(&s.src);
	random_peer(&s.dst);
	s.direction = check_below(2) ? PF_IN : PF_OUT;
	if (layout == LAYOUT_OPENBSD)
		for (int i = 0; i < 2; i++) {
			s.key[i].af = s.af;
			s.key[i].rdomain = (uint16_t)check_random();
		}
	else
		s.rtableid[1] = -1;
	if (layout != LAYOUT_1500) {
		s.stack_proto = s.proto;
		s.rt_af = 0;
		memset(s.tag, 0, sizeof(s.tag));
		memset(s.orig_ifname, 0, sizeof(s.orig_ifname));
	} else {
		s.sync_flags = s.updates = 0;
	}
	if (layout == LAYOUT_1301 || layout == LAYOUT_OPENBSD) {
		s.qid = s.pqid = s.dnpipe = s.dnrpipe = 0;
		memset(s.rt_ifname, 0, sizeof(s.rt_ifname));
	}
	if (layout == LAYOUT_1301) {
		s.state_flags &= 0xff;
		s.rtableid[0] = -1;
		s.max_mss = 0;
		s.min_ttl = s.set_tos = s.set_prio[0] = s.set_prio[1] = s.rt = 0;
	}
	return s;
}

struct msg_upd_c sample_upd_c(void)
{
	struct pf_state s = sample_state(4);

	return (struct msg_upd_c){
		.id = s.id, .creatorid = s.creatorid, .src = s.src, .dst = s.dst, .timeout = 2};
}

static uint32_t file_u32(const struct pcap_file *f, size_t at)
{
	const uint8_t *p = f->data + at;

	if (f->swapped)
		return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

bool pcap_file_open(struct pcap_file *f, const char *path)
{
	FILE *in = fopen(path, "rb");
	size_t room = 1 << 20;

	*f = (struct pcap_file){.data = malloc(room)};
	if (!in || !f->data) {
		printf("\ncannot open %s\n", path);
		if (in)
			(void)fclose(in);
		return false;
	}
	f->len = fread(f->data, 1, room, in);
	(void)fclose(in);
	if (f->len < 24)
		return false;
	f->swapped = f->data[0] == 0xa1;
	f->linktype = (int)(file_u32(f, 20) & 0xffff);
	f->at = 24;
	return true;
}

bool pcap_file_next(struct pcap_file *f, const uint8_t **frame, size_t *len)
{
	if (f->len - f->at < 16)
		return false;
	*len = file_u32(f, f->at + 8);
	f->at += 16;
	if (*len > f->len - f->at)
		return false;
	*frame = f->data + f->at;
	f->at += *len;
	return true;
}

void pcap_file_close(struct pcap_file *f)
{
	free(f->data);
	f->data = NULL;
}

bool sample_payload(const uint8_t *frame, size_t len, const uint8_t **payload, size_t *payload_len)
{
	enum { ETHERNET = 14 };
	size_t head, total;

	if (len < ETHERNET + 20 || frame[12] != 8 || frame[13] != 0 || frame[ETHERNET + 9] != 240)
		return false;
	head = (size_t)(frame[ETHERNET] & 15) * 4;
	total = (size_t)frame[ETHERNET + 2] << 8 | frame[ETHERNET + 3];
	if (total > len - ETHERNET || head > total)
		return false;
	*payload = frame + ETHERNET + head;
	*payload_len = total - head;
	return true;
}
