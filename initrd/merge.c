/* Joining the parts of a guest's initrd.
 *
 *     prefix | initrd | overlay      cached under the hash of its inputs, written once
 *     … | files                      in memory, for one boot
 *
 * Each part starts at a multiple of 4 bytes. The prefix holds the directory `sbin` and the overlay only the agent
 * file, so that an initrd without `sbin` gets one and an initrd whose `sbin` is a link keeps it (the kernel replaces
 * the still empty directory). The initrd's bytes are copied and hashed once more while they are joined: a file that
 * changes under us is an error, never a wrong cache entry.
 *
 * The cache is a convenience. When it can't be written the same bytes are made in memory. */
#include "initrd/merge.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/strv.h"
#include "initrd/cache.h"
#include "initrd/cpio.h"
#include "initrd/files.h"
#include "initrd/scan.h"

#define MERGE_VERSION "provium initrd merge 1"
#define CACHE         "agent-overlay-cache"
#define PIECE         (256 << 10)

void initrd_done(struct initrd *i)
{
    close_fd(&i->fd);
    free(i->warning);
    *i = INITRD_INIT;
}

static size_t padding(uint64_t n)
{
    return (size_t)(-n & (CPIO_ALIGN - 1));
}

int initrd_open(const char *path, const char *scratch_root, char hash[static HASH_HEX_SIZE], struct err *e)
{
    int64_t started = clock_realtime_ns();
    struct stat st;
    struct sha256_ctx context;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(e, "initrd `%s`", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, EINVAL, "initrd `%s`: not a regular file", path);
    if (hash_recall(scratch_root, "initrd", &st, hash))
        return steal_fd(&fd);
    sha256_init(&context);
    if (initrd_scan(fd, NULL, &context, e) < 0)
        return err_prefix(e, "initrd `%s`", path);
    hash_finish(&context, hash);
    hash_remember(scratch_root, "initrd", &st, started, hash);
    return steal_fd(&fd);
}

/* --- prefix, initrd, overlay --- */

struct parts {
    struct buf prefix;
    int initrd; /* -1: none */
    uint64_t initrd_size;
    char initrd_hash[HASH_HEX_SIZE];
    const char *initrd_path;
    const struct overlay *overlay;
};

static void parts_done(struct parts *p)
{
    buf_done(&p->prefix);
    close_fd(&p->initrd);
}

static uint64_t joined_size(const struct parts *p)
{
    return p->prefix.len + p->initrd_size + padding(p->initrd_size) + p->overlay->archive.len +
           padding(p->overlay->archive.len);
}

static int write_padding(int fd, uint64_t size)
{
    return write_full(fd, "\0\0\0", padding(size));
}

static int copy_initrd(int to, const struct parts *p, struct err *e)
{
    _cleanup_free_ uint8_t *piece = xmalloc(PIECE);
    char hash[HASH_HEX_SIZE];
    uint64_t total = 0;
    struct sha256_ctx context;
    sha256_init(&context);
    if (lseek(p->initrd, 0, SEEK_SET) < 0)
        return err_errno(e, "initrd `%s`: seek", p->initrd_path);
    for (;;) {
        ssize_t got = read_full(p->initrd, piece, PIECE);
        if (got < 0)
            return err_errno(e, "initrd `%s`", p->initrd_path);
        if (!got)
            break;
        sha256_update(&context, (size_t)got, piece);
        total += (uint64_t)got;
        if (write_full(to, piece, (size_t)got) < 0)
            return err_errno(e, "write the merged initrd");
    }
    hash_finish(&context, hash);
    if (total != p->initrd_size || strcmp(hash, p->initrd_hash))
        return err_set(e, EBUSY, "initrd `%s`: it changed while it was read", p->initrd_path);
    return 0;
}

static int write_joined(int to, const struct parts *p, struct err *e)
{
    const struct buf *overlay = &p->overlay->archive;
    if (write_full(to, buf_head(&p->prefix), p->prefix.len) < 0)
        return err_errno(e, "write the merged initrd");
    if (p->initrd >= 0 && copy_initrd(to, p, e) < 0)
        return -1;
    if (write_padding(to, p->initrd_size) < 0 || write_full(to, buf_head(overlay), overlay->len) < 0 ||
        write_padding(to, overlay->len) < 0)
        return err_errno(e, "write the merged initrd");
    return 0;
}

static void joined_name(const struct parts *p, char out[static HASH_HEX_SIZE + 16])
{
    _cleanup_free_ char *key = xasprintf("%s\n%s\n%s\n", MERGE_VERSION, p->initrd >= 0 ? p->initrd_hash : "-",
                                         p->overlay->hash);
    char hash[HASH_HEX_SIZE];
    hash_bytes(key, strlen(key), hash);
    snprintf(out, HASH_HEX_SIZE + 16, "%s.cpio.gz", hash);
}

static int make_joined(const char *directory, const char *name, const struct parts *p, struct err *e)
{
    _cleanup_(cache_file_done) struct cache_file file = CACHE_FILE_INIT;
    if ((directory ? cache_create(directory, &file, e) : cache_create_in_memory("initrd", &file, e)) < 0)
        return -1;
    if (write_joined(file.fd, p, e) < 0 || cache_install(&file, name, e) < 0)
        return -1;
    return cache_file_reopen(&file, e);
}

/* Descriptor of the joined parts, from the cache when they are in it. */
static int join(const char *scratch_root, const struct parts *p, char **ret_warning, struct err *e)
{
    _cleanup_free_ char *directory = path_join(scratch_root, CACHE);
    _cleanup_err_ struct err cache_error = ERR_INIT;
    char name[HASH_HEX_SIZE + 16];
    joined_name(p, name);
    int fd = cache_open(directory, name, (off_t)joined_size(p));
    if (fd < 0)
        fd = make_joined(directory, name, p, &cache_error);
    if (fd >= 0)
        return fd;
    /* The fault may lie with the input as well, which shows now. */
    fd = make_joined(NULL, name, p, e);
    if (fd >= 0)
        *ret_warning = xasprintf("the merged initrd is kept in memory only: %s", err_message(&cache_error));
    return fd;
}

static int build_prefix(struct buf *out)
{
    *out = BUF_INIT(4096);
    const struct cpio_entry sbin = {.name = "sbin", .inode = 1, .mode = S_IFDIR | 0755, .links = 2};
    return cpio_append(out, &sbin, NULL) < 0 || cpio_finish(out) < 0 ? -1 : 0;
}

/* --- files --- */

/* A copy of `fd` in memory with `archive` joined to it. */
static int with_archive(int fd, const struct buf *archive, struct err *e)
{
    _cleanup_(cache_file_done) struct cache_file file = CACHE_FILE_INIT;
    uint64_t size = 0;
    if (cache_create_in_memory("initrd", &file, e) < 0)
        return -1;
    for (off_t at = 0; fd >= 0; size = (uint64_t)at) {
        ssize_t sent = sendfile(file.fd, fd, &at, 1 << 30);
        if (sent < 0)
            return err_errno(e, "copy the initrd");
        if (!sent)
            break;
    }
    if (write_padding(file.fd, size) < 0 || write_full(file.fd, buf_head(archive), archive->len) < 0)
        return err_errno(e, "write the initrd");
    return cache_file_reopen(&file, e);
}

static int add_files(const struct initrd_request *request, int *fd, struct err *e)
{
    _cleanup_buf_ struct buf archive = BUF_INIT(0);
    _cleanup_strv_ struct strv present = STRV_INIT;
    const char *prefix = request->overlay ? INITRD_FILES_DIRECTORY : "";
    if (!request->file_count)
        return 0;
    if (!request->overlay && *fd >= 0 && files_list_parents(*fd, &present, e) < 0)
        return err_prefix(e, "initrd `%s`", request->initrd);
    if (files_archive(request->files, request->file_count, prefix, &present, &archive, e) < 0)
        return -1;
    int joined = with_archive(*fd, &archive, e);
    if (joined < 0)
        return -1;
    close_fd(fd);
    *fd = joined;
    return 0;
}

int initrd_prepare(const struct initrd_request *request, struct initrd *ret, struct err *e)
{
    _cleanup_(initrd_done) struct initrd result = INITRD_INIT;
    _cleanup_(parts_done) struct parts parts = {
        .initrd = -1, .initrd_path = request->initrd, .overlay = request->overlay};
    struct stat st = {0};
    if (request->initrd) {
        parts.initrd = initrd_open(request->initrd, request->scratch_root, parts.initrd_hash, e);
        if (parts.initrd < 0)
            return -1;
        if (fstat(parts.initrd, &st) < 0)
            return err_errno(e, "initrd `%s`", request->initrd);
        parts.initrd_size = (uint64_t)st.st_size;
    }
    if (request->overlay) {
        build_prefix(&parts.prefix);
        result.fd = join(request->scratch_root, &parts, &result.warning, e);
        if (result.fd < 0)
            return -1;
    } else {
        result.fd = steal_fd(&parts.initrd);
    }
    if (add_files(request, &result.fd, e) < 0)
        return -1;
    if (result.fd >= 0 && fstat(result.fd, &st) < 0)
        return err_errno(e, "initrd");
    result.size = (uint64_t)st.st_size;
    *ret = result;
    result = INITRD_INIT;
    return 0;
}

void initrd_cache_sweep(const char *scratch_root)
{
    static const char *const directories[] = {CACHE, "hashes", "kernel-cache"};
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
        _cleanup_free_ char *path = path_join(scratch_root, directories[i]);
        cache_sweep(path);
    }
}
