/* lab.json: whatever is wrong in it is told, and nothing that leads out of the directory is accepted. */
#include "unit.h"

#include <string.h>

#include "snapshot/lab_file.h"
#include "temp.h"

#define VM(name, file)                                                                                              \
    "{\"name\":\"" name "\",\"profile\":\"p\"," file "\"state\":\"booted\",\"memory_bytes\":1,\"cpus\":1,"                \
    "\"kernel_cmdline\":\"\",\"nics\":[],\"disks\":[]}"
#define LAB(vms, subs)                                                                                              \
    "{\"format\":1,\"lab\":\"l\",\"agent\":\"\",\"hypervisor\":\"\",\"vms\":[" vms "],\"bridges\":[],\"sub_labs\":[" subs "]}"

static void accepts(const char *text, const char *file)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_strv_ struct strv files = STRV_INIT, directories = STRV_INIT;
    if (lab_file_check(text, strlen(text), &files, &directories, &e) < 0)
        fail_msg("%s", err_message(&e));
    assert_int_equal(files.count, file ? 1 : 0);
    if (file)
        assert_string_equal(files.items[0], file);
}

static void refuses(const char *text, const char *reason)
{
    _cleanup_err_ struct err e = ERR_INIT;
    assert_int_equal(lab_file_check(text, strlen(text), NULL, NULL, &e), -1);
    if (!strstr(err_message(&e), reason))
        fail_msg("`%s` does not tell `%s`", err_message(&e), reason);
}

static void test_fields(void **state)
{
    (void)state;
    accepts(LAB("", ""), NULL);
    accepts(LAB(VM("a", "\"file\":\"a%20b.snap\","), "{\"name\":\"s\",\"dir\":\"s.lab\"}"), "a%20b.snap");
    accepts(LAB(VM("a", ""), ""), NULL);
    refuses("", "line");
    refuses("[]", "`format`");
    refuses("{\"format\":2}", "format 2; this provium reads format 1");
    refuses("{\"format\":1}", "`lab`");
    refuses(LAB(VM("a", "") "," VM("a", ""), ""), "`a` is there twice");
    refuses(LAB("{\"name\":\"a\"}", ""), "`profile`");
    refuses(LAB(VM("a/b", ""), ""), "`name`");
    refuses(LAB("7", ""), "`name`");
}

static void test_names(void **state)
{
    static const char *const bad[] = {"../a", "..", ".", "/a", "a/b", "", "a b", "lab.json"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_free_ char *vm = xasprintf(LAB("{\"name\":\"a\",\"profile\":\"p\",\"file\":\"%s\"}", ""), bad[i]);
        refuses(vm, "vms: `file`");
        _cleanup_free_ char *sub = xasprintf(LAB("", "{\"name\":\"s\",\"dir\":\"%s\"}"), bad[i]);
        refuses(sub, "sub_labs: `dir`");
    }
}

static void test_directory(void **state)
{
    _cleanup_temp_ char *t = temp_new();
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT(LAB_FILE_MAX);
    (void)state;
    assert_int_equal(lab_file_read(t, &text, NULL, NULL, &e), -1);
    free(temp_file(t, LAB_FILE, LAB(VM("a", "\"file\":\"a.snap\","), "")));
    assert_int_equal(lab_file_read(t, &text, NULL, NULL, &e), -1);
    assert_non_null(strstr(err_message(&e), "`a.snap`: No such file"));
    _cleanup_free_ char *file = temp_file(t, "real", ""), *link = path_join(t, "a.snap");
    assert_int_equal(symlink(file, link), 0);
    buf_clear(&text);
    assert_int_equal(lab_file_read(t, &text, NULL, NULL, &e), -1);
    assert_non_null(strstr(err_message(&e), "not a regular file"));
    assert_int_equal(unlink(link), 0);
    assert_int_equal(rename(file, link), 0);
    buf_clear(&text);
    assert_int_equal(lab_file_read(t, &text, NULL, NULL, &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fields), cmocka_unit_test(test_names),
                                       cmocka_unit_test(test_directory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
