#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/strv.h"
#include "fixture/key.h"
#include "temp.h"

/* A project: directories a and b are roots, k and i are kernel and initrd. */
struct project {
    char *directory;
    struct environment *environment;
    struct strv roots;
};

static char *scratch;

static char *lookup(const char *name)
{
    return strcmp(name, "HOME") && strcmp(name, "XDG_CACHE_HOME") ? NULL : scratch;
}

static void put(const struct project *p, const char *name, const char *text)
{
    free(temp_file(p->directory, name, text));
}

static void set_time(const struct project *p, const char *name, time_t seconds, long ns)
{
    _cleanup_free_ char *path = path_join(p->directory, name);
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = seconds, .tv_nsec = ns}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static int set_up(void **state)
{
    struct project *p = xnew0(struct project);
    p->directory = temp_new();
    scratch = path_join(p->directory, "cache");
    p->environment = environment_new(lookup, "/usr/bin/env");
    strv_take(&p->roots, path_join(p->directory, "a"));
    strv_take(&p->roots, path_join(p->directory, "b"));
    put(p, "k", "kernel");
    put(p, "i", "initrd");
    put(p, "provium.toml", "[profiles.one]\nkernel = \"k\"\ninitrd = \"i\"\ncmdline = \"quiet\"\n");
    put(p, "a/base.fixture.lua", "return provium:vm('x', 'one'):boot():snapshot()\n");
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct project *p = *state;
    environment_free(p->environment);
    strv_done(&p->roots);
    temp_free(&p->directory);
    free(scratch);
    free(p);
    return 0;
}

/* The key, or the message of the error. */
static char *key_of(const struct project *p, const char *name)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_free_ char *path = path_join(p->directory, "provium.toml");
    _cleanup_(config_freep) struct config *config = config_load(path, p->environment, &e);
    assert_non_null(config);
    const struct launch_host host = {.environment = p->environment};
    const struct fixture_world world = {config, &host, (const char *const *)p->roots.items};
    struct fixture_key key;
    if (fixture_key(&world, name, &key, &e) < 0)
        return xstrdup(err_message(&e));
    char *hex = xstrdup(key.hex);
    fixture_key_done(&key);
    return hex;
}

/* The key of `name` differs from `*before`, which it then replaces. */
static void assert_moved(const struct project *p, const char *name, char **before)
{
    char *now = key_of(p, name);
    assert_int_equal(strlen(now), 64);
    assert_string_not_equal(now, *before);
    free(*before);
    *before = now;
}

static void assert_stays(const struct project *p, const char *name, const char *before)
{
    _cleanup_free_ char *now = key_of(p, name);
    assert_string_equal(now, before);
}

static void test_text_and_profiles(void **state)
{
    struct project *p = *state;
    _cleanup_free_ char *key = key_of(p, "base");
    assert_int_equal(strlen(key), 64);
    assert_stays(p, "base", key);
    put(p, "a/base.fixture.lua", "return provium:vm('x', 'one'):boot():snapshot() -- y\n");
    assert_moved(p, "base", &key);
    put(p, "i", "another");
    assert_moved(p, "base", &key);
    put(p, "k", "Kernel");
    assert_moved(p, "base", &key);
    put(p, "provium.toml", "[profiles.one]\nkernel = \"k\"\ninitrd = \"i\"\ncmdline = \"other\"\n");
    assert_stays(p, "base", key);
    put(p, "provium.toml", "[profiles.one]\nkernel = \"k\"\ninitrd = \"i\"\ncmdline = \"x\"\ncpu = \"qemu64\"\n");
    assert_moved(p, "base", &key);
    put(p, "provium.toml", "[profiles.two]\nkernel = \"k\"\ninitrd = \"i\"\ncmdline = \"x\"\ncpu = \"qemu64\"\n");
    assert_moved(p, "base", &key);
}

static void test_modules(void **state)
{
    struct project *p = *state;
    put(p, "a/base.fixture.lua", "local h = require('helpers.one')");
    _cleanup_free_ char *key = key_of(p, "base");
    put(p, "b/helpers/one/init.lua", "return require 'two'");
    assert_moved(p, "base", &key);
    put(p, "b/two.lua", "return require 'helpers.one'");
    assert_moved(p, "base", &key);
    put(p, "b/two.lua", "return 2");
    assert_moved(p, "base", &key);
    put(p, "a/helpers/one.lua", "return 1"); /* is found first */
    assert_moved(p, "base", &key);
    put(p, "b/two.lua", "return 3");
    assert_stays(p, "base", key);
}

static void test_host_files(void **state)
{
    struct project *p = *state;
    put(p, "a/base.fixture.lua", "provium:depends_on_file('../data/x') vm:push_file('y', '/y') require 'sub.h'\n"
                                 "vm:push_file('z', '/z', {auto_dep = false})");
    put(p, "a/sub/h.lua", "vm:push_file('q', '/q')");
    _cleanup_free_ char *key = key_of(p, "base");
    put(p, "data/x", "1");
    set_time(p, "data/x", 1000, 5);
    assert_moved(p, "base", &key);
    set_time(p, "data/x", 1000, 6);
    assert_moved(p, "base", &key);
    put(p, "data/x", "22");
    set_time(p, "data/x", 1000, 6);
    assert_moved(p, "base", &key);
    put(p, "a/y", "y");
    assert_moved(p, "base", &key);
    put(p, "a/z", "z");
    assert_stays(p, "base", key);
    put(p, "a/q", "q"); /* beside the fixture, as it is not beside the helper */
    assert_moved(p, "base", &key);
    put(p, "a/sub/q", "q");
    assert_moved(p, "base", &key);
}

static void test_references(void **state)
{
    struct project *p = *state;
    put(p, "a/top.fixture.lua", "local vm = provium:vm_fixture('mid')");
    put(p, "b/mid.fixture.lua", "local vm = provium:lab_fixture('base')");
    _cleanup_free_ char *top = key_of(p, "top"), *mid = key_of(p, "mid");
    put(p, "a/base.fixture.lua", "return 1");
    assert_moved(p, "top", &top);
    assert_moved(p, "mid", &mid);
    put(p, "a/mid.fixture.lua", "return 2"); /* is found first */
    assert_moved(p, "top", &top);
    _cleanup_free_ char *missing = key_of(p, "nowhere");
    assert_non_null(strstr(missing, "fixture `nowhere` not found in any test root ("));
    _cleanup_free_ char *outside = key_of(p, "../a/base");
    assert_non_null(strstr(outside, "not found in any test root"));
}

static void test_circles(void **state)
{
    struct project *p = *state;
    put(p, "a/x.fixture.lua", "provium:vm_fixture('y')");
    put(p, "a/y.fixture.lua", "provium:vm_fixture('base') provium:vm_fixture('z')");
    put(p, "a/z.fixture.lua", "provium:vm_fixture('x')");
    _cleanup_free_ char *message = key_of(p, "y");
    assert_string_equal(message, "fixtures need each other: y -> z -> x -> y");
    /* A helper that all share may name any of them. */
    put(p, "a/z.fixture.lua", "require 'shared'");
    put(p, "a/shared.lua", "function f() provium:vm_fixture('x') end");
    _cleanup_free_ char *key = key_of(p, "y");
    put(p, "a/x.fixture.lua", "provium:vm_fixture('y') -- changed");
    assert_moved(p, "y", &key);
    assert_moved(p, "z", &key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text_and_profiles, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_modules, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_host_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_references, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_circles, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
