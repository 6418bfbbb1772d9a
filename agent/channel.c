#include "channel.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/io.h"

int channel_init(struct channel *c, struct events *ev, int fd, bool device,
                 void (*fn)(struct watch *, uint32_t))
{
    *c = (struct channel){.events = ev,
                          .watch = {.fd = fd, .fn = fn},
                          .out = BUF_INIT(CHANNEL_MAX),
                          .device = device};
    frame_reader_init(&c->reader, false);
    pthread_cond_init(&c->drained, NULL);
    if (fd_set_nonblock(fd, true) < 0)
        return -1;
    return ev ? watch_set(ev, &c->watch, EPOLLIN) : 0;
}

void channel_done(struct channel *c)
{
    if (c->events && c->watch.fd >= 0)
        watch_set(c->events, &c->watch, 0);
    close_fd(&c->watch.fd);
    frame_reader_done(&c->reader);
    buf_done(&c->out);
    pthread_cond_destroy(&c->drained);
}

/* A virtio port that nobody listens to reports EPOLLHUP all the time: then only a change of that is of interest. */
static void update_watch(struct channel *c)
{
    uint32_t events = (channel_busy(c) || c->paused ? 0 : EPOLLIN) | (c->out.len ? EPOLLOUT : 0);
    if (c->events)
        watch_set(c->events, &c->watch, events | (c->alone ? EPOLLET : 0));
}

void channel_pause(struct channel *c, bool paused)
{
    if (c->paused == paused)
        return;
    c->paused = paused;
    update_watch(c);
}

size_t channel_fill(struct channel *c)
{
    if (channel_busy(c))
        return 0;
    size_t room;
    uint8_t *to = frame_reader_space(&c->reader, &room);
    ssize_t got;
    do
        got = read(c->watch.fd, to, room);
    while (got < 0 && errno == EINTR);
    if (got > 0)
        frame_reader_fed(&c->reader, (size_t)got);
    else if (!c->device && (!got || errno != EAGAIN))
        c->ended = true;
    return got > 0 ? (size_t)got : 0;
}

void channel_heard(struct channel *c, uint32_t events)
{
    bool alone = c->device && events & EPOLLHUP;
    if (alone != c->alone) {
        c->alone = alone;
        update_watch(c);
    }
}

int channel_receive(struct channel *c, struct message *ret)
{
    struct bytes body;
    switch (frame_reader_next(&c->reader, &body)) {
    case FRAME_READY:
        if (!message_get(body, ret))
            return 1;
        frame_reader_hunt(&c->reader);
        return -1;
    case FRAME_BAD:
        return -1;
    case FRAME_SYNC:
        return 2;
    case FRAME_NONE:
        break;
    }
    return 0;
}

ssize_t channel_put(struct channel *c, const struct message *m)
{
    ssize_t taken = message_put(&c->out, m);
    c->was_busy |= channel_busy(c);
    return taken;
}

void channel_put_mark(struct channel *c)
{
    buf_append(&c->out, SYNC_MARK, SYNC_MARK_LEN);
}

bool channel_flush(struct channel *c)
{
    while (c->out.len) {
        ssize_t done = write(c->watch.fd, buf_head(&c->out), c->out.len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno != EAGAIN && !c->device) {
            c->ended = true;
            buf_clear(&c->out);
        }
        if (done <= 0)
            break;
        buf_consume(&c->out, (size_t)done);
    }
    if (!c->out.len && c->out.cap > CHANNEL_KEEP)
        buf_done(&c->out);
    update_watch(c);
    if (!c->was_busy || channel_busy(c))
        return false;
    c->was_busy = false;
    pthread_cond_broadcast(&c->drained);
    return true;
}
