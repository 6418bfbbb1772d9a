/* Captures on their way out. A pipe or socket that is full is watched for room; a file takes
 * everything at once. When a capture has ended and is drained its descriptor is closed, which is
 * the reader's end of file; the capture itself stays, for its statistics, until the client releases
 * it. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/alloc.h"
#include "base/io.h"
#include "switch/process.h"

#define PIECES_MAX 64

struct drain {
    struct watch watch; /* fd -1: closed */
    struct drain *next;
    struct capture *capture;
    bool blocked, released;
};

static void on_ready(struct server *s, struct watch *w, uint32_t events)
{
    struct drain *d = container_of(w, struct drain, watch);
    d->blocked = false;
    watch_set(s, w, 0);
    if (events & (EPOLLERR | EPOLLHUP)) { /* nobody reads any more */
        close_fd(&w->fd);
        capture_end(d->capture);
    }
}

void drain_new(struct server *s, struct capture *c, int fd)
{
    struct drain *d = xnew0(struct drain);
    d->watch.fd = fd;
    d->watch.ready = on_ready;
    d->capture = c;
    d->next = s->drains;
    s->drains = d;
    fd_set_nonblock(fd, true);
}

static void flush(struct server *s, struct drain *d)
{
    struct iovec pieces[PIECES_MAX];
    unsigned n;
    while (d->watch.fd >= 0 && !d->blocked && (n = capture_peek(d->capture, pieces, PIECES_MAX))) {
        ssize_t written = writev(d->watch.fd, pieces, (int)n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN) {
            d->blocked = true;
            watch_set(s, &d->watch, EPOLLOUT);
        } else if (written < 0) { /* the reader is gone, or the disk is full */
            close_fd(&d->watch.fd);
            capture_end(d->capture);
        } else {
            capture_consume(d->capture, (size_t)written);
        }
    }
}

void drains_flush(struct server *s)
{
    struct iovec piece;
    for (struct drain **at = &s->drains, *d; (d = *at);) {
        flush(s, d);
        bool over = capture_is_ended(d->capture) &&
                    (d->watch.fd < 0 || !capture_peek(d->capture, &piece, 1));
        if (over && d->watch.fd >= 0) {
            watch_set(s, &d->watch, 0);
            close_fd(&d->watch.fd);
        }
        if (over && d->released) {
            *at = d->next;
            capture_free(d->capture);
            free(d);
        } else {
            at = &d->next;
        }
    }
}

void drain_release(struct server *s, struct capture *c)
{
    for (struct drain *d = s->drains; d; d = d->next) {
        if (d->capture != c)
            continue;
        d->released = true;
        flush(s, d); /* a file is complete when the client has its answer */
    }
    capture_end(c);
}

void drains_free(struct server *s)
{
    drains_flush(s);
    while (s->drains) {
        struct drain *d = s->drains;
        s->drains = d->next;
        close_fd(&d->watch.fd);
        free(d);
    }
}
