#include "unit.h"

#include "cli/ksm.h"
#include "temp.h"

static void assert_value(const char *directory, const char *name, const char *expected)
{
    _cleanup_free_ char *path = path_join(directory, name);
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    assert_int_equal(file_read(path, &text, NULL), 0);
    buf_append_byte(&text, '\0');
    assert_string_equal((const char *)buf_head(&text), expected);
}

static void it_is_tuned_once(void **state)
{
    (void)state;
    _cleanup_temp_ char *directory = temp_new();
    assert_false(ksm_tune(directory)); /* no KSM in this kernel */
    free(temp_file(directory, "run", "0\n"));
    free(temp_file(directory, "pages_to_scan", "100\n"));
    free(temp_file(directory, "sleep_millisecs", "20\n"));
    assert_true(ksm_is_writable(directory));
    assert_true(ksm_tune(directory));
    assert_value(directory, "run", "1\n"); /* over what was there, as in sysfs */
    assert_value(directory, "pages_to_scan", "1000");
    assert_value(directory, "sleep_millisecs", "100");
    assert_false(ksm_tune(directory));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_is_tuned_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
