/* A tail is a thread that reads a file from an offset of its own and sends what it finds, as far as the host's credit
 * goes; then it waits for more. inotify tells of that, except on file systems that change behind its back (those of
 * the kernel and of the network): they are looked at every POLL_MS.
 *
 * By path it follows the name: when that means another file, the old one is finished and the new one read from its
 * start; while it means none, the old one stays. A file that became shorter is read again from 0. */
#include "tail.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/strv.h"
#include "files.h"
#include "handle.h"
#include "worker.h"

#define POLL_MS 20

struct tail {
    struct call *call;
    const char *path; /* NULL: by descriptor */
    int fd, inotify;
    off_t at;
    uint8_t *block;
};

/* File systems whose files change without an event: statfs(2) f_type. */
static bool is_silent(int fd)
{
    static const uint32_t types[] = {
        0x9fa0 /* proc */,     0x62656572 /* sysfs */,  0x64626720 /* debugfs */,
        0x74726163 /* trace */, 0x27e0eb /* cgroup */,   0x63677270 /* cgroup2 */,
        0x6969 /* nfs */,      0xff534d42 /* cifs */,   0xfe534d42 /* smb2 */,
        0x01021997 /* 9p */,   0x65735546 /* fuse */,   0x00c36400 /* ceph */,
    };
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if ((uint32_t)fs.f_type == types[i])
            return true;
    return false;
}

/* Watches the file and the name. Without inotify, or where it hears nothing, the tail polls. */
static void set_watches(struct tail *t)
{
    char self[64];
    close_fd(&t->inotify);
    if (is_silent(t->fd))
        return;
    t->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    snprintf(self, sizeof(self), "/proc/self/fd/%d", t->fd);
    _cleanup_free_ char *directory = t->path ? path_directory(t->path) : NULL;
    uint32_t names = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR;
    if (t->inotify >= 0 && (inotify_add_watch(t->inotify, self, IN_MODIFY | IN_ATTRIB) < 0 ||
                            (directory && inotify_add_watch(t->inotify, *directory ? directory : "/", names) < 0)))
        close_fd(&t->inotify);
}

static void wait_for_change(struct tail *t)
{
    struct pollfd p = {.fd = t->inotify, .events = POLLIN};
    uint8_t events[4096];
    if (poll(&p, t->inotify >= 0, t->inotify >= 0 ? -1 : POLL_MS) > 0)
        while (read(t->inotify, events, sizeof(events)) > 0)
            ;
}

/* Sends from `at` to the end. -1: the call is over. */
static int send_news(struct tail *t)
{
    for (;;) {
        size_t n = call_await_credit(t->call, PIECE_MAX);
        ssize_t got = n ? pread(t->fd, t->block, n, t->at) : 0;
        if (!n)
            return -1;
        if (got < 0 && call_retry(t->call, errno))
            continue;
        if (got < 0)
            call_fail(t->call, errno);
        if (got <= 0)
            return (int)got;
        if (call_stream(t->call, t->block, (size_t)got) < 0)
            return -1;
        t->at += got;
    }
}

/* Does the path mean another file now? Then finishes the old one, which may have grown since it was read to its end, opens the
 * new one, and returns 1. -1: the call is over. */
static int follow_name(struct tail *t)
{
    struct stat mine, named;
    if (!t->path || fstat(t->fd, &mine) < 0)
        return 0;
    if (stat(t->path, &named) < 0) {
        set_watches(t); /* its directory may be another one meanwhile, or gone: then the name is polled */
        if (stat(t->path, &named) < 0)
            return 0;
    }
    if (named.st_dev == mine.st_dev && named.st_ino == mine.st_ino)
        return 0;
    int fd = open(t->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return 0;
    int over = send_news(t);
    close(t->fd);
    t->fd = fd;
    t->at = 0;
    if (over < 0)
        return -1;
    set_watches(t);
    return 1;
}

static void tail(struct tail *t)
{
    struct stat st;
    struct value_offset begun = {.offset = (uint64_t)t->at};
    set_watches(t);
    call_begun(t->call, &shape_value_offset, &begun);
    t->block = xmalloc(PIECE_MAX);
    while (!send_news(t)) {
        int followed = 1;
        if (!fstat(t->fd, &st) && st.st_size < t->at)
            t->at = 0;
        else
            followed = follow_name(t);
        if (!followed)
            wait_for_change(t);
        if (followed < 0 || __atomic_load_n(&t->call->cancelled, __ATOMIC_ACQUIRE))
            break;
    }
    free(t->block);
    close_fd(&t->inotify);
}

void tail_path(struct call *call)
{
    const struct args_tail *args = call_args(call);
    _cleanup_free_ char *path = call_string(call, args->path);
    struct tail t = {.call = call, .path = path, .inotify = -1};
    struct stat st;
    if (!path)
        return;
    call->credit = args->window;
    t.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (t.fd < 0 || fstat(t.fd, &st) < 0) {
        call_fail(call, errno);
        close_fd(&t.fd);
        return;
    }
    if (!S_ISREG(st.st_mode)) {
        call_fail_about(call, S_ISDIR(st.st_mode) ? EISDIR : ESPIPE, "not a regular file");
    } else {
        t.at = args->offset + (args->from_end ? st.st_size : 0);
        t.at = t.at < 0 ? 0 : t.at;
        tail(&t);
    }
    close_fd(&t.fd);
}

/* Consuming reads, to the end of file. The descriptor may be somebody else's too, and non-blocking. */
static void drain(struct call *call, int fd)
{
    struct value_offset begun = {0};
    _cleanup_free_ uint8_t *block = xmalloc(PIECE_MAX);
    call_begun(call, &shape_value_offset, &begun);
    for (;;) {
        size_t n = call_await_credit(call, PIECE_MAX);
        if (!n)
            return;
        ssize_t got = files_read_ready(call, fd, block, n);
        if (got < 0 && (errno == EAGAIN || call_retry(call, errno)))
            continue;
        if (got < 0 && errno != EIO) /* a pseudo terminal whose other side is closed */
            call_fail(call, errno);
        if (got <= 0 || call_stream(call, block, (size_t)got) < 0)
            return;
    }
}

void tail_descriptor(struct call *call)
{
    const struct args_fd_stream *args = call_args(call);
    struct handle *h = args->file ? handle_take(call, args->file) : NULL;
    struct stat st;
    if (args->file && !h)
        return;
    struct tail t = {.call = call, .inotify = -1};
    t.fd = h ? fcntl(h->fd, F_DUPFD_CLOEXEC, 3) : worker_share_fd(call, args->fd);
    if (h)
        handle_give(call->agent, h);
    if (t.fd < 0) {
        if (!call->failed)
            call_fail(call, errno);
        return;
    }
    call->credit = args->window;
    if (!fstat(t.fd, &st) && S_ISREG(st.st_mode)) {
        t.at = lseek(t.fd, 0, SEEK_CUR);
        tail(&t);
    } else {
        drain(call, t.fd);
    }
    close_fd(&t.fd);
}
