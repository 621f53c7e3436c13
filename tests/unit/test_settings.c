/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration: defaults, every keyword, every mistake with its line, printing and reading. */
#include "check.h"
#include "settings_keyword.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char minimal[] = "sync \"pf\" { interface = \"eth2\" }\n";

static const char example[] =
	"hostid = \"auto\"\n"
	"control { socket = \"/run/pfsync-linux/control.sock\"  group = \"adm\" }\n"
	"sync \"pf\" {\n"
	"    interface  = \"eth2\"\n"
	"    peer       = \"multicast\"\n"
	"    dialect    = \"auto\"\n"
	"    mode       = \"both\"\n"
	"    accept     = { \"203.0.113.0/24\" }\n"
	"    flush      = 20ms\n"
	"    defer      = no\n"
	"    handover   = \"sloppy\"\n"
	"}\n"
	"interface \"eth0\" { pf-name = \"igb0\" }\n"
	"announce {\n"
	"    tcp = \"established\"\n"
	"    udp = \"replied\"\n"
	"    icmp = \"replied\"   other = \"replied\"\n"
	"    exclude = { \"192.0.2.0/24\" }\n"
	"    local = no\n"
	"    vip = { \"198.51.100.1\" }\n"
	"}\n"
	"import { protect = { \"10.0.0.0/24\" }  max-states = 1000000  max-rate = 0 }\n"
	"conntrack {\n"
	"    commit  = \"direct\"\n"
	"    tcp     = \"liberal\"\n"
	"    zone    = 0\n"
	"    mark    = \"0/0\"\n"
	"    receive-buffer = 8M\n"
	"}\n"
	"timeouts { tcp.established = 24h  udp.multiple = 60s }\n";

static struct settings *parse(const char *text, char *error)
{
	struct settings *s;
	int status = settings_parse(&s, text, strlen(text), "f", error, SETTINGS_ERROR_MAX);

	CHECK_EQ(status == 0, s != NULL);
	CHECK_EQ(status == 0, !*error);
	return s;
}

static struct settings *parse_good(const char *text)
{
	char error[SETTINGS_ERROR_MAX];
	struct settings *s = parse(text, error);

	CHECK_STR(error, "");
	return s;
}

/* ---- what is read ---------------------------------------------------------------------- */

static void test_defaults(void)
{
	struct settings *s = parse_good(minimal);
	struct timeouts timeouts;

	if (!s)
		return;
	CHECK_EQ(s->hostid, 0);
	CHECK_STR(s->socket, "/run/pfsync-linux/control.sock");
	CHECK_STR(s->group, "adm");
	CHECK_EQ(s->syncs, 1);
	CHECK_STR(s->sync[0].name, "pf");
	CHECK_STR(s->sync[0].interface, "eth2");
	CHECK(s->sync[0].multicast);
	CHECK_EQ(s->sync[0].peer.family, 4);
	CHECK_MEM(s->sync[0].peer.addr, "\xe0\0\0\xf0", 4);
	CHECK(!s->sync[0].dialect);
	CHECK_EQ(s->sync[0].mode, MODE_BOTH);
	CHECK_EQ(s->sync[0].handover, HANDOVER_SLOPPY);
	CHECK_EQ(s->sync[0].accept.count, 0);
	CHECK_EQ(s->sync[0].flush_ms, 20);
	CHECK_EQ(s->sync[0].bulk_rate, 20000);
	CHECK_EQ(s->sync[0].probe_s, 60);
	CHECK_STR(s->demotion_file, "");
	CHECK(!s->sync[0].defer);
	CHECK_EQ(s->interfaces, 0);
	CHECK(!settings_pf_name(s, "eth0"));
	CHECK_EQ(s->tcp, FROM_REPLIED);
	CHECK_EQ(s->udp, FROM_REPLIED);
	CHECK_EQ(s->icmp, FROM_REPLIED);
	CHECK_EQ(s->other, FROM_REPLIED);
	CHECK(!s->local);
	CHECK_EQ(s->exclude.count + s->vip.count + s->protect.count, 0);
	CHECK_EQ(s->max_states, 1000000);
	CHECK_EQ(s->max_rate, 0);
	CHECK_EQ(s->commit, COMMIT_DIRECT);
	CHECK_EQ(s->tcp_window, TCP_LIBERAL);
	CHECK_EQ(s->zone, 0);
	CHECK_EQ(s->mark_mask, 0);
	CHECK_EQ(s->receive_buffer, 8 << 20);
	timeouts_default(&timeouts);
	CHECK_MEM(&s->timeouts, &timeouts, sizeof(timeouts));
	settings_free(s);
}

static void test_every_keyword(void)
{
	struct settings *s = parse_good(
		"hostid = 0x1A2b3c4d control { socket = \"/tmp/s\" group = \"\" demotion-file = "
		"\"/run/d\" }\n"
		"sync a { interface = e0 peer = \"ff12::f0\" dialect = freebsd-15 mode = "
		"send-only\n"
		" accept = { \"203.0.113.7/24\", \"2001:db8::/32\" } flush = 1s defer = on\n"
		" handover = strict bulk-rate = 500 probe = 0s }\n"
		"sync b { interface = e1 peer = \"2001:db8::1\" mode = receive-only }\n"
		"interface e5 { pf-name = igb0 }\n"
		"announce { tcp = syn udp = new icmp = assured other = new exclude = \"1.2.3.4\"\n"
		" exclude += { \"5.6.7.8\" } local = yes vip = { \"192.0.2.1\", \"2001:db8::2\" } "
		"}\n"
		"import { protect = { \"10.0.0.0/8\" } max-states = 7 peer-max-states = 5\n"
		" max-rate = 9 }\n"
		"conntrack { commit = takeover tcp = strict zone = 65535 mark = \"0x10/0xf0\"\n"
		" receive-buffer = 64K }\n"
		"timeouts { tcp.first = 90s sctp.closed = 2d }");

	if (!s)
		return;
	CHECK_EQ(s->hostid, 0x1a2b3c4d);
	CHECK(s->sync[0].defer);
	CHECK_STR(s->socket, "/tmp/s");
	CHECK_STR(s->group, "");
	CHECK_EQ(s->syncs, 2);
	CHECK_EQ(s->sync[0].peer.family, 6);
	CHECK(s->sync[0].multicast);
	CHECK_STR(s->sync[0].dialect ? s->sync[0].dialect->name : "", "freebsd-15");
	CHECK_EQ(s->sync[0].mode, MODE_SEND_ONLY);
	CHECK_EQ(s->sync[0].accept.count, 2);
	CHECK_EQ(s->sync[0].accept.prefix[1].family, 6);
	CHECK_EQ(s->sync[0].flush_ms, 1000);
	CHECK_EQ(s->sync[0].handover, HANDOVER_STRICT);
	CHECK_EQ(s->sync[0].bulk_rate, 500);
	CHECK_EQ(s->sync[0].probe_s, 0);
	CHECK_STR(s->demotion_file, "/run/d");
	CHECK(!s->sync[1].multicast);
	CHECK_EQ(s->sync[1].mode, MODE_RECEIVE_ONLY);
	CHECK_STR(settings_pf_name(s, "e5"), "igb0");
	CHECK_EQ(s->tcp, FROM_NEW);
	CHECK_EQ(s->udp, FROM_NEW);
	CHECK_EQ(s->icmp, FROM_ASSURED);
	CHECK_EQ(s->other, FROM_NEW);
	CHECK_EQ(s->exclude.count, 2);
	CHECK_EQ(s->exclude.prefix[0].bits, 32);
	CHECK(s->local);
	CHECK_EQ(s->vip.count, 2);
	CHECK_EQ(s->protect.count, 1);
	CHECK_EQ(s->max_states, 7);
	CHECK_EQ(s->peer_max_states, 5);
	CHECK_EQ(s->max_rate, 9);
	CHECK_EQ(s->commit, COMMIT_TAKEOVER);
	CHECK_EQ(s->tcp_window, TCP_STRICT);
	CHECK_EQ(s->zone, 65535);
	CHECK_EQ(s->mark, 0x10);
	CHECK_EQ(s->mark_mask, 0xf0);
	CHECK_EQ(s->receive_buffer, 65536);
	CHECK_EQ(s->timeouts.seconds[PFTM_TCP_FIRST], 90);
	CHECK_EQ(s->timeouts.seconds[PFTM_SCTP_CLOSED], 172800);
	settings_free(s);
}

static void test_engine_config(void)
{
	static const uint8_t key[16] = {1, 2, 3};
	struct settings *s = parse_good(example);
	struct engine_config c;

	if (!s)
		return;
	settings_engine(s, 5, key, &c);
	CHECK_EQ(c.hostid, 5);
	CHECK_EQ(c.links, 1);
	CHECK_STR(c.link[0].name, "pf");
	CHECK_EQ(c.link[0].accept.count, 1);
	CHECK_EQ(c.link[0].flush_ms, 20);
	CHECK_EQ(c.link[0].bulk_rate, 20000);
	CHECK(!c.link[0].handover_strict);
	CHECK_EQ(c.exclude.count, 1);
	CHECK_EQ(c.vip.count, 1);
	CHECK_EQ(c.protect.count, 1);
	CHECK(!c.takeover && !c.tcp_strict && !c.announce_local);
	CHECK_MEM(c.hash_key, key, sizeof(key));
	settings_free(s);
}

/* ---- mistakes -------------------------------------------------------------------------- */

static bool error_is_at(const char *error, int line, const char *about)
{
	char want[16];

	(void)snprintf(want, sizeof(want), "f:%d: ", line);
	return !strncmp(error, want, strlen(want)) && strstr(error, about) &&
	       !strpbrk(error, "\n\r\t");
}

/* Each replaces a part of the example. */
static void test_mistakes(void)
{
	static const struct {
		const char *old, *new;
		int line;
		const char *about;
	} cases[] = {
		{"    defer      = no", "    defer      = no\n    colour = 3", 11,
		 "there you can write interface, peer"},
		{"announce {", "anounce {", 14, "did you mean \"announce\""},
		{"defer      = no", "defer      = perhaps", 10, "yes or no"},
		{"mode       = \"both\"\n    accept     = { \"203.0.113.0/24\" }\n    flush      = "
		 "20ms\n    defer      = no",
		 "mode = receive-only\n\n\n defer = on", 12, "tells nothing"},
		{"flush      = 20ms", "flush      = 20", 9, "unit is missing"},
		{"flush      = 20ms", "flush      = 20parsec", 9, "unknown unit"},
		{"flush      = 20ms", "flush      = 20ms flush = 1s", 9, "second time"},
		{"flush      = 20ms", "flush      = 0ms", 9, "1ms to 10s"},
		{"flush      = 20ms", "flush      = ms", 9, "no duration"},
		{"{ \"203.0.113.0/24\" }", "{ \"203.0.113.0/24\", \"203.0.113.500\" }", 8,
		 "203.0.113.500"},
		{"{ \"203.0.113.0/24\" }", "{ \"203.0.113.0/24\",\n \"203.0.113.0/33\" }", 9,
		 "/33"},
		{"{ \"203.0.113.0/24\" }", "{ \"::1\" } accept = { \"::2\" }", 8, "second time"},
		{"\"multicast\"", "\"multicasts\"", 5, "multicasts"},
		{"\"multicast\"", "\"224.0.0.18\"", 5, "groups"},
		{"\"multicast\"", "\"0.0.0.0\"", 5, "no address of a host"},
		{"dialect    = \"auto\"", "dialect    = \"freebsd-12x\"", 6, "freebsd-13"},
		{"mode       = \"both\"", "mode       = \"all\"", 7, "receive-only"},
		{"\"eth2\"", "\"a/way-too-long-interface\"", 4, "15 characters"},
		{"\"eth2\"", "\"\"", 4, "empty"},
		{"\"eth2\"", "\"e/h\"", 4, "blanks"},
		{"\"eth2\"", "\"e h\"", 4, "blanks"},
		{"\"eth2\"", "\"..\"", 4, "no interface"},
		{"\"eth2\"", "{ \"eth2\" }", 4, "unexpected"},
		{"    interface  = \"eth2\"\n", "", 11, "is missing"},
		{"hostid = \"auto\"", "hostid = \"0x00000000\"", 1, "hostid 0"},
		{"hostid = \"auto\"", "hostid = \"0x100000000\"", 1, "32 bits"},
		{"hostid = \"auto\"", "hostid = \"host\"", 1, "32 bits"},
		{"hostid = \"auto\"", "hostid \"auto\"", 1, "equal sign"},
		{"hostid = \"auto\"", "flush = 20ms", 1, "into sync"},
		{"interface \"eth0\"", "sync \"pf\" { interface = \"eth3\" }\ninterface \"eth0\"",
		 13, "second"},
		{"interface \"eth0\"", "sync \"p\" { interface = \"eth2\" }\ninterface \"eth0\"",
		 13, "already"},
		{"interface \"eth0\"", "sync \"p f\" { interface = \"eth3\" }\ninterface \"eth0\"",
		 13, "letters"},
		{"interface \"eth0\"", "interface { }\ninterface \"eth0\"", 13,
		 "name of interface is missing"},
		{"interface \"eth0\"", "interface \"e/0\"", 13, "blanks"},
		{"pf-name = \"igb0\"", "", 13, "is missing"},
		{"pf-name = \"igb0\"", "pf-name = \"a234567890123456\"", 13, "15 characters"},
		{"pf-name = \"igb0\"", "pf-name = \"all\"", 13, "any interface"},
		{"tcp = \"established\"", "tcp = \"assured\"", 15, "syn or established"},
		{"\"198.51.100.1\"", "\"198.51.100.0/24\"", 20, "lone"},
		{"max-states = 1000000", "max-states = many", 22, "digits"},
		{"max-states = 1000000", "max-states = -1", 22, "digits"},
		{"max-rate = 0", "max-rate = 99999999999999999999999", 22, "no number"},
		{"conntrack {", "announce { }\nconntrack {", 23, "second section"},
		{"zone    = 0", "zone    = 65536", 26, "0 to 65535"},
		{"\"0/0\"", "\"0\"", 27, "VALUE/MASK"},
		{"\"0/0\"", "\"3/2\"", 27, "mask has not"},
		{"receive-buffer = 8M", "receive-buffer = 8Q", 28, "K, M or G"},
		{"receive-buffer = 8M", "receive-buffer = 8", 28, "K, M or G"},
		{"receive-buffer = 8M", "receive-buffer = 2G", 28, "4K to 1G"},
		{"tcp.established = 24h", "tcp.establisht = 24h", 30,
		 "did you mean \"tcp.established\""},
		{"tcp.established = 24h", "tcp.established = 1500ms", 30, "whole seconds"},
		{"timeouts {", "timeouts { {", 30, "unexpected"},
		{"udp.multiple = 60s }", "udp.multiple = 60s", 30, "closing brace"},
		{"udp.multiple = 60s }", "udp.multiple = 60s } }", 30, "remove it"},
		{"udp.multiple = 60s }", "} /*", 30, "comment"},
		{"\"/run/pfsync", "\"run/pfsync", 2, "beginning with /"},
		{"\"adm\"", "\"a dm\"", 2, "letters"},
		{"\"adm\"", "\"a\\ndm\"", 2, "letters"},
		{"hostid = \"auto\"", "\"\\x01\" = 1", 1, "unknown keyword"},
		{"hostid = \"auto\"", "\"\\x02\" = 1", 1, "unknown keyword"},
		{"hostid = \"auto\"", "include(\"/etc/passwd\")", 1, "include"},
		{"hostid = \"auto\"", "hostid = \"\x07\"", 1, "0x07"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *at = strstr(example, cases[i].old);
		char error[SETTINGS_ERROR_MAX], text[2 * sizeof(example)];

		if (!CHECK(at))
			continue;
		(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - example), example,
			       cases[i].new, at + strlen(cases[i].old));
		settings_free(parse(text, error));
		if (!CHECK(error_is_at(error, cases[i].line, cases[i].about)))
			printf("  %s (wanted line %d, \"%s\")\n", error, cases[i].line,
			       cases[i].about);
	}
}

/* Numbers of interfaces in marks: what is wrong shows only as a whole. */
static void test_interface_marks(void)
{
	static const struct {
		const char *text;
		int line;
		const char *about;
	} cases[] = {
		{"interface e0 { pf-name = a\n mark = 1 }\n", 3, "needs conntrack"},
		{"interface e0 { pf-name = a }\nconntrack { interface-mark = \"0xf0/0xf\" }", 3,
		 "without a mark"},
		{"interface e0 { pf-name = a mark = 16 }\nconntrack { interface-mark = "
		 "\"0xf0/0xf\" "
		 "}",
		 2, "does not fit"},
		{"interface e0 { pf-name = a mark = 1 }\ninterface e1 { pf-name = b mark = 1 }\n"
		 "conntrack { interface-mark = \"0xf0/0xf\" }",
		 3, "that of e0"},
		{"interface e0 { pf-name = a mark = 1 }\n"
		 "conntrack { interface-mark = \"0xf0/0xf\" mark = \"1/3\" }",
		 3, "bits in common"},
	};
	struct settings *s;
	char error[SETTINGS_ERROR_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];

		(void)snprintf(text, sizeof(text), "sync a { interface = s }\n%s\n", cases[i].text);
		s = parse(text, error);
		CHECK(!s);
		settings_free(s);
		if (!CHECK(error_is_at(error, cases[i].line, cases[i].about)))
			printf("  %s\n", error);
	}
	s = parse_good("sync a { interface = s }\n"
		       "interface e0 { pf-name = igb0 mark = 1 } interface e1 { pf-name = igb1 "
		       "mark = 255 }\n"
		       "interface e2 { pf-name = igb2 }\n"
		       "conntrack { interface-mark = \"0xff000000/0x00ff0000\" mark = \"1/3\" }");
	if (!s)
		return;
	CHECK_STR(settings_marked_name(s, 0x01ff0003, 0), "igb0");
	CHECK_STR(settings_marked_name(s, 0x01ff0003, 1), "igb1");
	CHECK_STR(settings_marked_name(s, 0x07000003, 0), "all"); /* of no section */
	CHECK(!settings_marked_name(s, 0x07000003, 1));		  /* not told */
	CHECK_STR(settings_interface(s, "igb2"), "e2");
	CHECK(!settings_interface(s, "e2") && !settings_interface(s, "all"));
	settings_free(s);
	s = parse_good("sync a { interface = s } interface e0 { pf-name = igb0 }");
	if (s)
		CHECK(!settings_marked_name(s, 0xffffffff, 0));
	settings_free(s);
}

static void test_no_configuration(void)
{
	static const char zero[] = {'h', '\n', '\0', 1, 2};
	char error[SETTINGS_ERROR_MAX];
	struct settings *s;

	settings_free(parse("", error));
	CHECK(error_is_at(error, 1, "no sync section"));
	settings_free(parse("# nothing\n\n", error));
	CHECK(error_is_at(error, 2, "no sync section"));
	settings_free(parse("sync a {", error));
	CHECK(error_is_at(error, 1, "closing brace"));
	settings_free(parse("sync a {\ninterface = \"e", error));
	CHECK(error_is_at(error, 2, "quote"));
	CHECK_EQ(settings_parse(&s, zero, sizeof(zero), "f", error, sizeof(error)), -EINVAL);
	CHECK(error_is_at(error, 2, "0x00"));
	CHECK(!s);
	CHECK_EQ(settings_read(&s, "/nowhere/at all", error, sizeof(error)), -ENOENT);
	CHECK(!strncmp(error, "/nowhere/at all: ", 17));
	CHECK(settings_read(&s, "/", error, sizeof(error)) < 0);
	CHECK(!strncmp(error, "/: ", 3));
}

static void test_too_many_links(void)
{
	struct text t = {0};
	char error[SETTINGS_ERROR_MAX];

	for (int i = 0; i <= ENGINE_LINKS_MAX; i++)
		text_add(&t, "sync \"l%d\" { interface = \"e%d\" }\n", i, i);
	settings_free(parse(t.s, error));
	CHECK(error_is_at(error, ENGINE_LINKS_MAX + 1, "there can be 8"));
	text_free(&t);
}

/* An error text is cut, not run over. */
static void test_small_error(void)
{
	char error[12] = "xxxxxxxxxxx";
	struct settings *s;

	CHECK_EQ(settings_parse(&s, "colour = 3", 10, "file", error, 10), -EINVAL);
	CHECK_EQ(error[9], '\0');
	CHECK_EQ(error[10], 'x');
}

/* ---- printing -------------------------------------------------------------------------- */

static void check_round_trip(const char *text)
{
	struct settings *a = parse_good(text), *b;
	struct text first = {0}, second = {0};

	if (!a)
		return;
	settings_print(a, &first);
	b = parse_good(first.s);
	if (b) {
		settings_print(b, &second);
		CHECK_STR(first.s, second.s);
	}
	settings_free(a);
	settings_free(b);
	text_free(&first);
	text_free(&second);
}

static void test_round_trip(void)
{
	static const char *const more[] = {
		"hostid = 4294967295 timeouts { udp.first = 61s tcp.first = 3h }",
		"control { group = \"\" } conntrack { mark = \"0x3/0xff\" receive-buffer = 65K }",
		"sync o { interface = \"wg0\" peer = \"192.0.2.1\" accept = { \"::/0\", "
		"\"0.0.0.0/0\" } }",
		"sync o { interface = \"w.1\" peer = \"ff12::f0\" flush = 1500ms handover = strict "
		"}",
		"announce { exclude = { \"2001:db8::/33\", \"1.2.3.4\" } vip = { \"::1\", "
		"\"1.1.1.1\" } }",
		"interface \"e0\" { pf-name = \"ix0\" mark = 3 } conntrack { interface-mark = "
		"\"0xf00/0xf\" }",
		"interface \"eth0\" { pf-name = \"ix0\" } interface \"eth0.5\" { pf-name = "
		"\"vlan5\" }",
	};

	check_round_trip(minimal);
	check_round_trip(example);
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		char text[512];

		(void)snprintf(text, sizeof(text), "%s%s", minimal, more[i]);
		check_round_trip(text);
	}
}

/* What is printed names every keyword, so that `config` shows all there is. */
static void test_print_is_complete(void)
{
	struct settings *s = parse_good(example);
	struct text t = {0};
	struct keyword k;

	if (!s)
		return;
	settings_print(s, &t);
	for (size_t n = 0; keyword_get(n, &k); n++)
		CHECK(strstr(t.s, k.name));
	text_free(&t);
	settings_free(s);
}

/* ---- hostid ---------------------------------------------------------------------------- */

static void write_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	if (!CHECK(f))
		return;
	(void)fputs(text, f);
	(void)fclose(f);
}

static void test_hostid(void)
{
	char name[] = "/tmp/test-settings-XXXXXX";
	struct settings *s = parse_good(minimal);
	uint32_t one = 0, two = 0, three = 0;
	int fd = mkstemp(name);

	if (!s || !CHECK(fd >= 0))
		return;
	(void)close(fd);
	write_file(name, "0123456789abcdef0123456789abcdef\n");
	CHECK_EQ(settings_hostid(s, name, &one), 0);
	CHECK(one);
	CHECK_EQ(settings_hostid(s, name, &two), 0);
	CHECK_EQ(one, two);
	write_file(name, "0123456789abcdef0123456789abcdee\n");
	CHECK_EQ(settings_hostid(s, name, &three), 0);
	CHECK(three != one);
	write_file(name, "uninitialized\n");
	CHECK_EQ(settings_hostid(s, name, &three), -EINVAL);
	(void)unlink(name);
	CHECK_EQ(settings_hostid(s, name, &three), -ENOENT);
	s->hostid = 7;
	CHECK_EQ(settings_hostid(s, name, &three), 0);
	CHECK_EQ(three, 7);
	settings_free(s);
}

int main(void)
{
	static const struct check_test tests[] = {
		{"defaults", test_defaults},
		{"every keyword is read", test_every_keyword},
		{"the engine gets it", test_engine_config},
		{"each mistake is named with its line", test_mistakes},
		{"numbers of interfaces in marks", test_interface_marks},
		{"what is no configuration", test_no_configuration},
		{"too many links", test_too_many_links},
		{"an error text stays in its bounds", test_small_error},
		{"what is printed reads the same", test_round_trip},
		{"what is printed is complete", test_print_is_complete},
		{"hostid", test_hostid},
	};

	return check_main("settings", tests, sizeof(tests) / sizeof(tests[0]));
}
