/* The host end of the channel against the real agent. */
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "agent_fixture.h"
#include "base/alloc.h"
#include "guest/clock.h"
#include "guest/exec.h"
#include "guest/files.h"

static void files_round_trip(void **state)
{
    struct agent_fixture *f = *state;
    size_t n = 3 * 1024 * 1024 + 17;
    _cleanup_free_ char *data = xmalloc(n);
    for (size_t i = 0; i < n; i++)
        data[i] = (char)(i * 2654435761u >> 13);
    memcpy(data + 1000, SYNC_MARK, SYNC_MARK_LEN);
    memcpy(data + 61435, SYNC_MARK, SYNC_MARK_LEN);
    const char *path = in_scratch(f, "big file");
    _cleanup_buf_ struct buf back = BUF_INIT(GUEST_FILE_MAX);
    assert_ok(guest_write_file(f->guest, path, data, n, -1, SOON, &e));
    assert_ok(guest_read_file(f->guest, path, &back, SOON, &e));
    assert_int_equal(back.len, n);
    assert_memory_equal(buf_head(&back), data, n);
    struct guest_stat st;
    assert_ok(guest_stat(f->guest, path, true, &st, SOON, &e));
    assert_int_equal(st.size, n);
    assert_int_equal(st.perm, 0644);
    assert_string_equal(st.entry_type, "file");
    assert_ok(guest_write_file(f->guest, path, "x", 1, 04711, SOON, &e));
    assert_ok(guest_stat(f->guest, path, true, &st, SOON, &e));
    assert_int_equal(st.size, 1);
    assert_int_equal(st.perm, 04711);
    assert_ok(guest_unlink(f->guest, path, SOON, &e));
    assert_error(guest_stat(f->guest, "/nonexistent", true, &st, SOON, &e), ENOENT,
                 "stat \"/nonexistent\": ENOENT: No such file or directory");
}

static void commands(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_command c = GUEST_COMMAND_INIT;
    struct guest_result r;
    const char *shell[] = {"/bin/sh", "-c", "cat; echo err >&2; exit 3", NULL};
    c.argv = shell;
    c.input = "hello";
    c.input_len = 5;
    assert_ok(guest_run(f->guest, &c, &r, SOON, &e));
    assert_int_equal(r.exit_code, 3);
    assert_int_equal(r.out.len, 5);
    assert_memory_equal(buf_head(&r.out), "hello", 5);
    assert_memory_equal(buf_head(&r.err), "err\n", 4);
    guest_result_done(&r);
    const char *missing[] = {"no-such-program", NULL};
    c.argv = missing;
    assert_error(guest_run(f->guest, &c, &r, SOON, &e), ENOENT,
                 "run \"no-such-program\": ENOENT: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_round_trip, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(commands, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
