/* The control channel's framing: requests in, replies out, descriptors kept until their request
 * claims them. The other end is our own runner: whatever is malformed ends the process. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/io.h"
#include "switch/bytes.h"
#include "switch/process.h"
#include "switch/protocol.h"

#define HEADER    4
#define READ_SIZE 65536

static void give_up(struct server *s, const char *why)
{
    fprintf(stderr, "provium switch: control channel: %s\n", why);
    s->done = true;
}

static void flush(struct server *s)
{
    struct control *c = &s->control;
    while (c->out.len) {
        ssize_t n = send(c->watch.fd, buf_head(&c->out), c->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            s->done = true;
        if (n < 0)
            break;
        buf_consume(&c->out, (size_t)n);
    }
    watch_set(s, &c->watch, EPOLLIN | (c->out.len ? EPOLLOUT : 0));
}

static int answer(struct server *s, struct bytes request)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_buf_ struct buf body = BUF_INIT(CONTROL_MESSAGE_MAX);
    struct packer p = {.to = &body};
    pack_bool(&p, true);
    if (command_run(s, request, &p, &e) < 0) {
        if (!e.message)
            return -1;
        buf_clear(&body);
        pack_bool(&p, false);
        pack_int(&p, e.code);
        pack_str(&p, e.message);
        if (e.hint)
            pack_str(&p, e.hint);
        else
            pack_nil(&p);
    }
    uint8_t header[HEADER];
    put32(header, (uint32_t)body.len);
    if (p.full || buf_append(&s->control.out, header, HEADER) < 0 ||
        buf_append(&s->control.out, buf_head(&body), body.len) < 0)
        return -1;
    return 0;
}

static void run_requests(struct server *s)
{
    struct buf *in = &s->control.in;
    while (!s->done && in->len >= HEADER) {
        uint32_t len = get32(buf_head(in));
        if (len > CONTROL_MESSAGE_MAX) {
            give_up(s, "a request is too long");
            return;
        }
        if (in->len - HEADER < len)
            return;
        if (answer(s, bytes_of(buf_head(in) + HEADER, len)) < 0) {
            give_up(s, "a request is malformed");
            return;
        }
        buf_consume(in, HEADER + len);
    }
}

static void on_ready(struct server *s, struct watch *w, uint32_t events)
{
    struct control *c = &s->control;
    if (events & EPOLLOUT)
        flush(s);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    uint8_t *to = buf_reserve(&c->in, READ_SIZE);
    size_t count = 0;
    ssize_t n = to ? fds_recv(w->fd, to, READ_SIZE, c->fds + c->fd_count,
                              CONTROL_FDS_MAX - c->fd_count, &count)
                   : -1;
    if (n <= 0) {
        s->done = true;
        return;
    }
    c->fd_count += (unsigned)count;
    buf_commit(&c->in, (size_t)n);
    run_requests(s);
    flush(s);
}

int control_take_fd(struct server *s)
{
    struct control *c = &s->control;
    if (!c->fd_count)
        return -1;
    int fd = c->fds[0];
    memmove(c->fds, c->fds + 1, --c->fd_count * sizeof(int));
    return fd;
}

void control_init(struct server *s, int fd)
{
    s->control.in = BUF_INIT(2 * CONTROL_MESSAGE_MAX);
    s->control.out = BUF_INIT(4 * CONTROL_MESSAGE_MAX);
    s->control.watch = (struct watch){.fd = fd, .ready = on_ready};
    watch_set(s, &s->control.watch, EPOLLIN);
}

void control_done(struct server *s)
{
    int fd;
    while ((fd = control_take_fd(s)) >= 0)
        close(fd);
    buf_done(&s->control.in);
    buf_done(&s->control.out);
    close_fd(&s->control.watch.fd);
}
