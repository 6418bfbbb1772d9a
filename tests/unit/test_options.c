#include "unit.h"

#include <glob.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "cli/verb.h"
#include "config/config.h"

#define parse(o, e, ...)                                                                           \
    ({                                                                                             \
        char *argv_[] = {__VA_ARGS__ __VA_OPT__(, ) NULL};                                         \
        options_parse((int)ARRAY_SIZE(argv_) - 1, argv_, o, e);                                    \
    })

#define assert_parsed(o, ...)                                                                      \
    do {                                                                                           \
        _cleanup_err_ struct err e_ = ERR_INIT;                                                    \
        int rc_ = parse(o, &e_, __VA_ARGS__);                                                      \
        if (rc_ < 0)                                                                               \
            fail_msg("%s", err_message(&e_));                                                      \
    } while (0)

#define assert_refused(message_, hint_, ...)                                                       \
    do {                                                                                           \
        struct options o_ = {0};                                                                   \
        const char *hint_text_ = hint_;                                                            \
        _cleanup_err_ struct err e_ = ERR_INIT;                                                    \
        assert_int_equal(parse(&o_, &e_, __VA_ARGS__), -1);                                        \
        assert_string_equal(e_.message, message_);                                                 \
        if (hint_text_)                                                                            \
            assert_string_equal(e_.hint, hint_text_);                                              \
    } while (0)

static void nothing_given(void **state)
{
    (void)state;
    _cleanup_(options_done) struct options o = {0};
    assert_parsed(&o);
    assert_null(o.verb->name);
    assert_int_equal(o.timeout_ns, 300 * INT64_C(1000000000));
    assert_int_equal(o.accel, -1);
    assert_int_equal(o.sandbox, -1);
    assert_true(o.psi_threshold == -1);
    assert_true(o.cpu_overcommit == 1.0);
    assert_int_equal(o.color, COLOR_AUTO);
}

static void every_run_flag(void **state)
{
    (void)state;
    _cleanup_(options_done) struct options o = {0};
    assert_parsed(&o, "a.test.lua", "-v", "--json", "--filter=x=y", "b", "--timeout", "1.5m",
                  "--config", "c.toml", "--accel=tcg", "--sandbox", "off", "--kernel", "p=k",
                  "--kernel", "q=l", "--initrd=i", "--append", "-x --y", "--qemu", "q",
                  "--include-slow", "--tag", "t", "--no-tag=u", "--tag-meta", "a=b=c",
                  "--no-tag-meta", "d=", "-j4", "--mem=1.5G", "--cpus", "3", "--cpu-overcommit",
                  "100", "--fail-fast", "--color", "never", "--no-progress", "--no-build",
                  "--no-preflight", "--seed", "18446744073709551615", "--rerun-failed", "--since", "s",
                  "--shard", "2/3", "--durations", "d", "--shuffle", "--repeat", "4", "--retries=0",
                  "--psi-threshold", "12.5", "--junit", "j", "--html", "h", "--github", "--save-events", "e",
                  "--events-socket", "f", "--", "--c");
    assert_null(o.verb->name);
    assert_int_equal(o.operands.count, 3);
    assert_string_equal(o.operands.items[2], "--c");
    assert_true(o.verbose && o.json && o.include_slow && o.fail_fast && o.no_progress &&
                o.no_build && o.no_preflight && o.seed_given);
    assert_false(o.quiet || o.help || o.version);
    assert_string_equal(o.filter, "x=y");
    assert_int_equal(o.timeout_ns, 90 * NS_PER_S);
    assert_int_equal(o.accel, ACCEL_TCG);
    assert_int_equal(o.sandbox, SANDBOX_OFF);
    assert_int_equal(o.kernels.count, 2);
    assert_string_equal(o.appends.items[0], "-x --y");
    assert_string_equal(o.tag_meta.items[0], "a=b=c");
    assert_int_equal(o.jobs, 4);
    assert_int_equal(o.cpus, 3);
    assert_true(o.memory == UINT64_C(3) << 29);
    assert_true(o.cpu_overcommit == 8.0);
    assert_true(o.rerun_failed && o.github && o.psi_threshold == 12.5);
    assert_int_equal(o.shard.index, 2);
    assert_int_equal(o.shard.count, 3);
    assert_int_equal(o.shuffle, SHUFFLE_FILES);
    assert_int_equal(o.repeat, 4);
    assert_int_equal(o.retries, 0);
    assert_string_equal(o.events_socket, "f");
    assert_true(o.seed == UINT64_MAX);
    assert_int_equal(o.color, COLOR_NEVER);
}

static void short_flags_cluster(void **state)
{
    (void)state;
    _cleanup_(options_done) struct options a = {0}, b = {0}, c = {0};
    assert_parsed(&a, "-vj", "2");
    assert_true(a.verbose && a.jobs == 2);
    assert_parsed(&b, "-j=7");
    assert_int_equal(b.jobs, 7);
    assert_parsed(&c, "-hV");
    assert_true(c.help && c.version);
}

static void commands(void **state)
{
    (void)state;
    _cleanup_(options_done) struct options a = {0}, b = {0}, c = {0}, d = {0};
    assert_parsed(&a, "--json", "list", "x");
    assert_string_equal(a.verb->name, "list");
    assert_int_equal(a.operands.count, 1);
    assert_string_equal(a.operands.items[0], "x");
    assert_null(a.operands.items[1]);
    assert_parsed(&b, "./list");
    assert_null(b.verb->name);
    assert_parsed(&c, "--", "list");
    assert_null(c.verb->name);
    assert_parsed(&d, "list", "--help", "--tag", "x");
    assert_true(d.help);
}

static void refusals(void **state)
{
    (void)state;
    assert_refused("unknown flag `--tmeout`", "did you mean `--timeout`?", "--tmeout=3");
    assert_refused("unknown flag `--zzzzzzzzz`", "`provium --help` lists the flags", "--zzzzzzzzz");
    assert_refused("unknown flag `-x`", NULL, "-vx");
    assert_refused("--config needs a value: --config PATH", NULL, "--config");
    assert_refused("--json takes no value", NULL, "--json=1");
    assert_refused("--verbose and --quiet contradict each other", NULL, "-q", "x", "-v");
    assert_refused("--tag does not apply to `provium list`", NULL, "list", "--tag", "x");
    assert_refused("`provium doctor` does not take `y`", NULL, "doctor", "x", "y");
    assert_refused("--timeout: invalid duration `soon`, expected seconds or for example \"250ms\", "
                   "\"30s\", \"5m\", "
                   "\"2h\"",
                   NULL, "--timeout", "soon");
    assert_refused("--mem: invalid size `0`, must not be 0", NULL, "--mem=0");
    assert_refused("--jobs: invalid value `0`, expected a whole number from 1 to 1000000", NULL,
                   "-j0");
    assert_refused("--jobs: invalid value `-1`, expected a whole number from 1 to 1000000", NULL,
                   "-j", "-1");
    assert_refused(
        "--seed: invalid value `18446744073709551616`, expected a whole number from 0 to "
        "18446744073709551615",
        NULL, "--seed", "18446744073709551616");
    assert_refused("--cpu-overcommit: invalid value `nan`, expected a number such as 1.5", NULL,
                   "--cpu-overcommit", "nan");
    assert_refused("--accel: invalid value `xen`, accepted: \"auto\", \"kvm\" or \"tcg\"", NULL,
                   "--accel=xen");
    assert_refused("--tag-meta: invalid value `x`, expected K=V", NULL, "--tag-meta", "x");
    assert_refused("--shard: invalid value `0/3`, expected I/N with I from 1 to N", NULL, "--shard", "0/3");
    assert_refused("--shard: invalid value `1/ 3`, expected I/N with I from 1 to N", NULL, "--shard=1/ 3");
    assert_refused("--psi-threshold: invalid value `101`, expected a number from 0 to 100", NULL,
                   "--psi-threshold", "101");
    assert_refused("--json and --tap contradict each other", NULL, "--tap", "--json");
    assert_refused("--filter: empty value", NULL, "--filter=");
}

static void table_is_consistent(void **state)
{
    (void)state;
    assert_true(option_row_count <= 128);
    for (size_t i = 0; i < option_row_count; i++) {
        const struct option_row *row = &option_rows[i];
        assert_int_equal(row->kind == OPTION_FLAG, row->value == NULL);
        assert_int_equal(row->kind == OPTION_WORD || row->kind == OPTION_CHOICE, row->words != NULL);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(row->name, option_rows[j].name);
            assert_true(!row->letter || row->letter != option_rows[j].letter);
        }
    }
}

/* True when a file below the directory names the flag. */
static bool is_named_in(const char *directory, const char *pattern, const char *flag)
{
    glob_t files;
    bool found = false;
    size_t size = strlen(flag);
    _cleanup_free_ char *all = path_join(directory, pattern);
    assert_int_equal(glob(all, 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc && !found; i++) {
        _cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
        assert_int_equal(file_read(files.gl_pathv[i], &text, NULL), 0);
        buf_append_byte(&text, '\0');
        for (const char *at = (const char *)buf_head(&text); !found && (at = strstr(at, flag)); at += size)
            found = !strchr("abcdefghijklmnopqrstuvwxyz-", at[size]);
    }
    globfree(&files);
    return found;
}

static void every_flag_is_tested_and_documented(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_row_count; i++) {
        _cleanup_free_ char *flag = xasprintf("--%s", option_rows[i].name);
        if (!is_named_in(PROVIUM_SOURCE, "tests/e2e/*.test.lua", flag))
            fail_msg("no suite in tests/e2e is about %s", flag);
        if (!is_named_in(PROVIUM_SOURCE, "docs/*.md", flag))
            fail_msg("docs/ does not tell of %s", flag);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_given),
        cmocka_unit_test(every_run_flag),
        cmocka_unit_test(short_flags_cluster),
        cmocka_unit_test(commands),
        cmocka_unit_test(refusals),
        cmocka_unit_test(table_is_consistent),
        cmocka_unit_test(every_flag_is_tested_and_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
