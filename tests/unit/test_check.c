#include "unit.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "cli/capture.h"
#include "cli/check.h"
#include "temp.h"

static void capture_reports_how_a_program_ended(void **state)
{
    (void)state;
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_buf_ struct buf out = BUF_INIT(1000);
    assert_int_equal(
        capture((char *[]){"/bin/sh", "-c", "echo a; echo b >&2", NULL}, &out, NS_PER_S * 30, &e),
        0);
    assert_int_equal(out.len, 4);
    assert_int_equal(capture((char *[]){"/bin/sh", "-c", "exit 3", NULL}, &out, NS_PER_S * 30, &e),
                     -1);
    assert_string_equal(e.message, "`/bin/sh` exited with status 3");
    assert_int_equal(capture((char *[]){"/nowhere", NULL}, &out, NS_PER_S * 30, &e), -1);
    assert_string_equal(e.message, "`/nowhere`: No such file or directory");
    assert_int_equal(
        capture((char *[]){"/bin/sh", "-c", "exec sleep 100", NULL}, &out, NS_PER_MS, &e), -1);
    assert_int_equal(e.code, ETIMEDOUT);
    assert_int_equal(capture((char *[]){"/bin/sh", "-c", "yes", NULL}, &out, NS_PER_S * 30, &e),
                     -1);
    assert_int_equal(e.code, EFBIG);
}

/* The finding of a "QEMU" that is a shell script. */
static void check_script(const char *script, enum check_status status, const char *finding)
{
    _cleanup_temp_ char *dir = temp_new();
    _cleanup_free_ char *path = temp_file(dir, "qemu", script);
    _cleanup_(check_list_done) struct check_list list = {0};
    struct environment env = {.qemu = path};
    chmod(path, 0755);
    check_hypervisor(&list, &env, ARCH_X86_64);
    assert_true(list.count > 0);
    assert_int_equal(list.items[0].status, status);
    assert_non_null(strstr(list.items[0].finding, finding));
    assert_int_equal(list.items[0].fix != NULL, status != CHECK_OK);
}

static void hypervisors(void **state)
{
    (void)state;
    check_script("#!/bin/sh\necho QEMU emulator version 8.2.1\n", CHECK_OK, "version 8.2");
    check_script("#!/bin/sh\necho QEMU emulator version 7.1.0\n", CHECK_FAIL, "is version 7.1");
    check_script("#!/bin/sh\necho hello\n", CHECK_FAIL, "is no QEMU");
    check_script("#!/bin/sh\nexit 4\n", CHECK_FAIL, "exited with status 4");
    _cleanup_(check_list_done) struct check_list list = {0};
    struct environment none = {.qemu = "no-such-qemu"};
    check_hypervisor(&list, &none, ARCH_X86_64);
    assert_string_equal(list.items[0].finding, "QEMU `no-such-qemu` not found in PATH");
    assert_string_equal(list.items[0].fix,
                        "install the package qemu-system-x86, or name the binary with --qemu");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capture_reports_how_a_program_ended),
        cmocka_unit_test(hypervisors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
