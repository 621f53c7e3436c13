/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options of pfsync-linux; going into the background. */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "settings.h"

enum { EXIT_USAGE = 64 };

static int usage(FILE *to, int status)
{
	fprintf(to,
		"usage: pfsync-linux [-c FILE] [-f] [-n]\n"
		"  -c FILE  configuration (default %s/pfsync-linux/pfsync-linux.conf)\n"
		"  -f       stay in the foreground and log to stderr\n"
		"  -n       check the configuration and exit\n"
		"  -V       print the version and exit\n"
		"  -h       print this and exit\n",
		SYSCONFDIR);
	return status;
}

static int check(const char *file)
{
	char error[SETTINGS_ERROR_MAX];
	struct settings *s;

	if (settings_read(&s, file, error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		return EXIT_FAILURE;
	}
	settings_free(s);
	return EXIT_SUCCESS;
}

/* The parent waits until the daemon is up, or has said why it is not. */
static int background(const char *file)
{
	int ready[2], null, status;
	pid_t pid;
	char byte;

	if (pipe2(ready, O_CLOEXEC)) {
		perror("pfsync-linux: pipe");
		return EXIT_FAILURE;
	}
	pid = fork();
	if (pid < 0) {
		perror("pfsync-linux: fork");
		return EXIT_FAILURE;
	}
	if (!pid) {
		close(ready[0]);
		(void)setsid();
		if (chdir("/"))
			perror("pfsync-linux: chdir /");
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (null >= 0) {
			(void)dup2(null, STDIN_FILENO);
			(void)dup2(null, STDOUT_FILENO);
		}
		return daemon_run(file, false, ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) == 1)
		return EXIT_SUCCESS;
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
		return WEXITSTATUS(status);
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	const char *file = SYSCONFDIR "/pfsync-linux/pfsync-linux.conf";
	bool foreground = false, only_check = false;
	int option;

	while ((option = getopt(argc, argv, "c:fnVh")) != -1) {
		switch (option) {
		case 'c':
			file = optarg;
			break;
		case 'f':
			foreground = true;
			break;
		case 'n':
			only_check = true;
			break;
		case 'V':
			printf("%s\n", PACKAGE_STRING);
			return EXIT_SUCCESS;
		case 'h':
			return usage(stdout, EXIT_SUCCESS);
		default:
			return usage(stderr, EXIT_USAGE);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "pfsync-linux: %s: no arguments are expected\n", argv[optind]);
		return usage(stderr, EXIT_USAGE);
	}
	if (only_check)
		return check(file);
	return foreground ? daemon_run(file, true, -1) : background(file);
}
