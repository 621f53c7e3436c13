/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fuzz target without a fuzzer: every file of its corpus, and of the directories that are named,
 * once.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_MAX = 1 << 20 };

/* In a buffer of just its size, so that a byte too many is seen. */
static void replay_file(const char *path)
{
	static uint8_t buf[FILE_MAX];
	FILE *f = fopen(path, "rb");
	size_t len;
	uint8_t *data;

	if (!f) {
		perror(path);
		exit(1);
	}
	len = fread(buf, 1, sizeof(buf), f);
	(void)fclose(f);
	data = malloc(len ? len : 1);
	if (!data)
		exit(1);
	for (size_t i = 0; i < len; i++)
		data[i] = buf[i];
	(void)LLVMFuzzerTestOneInput(data, len);
	free(data);
}

static size_t replay_directory(const char *path)
{
	char name[4096];
	struct dirent *entry;
	DIR *d = opendir(path);
	size_t n = 0;

	if (!d) {
		perror(path);
		exit(1);
	}
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		replay_file(name);
		n++;
	}
	(void)closedir(d);
	return n;
}

int main(int argc, char **argv)
{
	const char *srcdir = getenv("srcdir");
	char path[4096];
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".",
		       CORPUS);
	n = replay_directory(path);
	for (int i = 1; i < argc; i++)
		n += replay_directory(argv[i]);
	printf("%zu files of %s\n", n, CORPUS);
	return n ? 0 : 1;
}
