/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "ctl_daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

FILE *ctl_connect(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	FILE *f = NULL;
	int fd, err;

	if (strlen(path) >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	memcpy(addr.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	if (!connect(fd, (const struct sockaddr *)&addr, sizeof(addr)))
		f = fdopen(fd, "r+");
	if (!f) {
		err = errno;
		(void)close(fd);
		errno = err;
	}
	return f;
}

bool ctl_ask(FILE *daemon, const char *command, char *const *args)
{
	json_t *words = json_array();
	json_t *request = json_object();
	bool done;

	for (; *args; args++)
		(void)json_array_append_new(words, json_string(*args));
	(void)json_object_set_new(request, "command", json_string(command));
	(void)json_object_set_new(request, "args", words);
	done = json_dumpf(request, daemon, JSON_COMPACT) == 0 && fputc('\n', daemon) != EOF &&
	       fflush(daemon) == 0;
	json_decref(request);
	return done;
}

json_t *ctl_next(FILE *daemon, char **line, size_t *size)
{
	ssize_t n = getline(line, size, daemon);
	json_t *o = n > 0 ? json_loadb(*line, (size_t)n, 0, NULL) : NULL;

	if (o && !json_is_object(o)) {
		json_decref(o);
		o = NULL;
	}
	return o;
}

json_t *ctl_object(const char *socket, const char *command)
{
	static char *none[] = {NULL};
	FILE *daemon = ctl_connect(socket);
	json_t *head, *o = NULL;
	char *line = NULL;
	size_t size = 0;

	if (!daemon)
		return NULL;
	if (ctl_ask(daemon, command, none)) {
		head = ctl_next(daemon, &line, &size);
		if (json_is_true(json_object_get(head, "ok")))
			o = ctl_next(daemon, &line, &size);
		json_decref(head);
	}
	free(line);
	(void)fclose(daemon);
	return o;
}
