/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int sysctl_open(const char *name, int flags)
{
	char path[256];
	int n = snprintf(path, sizeof(path), "/proc/sys/%s", name);
	int fd;

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int sysctl_read(const char *name, int64_t *value)
{
	int fd = sysctl_open(name, O_RDONLY);
	long long v;
	char s[64];
	char *end;
	ssize_t n;
	int err;

	if (fd < 0)
		return fd;
	n = read(fd, s, sizeof(s) - 1);
	err = n < 0 ? -errno : 0;
	close(fd);
	if (err)
		return err;
	s[n] = '\0';
	errno = 0;
	v = strtoll(s, &end, 10);
	if (end == s || errno)
		return -EINVAL;
	*value = v;
	return 0;
}

int sysctl_write(const char *name, int64_t value)
{
	int fd = sysctl_open(name, O_WRONLY);
	char s[32];
	int n, err = 0;

	if (fd < 0)
		return fd;
	n = snprintf(s, sizeof(s), "%" PRId64 "\n", value);
	if (write(fd, s, (size_t)n) != n)
		err = errno ? -errno : -EIO;
	close(fd);
	return err;
}
