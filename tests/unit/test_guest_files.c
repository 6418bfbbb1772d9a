/* Files by handle, tails, transfers; against the real agent. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent_fixture.h"
#include "base/alloc.h"
#include "base/io.h"
#include "guest/files.h"
#include "guest/tail.h"
#include "guest/transfer.h"
#include "wire/operation.h"

static struct guest_file *open_file(struct agent_fixture *f, const char *path, unsigned mode)
{
    struct err e = ERR_INIT;
    struct guest_file *file = guest_open(f->guest, NULL, path, mode, 0600, SOON, &e);
    if (!file)
        fail_msg("%s", err_message(&e));
    return file;
}

static void assert_read(struct guest_file *file, size_t n, const char *text)
{
    _cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
    assert_ok(guest_file_read(file, n, &b, SOON, &e));
    assert_int_equal(b.len, strlen(text));
    assert_memory_equal(b.len ? (char *)buf_head(&b) : "", text, b.len);
}

static void handles(void **state)
{
    struct agent_fixture *f = *state;
    _cleanup_free_ char *path = xstrdup(in_scratch(f, "file"));
    _cleanup_free_ char *label = xasprintf("file \"%s\"", path);
    struct guest_file *file = open_file(f, path, OPEN_READ | OPEN_WRITE | OPEN_CREATE | OPEN_EXCLUSIVE);
    struct guest_stat st;
    uint64_t offset;
    size_t written;
    int fd;
    assert_ok(guest_file_write(file, "hello world", 11, &written, SOON, &e));
    assert_int_equal(written, 11);
    assert_ok(guest_stat(f->guest, path, true, &st, SOON, &e));
    assert_int_equal(st.perm, 0600);
    assert_ok(guest_file_seek(file, -5, SEEK_END, &offset, SOON, &e));
    assert_int_equal(offset, 6);
    assert_read(file, 3, "wor");
    assert_read(file, 100, "ld");
    assert_read(file, 100, "");
    assert_read(file, 0, "");
    assert_ok(guest_file_seek(file, 0, SEEK_CUR, &offset, SOON, &e));
    assert_int_equal(offset, 11);
    assert_ok(guest_file_fd(file, &fd, SOON, &e));
    assert_true(fd >= 3);
    struct err no = ERR_INIT;
    assert_int_equal(guest_file_seek(file, -100, SEEK_SET, &offset, SOON, &no), -1);
    assert_int_equal(no.code, EINVAL);
    _cleanup_free_ char *expected = xasprintf("%s: seek: EINVAL: Invalid argument", label);
    assert_string_equal(no.message, expected);
    err_clear(&no);
    assert_null(guest_open(f->guest, NULL, path, OPEN_WRITE | OPEN_CREATE | OPEN_EXCLUSIVE, 0600, SOON, &no));
    assert_int_equal(no.code, EEXIST);
    err_clear(&no);
    assert_ok(guest_file_close(file, SOON, &e));
    assert_ok(guest_file_close(file, SOON, &e));
    guest_file_free(file);
    file = open_file(f, path, OPEN_READ | OPEN_APPEND);
    assert_ok(guest_file_write(file, "!", 1, &written, SOON, &e));
    assert_ok(guest_file_seek(file, 0, SEEK_SET, &offset, SOON, &e));
    _cleanup_buf_ struct buf all = BUF_INIT(GUEST_FILE_MAX);
    assert_ok(guest_file_read_all(file, &all, SOON, &e));
    assert_int_equal(all.len, 12);
    guest_file_free(file);
}

/* Beyond 4 GiB, with a hole before. */
static void large_and_sparse(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_file *file = open_file(f, in_scratch(f, "sparse"), OPEN_READ | OPEN_WRITE | OPEN_CREATE);
    uint64_t offset;
    size_t written, n = 3000000;
    _cleanup_free_ char *data = xmalloc(n);
    _cleanup_buf_ struct buf back = BUF_INIT(n + 10);
    memset(data, 'x', n);
    assert_ok(guest_file_seek(file, INT64_C(5) << 30, SEEK_SET, &offset, SOON, &e));
    assert_ok(guest_file_write(file, data, n, &written, SOON, &e));
    assert_int_equal(written, n);
    assert_ok(guest_file_seek(file, -(int64_t)n - 5, SEEK_CUR, &offset, SOON, &e));
    assert_int_equal(offset, (UINT64_C(5) << 30) - 5);
    assert_ok(guest_file_read(file, n + 5, &back, SOON, &e));
    assert_int_equal(back.len, n + 5);
    assert_int_equal(buf_head(&back)[4], 0);
    assert_memory_equal(buf_head(&back) + 5, data, n);
    struct guest_stat st;
    assert_ok(guest_stat(f->guest, in_scratch(f, "sparse"), true, &st, SOON, &e));
    assert_int_equal(st.size, (UINT64_C(5) << 30) + n);
    guest_file_free(file);
}

static void full_disk(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_file *file = open_file(f, "/dev/full", OPEN_WRITE);
    size_t written;
    assert_error(guest_file_write(file, "x", 1, &written, SOON, &e), ENOSPC,
                 "file \"/dev/full\": write: ENOSPC: No space left on device");
    guest_file_free(file);
    assert_error(guest_write_file(f->guest, "/dev/full", "x", 1, -1, SOON, &e), ENOSPC,
                 "write_file \"/dev/full\": ENOSPC: No space left on device");
}

static void blocked_reads(void **state)
{
    struct agent_fixture *f = *state;
    _cleanup_free_ char *path = xstrdup(in_scratch(f, "fifo"));
    assert_int_equal(mkfifo(path, 0600), 0);
    struct guest_file *file = open_file(f, path, OPEN_READ | OPEN_WRITE);
    _cleanup_buf_ struct buf b = BUF_INIT(100);
    size_t written;
    struct err late = ERR_INIT;
    assert_int_equal(guest_file_read(file, 10, &b, deadline_after(20 * NS_PER_MS), &late), -1);
    assert_int_equal(late.code, ETIMEDOUT);
    err_clear(&late);
    assert_ok(guest_file_write(file, "later", 5, &written, SOON, &e));
    assert_read(file, 1000, "later");
    guest_file_free(file);
}

static void append(struct agent_fixture *f, const char *name, const char *text, int flags)
{
    _cleanup_close_ int fd = open(in_scratch(f, name), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    assert_int_equal(write_full(fd, text, strlen(text)), 0);
}

static void tails(void **state)
{
    struct agent_fixture *f = *state;
    _cleanup_free_ char *path = xstrdup(in_scratch(f, "log"));
    _cleanup_err_ struct err o = ERR_INIT;
    _cleanup_buf_ struct buf b = BUF_INIT(100);
    assert_null(guest_tail(f->guest, path, 0, true, GUEST_WINDOW_DEFAULT, SOON, &o));
    assert_int_equal(o.code, ENOENT);
    append(f, "log", "old\n", O_APPEND);
    struct stream *end = guest_tail(f->guest, path, 0, true, GUEST_WINDOW_DEFAULT, SOON, &o);
    struct stream *part = guest_tail(f->guest, path, -2, true, GUEST_WINDOW_DEFAULT, SOON, &o);
    struct stream *all = guest_tail(f->guest, path, -100, true, GUEST_WINDOW_DEFAULT, SOON, &o);
    assert_non_null(end);
    assert_non_null(part);
    assert_non_null(all);
    append(f, "log", "new\n", O_APPEND);
    assert_int_equal(stream_read_until(end, "\n", 1, SOON, &b, &o), 0);
    assert_memory_equal(buf_head(&b), "new\n", b.len);
    assert_int_equal(stream_read_until(part, "new\n", 4, SOON, &b, &o), 0);
    assert_memory_equal(buf_head(&b), "d\nnew\n", b.len);
    assert_int_equal(stream_read_until(all, "new\n", 4, SOON, &b, &o), 0);
    assert_memory_equal(buf_head(&b), "old\nnew\n", b.len);
    /* Shorter: read again from 0. */
    append(f, "log", "cut\n", O_TRUNC);
    assert_int_equal(stream_read_until(end, "cut\n", 4, SOON, &b, &o), 0);
    /* Rotated: the old one is finished, then the new one. */
    _cleanup_free_ char *rotated = xstrdup(in_scratch(f, "log.1"));
    append(f, "log", "last words\n", O_APPEND);
    assert_int_equal(rename(path, rotated), 0);
    append(f, "log", "fresh\n", O_APPEND);
    assert_int_equal(stream_read_until(end, "fresh\n", 6, SOON, &b, &o), 0);
    assert_memory_equal(buf_head(&b), "last words\nfresh\n", b.len);
    /* Removed: it stays open, and goes on with the next file of that name. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(stream_next(end, deadline_after(20 * NS_PER_MS), &b, &o), 0);
    assert_false(stream_eof(end));
    append(f, "log", "risen\n", O_APPEND);
    assert_int_equal(stream_read_until(end, "risen\n", 6, SOON, &b, &o), 0);
    assert_string_equal(stream_kind(end), "tail_file");
    stream_free(end);
    stream_free(part);
    stream_free(all);
    assert_ok(guest_ping(f->guest, SOON, &e));
}

/* What is written just before a file is rotated is not lost, wherever the tail is at that moment. The name is a long one, so
 * that looking it up takes longer than to write and rotate. */
static void rotations(void **state)
{
    struct agent_fixture *f = *state;
    _cleanup_free_ char *path = xstrdup(in_scratch(f, "spun")), *rotated = xstrdup(in_scratch(f, "spun.1"));
    _cleanup_buf_ struct buf name = BUF_INIT(PATH_MAX);
    _cleanup_err_ struct err o = ERR_INIT;
    _cleanup_buf_ struct buf b = BUF_INIT(100);
    buf_append(&name, in_scratch(f, ""), strlen(in_scratch(f, "")));
    for (int i = 0; i < 1500; i++)
        buf_append(&name, "./", 2);
    buf_append(&name, "spun", sizeof("spun"));
    append(f, "spun", "", O_APPEND);
    struct stream *s = guest_tail(f->guest, (const char *)buf_head(&name), 0, true, GUEST_WINDOW_DEFAULT, SOON, &o);
    assert_non_null(s);
    for (int i = 0; i < 60; i++) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        assert_int_equal(write(fd, "stir ", 5), 5);
        for (volatile int spin = 0; spin < i * 500; spin++)
            ;
        assert_int_equal(write(fd, "last words\n", 11), 11);
        assert_int_equal(rename(path, rotated), 0);
        append(f, "spun", "fresh\n", O_APPEND);
        assert_int_equal(stream_read_until(s, "fresh\n", 6, SOON, &b, &o), 0);
        buf_append_byte(&b, '\0');
        assert_string_equal(buf_head(&b), "stir last words\nfresh\n");
        buf_clear(&b);
    }
    stream_free(s);
}

/* What is not read stays in the guest. */
static void windows(void **state)
{
    struct agent_fixture *f = *state;
    size_t n = 4 * 1024 * 1024, seen = 0;
    _cleanup_free_ char *data = xcalloc(1, n);
    _cleanup_err_ struct err o = ERR_INIT;
    _cleanup_buf_ struct buf b = BUF_INIT(100);
    assert_ok(guest_write_file(f->guest, in_scratch(f, "large"), data, n, -1, SOON, &e));
    struct stream *s = guest_tail(f->guest, in_scratch(f, "large"), 0, false, GUEST_WINDOW_MIN, SOON, &o);
    assert_non_null(s);
    for (int i = 0; i < 20; i++)
        assert_ok(guest_ping(f->guest, SOON, &e));
    while (seen < n && stream_next(s, SOON, &b, &o) == 1) {
        assert_in_range(b.len, 1, STREAM_FRAME);
        seen += b.len;
    }
    assert_int_equal(seen, n);
    stream_free(s);
}

static void descriptors(void **state)
{
    struct agent_fixture *f = *state;
    _cleanup_free_ char *path = xstrdup(in_scratch(f, "fifo"));
    _cleanup_err_ struct err o = ERR_INIT;
    _cleanup_buf_ struct buf b = BUF_INIT(100);
    size_t written;
    uint64_t offset;
    assert_int_equal(mkfifo(path, 0600), 0);
    struct guest_file *file = open_file(f, path, OPEN_READ | OPEN_WRITE);
    struct stream *s = guest_file_stream(file, "fd_stream", "3", GUEST_WINDOW_DEFAULT, SOON, &o);
    assert_non_null(s);
    assert_ok(guest_file_write(file, "through\n", 8, &written, SOON, &e));
    assert_int_equal(stream_read_until(s, "\n", 1, SOON, &b, &o), 0);
    guest_file_free(file); /* the stream goes on, and hears the end when the last writer has gone */
    stream_free(s);
    /* A regular one, from its cursor, which does not move. */
    append(f, "plain", "skipped and seen", 0);
    file = open_file(f, in_scratch(f, "plain"), OPEN_READ);
    assert_ok(guest_file_seek(file, 12, SEEK_SET, &offset, SOON, &e));
    s = guest_file_stream(file, "file_tail_stream", "\"plain\"", GUEST_WINDOW_DEFAULT, SOON, &o);
    assert_int_equal(stream_read_until(s, "seen", 4, SOON, &b, &o), 0);
    assert_int_equal(b.len, 4);
    assert_read(file, 100, "seen");
    append(f, "plain", "!", O_APPEND);
    assert_int_equal(stream_read_until(s, "!", 1, SOON, &b, &o), 0);
    stream_free(s);
    guest_file_free(file);
    assert_null(guest_fd_stream(f->guest, 77, GUEST_WINDOW_DEFAULT, SOON, &o));
    assert_string_equal(o.message, "fd_stream 77: EBADF: Bad file descriptor");
}

static void many_streams(void **state)
{
    struct agent_fixture *f = *state;
    struct stream *streams[64];
    size_t n = 2 * 1024 * 1024;
    _cleanup_free_ char *data = xcalloc(1, n);
    _cleanup_err_ struct err o = ERR_INIT;
    assert_ok(guest_write_file(f->guest, in_scratch(f, "large"), data, n, -1, SOON, &e));
    for (int i = 0; i < 64; i++) {
        streams[i] = guest_tail(f->guest, in_scratch(f, "large"), 0, false, GUEST_WINDOW_MIN, SOON, &o);
        assert_non_null(streams[i]);
    }
    for (int i = 0; i < 50; i++)
        assert_ok(guest_ping(f->guest, SOON, &e));
    assert_int_equal(guest_calls_in_flight(f->guest), 0);
    for (int i = 0; i < 64; i++)
        stream_free(streams[i]);
}

static void transfers(void **state)
{
    struct agent_fixture *f = *state;
    size_t n = 5000001;
    uint64_t size;
    _cleanup_free_ char *data = xmalloc(n), *from = xstrdup(in_scratch(f, "from")),
                        *to = xstrdup(in_scratch(f, "to")), *back = xstrdup(in_scratch(f, "back"));
    for (size_t i = 0; i < n; i++)
        data[i] = (char)(i * 2654435761u >> 11);
    assert_int_equal(file_write_atomic(from, data, n, 0600, false, NULL), 0);
    assert_ok(guest_push_file(f->guest, from, to, 0741, SOON, &e));
    struct guest_stat st;
    assert_ok(guest_stat(f->guest, to, true, &st, SOON, &e));
    assert_int_equal(st.size, n);
    assert_int_equal(st.perm, 0741);
    assert_ok(guest_pull_file(f->guest, to, back, &size, SOON, &e));
    assert_int_equal(size, n);
    _cleanup_buf_ struct buf b = BUF_INIT(n);
    assert_int_equal(file_read(back, &b, NULL), 0);
    assert_memory_equal(buf_head(&b), data, n);
    assert_error(guest_push_file(f->guest, "/nonexistent", "/x", -1, SOON, &e), ENOENT,
                 "push_file \"/nonexistent\" -> \"/x\": host: ENOENT: No such file or directory");
    _cleanup_free_ char *expected =
        xasprintf("push_file \"%s\" -> \"/nonexistent/x\": guest: ENOENT: No such file or directory", from);
    assert_error(guest_push_file(f->guest, from, "/nonexistent/x", -1, SOON, &e), ENOENT, expected);
    _cleanup_free_ char *missing = xasprintf(
        "pull_file \"/nonexistent\" -> \"%s\": guest: ENOENT: No such file or directory", back);
    assert_error(guest_pull_file(f->guest, "/nonexistent", back, &size, SOON, &e), ENOENT, missing);
    /* Of a file that says it is empty, and of an empty one. */
    assert_ok(guest_pull_file(f->guest, "/proc/self/status", back, &size, SOON, &e));
    assert_true(size > 100);
    assert_ok(guest_push_file(f->guest, "/dev/null", to, -1, SOON, &e));
    assert_ok(guest_stat(f->guest, to, true, &st, SOON, &e));
    assert_int_equal(st.size, 0);
    assert_int_equal(st.perm, 0741);
}

#define WITH_AGENT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_AGENT(handles),      WITH_AGENT(large_and_sparse), WITH_AGENT(full_disk), WITH_AGENT(blocked_reads),
        WITH_AGENT(tails),        WITH_AGENT(rotations),        WITH_AGENT(windows),   WITH_AGENT(descriptors),
        WITH_AGENT(many_streams), WITH_AGENT(transfers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
