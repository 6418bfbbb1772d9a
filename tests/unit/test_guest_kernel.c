/* System calls and workers, against the real agent. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "agent_fixture.h"
#include "base/alloc.h"
#include "guest/file.h"
#include "guest/kernel.h"
#include "guest/process.h"
#include "guest/tail.h"
#include "guest/worker.h"
#include "wire/operation.h"

static int64_t call_in(struct agent_fixture *f, struct guest_worker *w, const struct guest_syscall *s, struct buf *out,
                       int *ret_errno)
{
    struct guest_syscall_result r;
    assert_null(guest_syscall_check(s));
    assert_ok(guest_syscall(f->guest, w, s, &r, SOON, &e));
    if (out)
        buf_append(out, buf_head(&r.out), r.out.len);
    if (ret_errno)
        *ret_errno = r.errno_code;
    guest_syscall_result_done(&r);
    return r.ret;
}

static int64_t call0(struct agent_fixture *f, struct guest_worker *w, long nr, int64_t a, int64_t b, int64_t c)
{
    struct guest_syscall s = {.nr = nr, .args = {a, b, c}};
    return call_in(f, w, &s, NULL, NULL);
}

static void integers(void **state)
{
    struct agent_fixture *f = *state;
    int code;
    int64_t pid = call0(f, NULL, SYS_getpid, 0, 0, 0);
    assert_true(pid > 0 && pid != f->pid);
    assert_int_equal(call0(f, NULL, SYS_getpid, 0, 0, 0), pid);
    int64_t tid = call0(f, NULL, SYS_gettid, 0, 0, 0);
    assert_int_equal(call0(f, NULL, SYS_gettid, 0, 0, 0), tid);
    struct guest_syscall bad = {.nr = SYS_close, .args = {999}};
    assert_int_equal(call_in(f, NULL, &bad, NULL, &code), -1);
    assert_int_equal(code, EBADF);
    struct guest_syscall unknown = {.nr = 4000};
    assert_int_equal(call_in(f, NULL, &unknown, NULL, &code), -1);
    assert_int_equal(code, ENOSYS);
}

static void buffers(void **state)
{
    struct agent_fixture *f = *state;
    int fds[2] = {-1, -1};
    struct guest_buffer pair = {fds, sizeof(fds)};
    unsigned slot0[] = {0}, slot1[] = {1};
    struct guest_syscall make = {.nr = SYS_pipe2, .bufs = &pair, .buf_count = 1, .ptrs = slot0, .ptr_count = 1};
    _cleanup_buf_ struct buf out = BUF_INIT(1 << 26);
    assert_int_equal(call_in(f, NULL, &make, &out, NULL), 0);
    memcpy(fds, buf_head(&out), sizeof(fds));
    assert_true(fds[0] >= 3 && fds[1] > fds[0]);
    /* writev through nested buffers; child_offset skips the first byte of one */
    struct iovec iov[2] = {{NULL, 3}, {NULL, 4}};
    struct guest_buffer bufs[] = {{iov, sizeof(iov)}, {"xone", 4}, {"-two", 4}};
    struct guest_nested nested[] = {{0, 1, 0, 1}, {0, 2, 16, 0}};
    struct guest_syscall writev_call = {.nr = SYS_writev,
                                        .args = {fds[1], 0, 2},
                                        .bufs = bufs,
                                        .buf_count = 3,
                                        .ptrs = slot1,
                                        .ptr_count = 1,
                                        .nested = nested,
                                        .nested_count = 2};
    assert_int_equal(call_in(f, NULL, &writev_call, NULL, NULL), 7);
    char room[20] = {0};
    struct guest_buffer back = {room, sizeof(room)};
    struct guest_syscall read_call = {
        .nr = SYS_read, .args = {fds[0], 0, 20}, .bufs = &back, .buf_count = 1, .ptrs = slot1, .ptr_count = 1};
    buf_clear(&out);
    assert_int_equal(call_in(f, NULL, &read_call, &out, NULL), 7);
    assert_int_equal(out.len, 20);
    assert_memory_equal(buf_head(&out), "one-two", 7);
    /* 30 MB through a buffer, and back unchanged. */
    size_t n = 30 * 1000 * 1000;
    _cleanup_free_ char *much = xmalloc(n);
    memset(much, 'y', n);
    struct guest_buffer large[] = {{much, n}, {"end", 3}};
    struct guest_syscall nothing = {.nr = SYS_getppid, .bufs = large, .buf_count = 2};
    buf_clear(&out);
    assert_true(call_in(f, NULL, &nothing, &out, NULL) > 0);
    assert_int_equal(out.len, n + 3);
    assert_memory_equal(buf_head(&out), much, n);
    assert_memory_equal(buf_head(&out) + n, "end", 3);
}

static void checks(void **state)
{
    (void)state;
    struct guest_buffer bufs[] = {{"12345678", 8}, {"x", 1}};
    unsigned twice[] = {1, 1}, outside[] = {6};
    struct guest_nested late = {0, 1, 1, 0}, beyond = {0, 1, 0, 2}, none = {0, 2, 0, 0};
    struct guest_syscall s = {.bufs = bufs, .buf_count = 2, .ptrs = twice, .ptr_count = 2};
    assert_string_equal(guest_syscall_check(&s), "slot used twice");
    s.ptrs = outside;
    s.ptr_count = 1;
    assert_string_equal(guest_syscall_check(&s), "slot outside 0..5");
    s.ptr_count = 3;
    assert_string_equal(guest_syscall_check(&s), "more ptrs than bufs");
    s.ptr_count = 0;
    s.nested_count = 1;
    s.nested = &late;
    assert_string_equal(guest_syscall_check(&s), "nested: offset out of range");
    s.nested = &beyond;
    assert_string_equal(guest_syscall_check(&s), "nested: offset out of range");
    s.nested = &none;
    assert_string_equal(guest_syscall_check(&s), "nested: index out of range");
}

static void memory(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_syscall map = {.nr = SYS_mmap,
                                .args = {0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}};
    int64_t at = call_in(f, NULL, &map, NULL, NULL);
    assert_true(at > 0);
    /* It persists: another call writes there, a third reads. */
    struct guest_syscall fill = {.nr = SYS_getcwd, .args = {at + 100, 200}};
    assert_true(call_in(f, NULL, &fill, NULL, NULL) > 0);
    _cleanup_buf_ struct buf b = BUF_INIT(10000);
    assert_ok(guest_read_mem(f->guest, NULL, (uint64_t)at + 100, 1, &b, SOON, &e));
    assert_int_equal(buf_head(&b)[0], '/');
    buf_clear(&b);
    assert_ok(guest_read_mem(f->guest, NULL, (uint64_t)at, 8192, &b, SOON, &e));
    assert_int_equal(b.len, 8192);
    struct err gone = ERR_INIT;
    assert_int_equal(call0(f, NULL, SYS_munmap, at + 4096, 4096, 0), 0);
    assert_int_equal(guest_read_mem(f->guest, NULL, (uint64_t)at, 8192, &b, SOON, &gone), -1);
    assert_int_equal(gone.code, EFAULT);
    err_clear(&gone);
}

static void files_and_ioctl(void **state)
{
    struct agent_fixture *f = *state;
    struct err o = ERR_INIT;
    _cleanup_free_ char *path = xstrdup(in_scratch(f, "fifo"));
    assert_int_equal(mkfifo(path, 0600), 0);
    struct guest_file *file = guest_open(f->guest, NULL, path, OPEN_READ | OPEN_WRITE, 0, SOON, &o);
    int fd;
    size_t written;
    assert_ok(guest_file_fd(file, &fd, SOON, &e));
    assert_ok(guest_file_write(file, "abc", 3, &written, SOON, &e));
    int waiting = 0;
    struct guest_buffer data = {&waiting, sizeof(waiting)};
    unsigned slot2[] = {2};
    struct guest_syscall s = {.nr = GUEST_NR_IOCTL,
                              .args = {fd, FIONREAD},
                              .bufs = &data,
                              .buf_count = 1,
                              .ptrs = slot2,
                              .ptr_count = 1};
    _cleanup_buf_ struct buf out = BUF_INIT(100);
    assert_int_equal(call_in(f, NULL, &s, &out, NULL), 0);
    memcpy(&waiting, buf_head(&out), sizeof(waiting));
    assert_int_equal(waiting, 3);
    /* A descriptor made by a system call, as a stream. */
    int64_t copy = call0(f, NULL, SYS_dup, fd, 0, 0);
    struct stream *stream = guest_fd_stream(f->guest, copy, GUEST_WINDOW_DEFAULT, SOON, &o);
    assert_non_null(stream);
    assert_ok(stream_read_until(stream, "abc", 3, SOON, NULL, &e));
    stream_free(stream);
    guest_file_free(file);
    for (int64_t end = SOON; clock_monotonic_ns() < end;) /* the number is given back, in time */
        if (call0(f, NULL, SYS_fcntl, fd, F_GETFD, 0) < 0)
            return;
    fail_msg("the descriptor stays open");
}

static void blocked_calls(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_syscall pause_call = {.nr = SYS_pause};
    struct guest_syscall_result r;
    int64_t tid = call0(f, NULL, SYS_gettid, 0, 0, 0);
    struct guest_async *a = guest_syscall_async(f->guest, NULL, 0, &pause_call);
    assert_error(guest_async_await(a, deadline_after(10 * NS_PER_MS), &r, &e), ETIMEDOUT, "syscall 34: timed out");
    assert_int_equal(call0(f, NULL, SYS_gettid, 0, 0, 0), tid);
    for (int i = 0; i < 20; i++) {
        struct err late = ERR_INIT;
        assert_int_equal(guest_syscall(f->guest, NULL, &pause_call, &r, deadline_after(i % 5 * NS_PER_MS), &late), -1);
        assert_int_equal(late.code, ETIMEDOUT);
        assert_string_equal(late.message, "syscall 34: timed out");
        err_clear(&late);
        assert_ok(guest_ping(f->guest, SOON, &e));
    }
    /* The thread came back each time. */
    assert_int_equal(call0(f, NULL, SYS_gettid, 0, 0, 0), tid);
    guest_async_free(a);
    assert_int_equal(guest_calls_in_flight(f->guest), 0);
}

/* A thread that blocks the signal cannot be had back: it is replaced, and that is said. */
static void lost_threads(void **state)
{
    struct agent_fixture *f = *state;
    uint64_t all = UINT64_MAX;
    struct guest_buffer mask = {&all, sizeof(all)};
    unsigned slot1[] = {1};
    struct guest_syscall block = {.nr = SYS_rt_sigprocmask,
                                  .args = {SIG_SETMASK, 0, 0, 8},
                                  .bufs = &mask,
                                  .buf_count = 1,
                                  .ptrs = slot1,
                                  .ptr_count = 1};
    struct guest_syscall pause_call = {.nr = SYS_pause};
    struct guest_syscall_result r;
    int64_t pid = call0(f, NULL, SYS_getpid, 0, 0, 0), tid = call0(f, NULL, SYS_gettid, 0, 0, 0);
    assert_int_equal(call_in(f, NULL, &block, NULL, NULL), 0);
    struct err late = ERR_INIT;
    assert_int_equal(guest_syscall(f->guest, NULL, &pause_call, &r, deadline_after(10 * NS_PER_MS), &late), -1);
    assert_non_null(strstr(late.message, "the state of its thread is lost"));
    err_clear(&late);
    assert_int_equal(call0(f, NULL, SYS_getpid, 0, 0, 0), pid);
    assert_int_not_equal(call0(f, NULL, SYS_gettid, 0, 0, 0), tid);
}

static void the_process_may_end(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_syscall end = {.nr = SYS_exit_group, .args = {3}};
    struct guest_syscall_result r;
    int64_t pid = call0(f, NULL, SYS_getpid, 0, 0, 0);
    assert_error(guest_syscall(f->guest, NULL, &end, &r, SOON, &e), EINVAL,
                 "syscall 231: the process for kernel calls ended (exited with 3)");
    assert_ok(guest_ping(f->guest, SOON, &e));
    assert_int_not_equal(call0(f, NULL, SYS_getpid, 0, 0, 0), pid);
    /* A child made by a system call does not speak for its parent. */
    assert_true(call0(f, NULL, SYS_fork, 0, 0, 0) > 0);
    assert_true(call0(f, NULL, SYS_vfork, 0, 0, 0) > 0);
    assert_true(call0(f, NULL, SYS_getpid, 0, 0, 0) > 0);
}

static struct guest_result run_in(struct guest_worker *w, const char *text)
{
    const char *argv[] = {"/bin/sh", "-c", text, NULL};
    struct guest_command c = GUEST_COMMAND_INIT;
    struct guest_result r;
    c.argv = argv;
    assert_ok(guest_worker_run(w, &c, &r, SOON, &e));
    return r;
}

static void workers(void **state)
{
    struct agent_fixture *f = *state;
    struct err o = ERR_INIT;
    struct guest_worker *w = guest_worker_start(f->guest, SOON, &o), *other = guest_worker_start(f->guest, SOON, &o);
    assert_non_null(w);
    assert_int_equal(call0(f, w, SYS_getpid, 0, 0, 0), guest_worker_pid(w));
    assert_int_equal(call0(f, w, SYS_gettid, 0, 0, 0), guest_worker_pid(w));
    assert_int_equal(call0(f, other, SYS_getpid, 0, 0, 0), guest_worker_pid(other));
    /* What it changes stays with it, and with what it starts. */
    struct guest_buffer where = {"/proc", 6};
    unsigned slot0[] = {0};
    struct guest_syscall move = {.nr = SYS_chdir, .bufs = &where, .buf_count = 1, .ptrs = slot0, .ptr_count = 1};
    assert_int_equal(call_in(f, w, &move, NULL, NULL), 0);
    struct guest_result r = run_in(w, "pwd; umask; echo $PPID");
    assert_int_equal(r.exit_code, 0);
    char expected[100];
    snprintf(expected, sizeof(expected), "/proc\n0022\n%d\n", f->pid);
    assert_memory_equal(buf_head(&r.out), expected, r.out.len);
    guest_result_done(&r);
    r = run_in(other, "pwd");
    assert_memory_equal(buf_head(&r.out), "/\n", r.out.len > 2 ? 2 : 0);
    guest_result_done(&r);
    struct guest_file *file = guest_open(f->guest, w, "self/stat", OPEN_READ, 0, SOON, &o);
    assert_non_null(file);
    _cleanup_buf_ struct buf b = BUF_INIT(1000);
    assert_ok(guest_file_read(file, 1000, &b, SOON, &e));
    assert_int_equal(atoll((char *)buf_head(&b)), guest_worker_pid(w));
    int fd;
    assert_ok(guest_file_fd(file, &fd, SOON, &e));
    assert_true(call0(f, w, SYS_fcntl, fd, F_GETFD, 0) >= 0);
    guest_file_free(file);
    /* A process of it that ends at once, and one that cannot be started. */
    for (int i = 0; i < 20; i++) {
        r = run_in(w, "exit 4");
        assert_int_equal(r.exit_code, 4);
        guest_result_done(&r);
    }
    const char *argv[] = {"/nonexistent", NULL};
    struct guest_command c = GUEST_COMMAND_INIT;
    c.argv = argv;
    assert_error(guest_worker_run(w, &c, &r, SOON, &e), ENOENT, "run \"/nonexistent\": ENOENT: No such file or directory");
    assert_null(guest_worker_ended(w));
    assert_ok(guest_worker_close(w, SOON, &e));
    assert_string_equal(guest_worker_ended(w), "exited with 0");
    guest_worker_free(w);
    guest_worker_free(other);
}

static void credentials(void **state)
{
    struct agent_fixture *f = *state;
    if (geteuid())
        skip();
    struct guest_worker *w = guest_worker_start(f->guest, SOON, NULL);
    assert_int_equal(call0(f, w, SYS_setuid, 65534, 0, 0), 0);
    struct guest_result r = run_in(w, "id -u");
    assert_memory_equal(buf_head(&r.out), "65534\n", 6);
    guest_result_done(&r);
    assert_int_equal(call0(f, NULL, SYS_getuid, 0, 0, 0), 0);
    struct err o = ERR_INIT;
    assert_null(guest_open(f->guest, w, "/etc/shadow", OPEN_READ, 0, SOON, &o));
    assert_int_equal(o.code, EACCES);
    err_clear(&o);
    guest_worker_free(w);
}

static void worker_ends(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_worker *w = guest_worker_start(f->guest, SOON, NULL);
    struct guest_syscall kill_call = {.nr = SYS_kill, .args = {guest_worker_pid(w), SIGSYS}};
    struct guest_syscall_result r;
    struct err o = ERR_INIT;
    assert_int_equal(guest_syscall(f->guest, w, &kill_call, &r, SOON, &o), -1);
    assert_string_equal(o.message, "syscall 62: the worker ended (killed by signal 31)");
    assert_string_equal(guest_worker_ended(w), "killed by SIGSYS (31)");
    err_clear(&o);
    assert_int_equal(guest_syscall(f->guest, w, &kill_call, &r, SOON, &o), -1);
    assert_string_equal(o.message, "syscall 62: there is no such worker");
    err_clear(&o);
    guest_worker_free(w);
    /* One that is stopped, or stuck, does not hold up anything; it is killed when a call of it is given up. */
    w = guest_worker_start(f->guest, SOON, NULL);
    assert_int_equal(kill((pid_t)guest_worker_pid(w), SIGSTOP), 0);
    for (int i = 0; i < 20; i++)
        assert_ok(guest_ping(f->guest, SOON, &e));
    struct guest_syscall getpid_call = {.nr = SYS_getpid};
    assert_int_equal(guest_syscall(f->guest, w, &getpid_call, &r, deadline_after(10 * NS_PER_MS), &o), -1);
    assert_int_equal(o.code, ETIMEDOUT);
    err_clear(&o);
    bool never = false;
    for (int i = 0; i < 200 && !guest_worker_ended(w); i++)
        loop_wait(f->loop, &never, deadline_after(20 * NS_PER_MS));
    assert_string_equal(guest_worker_ended(w), "killed by SIGKILL (9)");
    guest_worker_free(w);
    /* Closing one that is stopped. */
    w = guest_worker_start(f->guest, SOON, NULL);
    assert_int_equal(kill((pid_t)guest_worker_pid(w), SIGSTOP), 0);
    assert_ok(guest_worker_close(w, SOON, &e));
    guest_worker_free(w);
}

static void worker_threads(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_worker *w = guest_worker_start(f->guest, SOON, NULL);
    struct guest_syscall gettid_call = {.nr = SYS_gettid}, pause_call = {.nr = SYS_pause};
    struct guest_syscall_result r;
    struct guest_async *blocked = guest_syscall_async(f->guest, w, 0, &pause_call);
    struct guest_async *a = guest_syscall_async(f->guest, w, 0, &gettid_call);
    assert_ok(guest_async_await(a, SOON, &r, &e));
    assert_int_not_equal(r.ret, guest_worker_pid(w));
    guest_syscall_result_done(&r);
    guest_async_free(a);
    assert_int_equal(call0(f, w, SYS_gettid, 0, 0, 0), guest_worker_pid(w));
    guest_async_free(blocked);
    for (int i = 0; i < 50; i++) {
        a = guest_syscall_async(f->guest, w, 0, &gettid_call);
        assert_ok(guest_async_await(a, SOON, &r, &e));
        guest_syscall_result_done(&r);
        guest_async_free(a);
    }
    assert_ok(guest_worker_close(w, SOON, &e));
    guest_worker_free(w);
}

#define WITH_AGENT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_AGENT(integers),      WITH_AGENT(buffers),     cmocka_unit_test(checks),
        WITH_AGENT(memory),        WITH_AGENT(files_and_ioctl), WITH_AGENT(blocked_calls),
        WITH_AGENT(lost_threads),  WITH_AGENT(the_process_may_end), WITH_AGENT(workers),
        WITH_AGENT(credentials),   WITH_AGENT(worker_ends), WITH_AGENT(worker_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
