#include "unit.h"

#include <string.h>

#include "base/alloc.h"
#include "config/cmdline.h"

static char *compose(struct cmdline_parts parts)
{
    char *out = NULL;
    parts.profile = "p";
    assert_int_equal(cmdline_compose(&parts, &out, NULL), 0);
    return out;
}

#define assert_composed(expected, ...)                                                             \
    do {                                                                                           \
        _cleanup_free_ char *composed = compose((struct cmdline_parts){__VA_ARGS__});              \
        assert_string_equal(composed, expected);                                                   \
    } while (0)

static void console_is_added_once(void **state)
{
    (void)state;
    assert_composed("quiet console=ttyS0", .base = "quiet");
    assert_composed("console=hvc0 quiet console=ttyS0", .base = "console=hvc0 quiet");
    assert_composed("console=ttyS0 quiet", .base = "console=ttyS0 quiet");
    assert_composed("console=ttyS0,115200n8", .base = "console=ttyS0,115200n8");
    assert_composed("console=ttyS01 console=ttyS0", .base = "console=ttyS01");
    assert_composed("xconsole=ttyS0 console=ttyS0", .base = "xconsole=ttyS0");
    assert_composed("a=\"b console=ttyS0 c\" console=ttyS0", .base = "a=\"b console=ttyS0 c\"");
    assert_composed("console=ttyS0 console=ttyAMA0", .base = "console=ttyS0", .arch = ARCH_AARCH64);
}

static void append_follows_base(void **state)
{
    (void)state;
    assert_composed("console=ttyS0 a b", .base = "console=ttyS0 a", .append = "b");
    assert_composed("console=ttyS0 a", .base = "  console=ttyS0 a \n", .append = "  ");
    assert_composed("a console=ttyS0", .base = "a", .append = "console=ttyS0");
}

static void additions_go_before_the_separator(void **state)
{
    (void)state;
    assert_composed("quiet console=ttyS0 -- single", .base = "quiet -- single");
    assert_composed("quiet x console=ttyS0 -- single", .base = "quiet -- single", .append = "x");
    assert_composed("quiet x console=ttyS0 -- single y", .base = "quiet -- single",
                    .append = "x -- y");
    assert_composed("console=ttyS0 -- console=ttyS0", .base = "-- console=ttyS0");
    assert_composed("quiet console=ttyS0 --", .base = "quiet --");
    assert_composed("quiet --x console=ttyS0", .base = "quiet --x");
}

static void rdinit_goes_with_the_agent(void **state)
{
    (void)state;
    assert_composed("console=ttyS0 rdinit=/sbin/provium-agent", .base = "console=ttyS0",
                    .inject_agent = true);
    assert_composed("rdinit=/sbin/provium-agent console=ttyS0",
                    .base = "rdinit=/sbin/provium-agent", .inject_agent = true);
    assert_composed("rdinit=/bin/sh console=ttyS0", .base = "rdinit=/bin/sh");
    assert_composed("console=ttyS0 rdinit=/sbin/provium-agent -- rdinit=/x",
                    .base = "console=ttyS0 -- rdinit=/x", .inject_agent = true);

    char *out = NULL;
    _cleanup_err_ struct err e = ERR_INIT;
    struct cmdline_parts parts = {.profile = "p", .base = "rdinit=/bin/sh", .inject_agent = true};
    assert_int_equal(cmdline_compose(&parts, &out, &e), -1);
    assert_null(out);
    assert_string_equal(e.message,
                        "profile `p`: the command line has rdinit=/bin/sh, the agent needs "
                        "rdinit=/sbin/provium-agent");
    assert_string_equal(e.hint, "remove rdinit= or set inject_agent = false");
}

static void limits(void **state)
{
    (void)state;
    char *out = NULL;
    _cleanup_err_ struct err e = ERR_INIT;
    char text[CMDLINE_MAX + 2];
    memset(text, 'x', sizeof(text));
    memcpy(text, "console=ttyS0 ", 14);
    text[CMDLINE_MAX] = '\0';
    struct cmdline_parts parts = {.profile = "p", .base = text};
    assert_int_equal(cmdline_compose(&parts, &out, &e), 0);
    assert_int_equal(strlen(out), CMDLINE_MAX);
    free(out);
    text[CMDLINE_MAX] = 'x';
    text[CMDLINE_MAX + 1] = '\0';
    assert_int_equal(cmdline_compose(&parts, &out, &e), -1);
    assert_string_equal(
        e.message, "profile `p`: the command line has 2048 bytes, the kernel takes at most 2047");
    parts.base = "a=\"b c";
    assert_int_equal(cmdline_compose(&parts, &out, &e), -1);
    assert_string_equal(e.message, "profile `p`: a double quote is not closed in the command line");
    parts.base = " \t";
    assert_int_equal(cmdline_compose(&parts, &out, &e), -1);
    assert_string_equal(e.message, "profile `p` has empty cmdline");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(console_is_added_once),
        cmocka_unit_test(append_follows_base),
        cmocka_unit_test(additions_go_before_the_separator),
        cmocka_unit_test(rdinit_goes_with_the_agent),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
