/* The layout of a snapshot:
 *
 *     memory      memory_bytes, a multiple of the chunk; zero pages are holes
 *     state       the devices' state, as QEMU reads it from a migration stream
 *     manifest    JSON (manifest.c)
 *     checksums   of each chunk of memory, 8 bytes each
 *     trailer     TRAILER_SIZE bytes (layout.c)
 *
 * Memory comes first because QEMU before 8.1 maps a memory backend's file from offset 0 only. A file shorter than it was
 * lacks the trailer, a changed one fails a hash, and its lengths have to add up to its size: so everything is known to be
 * sound before a machine sees it. The memory alone is too large to be read each time; that it was not touched is told by
 * the file's time, which the writer sets to a whole second and records. */
#include "snapshot/snapshot_file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/strv.h"
#include "snapshot/layout.h"

struct snapshot_file {
    char *path;
    int fd;
    struct stat opened; /* the file, then */
    bool touched;
    struct trailer trailer;
    struct snapshot_info info;
    uint64_t *sums; /* little-endian */
};

static int read_at(int fd, uint64_t offset, void *p, size_t n, struct err *e)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, (char *)p + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_errno(e, "read");
        if (!got)
            return err_set(e, SNAPSHOT_UNFIT, "truncated while it was read");
        done += (size_t)got;
    }
    return 0;
}

/* A part as a malloc'ed block, its hash compared. */
static void *read_part(int fd, uint64_t offset, size_t n, const uint8_t hash[static SHA256_DIGEST_SIZE],
                       const char *what, struct err *e)
{
    uint8_t found[SHA256_DIGEST_SIZE];
    _cleanup_free_ char *part = xmalloc(n + 1);
    if (read_at(fd, offset, part, n, e) < 0)
        return NULL;
    layout_hash(part, n, found);
    if (memcmp(found, hash, sizeof(found))) {
        err_set(e, SNAPSHOT_UNFIT, "damaged: %s", what);
        return NULL;
    }
    return steal_ptr(part);
}

static int read_parts(struct snapshot_file *f, struct err *e)
{
    const struct trailer *t = &f->trailer;
    _cleanup_free_ char *state = read_part(f->fd, t->memory_bytes, t->state_size, t->state_hash, "the devices' state", e);
    if (!state)
        return -1;
    _cleanup_free_ char *manifest = read_part(f->fd, layout_manifest(t), t->manifest_size, t->manifest_hash,
                                              "the manifest", e);
    if (!manifest)
        return -1;
    f->sums = read_part(f->fd, layout_sums(t), t->sum_count * sizeof(*f->sums), t->sums_hash, "the checksums", e);
    if (!f->sums || snapshot_info_unpack(manifest, t->manifest_size, &f->info, e) < 0)
        return -1;
    if (f->info.memory_bytes != t->memory_bytes)
        return err_set(e, SNAPSHOT_UNFIT, "damaged: the manifest tells of another memory size");
    return 0;
}

static int open_either(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && (errno == EACCES || errno == EROFS || errno == EPERM))
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd;
}

static int load(struct snapshot_file *f, struct err *e)
{
    uint8_t trailer[TRAILER_SIZE];
    f->fd = open_either(f->path);
    if (f->fd < 0 || fstat(f->fd, &f->opened) < 0)
        return err_errno(e, "open");
    const struct stat st = f->opened;
    if (!S_ISREG(st.st_mode))
        return err_set(e, SNAPSHOT_UNFIT, "not a regular file");
    if (st.st_size < TRAILER_SIZE)
        return err_set(e, SNAPSHOT_UNFIT, "not a snapshot, or truncated: %lld bytes", (long long)st.st_size);
    if (read_at(f->fd, (uint64_t)st.st_size - TRAILER_SIZE, trailer, sizeof(trailer), e) < 0 ||
        trailer_unpack(trailer, (uint64_t)st.st_size, &f->trailer, e) < 0 || read_parts(f, e) < 0)
        return -1;
    f->touched = st.st_mtim.tv_sec != f->trailer.mtime || st.st_mtim.tv_nsec;
    return 0;
}

struct snapshot_file *snapshot_file_open_unverified(const char *path, struct err *e)
{
    _cleanup_(snapshot_file_freep) struct snapshot_file *f = xnew0(struct snapshot_file);
    f->fd = -1;
    f->path = path_absolute(path);
    if (load(f, e) < 0) {
        err_prefix(e, "snapshot `%s`", path);
        if (e && e->code == SNAPSHOT_UNFIT)
            err_hint(e, "take it again");
        return NULL;
    }
    return steal_ptr(f);
}

struct snapshot_file *snapshot_file_open(const char *path, struct err *e)
{
    _cleanup_(snapshot_file_freep) struct snapshot_file *f = snapshot_file_open_unverified(path, e);
    if (!f || (f->touched && snapshot_file_verify(f, e) < 0))
        return NULL;
    return steal_ptr(f);
}

void snapshot_file_free(struct snapshot_file *f)
{
    if (!f)
        return;
    close_fd(&f->fd);
    snapshot_info_done(&f->info);
    free(f->sums);
    free(f->path);
    free(f);
}

bool snapshot_file_is_at(const struct snapshot_file *f, const char *path)
{
    struct stat now;
    const struct stat *then = &f->opened;
    return stat(path, &now) == 0 && now.st_dev == then->st_dev && now.st_ino == then->st_ino &&
           now.st_size == then->st_size && now.st_mtim.tv_sec == then->st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == then->st_mtim.tv_nsec;
}

const char *snapshot_file_path(const struct snapshot_file *f)
{
    return f->path;
}

const struct snapshot_info *snapshot_file_info(const struct snapshot_file *f)
{
    return &f->info;
}

int snapshot_file_fd(const struct snapshot_file *f)
{
    return f->fd;
}

int snapshot_file_state(const struct snapshot_file *f, struct err *e)
{
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
    _cleanup_close_ int fd = open(self, O_RDONLY | O_CLOEXEC); /* not a duplicate, which would share the offset */
    if (fd < 0 || lseek(fd, (off_t)f->trailer.memory_bytes, SEEK_SET) < 0)
        return err_errno(e, "snapshot `%s`: its state", f->path);
    return steal_fd(&fd);
}

bool snapshot_file_touched(const struct snapshot_file *f)
{
    return f->touched;
}

/* Start of the data at or after `offset`; `end` when there is none before it. */
static uint64_t next_data(int fd, uint64_t offset, uint64_t end)
{
    off_t found = lseek(fd, (off_t)offset, SEEK_DATA);
    if (found < 0)
        return errno == ENXIO ? end : offset; /* a file system without holes: all is data */
    return (uint64_t)found < end ? (uint64_t)found : end;
}

static uint64_t sum_chunk(const uint8_t *chunk)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < SNAPSHOT_CHUNK / PAGE; i++)
        if (!page_is_zero(chunk + (size_t)i * PAGE))
            sum = chunk_sum(sum, i, chunk + (size_t)i * PAGE);
    return sum;
}

int snapshot_file_verify(const struct snapshot_file *f, struct err *e)
{
    _cleanup_free_ uint8_t *chunk = xmalloc(SNAPSHOT_CHUNK);
    for (uint64_t i = 0; i < f->trailer.sum_count; i++) {
        uint64_t at = i * SNAPSHOT_CHUNK, end = at + SNAPSHOT_CHUNK, sum = 0;
        if (next_data(f->fd, at, end) < end) {
            if (read_at(f->fd, at, chunk, SNAPSHOT_CHUNK, e) < 0)
                return err_prefix(e, "snapshot `%s`", f->path);
            sum = sum_chunk(chunk);
        }
        if (sum != le64toh(f->sums[i])) {
            err_set(e, SNAPSHOT_UNFIT, "snapshot `%s`: damaged: memory at %llu MiB", f->path, (unsigned long long)(at >> 20));
            return err_hint(e, "take it again");
        }
    }
    return 0;
}

void snapshot_file_identity(const struct snapshot_file *f, uint8_t out[static 32])
{
    uint8_t trailer[TRAILER_SIZE];
    trailer_pack(&f->trailer, trailer);
    layout_hash(trailer, sizeof(trailer), out);
}

uint64_t snapshot_file_shared(const struct snapshot_file *f, const struct snapshot_file *other)
{
    uint64_t shared = 0;
    for (uint64_t i = 0; i < f->trailer.sum_count && i < other->trailer.sum_count; i++)
        shared += f->sums[i] && f->sums[i] == other->sums[i];
    return shared;
}

bool snapshot_file_writable(const struct snapshot_file *f)
{
    return (fcntl(f->fd, F_GETFL) & O_ACCMODE) == O_RDWR;
}

static int copy_parts(const struct snapshot_file *f, int to, struct err *e)
{
    uint64_t size = layout_trailer(&f->trailer) + TRAILER_SIZE;
    _cleanup_free_ uint8_t *chunk = xmalloc(SNAPSHOT_CHUNK);
    for (uint64_t at = 0; at < size; at += SNAPSHOT_CHUNK) {
        size_t n = size - at < SNAPSHOT_CHUNK ? (size_t)(size - at) : SNAPSHOT_CHUNK;
        if (next_data(f->fd, at, at + n) == at + n)
            continue;
        if (read_at(f->fd, at, chunk, n, e) < 0)
            return -1;
        for (size_t done = 0; done < n;) {
            ssize_t written = pwrite(to, chunk + done, n - done, (off_t)(at + done));
            if (written < 0)
                return err_errno(e, "write");
            done += (size_t)written;
        }
    }
    return f->touched ? 0 : snapshot_file_trust(to, e);
}

int snapshot_file_copy(const struct snapshot_file *f, const char *path, struct err *e)
{
    _cleanup_close_ int to = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0)
        return err_errno(e, "create `%s`", path);
    if (copy_parts(f, to, e) < 0) {
        unlink(path);
        return err_prefix(e, "copy of snapshot `%s`", f->path);
    }
    return 0;
}

int snapshot_file_trust(int fd, struct err *e)
{
    struct stat st;
    struct trailer t;
    uint8_t trailer[TRAILER_SIZE];
    if (fstat(fd, &st) < 0)
        return err_errno(e, "stat");
    if (st.st_size < TRAILER_SIZE)
        return err_set(e, SNAPSHOT_UNFIT, "not a snapshot, or truncated");
    if (read_at(fd, (uint64_t)st.st_size - TRAILER_SIZE, trailer, sizeof(trailer), e) < 0 ||
        trailer_unpack(trailer, (uint64_t)st.st_size, &t, e) < 0)
        return -1;
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = t.mtime}};
    return futimens(fd, times) < 0 ? err_errno(e, "set the time") : 0;
}
