#include "unit.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/config.h"
#include "config/toml.h"
#include "config/values.h"
#include "temp.h"

static char *test_environment(const char *name)
{
    if (!strcmp(name, "HOME"))
        return "/home/me";
    return NULL;
}

static struct environment *env;

/* Loads `text` as <directory>/provium.toml. */
static struct config *load(const char *directory, const char *text, struct err *e)
{
    _cleanup_free_ char *path = temp_file(directory, "provium.toml", text);
    return config_load(path, env, e);
}

static void assert_refused(const char *text, const char *expected)
{
    _cleanup_temp_ char *dir = temp_new();
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(config_freep) struct config *config = load(dir, text, &e);
    assert_null(config);
    _cleanup_free_ char *file = path_join(dir, "provium.toml");
    _cleanup_free_ char *message = text_replace(e.message, file, "FILE");
    assert_string_equal(message, expected);
}

#define GOOD "kernel = \"k\"\ncmdline = \"quiet\"\n"

static void empty_file_has_the_builtin_profile(void **state)
{
    (void)state;
    _cleanup_temp_ char *dir = temp_new();
    _cleanup_(config_freep) struct config *config = load(dir, "", NULL);
    assert_non_null(config);
    assert_int_equal(config->profile_count, 1);
    assert_int_equal(config->cache_max_size, 20 * GIB);
    assert_string_equal(config->cache_dir, "/home/me/.cache/provium/fixtures");
    assert_int_equal(config->sandbox, SANDBOX_AUTO);
    const struct profile *p = config_profile(config, "default", NULL);
    assert_ptr_equal(p, config_first_profile(config));
    assert_string_equal(p->kernel, BUNDLED_GUEST);
    assert_string_equal(p->initrd, BUNDLED_GUEST);
    assert_string_equal(p->cmdline, "console=ttyS0 quiet panic=-1");
    assert_true(p->inject_agent);
    assert_int_equal(p->memory, 512 * MIB);
    assert_int_equal(p->cpus, 1);
    assert_int_equal(p->agent_boot_timeout_ns, -1);
}

static void missing_file(void **state)
{
    (void)state;
    _cleanup_temp_ char *dir = temp_new();
    char before[4096];
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(dir), 0);
    _cleanup_(config_freep) struct config *config = config_load(NULL, env, NULL);
    assert_non_null(config);
    assert_null(config->file);
    _cleanup_err_ struct err e = ERR_INIT;
    assert_null(config_load("absent.toml", env, &e));
    assert_string_equal(e.message, "read `absent.toml`: No such file or directory");
    assert_int_equal(mkdir("provium.toml", 0700), 0);
    assert_null(config_load(NULL, env, &e));
    assert_string_equal(e.message, "read `provium.toml`: Is a directory");
    assert_int_equal(chdir(before), 0);
}

static void every_key(void **state)
{
    (void)state;
    _cleanup_temp_ char *dir = temp_new();
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(config_freep) struct config *config =
        load(dir,
             "[provium]\nroots = [\"tests\", \"/abs\", \"~/own\"]\ncache_dir = "
             "\"cache\"\ncache_max_size = \"1.5G\"\n"
             "sandbox = \"require\"\n"
             "[profiles.web]\nkernel = \"{out}/bzImage\"\ninitrd = \"~/initrd\"\ncmdline_file = "
             "\"cmd\"\n"
             "guest_os = \"peios\"\ninject_agent = false\nagent_overlay_path = \"o.cpio\"\n"
             "agent_boot_timeout = 2.5\nbuild = \"make O={out}\"\nbuild_out = \"outdir\"\n"
             "accel = \"tcg\"\narch = \"aarch64\"\nmachine = \"virt\"\ncpu = \"max\"\nmemory = "
             "268435456\ncpus = 4\n"
             "disks = [{path = \"{out}/root.img\", id = \"root\", readonly = true},"
             " {scratch = \"16M\", mediated = false}]\n"
             "[profiles.other]\nroot = \"tree\"\ncmdline = \"quiet\"\nbuild = \"make {out}\"\n",
             &e);
    assert_null(e.message);
    assert_non_null(config);
    assert_int_equal(config->profile_count, 3);
    assert_string_equal(config->profiles[0].name, "default");
    assert_string_equal(config_first_profile(config)->name, "other");
    assert_int_equal(config->sandbox, SANDBOX_REQUIRE);
    assert_int_equal(config->cache_max_size, GIB + 512 * MIB);
    assert_string_equal(config->roots.items[1], "/abs");
    assert_string_equal(config->roots.items[2], "/home/me/own");

    const struct profile *p = config_profile(config, "web", NULL);
    _cleanup_free_ char *kernel = xasprintf("%s/outdir/bzImage", dir),
                        *build = xasprintf("make O=%s/outdir", dir),
                        *disk = xasprintf("%s/outdir/root.img", dir),
                        *cache = path_join(dir, "cache"), *root = path_join(dir, "tests");
    assert_string_equal(config->cache_dir, cache);
    assert_string_equal(config->roots.items[0], root);
    assert_string_equal(p->kernel, kernel);
    assert_string_equal(p->initrd, "/home/me/initrd");
    assert_string_equal(p->build, build);
    assert_false(p->inject_agent);
    assert_int_equal(p->agent_boot_timeout_ns, 2500 * NS_PER_MS);
    assert_int_equal(p->accel, ACCEL_TCG);
    assert_int_equal(p->arch, ARCH_AARCH64);
    assert_int_equal(p->memory, 256 * MIB);
    assert_int_equal(p->cpus, 4);
    assert_int_equal(p->disk_count, 2);
    assert_string_equal(p->disks[0].path, disk);
    assert_true(p->disks[0].readonly && p->disks[0].mediated);
    assert_int_equal(p->disks[1].scratch, 16 * MIB);
    assert_false(p->disks[1].mediated);
    p = config_profile(config, "other", NULL);
    assert_string_equal(p->build, "make /home/me/.cache/provium/build/other");
}

static void parse_errors_have_a_position(void **state)
{
    (void)state;
    _cleanup_temp_ char *dir = temp_new();
    _cleanup_err_ struct err e = ERR_INIT;
    assert_null(load(dir, "[provium]\nroots = [\n", &e));
    assert_true(str_starts_with(e.message, "parse `"));
    assert_true(str_ends_with(e.message, "(line 2, column 11)"));
    assert_refused("[provium]\nroots = \"tests\"\n",
                   "parse `FILE`: `roots` in [provium] must be an array of strings, not a string "
                   "(line 2, column 9)");
    assert_refused("profiles = 1\n",
                   "parse `FILE`: `profiles` in the top level must be a table, not an integer "
                   "(line 1, column 12)");
    assert_refused("[profiles]\nweb = 1\n", "parse `FILE`: `web` in [profiles] must be a table (a "
                                            "profile), not an integer (line 2, column 7)");
    assert_refused("[profiles.from_dir]\nkernel = 'x'\n",
                   "parse `FILE`: `from_dir` in [profiles] must be a string (it is no possible "
                   "profile name), not a "
                   "table (line 1, column 1)");
}

static void rules_have_the_documented_texts(void **state)
{
    (void)state;
    assert_refused("[profiles.a]\nkernel = 'k'\ncmdline = ' '\n",
                   "invalid config in `FILE`: profile `a` has empty cmdline");
    assert_refused("[profiles.a]\nkernel = 'k'\n",
                   "invalid config in `FILE`: profile `a` has empty cmdline");
    assert_refused("[profiles.a]\n" GOOD "guest_os = \"linux\"\n",
                   "invalid config in `FILE`: profile `a` has guest_os = `linux`, only `peios` is "
                   "supported in v1");
    assert_refused("[profiles.a]\ncmdline = 'quiet'\n",
                   "invalid config in `FILE`: profile `a` has no kernel (set kernel or root)");
    assert_refused("[profiles.a]\n" GOOD "root = '.'\n",
                   "invalid config in `FILE`: profile `a` has both kernel and root");
    assert_refused("[profiles.a]\n" GOOD "cmdline_file = 'x'\n",
                   "invalid config in `FILE`: profile `a` has both cmdline and cmdline_file");
    assert_refused("[profiles.a]\nkernel = '{out}/k'\ncmdline = 'quiet'\n",
                   "invalid config in `FILE`: profile `a` uses {out} in `kernel` but has neither "
                   "build nor build_out");
    assert_refused("[profiles.'a/b']\n" GOOD,
                   "invalid config in `FILE`: profile name `a/b` must be usable as a file name");
}

static void unknown_keys_get_a_suggestion(void **state)
{
    (void)state;
    assert_refused(
        "[provium]\nrots = []\n",
        "invalid config in `FILE`: unknown key `rots` in [provium]; accepted: roots, cache_dir, "
        "cache_max_size, sandbox, ahead; did you mean `roots`? (line 2, column 1)");
    assert_refused(
        "[provum]\n",
        "invalid config in `FILE`: unknown key `provum` in the top level; accepted: provium, "
        "profiles; did you mean `provium`? (line 1, column 2)");
    assert_refused("[profiles.a]\n" GOOD "zzzzzz = 1\n",
                   "invalid config in `FILE`: unknown key `zzzzzz` in [profiles.a]; accepted: "
                   "kernel, initrd, cmdline, "
                   "cmdline_file, guest_os, inject_agent, agent_overlay_path, agent_boot_timeout, "
                   "root, build, "
                   "build_out, disks, accel, arch, machine, cpu, memory, cpus (line 4, column 1)");
}

static void bad_values_say_what_is_accepted(void **state)
{
    (void)state;
    assert_refused("[provium]\ncache_max_size = 'lots'\n",
                   "invalid config in `FILE`: `cache_max_size` in [provium]: invalid size `lots`, "
                   "expected for example "
                   "\"512M\", \"1.5G\" or 4096 (line 2, column 18)");
    assert_refused("[provium]\ncache_max_size = -1\n",
                   "invalid config in `FILE`: `cache_max_size` in [provium]: invalid size `-1`, "
                   "expected for example "
                   "\"512M\", \"1.5G\" or 4096 (line 2, column 18)");
    assert_refused(
        "[provium]\nsandbox = 'no'\ncache_dir = ''\nroots = ['']\n",
        "invalid config in `FILE`: `cache_dir` in [provium]: is empty (line 3, column 13)\n"
        "invalid config in `FILE`: `roots` in [provium]: entry 1 is empty (line 4, column 9)\n"
        "invalid config in `FILE`: `sandbox` in [provium]: invalid value `no`, accepted: \"auto\", "
        "\"require\" or \"off\" (line 2, column 11)");
    assert_refused(
        "[profiles.a]\n" GOOD "agent_boot_timeout = nan\ncpus = 0\nmemory = 0\n",
        "invalid config in `FILE`: `agent_boot_timeout` in [profiles.a]: invalid duration `nan`, "
        "expected "
        "seconds or for example \"250ms\", \"30s\", \"5m\", \"2h\" (line 4, column 22)\n"
        "invalid config in `FILE`: `cpus` in [profiles.a]: invalid value `0`, accepted: 1 to 255 "
        "(line 5, "
        "column 8)\n"
        "invalid config in `FILE`: profile `a` has memory = 0 bytes, at least 1M is needed");
    assert_refused("[profiles.a]\nkernel = \"k\\u0000\"\ncmdline = 'x'\n",
                   "invalid config in `FILE`: `kernel` in [profiles.a]: holds a NUL character "
                   "(line 2, column 10)\n"
                   "invalid config in `FILE`: profile `a` has no kernel (set kernel or root)");
}

static void disks_have_one_source(void **state)
{
    (void)state;
    assert_refused(
        "[profiles.a]\n" GOOD
        "disks = [{id = 'x'}, {path = 'p', scratch = '1M', id = 'x'}, {path='p', id='/'}]\n",
        "invalid config in `FILE`: [[profiles.a.disks]] entry 1 needs exactly one source, found "
        "none; "
        "accepted: path, scratch, template\n"
        "invalid config in `FILE`: [[profiles.a.disks]] entry 2 needs exactly one source, found "
        "path, "
        "scratch; accepted: path, scratch, template\n"
        "invalid config in `FILE`: [[profiles.a.disks]] entry 2 has the same id `x` as entry 1\n"
        "invalid config in `FILE`: `id` in [[profiles.a.disks]] entry 3: invalid value `/`, "
        "accepted: 1 to "
        "64 of A-Z a-z 0-9 . _ -");
    assert_refused("[profiles.a]\n" GOOD "disks = [1]\n",
                   "parse `FILE`: `disks` in [profiles.a] must be an array of tables, not an array "
                   "of other values (line 4, column 9)");
}

static void profiles_from_a_directory(void **state)
{
    (void)state;
    _cleanup_temp_ char *dir = temp_new();
    free(temp_file(dir, "profs/b/profile.provium.toml", "kernel = \"bz\"\ncmdline = \"quiet\"\n"));
    free(temp_file(dir, "profs/a/profile.provium.toml",
                   "kernel = \"bz\"\ncmdline = \"quiet\"\nbuild = \"make\"\n"));
    free(temp_file(dir, "profs/skipped/README", ""));
    free(temp_file(dir, "profs/file", ""));
    const char *text = "[profiles]\nfrom_dir = \"profs\"\n[profiles.inline]\n" GOOD;
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(config_freep) struct config *config = load(dir, text, &e);
    assert_null(e.message);
    _cleanup_free_ char *names = config_profile_names(config);
    assert_string_equal(names, "a, b, default, inline");
    _cleanup_free_ char *kernel = path_join(dir, "profs/b/bz"), *home = path_join(dir, "profs/a");
    assert_string_equal(config_profile(config, "b", NULL)->kernel, kernel);
    assert_string_equal(config_profile(config, "a", NULL)->directory, home);
    assert_null(config_profile(config, "x", &e));
    assert_string_equal(e.message, "profile `x` not found; known: a, b, default, inline");

    free(temp_file(dir, "profs/c/profile.provium.toml", "cmdline = \n"));
    free(temp_file(dir, "profs/d/profile.provium.toml", "kernal = 'k'\ncmdline = 'x'\n"));
    free(temp_file(dir, "profs/inline/profile.provium.toml", ""));
    assert_null(load(dir, text, &e));
    _cleanup_free_ char *message = text_replace(e.message, dir, "DIR");
    assert_non_null(strstr(message, "parse `DIR/profs/c/profile.provium.toml`: "));
    assert_non_null(strstr(
        message, "\ninvalid config in `DIR/profs/d/profile.provium.toml`: unknown key `kernal` in "
                 "[profiles.d]; accepted: kernel,"));
    assert_non_null(strstr(
        message,
        "\ninvalid config in `DIR/profs/d/profile.provium.toml`: profile `d` has no kernel"));
    assert_non_null(strstr(
        message, "\ninvalid config in `DIR/profs/inline/profile.provium.toml`: profile `inline` is "
                 "also declared in `DIR/provium.toml`"));
    assert_refused("[profiles]\nfrom_dir = '/nowhere'\n",
                   "invalid config in `FILE`: `from_dir` in [profiles]: "
                   "`/nowhere`: No such file or directory (line 2, column 12)");
}

static void overrides(void **state)
{
    (void)state;
    _cleanup_temp_ char *dir = temp_new();
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(config_freep) struct config *one =
        load(dir, "[profiles.a]\nroot = 'x'\ncmdline = 'y'\n", NULL);
    struct profile *a = (struct profile *)config_profile(one, "a", NULL);
    assert_int_equal(config_override(one, OVERRIDE_KERNEL, "/k=1", env, &e), 0);
    assert_string_equal(a->kernel, "/k=1");
    assert_null(a->root);
    assert_int_equal(config_override(one, OVERRIDE_INITRD, "a=@bundled", env, &e), 0);
    assert_string_equal(a->initrd, BUNDLED_GUEST);
    assert_int_equal(config_override(one, OVERRIDE_APPEND, "debug", env, &e), 0);
    assert_int_equal(config_override(one, OVERRIDE_APPEND, "a=loglevel=7", env, &e), 0);
    assert_string_equal(a->cmdline_append, "debug loglevel=7");
    assert_int_equal(config_override(one, OVERRIDE_APPEND, "default=x", env, &e), 0);
    assert_string_equal(config_profile(one, "default", NULL)->cmdline_append, "x");

    _cleanup_(config_freep) struct config *two =
        load(dir, "[profiles.a]\n" GOOD "[profiles.b]\n" GOOD, NULL);
    assert_int_equal(config_override(two, OVERRIDE_KERNEL, "/k", env, &e), -1);
    assert_string_equal(e.message,
                        "`/k` does not say which profile it is for; known: a, b, default");
    assert_string_equal(e.hint, "write PROFILE=/k");
    assert_int_equal(config_override(two, OVERRIDE_KERNEL, "b=/k", env, &e), 0);
    assert_string_equal(config_profile(two, "b", NULL)->kernel, "/k");
}

static void environment_places(void **state)
{
    (void)state;
    assert_string_equal(env->scratch_root, "/home/me/.cache/provium");
    assert_string_equal(env->rerun_state, "/home/me/.cache/provium/rerun.json");
    assert_string_equal(env->temporary_dir, "/tmp");
    assert_null(env->qemu);
}

static char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

static char *full_environment(const char *name)
{
    static char value[64];
    if (!strcmp(name, "TMPDIR"))
        return "";
    snprintf(value, sizeof(value), "/v/%s", name);
    return value;
}

static void environment_without_home(void **state)
{
    (void)state;
    _cleanup_(environment_freep) struct environment *bare = environment_new(no_environment, NULL);
    _cleanup_free_ char *expected = xasprintf("/tmp/provium-%u", (unsigned)getuid());
    assert_string_equal(bare->scratch_root, expected);
    assert_true(bare->scratch_in_tmp);
    assert_string_equal(bare->rerun_state, "/tmp/provium-rerun.json");
    _cleanup_(environment_freep) struct environment *full = environment_new(full_environment, NULL);
    assert_string_equal(full->scratch_root, "/v/XDG_CACHE_HOME/provium");
    assert_string_equal(full->build_dir, "/v/PROVIUM_BUILD_DIR");
    assert_string_equal(full->fixture_cache, "/v/PROVIUM_FIXTURE_CACHE");
    assert_string_equal(full->qemu, "/v/PROVIUM_QEMU");
    assert_string_equal(full->temporary_dir, "/tmp");
}

static void scratch_in_tmp_must_be_private(void **state)
{
    (void)state;
    _cleanup_temp_ char *dir = temp_new();
    _cleanup_err_ struct err e = ERR_INIT;
    struct environment fake = {.scratch_root = path_join(dir, "s"), .scratch_in_tmp = true};
    assert_int_equal(environment_make_scratch(&fake, &e), 0);
    assert_int_equal(environment_make_scratch(&fake, &e), 0);
    assert_int_equal(chmod(fake.scratch_root, 0755), 0);
    assert_int_equal(environment_make_scratch(&fake, &e), -1);
    assert_non_null(strstr(e.message, "is not a private directory of this user"));
    rmdir(fake.scratch_root);
    assert_int_equal(symlink("/", fake.scratch_root), 0);
    assert_int_equal(environment_make_scratch(&fake, &e), -1);
    free(fake.scratch_root);
}

static void toml_nesting_is_bounded(void **state)
{
    (void)state;
    static char text[400000];
    _cleanup_err_ struct err e = ERR_INIT;
    memset(text, '[', sizeof(text) - 1);
    memcpy(text, "a=", 2);
    assert_null(toml_parse(text, sizeof(text) - 1, &e));
    for (size_t i = 0; i + 1 < sizeof(text); i += 2)
        memcpy(text + i, "a.", 2);
    memcpy(text + sizeof(text) - 5, "a=1\n", 4);
    assert_null(toml_parse(text, sizeof(text) - 1, &e));
    assert_string_equal(e.message, "keys nested too deeply (line 1, column 1)");
    const char *dots =
        "# ..............................................................................\n"
        "a = \"\"\"\n................................\\\"................................'.\"\"\"\n"
        "b = '.......................................................................'\n";
    _cleanup_(toml_freep) struct toml_value *root = toml_parse(dots, strlen(dots), &e);
    assert_non_null(root);
    assert_int_equal(root->count, 2);
}

static void toml_takes_any_script(void **state)
{
    (void)state;
    _cleanup_err_ struct err e = ERR_INIT;
    const char *text = "a = \"\"\"\\\n  \xc3\xbc\xd1\x84\xe3\x80\x80\"\"\" # \xc3\xbc\n";
    _cleanup_(toml_freep) struct toml_value *root = toml_parse(text, strlen(text), &e);
    assert_non_null(root);
    assert_string_equal(root->items[0].string, "\xc3\xbc\xd1\x84\xe3\x80\x80");
    assert_null(toml_parse("\xc3\xbc = 1", 6, &e));
    assert_null(toml_parse("a = '\xff'", 7, &e));
}

static int setup(void **state)
{
    (void)state;
    env = environment_new(test_environment, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    environment_free(env);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_file_has_the_builtin_profile),
        cmocka_unit_test(missing_file),
        cmocka_unit_test(every_key),
        cmocka_unit_test(parse_errors_have_a_position),
        cmocka_unit_test(rules_have_the_documented_texts),
        cmocka_unit_test(unknown_keys_get_a_suggestion),
        cmocka_unit_test(bad_values_say_what_is_accepted),
        cmocka_unit_test(disks_have_one_source),
        cmocka_unit_test(profiles_from_a_directory),
        cmocka_unit_test(overrides),
        cmocka_unit_test(environment_places),
        cmocka_unit_test(environment_without_home),
        cmocka_unit_test(scratch_in_tmp_must_be_private),
        cmocka_unit_test(toml_nesting_is_bounded),
        cmocka_unit_test(toml_takes_any_script),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
