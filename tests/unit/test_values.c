#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "config/config.h"
#include "config/values.h"

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},
        {"4096", 4096},
        {"1K", KIB},
        {"1k", KIB},
        {"512M", 512 * MIB},
        {"512MB", 512 * MIB},
        {"512MiB", 512 * MIB},
        {"512mib", 512 * MIB},
        {"20G", 20 * GIB},
        {"1.5G", GIB + 512 * MIB},
        {"0.5k", 512},
        {"2T", 2 * TIB},
        {"1.0000000000000000001K", KIB},
        {"9223372036854775807", INT64_MAX},
    };
    static const char *const bad[] = {"",
                                      "G",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 G",
                                      "1.5",
                                      "1.",
                                      ".5G",
                                      "1P",
                                      "1GG",
                                      "1Bi",
                                      "10B",
                                      "0x10",
                                      "1e3",
                                      "1iB",
                                      "nan",
                                      "9223372036854775808",
                                      "99999999999999999999999",
                                      "8388608T"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        uint64_t bytes = 1;
        assert_int_equal(size_parse(good[i].text, &bytes, NULL), 0);
        assert_int_equal(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint64_t bytes = 7;
        assert_int_equal(size_parse(bad[i], &bytes, NULL), -1);
        assert_int_equal(bytes, 7);
    }
    _cleanup_err_ struct err e = ERR_INIT;
    size_parse("lots", &(uint64_t){0}, &e);
    assert_string_equal(e.message,
                        "invalid size `lots`, expected for example \"512M\", \"1.5G\" or 4096");
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        {"0", 0},
        {"30", 30 * NS_PER_S},
        {"250ms", 250 * NS_PER_MS},
        {"1.5s", 1500 * NS_PER_MS},
        {"5m", 300 * NS_PER_S},
        {"2h", 7200 * NS_PER_S},
        {"0.5m", 30 * NS_PER_S},
        {"0.25", 250 * NS_PER_MS},
    };
    static const char *const bad[] = {"",      "s",   "-1s", "1d",  "1 s",
                                      "1h30m", "inf", "nan", "1e3", "9999999999h"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        int64_t ns = -1;
        assert_int_equal(duration_parse(good[i].text, &ns, NULL), 0);
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(duration_parse(bad[i], &(int64_t){0}, NULL), -1);

    int64_t ns = -1;
    assert_int_equal(duration_from_seconds(0.0005, &ns, NULL), 0);
    assert_int_equal(ns, 500000);
    assert_int_equal(duration_from_seconds(-0.001, &ns, NULL), -1);
    assert_int_equal(duration_from_seconds(NAN, &ns, NULL), -1);
    assert_int_equal(duration_from_seconds(INFINITY, &ns, NULL), -1);
    assert_int_equal(duration_from_seconds(1e10, &ns, NULL), -1);
}

static void formats(void **state)
{
    (void)state;
    _cleanup_free_ char *a = size_format(17), *b = size_format(512 * MIB),
                        *c = size_format(GIB + GIB / 2), *d = duration_format(300 * NS_PER_S),
                        *f = duration_format(250 * NS_PER_MS),
                        *g = duration_format(1500 * NS_PER_MS), *h = size_format(4096 * TIB);
    assert_string_equal(a, "17B");
    assert_string_equal(b, "512MiB");
    assert_string_equal(c, "1.50GiB");
    assert_string_equal(h, "4096TiB");
    assert_string_equal(d, "300s");
    assert_string_equal(f, "250ms");
    assert_string_equal(g, "1.5s");
}

static void words(void **state)
{
    (void)state;
    int index = -1;
    _cleanup_err_ struct err e = ERR_INIT;
    assert_int_equal(word_parse("tcg", accel_words, &index, &e), 0);
    assert_int_equal(index, ACCEL_TCG);
    assert_int_equal(word_parse("xen", accel_words, &index, &e), -1);
    assert_string_equal(e.message, "invalid value `xen`, accepted: \"auto\", \"kvm\" or \"tcg\"");
}

static void paths(void **state)
{
    (void)state;
    _cleanup_free_ char *a = NULL, *b = NULL, *c = NULL;
    _cleanup_err_ struct err e = ERR_INIT;
    path_resolve("x/y", "/base", NULL, &a, NULL);
    path_resolve("/x", "/base", NULL, &b, NULL);
    path_resolve("~/x", "/base", "/home/me", &c, NULL);
    assert_string_equal(a, "/base/x/y");
    assert_string_equal(b, "/x");
    assert_string_equal(c, "/home/me/x");
    char *none = NULL;
    assert_int_equal(path_resolve("~/x", "/base", NULL, &none, &e), -1);
    assert_string_equal(e.message, "`~/x` needs HOME, which is not set");
    assert_int_equal(path_resolve("", "/base", NULL, &none, &e), -1);
    assert_null(none);
}

static void replacement(void **state)
{
    (void)state;
    _cleanup_free_ char *a = text_replace("cp {out}/a {out}/b", "{out}", "/o"),
                        *b = text_replace("", "{out}", "x");
    assert_string_equal(a, "cp /o/a /o/b");
    assert_string_equal(b, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes), cmocka_unit_test(durations), cmocka_unit_test(formats),
        cmocka_unit_test(words), cmocka_unit_test(paths),     cmocka_unit_test(replacement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
