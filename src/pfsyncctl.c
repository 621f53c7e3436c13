/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pfsyncctl: asks the daemon over its control socket (control.h has the protocol) and shows the
 * answer as it comes, without keeping it.
 */
#include "config.h"

#include "ctl_daemon.h"
#include "ctl_text.h"
#include "ctl_top.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/pfsync-linux/control.sock"

enum { EXIT_SYNTAX = 64, EXIT_DOWN = 2 };

struct command {
	const char *name, *args, *help;
};

static const struct command commands[] = {
	{"status", "", "health, links, flows and rates (default)"},
	{"peers", "", "what is known of each peer"},
	{"flows", "[FILTER...]", "known flows: addresses, ports, protocols, local, remote"},
	{"counters", "", "every counter"},
	{"metrics", "[-o FILE]",
	 "the same as OpenMetrics text; into a file, which changes at once"},
	{"config", "", "the configuration in effect, valid as input"},
	{"top", "", "live: peers, rates, flows by protocol and origin"},
	{"monitor", "", "what is sent, received, committed and refused, as it happens"},
	{"resync", "", "ask the peers for a bulk update and read the kernel table again"},
	{"takeover", "", "install imported flows now (commit = takeover)"},
	{"flush", "", "forget imported flows and remove them from the kernel"},
	{"check", "", "exit 0 in sync, 1 degraded, 2 not working"},
	{"doctor", "", "test this host; each finding with its remedy"},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

struct asked {
	const char *socket;
	const char *file; /* of metrics; NULL: standard output */
	const char *command;
	bool json;
	bool colour;
};

static void usage(FILE *out)
{
	fprintf(out, "usage: pfsyncctl [-s SOCKET] [-j] [-h] [-V] [COMMAND]\n"
		     "  -s SOCKET  of the daemon (default " DEFAULT_SOCKET ")\n"
		     "  -j         print JSON\n"
		     "  -h, -V     print this help, the version\n");
	for (int i = 0; i < COMMANDS; i++) {
		int used = fprintf(out, "  %s %s", commands[i].name, commands[i].args);

		fprintf(out, "%*s%s\n", used < 22 ? 22 - used : 1, "", commands[i].help);
	}
}

static const struct command *command_find(const char *name)
{
	for (int i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* What a failure ends with: check has a value of its own for a daemon that does not work. */
static int failure(const struct asked *a)
{
	return strcmp(a->command, "check") != 0 ? EXIT_FAILURE : EXIT_DOWN;
}

/* ---- the daemon ------------------------------------------------------------------------ */

static void complain(const struct asked *a, const char *about, const char *advice)
{
	if (strcmp(a->command, "check") != 0) /* it says so on its own line */
		fprintf(stderr, "pfsyncctl: %s: %s; %s\n", a->socket, about, advice);
}

static FILE *daemon_connect(const struct asked *a)
{
	FILE *daemon = ctl_connect(a->socket);

	if (!daemon)
		complain(a, strerror(errno),
			 errno == EACCES ? "be root or a member of the group in `control`"
					 : "is the daemon running? (systemctl start pfsync-linux, "
					   "or -s SOCKET)");
	return daemon;
}

/* ---- the answer ------------------------------------------------------------------------ */

/*
 * As Prometheus's older text format, which node_exporter reads: there a counter is called by the
 * name of its samples.
 */
static void put_line(FILE *out, const char *line, bool *counter)
{
	size_t name = strcspn(line + 7, " ");
	const char *behind = line + 7 + name;

	if (!strncmp(line, "# TYPE ", 7))
		*counter = !strcmp(behind, " counter\n");
	else if (strncmp(line, "# HELP ", 7) != 0)
		name = 0;
	if (name && *counter)
		fprintf(out, "%.*s_total%s", (int)(7 + name), line, behind);
	else if (strcmp(line, "# EOF\n") != 0)
		fputs(line, out);
}

/*
 * Into a file that others read at any time: beside it first, then in its place, and only if it is
 * whole. What is there stays otherwise.
 */
static int show_file(FILE *daemon, const struct asked *a)
{
	char beside[4096], *line = NULL;
	bool counter = false, whole = false;
	size_t size = 0;
	FILE *out = NULL;

	errno = ENAMETOOLONG;
	if (snprintf(beside, sizeof(beside), "%s.%ld", a->file, (long)getpid()) <
	    (int)sizeof(beside))
		out = fopen(beside, "wxe");
	if (!out) {
		fprintf(stderr, "pfsyncctl: %s: %s\n", a->file, strerror(errno));
		return EXIT_FAILURE;
	}
	while (getline(&line, &size, daemon) > 7 || (line && !strcmp(line, "# EOF\n"))) {
		whole = !strcmp(line, "# EOF\n");
		put_line(out, line, &counter);
		if (whole)
			break;
	}
	free(line);
	errno = EIO;
	whole &= !ferror(out);
	whole &= !fclose(out) && whole;
	if (whole && !rename(beside, a->file))
		return EXIT_SUCCESS;
	fprintf(stderr, "pfsyncctl: %s: %s\n", a->file,
		whole ? strerror(errno) : "not written, the answer was not whole");
	(void)unlink(beside);
	return EXIT_FAILURE;
}

/* Text as it comes, or as one string of a JSON object. */
static int show_text(FILE *daemon, const struct asked *a)
{
	char piece[4096], *whole = NULL;
	size_t n, len = 0;
	FILE *out = a->json ? open_memstream(&whole, &len) : stdout;

	if (!out)
		return EXIT_FAILURE;
	while ((n = fread(piece, 1, sizeof(piece), daemon)) > 0)
		if (fwrite(piece, 1, n, out) != n)
			break;
	if (a->json) {
		json_t *o = json_object();

		(void)fclose(out);
		(void)json_object_set_new(o, a->command, json_stringn(whole, len));
		(void)json_dumpf(o, stdout, JSON_COMPACT);
		(void)putchar('\n');
		json_decref(o);
		free(whole);
	}
	return EXIT_SUCCESS;
}

/* One object, whose "status" is the exit status; or one after the other. */
static int show_objects(FILE *daemon, const struct asked *a, bool one)
{
	char *line = NULL;
	size_t size = 0, count = 0;
	int status = EXIT_SUCCESS;
	json_t *o;

	while (!(one && count) && (o = ctl_next(daemon, &line, &size))) {
		if (a->json)
			(void)fputs(line, stdout);
		else
			ctl_text(stdout, a->command, o, a->colour);
		if (one)
			status = (int)json_integer_value(json_object_get(o, "status"));
		json_decref(o);
		count++;
		if (ferror(stdout))
			break;
	}
	if ((one && !count) || ferror(daemon)) {
		fprintf(stderr, "pfsyncctl: the daemon broke off its answer; see its log\n");
		status = failure(a);
	}
	free(line);
	return status;
}

static int show_answer(FILE *daemon, const struct asked *a)
{
	char *line = NULL;
	size_t size = 0;
	json_t *head = ctl_next(daemon, &line, &size);
	const char *error = json_string_value(json_object_get(head, "error"));
	const char *payload = json_string_value(json_object_get(head, "payload"));
	int status;

	free(line);
	if (!json_is_true(json_object_get(head, "ok")) || !payload) {
		fprintf(stderr, "pfsyncctl: %s: %s\n", a->command,
			error ? error : "the daemon does not answer; see its log");
		status = failure(a);
	} else if (!strcmp(payload, "text")) {
		status = a->file ? show_file(daemon, a) : show_text(daemon, a);
	} else {
		status = show_objects(daemon, a, !strcmp(payload, "object"));
	}
	json_decref(head);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "pfsyncctl: standard output: %s\n", strerror(errno));
		status = failure(a);
	}
	return status;
}

/* A monitor reads the standard output, and check has an answer to that as well. */
static int absent(const struct asked *a, int status)
{
	json_t *o;

	if (strcmp(a->command, "check") != 0)
		return status;
	o = json_pack("{s:i, s:s, s:[{s:s, s:s, s:s, s:s}]}", "status", EXIT_DOWN, "why",
		      "no-daemon: the daemon does not answer; systemctl start pfsync-linux",
		      "findings", "id", "no-daemon", "severity", "down", "text",
		      "the daemon does not answer", "remedy", "systemctl start pfsync-linux");
	if (a->json) {
		(void)json_dumpf(o, stdout, JSON_COMPACT);
		(void)putchar('\n');
	} else {
		ctl_text(stdout, a->command, o, a->colour);
	}
	json_decref(o);
	return status;
}

static int run(const struct asked *a, char *const *args)
{
	FILE *daemon = daemon_connect(a);
	int status = failure(a);

	if (!daemon)
		return absent(a, status);
	if (ctl_ask(daemon, a->command, args))
		status = show_answer(daemon, a);
	else
		fprintf(stderr, "pfsyncctl: %s: the request could not be sent: %s\n", a->socket,
			strerror(errno));
	(void)fclose(daemon);
	return status;
}

int main(int argc, char **argv)
{
	static char *none[] = {NULL};
	struct asked a = {.socket = DEFAULT_SOCKET, .command = "status"};
	const struct command *c;
	int option;

	while ((option = getopt(argc, argv, "+s:jhV")) != -1) {
		switch (option) {
		case 's':
			a.socket = optarg;
			break;
		case 'j':
			a.json = true;
			break;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		case 'V':
			printf("pfsyncctl %s\n", PACKAGE_VERSION);
			return EXIT_SUCCESS;
		default:
			usage(stderr);
			return EXIT_SYNTAX;
		}
	}
	(void)signal(SIGPIPE, SIG_IGN);
	if (optind < argc)
		a.command = argv[optind++];
	c = command_find(a.command);
	if (c && !strcmp(c->name, "metrics") && argc - optind == 2 && !strcmp(argv[optind], "-o")) {
		a.file = argv[optind + 1];
		optind += 2;
	}
	if (!c || (optind < argc && strcmp(c->name, "flows") != 0)) {
		fprintf(stderr,
			c ? "pfsyncctl: wrong arguments of %s\n"
			  : "pfsyncctl: unknown command %s\n",
			a.command);
		usage(stderr);
		return EXIT_SYNTAX;
	}
	a.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	if (!strcmp(a.command, "monitor"))
		(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(a.command, "top"))
		return ctl_top(a.socket);
	return run(&a, optind < argc ? argv + optind : none);
}
