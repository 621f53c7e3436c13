/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "settings_keyword.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

/* ---- the table ------------------------------------------------------------------------- */

static const char *const modes[] = {
	[MODE_BOTH] = "both",
	[MODE_RECEIVE_ONLY] = "receive-only",
	[MODE_SEND_ONLY] = "send-only",
	NULL,
};
static const char *const handovers[] = {
	[HANDOVER_SLOPPY] = "sloppy", [HANDOVER_STRICT] = "strict", NULL};
static const char *const from_tcp[] = {[FROM_NEW] = "syn", [FROM_REPLIED] = "established", NULL};
static const char *const from_any[] = {
	[FROM_NEW] = "new", [FROM_REPLIED] = "replied", [FROM_ASSURED] = "assured", NULL};
static const char *const commits[] = {
	[COMMIT_DIRECT] = "direct", [COMMIT_TAKEOVER] = "takeover", NULL};
static const char *const windows[] = {[TCP_LIBERAL] = "liberal", [TCP_STRICT] = "strict", NULL};

/* clang-format off */
#define AT(member) offsetof(struct settings, member)
#define AT_SYNC(member) offsetof(struct settings_sync, member)
#define AT_INTERFACE(member) offsetof(struct settings_interface, member)

static const struct keyword keywords[] = {
	{IN_ROOT, "hostid", AS_HOSTID, AT(hostid), 0, 0, NULL},
	{IN_CONTROL, "socket", AS_PATH, AT(socket), 1, 0, NULL},
	{IN_CONTROL, "group", AS_WORD, AT(group), 0, 0, NULL},
	{IN_CONTROL, "demotion-file", AS_PATH, AT(demotion_file), 0, 0, NULL},
	{IN_SYNC, "interface", AS_IFNAME, AT_SYNC(interface), 0, 0, NULL},
	{IN_SYNC, "peer", AS_PEER, AT_SYNC(peer), 0, 0, NULL},
	{IN_SYNC, "dialect", AS_DIALECT, AT_SYNC(dialect), 0, 0, NULL},
	{IN_SYNC, "mode", AS_CHOICE, AT_SYNC(mode), 0, 0, modes},
	{IN_SYNC, "accept", AS_PREFIXES, AT_SYNC(accept), 0, 0, NULL},
	{IN_SYNC, "flush", AS_MS, AT_SYNC(flush_ms), 1, 10000, NULL},
	{IN_SYNC, "defer", AS_YES_NO, AT_SYNC(defer), 0, 0, NULL},
	{IN_SYNC, "handover", AS_CHOICE, AT_SYNC(handover), 0, 0, handovers},
	{IN_SYNC, "bulk-rate", AS_NUMBER, AT_SYNC(bulk_rate), 100, 1000000, NULL},
	{IN_SYNC, "probe", AS_SECONDS, AT_SYNC(probe_s), 0, 3600, NULL},
	{IN_INTERFACE, "pf-name", AS_PF_NAME, AT_INTERFACE(pf_name), 0, 0, NULL},
	{IN_INTERFACE, "mark", AS_NUMBER, AT_INTERFACE(mark), 0, UINT32_MAX, NULL},
	{IN_ANNOUNCE, "tcp", AS_CHOICE, AT(tcp), 0, 0, from_tcp},
	{IN_ANNOUNCE, "udp", AS_CHOICE, AT(udp), 0, 0, from_any},
	{IN_ANNOUNCE, "icmp", AS_CHOICE, AT(icmp), 0, 0, from_any},
	{IN_ANNOUNCE, "other", AS_CHOICE, AT(other), 0, 0, from_any},
	{IN_ANNOUNCE, "exclude", AS_PREFIXES, AT(exclude), 0, 0, NULL},
	{IN_ANNOUNCE, "local", AS_YES_NO, AT(local), 0, 0, NULL},
	{IN_ANNOUNCE, "vip", AS_ADDRESSES, AT(vip), 0, 0, NULL},
	{IN_IMPORT, "protect", AS_PREFIXES, AT(protect), 0, 0, NULL},
	{IN_IMPORT, "max-states", AS_NUMBER, AT(max_states), 0, 100000000, NULL},
	{IN_IMPORT, "peer-max-states", AS_NUMBER, AT(peer_max_states), 0, 100000000, NULL},
	{IN_IMPORT, "max-rate", AS_NUMBER, AT(max_rate), 0, 100000000, NULL},
	{IN_CONNTRACK, "commit", AS_CHOICE, AT(commit), 0, 0, commits},
	{IN_CONNTRACK, "tcp", AS_CHOICE, AT(tcp_window), 0, 0, windows},
	{IN_CONNTRACK, "zone", AS_NUMBER, AT(zone), 0, 65535, NULL},
	{IN_CONNTRACK, "mark", AS_MARK, AT(mark), 0, 0, NULL},
	{IN_CONNTRACK, "interface-mark", AS_MASKS, AT(name_mask), 0, 0, NULL},
	{IN_CONNTRACK, "receive-buffer", AS_SIZE, AT(receive_buffer), 4096, 1U << 30, NULL},
};
/* clang-format on */

enum { KEYWORDS = sizeof(keywords) / sizeof(keywords[0]) };

static struct keyword timeout_keyword(unsigned index)
{
	return (struct keyword){
		.section = IN_TIMEOUTS,
		.name = timeout_name(index),
		.kind = AS_SECONDS,
		.offset = AT(timeouts.seconds) + index * sizeof(uint32_t),
		.min = 1,
		.max = 1U << 30,
	};
}

bool keyword_get(size_t n, struct keyword *k)
{
	if (n < KEYWORDS) {
		*k = keywords[n];
		return true;
	}
	n -= KEYWORDS;
	for (unsigned i = 0; i < PFTM_COUNT; i++) {
		if (timeout_name(i) && n-- == 0) {
			*k = timeout_keyword(i);
			return true;
		}
	}
	return false;
}

bool keyword_find(enum section_kind section, const char *name, struct keyword *k)
{
	for (size_t n = 0; keyword_get(n, k); n++)
		if (k->section == section && !strcmp(k->name, name))
			return true;
	return false;
}

bool keyword_is_list(const struct keyword *k)
{
	return k->kind == AS_PREFIXES || k->kind == AS_ADDRESSES;
}

bool keyword_takes_list(const struct keyword *k)
{
	return keyword_is_list(k) || k->kind == AS_PEER;
}

const char *section_name(enum section_kind section)
{
	static const char *const names[SECTION_KINDS] = {
		[IN_ROOT] = "",
		[IN_CONTROL] = "control",
		[IN_SYNC] = "sync",
		[IN_INTERFACE] = "interface",
		[IN_ANNOUNCE] = "announce",
		[IN_IMPORT] = "import",
		[IN_CONNTRACK] = "conntrack",
		[IN_TIMEOUTS] = "timeouts",
	};

	return names[section];
}

bool section_has_title(enum section_kind section)
{
	return section == IN_SYNC || section == IN_INTERFACE;
}

/* ---- names ----------------------------------------------------------------------------- */

const char *ifname_fault(const char *name)
{
	size_t len = strlen(name);

	if (!len)
		return "an interface name cannot be empty";
	if (len >= PF_IFNAME_LEN)
		return "an interface name has at most 15 characters";
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return "no interface can have this name";
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)name[i]) || strchr("/:;,\"\\$", name[i]))
			return "an interface name has no blanks and none of / : ; , \" \\ $";
	return NULL;
}

const char *name_fault(const char *name)
{
	size_t len = strlen(name);

	if (!len || len >= SETTINGS_NAME_MAX)
		return "a name has 1 to 31 characters";
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
			return "a name is made of letters, digits and - _ .";
	return NULL;
}

static const char *pf_name_fault(const char *name)
{
	const char *fault = ifname_fault(name);

	if (fault)
		return fault;
	if (!strcmp(name, "all"))
		return "\"all\" stands for any interface; leave the section out";
	return NULL;
}

static const char *path_fault(const char *path)
{
	if (path[0] != '/')
		return "write the whole path, beginning with /";
	if (strlen(path) >= SETTINGS_SOCKET_MAX)
		return "the path of a socket has at most 107 characters";
	for (; *path; path++)
		if (iscntrl((unsigned char)*path) || strchr("\"\\$", *path))
			return "the path must not have control characters or any of \" \\ $";
	return NULL;
}

/* ---- numbers --------------------------------------------------------------------------- */

/* Decimal digits, then whatever is behind them; false if there are none or too many. */
static bool read_digits(const char *s, uint64_t *n, const char **rest)
{
	*n = 0;
	if (!isdigit((unsigned char)*s))
		return false;
	for (; isdigit((unsigned char)*s); s++) {
		if (*n > UINT64_MAX / 100)
			return false;
		*n = *n * 10 + (uint64_t)(*s - '0');
	}
	*rest = s;
	return true;
}

/* Decimal or 0x and hexadecimal, 32 bits, up to end. */
static bool read_u32(const char *s, const char *end, uint32_t *n)
{
	bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
	uint64_t v = 0;

	if (hex)
		s += 2;
	if (s == end)
		return false;
	for (; s != end; s++) {
		unsigned char c = (unsigned char)*s;

		if (!(hex ? isxdigit(c) : isdigit(c)))
			return false;
		v = v * (hex ? 16 : 10) +
		    (isdigit(c) ? c - (unsigned)'0' : (unsigned)tolower(c) - 'a' + 10U);
		if (v > UINT32_MAX)
			return false;
	}
	*n = (uint32_t)v;
	return true;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit ms_units[] = {{"ms", 1},      {"s", 1000},	{"m", 60000},
				       {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit size_units[] = {
	{"K", 1U << 10}, {"M", 1U << 20}, {"G", 1U << 30}, {NULL, 0}};

/* A number with its unit; the largest unit that fits is used when it is printed. */
static bool read_unit(const char *s, const struct unit *u, const char *what, uint64_t *n,
		      struct text *why)
{
	const char *rest;

	if (!read_digits(s, n, &rest)) {
		text_add(why, "this is no %s; write digits and a unit, like %s", what,
			 u == ms_units ? "20ms, 5s, 10m, 24h or 1d" : "64K, 8M or 1G");
		return false;
	}
	for (; u->name; u++) {
		if (strcmp(rest, u->name))
			continue;
		if (*n > UINT64_MAX / u->factor) {
			text_add(why, "the number is too large");
			return false;
		}
		*n *= u->factor;
		return true;
	}
	text_add(why, "%s; a %s ends with %s", *rest ? "unknown unit" : "the unit is missing", what,
		 !strcmp(what, "size") ? "K, M or G" : "ms, s, m, h or d");
	return false;
}

static void print_unit(uint64_t n, const struct unit *u, struct text *t)
{
	const struct unit *best = u;

	for (; u->name; u++)
		if (n && n % u->factor == 0)
			best = u;
	text_add(t, "%" PRIu64 "%s", n / best->factor, best->name);
}

static bool in_range(uint64_t n, const struct keyword *k, struct text *why)
{
	if (n >= k->min && n <= k->max)
		return true;
	text_add(why, "out of range; it goes from ");
	if (k->kind == AS_MS || k->kind == AS_SECONDS)
		print_unit(k->min * (k->kind == AS_MS ? 1 : 1000), ms_units, why);
	else if (k->kind == AS_SIZE)
		print_unit(k->min, size_units, why);
	else
		text_add(why, "%" PRIu64, k->min);
	text_add(why, " to ");
	if (k->kind == AS_MS || k->kind == AS_SECONDS)
		print_unit(k->max * (k->kind == AS_MS ? 1 : 1000), ms_units, why);
	else if (k->kind == AS_SIZE)
		print_unit(k->max, size_units, why);
	else
		text_add(why, "%" PRIu64, k->max);
	return false;
}

/* ---- values ---------------------------------------------------------------------------- */

static bool refuse(struct text *why, const char *fault)
{
	text_add(why, "%s", fault);
	return false;
}

static bool read_string(const char *value, const char *fault, char *to, size_t size,
			struct text *why)
{
	if (fault)
		return refuse(why, fault);
	memset(to, 0, size);
	memcpy(to, value, strlen(value));
	return true;
}

static bool read_hostid(const char *value, uint32_t *hostid, struct text *why)
{
	*hostid = 0;
	if (!strcmp(value, "auto"))
		return true;
	if (!read_u32(value, value + strlen(value), hostid))
		return refuse(why, "write \"auto\" or 32 bits like \"0x1a2b3c4d\"");
	if (!*hostid)
		return refuse(why, "hostid 0 is not allowed; choose another number or \"auto\"");
	return true;
}

static const uint8_t group4[4] = {224, 0, 0, 240};
static const uint8_t group6[16] = {0xff, 0x12, [15] = 0xf0};

static bool address_read(const char *value, struct address *a)
{
	*a = (struct address){0};
	if (inet_pton(AF_INET, value, a->addr) == 1)
		a->family = 4;
	else if (inet_pton(AF_INET6, value, a->addr) == 1)
		a->family = 6;
	return a->family;
}

static bool address_is_group(const struct address *a)
{
	return a->family == 4 ? !memcmp(a->addr, group4, sizeof(group4))
			      : !memcmp(a->addr, group6, sizeof(group6));
}

static bool read_peer_address(const char *value, struct address *a, struct text *why)
{
	static const struct address none;
	bool many;

	if (!strcmp(value, "multicast"))
		value = "224.0.0.240";
	if (!address_read(value, a))
		return refuse(why, "write \"multicast\", \"ff12::f0\" or one IPv4 or IPv6 address");
	if (address_is_group(a))
		return true;
	many = a->family == 4 ? a->addr[0] >= 224 : a->addr[0] == 0xff;
	if (many)
		return refuse(why, "of the groups, pf uses only \"multicast\" and \"ff12::f0\"");
	if (!memcmp(a->addr, none.addr, sizeof(none.addr)))
		return refuse(why, "this is no address of a host");
	return true;
}

/* A second address joins the first: one of both is this host's, which shows when it runs. */
static bool read_peer(const char *value, struct settings_sync *sync, struct text *why)
{
	struct address a;

	if (!read_peer_address(value, &a, why))
		return false;
	if (!sync->peer.family) {
		sync->peer = a;
		sync->multicast = address_is_group(&a);
		return true;
	}
	if (sync->multicast || address_is_group(&a))
		return refuse(why, "a group stands alone; leave the other addresses out");
	if (sync->self.family)
		return refuse(why,
			      "name two addresses at most, those of both nodes; for more nodes "
			      "use \"multicast\"");
	if (sync->peer.family != a.family)
		return refuse(why, "both addresses must be IPv4, or both IPv6");
	if (!memcmp(sync->peer.addr, a.addr, sizeof(a.addr)))
		return refuse(why, "the address stands there twice; name those of both nodes");
	sync->self = a;
	return true;
}

static bool read_dialect(const char *value, const struct dialect **d, struct text *why)
{
	*d = NULL;
	if (!strcmp(value, "auto"))
		return true;
	*d = dialect_by_name(value);
	if (*d)
		return true;
	text_add(why, "write auto");
	for (int i = 0; i < DIALECT_COUNT; i++)
		text_add(why, "%s%s", i + 1 < DIALECT_COUNT ? ", " : " or ",
			 dialect_get((enum dialect_id)i)->name);
	return false;
}

static bool read_choice(const struct keyword *k, const char *value, void *to, struct text *why)
{
	for (unsigned i = 0; k->words[i]; i++) {
		if (!strcmp(k->words[i], value)) {
			memcpy(to, &i, sizeof(i));
			return true;
		}
	}
	text_add(why, "write ");
	for (unsigned i = 0; k->words[i]; i++)
		text_add(why, "%s%s", !i ? "" : k->words[i + 1] ? ", " : " or ", k->words[i]);
	return false;
}

static bool read_yes_no(const char *value, bool *to, struct text *why)
{
	*to = !strcmp(value, "yes") || !strcmp(value, "true") || !strcmp(value, "on");
	if (*to || !strcmp(value, "no") || !strcmp(value, "false") || !strcmp(value, "off"))
		return true;
	return refuse(why, "write yes or no");
}

static bool read_number(const struct keyword *k, const char *value, uint32_t *to, struct text *why)
{
	const char *rest;
	uint64_t n;

	if (!read_digits(value, &n, &rest) || *rest)
		return refuse(why, "this is no number; write digits only");
	if (!in_range(n, k, why))
		return false;
	*to = (uint32_t)n;
	return true;
}

static bool read_duration(const struct keyword *k, const char *value, uint32_t *to,
			  struct text *why)
{
	uint64_t n;

	if (!read_unit(value, ms_units, "duration", &n, why))
		return false;
	if (k->kind == AS_SECONDS) {
		if (n % 1000)
			return refuse(why, "it takes whole seconds");
		n /= 1000;
	}
	if (!in_range(n, k, why))
		return false;
	*to = (uint32_t)n;
	return true;
}

static bool read_mark(const char *value, uint32_t to[2], struct text *why)
{
	const char *slash = strchr(value, '/');

	if (!slash || !read_u32(value, slash, &to[0]) ||
	    !read_u32(slash + 1, slash + strlen(slash), &to[1]))
		return refuse(why, "write \"VALUE/MASK\", like \"0x10/0xf0\"");
	if (to[0] & ~to[1])
		return refuse(why, "the value has bits that the mask has not");
	return true;
}

/* Bits in a row: what stands there is a number. */
static bool is_field(uint32_t mask)
{
	uint32_t low = mask & -mask;

	return mask && !((mask + low) & mask);
}

static bool read_masks(const char *value, uint32_t to[2], struct text *why)
{
	const char *slash = strchr(value, '/');

	if (!slash || !read_u32(value, slash, &to[0]) ||
	    !read_u32(slash + 1, slash + strlen(slash), &to[1]))
		return refuse(why, "write the masks of where flows enter and leave, like "
				   "\"0xff00/0x00ff\"");
	if (!to[0] && !to[1])
		return true;
	if (!is_field(to[0]) || !is_field(to[1]))
		return refuse(why, "each mask is one row of bits, like 0xff00");
	if (to[0] & to[1])
		return refuse(why, "the masks have bits in common");
	return true;
}

static bool read_prefix(const struct keyword *k, const char *value, struct prefix *p,
			struct text *why)
{
	if (k->kind == AS_ADDRESSES && strchr(value, '/'))
		return refuse(why, "write lone addresses here, without a prefix length");
	if (!prefix_parse(p, value))
		return refuse(why, k->kind == AS_ADDRESSES
					   ? "this is no IPv4 or IPv6 address"
					   : "this is no address or prefix; write it like "
					     "\"192.0.2.0/24\" or \"2001:db8::/32\"");
	return true;
}

bool keyword_read(const struct keyword *k, const char *value, void *base, struct text *why)
{
	void *to = keyword_is_list(k) ? base : (char *)base + k->offset;

	switch (k->kind) {
	case AS_HOSTID:
		return read_hostid(value, to, why);
	case AS_PATH:
		return read_string(value, *value || k->min ? path_fault(value) : NULL, to,
				   SETTINGS_SOCKET_MAX, why);
	case AS_WORD:
		return read_string(value, *value ? name_fault(value) : NULL, to, SETTINGS_NAME_MAX,
				   why);
	case AS_IFNAME:
		return read_string(value, ifname_fault(value), to, PF_IFNAME_LEN, why);
	case AS_PF_NAME:
		return read_string(value, pf_name_fault(value), to, PF_IFNAME_LEN, why);
	case AS_PEER:
		return read_peer(value, base, why);
	case AS_DIALECT:
		return read_dialect(value, to, why);
	case AS_CHOICE:
		return read_choice(k, value, to, why);
	case AS_YES_NO:
		return read_yes_no(value, to, why);
	case AS_NUMBER:
		return read_number(k, value, to, why);
	case AS_MS:
	case AS_SECONDS:
		return read_duration(k, value, to, why);
	case AS_SIZE: {
		uint64_t n;

		if (!read_unit(value, size_units, "size", &n, why) || !in_range(n, k, why))
			return false;
		*(uint64_t *)to = n;
		return true;
	}
	case AS_MARK:
		return read_mark(value, to, why);
	case AS_MASKS:
		return read_masks(value, to, why);
	case AS_PREFIXES:
	case AS_ADDRESSES:
		return read_prefix(k, value, to, why);
	}
	return refuse(why, "not known here");
}

/* ---- printing -------------------------------------------------------------------------- */

static void print_list(const struct keyword *k, const struct prefix_list *list, struct text *t)
{
	text_add(t, "{");
	for (size_t i = 0; i < list->count; i++) {
		text_add(t, "%s\"", i ? ", " : " ");
		if (k->kind == AS_ADDRESSES)
			text_add_address(t, list->prefix[i].family, list->prefix[i].addr);
		else
			text_add_prefix(t, &list->prefix[i]);
		text_add(t, "\"");
	}
	text_add(t, " }");
}

static void print_address(const struct address *a, struct text *t)
{
	text_add(t, "\"");
	if (a->family == 4 && address_is_group(a))
		text_add(t, "multicast");
	else
		text_add_address(t, a->family, a->addr);
	text_add(t, "\"");
}

/* Two in the same order on both nodes. */
static void print_peer(const struct settings_sync *s, struct text *t)
{
	bool swap = memcmp(s->peer.addr, s->self.addr, sizeof(s->peer.addr)) > 0;

	if (!s->self.family) {
		print_address(&s->peer, t);
		return;
	}
	text_add(t, "{ ");
	print_address(swap ? &s->self : &s->peer, t);
	text_add(t, ", ");
	print_address(swap ? &s->peer : &s->self, t);
	text_add(t, " }");
}

void keyword_print(const struct keyword *k, const void *base, struct text *t)
{
	const void *from = (const char *)base + k->offset;
	const uint32_t *n = from;
	unsigned choice;

	switch (k->kind) {
	case AS_HOSTID:
		if (*n)
			text_add(t, "\"0x%08" PRIx32 "\"", *n);
		else
			text_add(t, "\"auto\"");
		break;
	case AS_PATH:
	case AS_WORD:
	case AS_IFNAME:
	case AS_PF_NAME:
		text_add(t, "\"%s\"", (const char *)from);
		break;
	case AS_PEER:
		print_peer(base, t);
		break;
	case AS_DIALECT: {
		const struct dialect *const *d = from;

		text_add(t, "\"%s\"", *d ? (*d)->name : "auto");
		break;
	}
	case AS_CHOICE:
		memcpy(&choice, from, sizeof(choice));
		text_add(t, "\"%s\"", k->words[choice]);
		break;
	case AS_YES_NO:
		text_add(t, "%s", *(const bool *)from ? "yes" : "no");
		break;
	case AS_NUMBER:
		text_add(t, "%" PRIu32, *n);
		break;
	case AS_MS:
		print_unit(*n, ms_units, t);
		break;
	case AS_SECONDS:
		print_unit((uint64_t)*n * 1000, ms_units, t);
		break;
	case AS_SIZE:
		print_unit(*(const uint64_t *)from, size_units, t);
		break;
	case AS_MARK:
	case AS_MASKS:
		text_add(t, "\"0x%" PRIx32 "/0x%" PRIx32 "\"", n[0], n[1]);
		break;
	case AS_PREFIXES:
	case AS_ADDRESSES:
		print_list(k, from, t);
		break;
	}
}
