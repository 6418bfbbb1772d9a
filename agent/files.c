#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "directory.h"

int files_open_flags(uint64_t mode)
{
    bool writes = mode & (OPEN_WRITE | OPEN_APPEND);
    return (!writes ? O_RDONLY : mode & OPEN_READ ? O_RDWR : O_WRONLY) | (mode & OPEN_CREATE ? O_CREAT : 0) |
           (mode & OPEN_TRUNCATE ? O_TRUNC : 0) | (mode & OPEN_APPEND ? O_APPEND : 0) |
           (mode & OPEN_EXCLUSIVE ? O_EXCL : 0);
}

int files_open(struct call *call, const char *path, int flags, mode_t perm)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC | O_NOCTTY, perm & 07777);
    while (fd < 0 && call_retry(call, errno));
    if (fd < 0)
        call_fail(call, errno);
    return fd;
}

ssize_t files_read_ready(struct call *call, int fd, void *to, size_t n)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, -1) < 0)
        return -1;
    if (__atomic_load_n(&call->cancelled, __ATOMIC_ACQUIRE)) {
        errno = ECANCELED;
        return -1;
    }
    return read(fd, to, n);
}

void files_send_all(struct call *call, int fd, uint64_t limit)
{
    uint64_t total = 0;
    _cleanup_free_ uint8_t *piece = xmalloc(PIECE_MAX);
    for (;;) {
        ssize_t got = read(fd, piece, PIECE_MAX);
        if (got < 0 && call_retry(call, errno))
            continue;
        if (got < 0)
            call_fail(call, errno);
        else if ((total += (uint64_t)got) > limit)
            call_fail(call, EFBIG);
        else if (got && !call_send(call, piece, (size_t)got))
            continue;
        return;
    }
}

void files_read(struct call *call)
{
    const struct args_read_file *args = call_args(call);
    _cleanup_free_ char *path = call_string(call, args->path);
    _cleanup_close_ int fd = path ? files_open(call, path, O_RDONLY, 0) : -1;
    if (fd < 0)
        return;
    struct stat st;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && (uint64_t)st.st_size > args->limit)
        call_fail(call, EFBIG);
    else
        files_send_all(call, fd, args->limit);
}

/* All of a piece; -1 when the call has failed. */
static int write_piece(struct call *call, int fd, struct piece *piece)
{
    while (piece->used < piece->len) {
        ssize_t done = write(fd, piece->data + piece->used, piece->len - piece->used);
        if (done < 0 && call_retry(call, errno))
            continue;
        if (done < 0) {
            call_fail(call, errno);
            return -1;
        }
        piece->used += (size_t)done;
    }
    return 0;
}

void files_write(struct call *call)
{
    const struct args_write_file *args = call_args(call);
    _cleanup_free_ char *path = call_string(call, args->path);
    _cleanup_close_ int fd = path ? files_open(call, path, O_WRONLY | O_CREAT | O_TRUNC, 0644) : -1;
    if (fd < 0)
        return;
    if (args->perm >= 0 && fchmod(fd, (mode_t)args->perm & 07777) < 0) {
        call_fail(call, errno);
        return;
    }
    struct piece *piece;
    while (!call->failed && (piece = call_receive(call))) {
        write_piece(call, fd, piece);
        call_recycle(call, piece);
    }
    if (call->cancelled)
        call_fail(call, ECANCELED);
    else if (!call->failed && close(steal_fd(&fd)) < 0)
        call_fail(call, errno);
}

void files_stat(struct call *call)
{
    const struct args_stat *args = call_args(call);
    _cleanup_free_ char *path = call_string(call, args->path);
    struct stat st;
    if (!path)
        return;
    if (fstatat(AT_FDCWD, path, &st, args->nofollow ? AT_SYMLINK_NOFOLLOW : 0) < 0) {
        call_fail(call, errno);
        return;
    }
    struct value_stat value = {
        .size = (uint64_t)st.st_size,
        .mtime_ns = st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec,
        .perm = st.st_mode & 07777,
        .entry_type = bytes_str(entry_type_name(entry_letter(st.st_mode))),
        .uid = st.st_uid,
        .gid = st.st_gid,
        .nlink = st.st_nlink,
        .ino = st.st_ino,
        .dev = st.st_dev,
        .rdev = st.st_rdev,
    };
    call_value(call, &value);
}

void files_mkdir(struct call *call)
{
    const struct args_mkdir *args = call_args(call);
    _cleanup_free_ char *path = call_string(call, args->path);
    if (!path)
        return;
    for (char *slash = path; args->parents && (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        bool failed = mkdir(path, 0755) < 0 && errno != EEXIST;
        *slash = '/';
        if (failed) {
            call_fail(call, errno);
            return;
        }
    }
    /* mkdir(2) ignores the set-id bits, and default ACLs may change the others. */
    struct stat st;
    if (!mkdir(path, args->perm & 01777)) {
        if (stat(path, &st) < 0 || ((st.st_mode & 07777) != args->perm && chmod(path, args->perm & 07777) < 0))
            call_fail(call, errno);
    } else if (errno != EEXIST || !args->parents || stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        call_fail(call, errno);
    }
}

void files_unlink(struct call *call)
{
    const struct args_path *args = call_args(call);
    _cleanup_free_ char *path = call_string(call, args->path);
    if (!path || !unlink(path))
        return;
    if (errno != EISDIR)
        call_fail(call, errno);
    else if (rmdir(path) < 0)
        call_fail(call, errno);
}

void files_rename(struct call *call)
{
    const struct args_rename *args = call_args(call);
    _cleanup_free_ char *from = call_string(call, args->from);
    _cleanup_free_ char *to = from ? call_string(call, args->to) : NULL;
    if (to && rename(from, to) < 0)
        call_fail(call, errno);
}

void files_sync(struct call *call)
{
    (void)call;
    sync();
}
