/* Processes that go on, workers, and batches; against the real agent. */
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "agent_fixture.h"
#include "base/alloc.h"
#include "guest/batch.h"
#include "guest/file.h"
#include "guest/kernel.h"
#include "guest/mark.h"
#include "guest/process.h"
#include "guest/system.h"
#include "guest/worker.h"
#include "wire/operation.h"

static struct guest_process *start(struct agent_fixture *f, const char *text)
{
    const char *argv[] = {"/bin/sh", "-c", text, NULL};
    struct guest_command c = GUEST_COMMAND_INIT;
    struct err e = ERR_INIT;
    c.argv = argv;
    c.name = text;
    struct guest_process *p = guest_process_start(f->guest, NULL, 0, &c, SOON, &e);
    if (!p)
        fail_msg("%s", err_message(&e));
    return p;
}

static void assert_text(const struct buf *b, const char *text)
{
    assert_int_equal(b->len, strlen(text));
    assert_memory_equal(b->len ? (char *)buf_head(b) : "", text, b->len);
}

static void life(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_process *p = start(f, "echo $$; read x; echo got $x; exit 5");
    struct guest_result r;
    char pid[32];
    assert_true(guest_process_is_running(p));
    assert_int_equal(guest_process_status(p, &r), -1);
    assert_int_equal(guest_calls_in_flight(f->guest), 0);
    struct stream *out = guest_process_stream(p, 0);
    snprintf(pid, sizeof(pid), "%lld\n", (long long)guest_process_pid(p));
    _cleanup_buf_ struct buf b = BUF_INIT(100);
    assert_ok(stream_read_until(out, "\n", 1, SOON, &b, &e));
    assert_text(&b, pid);
    assert_ok(guest_process_write(p, "this\n", 5, SOON, &e));
    assert_ok(guest_process_wait(p, DEADLINE_NONE, SOON, &r, &e));
    assert_int_equal(r.exit_code, 5);
    assert_int_equal(r.out.len, strlen(pid) + strlen("got this\n"));
    assert_ok(stream_read_until(out, "got this\n", 9, SOON, &b, &e));
    assert_true(stream_eof(out));
    assert_string_equal(stream_kind(out), "proc_stdout_stream");
    bool delivered = true;
    assert_ok(guest_process_signal(p, SIGTERM, false, &delivered, SOON, &e));
    assert_false(delivered);
    /* A stream that is opened late begins at the first byte too. */
    struct stream *again = guest_process_stream(p, 0);
    assert_ok(stream_read_until(again, pid, strlen(pid), SOON, &b, &e));
    assert_text(&b, pid);
    stream_free(out);
    stream_free(again);
    guest_process_free(p);
}

static void input(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_process *p = start(f, "wc -c");
    struct guest_result r;
    size_t n = 3000000;
    _cleanup_free_ char *data = xcalloc(1, n);
    assert_ok(guest_process_write(p, data, n, SOON, &e));
    assert_ok(guest_process_write(p, data, 7, SOON, &e));
    assert_ok(guest_process_close_stdin(p, SOON, &e));
    assert_ok(guest_process_close_stdin(p, SOON, &e));
    assert_error(guest_process_write(p, data, 1, SOON, &e), EPIPE,
                 "process \"wc -c\": stdin_write: stdin is closed");
    assert_ok(guest_process_wait(p, DEADLINE_NONE, SOON, &r, &e));
    assert_text(&r.out, "3000007\n");
    guest_process_free(p);
    /* Nobody reads. */
    p = start(f, "exec sleep 1000");
    struct err late = ERR_INIT;
    assert_int_equal(guest_process_write(p, data, n, deadline_after(30 * NS_PER_MS), &late), -1);
    assert_int_equal(late.code, ETIMEDOUT);
    err_clear(&late);
    guest_process_free(p);
    p = start(f, "exec <&-; echo closed; sleep 1000");
    struct stream *out = guest_process_stream(p, 0);
    assert_ok(stream_read_until(out, "closed", 6, SOON, NULL, &e));
    assert_error(guest_process_write(p, data, n, SOON, &e), EPIPE,
                 "process \"exec <&-; echo closed; sleep 1000\": stdin_write: EPIPE: Broken pipe");
    stream_free(out);
    guest_process_free(p);
}

static void ends(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_result r;
    bool delivered;
    struct guest_process *p = start(f, "sleep 1000 & sleep 1000");
    assert_ok(guest_process_wait(p, deadline_after(20 * NS_PER_MS), SOON, &r, &e));
    assert_int_equal(r.status, GUEST_TIMED_OUT);
    assert_int_equal(r.exit_code, -2);
    assert_ok(guest_process_wait(p, DEADLINE_NONE, SOON, &r, &e));
    assert_int_equal(r.status, GUEST_TIMED_OUT);
    guest_process_free(p);
    p = start(f, "exec sleep 1000");
    assert_ok(guest_process_signal(p, SIGUSR1, false, &delivered, SOON, &e));
    assert_true(delivered);
    assert_ok(guest_process_wait(p, DEADLINE_NONE, SOON, &r, &e));
    assert_int_equal(r.status, GUEST_SIGNALLED);
    assert_int_equal(r.signal, SIGUSR1);
    guest_process_free(p);
    /* An obstinate one gets SIGKILL after 2 s; a polite one is asked. */
    p = start(f, "trap 'echo bye; exit 3' TERM; echo on; while :; do sleep 0.01; done");
    struct stream *out = guest_process_stream(p, 0);
    assert_ok(stream_read_until(out, "on\n", 3, SOON, NULL, &e));
    assert_ok(guest_process_close(p, SOON, &e));
    assert_int_equal(guest_process_status(p, &r), 0);
    assert_int_equal(r.exit_code, 3);
    stream_free(out);
    guest_process_free(p);
    p = start(f, "trap '' TERM; echo on; while :; do sleep 0.01; done");
    out = guest_process_stream(p, 0);
    assert_ok(stream_read_until(out, "on\n", 3, SOON, NULL, &e));
    assert_ok(guest_process_close(p, SOON, &e));
    assert_int_equal(guest_process_status(p, &r), 0);
    assert_int_equal(r.signal, SIGKILL);
    stream_free(out);
    guest_process_free(p);
}

/* Far more output than is kept: the process is never held up, and a slow stream learns what it missed. */
static void much_output(void **state)
{
    struct agent_fixture *f = *state;
    const char *argv[] = {"/bin/sh", "-c", "head -c 100000000 /dev/zero; echo end", NULL};
    struct guest_command c = GUEST_COMMAND_INIT;
    struct guest_result r;
    struct err o = ERR_INIT;
    c.argv = argv;
    c.max_output = 1 << 20;
    struct guest_process *p = guest_process_start(f->guest, NULL, 0, &c, SOON, &o);
    assert_non_null(p);
    struct stream *out = guest_process_stream(p, 0);
    for (int i = 0; i < 20; i++)
        assert_ok(guest_ping(f->guest, SOON, &e));
    assert_ok(guest_process_wait(p, DEADLINE_NONE, SOON, &r, &e));
    assert_int_equal(r.out.len, 1 << 20);
    assert_true(r.truncated);
    assert_ok(stream_read_until(out, "end\n", 4, SOON, NULL, &e));
    assert_true(stream_eof(out));
    assert_int_equal(stream_lost(out), 100000004 - (1 << 20));
    stream_free(out);
    guest_process_free(p);
}

static void many_processes(void **state)
{
    struct agent_fixture *f = *state;
    enum { COUNT = 200 };
    struct guest_process *all[COUNT];
    struct guest_result r;
    for (int i = 0; i < COUNT; i++)
        all[i] = start(f, "read x; echo $x; exit 7");
    for (int i = 0; i < 20; i++)
        assert_ok(guest_ping(f->guest, SOON, &e));
    for (int i = 0; i < COUNT; i++)
        assert_ok(guest_process_write(all[i], "go\n", 3, SOON, &e));
    for (int i = 0; i < COUNT; i++) {
        assert_ok(guest_process_wait(all[i], DEADLINE_NONE, SOON, &r, &e));
        assert_int_equal(r.exit_code, 7);
        assert_text(&r.out, "go\n");
        guest_process_free(all[i]);
    }
}

static void gates(void **state)
{
    struct agent_fixture *f = *state;
    const char *argv[] = {"/bin/sh", "-c", "echo started", NULL};
    struct guest_command c = GUEST_COMMAND_INIT;
    struct guest_result r;
    struct guest_process *p[3];
    c.argv = argv;
    struct guest_gate *gate = guest_gate_new(f->guest);
    for (int i = 0; i < 3; i++)
        p[i] = guest_process_start(f->guest, NULL, guest_gate_id(gate), &c, SOON, NULL);
    struct guest_syscall getpid_call = {.nr = SYS_getpid};
    struct guest_async *a = guest_syscall_async(f->guest, NULL, guest_gate_id(gate), &getpid_call);
    for (int i = 0; i < 10; i++)
        assert_ok(guest_ping(f->guest, SOON, &e));
    assert_int_equal(guest_process_pid(p[0]), 0);
    assert_false(guest_async_is_done(a));
    guest_gate_open(gate);
    for (int i = 0; i < 3; i++) {
        assert_ok(guest_process_wait_started(p[i], SOON, &e));
        assert_ok(guest_process_wait(p[i], DEADLINE_NONE, SOON, &r, &e));
        assert_text(&r.out, "started\n");
        guest_process_free(p[i]);
    }
    struct guest_syscall_result s;
    assert_ok(guest_async_await(a, SOON, &s, &e));
    assert_true(s.ret > 0);
    guest_syscall_result_done(&s);
    guest_async_free(a);
    guest_gate_free(gate);
}

static void batches(void **state)
{
    struct agent_fixture *f = *state;
    _cleanup_free_ char *dir = xstrdup(in_scratch(f, "d")), *file = xstrdup(in_scratch(f, "d/x")),
                        *moved = xstrdup(in_scratch(f, "d/y"));
    const char *argv[] = {"/bin/sh", "-c", "echo run; exit 2", NULL};
    struct guest_command c = GUEST_COMMAND_INIT;
    struct guest_syscall getpid_call = {.nr = SYS_getpid};
    c.argv = argv;
    struct guest_batch *b = guest_batch_new(f->guest);
    guest_batch_mkdir(b, dir, 0755, false);
    guest_batch_write_file(b, file, "data", 4, -1);
    guest_batch_rename(b, file, moved);
    guest_batch_stat(b, file, true);
    guest_batch_read_file(b, moved);
    guest_batch_run(b, &c);
    guest_batch_listdir(b, dir);
    guest_batch_syscall(b, &getpid_call);
    guest_batch_unlink(b, moved);
    guest_batch_unlink(b, dir);
    guest_batch_stat(b, "/", true);
    assert_ok(guest_batch_wait(b, SOON, &e));
    assert_int_equal(guest_batch_count(b), 11);
    for (size_t i = 0; i < 11; i++) {
        const char *message = guest_batch_entry(b, i)->error.message;
        if (i != 3 && message)
            fail_msg("%s", message);
    }
    assert_int_equal(guest_batch_entry(b, 3)->error.code, ENOENT);
    assert_text(&guest_batch_entry(b, 4)->data, "data");
    assert_int_equal(guest_batch_entry(b, 5)->result.exit_code, 2);
    assert_text(&guest_batch_entry(b, 5)->result.out, "run\n");
    assert_int_equal(guest_batch_entry(b, 6)->listing.count, 1);
    assert_true(guest_batch_entry(b, 7)->syscall.ret > 0);
    guest_batch_free(b);
    assert_int_equal(guest_calls_in_flight(f->guest), 0);
}

static void large_batches(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_batch *b = guest_batch_new(f->guest);
    for (int i = 0; i < 10000; i++)
        guest_batch_stat(b, i % 2 ? "/" : "/nonexistent", true);
    assert_ok(guest_batch_wait(b, SOON, &e));
    for (size_t i = 0; i < 10000; i++)
        assert_int_equal(guest_batch_entry(b, i)->error.code, i % 2 ? 0 : ENOENT);
    guest_batch_free(b);
    /* More results than a batch may have: the rest are errors. */
    size_t n = 20 * 1024 * 1024;
    _cleanup_free_ char *data = xcalloc(1, n), *path = xstrdup(in_scratch(f, "large"));
    assert_ok(guest_write_file(f->guest, path, data, n, -1, SOON, &e));
    b = guest_batch_new(f->guest);
    for (int i = 0; i < 6; i++)
        guest_batch_read_file(b, path);
    guest_batch_stat(b, "/", true);
    assert_ok(guest_batch_wait(b, SOON, &e));
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(guest_batch_entry(b, i)->data.len, n);
    for (size_t i = 3; i < 7; i++)
        assert_int_equal(guest_batch_entry(b, i)->error.code, EOVERFLOW);
    guest_batch_free(b);
    assert_ok(guest_ping(f->guest, SOON, &e));
    /* One that blocks ends with the deadline, and nothing after it begins. */
    const char *argv[] = {"sleep", "1000", NULL};
    struct guest_command c = GUEST_COMMAND_INIT;
    _cleanup_free_ char *never = xstrdup(in_scratch(f, "never"));
    c.argv = argv;
    b = guest_batch_new(f->guest);
    guest_batch_run(b, &c);
    guest_batch_mkdir(b, never, 0755, false);
    assert_error(guest_batch_wait(b, deadline_after(50 * NS_PER_MS), &e), ETIMEDOUT, "batch: timed out");
    guest_batch_free(b);
    assert_ok(guest_ping(f->guest, SOON, &e));
    struct guest_stat st;
    struct err gone = ERR_INIT;
    assert_int_equal(guest_stat(f->guest, never, true, &st, SOON, &gone), -1);
    assert_int_equal(gone.code, ENOENT);
    err_clear(&gone);
}

/* The agent of a plain process cannot be restored, but its host may believe so: what is marked lives on in a new session,
 * and the host's idea of it goes back. */
static void marks(void **state)
{
    struct agent_fixture *f = *state;
    struct err o = ERR_INIT;
    struct guest_result r;
    struct guest_process *kept = start(f, "echo one; read x; echo two; read x"), *ended = start(f, "read x; exit 6");
    struct guest_worker *w = guest_worker_start(f->guest, SOON, &o);
    struct guest_file *file = guest_open(f->guest, NULL, "/proc/self/status", OPEN_READ, 0, SOON, &o);
    struct stream *out = guest_process_stream(kept, 0);
    assert_ok(stream_read_until(out, "one\n", 4, SOON, NULL, &e));
    stream_free(out);
    assert_ok(guest_quiesce(f->guest, SOON, &e));
    struct guest_mark *mark = guest_mark_new(f->guest);
    assert_ok(guest_unquiesce(f->guest, SOON, &e));
    struct guest_process *later = start(f, "exec sleep 1000");
    assert_ok(guest_process_write(ended, "\n", 1, SOON, &e));
    assert_ok(guest_process_wait(ended, DEADLINE_NONE, SOON, &r, &e));
    assert_int_equal(r.exit_code, 6);
    guest_resync(f->guest, mark, NULL);
    assert_ok(guest_wait_ready(f->guest, SOON, &e));
    /* What came later is lost, and what was kept works. */
    assert_int_equal(guest_process_wait(later, DEADLINE_NONE, SOON, &r, &o), -1);
    assert_string_equal(o.message, "process \"exec sleep 1000\": wait: the machine was restored");
    err_clear(&o);
    assert_true(guest_process_is_running(kept));
    assert_true(guest_process_is_running(ended)); /* as far as the host can know */
    assert_null(guest_worker_ended(w));
    struct guest_syscall getpid_call = {.nr = SYS_getpid};
    struct guest_syscall_result s;
    assert_ok(guest_syscall(f->guest, w, &getpid_call, &s, SOON, &e));
    assert_int_equal(s.ret, guest_worker_pid(w));
    guest_syscall_result_done(&s);
    _cleanup_buf_ struct buf b = BUF_INIT(100000);
    assert_ok(guest_file_read(file, 10000, &b, SOON, &e));
    assert_true(b.len > 100);
    assert_ok(guest_process_write(kept, "\n", 1, SOON, &e));
    out = guest_process_stream(kept, 0);
    assert_ok(stream_read_until(out, "one\ntwo\n", 8, SOON, NULL, &e));
    stream_free(out);
    assert_ok(guest_process_write(kept, "\n", 1, SOON, &e));
    assert_ok(guest_process_wait(kept, DEADLINE_NONE, SOON, &r, &e));
    assert_text(&r.out, "one\ntwo\n");
    guest_process_free(kept);
    guest_process_free(ended);
    guest_process_free(later);
    guest_file_free(file);
    guest_worker_free(w);
    guest_mark_free(mark);
    /* Without a mark nothing is kept; its processes go on, unheard. */
    kept = start(f, "read x");
    guest_resync(f->guest, NULL, NULL);
    assert_ok(guest_wait_ready(f->guest, SOON, &e));
    assert_string_equal(guest_process_lost(kept), "the machine was restored");
    guest_process_free(kept);
    assert_ok(guest_ping(f->guest, SOON, &e));
}

#define WITH_AGENT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_AGENT(life),  WITH_AGENT(input),   WITH_AGENT(ends),          WITH_AGENT(much_output), WITH_AGENT(many_processes),
        WITH_AGENT(gates), WITH_AGENT(batches), WITH_AGENT(large_batches), WITH_AGENT(marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
