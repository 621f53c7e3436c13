/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the configuration to what the engine wants, and to this host's id. */
#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void settings_engine(const struct settings *s, uint32_t hostid, const uint8_t key[16],
		     struct engine_config *config)
{
	*config = (struct engine_config){
		.hostid = hostid,
		.links = s->syncs,
		.tcp = s->tcp,
		.udp = s->udp,
		.icmp = s->icmp,
		.other = s->other,
		.exclude = s->exclude,
		.vip = s->vip,
		.protect = s->protect,
		.announce_local = s->local,
		.max_states = s->max_states,
		.peer_max_states = s->peer_max_states,
		.max_rate = s->max_rate,
		.takeover = s->commit == COMMIT_TAKEOVER,
		.tcp_strict = s->tcp_window == TCP_STRICT,
		.name_mask = s->name_mask[0] | s->name_mask[1],
		.timeouts = s->timeouts,
	};
	memcpy(config->hash_key, key, sizeof(config->hash_key));
	for (size_t i = 0; i < s->syncs; i++) {
		const struct settings_sync *sync = &s->sync[i];

		config->link[i] = (struct link_config){
			.name = sync->name,
			.dialect = sync->dialect,
			.mode = sync->mode,
			.handover_strict = sync->handover == HANDOVER_STRICT,
			.defer = sync->defer,
			.ipv6 = sync->peer.family == 6,
			.accept = sync->accept,
			.flush_ms = sync->flush_ms,
			.bulk_rate = sync->bulk_rate,
			.probe_s = sync->probe_s,
		};
	}
}

/* FNV-1a: the machine id is random already, it only has to be spread over 32 bits. */
static uint32_t hash_text(const char *s, uint64_t h)
{
	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3ULL;
	return (uint32_t)(h ^ h >> 32);
}

int settings_hostid(const struct settings *s, const char *machine_id_file, uint32_t *hostid)
{
	char line[64] = "";
	FILE *f;
	size_t len;

	if (s->hostid) {
		*hostid = s->hostid;
		return 0;
	}
	f = fopen(machine_id_file, "re");
	if (!f)
		return -errno;
	len = fread(line, 1, sizeof(line) - 1, f);
	(void)fclose(f);
	line[len] = '\0';
	for (len = 0; isxdigit((unsigned char)line[len]); len++)
		line[len] = (char)tolower((unsigned char)line[len]);
	if (len != 32)
		return -EINVAL;
	line[len] = '\0';
	/* The application's constant: the machine id must not be told, and the hash not be
	 * another's. */
	*hostid = hash_text(line, hash_text("pfsync-linux hostid", 0xcbf29ce484222325ULL));
	if (!*hostid)
		*hostid = 1;
	return 0;
}

static bool address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && !memcmp(a->addr, b->addr, sizeof(a->addr));
}

static bool address_in(const struct address *a, const struct address *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (address_equal(a, &list[i]))
			return true;
	return false;
}

bool settings_pick_peer(struct settings_sync *sync, const struct address *own, size_t count)
{
	bool peer = address_in(&sync->peer, own, count), self = address_in(&sync->self, own, count);
	struct address swap = sync->peer;

	if (!sync->self.family)
		return !peer;
	if (peer && !self) {
		sync->peer = sync->self;
		sync->self = swap;
	}
	return peer != self;
}

bool settings_same_peers(const struct settings_sync *a, const struct settings_sync *b)
{
	return (address_equal(&a->peer, &b->peer) && address_equal(&a->self, &b->self)) ||
	       (address_equal(&a->peer, &b->self) && address_equal(&a->self, &b->peer));
}

const char *settings_pf_name(const struct settings *s, const char *interface)
{
	for (size_t i = 0; i < s->interfaces; i++)
		if (!strcmp(s->interface[i].name, interface))
			return s->interface[i].pf_name;
	return NULL;
}

static uint32_t number_in(uint32_t mark, uint32_t mask)
{
	return mask ? (mark & mask) / (mask & -mask) : 0;
}

const char *settings_marked_name(const struct settings *s, uint32_t mark, int side)
{
	uint32_t number = number_in(mark, s->name_mask[side]);

	if (!number)
		return NULL;
	for (size_t i = 0; i < s->interfaces; i++)
		if (s->interface[i].mark == number)
			return s->interface[i].pf_name;
	return "all";
}

const char *settings_interface(const struct settings *s, const char *pf_name)
{
	for (size_t i = 0; i < s->interfaces; i++)
		if (!strcmp(s->interface[i].pf_name, pf_name))
			return s->interface[i].name;
	return NULL;
}

static const struct settings_interface *same_mark(const struct settings *s, size_t of)
{
	for (size_t i = 0; i < of; i++)
		if (s->interface[i].mark && s->interface[i].mark == s->interface[of].mark)
			return &s->interface[i];
	return NULL;
}

bool settings_marks_wrong(const struct settings *s, struct text *why, const char **interface)
{
	bool any = false;

	*interface = NULL;
	for (size_t i = 0; i < s->interfaces; i++) {
		const struct settings_interface *f = &s->interface[i], *other = same_mark(s, i);

		any |= f->mark != 0;
		*interface = f->name;
		if (f->mark && !s->name_mask[0])
			text_add(why,
				 "mark needs conntrack { interface-mark = \"...\" }, which says "
				 "where in the mark the number stands");
		else if (f->mark > number_in(s->name_mask[0], s->name_mask[0]) ||
			 f->mark > number_in(s->name_mask[1], s->name_mask[1]))
			text_add(why, "mark = %" PRIu32 " does not fit into interface-mark",
				 f->mark);
		else if (other)
			text_add(why, "mark = %" PRIu32 " is that of %s; give each its own",
				 f->mark, other->name);
		else
			continue;
		return true;
	}
	*interface = NULL;
	if ((s->name_mask[0] | s->name_mask[1]) & s->mark_mask)
		text_add(why, "interface-mark and mark have bits in common; choose others");
	else if (s->name_mask[0] && !any)
		text_add(why, "interface-mark without a mark in any interface section; add mark = "
			      "1, 2, ... to them");
	else
		return false;
	return true;
}
