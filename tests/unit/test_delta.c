/* Entries that lie on others: what is chosen, put together again, refused, and kept. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "fixture/evict.h"
#include "fixture/pack.h"
#include "snapshot/snapshot_file.h"
#include "temp.h"

#define MEMORY (4 << 20)
#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

static const struct snapshot_info example = {
    .provium = "0", .agent = "1", .hypervisor = "7.2", .vm = "a", .profile = "default", .arch = "x86_64", .machine = "auto",
    .cpu = "max", .host_cpu = "", .memory_bytes = MEMORY, .cpus = 1, .cmdline = "quiet", .taken_ns = 1,
};

/* Memory of noise, the same each time, with `marks` bytes that are not. */
static char *make_snapshot(const char *directory, const char *name, const char *marks)
{
    char *path = path_join(directory, name);
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_free_ char *memory = xcalloc(1, MEMORY);
    _cleanup_(snapshot_writer_freep) struct snapshot_writer *w = snapshot_writer_new(path, MEMORY, &e);
    assert_non_null(w);
    srand(1);
    for (size_t i = 0; i < 2 << 20; i++)
        memory[i] = (char)rand();
    for (size_t i = 0; marks[i]; i++)
        memory[(i * 3 + 1) * 4096] = marks[i];
    assert_int_equal(snapshot_writer_memory(w, 0, memory, MEMORY, &e), 0);
    assert_int_equal(snapshot_writer_finish(w, "state", 5, &example, false, &e), 0);
    return path;
}

/* Packs into the place of the entry, over the snapshots of `on`. */
static void add_entry(const char *directory, const char *key, const char *snapshot, const struct base_sources *on)
{
    const struct store_id id = {directory, key, FIXTURE_VM};
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_free_ char *entry = store_path(&id, STORE_ENTRY);
    unlink(entry);
    if (fixture_pack(FIXTURE_VM, snapshot, entry, on, &e) < 0)
        fail_msg("%s", err_message(&e));
}

static off_t entry_size(const char *directory, const char *key)
{
    const struct store_id id = {directory, key, FIXTURE_VM};
    struct stat st;
    _cleanup_free_ char *entry = store_path(&id, STORE_ENTRY);
    assert_int_equal(stat(entry, &st), 0);
    return st.st_size;
}

static int unpack(const char *directory, const char *key, const char *to, struct err *e)
{
    const struct store_id id = {directory, key, FIXTURE_VM};
    _cleanup_free_ char *entry = store_path(&id, STORE_ENTRY);
    unlink(to);
    return fixture_unpack(directory, FIXTURE_VM, entry, to, e);
}

static void assert_same(const char *left, const char *right)
{
    _cleanup_buf_ struct buf a = BUF_INIT(MEMORY * 2), b = BUF_INIT(MEMORY * 2);
    assert_int_equal(file_read(left, &a, NULL) | file_read(right, &b, NULL), 0);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(buf_head(&a), buf_head(&b), a.len);
}

/* A, B on A, C on B. */
static void make_chain(const char *t, char *paths[3])
{
    static const char *const keys[] = {A, B, C}, *const marks[] = {"x", "xy", "xyz"};
    struct base_sources on = {0};
    for (size_t i = 0; i < 3; i++) {
        const struct store_id id = {t, keys[i], FIXTURE_VM};
        _cleanup_free_ char *name = xasprintf("%zu.snap", i);
        paths[i] = make_snapshot(t, name, marks[i]);
        add_entry(t, keys[i], paths[i], &on);
        base_sources_done(&on);
        on = (struct base_sources){0};
        base_sources_add(&on, &id, paths[i]);
    }
    base_sources_done(&on);
}

static void free_chain(char *paths[3])
{
    for (size_t i = 0; i < 3; i++)
        free(paths[i]);
}

static void test_chain(void **state)
{
    _cleanup_temp_ char *t = temp_new();
    _cleanup_free_ char *to = path_join(t, "unpacked.snap");
    _cleanup_err_ struct err e = ERR_INIT;
    char *paths[3];
    (void)state;
    make_chain(t, paths);
    assert_true(entry_size(t, A) > 1 << 20);
    assert_true(entry_size(t, B) < 65536 && entry_size(t, C) < 65536);
    assert_int_equal(unpack(t, C, to, &e), 0);
    assert_same(to, paths[2]);
    _cleanup_(snapshot_file_freep) struct snapshot_file *file = snapshot_file_open_unverified(to, NULL);
    assert_false(snapshot_file_touched(file));

    const struct store_id c = {t, C, FIXTURE_VM}, a = {t, A, FIXTURE_VM};
    assert_true(base_is_complete(&c));
    add_entry(t, A, paths[1], &(struct base_sources){0}); /* as if it had been built again */
    assert_int_equal(unpack(t, C, to, &e), -1);
    assert_int_equal(e.code, EBADMSG);
    assert_non_null(strstr(err_message(&e), "its base `" A ".snap` was built again"));
    store_remove(&a, STORE_ENTRY);
    assert_false(base_is_complete(&c));
    assert_int_equal(unpack(t, C, to, &e), -1);
    assert_non_null(strstr(err_message(&e), "its base `" A ".snap` is gone"));
    free_chain(paths);
}

static void test_hostile_names(void **state)
{
    static const char *const names[] = {"../" A ".snap", A ".snap/../x", A ".lab/../../x", A ".lab/", A ".hot/vm.snap", "", "/etc/passwd",
                                        B ".snap"};
    _cleanup_temp_ char *t = temp_new();
    _cleanup_free_ char *snapshot = make_snapshot(t, "x.snap", "x"), *to = path_join(t, "to.snap");
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_err_ struct err e = ERR_INIT;
        struct archive_base base = {0};
        memcpy(base.name, names[i], strlen(names[i]));
        _cleanup_free_ char *entry = path_join(t, B ".snap");
        unlink(entry);
        _cleanup_close_ int from = open(snapshot, O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int out = open(entry, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(archive_pack(from, out, &base, from, &e), 0);
        assert_int_equal(unpack(t, B, to, &e), -1); /* the last one lies on itself */
        assert_int_equal(e.code, EBADMSG);
        assert_non_null(strstr(err_message(&e), "damaged: the name of its base"));
    }
}

static void use_at(const char *directory, const char *key, int age)
{
    const struct store_id id = {directory, key, FIXTURE_VM};
    const struct timespec times[2] = {{.tv_sec = time(NULL) - age}, {.tv_nsec = UTIME_OMIT}};
    _cleanup_free_ char *path = store_path(&id, STORE_ENTRY);
    utimensat(AT_FDCWD, path, times, 0);
}

static void test_eviction_keeps_what_is_needed(void **state)
{
    _cleanup_temp_ char *t = temp_new();
    const struct store_id a = {t, A, FIXTURE_VM}, b = {t, B, FIXTURE_VM}, c = {t, C, FIXTURE_VM};
    char *paths[3];
    (void)state;
    make_chain(t, paths);
    use_at(t, A, 300);
    use_at(t, B, 200);
    use_at(t, C, 100);
    const off_t all = entry_size(t, A) + entry_size(t, B) + entry_size(t, C) + 3 * 4096;
    store_evict(t, (uint64_t)(all - entry_size(t, C) / 2 - 2 * 4096));
    assert_true(store_has(&a, STORE_ENTRY) && store_has(&b, STORE_ENTRY) && !store_has(&c, STORE_ENTRY));

    struct store_lock held = STORE_LOCK_INIT;
    assert_int_equal(store_lock(&b, false, &held, NULL), 0);
    store_evict(t, 1);
    assert_true(store_has(&a, STORE_ENTRY) && store_has(&b, STORE_ENTRY));
    store_unlock(&held);
    store_evict(t, 1);
    assert_true(!store_has(&a, STORE_ENTRY) && !store_has(&b, STORE_ENTRY));
    free_chain(paths);
}

/* Circles are nonsense and must not hang anything. */
static void test_circle(void **state)
{
    _cleanup_temp_ char *t = temp_new();
    _cleanup_free_ char *one = make_snapshot(t, "1.snap", "x"), *two = make_snapshot(t, "2.snap", "xy");
    const struct store_id a = {t, A, FIXTURE_VM}, b = {t, B, FIXTURE_VM};
    struct base_sources on_a = {0}, on_b = {0};
    (void)state;
    base_sources_add(&on_a, &a, one);
    base_sources_add(&on_b, &b, two);
    add_entry(t, A, one, &on_b);
    add_entry(t, B, two, &on_a);
    assert_false(base_is_complete(&a));
    store_evict(t, 1);
    size_t count = 0;
    assert_int_equal(store_clean(t, &count, NULL), 0);
    assert_false(store_has(&a, STORE_ENTRY));
    base_sources_done(&on_a);
    base_sources_done(&on_b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_eviction_keeps_what_is_needed),
        cmocka_unit_test(test_circle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
