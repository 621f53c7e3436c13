/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "check.h"

#include <CUnit/Basic.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t state;

bool check_true(bool held, const char *what, const char *file, int line)
{
	(void)CU_assertImplementation(held, (unsigned)line, what, file, "", CU_FALSE);
	return held;
}

bool check_eq(long long a, long long b, const char *what, const char *file, int line)
{
	if (a != b)
		printf("\n%s:%d: %s: %lld (0x%llx) and %lld (0x%llx)", file, line, what, a,
		       (unsigned long long)a, b, (unsigned long long)b);
	return check_true(a == b, what, file, line);
}

bool check_str(const char *a, const char *b, const char *what, const char *file, int line)
{
	bool equal = a && b && strcmp(a, b) == 0;

	if (!equal)
		printf("\n%s:%d: %s:\n  %s\n  %s", file, line, what, a ? a : "NULL",
		       b ? b : "NULL");
	return check_true(equal, what, file, line);
}

bool check_mem(const void *a, const void *b, size_t len, const char *what, const char *file,
	       int line)
{
	const uint8_t *x = a, *y = b;
	bool equal = memcmp(a, b, len) == 0;

	if (!equal)
		printf("\n%s:%d: %s:", file, line, what);
	for (size_t i = 0; !equal && i < len; i++)
		if (x[i] != y[i])
			printf("\n  byte %zu: %02x and %02x", i, x[i], y[i]);
	return check_true(equal, what, file, line);
}

const char *check_data(const char *name)
{
	static char path[1024];
	const char *srcdir = getenv("srcdir");

	(void)snprintf(path, sizeof(path), "%s/tests/data/%s", srcdir ? srcdir : ".", name);
	return path;
}

uint64_t check_random(void)
{
	const char *seed = getenv("CHECK_SEED");
	uint64_t z;

	if (!state) {
		state = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
		printf("\nCHECK_SEED=%" PRIu64 "\n", state);
	}
	z = state += 0x9e3779b97f4a7c15; /* splitmix64 */
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint64_t check_below(uint64_t n)
{
	return check_random() % n;
}

void check_fill(void *to, size_t len)
{
	uint8_t *p = to;

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)check_random();
}

int check_main(const char *suite, const struct check_test *tests, size_t n)
{
	CU_pSuite s = CU_initialize_registry() == CUE_SUCCESS ? CU_add_suite(suite, NULL, NULL)
							      : NULL;
	bool failed = !s;

	for (size_t i = 0; s && i < n; i++)
		failed |= !CU_add_test(s, tests[i].name, tests[i].run);
	CU_basic_set_mode(CU_BRM_VERBOSE);
	failed |= CU_basic_run_tests() != CUE_SUCCESS || CU_get_number_of_tests_run() != n;
	failed |= !CU_get_number_of_asserts() || CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
