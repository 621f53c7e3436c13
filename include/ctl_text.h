/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's answers, which are JSON, as text for people. */
#ifndef PFSYNC_CTL_TEXT_H
#define PFSYNC_CTL_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Prints one object of the answer to a command. What it does not know it prints as JSON. */
void ctl_text(FILE *out, const char *command, const json_t *object, bool colour);

#endif
