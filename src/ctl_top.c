/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows ncurses. */
#include "config.h"

#include "ctl_top.h"

#include <curses.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl_live.h"

enum { EVERY_MS = 1000, RED = 1, GREEN = 2 };

static chtype look_of(char first)
{
	switch (first) {
	case LIVE_HEAD:
		return A_BOLD;
	case LIVE_BAD:
		return has_colors() ? (chtype)COLOR_PAIR(RED) : A_STANDOUT;
	case LIVE_GOOD:
		return has_colors() ? (chtype)COLOR_PAIR(GREEN) : A_NORMAL;
	default:
		return A_NORMAL;
	}
}

/* What does not fit the screen is left out; the last line is for the keys. */
static void show(char *text)
{
	char *rest = NULL;
	int y = 0;

	(void)erase();
	for (char *line = strtok_r(text, "\n", &rest); line && y < LINES - 1;
	     line = strtok_r(NULL, "\n", &rest)) {
		(void)attrset(look_of(line[0]));
		(void)mvaddnstr(y++, 0, line + 1, COLS);
	}
	(void)attrset(A_NORMAL);
	(void)mvaddnstr(LINES - 1, 0, "q quit", COLS);
	(void)refresh();
}

int ctl_top(const char *socket)
{
	struct ctl_live *live;
	int key = ERR;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		fprintf(stderr, "pfsyncctl: top needs a terminal; status is for files and pipes\n");
		return EXIT_FAILURE;
	}
	live = ctl_live_new(socket);
	if (!live || !initscr()) {
		ctl_live_free(live);
		return EXIT_FAILURE;
	}
	(void)cbreak();
	(void)noecho();
	(void)curs_set(0);
	(void)keypad(stdscr, TRUE);
	if (has_colors() && !getenv("NO_COLOR") && start_color() == OK) {
		(void)use_default_colors();
		(void)init_pair(RED, COLOR_RED, -1);
		(void)init_pair(GREEN, COLOR_GREEN, -1);
	}
	timeout(EVERY_MS);
	while (key != 'q' && key != 'Q' && key != 27) {
		size_t size = 0;
		char *text = NULL;
		FILE *f = open_memstream(&text, &size);

		if (!f)
			break;
		ctl_live_lines(live, f);
		if (!fclose(f))
			show(text);
		free(text);
		key = getch(); /* KEY_RESIZE as well: drawn anew at once */
	}
	(void)endwin();
	ctl_live_free(live);
	return EXIT_SUCCESS;
}
