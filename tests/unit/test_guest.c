/* The host end of the channel against the real agent. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent_fixture.h"
#include "base/alloc.h"
#include "guest/clock.h"
#include "guest/exec.h"
#include "guest/files.h"
#include "guest/mark.h"
#include "wire/frame.h"

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
    assert_ok(guest_write_file(f->guest, path, "x", 1, 0711, SOON, &e));
    assert_ok(guest_write_file(f->guest, path, "", 0, -1, SOON, &e));
    assert_ok(guest_stat(f->guest, path, true, &st, SOON, &e));
    assert_int_equal(st.size, 0);
    assert_int_equal(st.perm, 0711);
}

static void files_of_proc_have_no_size(void **state)
{
    struct agent_fixture *f = *state;
    _cleanup_buf_ struct buf b = BUF_INIT(GUEST_FILE_MAX);
    assert_ok(guest_read_file(f->guest, "/proc/self/maps", &b, SOON, &e));
    assert_true(b.len > 100);
}

static void stat_and_names(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_stat st;
    _cleanup_free_ char *link = xstrdup(in_scratch(f, "link"));
    assert_int_equal(symlink("/dev/null", link), 0);
    assert_ok(guest_stat(f->guest, link, true, &st, SOON, &e));
    assert_string_equal(st.entry_type, "char_device");
    assert_int_equal(st.rdev, 0x103);
    assert_ok(guest_stat(f->guest, link, false, &st, SOON, &e));
    assert_string_equal(st.entry_type, "symlink");
    assert_error(guest_stat(f->guest, "/nonexistent", true, &st, SOON, &e), ENOENT,
                 "stat \"/nonexistent\": ENOENT: No such file or directory");
    assert_error(guest_rename(f->guest, "/nonexistent", "/y", SOON, &e), ENOENT,
                 "rename \"/nonexistent\" -> \"/y\": ENOENT: No such file or directory");
    assert_error(guest_unlink(f->guest, "/nonexistent", SOON, &e), ENOENT,
                 "unlink \"/nonexistent\": ENOENT: No such file or directory");
    _cleanup_free_ char *name = xmalloc(70000);
    memset(name, 'a', 69999);
    name[69999] = '\0';
    struct err e = ERR_INIT;
    assert_int_equal(guest_unlink(f->guest, name, SOON, &e), -1);
    assert_int_equal(e.code, ENAMETOOLONG);
    err_clear(&e);
}

static void directories(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_listing l;
    struct guest_stat st;
    _cleanup_free_ char *deep = xstrdup(in_scratch(f, "a/b/c"));
    assert_error(guest_mkdir(f->guest, "/nonexistent/x", 0755, false, SOON, &e), ENOENT,
                 "mkdir \"/nonexistent/x\": ENOENT: No such file or directory");
    assert_ok(guest_mkdir(f->guest, deep, 02750, true, SOON, &e));
    assert_ok(guest_mkdir(f->guest, deep, 0700, true, SOON, &e));
    assert_ok(guest_stat(f->guest, deep, true, &st, SOON, &e));
    assert_int_equal(st.perm, 02750);
    assert_ok(guest_write_file(f->guest, in_scratch(f, "z"), "", 0, -1, SOON, &e));
    assert_ok(guest_write_file(f->guest, in_scratch(f, "B\xff"), "", 0, -1, SOON, &e));
    assert_ok(guest_listdir(f->guest, f->directory, &l, SOON, &e));
    assert_int_equal(l.count, 3);
    assert_string_equal(l.entries[0].name, "B\xff");
    assert_string_equal(l.entries[1].name, "a");
    assert_string_equal(l.entries[1].entry_type, "directory");
    assert_string_equal(l.entries[2].name, "z");
    guest_listing_done(&l);
    assert_ok(guest_unlink(f->guest, deep, SOON, &e));
    assert_ok(guest_listdir(f->guest, in_scratch(f, "a/b"), &l, SOON, &e));
    assert_int_equal(l.count, 0);
    guest_listing_done(&l);
}

static void a_large_directory(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_listing l;
    for (int i = 0; i < 3000; i++) {
        char name[64];
        snprintf(name, sizeof(name), "file with a name of some length %05d", i);
        close(open(in_scratch(f, name), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    }
    assert_ok(guest_listdir(f->guest, f->directory, &l, SOON, &e));
    assert_int_equal(l.count, 3000);
    assert_string_equal(l.entries[2999].name, "file with a name of some length 02999");
    guest_listing_done(&l);
}

/* Runs a shell command; the caller frees the result. */
static struct guest_result sh(struct agent_fixture *f, struct guest_command *c, const char *text)
{
    struct guest_result r;
    const char *argv[] = {"/bin/sh", "-c", text, NULL};
    c->argv = argv;
    c->name = text;
    assert_ok(guest_run(f->guest, c, &r, SOON, &e));
    return r;
}

static void assert_text(struct buf *b, const char *text)
{
    assert_int_equal(b->len, strlen(text));
    assert_memory_equal(b->len ? (char *)buf_head(b) : "", text, b->len);
}

static void commands(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_command c = GUEST_COMMAND_INIT;
    struct guest_result r;
    c.input = "hello";
    c.input_len = 5;
    r = sh(f, &c, "cat; echo err >&2; exit 3");
    assert_int_equal(r.status, GUEST_EXITED);
    assert_int_equal(r.exit_code, 3);
    assert_text(&r.out, "hello");
    assert_text(&r.err, "err\n");
    guest_result_done(&r);
    c = GUEST_COMMAND_INIT;
    r = sh(f, &c, "kill -TERM $$");
    assert_int_equal(r.status, GUEST_SIGNALLED);
    assert_int_equal(r.exit_code, -1);
    assert_int_equal(r.signal, SIGTERM);
    guest_result_done(&r);
    const char *env[] = {"A=1", "HOME", "B= x", NULL};
    c.env = env;
    c.cwd = "/proc";
    c.umask = 077;
    r = sh(f, &c, "echo \"$A$B${HOME-none}\"; pwd; umask; cat");
    assert_text(&r.out, "1 xnone\n/proc\n0077\n");
    guest_result_done(&r);
    const char *argv[] = {"/usr/bin/env", NULL};
    c.env_clear = true;
    c.argv = argv;
    assert_ok(guest_run(f->guest, &c, &r, SOON, &e));
    assert_text(&r.out, "A=1\nB= x\n");
    guest_result_done(&r);
}

static void commands_that_cannot_start(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_command c = GUEST_COMMAND_INIT;
    struct guest_result r;
    const char *argv[] = {"no-such-program", NULL}, *const env[] = {"PATH=/bin", NULL};
    c.argv = argv;
    c.env = env;
    assert_error(guest_run(f->guest, &c, &r, SOON, &e), ENOENT,
                 "run \"no-such-program\": ENOENT: No such file or directory");
    argv[0] = "/proc";
    assert_error(guest_run(f->guest, &c, &r, SOON, &e), EACCES, "run \"/proc\": EACCES: Permission denied");
    argv[0] = "true";
    c.cwd = "/nonexistent";
    assert_error(guest_run(f->guest, &c, &r, SOON, &e), ENOENT,
                 "run \"true\": cwd \"/nonexistent\": ENOENT: No such file or directory");
    c.cwd = NULL;
    c.user = "no-such-user";
    assert_error(guest_run(f->guest, &c, &r, SOON, &e), EINVAL, "run \"true\": unknown user `no-such-user`");
}

static void users(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_command c = GUEST_COMMAND_INIT;
    if (geteuid())
        skip();
    c.user = "nobody";
    struct guest_result r = sh(f, &c, "id -un; id -gn; id -G");
    assert_text(&r.out, "nobody\nnogroup\n65534\n");
    guest_result_done(&r);
    const char *groups[] = {"daemon", "12345", NULL};
    c.user = "54321";
    c.groups = groups;
    r = sh(f, &c, "id -u; id -g; id -G");
    assert_text(&r.out, "54321\n54321\n54321 1 12345\n");
    guest_result_done(&r);
}

static void timeouts_and_limits(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_command c = GUEST_COMMAND_INIT;
    c.timeout_ns = 200 * NS_PER_MS;
    struct guest_result r = sh(f, &c, "echo begun; sleep 1000 & wait");
    assert_int_equal(r.status, GUEST_TIMED_OUT);
    assert_int_equal(r.exit_code, -2);
    assert_text(&r.out, "begun\n");
    guest_result_done(&r);
    c = GUEST_COMMAND_INIT;
    c.max_output = 1000;
    r = sh(f, &c, "head -c 3000000 /dev/zero; echo done >&2");
    assert_int_equal(r.out.len, 1000);
    assert_true(r.truncated);
    assert_text(&r.err, "done\n");
    guest_result_done(&r);
    c = GUEST_COMMAND_INIT;
    r = sh(f, &c, "head -c 9000000 /dev/zero");
    assert_int_equal(r.out.len, 9000000);
    assert_false(r.truncated);
    guest_result_done(&r);
}

/* A descendant keeps the pipe: the call ends 200 ms after the exit, and the descendant goes on writing. */
static void descendants_do_not_hold_the_call(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_command c = GUEST_COMMAND_INIT;
    char text[400];
    snprintf(text, sizeof(text),
             "(while [ ! -e %s/go ]; do sleep 0.01; done; echo late; echo $? > %s/tmp; mv %s/tmp %s/wrote) & echo early",
             f->directory, f->directory, f->directory, f->directory);
    struct guest_result r = sh(f, &c, text);
    assert_text(&r.out, "early\n");
    guest_result_done(&r);
    assert_ok(guest_write_file(f->guest, in_scratch(f, "go"), "", 0, -1, SOON, &e));
    snprintf(text, sizeof(text), "until [ -e %s/wrote ]; do sleep 0.01; done; cat %s/wrote", f->directory, f->directory);
    r = sh(f, &c, text);
    assert_text(&r.out, "0\n");
    guest_result_done(&r);
}

/* Calls that block for ever, one kind after the other; each is given up, and nothing else suffers. */
static void blocked_calls_block_nobody(void **state)
{
    struct agent_fixture *f = *state;
    _cleanup_buf_ struct buf b = BUF_INIT(GUEST_FILE_MAX);
    _cleanup_free_ char *fifo = xstrdup(in_scratch(f, "fifo"));
    assert_int_equal(mkfifo(fifo, 0644), 0);
    for (int i = 0; i < 30; i++) {
        struct err late = ERR_INIT;
        assert_int_equal(guest_read_file(f->guest, fifo, &b, deadline_after(5 * NS_PER_MS), &late), -1);
        assert_int_equal(late.code, ETIMEDOUT);
        err_clear(&late);
        assert_ok(guest_ping(f->guest, SOON, &e));
    }
    struct guest_command c = GUEST_COMMAND_INIT;
    struct guest_result r;
    char copy[2 * PATH_MAX], wait[2 * PATH_MAX]; /* a sleep that nobody else on this machine runs */
    snprintf(copy, sizeof(copy), "cp /bin/sleep %s/nap", f->directory);
    r = sh(f, &c, copy);
    guest_result_done(&r);
    const char *argv[] = {in_scratch(f, "nap"), "1000", NULL};
    c.argv = argv;
    c.name = "nap";
    assert_error(guest_run(f->guest, &c, &r, deadline_after(50 * NS_PER_MS), &e), ETIMEDOUT, "run \"nap\": timed out");
    assert_error(guest_clock_sleep(f->guest, 1000 * NS_PER_S, deadline_after(20 * NS_PER_MS), &e),
                 ETIMEDOUT, "clock: sleep: timed out");
    assert_int_equal(guest_calls_in_flight(f->guest), 0);
    snprintf(wait, sizeof(wait), "until [ $(ls /proc/*/exe -l 2>/dev/null | grep -c '%s/nap$') = 0 ]; do :; done; echo gone",
             f->directory);
    r = sh(f, &c, wait);
    assert_text(&r.out, "gone\n");
    guest_result_done(&r);
}

static void interrupt(struct source *s, void *arg)
{
    (void)s;
    loop_interrupt(arg);
}

static void interruption_cancels(void **state)
{
    struct agent_fixture *f = *state;
    loop_add_timer(f->loop, deadline_after(20 * NS_PER_MS), interrupt, f->loop);
    assert_error(guest_clock_sleep(f->guest, 1000 * NS_PER_S, SOON, &e), ECANCELED, "clock: sleep: cancelled");
    assert_ok(guest_ping(f->guest, SOON, &e));
}

static void clocks(void **state)
{
    struct agent_fixture *f = *state;
    int64_t ns, before = clock_realtime_ns();
    assert_ok(guest_clock_get(f->guest, &ns, SOON, &e));
    assert_true(ns >= before && ns <= clock_realtime_ns());
    assert_ok(guest_clock_sleep(f->guest, NS_PER_MS, SOON, &e));
    assert_error(guest_clock_set(f->guest, -1, SOON, &e), EINVAL, "clock: set: EINVAL: Invalid argument");
}

/* What a restore does: the agent is in the middle of things, and a new session begins on the same stream. */
static void a_new_session(void **state)
{
    struct agent_fixture *f = *state;
    _cleanup_buf_ struct buf b = BUF_INIT(GUEST_FILE_MAX);
    _cleanup_free_ char *fifo = xstrdup(in_scratch(f, "fifo"));
    assert_int_equal(mkfifo(fifo, 0644), 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(guest_read_file(f->guest, fifo, &b, deadline_after(i % 4 * NS_PER_MS), NULL), -1);
        guest_resync(f->guest, NULL, NULL);
        assert_false(guest_is_ready(f->guest));
        assert_ok(guest_wait_ready(f->guest, SOON, &e));
        assert_ok(guest_ping(f->guest, SOON, &e));
    }
}

/* A time that no clock can have. */
static void a_session_that_cannot_begin(void **state)
{
    struct agent_fixture *f = *state;
    const struct guest_refresh refresh = {.time_ns = -NS_PER_S};
    guest_resync(f->guest, NULL, &refresh);
    assert_error(guest_wait_ready(f->guest, SOON, &e), ENOTCONN, "the agent cannot set the clock: Invalid argument");
}

static void the_channel_may_close(void **state)
{
    struct agent_fixture *f = *state;
    guest_close(f->guest, "the VM died (it was killed)");
    assert_error(guest_ping(f->guest, SOON, &e), ENOTCONN, "ping: the VM died (it was killed)");
}

static void the_agent_may_die(void **state)
{
    struct agent_fixture *f = *state;
    struct err e = ERR_INIT;
    kill(f->pid, SIGKILL);
    assert_int_equal(guest_clock_sleep(f->guest, 1000 * NS_PER_S, SOON, &e), -1);
    assert_string_equal(e.message, "clock: sleep: the agent channel was closed by the machine");
    err_clear(&e);
    waitpid(f->pid, NULL, 0);
    f->pid = fork();
    if (!f->pid)
        _exit(0);
}

#define WITH_AGENT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_AGENT(files_round_trip),
        WITH_AGENT(files_of_proc_have_no_size),
        WITH_AGENT(stat_and_names),
        WITH_AGENT(directories),
        WITH_AGENT(a_large_directory),
        WITH_AGENT(commands),
        WITH_AGENT(commands_that_cannot_start),
        WITH_AGENT(users),
        WITH_AGENT(timeouts_and_limits),
        WITH_AGENT(descendants_do_not_hold_the_call),
        WITH_AGENT(blocked_calls_block_nobody),
        WITH_AGENT(interruption_cancels),
        WITH_AGENT(clocks),
        WITH_AGENT(a_new_session),
        WITH_AGENT(a_session_that_cannot_begin),
        WITH_AGENT(the_channel_may_close),
        WITH_AGENT(the_agent_may_die),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
