/* Writing a snapshot. It is an unnamed file (O_TMPFILE) until it is whole, so that a killed process leaves nothing; where
 * the file system has no such files, a temporary name. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/strv.h"
#include "snapshot/layout.h"

struct snapshot_writer {
    char *path, *directory;
    char *temporary; /* NULL: unnamed */
    int fd;
    uint64_t memory_bytes;
    uint64_t *sums;
};

static int create(struct snapshot_writer *w)
{
    w->fd = open(w->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
    if (w->fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return w->fd;
    w->temporary = xasprintf("%s.XXXXXX", w->path);
    w->fd = mkostemp(w->temporary, O_CLOEXEC);
    if (w->fd < 0) {
        free(w->temporary);
        w->temporary = NULL;
    }
    return w->fd;
}

struct snapshot_writer *snapshot_writer_new(const char *path, uint64_t memory_bytes, struct err *e)
{
    _cleanup_(snapshot_writer_freep) struct snapshot_writer *w = xnew0(struct snapshot_writer);
    w->fd = -1;
    w->path = path_absolute(path);
    w->directory = path_directory(w->path);
    w->memory_bytes = memory_bytes;
    w->sums = xnewa(uint64_t, memory_bytes / SNAPSHOT_CHUNK);
    if (create(w) < 0) {
        err_errno(e, "create snapshot `%s`", path);
        return NULL;
    }
    return steal_ptr(w);
}

void snapshot_writer_free(struct snapshot_writer *w)
{
    if (!w)
        return;
    if (w->temporary)
        unlink(w->temporary);
    close_fd(&w->fd);
    free(w->temporary);
    free(w->directory);
    free(w->path);
    free(w->sums);
    free(w);
}

static int write_at(const struct snapshot_writer *w, uint64_t offset, const void *p, size_t n, struct err *e)
{
    for (size_t done = 0; done < n;) {
        ssize_t written = pwrite(w->fd, (const char *)p + done, n - done, (off_t)(offset + done));
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return err_errno(e, "write snapshot `%s`", w->path);
        done += (size_t)written;
    }
    return 0;
}

int snapshot_writer_memory(struct snapshot_writer *w, uint64_t offset, const void *p, size_t n, struct err *e)
{
    const char *page = p, *run = page;
    for (uint64_t at = offset; at < offset + n; at += PAGE, page += PAGE) {
        uint64_t *sum = &w->sums[at / SNAPSHOT_CHUNK];
        if (!page_is_zero(page)) {
            *sum = chunk_sum(*sum, (unsigned)(at % SNAPSHOT_CHUNK / PAGE), page);
            continue;
        }
        if (page > run && write_at(w, at - (uint64_t)(page - run), run, (size_t)(page - run), e) < 0)
            return -1;
        run = page + PAGE;
    }
    return page > run ? write_at(w, offset + n - (uint64_t)(page - run), run, (size_t)(page - run), e) : 0;
}

/* Gives the complete file its name; what had it before is replaced at once. */
static int install(struct snapshot_writer *w, struct err *e)
{
    if (!w->temporary) {
        char self[64];
        snprintf(self, sizeof(self), "/proc/self/fd/%d", w->fd);
        if (linkat(AT_FDCWD, self, AT_FDCWD, w->path, AT_SYMLINK_FOLLOW) == 0)
            return 0;
        _cleanup_free_ char *beside = xasprintf("%s.%d", w->path, (int)getpid());
        if (errno != EEXIST || linkat(AT_FDCWD, self, AT_FDCWD, beside, AT_SYMLINK_FOLLOW) < 0)
            return err_errno(e, "create snapshot `%s`", w->path);
        w->temporary = steal_ptr(beside);
    }
    if (rename(w->temporary, w->path) < 0)
        return err_errno(e, "create snapshot `%s`", w->path);
    free(w->temporary);
    w->temporary = NULL;
    return 0;
}

static int write_end(struct snapshot_writer *w, const void *state, size_t state_size, const struct buf *manifest,
                     struct err *e)
{
    struct trailer t = {.format = SNAPSHOT_FORMAT,
                        .chunk = SNAPSHOT_CHUNK,
                        .memory_bytes = w->memory_bytes,
                        .state_size = state_size,
                        .manifest_size = manifest->len,
                        .sum_count = w->memory_bytes / SNAPSHOT_CHUNK,
                        .mtime = clock_realtime_ns() / NS_PER_S};
    uint8_t trailer[TRAILER_SIZE];
    size_t sums_size = t.sum_count * sizeof(*w->sums);
    for (uint64_t i = 0; i < t.sum_count; i++)
        w->sums[i] = htole64(w->sums[i]);
    layout_hash(state, state_size, t.state_hash);
    layout_hash(buf_head(manifest), manifest->len, t.manifest_hash);
    layout_hash(w->sums, sums_size, t.sums_hash);
    trailer_pack(&t, trailer);
    if (write_at(w, t.memory_bytes, state, state_size, e) < 0 ||
        write_at(w, layout_manifest(&t), buf_head(manifest), manifest->len, e) < 0 ||
        write_at(w, layout_sums(&t), w->sums, sums_size, e) < 0 ||
        write_at(w, layout_trailer(&t), trailer, sizeof(trailer), e) < 0)
        return -1;
    return snapshot_file_trust(w->fd, e);
}

int snapshot_writer_finish(struct snapshot_writer *w, const void *state, size_t state_size, const struct snapshot_info *info,
                           bool durable, struct err *e)
{
    _cleanup_buf_ struct buf manifest = BUF_INIT(MANIFEST_MAX);
    if (snapshot_info_pack(info, &manifest, e) < 0 || write_end(w, state, state_size, &manifest, e) < 0)
        return -1;
    if (durable && fsync(w->fd) < 0)
        return err_errno(e, "write snapshot `%s`", w->path);
    if (install(w, e) < 0)
        return -1;
    return durable ? path_sync(w->directory, e) : 0;
}
