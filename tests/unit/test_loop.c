#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/loop.h"

struct seen {
    struct loop *loop;
    struct source *other;
    bool done;
    int count, status;
};

static void on_timer(struct source *s, void *arg)
{
    struct seen *seen = arg;
    (void)s;
    seen->done = true;
}

static void on_child(struct source *s, pid_t pid, int status, void *arg)
{
    struct seen *seen = arg;
    (void)s, (void)pid;
    seen->status = status;
    seen->done = true;
}

static void on_read(struct source *s, uint32_t events, void *arg)
{
    struct seen *seen = arg;
    (void)events;
    seen->count++;
    seen->done = true;
    source_remove(seen->other);
    source_remove(s);
}

static void on_interrupt(struct source *s, void *arg)
{
    struct seen *seen = arg;
    (void)s;
    loop_interrupt(seen->loop);
}

static void timers_and_deadlines(void **state)
{
    (void)state;
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    struct seen seen = {.loop = loop};
    assert_int_equal(loop_wait(loop, &seen.done, deadline_after(NS_PER_MS)), -1);
    assert_int_equal(errno, ETIMEDOUT);
    loop_add_timer(loop, deadline_after(NS_PER_MS), on_timer, &seen);
    assert_int_equal(loop_wait(loop, &seen.done, deadline_after(60 * NS_PER_S)), 0);
}

static void children_are_reaped(void **state)
{
    (void)state;
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    struct seen seen = {.loop = loop};
    pid_t pid = fork();
    if (!pid)
        _exit(7);
    assert_non_null(loop_add_child(loop, pid, on_child, &seen));
    assert_int_equal(loop_wait(loop, &seen.done, deadline_after(60 * NS_PER_S)), 0);
    assert_int_equal(WEXITSTATUS(seen.status), 7);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
}

/* Two ready sources, each of which removes both: exactly one callback may run. */
static void removal_inside_a_callback(void **state)
{
    (void)state;
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    int a[2], b[2];
    assert_int_equal(pipe2(a, O_CLOEXEC) | pipe2(b, O_CLOEXEC), 0);
    assert_int_equal(write(a[1], "x", 1) + write(b[1], "x", 1), 2);
    struct seen first = {.loop = loop}, second = {.loop = loop};
    second.other = loop_add_fd(loop, a[0], EPOLLIN, on_read, &first);
    first.other = loop_add_fd(loop, b[0], EPOLLIN, on_read, &second);
    loop_poll(loop);
    loop_poll(loop);
    assert_int_equal(first.count + second.count, 1);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}

static void interruption(void **state)
{
    (void)state;
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    struct seen seen = {.loop = loop};
    loop_add_timer(loop, 0, on_interrupt, &seen);
    assert_int_equal(loop_wait(loop, &seen.done, DEADLINE_NONE), -1);
    assert_int_equal(errno, ECANCELED);
    loop_add_timer(loop, 0, on_timer, &seen);
    assert_int_equal(loop_wait(loop, &seen.done, DEADLINE_NONE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_and_deadlines),
        cmocka_unit_test(children_are_reaped),
        cmocka_unit_test(removal_inside_a_callback),
        cmocka_unit_test(interruption),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
