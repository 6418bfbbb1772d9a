#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "vm/console.h"

#define MIB (UINT64_C(1) << 20)

static int64_t soon(void)
{
    return deadline_after(60 * NS_PER_S);
}

/* *ret_qemu: the end that QEMU gets. */
static int connect_qemu(struct console *c, int *ret_qemu)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    *ret_qemu = pair[1];
    return console_connect(c, pair[0], NULL);
}

static void output_and_input(void **state)
{
    (void)state;
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    _cleanup_(console_freep) struct console *c = console_new(loop, "/tmp", NULL);
    int qemu;
    size_t sent;
    char text[16];
    assert_int_equal(connect_qemu(c, &qemu), 0);
    assert_int_equal(write_full(qemu, "hello", 5), 0);
    assert_int_equal(console_wait(c, 4, soon()), 1);
    assert_int_equal(console_read(c, 0, text, sizeof(text)), 5);
    assert_int_equal(console_write(c, "typed", 5, soon(), &sent, NULL), 0);
    assert_int_equal(read_full(qemu, text, 5), 5);
    assert_int_equal(console_wait(c, 5, deadline_after(NS_PER_MS)), -1);
    assert_int_equal(errno, ETIMEDOUT);
    close(qemu);
    assert_int_equal(console_wait(c, 5, soon()), 0);
    assert_false(console_connected(c));
    assert_int_equal(console_write(c, "x", 1, soon(), &sent, NULL), -1);
    /* The next boot goes on in the same log. */
    assert_int_equal(connect_qemu(c, &qemu), 0);
    assert_int_equal(console_boot_start(c), 5);
    assert_int_equal(write_full(qemu, "again", 5), 0);
    close(qemu);
    console_finish(c, soon());
    char *tail = console_tail(c, 0, 7);
    assert_string_equal(tail, "loagain");
    free(tail);
}

/* Nobody pumps the loop, yet the writer (QEMU's part) never waits; and the log gives old space back. */
static void a_flood_is_taken_while_the_runner_is_busy(void **state)
{
    (void)state;
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    _cleanup_(console_freep) struct console *c = console_new(loop, "/tmp", NULL);
    static char block[MIB];
    int qemu;
    memset(block, 'x', sizeof(block));
    assert_int_equal(connect_qemu(c, &qemu), 0);
    for (int i = 0; i < 300; i++)
        assert_int_equal(write_full(qemu, block, sizeof(block)), 0);
    assert_int_equal(write_full(qemu, "END", 3), 0);
    close(qemu);
    console_finish(c, soon());
    assert_true(console_end(c) == 300 * MIB + 3);
    assert_true(console_start(c) == 44 * MIB + 3);
    char text[4] = "";
    assert_int_equal(console_read(c, 300 * MIB, text, 3), 3);
    assert_string_equal(text, "END");
    assert_int_equal(console_read(c, 0, text, 1), 1); /* given back: reads as a hole */
    assert_int_equal(text[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_and_input),
        cmocka_unit_test(a_flood_is_taken_while_the_runner_is_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
