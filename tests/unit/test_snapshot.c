/* The snapshot file: what is written is read back, and no damage goes unseen. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/strv.h"
#include "snapshot/snapshot_file.h"
#include "temp.h"

#define MEMORY (4 << 20)
#define STATE  "the devices' state"

static const struct snapshot_info example = {
    .provium = "0", .agent = "1", .hypervisor = "7.2.22 (Debian)", .vm = "a b", .profile = "default", .arch = "x86_64",
    .machine = "auto", .cpu = "max,erms=off", .host_cpu = "", .memory_bytes = MEMORY, .cpus = 3, .cmdline = "quiet \"x\"",
    .seeded = true, .rng_seed = UINT64_MAX, .time_pinned = true, .paused = true, .taken_ns = 123456789012345678,
    .nics = (struct snapshot_nic[]){{.bridge = "lan", .mac = "52:54:00:12:34:56", .slot = -1, .link = true},
                                    {.bridge = "wan", .mac = "52:54:00:ab:cd:ef", .slot = 2}},
    .nic_count = 2,
};

static char *make(const char *directory)
{
    char *path = path_join(directory, "x.snap");
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_free_ char *memory = xcalloc(1, MEMORY);
    _cleanup_(snapshot_writer_freep) struct snapshot_writer *w = snapshot_writer_new(path, MEMORY, &e);
    assert_non_null(w);
    memset(memory + 4096, 'x', 8192);
    memory[MEMORY - 1] = 1;
    assert_int_equal(snapshot_writer_memory(w, 0, memory, 1 << 20, &e), 0);
    assert_int_equal(snapshot_writer_memory(w, 3 << 20, memory + (3 << 20), 1 << 20, &e), 0);
    assert_int_equal(snapshot_writer_finish(w, STATE, sizeof(STATE), &example, false, &e), 0);
    return path;
}

static void test_round_trip(void **state)
{
    _cleanup_temp_ char *t = temp_new();
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_free_ char *path = make(t);
    _cleanup_(snapshot_file_freep) struct snapshot_file *f = snapshot_file_open(path, &e);
    (void)state;
    assert_non_null(f);
    const struct snapshot_info *info = snapshot_file_info(f);
    assert_string_equal(info->vm, "a b");
    assert_string_equal(info->cmdline, "quiet \"x\"");
    assert_true(info->rng_seed == UINT64_MAX && info->seeded && info->paused && info->time_pinned && !info->kvm);
    assert_int_equal(info->cpus, 3);
    assert_int_equal(info->nic_count, 2);
    assert_string_equal(info->nics[1].mac, "52:54:00:ab:cd:ef");
    assert_true(info->nics[0].slot == -1 && info->nics[1].slot == 2 && info->nics[0].link && !info->nics[1].link);
    assert_string_equal(info->disks, "[]");
    char bytes[sizeof(STATE)];
    _cleanup_close_ int devices = snapshot_file_state(f, &e);
    assert_int_equal(read(devices, bytes, sizeof(bytes)), sizeof(STATE));
    assert_string_equal(bytes, STATE);
    assert_int_equal(pread(snapshot_file_fd(f), bytes, 4, 8192), 4);
    assert_memory_equal(bytes, "xxxx", 4);
    struct stat st;
    assert_int_equal(fstat(snapshot_file_fd(f), &st), 0);
    assert_true(st.st_blocks * 512 < MEMORY / 4);
    assert_false(snapshot_file_touched(f));
    assert_int_equal(snapshot_file_verify(f, &e), 0);
}

static void test_replaces(void **state)
{
    _cleanup_temp_ char *t = temp_new();
    (void)state;
    free(make(t));
    _cleanup_free_ char *path = make(t);
    _cleanup_(snapshot_file_freep) struct snapshot_file *f = snapshot_file_open(path, NULL);
    assert_non_null(f);
}

static void refused(const char *path, const char *reason)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(snapshot_file_freep) struct snapshot_file *f = snapshot_file_open(path, &e);
    assert_null(f);
    if (!strstr(err_message(&e), reason))
        fail_msg("`%s` does not tell `%s`", err_message(&e), reason);
}

static void test_truncated(void **state)
{
    _cleanup_temp_ char *t = temp_new();
    _cleanup_free_ char *path = make(t);
    struct stat st;
    (void)state;
    assert_int_equal(stat(path, &st), 0);
    const off_t sizes[] = {st.st_size - 1, st.st_size - 256, MEMORY, 4096, 100, 0};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_int_equal(truncate(path, sizes[i]), 0);
        refused(path, "truncated");
    }
    refused("/dev/null", "not a regular file");
    refused("/nonexistent", "No such file");
}

static void flip(const char *path, off_t at, uint8_t bit)
{
    uint8_t byte;
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= bit;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

/* Each byte after the memory, and some of it; holes too. */
static void test_flipped(void **state)
{
    _cleanup_temp_ char *t = temp_new();
    _cleanup_free_ char *path = make(t);
    struct stat st;
    (void)state;
    assert_int_equal(stat(path, &st), 0);
    for (off_t at = MEMORY; at < st.st_size; at++) {
        flip(path, at, (uint8_t)(1 << at % 8));
        refused(path, "");
        flip(path, at, (uint8_t)(1 << at % 8));
    }
    const off_t places[] = {0, 4096, 8191, 12287, 1 << 20, (3 << 20) - 1, MEMORY - 1};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        flip(path, places[i], 128);
        refused(path, "damaged: memory at");
        flip(path, places[i], 128);
    }
    _cleanup_(snapshot_file_freep) struct snapshot_file *f = snapshot_file_open(path, NULL);
    assert_non_null(f);
    assert_true(snapshot_file_touched(f));
}

static void test_trusted(void **state)
{
    _cleanup_temp_ char *t = temp_new();
    _cleanup_free_ char *path = make(t);
    (void)state;
    flip(path, 5000, 1);
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(snapshot_file_trust(fd, NULL), 0);
    _cleanup_(snapshot_file_freep) struct snapshot_file *f = snapshot_file_open(path, NULL);
    assert_non_null(f); /* that is what trust means */
    assert_int_equal(snapshot_file_verify(f, NULL), -1);
}

static void test_copied(void **state)
{
    _cleanup_temp_ char *t = temp_new();
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_free_ char *path = make(t), *copy = path_join(t, "copy.snap");
    struct stat st;
    (void)state;
    _cleanup_(snapshot_file_freep) struct snapshot_file *f = snapshot_file_open(path, &e);
    assert_non_null(f);
    assert_true(snapshot_file_writable(f));
    assert_int_equal(snapshot_file_copy(f, copy, &e), 0);
    assert_int_equal(snapshot_file_copy(f, copy, &e), -1);
    _cleanup_(snapshot_file_freep) struct snapshot_file *g = snapshot_file_open(copy, &e);
    assert_non_null(g);
    assert_false(snapshot_file_touched(g));
    assert_int_equal(snapshot_file_verify(g, &e), 0);
    assert_int_equal(fstat(snapshot_file_fd(g), &st), 0);
    assert_true(st.st_blocks * 512 < MEMORY);
}

static int no_entries(const char *directory)
{
    _cleanup_closedir_ DIR *d = opendir(directory);
    int n = 0;
    while (readdir(d))
        n++;
    return n == 2;
}

/* No room: the error says so, and nothing is left. */
static void test_full(void **state)
{
    _cleanup_temp_ char *t = temp_new();
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_free_ char *path = path_join(t, "x.snap"), *memory = xcalloc(1, 1 << 20);
    struct rlimit before, limit;
    (void)state;
    memset(memory, 'x', 1 << 20);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 2 << 20, .rlim_max = before.rlim_max};
    struct snapshot_writer *w = snapshot_writer_new(path, MEMORY, &e);
    assert_non_null(w);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int result = snapshot_writer_memory(w, 3 << 20, memory, 1 << 20, &e);
    snapshot_writer_free(w);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(result, -1);
    assert_non_null(strstr(err_message(&e), "File too large"));
    assert_true(no_entries(t));
}

static void test_manifest(void **state)
{
    static const struct {
        const char *from, *to;
    } changes[] = {{"\"arch\":\"x86_64\"", "\"arch\":\"x,y\""}, {"\"cpus\":3", "\"cpus\":0"},
                   {"\"cpus\":3", "\"cpus\":\"3\""}, {"\"cpu\":\"max", "\"cpu\":\"max -S "},
                   {"52:54:00:12:34:56", "52:54:00:12:34:5"}, {"\"slot\":2", "\"slot\":99"},
                   {"\"disks\":[]", "\"disks\":{}"}, {"\"format\":1", "\"format\":2"}};
    _cleanup_buf_ struct buf packed = BUF_INIT(65536);
    (void)state;
    assert_int_equal(snapshot_info_pack(&example, &packed, NULL), 0);
    _cleanup_free_ char *text = buf_steal_str(&packed);
    struct snapshot_info info;
    assert_int_equal(snapshot_info_unpack(text, strlen(text), &info, NULL), 0);
    snapshot_info_done(&info);
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        const char *at = strstr(text, changes[i].from);
        if (!at)
            fail_msg("no %s in %s", changes[i].from, text);
        _cleanup_free_ char *changed = xasprintf("%.*s%s%s", (int)(at - text), text, changes[i].to, at + strlen(changes[i].from));
        assert_int_equal(snapshot_info_unpack(changed, strlen(changed), &info, NULL), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_replaces), cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_flipped),    cmocka_unit_test(test_full),      cmocka_unit_test(test_copied),
             cmocka_unit_test(test_trusted),  cmocka_unit_test(test_manifest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
