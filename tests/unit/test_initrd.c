#include "initrd_fixture.h"

static int list_entry(void *arg, const struct cpio_entry *entry, struct err *e)
{
    (void)e;
    strv_addf(arg, "%s:%o", entry->name, entry->mode);
    return 0;
}

static char *list_fd(int fd)
{
    _cleanup_strv_ struct strv names = STRV_INIT;
    const struct cpio_visitor visitor = {.entry = list_entry, .arg = &names};
    _cleanup_err_ struct err e = ERR_INIT;
    if (initrd_scan(fd, &visitor, NULL, &e) < 0)
        fail_msg("%s", err_message(&e));
    return strv_join(&names, " ");
}

static struct overlay stand_in(void)
{
    struct overlay overlay;
    const struct overlay_search search = {.binary_directory = "/nonexistent", .agent = "AGENT", .agent_size = 5};
    assert_int_equal(overlay_find(&search, &overlay, NULL), 0);
    return overlay;
}

/* A change at least two seconds ago, so that hashes are remembered. ctime can't be set: wait for it. */
static void settle(void)
{
    struct timespec pause = {.tv_sec = 1, .tv_nsec = 20 * NS_PER_MS};
    nanosleep(&pause, NULL);
}

/* --- scanning --- */

static void accepts_the_four_formats_and_mixtures(void **state)
{
    (void)state;
    static const enum magic kinds[] = {MAGIC_GZIP, MAGIC_XZ, MAGIC_ZSTD};
    _cleanup_buf_ struct buf plain = sample("init"), all = BUF_INIT(1 << 20);
    buf_append(&all, buf_head(&plain), plain.len);
    buf_append(&all, "\0\0\0\0\0\0\0\0", 8);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        _cleanup_buf_ struct buf one = compressed(kinds[i], &plain);
        assert_int_equal(initrd_scan_bytes(buf_head(&one), one.len, NULL, NULL), 0);
        buf_append(&all, buf_head(&one), one.len);
    }
    while (all.len % 4)
        buf_append_byte(&all, 0);
    buf_append(&all, buf_head(&plain), plain.len);
    _cleanup_strv_ struct strv names = STRV_INIT;
    const struct cpio_visitor visitor = {.entry = list_entry, .arg = &names};
    assert_int_equal(initrd_scan_bytes(buf_head(&all), all.len, &visitor, NULL), 0);
    assert_int_equal(names.count, 15);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    static const enum magic kinds[] = {MAGIC_CPIO, MAGIC_GZIP, MAGIC_XZ, MAGIC_ZSTD};
    _cleanup_buf_ struct buf plain = sample("init");
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        _cleanup_buf_ struct buf one = i ? compressed(kinds[i], &plain) : sample("init");
        assert_int_equal(initrd_scan_bytes(buf_head(&one), one.len, NULL, NULL), 0);
        while (one.len--)
            assert_int_equal(initrd_scan_bytes(buf_head(&one), one.len, NULL, NULL), -1);
    }
}

static void refused(const char *name, const char *content, size_t size, const char *message)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT(1 << 16);
    _cleanup_err_ struct err e = ERR_INIT;
    char hash[HASH_HEX_SIZE];
    buf_append(&bytes, content, size);
    _cleanup_free_ char *path = put(name, &bytes);
    _cleanup_free_ char *expected = xasprintf("initrd `%s`: %s", path, message);
    assert_int_equal(initrd_open(path, cache, hash, &e), -1);
    assert_string_equal(err_message(&e), expected);
    assert_string_equal(e.hint, "accepted: newc or crc cpio, uncompressed or compressed with gzip, zstd or xz");
}

static void bad_files_are_named(void **state)
{
    (void)state;
    char hash[HASH_HEX_SIZE];
    _cleanup_err_ struct err e = ERR_INIT;
    refused("empty", "", 0, "it is empty");
    refused("zeros", "\0\0\0\0\0\0\0\0", 8, "it holds only zeros");
    refused("text", "hello\n", 6, "it is text, not an initrd");
    refused("päth with spaces", "BZh91AY", 7, "it is bzip2 data, not an initrd");
    refused("elf", "\177ELF\2\1", 6, "it is an ELF file, not an initrd");
    refused("odc", "070707", 6, "it is a cpio archive in the old odc format, not an initrd");
    refused("noise", "\1\2\3\4\5", 5, "it is unknown data (starts with 01 02 03 04), not an initrd");
    assert_int_equal(initrd_open("/nonexistent/x", cache, hash, &e), -1);
    assert_string_equal(err_message(&e), "initrd `/nonexistent/x`: No such file or directory");
    assert_int_equal(initrd_open("/dev/null", cache, hash, &e), -1);
    assert_string_equal(err_message(&e), "initrd `/dev/null`: not a regular file");
}

static void junk_and_misalignment(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf plain = sample("init"), other = sample("x");
    _cleanup_err_ struct err e = ERR_INIT;
    size_t good = plain.len;
    buf_append_str(&plain, "junk");
    assert_int_equal(initrd_scan_bytes(buf_head(&plain), plain.len, NULL, &e), -1);
    assert_non_null(strstr(err_message(&e), "is not an archive: text"));
    plain.len = good;
    buf_append_byte(&plain, 0);
    buf_append(&plain, buf_head(&other), other.len);
    assert_int_equal(initrd_scan_bytes(buf_head(&plain), plain.len, NULL, &e), -1);
    assert_non_null(strstr(err_message(&e), "does not start at a multiple of 4"));
    _cleanup_buf_ struct buf text = BUF_INIT(100);
    buf_append_str(&text, "not an archive");
    _cleanup_buf_ struct buf gzip = compressed(MAGIC_GZIP, &text);
    assert_int_equal(initrd_scan_bytes(buf_head(&gzip), gzip.len, NULL, &e), -1);
    assert_string_equal(err_message(&e), "what is compressed is not a cpio archive");
}

/* --- merging --- */

static void merged(const struct initrd_request *request, const char *expected)
{
    _cleanup_(initrd_done) struct initrd initrd = INITRD_INIT;
    _cleanup_err_ struct err e = ERR_INIT;
    if (initrd_prepare(request, &initrd, &e) < 0)
        fail_msg("%s", err_message(&e));
    assert_null(initrd.warning);
    _cleanup_free_ char *names = list_fd(initrd.fd);
    assert_string_equal(names, expected);
    struct stat st;
    assert_int_equal(fstat(initrd.fd, &st), 0);
    assert_int_equal(st.st_size, initrd.size);
}

static void merge_order(void **state)
{
    (void)state;
    _cleanup_(overlay_done) struct overlay overlay = stand_in();
    _cleanup_buf_ struct buf plain = sample("init");
    static const enum magic kinds[] = {MAGIC_CPIO, MAGIC_GZIP, MAGIC_XZ, MAGIC_ZSTD};
    const struct initrd_file files[] = {
        {.path = "/etc/b", .content = "first", .size = 5, .mode = 0644},
        {.path = "/a/new/dir", .content = "x", .size = 1, .mode = 04755},
        {.path = "/etc/b", .content = "", .size = 0, .mode = 0600},
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        _cleanup_buf_ struct buf one = i ? compressed(kinds[i], &plain) : sample("init");
        _cleanup_free_ char *path = put("initrd", &one);
        struct initrd_request request = {.initrd = path, .overlay = &overlay, .scratch_root = cache};
        for (int round = 0; round < 2; round++)
            merged(&request, "sbin:40755 etc:40755 sbin:120777 init:100755 sbin/provium-agent:100755");
        request.files = files;
        request.file_count = ARRAY_SIZE(files);
        merged(&request, "sbin:40755 etc:40755 sbin:120777 init:100755 sbin/provium-agent:100755 "
                         ".provium-files:40755 .provium-files/a:40755 .provium-files/a/new:40755 "
                         ".provium-files/a/new/dir:104755 .provium-files/etc:40755 .provium-files/etc/b:100600");
        request.overlay = NULL;
        merged(&request, "etc:40755 sbin:120777 init:100755 a:40755 a/new:40755 a/new/dir:104755 etc/b:100600");
    }
    struct initrd_request none = {.overlay = &overlay, .scratch_root = cache};
    merged(&none, "sbin:40755 sbin/provium-agent:100755");
}

static void without_agent_the_bytes_are_the_users(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf plain = sample("init"), read = BUF_INIT(1 << 20);
    _cleanup_buf_ struct buf gzip = compressed(MAGIC_GZIP, &plain);
    _cleanup_free_ char *path = put("initrd", &gzip);
    struct initrd_request request = {.initrd = path, .scratch_root = cache};
    _cleanup_(initrd_done) struct initrd initrd = INITRD_INIT, nothing = INITRD_INIT;
    assert_int_equal(initrd_prepare(&request, &initrd, NULL), 0);
    assert_int_equal(lseek(initrd.fd, 0, SEEK_SET), 0);
    assert_int_equal(fd_read_all(initrd.fd, &read, NULL), 0);
    assert_int_equal(read.len, gzip.len);
    assert_memory_equal(buf_head(&read), buf_head(&gzip), gzip.len);
    request.initrd = NULL;
    assert_int_equal(initrd_prepare(&request, &nothing, NULL), 0);
    assert_int_equal(nothing.fd, -1);
}

static void files_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {"relative", "/", "//x", "/a/../b", "/..", "/a/.", "/./a", "/a/"};
    struct initrd_file files[2] = {{.content = "", .mode = 0644}, {.content = "", .mode = 0644}};
    struct initrd_request request = {.files = files, .file_count = 1, .scratch_root = cache};
    _cleanup_(initrd_done) struct initrd initrd = INITRD_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_err_ struct err e = ERR_INIT;
        files[0].path = bad[i];
        assert_int_equal(initrd_prepare(&request, &initrd, &e), -1);
        assert_non_null(strstr(err_message(&e), "files[1]: bad path"));
    }
    _cleanup_err_ struct err e = ERR_INIT;
    files[0].path = "/a";
    files[1].path = "/a/b";
    request.file_count = 2;
    assert_int_equal(initrd_prepare(&request, &initrd, &e), -1);
    assert_string_equal(err_message(&e), "files: `/a` is both a file and a directory");
    files[0].path = "/..a";
    files[1].path = "/...";
    assert_int_equal(initrd_prepare(&request, &initrd, &e), 0);
}

/* --- cache --- */

static size_t count_entries(const char *name, char **ret_last)
{
    _cleanup_free_ char *path = path_join(cache, name);
    _cleanup_closedir_ DIR *d = opendir(path);
    struct dirent *entry;
    size_t count = 0;
    while (d && (entry = readdir(d)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) {
            if (ret_last) {
                free(*ret_last);
                *ret_last = path_join(path, entry->d_name);
            }
            count++;
        }
    return count;
}

static void cache_is_used_and_repaired(void **state)
{
    (void)state;
    _cleanup_(overlay_done) struct overlay overlay = stand_in();
    _cleanup_buf_ struct buf plain = sample("init");
    _cleanup_free_ char *path = put("initrd", &plain), *entry = NULL;
    struct initrd_request request = {.initrd = path, .overlay = &overlay, .scratch_root = cache};
    static const char expected[] = "sbin:40755 etc:40755 sbin:120777 init:100755 sbin/provium-agent:100755";
    merged(&request, expected);
    merged(&request, expected);
    assert_int_equal(count_entries("agent-overlay-cache", &entry), 1);
    assert_int_equal(count_entries("hashes", NULL), 0); /* the file is too young to be trusted */
    assert_true(str_ends_with(entry, ".cpio.gz"));
    assert_int_equal(strlen(strrchr(entry, '/')), 1 + 64 + strlen(".cpio.gz"));
    /* A hit really is one: what it holds is what we get. */
    struct stat st;
    _cleanup_close_ int fd = open(entry, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "X", 1, 110), 1);
    merged(&request, "Xbin:40755 etc:40755 sbin:120777 init:100755 sbin/provium-agent:100755");
    /* A wrong size is no hit. */
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(ftruncate(fd, st.st_size - 4), 0);
    merged(&request, expected);
    settle();
    merged(&request, expected);
    assert_int_equal(count_entries("hashes", NULL), 1);
    merged(&request, expected);
    /* A changed file is another key. */
    _cleanup_buf_ struct buf other = sample("unit");
    free(put("initrd", &other));
    merged(&request, "sbin:40755 etc:40755 sbin:120777 unit:100755 sbin/provium-agent:100755");
    assert_int_equal(count_entries("agent-overlay-cache", NULL), 2);
}

static void an_unwritable_cache_is_a_warning(void **state)
{
    (void)state;
    _cleanup_(overlay_done) struct overlay overlay = stand_in();
    _cleanup_(initrd_done) struct initrd initrd = INITRD_INIT;
    struct initrd_request request = {.overlay = &overlay, .scratch_root = "/proc/nowhere"};
    assert_int_equal(initrd_prepare(&request, &initrd, NULL), 0);
    assert_string_equal(initrd.warning, "the merged initrd is kept in memory only: create directory "
                                        "`/proc/nowhere`: No such file or directory");
    _cleanup_free_ char *names = list_fd(initrd.fd);
    assert_string_equal(names, "sbin:40755 sbin/provium-agent:100755");
}

static void age(const char *path, int days)
{
    struct timespec times[2] = {{.tv_sec = time(NULL) - days * 86400}, {.tv_sec = time(NULL) - days * 86400}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void sweep_removes_the_unused_and_the_abandoned(void **state)
{
    (void)state;
    _cleanup_free_ char *where = path_join(cache, "agent-overlay-cache");
    static const char *const names[] = {"old", "young", "used", ".new-dead00", ".new-alive0", ".new-fresh0"};
    _cleanup_close_ int used = -1, alive = -1;
    dir_create_all(where, 0700, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *path = path_join(where, names[i]);
        assert_int_equal(file_write_atomic(path, "x", 1, 0600, false, NULL), 0);
        if (i != 1 && i != 5)
            age(path, 31);
        if (i == 4)
            alive = open(path, O_RDONLY | O_CLOEXEC);
    }
    assert_int_equal(flock(alive, LOCK_EX), 0);
    used = cache_open(where, "used", 1);
    assert_true(used >= 0);
    initrd_cache_sweep(cache);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *path = path_join(where, names[i]);
        assert_int_equal(access(path, F_OK), i == 0 || i == 3 ? -1 : 0);
    }
}

/* A writer that dies at a random moment leaves no entry, or a whole one. */
static void killed_writers_leave_nothing(void **state)
{
    (void)state;
    _cleanup_(overlay_done) struct overlay overlay = stand_in();
    _cleanup_buf_ struct buf archive = BUF_INIT(1 << 20);
    _cleanup_free_ char *block = xcalloc(1, 900000);
    memset(block, 'x', 899999);
    add(&archive, "big", S_IFREG | 0644, block);
    cpio_finish(&archive);
    _cleanup_free_ char *path = put("initrd", &archive), *entry = NULL;
    struct initrd_request request = {.initrd = path, .overlay = &overlay, .scratch_root = cache};
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (!pid) {
            struct initrd initrd;
            initrd_prepare(&request, &initrd, NULL);
            _exit(0);
        }
        struct timespec pause = {.tv_nsec = i * 300000};
        nanosleep(&pause, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        assert_true(count_entries("agent-overlay-cache", NULL) <= 1);
    }
    merged(&request, "sbin:40755 big:100644 sbin/provium-agent:100755");
    assert_int_equal(count_entries("agent-overlay-cache", &entry), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(accepts_the_four_formats_and_mixtures),
        TEST(every_truncation_is_refused),
        TEST(bad_files_are_named),
        TEST(junk_and_misalignment),
        TEST(merge_order),
        TEST(without_agent_the_bytes_are_the_users),
        TEST(files_are_checked),
        TEST(cache_is_used_and_repaired),
        TEST(an_unwritable_cache_is_a_warning),
        TEST(sweep_removes_the_unused_and_the_abandoned),
        TEST(killed_writers_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
