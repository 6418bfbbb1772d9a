#include "unit.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/io.h"
#include "cli/changes.h"
#include "temp.h"

struct world {
    struct loop *loop;
    struct changes *changes;
    char *directory;
};

static void write_file(const struct world *w, const char *name, const char *text)
{
    free(temp_file(w->directory, name, text));
}

static void begin(struct world *w)
{
    _cleanup_strv_ struct strv paths = STRV_INIT;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    w->directory = temp_new();
    w->loop = loop_new();
    w->changes = changes_new(w->loop);
    write_file(w, "a.lua", "1");
    strv_add(&paths, w->directory);
    strv_take(&paths, path_join(w->directory, "config.toml"));
    changes_watch(w->changes, &paths);
}

static void end(struct world *w)
{
    changes_free(w->changes);
    loop_free(w->loop);
    temp_free(&w->directory);
}

static void on_time(struct source *s, void *arg)
{
    const struct world *w = arg;
    (void)s;
    write_file(w, "a.lua", "22");
    write_file(w, "config.toml", "x");
    write_file(w, "other", "x");
}

/* Waits for what on_time does. */
static void expect_changes(struct world *w)
{
    _cleanup_strv_ struct strv changed = STRV_INIT;
    _cleanup_free_ char *a = path_join(w->directory, "a.lua"), *config = path_join(w->directory, "config.toml");
    _cleanup_free_ char *a_name = changes_name(a), *config_name = changes_name(config);
    struct source *timer = loop_add_timer(w->loop, deadline_after(20 * NS_PER_MS), on_time, w);
    assert_int_equal(changes_wait(w->changes, &changed), 0);
    source_remove(timer);
    assert_int_equal(changed.count, 2);
    assert_string_equal(changed.items[0], a_name);
    assert_string_equal(changed.items[1], config_name);
}

static void a_change_wakes(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    expect_changes(&w);
    end(&w);
}

static void what_changed_before_the_wait_counts(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    _cleanup_strv_ struct strv changed = STRV_INIT, paths = STRV_INIT;
    write_file(&w, "new/deep/b.lua", "x");
    strv_add(&paths, w.directory);
    changes_watch(w.changes, &paths); /* a new file, to be run now: no change later */
    write_file(&w, "a.lua", "3");
    assert_int_equal(changes_wait(w.changes, &changed), 0);
    assert_int_equal(changed.count, 1);
    assert_true(str_ends_with(changed.items[0], "/a.lua"));
    end(&w);
}

static void a_signal_ends_the_wait(void **state)
{
    (void)state;
    struct world w;
    _cleanup_strv_ struct strv changed = STRV_INIT;
    begin(&w);
    raise(SIGHUP);
    assert_int_equal(changes_wait(w.changes, &changed), SIGHUP);
    assert_int_equal(changed.count, 0);
    end(&w);
}

/* As when all watches are used up. */
static void refuse_watches(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_inotify_add_watch, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSPC),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        _exit(77);
}

static void without_watches_it_looks_regularly(void **state)
{
    (void)state;
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        struct world w;
        refuse_watches();
        begin(&w);
        expect_changes(&w);
        end(&w);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_wakes),
        cmocka_unit_test(what_changed_before_the_wait_counts),
        cmocka_unit_test(a_signal_ends_the_wait),
        cmocka_unit_test(without_watches_it_looks_regularly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
