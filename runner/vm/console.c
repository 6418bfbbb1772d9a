/* QEMU's serial port is a socket. A child process (the drain) does nothing but move bytes from it into the log, so
 * a guest is never stalled by a busy test and nothing is lost when the runner dies late. (QEMU newer than 7.2 has
 * `-chardev file,input-path=`, with which the drain can go once 7.2 is no longer supported.)
 *
 * Runner and drain share the near end of the socket: the drain reads, the runner writes. The drain tells of new
 * bytes through an eventfd and of the end by exiting. Past CONSOLE_LOG_MAX it punches the oldest bytes out of the
 * log, whose offsets so stay absolute. */
#include "vm/console.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/process.h"

#define DRAIN_CHUNK 65536
#define PUNCH_STEP  (UINT64_C(16) << 20)

struct console {
    struct loop *loop;
    int log_fd, event_fd, socket_fd;
    pid_t drain;
    struct source *drain_source, *event_source;
    bool ended;   /* no drain runs */
    bool changed; /* set by the event source, cleared by waiters */
    uint64_t boot_start;
    void (*on_output)(void *arg);
    void *on_output_arg;
};

static void on_event(struct source *s, uint32_t events, void *arg)
{
    struct console *c = arg;
    uint64_t count;
    (void)s, (void)events;
    if (read(c->event_fd, &count, sizeof(count)) < 0)
        return;
    c->changed = true;
    if (c->on_output)
        c->on_output(c->on_output_arg);
}

struct console *console_new(struct loop *loop, const char *directory, struct err *e)
{
    struct console *c = xnew0(struct console);
    c->loop = loop;
    c->socket_fd = -1;
    c->ended = true;
    c->log_fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->log_fd < 0 || c->event_fd < 0) {
        err_errno(e, "console log in `%s`", directory);
        console_free(c);
        return NULL;
    }
    c->event_source = loop_add_fd(loop, c->event_fd, EPOLLIN, on_event, c);
    return c;
}

static void stop_drain(struct console *c)
{
    source_remove(c->drain_source);
    c->drain_source = NULL;
    close_fd(&c->socket_fd);
    if (c->drain > 0)
        process_kill_and_reap(c->drain);
    c->drain = 0;
    c->ended = true;
}

void console_free(struct console *c)
{
    if (!c)
        return;
    stop_drain(c);
    source_remove(c->event_source);
    close_fd(&c->event_fd);
    close_fd(&c->log_fd);
    free(c);
}

/* In the drain: a child of the runner in the same namespaces, with only these three descriptors. */
static void __attribute__((noreturn)) drain_run(int socket_fd, int log_fd, int event_fd)
{
    static char chunk[DRAIN_CHUNK];
    const uint64_t one = 1;
    uint64_t size = (uint64_t)lseek(log_fd, 0, SEEK_END), punched = 0;
    for (;;) {
        ssize_t got = read(socket_fd, chunk, sizeof(chunk));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            _exit(0);
        /* A full disk must not stall the guest: the rest of the log is lost, the run goes on. */
        if (pwrite(log_fd, chunk, (size_t)got, (off_t)size) == got)
            size += (uint64_t)got;
        if (size - punched >= CONSOLE_LOG_MAX + PUNCH_STEP &&
            fallocate(log_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                      (off_t)(size - CONSOLE_LOG_MAX)) == 0)
            punched = size - CONSOLE_LOG_MAX;
        if (write(event_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
            _exit(0);
    }
}

static void on_drain_exit(struct source *s, pid_t pid, int status, void *arg)
{
    struct console *c = arg;
    (void)s, (void)pid, (void)status;
    c->drain = 0;
    c->drain_source = NULL;
    c->ended = c->changed = true;
    if (c->on_output)
        c->on_output(c->on_output_arg);
}

int console_connect(struct console *c, int fd, struct err *e)
{
    stop_drain(c);
    pid_t pid = process_fork();
    if (pid < 0) {
        err_errno(e, "console drain");
        close(fd);
        return -1;
    }
    if (!pid) {
        int keep[] = {fd, c->log_fd, c->event_fd};
        process_keep_fds(keep, ARRAY_SIZE(keep));
        drain_run(fd, c->log_fd, c->event_fd);
    }
    c->drain = pid;
    c->socket_fd = fd;
    c->drain_source = loop_add_child(c->loop, pid, on_drain_exit, c);
    c->ended = false;
    console_mark_boot(c);
    return 0;
}

void console_finish(struct console *c, int64_t deadline)
{
    loop_wait(c->loop, &c->ended, deadline);
}

uint64_t console_end(const struct console *c)
{
    struct stat st;
    return fstat(c->log_fd, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

int console_log_fd(const struct console *c)
{
    return c->log_fd;
}

uint64_t console_start(const struct console *c)
{
    uint64_t end = console_end(c);
    return end > CONSOLE_LOG_MAX ? end - CONSOLE_LOG_MAX : 0;
}

uint64_t console_boot_start(const struct console *c)
{
    return c->boot_start;
}

void console_mark_boot(struct console *c)
{
    c->boot_start = console_end(c);
}

bool console_connected(const struct console *c)
{
    return !c->ended;
}

ssize_t console_read(const struct console *c, uint64_t offset, void *p, size_t n)
{
    return pread(c->log_fd, p, n, (off_t)offset);
}

char *console_tail(const struct console *c, uint64_t from, size_t n)
{
    uint64_t end = console_end(c);
    if (end > n && from < end - n)
        from = end - n;
    size_t size = from < end ? (size_t)(end - from) : 0;
    char *text = xmalloc(size + 1);
    ssize_t got = size ? console_read(c, from, text, size) : 0;
    text[got > 0 ? got : 0] = '\0';
    return text;
}

int console_wait(struct console *c, uint64_t offset, int64_t deadline)
{
    for (;;) {
        if (console_end(c) > offset)
            return 1;
        if (c->ended)
            return 0;
        c->changed = false;
        if (loop_wait(c->loop, &c->changed, deadline) < 0)
            return -1;
    }
}

struct writer {
    bool ready;
};

static void on_writable(struct source *s, uint32_t events, void *arg)
{
    (void)s, (void)events;
    ((struct writer *)arg)->ready = true;
}

int console_write(struct console *c, const void *p, size_t n, int64_t deadline, size_t *ret_sent,
                  struct err *e)
{
    size_t sent = 0;
    int result = 0;
    *ret_sent = 0;
    if (c->ended)
        return err_set(e, EPIPE, "the console has ended");
    struct writer writer = {0};
    struct source *source = NULL;
    while (sent < n) {
        ssize_t done = send(c->socket_fd, (const char *)p + sent, n - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (done > 0) {
            sent += (size_t)done;
            continue;
        }
        if (errno != EAGAIN) {
            result = err_set(e, EPIPE, "the console has ended");
            break;
        }
        if (!source)
            source = loop_add_fd(c->loop, c->socket_fd, EPOLLOUT, on_writable, &writer);
        writer.ready = false;
        if (loop_wait(c->loop, &writer.ready, deadline) < 0) {
            result = err_set(e, errno, "timed out after %zu of %zu bytes", sent, n);
            break;
        }
    }
    source_remove(source);
    *ret_sent = sent;
    return result;
}

void console_on_output(struct console *c, void (*fn)(void *arg), void *arg)
{
    c->on_output = fn;
    c->on_output_arg = arg;
}
