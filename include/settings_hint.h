/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is wrong with a configuration file, and what to do, in words for those who write it. */
#ifndef PFSYNC_SETTINGS_HINT_H
#define PFSYNC_SETTINGS_HINT_H

#include "settings_keyword.h"

/* A word that is no keyword of the section: where it belongs, what may be meant, what there is. */
void hint_unknown(enum section_kind section, const char *word, struct text *t);

/* The same fault that libconfuse has found, for all but unknown keywords. */
void hint_syntax(const char *message, struct text *t);

/* Why a file cannot be read; error is a positive errno. */
const char *hint_file(int error);

#endif
