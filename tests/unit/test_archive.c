#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "fixture/archive.h"

#define MIB (1 << 20)

static int memory_file(void)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void put_at(int fd, off_t offset, const void *p, size_t n)
{
    assert_int_equal(pwrite(fd, p, n, offset), n);
}

/* 9 MiB and a bit: holes, a run of zeros that is stored, pages that do and do not compress, an odd end. */
static int make_original(void)
{
    int fd = memory_file();
    _cleanup_free_ uint8_t *noise = xmalloc(MIB), *zeros = xcalloc(1, MIB);
    srand(1);
    for (size_t i = 0; i < MIB; i++)
        noise[i] = (uint8_t)(rand() >> 7);
    assert_int_equal(ftruncate(fd, 9 * MIB + 123), 0);
    put_at(fd, 4096, noise, MIB);
    put_at(fd, 3 * MIB, zeros, MIB);
    put_at(fd, 5 * MIB + 8192, "text", 4);
    put_at(fd, 9 * MIB + 120, "end", 3);
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1700000000, .tv_nsec = 123456789}};
    assert_int_equal(futimens(fd, times), 0);
    return fd;
}

static int pack_file(int from)
{
    struct err e = ERR_INIT;
    int to = memory_file();
    if (archive_pack(from, to, NULL, -1, &e) < 0)
        fail_msg("%s", err_message(&e));
    return to;
}

static int unpack_to(int from, int to, struct err *e)
{
    lseek(from, 0, SEEK_SET);
    return archive_unpack(from, to, -1, e);
}

static void assert_same_bytes(int a, int b)
{
    struct stat st, other;
    fstat(a, &st);
    fstat(b, &other);
    assert_int_equal(st.st_size, other.st_size);
    _cleanup_free_ uint8_t *left = xmalloc((size_t)st.st_size), *right = xmalloc((size_t)st.st_size);
    assert_int_equal(pread(a, left, (size_t)st.st_size, 0), st.st_size);
    assert_int_equal(pread(b, right, (size_t)st.st_size, 0), st.st_size);
    assert_memory_equal(left, right, (size_t)st.st_size);
}

static void test_round_trip(void **state)
{
    (void)state;
    _cleanup_close_ int from = make_original(), packed = pack_file(from), to = memory_file();
    struct err e = ERR_INIT;
    assert_int_equal(unpack_to(packed, to, &e), 0);
    assert_same_bytes(from, to);
    struct stat st;
    fstat(to, &st);
    assert_int_equal(st.st_mtim.tv_sec, 1700000000);
    assert_int_equal(st.st_mtim.tv_nsec, 123456789);
    assert_true(st.st_blocks * 512 < 2 * MIB); /* the stored zeros are a hole now */
    fstat(packed, &st);
    assert_true(st.st_size < MIB + 65536);
}

static void test_empty_and_all_hole(void **state)
{
    (void)state;
    const off_t sizes[] = {0, 1, 4096, INT64_C(64) << 30};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        _cleanup_close_ int from = memory_file(), to = memory_file();
        assert_int_equal(ftruncate(from, sizes[i]), 0);
        _cleanup_close_ int packed = pack_file(from);
        assert_int_equal(unpack_to(packed, to, NULL), 0);
        struct stat st;
        fstat(to, &st);
        assert_int_equal(st.st_size, sizes[i]);
        assert_int_equal(st.st_blocks, 0);
    }
}

static void test_truncated(void **state)
{
    (void)state;
    _cleanup_close_ int from = make_original(), packed = pack_file(from);
    struct stat st;
    fstat(packed, &st);
    for (off_t size = 0; size < st.st_size; size += size < 200 || st.st_size - size < 200 ? 1 : 65521) {
        _cleanup_close_ int cut = memory_file(), to = memory_file();
        _cleanup_free_ uint8_t *bytes = xmalloc((size_t)size + 1);
        assert_int_equal(pread(packed, bytes, (size_t)size, 0), size);
        put_at(cut, 0, bytes, (size_t)size);
        struct err e = ERR_INIT;
        assert_int_equal(unpack_to(cut, to, &e), -1);
        assert_int_equal(e.code, EBADMSG);
        assert_string_equal(err_message(&e), "truncated");
        err_clear(&e);
    }
}

/* A bit of each of the first and last bytes, and of some between. */
static void assert_flips_are_found(int packed, int base_fd)
{
    struct stat st;
    fstat(packed, &st);
    for (off_t at = 0; at < st.st_size; at += at < 400 || st.st_size - at < 200 ? 1 : 40009) {
        _cleanup_close_ int to = memory_file();
        uint8_t byte, flipped;
        assert_int_equal(pread(packed, &byte, 1, at), 1);
        flipped = byte ^ (uint8_t)(1 << at % 8);
        put_at(packed, at, &flipped, 1);
        struct err e = ERR_INIT;
        lseek(packed, 0, SEEK_SET);
        if (archive_unpack(packed, to, base_fd, &e) == 0)
            fail_msg("bit %d of byte %jd is not missed", (int)(at % 8), (intmax_t)at);
        assert_true(e.code == EBADMSG || e.code == EPROTO);
        err_clear(&e);
        put_at(packed, at, &byte, 1);
    }
}

static void test_flipped_bits(void **state)
{
    (void)state;
    _cleanup_close_ int from = make_original(), packed = pack_file(from);
    assert_flips_are_found(packed, -1);
}

static void test_longer(void **state)
{
    (void)state;
    _cleanup_close_ int from = make_original(), packed = pack_file(from), to = memory_file();
    put_at(packed, lseek(packed, 0, SEEK_END), "x", 1);
    assert_int_equal(unpack_to(packed, to, NULL), -1);
}

static void test_other_format(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    _cleanup_close_ int from = memory_file(), packed = pack_file(from), to = memory_file();
    put_at(packed, 8, "\x07", 1);
    assert_int_equal(unpack_to(packed, to, &e), -1);
    assert_string_equal(err_message(&e), "archive format 7; this provium reads 1");
    err_clear(&e);
}

static int pack_delta(int from, int base_fd)
{
    struct archive_base base = {.name = "the base", .identity = {1, 2, 3}};
    int to = memory_file();
    assert_int_equal(archive_pack(from, to, &base, base_fd, NULL), 0);
    lseek(to, 0, SEEK_SET);
    return to;
}

/* Pages changed, made and emptied; a base that is shorter, longer or nothing. */
static void test_delta(void **state)
{
    (void)state;
    static const off_t sizes[] = {9 * MIB + 123, 0, 4096, 5 * MIB + 8193, 12 * MIB};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        _cleanup_close_ int base = make_original(), from = make_original(), to = memory_file();
        static const uint8_t zeros[4096];
        assert_int_equal(ftruncate(base, sizes[i]), 0);
        put_at(from, 4096 * 3, zeros, sizeof(zeros));
        put_at(from, 4096 * 9 + 5, "changed", 7);
        put_at(from, 7 * MIB + 4096 * 200, "made", 4);
        put_at(from, 9 * MIB + 122, "D", 1);
        _cleanup_close_ int packed = pack_delta(from, base);
        struct archive_base told;
        assert_int_equal(archive_read_base(packed, &told, NULL), 1);
        assert_string_equal(told.name, "the base");
        assert_int_equal(told.identity[2], 3);
        lseek(packed, 0, SEEK_SET);
        assert_int_equal(archive_unpack(packed, to, base, NULL), 0);
        assert_same_bytes(from, to);
        struct stat st;
        fstat(packed, &st);
        if (!i || sizes[i] == 12 * MIB)
            assert_true(st.st_size < 6 * 4096);
    }
}

static void test_damaged_delta(void **state)
{
    (void)state;
    _cleanup_close_ int base = memory_file(), from = make_original(), plain = pack_file(from), packed, to = memory_file();
    struct err e = ERR_INIT;
    assert_int_equal(ftruncate(base, MIB), 0);
    packed = pack_delta(from, base);
    assert_int_equal(unpack_to(packed, to, &e), -1);
    assert_string_equal(err_message(&e), "a delta without its base");
    lseek(plain, 0, SEEK_SET);
    assert_int_equal(archive_unpack(plain, to, base, &e), -1);
    assert_string_equal(err_message(&e), "no delta");
    assert_flips_are_found(packed, base);
    err_clear(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_empty_and_all_hole), cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_flipped_bits), cmocka_unit_test(test_longer),             cmocka_unit_test(test_other_format),
        cmocka_unit_test(test_delta),        cmocka_unit_test(test_damaged_delta),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
