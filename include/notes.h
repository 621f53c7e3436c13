/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the log says of the engine's notes: once, at the boundary, rate-limited, with the remedy. */
#ifndef PFSYNC_NOTES_H
#define PFSYNC_NOTES_H

#include "engine.h"
#include "log.h"
#include "settings.h"

/* Keys of rate limits: the reasons, then what else can repeat. */
enum { NOTES_KEY_CLASH = R_COUNT, NOTES_KEY_OVERRUN, NOTES_KEY_PACKETS, NOTES_KEYS };

void notes_log(struct log *log, const struct note *n, const struct settings *s, uint64_t now);

#endif
