/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pfsyncctl: asks the daemon over its control socket (control.h has the protocol) and shows the
 * answer as it comes, without keeping it.
 */
#include "config.h"

#include "ctl_text.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
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
	{"metrics", "", "the same as OpenMetrics text"},
	{"config", "", "the configuration in effect, valid as input"},
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

static FILE *daemon_connect(const struct asked *a)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd;
	FILE *f;

	if (strlen(a->socket) >= sizeof(addr.sun_path)) {
		fprintf(stderr, "pfsyncctl: %s: the path is too long for a socket\n", a->socket);
		return NULL;
	}
	memcpy(addr.sun_path, a->socket, strlen(a->socket));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		fprintf(stderr, "pfsyncctl: %s: %s; %s\n", a->socket, strerror(errno),
			errno == EACCES ? "be root or a member of the group in `control`"
					: "is the daemon running? (systemctl start pfsync-linux, "
					  "or -s SOCKET)");
		if (fd >= 0)
			(void)close(fd);
		return NULL;
	}
	f = fdopen(fd, "r+");
	if (!f)
		(void)close(fd);
	return f;
}

static bool daemon_ask(FILE *daemon, const struct asked *a, char *const *args)
{
	json_t *words = json_array();
	json_t *request = json_object();
	bool done;

	for (; *args; args++)
		(void)json_array_append_new(words, json_string(*args));
	(void)json_object_set_new(request, "command", json_string(a->command));
	(void)json_object_set_new(request, "args", words);
	done = json_dumpf(request, daemon, JSON_COMPACT) == 0 && fputc('\n', daemon) != EOF &&
	       fflush(daemon) == 0;
	json_decref(request);
	return done;
}

/* ---- the answer ------------------------------------------------------------------------ */

/* The next line as an object, NULL at the end or if it is none. */
static json_t *next_object(FILE *daemon, char **line, size_t *size)
{
	ssize_t n = getline(line, size, daemon);
	json_t *o = n > 0 ? json_loadb(*line, (size_t)n, 0, NULL) : NULL;

	if (o && !json_is_object(o)) {
		json_decref(o);
		o = NULL;
	}
	return o;
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

	while (!(one && count) && (o = next_object(daemon, &line, &size))) {
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
	json_t *head = next_object(daemon, &line, &size);
	const char *error = json_string_value(json_object_get(head, "error"));
	const char *payload = json_string_value(json_object_get(head, "payload"));
	int status;

	free(line);
	if (!json_is_true(json_object_get(head, "ok")) || !payload) {
		fprintf(stderr, "pfsyncctl: %s: %s\n", a->command,
			error ? error : "the daemon does not answer; see its log");
		status = failure(a);
	} else if (!strcmp(payload, "text")) {
		status = show_text(daemon, a);
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

static int run(const struct asked *a, char *const *args)
{
	FILE *daemon = daemon_connect(a);
	int status = failure(a);

	if (!daemon)
		return status;
	if (daemon_ask(daemon, a, args))
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
	if (!c || (optind < argc && !*c->args)) {
		fprintf(stderr,
			c ? "pfsyncctl: %s takes no arguments\n"
			  : "pfsyncctl: unknown command %s\n",
			a.command);
		usage(stderr);
		return EXIT_SYNTAX;
	}
	a.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	if (!strcmp(a.command, "monitor"))
		(void)setvbuf(stdout, NULL, _IOLBF, 0);
	return run(&a, optind < argc ? argv + optind : none);
}
