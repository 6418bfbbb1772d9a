#include "unit.h"

#include <string.h>
#include <unistd.h>

#include "pool/discover.h"
#include "temp.h"

static char *dir;

static int setup(void **state)
{
    static const char *const names[] = {"tests/b.test.lua",
                                        "tests/a/z.test.lua",
                                        "tests/a-b/y.test.lua",
                                        "tests/.hidden/x.test.lua",
                                        "tests/a/notes.lua",
                                        "tests/a/b.fixture.lua",
                                        "tests/sp ace/\xc3\xbc.test.lua",
                                        "other/o.test.lua",
                                        "tests/.dot.test.lua"};
    (void)state;
    dir = temp_new();
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        free(temp_file(dir, names[i], ""));
    return chdir(dir);
}

static int teardown(void **state)
{
    (void)state;
    int rc = chdir("/");
    temp_free(&dir);
    return rc;
}

static void split(const char *text, struct strv *into)
{
    _cleanup_free_ char *copy = xstrdup(text);
    char *rest = copy, *word;
    while ((word = strsep(&rest, ",")))
        if (*word)
            strv_add(into, word);
}

/* Lines of "path (relative path)" of what is found; the lists are separated by commas. */
static char *found(const char *operands, const char *roots, const char *filter)
{
    _cleanup_strv_ struct strv operand_list = STRV_INIT, root_list = STRV_INIT, lines = STRV_INIT;
    _cleanup_(discovery_done) struct discovery d = {0};
    _cleanup_err_ struct err e = ERR_INIT;
    split(operands, &operand_list);
    split(roots, &root_list);
    int rc = discover(&operand_list, &root_list, ".test.lua", &d, &e);
    if (rc < 0)
        return xstrdup(e.message);
    if (filter)
        discovery_filter(&d, filter);
    for (size_t i = 0; i < d.warnings.count; i++)
        strv_addf(&lines, "warning: %s", d.warnings.items[i]);
    for (size_t i = 0; i < d.count; i++)
        strv_addf(&lines, "%s (%s)", d.files[i].path, d.files[i].relative);
    return strv_join(&lines, "\n");
}

#define assert_found(operands, roots, filter, expected)                                            \
    do {                                                                                           \
        _cleanup_free_ char *text = found(operands, roots, filter);                                \
        assert_string_equal(text, expected);                                                       \
    } while (0)

#define TESTS_BELOW                                                                                \
    "tests/.dot.test.lua (.dot.test.lua)\ntests/a-b/y.test.lua (a-b/y.test.lua)\n"                 \
    "tests/a/z.test.lua (a/z.test.lua)\ntests/b.test.lua (b.test.lua)\n"                           \
    "tests/sp ace/\xc3\xbc.test.lua (sp ace/\xc3\xbc.test.lua)"

static void directories_are_sorted_and_hidden_ones_left_out(void **state)
{
    (void)state;
    assert_found("tests", "", NULL, TESTS_BELOW);
    assert_found("tests//", "", NULL, TESTS_BELOW);
    assert_found("", "tests", NULL, TESTS_BELOW);
    assert_found("tests/.hidden", "", NULL, "tests/.hidden/x.test.lua (x.test.lua)");
}

static void operands_keep_their_order(void **state)
{
    (void)state;
    assert_found("other,tests/a", "", NULL,
                 "other/o.test.lua (o.test.lua)\ntests/a/z.test.lua (z.test.lua)");
    assert_found("tests/a,other", "", NULL,
                 "tests/a/z.test.lua (z.test.lua)\nother/o.test.lua (o.test.lua)");
    assert_found("tests/a/notes.lua", "", NULL, "tests/a/notes.lua (tests/a/notes.lua)");
}

static void duplicates_count_once(void **state)
{
    (void)state;
    assert_int_equal(symlink("tests", "alias"), 0);
    assert_found("tests/a/z.test.lua,tests/a,./tests/a,alias/a", "", NULL,
                 "tests/a/z.test.lua (z.test.lua)");
    unlink("alias");
}

static void roots_give_the_relative_path(void **state)
{
    (void)state;
    assert_found("tests/a", "tests", NULL, "tests/a/z.test.lua (a/z.test.lua)");
    assert_found("other", "tests", NULL, "other/o.test.lua (o.test.lua)");
    assert_found("", "tests", "a/", "tests/a/z.test.lua (a/z.test.lua)");
    assert_found("", "tests", "tests", "");
    _cleanup_free_ char *absolute = path_join(dir, "tests/a"),
                        *expected = xasprintf("%s/z.test.lua (a/z.test.lua)", absolute);
    assert_found(absolute, "tests", NULL, expected);
}

static void current_directory_is_the_default(void **state)
{
    (void)state;
    _cleanup_free_ char *all = found("", "", NULL), *dot = found(".", "", NULL);
    assert_true(str_starts_with(all, "other/o.test.lua (other/o.test.lua)\n"));
    assert_string_equal(all, dot);
}

static void links(void **state)
{
    (void)state;
    _cleanup_free_ char *link = path_join(dir, "links/l.test.lua");
    assert_int_equal(mkdir("links", 0700), 0);
    assert_int_equal(symlink("../tests/b.test.lua", "links/l.test.lua"), 0);
    assert_int_equal(symlink("nowhere", "links/d.test.lua"), 0);
    assert_int_equal(symlink("..", "links/loop"), 0);
    assert_int_equal(mkdir("links/dir.test.lua", 0700), 0);
    assert_found("links", "", NULL, "links/l.test.lua (l.test.lua)");
}

static void problems(void **state)
{
    (void)state;
    assert_found("nowhere", "", NULL, "`nowhere`: No such file or directory");
    assert_found("", "nowhere,tests/b.test.lua", NULL,
                 "none of the roots is a directory: nowhere, tests/b.test.lua");
    assert_found("", "nowhere,other", NULL,
                 "warning: root `nowhere` is not a directory\nother/o.test.lua (o.test.lua)");
    assert_int_equal(mkdir("empty", 0700), 0);
    assert_found("empty", "", NULL, "");
    assert_found("/dev/null", "", NULL, "`/dev/null`: Not a directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directories_are_sorted_and_hidden_ones_left_out),
        cmocka_unit_test(operands_keep_their_order),
        cmocka_unit_test(duplicates_count_once),
        cmocka_unit_test(roots_give_the_relative_path),
        cmocka_unit_test(current_directory_is_the_default),
        cmocka_unit_test(links),
        cmocka_unit_test(problems),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
