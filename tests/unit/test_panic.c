#include "unit.h"

#include <string.h>

#include "vm/panic.h"

static const char panic_log[] = "[    1.0] booting\r\n[    2.1] Kernel panic - not syncing: VFS: no root \r\n[ 2.2] CPU: 0\r\n";

/* Whatever the pieces, the verdict is the same. */
static void pieces_of_every_size(void **state)
{
    (void)state;
    for (size_t size = 1; size < sizeof(panic_log); size++) {
        struct console_scanner s = {0};
        bool found = false;
        for (size_t at = 0; at < sizeof(panic_log) - 1; at += size) {
            size_t left = sizeof(panic_log) - 1 - at;
            found = console_scan(&s, panic_log + at, left < size ? left : size) || found;
        }
        assert_true(found);
        assert_int_equal(s.verdict, CONSOLE_PANIC);
        assert_string_equal(s.text, "VFS: no root");
    }
}

static void halt_and_nothing(void **state)
{
    (void)state;
    struct console_scanner s = {0};
    assert_false(console_scan(&s, "Kernel panic - not syn\ncing: x\n", 31));
    assert_false(console_scan(&s, "reboot: System halted", 21)); /* the line is not over */
    assert_true(console_scan(&s, "\n", 1));
    assert_int_equal(s.verdict, CONSOLE_HALTED);
}

static void overlong_lines(void **state)
{
    (void)state;
    struct console_scanner s = {0};
    static char line[100000];
    memset(line, 'x', sizeof(line));
    for (int i = 0; i < 10; i++)
        assert_false(console_scan(&s, line, sizeof(line)));
    assert_false(console_scan(&s, "\n", 1));
    assert_true(console_scan(&s, panic_log, sizeof(panic_log) - 1));
    memcpy(line, "Kernel panic - not syncing: ", 28);
    line[sizeof(line) - 1] = '\n';
    struct console_scanner longer = {0};
    assert_true(console_scan(&longer, line, sizeof(line)));
    assert_int_equal(strlen(longer.text), sizeof(longer.text) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_every_size),
        cmocka_unit_test(halt_and_nothing),
        cmocka_unit_test(overlong_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
