/* Copying guest memory, a chunk at a time.
 *
 * A guest that was booted writes to a file in memory (memfd_create(2)) which the runner shares: holes are pages that it
 * never touched. A restored guest maps its snapshot's file privately, so that its changes are anonymous pages of QEMU's
 * and of no file; /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst in Linux) tells them from those that still
 * are the file's, and /proc/PID/mem holds them. Both ask for no privilege over one's own child.
 *
 * The mapping is the one of exactly that size from offset 0 of a file: QEMU's other ones are smaller by orders. */
#include "vm/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/process.h"

#define PAGE            4096
#define PAGES_PER_CHUNK (SNAPSHOT_CHUNK / PAGE)
#define PAGE_PRESENT    (UINT64_C(1) << 63)
#define PAGE_SWAPPED    (UINT64_C(1) << 62)
#define PAGE_OF_FILE    (UINT64_C(1) << 61)

struct overlay_source {
    int pagemap_fd, memory_fd;
    uint64_t address;
};

static int read_exactly(int fd, uint64_t offset, void *p, size_t n, struct err *e)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, (char *)p + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got ? err_errno(e, "read guest memory") : err_set(e, EIO, "read guest memory: it ends early");
        done += (size_t)got;
    }
    return 0;
}

/* Is there any data in the chunk? */
static bool has_data(int fd, uint64_t offset)
{
    off_t found = lseek(fd, (off_t)offset, SEEK_DATA);
    return found < 0 ? errno != ENXIO : (uint64_t)found < offset + SNAPSHOT_CHUNK;
}

static int open_process(pid_t pid, const char *name, int flags, struct err *e)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", process_number_in_proc(pid), name);
    int fd = open(path, flags | O_CLOEXEC);
    return fd < 0 ? err_errno(e, "QEMU's memory: %s", path) : fd;
}

static int find_mapping(pid_t pid, uint64_t size, uint64_t *ret, struct err *e)
{
    char line[4096];
    int fd = open_process(pid, "maps", O_RDONLY, e);
    _cleanup_fclose_ FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    if (!f)
        return -1;
    uint64_t address = 0;
    unsigned found = 0;
    while (fgets(line, sizeof(line), f)) {
        uint64_t start, end, offset, inode;
        char access[5];
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %" SCNu64, &start, &end, access, &offset, &inode) == 5 &&
            end - start == size && !offset && inode && access[3] == 'p') {
            address = start;
            found++;
        }
    }
    if (found != 1)
        return err_set(e, ENOENT, "QEMU has %u mappings that could be the guest's memory", found);
    *ret = address;
    return 0;
}

static int open_overlay(struct overlay_source *o, pid_t pid, uint64_t memory_bytes, struct err *e)
{
    if (find_mapping(pid, memory_bytes, &o->address, e) < 0)
        return -1;
    o->pagemap_fd = open_process(pid, "pagemap", O_RDONLY, e);
    o->memory_fd = o->pagemap_fd < 0 ? -1 : open_process(pid, "mem", O_RDONLY, e);
    return o->memory_fd < 0 ? -1 : 0;
}

/* Lays the changed pages of one chunk over `chunk`, which holds the file's if `filled`, else anything. 1: it has contents
 * now; 0: neither had any. */
static int overlay_chunk(const struct overlay_source *o, uint64_t offset, uint8_t *chunk, bool filled, struct err *e)
{
    uint64_t pages[PAGES_PER_CHUNK], address = o->address + offset;
    if (read_exactly(o->pagemap_fd, address / PAGE * sizeof(*pages), pages, sizeof(pages), e) < 0)
        return -1;
    for (size_t i = 0, end; i < PAGES_PER_CHUNK; i = end + 1) {
        for (end = i; end < PAGES_PER_CHUNK; end++)
            if (!(pages[end] & (PAGE_PRESENT | PAGE_SWAPPED)) || (pages[end] & PAGE_OF_FILE))
                break;
        if (end == i)
            continue;
        if (!filled)
            memset(chunk, 0, SNAPSHOT_CHUNK);
        filled = true;
        if (read_exactly(o->memory_fd, address + i * PAGE, chunk + i * PAGE, (end - i) * PAGE, e) < 0)
            return -1;
    }
    return filled;
}

static int timed_out(uint64_t at, uint64_t bytes, struct err *e)
{
    return err_set(e, ETIMEDOUT, "timed out after %" PRIu64 " of %" PRIu64 " MiB", at >> 20, bytes >> 20);
}

static int copy_chunks(int fd, const struct overlay_source *o, uint64_t memory_bytes, struct snapshot_writer *to,
                       int64_t deadline, struct err *e)
{
    _cleanup_free_ uint8_t *chunk = xmalloc(SNAPSHOT_CHUNK);
    for (uint64_t at = 0; at < memory_bytes; at += SNAPSHOT_CHUNK) {
        int filled = has_data(fd, at);
        if (filled && read_exactly(fd, at, chunk, SNAPSHOT_CHUNK, e) < 0)
            return -1;
        if (o && (filled = overlay_chunk(o, at, chunk, filled, e)) < 0)
            return -1;
        if (filled && snapshot_writer_memory(to, at, chunk, SNAPSHOT_CHUNK, e) < 0)
            return -1;
        if (filled && clock_monotonic_ns() >= deadline)
            return timed_out(at, memory_bytes, e);
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------- in place */

int memory_open(struct memory *m, int fd, bool base, pid_t pid, uint64_t bytes, struct err *e)
{
    char path[64];
    uint64_t address = 0;
    if (base && find_mapping(pid, bytes, &address, e) < 0)
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int opened = base ? open_process(pid, "mem", O_RDWR, e) : open(path, O_RDWR | O_CLOEXEC);
    if (opened < 0)
        return base ? -1 : err_errno(e, "open %s", path);
    *m = (struct memory){.fd = opened, .address = address, .bytes = bytes, .has_holes = !base};
    return 0;
}

void memory_done(struct memory *m)
{
    close_fd(&m->fd);
}

static int write_chunk(int fd, uint64_t offset, const uint8_t *chunk, struct err *e)
{
    for (size_t done = 0; done < SNAPSHOT_CHUNK;) {
        ssize_t put = pwrite(fd, chunk + done, SNAPSHOT_CHUNK - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return err_errno(e, "write guest memory");
        done += (size_t)put;
    }
    return 0;
}

static bool is_zero(const uint8_t *chunk)
{
    return !chunk[0] && !memcmp(chunk, chunk + 1, SNAPSHOT_CHUNK - 1);
}

int memory_keep(const struct memory *m, int *ret_fd, int64_t deadline, struct err *e)
{
    _cleanup_free_ uint8_t *chunk = xmalloc(SNAPSHOT_CHUNK);
    _cleanup_close_ int fd = memfd_create("kept guest memory", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)m->bytes) < 0)
        return err_errno(e, "copy of guest memory");
    for (uint64_t at = 0; at < m->bytes; at += SNAPSHOT_CHUNK) {
        if (m->has_holes && !has_data(m->fd, at))
            continue;
        if (read_exactly(m->fd, m->address + at, chunk, SNAPSHOT_CHUNK, e) < 0 ||
            (!is_zero(chunk) && write_chunk(fd, at, chunk, e) < 0))
            return -1;
        if (clock_monotonic_ns() >= deadline)
            return timed_out(at, m->bytes, e);
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

int memory_put_back(const struct memory *m, int kept_fd, struct err *e)
{
    _cleanup_free_ uint8_t *chunk = xmalloc(SNAPSHOT_CHUNK), *kept = xmalloc(SNAPSHOT_CHUNK);
    for (uint64_t at = 0; at < m->bytes; at += SNAPSHOT_CHUNK) {
        if (m->has_holes && !has_data(m->fd, at))
            continue;
        if (read_exactly(m->fd, m->address + at, chunk, SNAPSHOT_CHUNK, e) < 0 ||
            read_exactly(kept_fd, at, kept, SNAPSHOT_CHUNK, e) < 0 ||
            (memcmp(chunk, kept, SNAPSHOT_CHUNK) && write_chunk(m->fd, m->address + at, kept, e) < 0))
            return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------- to a snapshot */

int memory_copy(int fd, bool base, pid_t pid, uint64_t memory_bytes, struct snapshot_writer *to, int64_t deadline,
                struct err *e)
{
    if (!base)
        return copy_chunks(fd, NULL, memory_bytes, to, deadline, e);
    struct overlay_source o = {.pagemap_fd = -1, .memory_fd = -1};
    int result = open_overlay(&o, pid, memory_bytes, e);
    if (!result)
        result = copy_chunks(fd, &o, memory_bytes, to, deadline, e);
    close_fd(&o.pagemap_fd);
    close_fd(&o.memory_fd);
    return result;
}
