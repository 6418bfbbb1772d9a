/* Frames of events/event.h both ways. Out: events, `pool_acquire` {what, memory_bytes, cpus} and `pool_release`.
 * In: `pool_granted` {} or `pool_refused` {message, hint}, one for each acquire; a process asks one at a time. `pool_spare` is
 * answered at once by `spare_granted` or `spare_refused`, beside the others; `spare_recalled` comes at any time. */
#include "pool/client.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "events/event.h"
#include "events/payload.h"

struct pool_client {
    struct loop *loop;
    int fd;
    struct source *source;
    struct buf input;
    bool answered, granted;
    struct err refusal;
    struct pool_spare_events spare;
};

static void take_event(struct pool_client *c, const struct event *ev)
{
    if (event_is(ev, "pool_granted")) {
        c->granted = c->answered = true;
    } else if (event_is(ev, "pool_refused")) {
        _cleanup_free_ char *message = payload_string(ev->payload, "message");
        _cleanup_free_ char *hint = payload_string(ev->payload, "hint");
        err_set(&c->refusal, ENOMEM, "%s", message);
        if (*hint)
            err_hint(&c->refusal, "%s", hint);
        c->answered = true;
    } else if (!c->spare.arg) {
        return;
    } else if (event_is(ev, "spare_recalled")) {
        c->spare.recalled(c->spare.arg);
    } else if (event_is(ev, "spare_granted") || event_is(ev, "spare_refused")) {
        c->spare.granted(event_is(ev, "spare_granted"), c->spare.arg);
    }
}

static void on_readable(struct source *s, uint32_t events, void *arg)
{
    struct pool_client *c = arg;
    (void)s, (void)events;
    uint8_t *to = buf_reserve(&c->input, 4096);
    ssize_t got = to ? recv(c->fd, to, 4096, MSG_DONTWAIT) : 0;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        _exit(1);
    buf_commit(&c->input, (size_t)got);
    struct event ev;
    int found;
    while ((found = event_next(&c->input, &ev, NULL)) > 0) {
        take_event(c, &ev);
        buf_consume(&c->input, ev.frame.len);
    }
    if (found < 0)
        _exit(1);
}

struct pool_client *pool_client_new(struct loop *loop, int fd)
{
    struct pool_client *c = xnew0(struct pool_client);
    c->loop = loop;
    c->fd = fd;
    c->input = BUF_INIT(65536);
    if (fd >= 0)
        c->source = loop_add_fd(loop, fd, EPOLLIN, on_readable, c);
    return c;
}

void pool_client_free(struct pool_client *c)
{
    if (!c)
        return;
    source_remove(c->source);
    close_fd(&c->fd);
    buf_done(&c->input);
    err_clear(&c->refusal);
    free(c);
}

void pool_client_emit(struct pool_client *c, const char *kind, const struct buf *payload)
{
    if (c->fd >= 0 && !event_write(c->fd, kind, payload))
        _exit(1);
}

void pool_client_emit_payload(struct pool_client *c, const char *kind, const struct payload *payload)
{
    _cleanup_buf_ struct buf packed = BUF_INIT(EVENT_FRAME_MAX);
    payload_write(payload, &packed);
    pool_client_emit(c, kind, &packed);
}

void pool_client_emit_spawned(struct pool_client *c, const struct payload *payload, int console_fd)
{
    _cleanup_buf_ struct buf packed = BUF_INIT(EVENT_FRAME_MAX);
    payload_write(payload, &packed);
    if (c->fd >= 0 && !event_write_passing(c->fd, "vm_spawned", &packed, console_fd))
        _exit(1);
}

static void send_amount(struct pool_client *c, const char *kind, const char *what, uint64_t memory_bytes,
                        unsigned cpus)
{
    _cleanup_buf_ struct buf payload = BUF_INIT(256);
    struct packer p = {.to = &payload};
    pack_map(&p, 3);
    pack_str(&p, "what");
    pack_str(&p, what);
    pack_str(&p, "memory_bytes");
    pack_uint(&p, memory_bytes);
    pack_str(&p, "cpus");
    pack_uint(&p, cpus);
    pool_client_emit(c, kind, &payload);
}

int pool_client_acquire(struct pool_client *c, const char *what, uint64_t memory_bytes, unsigned cpus,
                        struct err *e)
{
    c->answered = c->granted = c->fd < 0;
    send_amount(c, "pool_acquire", what, memory_bytes, cpus);
    if (loop_wait(c->loop, &c->answered, DEADLINE_NONE) < 0)
        return err_set(e, errno, "interrupted while waiting for the pool");
    return c->granted ? 0 : err_move(e, &c->refusal);
}

void pool_client_ask_spare(struct pool_client *c, uint64_t memory_bytes, const struct pool_spare_events *events)
{
    c->spare = *events;
    send_amount(c, "pool_spare", "spare", memory_bytes, 0);
    if (c->fd < 0)
        c->spare.granted(true, c->spare.arg);
}

void pool_client_forget_spare(struct pool_client *c)
{
    c->spare = (struct pool_spare_events){0};
}

void pool_client_release_spare(struct pool_client *c, uint64_t memory_bytes)
{
    send_amount(c, "pool_release", "spare", memory_bytes, 0);
}

void pool_client_release(struct pool_client *c, uint64_t memory_bytes, unsigned cpus)
{
    send_amount(c, "pool_release", "boot", memory_bytes, cpus);
}
