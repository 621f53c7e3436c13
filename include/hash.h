/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SipHash-2-4: a keyed hash that somebody who chooses addresses and ports cannot steer. Used for
 * the table's buckets (random key) and for the names of states (key made of the hostid).
 */
#ifndef PFSYNC_HASH_H
#define PFSYNC_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const uint8_t key[16], const void *data, size_t len);

#endif
