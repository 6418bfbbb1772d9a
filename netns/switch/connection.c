/* Frame sockets.
 *
 * Reading: whole batches go into a slab, and the frames handed to the core are slices of it;
 * nothing is copied. A connection owns a few slabs and uses again those to which no frame refers
 * any more. When all are held up by frames that wait somewhere, it reads into a reserve slab and
 * copies each frame out, so that one held frame never pins a batch's memory beyond this fixed set.
 *
 * Fairness: a connection is read once per round, and forwards copies up to a budget; what is left
 * is done in the next rounds. Reading never waits for a receiver: whoever does not take its frames
 * loses its own.
 *
 * Writing: everything an outlet holds, in as few pieces as the frames' places allow. A full socket
 * is watched for room. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "switch/bytes.h"
#include "switch/core.h"
#include "switch/process.h"

#define SLAB_SIZE  (128u << 10) /* more than the largest frame */
#define SLABS      32
#define RESERVE    SLABS
#define READ_MIN   (16u << 10) /* with less room left, another slab is taken */
#define COPIES_MAX 2048        /* per connection and round */
#define READS_MAX  4           /* per round; a sender in full swing mostly has more by then */
#define PIECES_MAX 256

struct connection {
    struct watch watch;
    struct connection *next, **link;
    struct connection *next_busy;
    bool busy, closed, blocked;
    struct port *port;     /* NULL: an uplink */
    struct bridge *bridge; /* of the uplink */
    struct outlet *outlet;
    struct slab *slabs[SLABS + 1];
    unsigned current;
    size_t start, end; /* unread bytes in the current slab */
    uint64_t skip;     /* bytes of a frame of impossible length still to come */
};

static void on_ready(struct server *s, struct watch *w, uint32_t events);

struct connection *connection_new(struct server *s, struct port *port, struct bridge *uplink,
                                  int fd)
{
    struct connection *c = xnew0(struct connection);
    c->watch.fd = fd;
    c->watch.ready = on_ready;
    c->port = port;
    c->bridge = uplink;
    c->next = s->connections;
    c->link = &s->connections;
    if (c->next)
        c->next->link = &c->next;
    s->connections = c;
    watch_set(s, &c->watch, EPOLLIN);
    return c;
}

void connection_set_outlet(struct connection *c, struct outlet *o)
{
    c->outlet = o;
}

struct bridge *connection_bridge(const struct connection *c)
{
    return c->port ? port_bridge(c->port) : c->bridge;
}

struct connection *connection_next(const struct connection *c)
{
    return c->next;
}

void connection_free(struct server *s, struct connection *c)
{
    if (c->port)
        port_disconnect(c->port);
    else
        bridge_uplink_stop(c->bridge);
    for (struct connection **at = &s->busy; *at; at = &(*at)->next_busy) {
        if (*at == c) {
            *at = c->next_busy;
            break;
        }
    }
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    watch_set(s, &c->watch, 0);
    close_fd(&c->watch.fd);
    for (unsigned i = 0; i <= RESERVE; i++)
        slab_unref(c->slabs[i]);
    free(c);
}

/* ---- reading ---- */

static void make_busy(struct server *s, struct connection *c)
{
    if (c->busy)
        return;
    struct connection **at = &s->busy;
    while (*at)
        at = &(*at)->next_busy;
    *at = c;
    c->next_busy = NULL;
    c->busy = true;
}

/* Makes room for a read: in the current slab, or in another one to which the unread bytes move. */
static void make_room(struct connection *c)
{
    struct slab *now = c->slabs[c->current];
    if (now && now->references == 1) { /* nobody has a frame of it: the cache's own, from the start */
        memmove(now->bytes, now->bytes + c->start, c->end - c->start);
        c->end -= c->start;
        c->start = 0;
    }
    if (now && SLAB_SIZE - c->end >= READ_MIN)
        return;
    unsigned next = 0;
    while (next < SLABS &&
           (next == c->current || (c->slabs[next] && c->slabs[next]->references > 1)))
        next++;
    if (next == c->current) { /* the reserve again */
        memmove(now->bytes, now->bytes + c->start, c->end - c->start);
    } else {
        if (!c->slabs[next])
            c->slabs[next] = slab_new(SLAB_SIZE);
        if (now)
            memcpy(c->slabs[next]->bytes, now->bytes + c->start, c->end - c->start);
        c->current = next;
    }
    c->end -= c->start;
    c->start = 0;
}

static void count_error(struct connection *c)
{
    if (c->port)
        port_count_error(c->port);
}

/* Frames of impossible length are counted and skipped, however long they claim to be. */
static void skip_bad_frame(struct connection *c)
{
    size_t left = c->end - c->start, part = c->skip < left ? (size_t)c->skip : left;
    c->start += part;
    c->skip -= part;
}

/* The frames from `start` on that are complete and have equal addresses, at most `max`. */
static struct run next_run(const struct connection *c, unsigned max)
{
    struct slab *slab = c->slabs[c->current];
    uint8_t *first = slab->bytes + c->start, *at = first;
    const uint8_t *end = slab->bytes + c->end;
    unsigned frames = 0;
    while (frames < max && end - at >= FRAME_PREFIX + FRAME_MIN) {
        uint32_t len = get32(at);
        if (len < FRAME_MIN || len > FRAME_MAX || end - at - FRAME_PREFIX < len ||
            memcmp(first + FRAME_PREFIX, at + FRAME_PREFIX, 2 * MAC_SIZE))
            break;
        at += FRAME_PREFIX + len;
        frames++;
    }
    return (struct run){slab, first, (uint32_t)(at - first), frames};
}

static unsigned forward_run(struct server *s, struct connection *c, const struct run *r)
{
    if (c->port && c->current != RESERVE)
        return bridge_input_run(c->port, r, s->now);
    struct frame f = {r->slab, r->at + FRAME_PREFIX, r->size - FRAME_PREFIX};
    f = c->current == RESERVE ? frame_copy(f) : frame_ref(f);
    unsigned copies = 1;
    if (c->port)
        copies = bridge_input(c->port, f, s->now);
    else
        bridge_uplink_input(c->bridge, f, s->now);
    frame_unref(f);
    return copies;
}

/* Forwards the frames that are complete, up to the budget. */
static void forward(struct server *s, struct connection *c)
{
    bool whole_runs = c->port && c->current != RESERVE;
    for (unsigned copies = 0; copies < COPIES_MAX;) {
        skip_bad_frame(c);
        struct run r = next_run(c, whole_runs ? COPIES_MAX - copies : 1);
        if (r.frames) {
            c->start += r.size;
            copies += forward_run(s, c, &r);
            continue;
        }
        if (c->end - c->start < FRAME_PREFIX)
            return;
        uint32_t len = get32(c->slabs[c->current]->bytes + c->start);
        if (len >= FRAME_MIN && len <= FRAME_MAX)
            return;
        count_error(c);
        c->start += FRAME_PREFIX;
        c->skip = len;
        copies++;
    }
    make_busy(s, c);
}

/* False when there is no more, or enough, for now. */
static bool receive(struct server *s, struct connection *c)
{
    make_room(c);
    struct slab *slab = c->slabs[c->current];
    ssize_t n = recv(c->watch.fd, slab->bytes + c->end, SLAB_SIZE - c->end, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        c->closed = true;
        return false;
    }
    c->end += (size_t)n;
    forward(s, c);
    return !c->busy && n < (ssize_t)READ_MIN; /* after a large batch, let it go out first */
}

void connections_continue(struct server *s)
{
    struct connection *c = s->busy;
    s->busy = NULL;
    while (c) {
        struct connection *next = c->next_busy;
        c->busy = false;
        forward(s, c);
        connections_flush(s);
        c = next;
    }
}

/* ---- writing ---- */

static void flush(struct server *s, struct connection *c)
{
    uint64_t frames = 0, bytes = 0;
    struct iovec pieces[PIECES_MAX];
    while (!c->blocked && c->outlet->queue.count) {
        struct msghdr m = {.msg_iov = pieces,
                           .msg_iovlen = queue_peek(&c->outlet->queue, pieces, PIECES_MAX)};
        ssize_t n = sendmsg(c->watch.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) { /* a broken socket is noticed by reading */
            c->blocked = true;
            watch_set(s, &c->watch, EPOLLIN | (errno == EAGAIN ? EPOLLOUT : 0));
            break;
        }
        queue_consume(&c->outlet->queue, (size_t)n, &frames, &bytes);
    }
    if (c->port)
        port_count_received(c->port, frames, bytes);
}

void connections_flush(struct server *s)
{
    struct outlet *o;
    while ((o = switch_take_ready(s->core)))
        if (o->connection)
            flush(s, o->connection);
}

static void on_ready(struct server *s, struct watch *w, uint32_t events)
{
    struct connection *c = container_of(w, struct connection, watch);
    if (events & EPOLLOUT) {
        c->blocked = false;
        watch_set(s, w, EPOLLIN);
        flush(s, c);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !c->busy)
        for (unsigned i = 0; i < READS_MAX && receive(s, c); i++)
            connections_flush(s);
    connections_flush(s);
    if (c->closed)
        connection_free(s, c);
}
