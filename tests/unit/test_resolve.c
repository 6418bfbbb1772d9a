#include "unit.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/build.h"
#include "config/resolve.h"
#include "config/values.h"
#include "temp.h"

struct place {
    char *dir;
    struct environment *env;
    struct profile p;
    struct build_options build;
    struct err e;
};

static char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

static int setup(void **state)
{
    struct place *t = xnew0(struct place);
    t->dir = temp_new();
    t->env = environment_new(no_environment, NULL);
    free(t->env->build_dir);
    t->env->build_dir = path_join(t->dir, "build dir");
    free(t->env->binary_dir);
    t->env->binary_dir = path_join(t->dir, "tree/build/bin");
    t->p = (struct profile){.name = "p", .directory = t->dir, .cmdline = "quiet"};
    t->build.run_id = "this-run";
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct place *t = *state;
    err_clear(&t->e);
    environment_free(t->env);
    temp_free(&t->dir);
    free(t);
    return 0;
}

/* The error with the test's directory replaced by DIR. */
static void assert_message(struct place *t, const char *expected)
{
    _cleanup_free_ char *message = text_replace(err_message(&t->e), t->dir, "DIR");
    assert_string_equal(message, expected);
}

static void missing_files_are_named(void **state)
{
    struct place *t = *state;
    struct profile_files files = {0};
    _cleanup_free_ char *kernel = path_join(t->dir, "k");
    t->p.kernel = kernel;
    assert_int_equal(profile_resolve(&t->p, t->env, &files, &t->e), -1);
    assert_message(t, "profile `p`: kernel `DIR/k`: No such file or directory");
    mkdir(kernel, 0700);
    assert_int_equal(profile_resolve(&t->p, t->env, &files, &t->e), -1);
    assert_message(t, "profile `p`: kernel `DIR/k`: Is a directory");
    rmdir(kernel);
    free(temp_file(t->dir, "k", "x"));
    t->p.initrd = "/nowhere/initrd";
    assert_int_equal(profile_resolve(&t->p, t->env, &files, &t->e), -1);
    assert_message(t, "profile `p`: initrd `/nowhere/initrd`: No such file or directory");
    assert_null(files.kernel);
}

static void cmdline_comes_from_a_file(void **state)
{
    struct place *t = *state;
    _cleanup_(profile_files_done) struct profile_files files = {0};
    _cleanup_free_ char *kernel = temp_file(t->dir, "k", "x"),
                        *file = temp_file(t->dir, "c", "quiet\nroot=/dev/vda\r\n");
    t->p.kernel = kernel;
    t->p.cmdline = NULL;
    t->p.cmdline_file = file;
    t->p.cmdline_append = "debug";
    assert_int_equal(profile_resolve(&t->p, t->env, &files, &t->e), 0);
    assert_string_equal(files.cmdline, "quiet root=/dev/vda debug");
    assert_null(files.initrd);
    t->p.cmdline_file = "/nowhere";
    assert_int_equal(profile_resolve(&t->p, t->env, &files, &t->e), -1);
    assert_message(t, "profile `p`: cmdline_file `/nowhere`: No such file or directory");
}

static void bundled_guest_is_searched(void **state)
{
    struct place *t = *state;
    _cleanup_(profile_files_done) struct profile_files files = {0};
    _cleanup_free_ char *bin = temp_file(t->dir, "tree/build/bin/provium", "");
    t->p.kernel = t->p.initrd = BUNDLED_GUEST;
    assert_int_equal(profile_resolve(&t->p, t->env, &files, &t->e), -1);
    assert_non_null(
        strstr(t->e.message, "profile `p`: kernel: no bundled guest for x86_64; looked in "));
    assert_non_null(strstr(t->e.message, "tree/dist/guest"));
    assert_string_equal(t->e.hint, "set kernel and initrd, or PROVIUM_GUEST_DIR");

    _cleanup_free_ char *kernel = temp_file(t->dir, "tree/dist/guest/x86_64/" BUNDLED_KERNEL, "k");
    _cleanup_free_ char *initrd = temp_file(t->dir, "tree/dist/guest/x86_64/" BUNDLED_INITRD, "i");
    assert_int_equal(profile_resolve(&t->p, t->env, &files, &t->e), 0);
    assert_string_equal(files.kernel, kernel);
    assert_string_equal(files.initrd, initrd);
    t->env->guest_dir = xstrdup("/nowhere");
    profile_files_done(&files);
    assert_int_equal(profile_resolve(&t->p, t->env, &files, &t->e), -1);
    assert_message(t,
                   "profile `p`: kernel: no bundled guest for x86_64; looked in /nowhere/x86_64");
}

static void root_holds_one_kernel(void **state)
{
    struct place *t = *state;
    _cleanup_(profile_files_done) struct profile_files files = {0};
    _cleanup_free_ char *root = path_join(t->dir, "root [x]");
    t->p.root = root;
    assert_int_equal(profile_resolve(&t->p, t->env, &files, &t->e), -1);
    assert_message(t, "profile `p`: root `DIR/root [x]`: No such file or directory");
    free(temp_file(root, "boot/config-6.1", ""));
    assert_int_equal(profile_resolve(&t->p, t->env, &files, &t->e), -1);
    assert_message(
        t,
        "profile `p`: no kernel in root `DIR/root [x]`; looked for usr/lib/modules/*/vmlinuz-* and "
        "boot/vmlinuz-*");

    _cleanup_free_ char *kernel = temp_file(root, "usr/lib/modules/6.1/vmlinuz-6.1", "k");
    _cleanup_free_ char *link = path_join(root, "boot/vmlinuz-6.1"),
                        *hard = path_join(root, "boot/vmlinuz-hard");
    assert_int_equal(symlink("/usr/lib/modules/6.1/vmlinuz-6.1", link), 0);
    assert_int_equal(!!symlink("/nowhere", hard), 0);
    assert_int_equal(profile_resolve(&t->p, t->env, &files, &t->e), 0);
    assert_string_equal(files.kernel, kernel);
    unlink(hard);
    assert_int_equal(!!linkat(-100, kernel, -100, hard, 0), 0);
    profile_files_done(&files);
    assert_int_equal(profile_resolve(&t->p, t->env, &files, &t->e), 0);

    free(temp_file(root, "boot/vmlinuz-6.2", "other"));
    profile_files_done(&files);
    assert_int_equal(profile_resolve(&t->p, t->env, &files, &t->e), -1);
    assert_message(
        t, "profile `p`: several kernels in root `DIR/root [x]`: usr/lib/modules/6.1/vmlinuz-6.1, "
           "boot/vmlinuz-6.2");
}

static size_t count_lines(const char *dir, const char *name)
{
    _cleanup_free_ char *path = path_join(dir, name);
    _cleanup_buf_ struct buf text = BUF_INIT(4096);
    size_t lines = 0;
    if (file_read(path, &text, NULL) == 0)
        for (size_t i = 0; i < text.len; i++)
            lines += buf_head(&text)[i] == '\n';
    return lines;
}

static void build_runs_once_per_run(void **state)
{
    struct place *t = *state;
    _cleanup_free_ char *out = path_join(t->dir, "o u t");
    t->p.out = out;
    t->p.build = "sleep 0.02; echo built >>log; test -d 'o u t'";
    for (int i = 0; i < 3; i++)
        if (!fork())
            _exit(profile_build(&t->p, t->env, &t->build, NULL) < 0);
    for (int i = 0, status; i < 3; i++) {
        wait(&status);
        assert_int_equal(status, 0);
    }
    assert_int_equal(count_lines(t->dir, "log"), 1);
    t->build.run_id = "another-run";
    assert_int_equal(profile_build(&t->p, t->env, &t->build, &t->e), 0);
    assert_int_equal(count_lines(t->dir, "log"), 2);
    t->build.run_id = "this-run"; /* both go on */
    assert_int_equal(profile_build(&t->p, t->env, &t->build, &t->e), 0);
    assert_int_equal(count_lines(t->dir, "log"), 2);
    t->build.run_id = NULL;
    assert_int_equal(profile_build(&t->p, t->env, &t->build, &t->e), 0);
    assert_int_equal(count_lines(t->dir, "log"), 3);
    for (int i = 0; i < 40; i++) {
        char id[16];
        snprintf(id, sizeof(id), "run-%d", i / 2);
        t->build.run_id = id;
        assert_int_equal(profile_build(&t->p, t->env, &t->build, &t->e), 0);
    }
    assert_int_equal(count_lines(t->dir, "log"), 23);
    _cleanup_free_ char *lock = path_join(t->env->build_dir, "p.lock");
    struct stat st;
    assert_int_equal(stat(lock, &st), 0);
    assert_in_range(st.st_size, 1, 400);
}

static void failed_build_is_remembered(void **state)
{
    struct place *t = *state;
    _cleanup_free_ char *out = path_join(t->dir, "out");
    t->p.out = out;
    t->p.build = "echo x >>log; seq 5000 >&2; echo the end; (sleep 1; echo late) & exit 3";
    for (int i = 0; i < 2; i++) {
        assert_int_equal(profile_build(&t->p, t->env, &t->build, &t->e), -1);
        assert_true(str_starts_with(t->e.message, "profile `p`: build: `echo x >>log;"));
        assert_non_null(strstr(t->e.message, "` exited with status 3\n"));
        assert_true(str_ends_with(t->e.message, "\n5000\nthe end"));
        assert_in_range(strlen(t->e.message), 4000, 4096 + 200);
    }
    assert_int_equal(count_lines(t->dir, "log"), 1);
    t->build.run_id = NULL;
    t->p.build = "kill -9 $$";
    assert_int_equal(profile_build(&t->p, t->env, &t->build, &t->e), -1);
    assert_message(t, "profile `p`: build: `kill -9 $$` was killed by SIGKILL\n(no output)");
}

static void no_build_needs_the_directory(void **state)
{
    struct place *t = *state;
    _cleanup_free_ char *out = path_join(t->dir, "out");
    t->p.out = out;
    t->p.build = "exit 1";
    t->build.skip = true;
    assert_int_equal(profile_build(&t->p, t->env, &t->build, &t->e), -1);
    assert_message(t, "profile `p`: build: output directory `DIR/out`: No such file or directory");
    mkdir(out, 0700);
    assert_int_equal(profile_build(&t->p, t->env, &t->build, &t->e), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(missing_files_are_named),      TEST(cmdline_comes_from_a_file),
        TEST(bundled_guest_is_searched),    TEST(root_holds_one_kernel),
        TEST(build_runs_once_per_run),      TEST(failed_build_is_remembered),
        TEST(no_build_needs_the_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
