/* A regular file gets each frame in one write, at once. Everything that can be slow (standard output, FIFOs, clients
 * of the socket) is a follower: frames are appended to a spool, an unlinked temporary file that is made for the first
 * of them, and every follower reads on from its own offset whenever it can take more. So the run never waits for a
 * reader, memory is bounded, and a client that comes late gets the stream from its beginning.
 *
 * A client of the socket may lag behind by what it started with and LAG_MAX more, else it is dropped. Descriptors that
 * are shared with other processes (standard output) stay blocking: they are written to in pieces that poll(2) says
 * will fit. */
#include "events/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"

#define LAG_MAX      ((int64_t)8 << 20)
#define LAST_CALL_NS (10 * NS_PER_S) /* without progress, at the end of the run */

struct follower {
    struct follower *next;
    struct event_stream *stream;
    const char *name;
    int fd; /* owned */
    bool client;
    struct source *source;
    int64_t at, least_lag;
};

struct event_stream {
    struct loop *loop;
    const struct event_stream_settings *settings;
    int file_fd, spool_fd, socket_fd;
    int64_t begin, spool_size; /* begin: where the newest run does */
    struct source *accept_source;
    struct follower *followers;
    struct buf frame;
    bool drained;     /* no follower has anything left to take */
    int64_t progress; /* when a follower last took something */
};

static void lose(struct event_stream *s, const char *name, const char *reason)
{
    _cleanup_err_ struct err e = ERR_INIT;
    err_set(&e, errno, "%s: %s", name, reason);
    s->settings->on_lost(&e, s->settings->arg);
}

/* ------------------------------------------------------------------------------------------------- followers */

static void note_drained(struct event_stream *s)
{
    s->drained = true;
    for (struct follower *f = s->followers; f; f = f->next)
        s->drained = s->drained && f->at == s->spool_size;
}

static void end_follower(struct follower *f)
{
    struct event_stream *s = f->stream;
    for (struct follower **at = &s->followers; *at; at = &(*at)->next) {
        if (*at == f) {
            *at = f->next;
            break;
        }
    }
    source_remove(f->source);
    close_fd(&f->fd);
    free(f);
    note_drained(s);
}

/* Writes what fits; -1 with errno. */
static ssize_t write_some(const struct follower *f, const void *data, size_t n)
{
    if (f->client)
        return send(f->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    struct pollfd ready = {.fd = f->fd, .events = POLLOUT};
    if (poll(&ready, 1, 0) < 1) {
        errno = EAGAIN;
        return -1;
    }
    return write(f->fd, data, n < PIPE_BUF ? n : PIPE_BUF);
}

static void on_writable(struct source *source, uint32_t events, void *arg);

/* False when the follower has ended. */
static bool pump(struct follower *f)
{
    char chunk[65536];
    struct event_stream *s = f->stream;
    while (f->at < s->spool_size) {
        ssize_t n = pread(s->spool_fd, chunk, sizeof(chunk), f->at);
        ssize_t written = n > 0 ? write_some(f, chunk, (size_t)n) : -1;
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN)
            break;
        if (written < 0) {
            if (!f->client)
                lose(s, f->name, errno == EPIPE ? "the reader has gone" : strerror(errno));
            end_follower(f);
            return false;
        }
        f->at += written;
        s->progress = clock_monotonic_ns();
    }
    int64_t lag = s->spool_size - f->at;
    if (lag < f->least_lag)
        f->least_lag = lag;
    if (f->client && lag - f->least_lag > LAG_MAX) {
        end_follower(f);
        return false;
    }
    if (lag && !f->source)
        f->source = loop_add_fd(s->loop, f->fd, EPOLLOUT, on_writable, f);
    if (!lag && f->source) {
        source_remove(f->source);
        f->source = NULL;
    }
    note_drained(s);
    return true;
}

static void on_writable(struct source *source, uint32_t events, void *arg)
{
    (void)source, (void)events;
    pump(arg);
}

static int make_spool(struct event_stream *s, struct err *e)
{
    if (s->spool_fd >= 0)
        return 0;
    s->spool_fd = open(s->settings->temporary_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->spool_fd < 0)
        s->spool_fd = memfd_create("events", MFD_CLOEXEC);
    return s->spool_fd < 0 ? err_errno(e, "spool of the event stream") : 0;
}

static int add_follower(struct event_stream *s, int fd, const char *name, bool client, struct err *e)
{
    if (make_spool(s, e) < 0)
        return -1;
    struct follower *f = xnew0(struct follower);
    *f = (struct follower){.next = s->followers, .stream = s, .name = name, .fd = fd, .client = client, .at = s->begin};
    f->least_lag = s->spool_size - s->begin;
    s->followers = f;
    pump(f);
    return 0;
}

/* ------------------------------------------------------------------------------------------------- socket */

static void on_client(struct source *source, uint32_t events, void *arg)
{
    struct event_stream *s = arg;
    (void)source, (void)events;
    int fd = accept4(s->socket_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        add_follower(s, fd, "events socket", true, NULL);
}

/* Removes what a dead run has left at `path`. */
static int clear_place(int fd, const struct sockaddr_un *address, const char *path, struct err *e)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, EEXIST, "--events-socket: `%s` exists and is no socket", path);
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno != ECONNREFUSED)
        return err_set(e, EADDRINUSE, "--events-socket: another run listens at `%s`", path);
    unlink(path);
    return 0;
}

static int open_socket(struct event_stream *s, struct err *e)
{
    const char *path = s->settings->socket_path;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return err_set(e, ENAMETOOLONG, "--events-socket: `%s` is longer than %zu bytes", path,
                       sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, strlen(path));
    _cleanup_close_ int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (clear_place(probe, &address, path, e) < 0)
        return -1;
    mode_t mask = umask(0177);
    int rc = bind(fd, (const struct sockaddr *)&address, sizeof(address));
    umask(mask);
    if (rc < 0 || listen(fd, 64) < 0)
        return err_errno(e, "--events-socket: `%s`", path);
    if (make_spool(s, e) < 0) {
        unlink(path);
        return -1;
    }
    s->socket_fd = steal_fd(&fd);
    s->accept_source = loop_add_fd(s->loop, s->socket_fd, EPOLLIN, on_client, s);
    return 0;
}

/* ------------------------------------------------------------------------------------------------- the stream */

static int open_file(struct event_stream *s, struct err *e)
{
    struct stat st;
    const char *path = s->settings->save_path;
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(e, "--save-events: `%s`", path);
    if (!S_ISREG(st.st_mode))
        return add_follower(s, steal_fd(&fd), "--save-events", false, e);
    s->file_fd = steal_fd(&fd);
    return 0;
}

struct event_stream *event_stream_new(struct loop *loop, const struct event_stream_settings *settings, struct err *e)
{
    _cleanup_(event_stream_freep) struct event_stream *s = xnew0(struct event_stream);
    *s = (struct event_stream){.loop = loop, .settings = settings, .file_fd = -1, .spool_fd = -1, .socket_fd = -1};
    s->frame = BUF_INIT(EVENT_FRAME_MAX + 4096);
    signal(SIGPIPE, SIG_IGN);
    if (settings->to_stdout &&
        add_follower(s, fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), "--events-stdout", false, e) < 0)
        return NULL;
    if (settings->save_path && open_file(s, e) < 0)
        return NULL;
    if (settings->socket_path && open_socket(s, e) < 0)
        return NULL;
    return steal_ptr(s);
}

int event_stream_restart(struct event_stream *s, struct err *e)
{
    int64_t taken = s->begin = s->spool_size;
    if (s->file_fd >= 0 && (ftruncate(s->file_fd, 0) < 0 || lseek(s->file_fd, 0, SEEK_SET) < 0))
        return err_errno(e, "--save-events");
    for (const struct follower *f = s->followers; f; f = f->next)
        taken = f->at < taken ? f->at : taken;
    if (taken) /* where that is not possible, the spool only stays larger */
        (void)!fallocate(s->spool_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, taken);
    return 0;
}

static void append_spool(struct event_stream *s)
{
    if (pwrite(s->spool_fd, buf_head(&s->frame), s->frame.len, s->spool_size) == (ssize_t)s->frame.len) {
        s->spool_size += (int64_t)s->frame.len;
    } else {
        lose(s, "spool of the event stream", strerror(errno));
        while (s->followers)
            end_follower(s->followers);
        close_fd(&s->spool_fd);
    }
}

void event_stream_put(struct event_stream *s, int64_t ts, struct bytes kind, struct bytes payload)
{
    struct event ev;
    buf_clear(&s->frame);
    if (event_append(&s->frame, ts ? ts : clock_realtime_ns(), kind, payload) < 0)
        return;
    if (s->file_fd >= 0 && write_full(s->file_fd, buf_head(&s->frame), s->frame.len) < 0) {
        lose(s, "--save-events", strerror(errno));
        close_fd(&s->file_fd);
    }
    if (s->spool_fd >= 0)
        append_spool(s);
    for (struct follower *f = s->followers, *next; f; f = next) {
        next = f->next;
        pump(f);
    }
    if (event_next(&s->frame, &ev, NULL) > 0)
        s->settings->on_event(&ev, s->settings->arg);
}

void event_stream_emit(struct event_stream *s, int64_t ts, const char *kind, const struct payload *payload)
{
    _cleanup_buf_ struct buf packed = BUF_INIT(EVENT_FRAME_MAX);
    payload_write(payload, &packed);
    if (!payload->full)
        event_stream_put(s, ts, bytes_str(kind), bytes_of(buf_head(&packed), packed.len));
}

/* Until every follower has everything, or none has taken anything for a while. */
static void last_call(struct event_stream *s)
{
    int64_t deadline;
    s->progress = clock_monotonic_ns();
    note_drained(s);
    do {
        deadline = s->progress + LAST_CALL_NS;
        loop_wait(s->loop, &s->drained, deadline);
    } while (!s->drained && clock_monotonic_ns() < s->progress + LAST_CALL_NS);
    for (struct follower *f = s->followers; f; f = f->next)
        if (!f->client && f->at < s->spool_size)
            lose(s, f->name, "the reader takes nothing any more");
}

void event_stream_free(struct event_stream *s)
{
    if (!s)
        return;
    source_remove(s->accept_source);
    if (s->socket_fd >= 0)
        unlink(s->settings->socket_path);
    last_call(s);
    while (s->followers)
        end_follower(s->followers);
    close_fd(&s->file_fd);
    close_fd(&s->spool_fd);
    close_fd(&s->socket_fd);
    buf_done(&s->frame);
    free(s);
}
