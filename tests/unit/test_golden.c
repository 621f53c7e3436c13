/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets recorded from real pf kernels against what pfctl -ss -vv said on those machines: each
 * packet decodes to its last byte, each state means what pfctl printed, and would be written by us
 * with the very same bytes. tests/data/<kernel>/<case>/sync.pcap and pfctl-*.txt.
 */
#include "check.h"
#include "sample.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { STATES_MAX = 1024, LINE = 512, RECORD_MAX = 512 };

struct told {
	struct pf_state s; /* as last told in full */
	enum pf_layout layout;
	bool pairs[16][16]; /* src and dst states that were told */
};

/* What the figures of a case are; pinned, so that a decoder that skips something is caught. */
struct golden {
	const char *dir;
	size_t packets; /* pfsync packets */
	size_t damaged; /* of them, sent so by hand */
	size_t listed;	/* states in the pfctl texts that were told */
	size_t untold;	/* and that were not: no-sync, or told later than the recording */
};

static struct told table[STATES_MAX];
static size_t table_len;

static struct told *told_find(uint64_t id, uint32_t creatorid)
{
	for (size_t i = 0; i < table_len; i++)
		if (table[i].s.id == id && table[i].s.creatorid == creatorid)
			return &table[i];
	return NULL;
}

static void told_pair(struct told *t, uint8_t src, uint8_t dst)
{
	if (src < 16 && dst < 16)
		t->pairs[src][dst] = true;
}

static void told_state(const struct pf_state *s, enum pf_layout layout)
{
	struct told *t = told_find(s->id, s->creatorid);

	if (!t) {
		if (!CHECK(table_len < STATES_MAX))
			return;
		t = &table[table_len++];
		memset(t, 0, sizeof(*t));
	}
	t->s = *s;
	t->layout = layout;
	told_pair(t, s->src.state, s->dst.state);
}

static void section_take(struct section *s)
{
	uint8_t again[RECORD_MAX];
	const uint8_t *at = s->body.at;
	struct pf_state state;
	struct msg_upd_c m;

	for (; s->layout != LAYOUT_NONE && section_next_state(s, &state); at = s->body.at) {
		struct writer w = writer_of(again, sizeof(again));

		told_state(&state, s->layout);
		pfstate_write(&w, s->layout, &state);
		CHECK_EQ(writer_len(&w), s->stride);
		CHECK_MEM(again, at, s->size);
	}
	while (s->action == ACT_UPD_C && section_next_upd_c(s, &m)) {
		struct told *t = told_find(m.id, m.creatorid);

		if (t)
			told_pair(t, m.src.state, m.dst.state);
	}
}

/* Whether the packet is whole and says nothing that is not understood. */
static bool packet_take(const uint8_t *payload, size_t len)
{
	struct packet p;
	struct section s = {.action = ACT_UNKNOWN};
	bool whole = packet_open(&p, payload, len) == R_NONE && !p.length_wrong;

	if (!whole)
		return false;
	while (packet_next(&p, &s)) {
		whole &= s.action != ACT_UNKNOWN && (s.present == s.count || s.action == ACT_EOF);
		if (s.present == s.count)
			section_take(&s);
	}
	return whole && p.error == R_NONE && reader_left(&p.body) == 0;
}

static void capture_read(const struct golden *g)
{
	char name[128];
	struct pcap_file f;
	const uint8_t *frame, *payload;
	size_t len, payload_len, packets = 0, damaged = 0;

	(void)snprintf(name, sizeof(name), "%s/sync.pcap", g->dir);
	if (!CHECK(pcap_file_open(&f, check_data(name))))
		return;
	while (pcap_file_next(&f, &frame, &len)) {
		if (!sample_payload(frame, len, &payload, &payload_len))
			continue;
		packets++;
		damaged += !packet_take(payload, payload_len);
	}
	CHECK_EQ(f.at, f.len);
	CHECK_EQ(packets, g->packets);
	CHECK_EQ(damaged, g->damaged);
	pcap_file_close(&f);
}

/* "192.0.2.1:443", "2001:db8::1[443]", with or without a port, in parentheses or not. */
static bool host_parse(char *s, uint8_t *addr, uint16_t *port)
{
	char *colon = strchr(s, ':'), *at = strchr(s, '[');
	int family = AF_INET6;

	s += *s == '(';
	s[strcspn(s, ")")] = '\0';
	memset(addr, 0, 16);
	*port = 0;
	if (colon && strchr(s, '.')) {
		family = AF_INET;
		at = colon;
	} else if (!colon) {
		family = AF_INET;
	}
	if (at) {
		*at = '\0';
		*port = (uint16_t)strtoul(at + 1, NULL, 10);
	}
	return inet_pton(family, s, addr) == 1;
}

static int number_parse(const char *s, uint8_t proto)
{
	static const char *const tcp[] = {"CLOSED",	 "LISTEN",     "SYN_SENT",   "SYN_RCVD",
					  "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT_1", "CLOSING",
					  "LAST_ACK",	 "FIN_WAIT_2", "TIME_WAIT"};
	static const char *const other[] = {"NO_TRAFFIC", "SINGLE", "MULTIPLE"};

	for (int i = 0; proto == 6 && i < 11; i++)
		if (strcmp(s, tcp[i]) == 0)
			return i;
	for (int i = 0; proto != 6 && i < 3; i++)
		if (strcmp(s, other[i]) == 0)
			return i;
	return *s >= '0' && *s <= '9' ? atoi(s) : -1;
}

static uint8_t proto_parse(const char *s)
{
	static const struct {
		const char *name;
		uint8_t number;
	} rows[] = {{"tcp", 6},	       {"udp", 17}, {"icmp", 1},
		    {"ipv6-icmp", 58}, {"igmp", 2}, {"carp", 112}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(s, rows[i].name) == 0)
			return rows[i].number;
	return 0;
}

static bool end_equal(const struct pf_key *k, int side, const uint8_t *addr, uint16_t port)
{
	return memcmp(k->addr[side], addr, 16) == 0 && k->port[side] == port;
}

/* One side of the arrow: what is printed first, and in parentheses what it is translated from. */
static bool side_equal(const struct told *t, int side, char *shown, char *other)
{
	bool out = t->s.direction == PF_OUT, icmp = t->s.proto == 1 || t->s.proto == 58;
	const struct pf_key *first = &t->s.key[out ? PF_WIRE : PF_STACK];
	const struct pf_key *second = &t->s.key[out ? PF_STACK : PF_WIRE];
	uint8_t addr[16];
	uint16_t port;

	if (!host_parse(shown, addr, &port) || !end_equal(first, side, addr, port))
		return false;
	if (other && !host_parse(other, addr, &port))
		return false;
	/* pfctl takes the port of the answering side from the same key in both cases */
	if (icmp && side == (out ? PF_OUTSIDE : PF_INSIDE))
		return memcmp(second->addr[side], addr, 16) == 0;
	return end_equal(second, side, addr, port);
}

/* A line like "all tcp A (B) <- C (D)       X:Y" against the state of that id. */
static bool line_equal(const struct told *t, char *line)
{
	char *ifname = strtok(line, " "), *proto = strtok(NULL, " "), *word[8] = {NULL}, *colon;
	char *left, *left_other = NULL, *right, *right_other = NULL;
	int n = 0, i = 0, a, b;
	bool out;

	while (n < 8 && (word[n] = strtok(NULL, " \n")))
		n++;
	if (!proto || n < 4 || n > 6)
		return false;
	left = word[i++];
	if (word[i][0] == '(')
		left_other = word[i++];
	out = strcmp(word[i++], "->") == 0;
	right = word[i++];
	if (i < n - 1)
		right_other = word[i++];
	colon = strchr(word[i], ':');
	if (!colon)
		return false;
	*colon = '\0';
	a = number_parse(word[i], t->s.proto);
	b = number_parse(colon + 1, t->s.proto);
	return strcmp(ifname, t->s.ifname) == 0 && proto_parse(proto) == t->s.proto &&
	       t->s.direction == (out ? PF_OUT : PF_IN) &&
	       side_equal(t, PF_INSIDE, left, left_other) &&
	       side_equal(t, PF_OUTSIDE, right, right_other) && a >= 0 && b >= 0 && a < 16 &&
	       b < 16 && (out ? t->pairs[a][b] : t->pairs[b][a]);
}

static void pfctl_read(const char *path, size_t *listed, size_t *untold)
{
	char line[LINE], head[LINE] = "", copy[LINE];
	uint64_t id;
	uint32_t creatorid;
	FILE *in = fopen(path, "r");

	if (!CHECK(in != NULL))
		return;
	while (fgets(line, sizeof(line), in)) {
		struct told *t;

		if (line[0] != ' ')
			memcpy(head, line, sizeof(head));
		if (sscanf(line, " id: %" SCNx64 " creatorid: %" SCNx32, &id, &creatorid) != 2)
			continue;
		t = told_find(id, creatorid);
		if (!t) {
			++*untold;
			continue;
		}
		++*listed;
		memcpy(copy, head, sizeof(copy));
		if (!CHECK(line_equal(t, copy)))
			printf("\n  %s: %s", path, head);
	}
	(void)fclose(in);
}

static void case_run(const struct golden *g)
{
	char name[256];
	size_t listed = 0, untold = 0;
	struct dirent *e;
	DIR *dir;

	table_len = 0;
	capture_read(g);
	dir = opendir(check_data(g->dir));
	if (!CHECK(dir != NULL))
		return;
	while ((e = readdir(dir))) {
		if (strncmp(e->d_name, "pfctl-", 6) != 0)
			continue;
		(void)snprintf(name, sizeof(name), "%s/%.100s", g->dir, e->d_name);
		(void)snprintf(name, sizeof(name), "%.255s", check_data(name));
		pfctl_read(name, &listed, &untold);
	}
	(void)closedir(dir);
	if (!CHECK_EQ(listed, g->listed))
		printf(" (%s)", g->dir);
	if (!CHECK_EQ(untold, g->untold))
		printf(" (%s)", g->dir);
}

static void test_freebsd(void)
{
	static const struct golden cases[] = {
		{"freebsd-12.1/startup", 7, 0, 0, 0},	    {"freebsd-12.1/tcp4", 11, 0, 4, 0},
		{"freebsd-12.1/nat-rdr", 28, 0, 14, 0},	    {"freebsd-12.1/udp-icmp", 35, 0, 38, 0},
		{"freebsd-12.1/modifiers", 97, 0, 27, 4},   {"freebsd-12.1/bulk", 316, 0, 92, 0},
		{"freebsd-12.1/defer", 12, 0, 0, 0},	    {"freebsd-12.1/inject", 48, 3, 1, 0},
		{"freebsd-12.1/linux-made", 263, 0, 32, 0}, {"freebsd-12.1/expiry", 11, 0, 7, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		case_run(&cases[i]);
}

static void test_openbsd(void)
{
	static const struct golden cases[] = {
		{"openbsd-2025/join", 4, 0, 0, 0},	    {"openbsd-2025/tcp4", 3, 0, 8, 0},
		{"openbsd-2025/ipv6", 15, 0, 22, 0},	    {"openbsd-2025/bulk", 75, 0, 120, 0},
		{"openbsd-2025/defer", 26, 0, 13, 0},	    {"openbsd-2025/inject", 19, 0, 11, 0},
		{"openbsd-2025/nat-pair", 147, 0, 278, 26},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		case_run(&cases[i]);
}

int main(void)
{
	static const struct check_test tests[] = {
		{"FreeBSD 12.1", test_freebsd},
		{"OpenBSD 2025", test_openbsd},
	};

	return check_main("golden", tests, sizeof(tests) / sizeof(tests[0]));
}
