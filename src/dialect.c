/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tables behind dialect.h: everything that differs between the pf families and is a number.
 * Action numbers 13 to 15 mean different things in header versions 5 and 6, so every question
 * about a number is asked together with the version.
 */
#include "dialect.h"

#include <string.h>

enum { SIZE_ID = 12, SIZE_UPD_C = 84, SIZE_CLR = 20, SIZE_BUS = 12 };
enum { SIZE_TDB_FREEBSD = 48, SIZE_TDB_OPENBSD = 52 };
enum { AF_INET_ALL = 2, AF_INET6_FREEBSD = 28, AF_INET6_OPENBSD = 24 };
enum { ACTION_NUMBERS = 17 };

/*
 * pfsync-protocol 7.5. allow-opts and sloppy; no-df, set-tos, random-id, scrub-tcp, set-prio;
 * pflow; pipe and queue of dummynet. Never no-sync, ack, and 0x0400, by which an OpenBSD drops all
 * packets of the state.
 */
enum { FLAGS_OLD = 0x0003, FLAGS_SCRUB = 0x03e0, FLAG_PFLOW = 0x0004, FLAGS_DUMMYNET = 0xc000 };

static const struct dialect dialects[DIALECT_COUNT] = {
	[DIALECT_FREEBSD_13] = {.id = DIALECT_FREEBSD_13,
				.name = "freebsd-13",
				.version = PFSYNC_VERSION_FREEBSD,
				.layout = LAYOUT_1301,
				.ins = 1,
				.upd = 3,
				.af_inet6 = AF_INET6_FREEBSD,
				.timeouts = 20,
				.eof = true,
				.icmp_typed = false,
				.del_full = true,
				.ip_overhead = 20,
				.flags = FLAGS_OLD},
	[DIALECT_FREEBSD_14] = {.id = DIALECT_FREEBSD_14,
				.name = "freebsd-14",
				.version = PFSYNC_VERSION_FREEBSD,
				.layout = LAYOUT_1400,
				.ins = 13,
				.upd = 14,
				.af_inet6 = AF_INET6_FREEBSD,
				.timeouts = 25,
				.eof = true,
				.icmp_typed = false,
				.del_full = false,
				.ip_overhead = 40,
				.flags = FLAGS_OLD | FLAGS_SCRUB | FLAGS_DUMMYNET},
	[DIALECT_FREEBSD_15] = {.id = DIALECT_FREEBSD_15,
				.name = "freebsd-15",
				.version = PFSYNC_VERSION_FREEBSD,
				.layout = LAYOUT_1500,
				.ins = 15,
				.upd = 16,
				.af_inet6 = AF_INET6_FREEBSD,
				.timeouts = 25,
				.eof = true,
				.icmp_typed = true,
				.del_full = false,
				.ip_overhead = 40,
				.flags = FLAGS_OLD | FLAGS_SCRUB | FLAGS_DUMMYNET | FLAG_PFLOW},
	[DIALECT_OPENBSD] = {.id = DIALECT_OPENBSD,
			     .name = "openbsd",
			     .version = PFSYNC_VERSION_OPENBSD,
			     .layout = LAYOUT_OPENBSD,
			     .ins = 13,
			     .upd = 14,
			     .af_inet6 = AF_INET6_OPENBSD,
			     .timeouts = 20,
			     .eof = false,
			     .icmp_typed = true,
			     .del_full = true,
			     .ip_overhead = 20,
			     .flags = FLAGS_OLD | FLAGS_SCRUB | FLAG_PFLOW},
};

struct meaning {
	enum pf_action action;
	enum pf_layout layout;
	bool known;
};

static const struct meaning freebsd_actions[ACTION_NUMBERS] = {
	[0] = {ACT_CLR, LAYOUT_NONE, true},	[1] = {ACT_INS, LAYOUT_1301, true},
	[2] = {ACT_INS_ACK, LAYOUT_NONE, true}, [3] = {ACT_UPD, LAYOUT_1301, true},
	[4] = {ACT_UPD_C, LAYOUT_NONE, true},	[5] = {ACT_UPD_REQ, LAYOUT_NONE, true},
	[6] = {ACT_DEL, LAYOUT_1301, true},	[7] = {ACT_DEL_C, LAYOUT_NONE, true},
	[10] = {ACT_BUS, LAYOUT_NONE, true},	[11] = {ACT_TDB, LAYOUT_NONE, true},
	[12] = {ACT_EOF, LAYOUT_NONE, true},	[13] = {ACT_INS, LAYOUT_1400, true},
	[14] = {ACT_UPD, LAYOUT_1400, true},	[15] = {ACT_INS, LAYOUT_1500, true},
	[16] = {ACT_UPD, LAYOUT_1500, true},
};

static const struct meaning openbsd_actions[ACTION_NUMBERS] = {
	[0] = {ACT_CLR, LAYOUT_NONE, true},	[2] = {ACT_INS_ACK, LAYOUT_NONE, true},
	[4] = {ACT_UPD_C, LAYOUT_NONE, true},	[5] = {ACT_UPD_REQ, LAYOUT_NONE, true},
	[6] = {ACT_DEL, LAYOUT_OPENBSD, true},	[7] = {ACT_DEL_C, LAYOUT_NONE, true},
	[10] = {ACT_BUS, LAYOUT_NONE, true},	[12] = {ACT_EOF, LAYOUT_NONE, true},
	[13] = {ACT_INS, LAYOUT_OPENBSD, true}, [14] = {ACT_UPD, LAYOUT_OPENBSD, true},
	[15] = {ACT_TDB, LAYOUT_NONE, true},
};

static const size_t state_sizes[] = {
	[LAYOUT_1301] = 242, [LAYOUT_1400] = 277, [LAYOUT_1500] = 360, [LAYOUT_OPENBSD] = 264};

static const char *const layout_names[] = {[LAYOUT_1301] = "1301",
					   [LAYOUT_1400] = "1400",
					   [LAYOUT_1500] = "1500",
					   [LAYOUT_OPENBSD] = "openbsd"};

static const char *const action_names[] = {
	[ACT_CLR] = "CLR", [ACT_INS] = "INS",	  [ACT_INS_ACK] = "INS_ACK",
	[ACT_UPD] = "UPD", [ACT_UPD_C] = "UPD_C", [ACT_UPD_REQ] = "UPD_REQ",
	[ACT_DEL] = "DEL", [ACT_DEL_C] = "DEL_C", [ACT_BUS] = "BUS",
	[ACT_TDB] = "TDB", [ACT_EOF] = "EOF",	  [ACT_UNKNOWN] = "UNKNOWN",
};

const struct dialect *dialect_get(enum dialect_id id)
{
	return &dialects[id];
}

const struct dialect *dialect_by_name(const char *name)
{
	for (size_t i = 0; i < DIALECT_COUNT; i++)
		if (strcmp(dialects[i].name, name) == 0)
			return &dialects[i];
	return NULL;
}

const struct dialect *dialect_by_layout(enum pf_layout layout)
{
	for (size_t i = 0; i < DIALECT_COUNT; i++)
		if (dialects[i].layout == layout)
			return &dialects[i];
	return NULL;
}

enum pf_action dialect_action(uint8_t version, uint8_t number, enum pf_layout *layout)
{
	const struct meaning *m = NULL;

	if (version == PFSYNC_VERSION_FREEBSD && number < ACTION_NUMBERS)
		m = &freebsd_actions[number];
	else if (version == PFSYNC_VERSION_OPENBSD && number < ACTION_NUMBERS)
		m = &openbsd_actions[number];
	if (!m || !m->known) {
		*layout = LAYOUT_NONE;
		return ACT_UNKNOWN;
	}
	*layout = m->layout;
	return m->action;
}

uint8_t dialect_number(const struct dialect *d, enum pf_action action)
{
	switch (action) {
	case ACT_CLR:
		return 0;
	case ACT_INS:
		return d->ins;
	case ACT_INS_ACK:
		return 2;
	case ACT_UPD:
		return d->upd;
	case ACT_UPD_C:
		return 4;
	case ACT_UPD_REQ:
		return 5;
	case ACT_DEL:
		return d->del_full ? 6 : 0xff;
	case ACT_DEL_C:
		return 7;
	case ACT_BUS:
		return 10;
	case ACT_TDB:
		return d->version == PFSYNC_VERSION_OPENBSD ? 15 : 11;
	case ACT_EOF:
		return 12;
	case ACT_UNKNOWN:
		break;
	}
	return 0xff;
}

size_t dialect_message_size(uint8_t version, enum pf_action action, enum pf_layout layout)
{
	switch (action) {
	case ACT_CLR:
		return SIZE_CLR;
	case ACT_INS:
	case ACT_UPD:
	case ACT_DEL:
		return layout == LAYOUT_NONE ? 0 : state_sizes[layout];
	case ACT_INS_ACK:
	case ACT_UPD_REQ:
	case ACT_DEL_C:
		return SIZE_ID;
	case ACT_UPD_C:
		return SIZE_UPD_C;
	case ACT_BUS:
		return SIZE_BUS;
	case ACT_TDB:
		return version == PFSYNC_VERSION_OPENBSD ? SIZE_TDB_OPENBSD : SIZE_TDB_FREEBSD;
	case ACT_EOF:
	case ACT_UNKNOWN:
		break;
	}
	return 0;
}

const char *action_name(enum pf_action action)
{
	return (unsigned)action <= ACT_UNKNOWN ? action_names[action] : "UNKNOWN";
}

const char *layout_name(enum pf_layout layout)
{
	return (unsigned)layout <= LAYOUT_OPENBSD ? layout_names[layout] : NULL;
}

uint8_t layout_af(enum pf_layout layout, int family)
{
	if (family == 4)
		return AF_INET_ALL;
	if (family != 6 || layout == LAYOUT_NONE)
		return 0;
	return layout == LAYOUT_OPENBSD ? AF_INET6_OPENBSD : AF_INET6_FREEBSD;
}

int layout_family(enum pf_layout layout, uint8_t af)
{
	if (af == AF_INET_ALL)
		return 4;
	return af && af == layout_af(layout, 6) ? 6 : 0;
}
