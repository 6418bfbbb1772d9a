#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/strv.h"
#include "initrd/cpio.h"

struct seen {
    struct strv lines;
    struct buf data;
};

static int on_entry(void *arg, const struct cpio_entry *entry, struct err *e)
{
    struct seen *seen = arg;
    (void)e;
    strv_addf(&seen->lines, "%s %o %u", cpio_name(entry), entry->mode, entry->size);
    return 0;
}

static int on_data(void *arg, const uint8_t *p, size_t n, struct err *e)
{
    struct seen *seen = arg;
    (void)e;
    return buf_append(&seen->data, p, n);
}

/* Feeds `piece` bytes at a time; returns the bytes used, or -1. */
static ssize_t read_archive(const struct buf *archive, size_t piece, struct seen *seen, struct err *e)
{
    const struct cpio_visitor visitor = {.entry = on_entry, .data = on_data, .arg = seen};
    _cleanup_(cpio_reader_freep) struct cpio_reader *r = cpio_reader_new(&visitor);
    size_t at = 0;
    do {
        size_t used, n = archive->len - at < piece ? archive->len - at : piece;
        if (!n)
            return err_set(e, EINVAL, "ends inside");
        if (cpio_reader_feed(r, buf_head(archive) + at, n, &used, e) < 0)
            return -1;
        at += used;
    } while (!cpio_reader_between(r));
    return (ssize_t)at;
}

static void seen_done(struct seen *seen)
{
    strv_done(&seen->lines);
    buf_done(&seen->data);
}

static void add_file(struct buf *archive, const char *name, const char *content)
{
    struct cpio_entry entry = {
        .name = name, .inode = 7, .mode = S_IFREG | 0640, .links = 1, .size = (uint32_t)strlen(content)};
    assert_int_equal(cpio_append(archive, &entry, content), 0);
}

/* The bytes are pinned: kernels read them, and cache keys depend on them. */
static void writer_golden(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf archive = BUF_INIT(4096);
    add_file(&archive, "abc", "hello");
    cpio_finish(&archive);
    static const char expected[] = "070701"
                                   "00000007000081a000000000000000000000000100000000"
                                   "0000000500000000000000000000000000000000"
                                   "0000000400000000"
                                   "abc\0\0\0"
                                   "hello\0\0\0"
                                   "070701"
                                   "000000000000000000000000000000000000000100000000"
                                   "0000000000000000000000000000000000000000"
                                   "0000000b00000000"
                                   "TRAILER!!!\0\0\0";
    assert_int_equal(archive.len, sizeof(expected));
    assert_memory_equal(buf_head(&archive), expected, sizeof(expected));
}

static void reads_what_was_written_in_any_pieces(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf archive = BUF_INIT(4096);
    add_file(&archive, "./a/file", "12345");
    add_file(&archive, "/empty", "");
    add_file(&archive, "last", "4444");
    cpio_finish(&archive);
    size_t end = archive.len;
    buf_append_str(&archive, "rest");
    for (size_t piece = 1; piece <= archive.len; piece++) {
        _cleanup_(seen_done) struct seen seen = {.data = BUF_INIT(100)};
        assert_int_equal(read_archive(&archive, piece, &seen, NULL), end);
        _cleanup_free_ char *names = strv_join(&seen.lines, ", ");
        assert_string_equal(names, "a/file 100640 5, empty 100640 0, last 100640 4");
        assert_int_equal(seen.data.len, 9);
        assert_memory_equal(buf_head(&seen.data), "123454444", 9);
    }
}

static void writer_respects_the_maximum(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf archive = BUF_INIT(150);
    struct cpio_entry entry = {.name = "x", .mode = S_IFREG, .links = 1, .size = 100};
    char content[100] = "";
    assert_int_equal(cpio_append(&archive, &entry, content), -1);
    assert_int_equal(archive.len, 0);
}

static void fails_with(struct buf *archive, const char *message)
{
    _cleanup_(seen_done) struct seen seen = {.data = BUF_INIT(1000)};
    _cleanup_err_ struct err e = ERR_INIT;
    assert_int_equal(read_archive(archive, 4096, &seen, &e), -1);
    assert_non_null(strstr(err_message(&e), message));
}

static void damage_is_named(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        const char *bytes, *message;
    } cases[] = {
        {0, "070707", "no member"},
        {6, "0000000x", "not a number"},
        {94, "00000000", "name has 0 bytes"},
        {94, "00001001", "name has 4097 bytes"},
        {94, "ffffffff", "name has 4294967295 bytes"},
        {94, "00000001", "name does not end"},
        {54, "ffffffff", "ends inside"},
        {54, "00000000", "no member"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_buf_ struct buf archive = BUF_INIT(4096);
        add_file(&archive, "abcdef", "hello");
        cpio_finish(&archive);
        memcpy(buf_head(&archive) + cases[i].offset, cases[i].bytes, strlen(cases[i].bytes));
        fails_with(&archive, cases[i].message);
    }
}

static void every_truncation_is_seen(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf archive = BUF_INIT(4096);
    add_file(&archive, "abcdef", "hello");
    cpio_finish(&archive);
    while (archive.len--) {
        _cleanup_(seen_done) struct seen seen = {.data = BUF_INIT(1000)};
        assert_int_equal(read_archive(&archive, 16, &seen, NULL), -1);
    }
}

static void checksum_of_crc_archives(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf archive = BUF_INIT(4096);
    add_file(&archive, "x", "AB");
    cpio_finish(&archive);
    memcpy(buf_head(&archive), "070702", 6);
    memcpy(buf_head(&archive) + 102, "00000083", 8); /* 0x41 + 0x42 */
    _cleanup_(seen_done) struct seen seen = {.data = BUF_INIT(100)};
    assert_true(read_archive(&archive, 4096, &seen, NULL) > 0);
    buf_head(&archive)[102 + 7] = '4';
    fails_with(&archive, "wrong checksum of `x`");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writer_golden),
        cmocka_unit_test(reads_what_was_written_in_any_pieces),
        cmocka_unit_test(writer_respects_the_maximum),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(every_truncation_is_seen),
        cmocka_unit_test(checksum_of_crc_archives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
