#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/strv.h"

#define FDS_MAX 8

int write_full(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n) {
        ssize_t done = write(fd, at, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        at += done;
        n -= (size_t)done;
    }
    return 0;
}

ssize_t read_full(int fd, void *p, size_t n)
{
    size_t have = 0;
    while (have < n) {
        ssize_t got = read(fd, (char *)p + have, n - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (!got)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

int fd_read_all(int fd, struct buf *out, struct err *e)
{
    for (;;) {
        size_t room = out->max - out->len;
        size_t chunk = room < 65536 ? room : 65536;
        char probe;
        void *to = chunk ? (void *)buf_reserve(out, chunk) : &probe;
        ssize_t got = read(fd, to, chunk ? chunk : 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_errno(e, "read");
        if (!got)
            return 0;
        if (!chunk)
            return err_set(e, EFBIG, "more than %zu bytes", out->max);
        buf_commit(out, (size_t)got);
    }
}

int file_read(const char *path, struct buf *out, struct err *e)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "`%s`", path);
    if (fd_read_all(fd, out, e) < 0)
        return err_prefix(e, "`%s`", path);
    return 0;
}

int file_write_atomic(const char *path, const void *p, size_t n, mode_t mode, bool durable,
                      struct err *e)
{
    _cleanup_free_ char *temporary = xasprintf("%s.tmp-XXXXXX", path);
    _cleanup_close_ int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "create `%s`", path);
    if (write_full(fd, p, n) < 0 || fchmod(fd, mode) < 0 || (durable && fsync(fd) < 0) ||
        rename(temporary, path) < 0) {
        err_errno(e, "write `%s`", path);
        unlink(temporary);
        return -1;
    }
    _cleanup_free_ char *directory = path_directory(path);
    return durable ? path_sync(directory, e) : 0;
}

int dir_create_all(const char *path, mode_t mode, struct err *e)
{
    _cleanup_free_ char *copy = xstrdup(path);
    for (char *slash = copy + 1; *copy; slash++) {
        slash = strchrnul(slash, '/');
        char saved = *slash;
        *slash = '\0';
        struct stat st;
        if (mkdir(copy, mode) < 0 && (errno != EEXIST || stat(copy, &st) < 0 || !S_ISDIR(st.st_mode))) {
            if (errno == EEXIST)
                errno = ENOTDIR;
            return err_errno(e, "create directory `%s`", copy);
        }
        if (!saved)
            break;
        *slash = saved;
    }
    return 0;
}

static int change_flags(int fd, int get, int set, int flag, bool on)
{
    int flags = fcntl(fd, get);
    if (flags < 0)
        return -1;
    return fcntl(fd, set, on ? flags | flag : flags & ~flag);
}

int fd_set_nonblock(int fd, bool on)
{
    return change_flags(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int fd_set_cloexec(int fd, bool on)
{
    return change_flags(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int fds_send(int socket, const void *p, size_t n, const int *fds, size_t count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
    } control = {0};
    struct iovec iov = {.iov_base = (void *)p, .iov_len = n};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (count > FDS_MAX) {
        errno = EINVAL;
        return -1;
    }
    if (count) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
    }
    ssize_t sent;
    do
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return -1;
    if ((size_t)sent < n)
        return write_full(socket, (const char *)p + sent, n - (size_t)sent);
    return 0;
}

ssize_t fds_recv(int socket, void *p, size_t n, int *fds, size_t max, size_t *ret_count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
    } control;
    struct iovec iov = {.iov_base = p, .iov_len = n};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t got;
    do
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -1;
    size_t count = 0;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&message); h; h = CMSG_NXTHDR(&message, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        size_t here = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
            if (count < max)
                fds[count++] = fd;
            else
                close(fd);
        }
    }
    *ret_count = count;
    return got;
}

int path_sync(const char *path, struct err *e)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 || fsync(fd) < 0 ? err_errno(e, "sync `%s`", path) : 0;
}

bool fd_is_at(int fd, const char *path)
{
    struct stat st, there;
    return fstat(fd, &st) == 0 && lstat(path, &there) == 0 && st.st_ino == there.st_ino && st.st_dev == there.st_dev;
}
