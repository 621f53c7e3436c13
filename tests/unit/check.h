/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the unit tests use of CUnit, and nothing else of it: checks that print both values, one
 * main, test data by name, and random numbers that can be repeated (CHECK_SEED in the environment).
 */
#ifndef PFSYNC_CHECK_H
#define PFSYNC_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct check_test {
	const char *name;
	void (*run)(void);
};

/* Runs all; the exit status: 0 only if something was checked and nothing failed. */
int check_main(const char *suite, const struct check_test *tests, size_t n);

/* Path of a file in tests/data; valid until the next call. */
const char *check_data(const char *name);

/* Random numbers; the seed is printed at the first use. */
uint64_t check_random(void);
uint64_t check_below(uint64_t n); /* 0 ... n - 1 */
void check_fill(void *to, size_t len);

/* Each returns whether it held, so that a loop can stop at the first failure. */
#define CHECK(cond)	     check_true((cond), #cond, __FILE__, __LINE__)
#define CHECK_EQ(a, b)	     check_eq((long long)(a), (long long)(b), #a " == " #b, __FILE__, __LINE__)
#define CHECK_STR(a, b)	     check_str((a), (b), #a " == " #b, __FILE__, __LINE__)
#define CHECK_MEM(a, b, len) check_mem((a), (b), (len), #a " == " #b, __FILE__, __LINE__)

bool check_true(bool held, const char *what, const char *file, int line);
bool check_eq(long long a, long long b, const char *what, const char *file, int line);
bool check_str(const char *a, const char *b, const char *what, const char *file, int line);
bool check_mem(const void *a, const void *b, size_t len, const char *what, const char *file,
	       int line);

#endif
