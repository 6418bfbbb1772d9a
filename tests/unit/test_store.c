#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/process.h"
#include "base/strv.h"
#include "fixture/evict.h"
#include "fixture/meta.h"
#include "fixture/pack.h"
#include "temp.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* A complete VM entry of about that many bytes with a hot form, used `age` seconds ago. */
static void make_entry(const char *directory, const char *key, size_t size, int age)
{
    const struct store_id id = {directory, key, FIXTURE_VM};
    _cleanup_free_ char *text = xmalloc(size + 1);
    memset(text, 'x', size);
    text[size] = '\0';
    struct staging s = STAGING_INIT;
    struct err e = ERR_INIT;
    assert_int_equal(staging_new(directory, STORE_STAGING, &s, &e), 0);
    _cleanup_free_ char *entry = temp_file(s.path, "entry", text), *hot = temp_file(s.path, "hot/vm.snap", text);
    _cleanup_free_ char *hot_directory = path_directory(hot);
    assert_int_equal(store_install(&id, STORE_ENTRY, entry, &e), 0);
    assert_int_equal(store_install(&id, STORE_HOT, hot_directory, &e), 0);
    staging_done(&s);
    const struct store_meta meta = {.fixture = (char *)"base", .created_ns = 1};
    _cleanup_free_ char *about = store_path(&id, STORE_META);
    assert_int_equal(store_meta_write(about, &meta, &e), 0);
    for (int part = STORE_ENTRY; part <= STORE_HOT; part++) {
        const struct timespec times[2] = {{.tv_sec = time(NULL) - age}, {.tv_nsec = UTIME_OMIT}};
        _cleanup_free_ char *path = store_path(&id, part);
        utimensat(AT_FDCWD, path, times, 0);
    }
}

static size_t count_names(const char *directory)
{
    size_t count = 0;
    DIR *d = opendir(directory);
    for (struct dirent *entry; d && (entry = readdir(d));)
        count += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
    closedir(d);
    return count;
}

static void test_lists(void **state)
{
    (void)state;
    _cleanup_temp_ char *t = temp_new();
    struct store_items all;
    make_entry(t, B, 100000, 5);
    make_entry(t, A, 10, 50);
    free(temp_file(t, "unrelated", "x"));
    store_list(t, &all);
    assert_int_equal(all.count, 2);
    assert_string_equal(all.items[0].key, A);
    assert_string_equal(all.items[0].fixture, "base");
    assert_true(all.items[0].entry);
    assert_true(all.items[1].bytes >= 100000 && all.items[1].bytes < 200000);
    assert_true(all.items[1].hot_bytes >= 100000);
    assert_true(all.items[1].used_ns > all.items[0].used_ns);
    store_items_done(&all);
    store_list("/nonexistent", &all);
    assert_int_equal(all.count, 0);
}

static void test_evicts_hot_forms_first_then_the_oldest(void **state)
{
    (void)state;
    _cleanup_temp_ char *t = temp_new();
    const struct store_id a = {t, A, FIXTURE_VM}, b = {t, B, FIXTURE_VM};
    make_entry(t, A, 1 << 20, 100);
    make_entry(t, B, 1 << 20, 1);
    store_evict(t, UINT64_C(5) << 20);
    assert_true(store_has(&a, STORE_HOT));
    store_evict(t, (3 << 20) + (1 << 19));
    assert_false(store_has(&a, STORE_HOT));
    assert_true(store_has(&a, STORE_ENTRY) && store_has(&b, STORE_HOT));
    store_evict(t, (1 << 20) + (1 << 19));
    assert_false(store_has(&b, STORE_HOT) || store_has(&a, STORE_ENTRY) || store_has(&a, STORE_META));
    assert_true(store_has(&b, STORE_ENTRY));
    store_evict(t, 0);
    assert_int_equal(count_names(t), 0);
}

static void test_locked_entries_stay(void **state)
{
    (void)state;
    _cleanup_temp_ char *t = temp_new();
    const struct store_id a = {t, A, FIXTURE_VM};
    struct store_lock reader = STORE_LOCK_INIT, second = STORE_LOCK_INIT, writer = STORE_LOCK_INIT;
    make_entry(t, A, 10, 1);
    assert_int_equal(store_lock(&a, false, &reader, NULL), 0);
    assert_int_equal(store_lock(&a, false, &second, NULL), 0);
    assert_true(reader.held && second.held);
    assert_int_equal(store_lock(&a, true, &writer, NULL), 0);
    assert_false(writer.held);
    store_evict(t, 0);
    assert_true(store_has(&a, STORE_HOT));
    store_unlock(&reader);
    store_unlock(&second);
    assert_int_equal(store_lock_wait(&a, true, NULL, DEADLINE_NONE, &writer, NULL), 0);
    store_evict(t, 0);
    assert_true(store_has(&a, STORE_ENTRY));
    store_unlock(&writer);
    store_evict(t, 0);
    assert_false(store_has(&a, STORE_ENTRY));
}

/* In a process of its own: takes the lock, signs, tells it, and waits to be killed. */
static pid_t start_holder(const struct store_id *id)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = process_fork();
    if (!pid) {
        struct store_lock lock = STORE_LOCK_INIT;
        struct staging s = STAGING_INIT;
        if (store_lock(id, true, &lock, NULL) < 0 || !lock.held || staging_new(id->directory, STORE_STAGING, &s, NULL) < 0)
            _exit(1);
        store_lock_sign(&lock, "tests/holder.test.lua");
        write_full(ends[1], "x", 1);
        for (;;)
            pause();
    }
    char byte;
    close(ends[1]);
    assert_int_equal(read_full(ends[0], &byte, 1), 1);
    close(ends[0]);
    return pid;
}

static void on_kill_time(struct source *s, void *arg)
{
    (void)s;
    kill(*(pid_t *)arg, SIGKILL);
}

static void test_locks_and_staging_end_with_their_process(void **state)
{
    (void)state;
    _cleanup_temp_ char *t = temp_new();
    const struct store_id a = {t, A, FIXTURE_VM};
    struct store_lock lock = STORE_LOCK_INIT;
    struct err e = ERR_INIT;
    pid_t holder = start_holder(&a);
    staging_sweep(t, STORE_STAGING);
    assert_int_equal(count_names(t), 2); /* the lock and the living holder's staging */
    assert_int_equal(store_lock(&a, true, &lock, &e), 0);
    assert_false(lock.held);
    _cleanup_free_ char *who = store_lock_holder(&lock);
    assert_string_equal(who, "tests/holder.test.lua");
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    assert_int_equal(store_lock_wait(&a, true, loop, deadline_after(20 * NS_PER_MS), &lock, &e), -1);
    assert_int_equal(e.code, ETIMEDOUT);
    err_clear(&e);
    struct source *timer = loop_add_timer(loop, deadline_after(50 * NS_PER_MS), on_kill_time, &holder);
    assert_int_equal(store_lock_wait(&a, true, loop, deadline_after(60 * NS_PER_S), &lock, &e), 0);
    assert_true(lock.held);
    source_remove(timer);
    waitpid(holder, NULL, 0);
    staging_sweep(t, STORE_STAGING);
    assert_int_equal(count_names(t), 1);
    struct store_lock other = STORE_LOCK_INIT;
    assert_int_equal(store_lock(&a, true, &other, &e), 0);
    assert_false(other.held); /* what the waiting child has got is ours */
    store_unlock(&other);
    store_unlock(&lock);
}

static void test_an_unlinked_lock_is_no_lock(void **state)
{
    (void)state;
    _cleanup_temp_ char *t = temp_new();
    const struct store_id a = {t, A, FIXTURE_VM};
    struct store_lock first = STORE_LOCK_INIT, second = STORE_LOCK_INIT, third = STORE_LOCK_INIT;
    assert_int_equal(store_lock(&a, true, &first, NULL), 0);
    assert_int_equal(store_lock(&a, true, &second, NULL), 0);
    store_remove(&a, STORE_LOCK);
    store_unlock(&first);
    assert_int_equal(store_lock_wait(&a, true, NULL, DEADLINE_NONE, &second, NULL), 0);
    assert_int_equal(store_lock(&a, true, &third, NULL), 0);
    assert_false(third.held);
    store_unlock(&second);
    store_unlock(&third);
}

static char *read_text(const char *path)
{
    struct buf text = BUF_INIT(1 << 20);
    if (file_read(path, &text, NULL) < 0)
        return xstrdup("(none)");
    return buf_steal_str(&text);
}

static void test_replaces_directories_whole(void **state)
{
    (void)state;
    _cleanup_temp_ char *t = temp_new();
    const struct store_id lab = {t, A, FIXTURE_LAB};
    for (int i = 0; i < 3; i++) {
        struct staging s = STAGING_INIT;
        char text[2] = {(char)('0' + i)};
        assert_int_equal(staging_new(t, STORE_STAGING, &s, NULL), 0);
        _cleanup_free_ char *index = temp_file(s.path, "entry/lab.json", text), *from = path_directory(index);
        assert_int_equal(store_install(&lab, STORE_ENTRY, from, NULL), 0);
        staging_done(&s);
        _cleanup_free_ char *entry = store_path(&lab, STORE_ENTRY), *installed = path_join(entry, "lab.json");
        _cleanup_free_ char *got = read_text(installed);
        assert_string_equal(got, text);
        assert_int_equal(count_names(t), 1);
    }
}

static void test_packs_labs(void **state)
{
    (void)state;
    _cleanup_temp_ char *t = temp_new();
    struct err e = ERR_INIT;
    free(temp_file(t, "raw/lab.json", "{}"));
    free(temp_file(t, "raw/a.snap", "memory of a"));
    free(temp_file(t, "raw/sub/lab.json", "{\"sub\":1}"));
    free(temp_file(t, "raw/sub/b.snap", "memory of b"));
    _cleanup_free_ char *raw = path_join(t, "raw"), *packed = path_join(t, "packed"), *hot = path_join(t, "hot");
    assert_int_equal(fixture_pack(FIXTURE_LAB, raw, packed, &(struct base_sources){0}, &e), 0);
    _cleanup_free_ char *index = path_join(packed, "sub/lab.json"), *index_text = read_text(index);
    assert_string_equal(index_text, "{\"sub\":1}");
    assert_int_equal(fixture_unpack(t, FIXTURE_LAB, packed, hot, &e), 0);
    assert_int_equal(fixture_sync(hot, &e), 0);
    _cleanup_free_ char *b = path_join(hot, "sub/b.snap"), *b_text = read_text(b);
    assert_string_equal(b_text, "memory of b");

    _cleanup_free_ char *link = path_join(packed, "evil.snap"), *again = path_join(t, "again");
    assert_int_equal(symlink("/etc/passwd", link), 0);
    assert_int_equal(fixture_unpack(t, FIXTURE_LAB, packed, again, &e), -1);
    err_clear(&e);
}

static void test_meta(void **state)
{
    (void)state;
    _cleanup_temp_ char *t = temp_new();
    const struct store_id id = {t, A, FIXTURE_LAB};
    struct store_meta meta = {.fixture = (char *)"a \"b\"/\xc3\xa9", .created_ns = INT64_C(1700000000123456789)}, got;
    hash_bytes("x", 1, meta.index_hash);
    _cleanup_free_ char *about = store_path(&id, STORE_META);
    assert_int_equal(store_meta_write(about, &meta, NULL), 0);
    store_meta_read(&id, &got);
    assert_string_equal(got.fixture, meta.fixture);
    assert_int_equal(got.created_ns, meta.created_ns);
    assert_string_equal(got.index_hash, meta.index_hash);
    store_meta_done(&got);
    free(temp_file(t, A ".meta", "{\"fixture\": 7, \"lab_json_sha256\": \"short\""));
    store_meta_read(&id, &got);
    assert_null(got.fixture);
    assert_string_equal(got.index_hash, "");
}

static void test_clean(void **state)
{
    (void)state;
    _cleanup_temp_ char *t = temp_new();
    const struct store_id b = {t, B, FIXTURE_LAB};
    struct store_lock lock = STORE_LOCK_INIT;
    size_t count = 0;
    make_entry(t, A, 10, 1);
    free(temp_file(t, "mine", "x"));
    assert_int_equal(store_lock(&b, true, &lock, NULL), 0);
    store_unlock(&lock);
    assert_int_equal(store_clean(t, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(count_names(t), 1); /* what is not the cache's stays */
}

static void test_clean_waits_for_a_first_build(void **state)
{
    (void)state;
    _cleanup_temp_ char *t = temp_new();
    const struct store_id a = {t, A, FIXTURE_LAB};
    size_t count = 9;
    pid_t holder = start_holder(&a);
    pid_t killer = process_fork();
    if (!killer) {
        usleep(50000);
        kill(holder, SIGKILL);
        _exit(0);
    }
    assert_int_equal(store_clean(t, &count, NULL), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    assert_int_equal(waitpid(killer, NULL, 0), killer);
    staging_sweep(t, STORE_STAGING);
    assert_int_equal(count, 0);
    assert_int_equal(count_names(t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_evicts_hot_forms_first_then_the_oldest),
        cmocka_unit_test(test_locked_entries_stay),
        cmocka_unit_test(test_locks_and_staging_end_with_their_process),
        cmocka_unit_test(test_an_unlinked_lock_is_no_lock),
        cmocka_unit_test(test_replaces_directories_whole),
        cmocka_unit_test(test_packs_labs),
        cmocka_unit_test(test_meta),
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_clean_waits_for_a_first_build),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
