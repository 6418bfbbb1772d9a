#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/json.h"
#include "base/strv.h"

static void err_builds_a_chain(void **state)
{
    (void)state;
    _cleanup_err_ struct err e = ERR_INIT;
    errno = ENOENT;
    assert_int_equal(err_errno(&e, "open `%s`", "/x"), -1);
    err_prefix(&e, "vm \"%s\"", "web");
    err_hint(&e, "create it");
    assert_string_equal(e.message, "vm \"web\": open `/x`: No such file or directory");
    assert_int_equal(e.code, ENOENT);
    assert_string_equal(e.hint, "create it");
    assert_string_equal(errno_name(ENOSPC), "ENOSPC");
    assert_null(errno_name(100000));
    assert_int_equal(err_set(NULL, 0, "nobody listens"), -1);
}

static void err_may_quote_itself(void **state)
{
    (void)state;
    _cleanup_err_ struct err e = ERR_INIT;
    err_set(&e, 0, "inner");
    err_set(&e, 0, "outer(%s)", e.message);
    assert_string_equal(e.message, "outer(inner)");
}

static void buf_keeps_its_maximum(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT(1000);
    char block[400] = {0};
    assert_int_equal(buf_append(&b, block, 400), 0);
    assert_int_equal(buf_append(&b, block, 400), 0);
    assert_int_equal(buf_append(&b, block, 400), -1);
    assert_int_equal(b.len, 800);
    buf_consume(&b, 399);
    assert_int_equal(buf_append(&b, block, 400), 0);
    assert_int_equal(b.len, 801);
    assert_null(buf_reserve(&b, SIZE_MAX));
}

static void buf_is_a_queue(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
    size_t in = 0, out = 0;
    for (int round = 0; round < 3000; round++) {
        for (int i = 0; i < round % 37; i++)
            buf_append_byte(&b, (uint8_t)in++);
        for (int i = 0; i < round % 31 && b.len; i++) {
            assert_int_equal(*buf_head(&b), (uint8_t)out++);
            buf_consume(&b, 1);
        }
        assert_int_equal(b.len, in - out);
    }
}

static void io_passes_descriptors(void **state)
{
    (void)state;
    int pair[2], fds[2], got[4];
    size_t count;
    char text[8];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(fds_send(pair[0], "hi", 2, fds, 2), 0);
    assert_int_equal(fds_recv(pair[1], text, sizeof(text), got, 4, &count), 2);
    assert_int_equal(count, 2);
    assert_int_equal(write_full(got[1], "x", 1), 0);
    assert_int_equal(read_full(fds[0], text, 1), 1);
    for (int i = 0; i < 2; i++) {
        close(pair[i]);
        close(fds[i]);
        close(got[i]);
    }
}

static void io_writes_atomically(void **state)
{
    (void)state;
    char directory[] = "/tmp/provium-unit-XXXXXX";
    assert_non_null(mkdtemp(directory));
    _cleanup_free_ char *deep = path_join(directory, "a/b c/d");
    assert_int_equal(dir_create_all(deep, 0700, NULL), 0);
    assert_int_equal(dir_create_all(deep, 0700, NULL), 0);
    _cleanup_free_ char *file = path_join(deep, "x");
    assert_int_equal(file_write_atomic(file, "one", 3, 0600, true, NULL), 0);
    assert_int_equal(file_write_atomic(file, "two!", 4, 0600, false, NULL), 0);
    _cleanup_buf_ struct buf b = BUF_INIT(4);
    assert_int_equal(file_read(file, &b, NULL), 0);
    assert_memory_equal(buf_head(&b), "two!", 4);
    _cleanup_buf_ struct buf small = BUF_INIT(3);
    _cleanup_err_ struct err e = ERR_INIT;
    assert_int_equal(file_read(file, &small, &e), -1);
    assert_int_equal(e.code, EFBIG);
    assert_int_equal(dir_create_all(file, 0700, &e), -1);
    assert_int_equal(e.code, ENOTDIR);
    _cleanup_free_ char *command = xasprintf("rm -r '%s'", directory);
    assert_int_equal(system(command), 0);
}

static void strings(void **state)
{
    (void)state;
    static const char *const keys[] = {"kernel", "initrd", "cmdline"};
    assert_string_equal(str_nearest("kernle", keys, 3), "kernel");
    assert_null(str_nearest("zzz", keys, 3));
    _cleanup_strv_ struct strv v = STRV_INIT;
    strv_add(&v, "b");
    strv_add(&v, "a");
    strv_addf(&v, "%c", 'b');
    strv_sort(&v);
    strv_unique(&v);
    _cleanup_free_ char *joined = strv_join(&v, ", ");
    assert_string_equal(joined, "a, b");
    assert_null(v.items[v.count]);
    _cleanup_free_ char *directory = path_directory("/x");
    assert_string_equal(directory, "/");
}

static void deadlines_saturate(void **state)
{
    (void)state;
    assert_true(deadline_after(INT64_MAX) == DEADLINE_NONE);
    assert_int_equal(deadline_poll_ms(DEADLINE_NONE), -1);
    assert_int_equal(deadline_poll_ms(0), 0);
}

static void json_strings_are_valid(void **state)
{
    (void)state;
    static const char text[] = "a\"\\\n\x01\x7f\0\xc3\xbc\xff\xed\xa0\x80\xc0\xaf\xf0\x9f\x90\xa7\xc3";
    _cleanup_buf_ struct buf b = BUF_INIT(1000);
    assert_int_equal(json_append_string(&b, text, sizeof(text) - 1), 0);
    json_append_text(&b, NULL);
    _cleanup_free_ char *out = buf_steal_str(&b);
    assert_string_equal(out, "\"a\\\"\\\\\\n\\u0001\\u007f\\u0000\xc3\xbc\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                             "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x90\xa7\xef\xbf\xbd\"null");
    struct buf small = BUF_INIT(3);
    assert_int_equal(json_append_text(&small, "too long"), -1);
    buf_done(&small);
}

static void paths_become_absolute(void **state)
{
    (void)state;
    _cleanup_free_ char *here = getcwd(NULL, 0), *dot = path_absolute("."), *slashed = path_absolute(".//x"),
                        *root = path_absolute("/x"), *expected = path_join(here, "x");
    assert_string_equal(dot, here);
    assert_string_equal(slashed, expected);
    assert_string_equal(root, "/x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_builds_a_chain),   cmocka_unit_test(err_may_quote_itself),
        cmocka_unit_test(buf_keeps_its_maximum), cmocka_unit_test(buf_is_a_queue),
        cmocka_unit_test(io_passes_descriptors), cmocka_unit_test(io_writes_atomically),
        cmocka_unit_test(strings),               cmocka_unit_test(deadlines_saturate),
        cmocka_unit_test(json_strings_are_valid), cmocka_unit_test(paths_become_absolute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
