/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cursors: byte order, and that nothing beyond the end is read or written. */
#include "bytes.h"
#include "check.h"

static const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static void test_read_order(void)
{
	struct reader r = reader_of(data, sizeof(data));

	CHECK_EQ(reader_u8(&r), 0x01);
	CHECK_EQ(reader_u16(&r), 0x0203);
	CHECK_EQ(reader_u32(&r), 0x04050607);
	CHECK_EQ(reader_u64(&r), 0x08090a0b0c0d0e0f);
	CHECK_EQ(reader_left(&r), 0);
	CHECK(!r.failed);
}

static void test_read_beyond(void)
{
	uint8_t copy[4] = {9, 9, 9, 9};
	struct reader r = reader_of(data, 3), sub;

	CHECK_EQ(reader_u32(&r), 0);
	CHECK(r.failed);
	CHECK_EQ(reader_left(&r), 3);
	reader_copy(&r, copy, sizeof(copy));
	CHECK_EQ(copy[0] | copy[3], 0);
	CHECK_EQ(reader_u16(&r), 0x0102);
	sub = reader_sub(&r, 2);
	CHECK(sub.failed);
	CHECK_EQ(reader_left(&sub), 0);
	CHECK(reader_bytes(&r, SIZE_MAX) == NULL);
	CHECK_EQ(reader_left(&r), 1);
}

static void test_sub(void)
{
	struct reader r = reader_of(data, sizeof(data)), sub = reader_sub(&r, 3);

	CHECK_EQ(reader_left(&sub), 3);
	CHECK_EQ(reader_u32(&sub), 0);
	CHECK(sub.failed && !r.failed);
	CHECK_EQ(reader_u8(&r), 4);
}

static void test_write(void)
{
	static const uint8_t want[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 7};
	uint8_t buf[sizeof(want) + 1];
	struct writer w = writer_of(buf, sizeof(want));

	memset(buf, 0xaa, sizeof(buf));
	writer_u8(&w, 1);
	writer_u16(&w, 0x0203);
	writer_u32(&w, 0x04050607);
	writer_u64(&w, 0x08090a0b0c0d0e0f);
	writer_zero(&w, 2);
	CHECK(!w.full);
	CHECK_EQ(writer_left(&w), 1);
	writer_u16(&w, 0xffff);
	CHECK(w.full);
	writer_bytes(&w, "\7", 1);
	CHECK_EQ(writer_len(&w), sizeof(want));
	CHECK_MEM(buf, want, sizeof(want));
	CHECK_EQ(buf[sizeof(want)], 0xaa);
}

int main(void)
{
	static const struct check_test tests[] = {
		{"integers are big-endian", test_read_order},
		{"nothing behind the end is read", test_read_beyond},
		{"a part ends where it should", test_sub},
		{"nothing behind the end is written", test_write},
	};

	return check_main("bytes", tests, sizeof(tests) / sizeof(tests[0]));
}
