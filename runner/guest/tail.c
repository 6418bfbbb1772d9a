/* The agent sends as much as it has credit for, the window at first. What has come waits here until the test takes it;
 * that gives the credit back, in steps. */
#include "guest/tail.h"

#include <string.h>

#include "base/alloc.h"
#include "guest/call.h"
#include "guest/channel.h"

struct tail {
    struct guest_call *call;
    struct stream *stream;
    struct buf queue;
    uint64_t window, taken; /* taken since the last credit */
};

static void on_data(struct guest_call *call, unsigned stream, struct bytes data)
{
    struct tail *t = call->arg;
    (void)stream;
    if (buf_append(&t->queue, data.data, data.len) < 0)
        guest_channel_violation(call->guest, "more of %s than its window", call->label);
    else if (t->stream)
        stream_notify(t->stream);
}

static void on_done(struct guest_call *call)
{
    struct tail *t = call->arg;
    if (t->stream)
        stream_notify(t->stream);
}

static size_t take(void *arg, struct buf *to)
{
    struct tail *t = arg;
    size_t n = t->queue.len < STREAM_FRAME ? t->queue.len : STREAM_FRAME;
    if (!n || buf_append(to, buf_head(&t->queue), n) < 0)
        return 0;
    buf_consume(&t->queue, n);
    t->taken += n;
    if (t->taken >= t->window / 4) {
        guest_call_grant(t->call, 0, t->taken);
        t->taken = 0;
    }
    return n;
}

static bool ended(void *arg)
{
    struct tail *t = arg;
    return t->call->done && !t->queue.len;
}

static void close_tail(void *arg)
{
    struct tail *t = arg;
    guest_call_free(t->call);
    buf_done(&t->queue);
    free(t);
}

static struct stream *open_stream(struct guest *g, enum operation op, const void *args, const char *label,
                                  uint64_t window, const char *kind, const char *detail, int64_t deadline,
                                  struct err *e)
{
    static const struct guest_call_handlers handlers = {.data = on_data, .done = on_done};
    static const struct stream_source source = {.take = take, .ended = ended, .close = close_tail};
    struct tail *t = xnew0(struct tail);
    struct guest_call_request request = {
        .args = args, .handlers = &handlers, .arg = t, .window = window, .background = true};
    t->window = window;
    t->queue = BUF_INIT(window);
    t->call = guest_call_start(g, op, &request, "%s", label);
    if (guest_call_await_begin(t->call, deadline, e) < 0) {
        close_tail(t);
        return NULL;
    }
    t->stream = stream_new(g->loop, &source, t, kind, detail, "stream closed");
    return t->stream;
}

struct stream *guest_tail(struct guest *g, const char *path, int64_t offset, bool from_end, uint64_t window,
                          int64_t deadline, struct err *e)
{
    struct args_tail args = {
        .path = bytes_str(path), .offset = offset, .from_end = from_end, .window = window};
    _cleanup_free_ char *label = xasprintf("tail_file \"%s\"", path);
    _cleanup_free_ char *detail = xasprintf("\"%s\"", path);
    return open_stream(g, OPERATION_tail, &args, label, window, "tail_file", detail, deadline, e);
}

struct stream *guest_file_stream(struct guest_file *f, const char *kind, const char *detail, uint64_t window,
                                 int64_t deadline, struct err *e)
{
    struct args_fd_stream args = {.file = guest_file_id(f), .window = window};
    _cleanup_free_ char *label = xasprintf("%s: %s", guest_file_label(f), kind);
    return open_stream(guest_file_guest(f), OPERATION_fd_stream, &args, label, window, kind, detail, deadline, e);
}

struct stream *guest_fd_stream(struct guest *g, int64_t fd, uint64_t window, int64_t deadline, struct err *e)
{
    struct args_fd_stream args = {.fd = fd, .window = window};
    _cleanup_free_ char *detail = xasprintf("%lld", (long long)fd);
    _cleanup_free_ char *label = xasprintf("fd_stream %s", detail);
    return open_stream(g, OPERATION_fd_stream, &args, label, window, "fd_stream", detail, deadline, e);
}
