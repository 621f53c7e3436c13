/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keywords of the configuration: one table for reading, printing and the documentation's
 * check, and how the value of each kind is read and written. No I/O and no libconfuse here.
 */
#ifndef PFSYNC_SETTINGS_KEYWORD_H
#define PFSYNC_SETTINGS_KEYWORD_H

#include "settings.h"

enum section_kind {
	IN_ROOT,
	IN_CONTROL,
	IN_SYNC,
	IN_INTERFACE,
	IN_ANNOUNCE,
	IN_IMPORT,
	IN_CONNTRACK,
	IN_TIMEOUTS,
	SECTION_KINDS
};

enum value_kind {
	AS_HOSTID,
	AS_PATH,
	AS_WORD,    /* of letters, digits and -_. */
	AS_IFNAME,  /* a Linux interface name */
	AS_PF_NAME, /* a pf interface name */
	AS_PEER,    /* one or two: peer, self and multicast of a sync section */
	AS_DIALECT,
	AS_CHOICE, /* one of words */
	AS_YES_NO,
	AS_NUMBER,
	AS_MS,	     /* a duration in milliseconds */
	AS_SECONDS,  /* a duration in seconds */
	AS_SIZE,     /* 64 bit of bytes */
	AS_MARK,     /* mark and mark_mask, two 32-bit numbers in a row */
	AS_MASKS,    /* name_mask, two masks */
	AS_PREFIXES, /* a list of prefixes */
	AS_ADDRESSES /* a list of addresses */
};

struct keyword {
	enum section_kind section;
	const char *name;
	enum value_kind kind;
	size_t offset;		  /* in struct settings, settings_sync or settings_interface */
	uint64_t min, max;	  /* AS_PATH: min 1 if it must not be empty */
	const char *const *words; /* AS_CHOICE, by value, NULL at the end */
};

/* The n-th keyword, NULL behind the last. Those of timeouts are made from pf's names. */
bool keyword_get(size_t n, struct keyword *k);

/* False if the section has no such keyword. */
bool keyword_find(enum section_kind section, const char *name, struct keyword *k);

/* Kept as a struct prefix_list. */
bool keyword_is_list(const struct keyword *k);
/* Several values may stand in braces. */
bool keyword_takes_list(const struct keyword *k);

/* "sync", ... ; "" for what stands outside the sections. */
const char *section_name(enum section_kind section);
/* Its name on the first line: sync and interface. */
bool section_has_title(enum section_kind section);

/*
 * Reads a value into the struct that base points to (of a list: the next member into the prefix
 * that base points to; of a peer: beside what is there). If it is wrong, false and the reason in
 * why.
 */
bool keyword_read(const struct keyword *k, const char *value, void *base, struct text *why);

/* Writes the value as it would stand in a file. */
void keyword_print(const struct keyword *k, const void *base, struct text *t);

/* Why this is no interface name; NULL if it is one. */
const char *ifname_fault(const char *name);
/* The same for the name of a sync section. */
const char *name_fault(const char *name);

#endif
