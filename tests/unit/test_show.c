/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What text and JSON of a packet look like, of good ones and of damaged ones. */
#include "builder.h"
#include "check.h"
#include "sample.h"
#include "show.h"

enum { BUF = 2048 };

static const struct show_meta meta = {.sec = 1764000000,
				      .usec = 123456,
				      .family = 4,
				      .src = {203, 0, 113, 1},
				      .dst = {224, 0, 0, 240},
				      .ttl = 255};

static bool has(const struct text *t, const char *part)
{
	if (!CHECK(t->s && strstr(t->s, part)))
		return CHECK_STR(t->s, part); /* prints both */
	return true;
}

static size_t one_state(enum dialect_id d, uint8_t *buf, const struct pf_state *s)
{
	struct builder b;

	builder_start(&b, dialect_get(d), buf, 1460, false);
	CHECK(builder_add_state(&b, ACT_INS, s));
	return builder_finish(&b);
}

static void test_line(void)
{
	struct msg_upd_c m = sample_upd_c();
	struct text t = {.s = NULL};
	uint8_t buf[BUF];
	struct builder b;
	size_t len;

	builder_start(&b, dialect_get(DIALECT_FREEBSD_13), buf, 1480, false);
	CHECK(builder_add_id(&b, ACT_INS_ACK, 1, 2));
	CHECK(builder_add_id(&b, ACT_INS_ACK, 3, 4));
	CHECK(builder_add_upd_c(&b, &m));
	len = builder_finish(&b);
	show_text(&t, &meta, buf, len, false);
	CHECK_STR(t.s, "16:00:00.123456 203.0.113.1 > 224.0.0.240: pfsync v5 len 140: INS_ACK 2, "
		       "UPD_C 1, EOF");
	text_clear(&t);
	show_text(&t, &(struct show_meta){.family = 0}, buf, len - 1, false);
	CHECK_STR(t.s,
		  "00:00:00.000000 pfsync v5 len 140 [length]: INS_ACK 2, UPD_C 1 [truncated]");
	text_clear(&t);
	show_text(&t, &meta, buf, 19, true);
	has(&t, "pfsync [short-header]");
	text_clear(&t);
	buf[0] = 9;
	show_text(&t, &meta, buf, len, true);
	has(&t, "pfsync v9 len 140 [version]");
	text_free(&t);
}

static void test_verbose(void)
{
	struct pf_state s = sample_state(4);
	struct text t = {.s = NULL};
	uint8_t buf[BUF];

	memcpy(s.key[PF_WIRE].addr[1], (const uint8_t[]){198, 51, 100, 2}, 4);
	s.key[PF_WIRE].port[1] = 50001;
	s.direction = PF_OUT;
	show_text(&t, &meta, buf, one_state(DIALECT_FREEBSD_13, buf, &s), true);
	has(&t, "\n\tINS all tcp 198.51.100.2:50001 (198.51.100.10:443) -> 192.0.2.10:40000       "
		"ESTABLISHED:ESTABLISHED\n");
	has(&t, "\n\t   [1 + 1] wscale 14  [3 + 6] wscale 7\n");
	has(&t, "age 00:00:12, expires in 23:59:48, 0:0 pkts, 0:0 bytes, timeout tcp.established, "
		"sloppy");
	has(&t, "id: 5e8f2a0100000001 creatorid: 1a2b3c4d");
	has(&t, "layout 1301");
	text_free(&t);
}

/* The peers swap sides in an in state, and each protocol has its own names. */
static void test_states(void)
{
	static const struct {
		uint8_t proto, direction, src, dst;
		const char *want;
	} rows[] = {
		{6, PF_IN, 2, 0, "<- 192.0.2.10:40000       CLOSED:SYN_SENT\n"},
		{6, PF_OUT, 9, 7, "-> 192.0.2.10:40000       FIN_WAIT_2:CLOSING\n"},
		{6, PF_IN, 11, 0, "PROXY:SRC\n"},
		{6, PF_IN, 4, 12, "PROXY:DST\n"},
		{6, PF_IN, 4, 200, "200:4\n"},
		{17, PF_IN, 1, 2, "MULTIPLE:SINGLE\n"},
		{17, PF_OUT, 1, 0, "SINGLE:NO_TRAFFIC\n"},
		{17, PF_OUT, 3, 0, "3:0\n"},
		{1, PF_IN, 0, 0, "0:0\n"},
		{58, PF_IN, 1, 0, "0:1\n"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pf_state s = sample_state(4);
		struct text t = {.s = NULL};
		uint8_t buf[BUF];

		s.proto = rows[i].proto;
		s.direction = rows[i].direction;
		s.src.state = rows[i].src;
		s.dst.state = rows[i].dst;
		show_text(&t, &meta, buf, one_state(DIALECT_OPENBSD, buf, &s), true);
		has(&t, rows[i].want);
		text_free(&t);
	}
}

static void test_keys(void)
{
	struct pf_state s = sample_state(6);
	struct text t = {.s = NULL};

	s.af = s.stack_af = layout_af(LAYOUT_1500, 6);
	show_state_keys(&t, &s, LAYOUT_1500);
	CHECK_STR(t.s, "tcp [2001:db8:2::10]:443 <- [2001:db8:1::10]:40000");
	text_clear(&t);
	s.stack_af = layout_af(LAYOUT_1500, 4);
	show_state_keys(&t, &s, LAYOUT_1500);
	CHECK_STR(t.s, "tcp 32.1.13.184:443 ([2001:db8:2::10]:443) <- 32.1.13.184:40000 "
		       "([2001:db8:1::10]:40000)");
	text_clear(&t);
	s = sample_state(4);
	s.af = layout_af(LAYOUT_1301, 4);
	s.proto = 47;
	s.key[0].port[0] = s.key[0].port[1] = s.key[1].port[0] = s.key[1].port[1] = 0;
	show_state_keys(&t, &s, LAYOUT_1301);
	CHECK_STR(t.s, "47 198.51.100.10 <- 192.0.2.10");
	text_free(&t);
}

static void test_json_state(void)
{
	struct pf_state s = sample_state(4);
	struct text t = {.s = NULL};
	uint8_t buf[BUF];

	memcpy(s.ifname, "em\"\xe9", 5);
	show_json(&t, &meta, buf, one_state(DIALECT_FREEBSD_13, buf, &s));
	CHECK_STR(t.s,
		  "{\"time\":1764000000.123456,\"src\":\"203.0.113.1\",\"dst\":\"224.0.0.240\","
		  "\"ttl\":255,\"version\":5,\"length\":270,"
		  "\"checksum\":\"00000000000000000000000000000000\",\"sections\":["
		  "{\"action\":\"INS\",\"number\":1,\"count\":1,\"layout\":\"1301\",\"messages\":["
		  "{\"id\":\"5e8f2a0100000001\",\"creatorid\":\"1a2b3c4d\","
		  "\"ifname\":\"em\\\"\\u00e9\",\"af\":\"inet\",\"proto\":6,\"direction\":\"in\","
		  "\"wire\":{\"addr\":[\"192.0.2.10\",\"198.51.100.10\"],\"port\":[40000,443]},"
		  "\"stack\":{\"addr\":[\"192.0.2.10\",\"198.51.100.10\"],\"port\":[40000,443]},"
		  "\"src\":{\"state\":4,\"seqlo\":1,\"seqhi\":2,\"seqdiff\":0,\"max_win\":1,"
		  "\"mss\":0,\"wscale\":142},"
		  "\"dst\":{\"state\":4,\"seqlo\":3,\"seqhi\":9,\"seqdiff\":0,\"max_win\":1,"
		  "\"mss\":0,\"wscale\":135},"
		  "\"rule\":-1,\"anchor\":-1,\"nat_rule\":-1,\"creation\":12,\"expire\":86388,"
		  "\"packets\":[0,0],\"bytes\":[0,0],\"timeout\":2,\"state_flags\":2,"
		  "\"sync_flags\":0,\"log\":0}]},"
		  "{\"action\":\"EOF\",\"number\":12,\"count\":1,\"messages\":[]}],\"errors\":[]}");
	text_clear(&t);
	show_json(&t, &meta, buf, one_state(DIALECT_FREEBSD_15, buf, &s));
	has(&t, "\"layout\":\"1500\"");
	has(&t, "\"stack_af\":\"inet\",\"stack_proto\":6");
	CHECK(strstr(t.s, "sync_flags") == NULL);
	text_clear(&t);
	show_json(&t, &meta, buf, one_state(DIALECT_OPENBSD, buf, &s));
	has(&t, "\"port\":[40000,443],\"rdomain\":0}");
	has(&t, "\"rtableid\":[-1,-1]");
	CHECK(strstr(t.s, "rt_ifname") == NULL);
	text_free(&t);
}

static void test_json_small(void)
{
	struct msg_clr clr = {.ifname = "em0", .creatorid = 0xa};
	struct msg_bus bus = {.creatorid = 11, .endtime = 12, .status = BUS_START};
	struct text t = {.s = NULL};
	uint8_t buf[BUF];
	struct builder b;

	builder_start(&b, dialect_get(DIALECT_OPENBSD), buf, 1460, false);
	CHECK(builder_add_clr(&b, &clr));
	CHECK(builder_add_bus(&b, &bus));
	bus.status = 7;
	CHECK(builder_add_bus(&b, &bus));
	show_json(&t, &(struct show_meta){.family = 0}, buf, builder_finish(&b));
	CHECK(strncmp(t.s, "{\"time\":0.000000,\"version\":6,", 29) == 0);
	has(&t, "[{\"ifname\":\"em0\",\"creatorid\":\"0000000a\"}]");
	has(&t, "\"count\":1,\"messages\":[{\"creatorid\":\"0000000b\",\"endtime\":12,"
		"\"status\":\"start\"}]}");
	has(&t, "\"count\":1,\"messages\":[{\"creatorid\":\"0000000b\",\"endtime\":12,"
		"\"status\":7}]}");
	text_free(&t);
}

static void test_json_errors(void)
{
	struct pf_state s = sample_state(6);
	struct text t = {.s = NULL};
	uint8_t buf[BUF];
	size_t len = one_state(DIALECT_FREEBSD_14, buf, &s);

	show_json(&t, &meta, buf, 5);
	CHECK_STR(t.s,
		  "{\"time\":1764000000.123456,\"src\":\"203.0.113.1\",\"dst\":\"224.0.0.240\","
		  "\"ttl\":255,\"sections\":[],\"errors\":[\"short-header\"]}");
	text_clear(&t);
	show_json(&t, &meta, buf, len - 5);
	has(&t, "\"count\":1,\"layout\":\"1400\",\"messages\":[]}],\"errors\":[\"length\","
		"\"truncated\"]}");
	text_clear(&t);
	buf[20] = 77;
	show_json(&t, &meta, buf, len);
	has(&t, "{\"action\":\"UNKNOWN\",\"number\":77,\"count\":1,\"messages\":[]}],"
		"\"errors\":[\"action\"]}");
	text_clear(&t);
	buf[0] = 7;
	show_json(&t, &meta, buf, len);
	has(&t, "\"version\":7,");
	has(&t, "\"sections\":[],\"errors\":[\"version\"]}");
	text_free(&t);
}

int main(void)
{
	static const struct check_test tests[] = {
		{"one line", test_line},
		{"a state in full", test_verbose},
		{"names of peer states", test_states},
		{"ends of a state", test_keys},
		{"JSON of a state", test_json_state},
		{"JSON of small messages", test_json_small},
		{"JSON of damaged packets", test_json_errors},
	};

	return check_main("show", tests, sizeof(tests) / sizeof(tests[0]));
}
