#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "loop/aside.h"

static int succeed(void *arg, struct err *e)
{
    (void)e;
    return write(*(int *)arg, "x", 1) == 1 ? 0 : -1;
}

static int refuse(void *arg, struct err *e)
{
    err_set(e, ENOSPC, "no room for %s", (const char *)arg);
    return err_hint(e, "make some");
}

static int die(void *arg, struct err *e)
{
    (void)arg, (void)e;
    return raise(SIGKILL);
}

static int hang(void *arg, struct err *e)
{
    (void)arg, (void)e;
    while (pause() < 0)
        ;
    return 0;
}

static void test_results_come_back(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    int ends[2];
    char byte = 0;
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(aside_call(loop, DEADLINE_NONE, succeed, &ends[1], &e), 0);
    assert_int_equal(aside_call(NULL, DEADLINE_NONE, succeed, &ends[1], &e), 0);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(aside_call(loop, DEADLINE_NONE, refuse, (char[]){"you"}, &e), -1);
    assert_int_equal(e.code, ENOSPC);
    assert_string_equal(err_message(&e), "no room for you");
    assert_string_equal(e.hint, "make some");
    err_clear(&e);
}

static void test_ends(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    assert_int_equal(aside_call(loop, DEADLINE_NONE, die, NULL, &e), -1);
    assert_string_equal(err_message(&e), "the process that did it was killed");
    assert_int_equal(aside_call(loop, deadline_after(20 * NS_PER_MS), hang, NULL, &e), -1);
    assert_int_equal(e.code, ETIMEDOUT);
    err_clear(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_results_come_back), cmocka_unit_test(test_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
