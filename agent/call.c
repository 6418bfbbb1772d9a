#include "call.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "root.h"
#include "session.h"
#include "team.h"

#define TAIL_MAX 32768 /* of a result's body: comes with the result */

static struct call **bucket_of(struct agent *a, uint64_t id)
{
    return &a->calls[id % CALL_BUCKETS];
}

struct call *call_find(struct agent *a, uint64_t id)
{
    struct call *call = *bucket_of(a, id);
    while (call && (call->id != id || call->session != a->session))
        call = call->next;
    return call;
}

static struct call *call_new(struct agent *a, const struct message *m)
{
    struct call *call = xnew0(struct call);
    call->agent = a;
    call->id = m->id;
    call->session = a->session;
    call->pieces_end = &call->pieces;
    call->value = BUF_INIT(FRAME_MAX / 2);
    call->tail = BUF_INIT(TAIL_MAX);
    call->worker = m->worker;
    pthread_cond_init(&call->changed, NULL);
    struct call **bucket = bucket_of(a, m->id);
    call->next = *bucket;
    *bucket = call;
    a->call_count++;
    return call;
}

static void call_free(struct call *call)
{
    struct call **at = bucket_of(call->agent, call->id);
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    call->agent->call_count--;
    call_free_body(call);
    pthread_cond_destroy(&call->changed);
    buf_done(&call->value);
    buf_done(&call->tail);
    free(call->detail);
    free(call->args_copy);
    free(call);
}

static void start(struct call *call)
{
    if (call->handler->paths)
        root_follow(call->agent);
    if (call->cancelled) {
        call->state = CALL_OPEN;
        call_fail(call, ECANCELED);
        call_finish(call);
    } else if (call->handler->run) {
        team_submit(call);
    } else {
        call->state = CALL_OPEN;
        call->handler->begin(call);
    }
}

/* Fills in the operation and its arguments; on failure the call holds the reason. */
static void parse(struct call *call, const struct message *m)
{
    call->op = operation_find(m->op);
    if (call->op == OPERATION_COUNT) {
        call_fail_about(call, ENOSYS, "unknown operation");
        return;
    }
    call->handler = &call->agent->handlers[call->op];
    call->args_copy = xmemdup(m->args.data, m->args.len);
    call->args_len = m->args.len;
    if (!call->handler->run && !call->handler->begin)
        call_fail_about(call, ENOSYS, "unknown operation");
    else if (shape_unpack(bytes_of(call->args_copy, m->args.len), operations[call->op].args, &call->args) < 0)
        call_fail_about(call, EPROTO, "malformed arguments");
    else if (call->agent->call_count > CALLS_MAX)
        call_fail_about(call, EAGAIN, "more than %d calls in flight", CALLS_MAX);
    else if (call->worker && !call->handler->in_worker)
        call_fail_about(call, ENOSYS, "not an operation of workers");
    else if (call->worker && call->handler->run)
        call->handler = &handler_for_workers;
}

void call_request(struct agent *a, const struct message *m)
{
    if (!m->id || call_find(a, m->id)) {
        session_violation(a, "a request id was used again");
        return;
    }
    if (!a->greeted && !bytes_is(m->op, operations[OPERATION_hello].name)) {
        session_violation(a, "a request came before hello");
        return;
    }
    a->requests++;
    struct call *call = call_new(a, m), *first = m->after ? call_find(a, m->after) : NULL;
    parse(call, m);
    call_add_body(call, m);
    if (call->failed) {
        call->state = CALL_OPEN;
        call_finish(call);
    } else if (first) {
        struct call **at = &first->waiters;
        while (*at)
            at = &(*at)->queue_next;
        *at = call;
    } else {
        start(call);
    }
}

void call_body(struct agent *a, const struct message *m)
{
    struct call *call = call_find(a, m->id);
    if (!call) /* it ended before its body did */
        return;
    if (call->body_ended || call->buffered > UPLOAD_WINDOW) {
        session_violation(a, "a body goes on after its end or beyond its window");
        return;
    }
    call_add_body(call, m);
    if (call->state == CALL_OPEN && call->handler->body)
        call->handler->body(call);
}

void call_cancel(struct call *call)
{
    if (call->cancelled)
        return;
    __atomic_store_n(&call->cancelled, true, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&call->changed);
    if (call->state == CALL_RUNNING)
        team_interrupt(call);
    else if (call->state == CALL_OPEN && call->handler->cancel)
        call->handler->cancel(call);
}

void call_free_all(struct agent *a)
{
    for (size_t i = 0; i < CALL_BUCKETS; i++)
        while (a->calls[i])
            call_free(a->calls[i]);
}

void call_cancel_all(struct agent *a)
{
    for (size_t i = 0; i < CALL_BUCKETS; i++) {
        for (struct call *call = a->calls[i], *next; call; call = next) {
            next = call->next;
            if (!call->handler || !call->handler->object || call->state != CALL_OPEN)
                call_cancel(call);
        }
    }
    pthread_cond_broadcast(&a->channel.drained);
}

char *call_string(struct call *call, struct bytes b)
{
    if (b.len && memchr(b.data, 0, b.len)) {
        call_fail(call, EINVAL);
        return NULL;
    }
    return xstrndup(b.len ? (const char *)b.data : "", b.len);
}

void call_value(struct call *call, const void *value)
{
    struct packer p = {.to = &call->value};
    buf_clear(&call->value);
    shape_pack(&p, operations[call->op].value, value);
    if (p.full)
        call_fail(call, EMSGSIZE);
}

void call_fail(struct call *call, int code)
{
    free(call->detail);
    call->detail = NULL;
    call->errno_code = code;
    call->failed = true;
}

void call_fail_about(struct call *call, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *detail = xvasprintf(format, args);
    va_end(args);
    call_fail(call, code);
    call->detail = detail;
}

static void send_failure(struct call *call)
{
    struct buf packed = BUF_INIT(FRAME_MAX / 2);
    struct packer p = {.to = &packed};
    struct value_err value = {.errno_code = (uint64_t)call->errno_code,
                              .detail = bytes_str(call->detail)};
    if (call->op == OPERATION_hello)
        value.version = PROTOCOL_VERSION;
    shape_pack(&p, &shape_value_err, &value);
    struct message m = {
        .kind = MESSAGE_ERR, .id = call->id, .args = bytes_of(buf_head(&packed), packed.len)};
    if (p.full || channel_put(&call->agent->channel, &m) < 0) {
        m.args = bytes_of(NULL, 0);
        channel_put(&call->agent->channel, &m);
    }
    buf_done(&packed);
}

static void send_result(struct call *call)
{
    struct channel *c = &call->agent->channel;
    struct message m = {.kind = MESSAGE_OK,
                        .id = call->id,
                        .args = bytes_of(buf_head(&call->value), call->value.len),
                        .data = bytes_of(buf_head(&call->tail), call->tail.len)};
    if (call->failed) {
        send_failure(call);
    } else if (channel_put(c, &m) < 0) {
        /* A sync mark in the data: messages of their own can cut it. */
        struct message piece = {.kind = MESSAGE_DATA, .id = call->id, .data = m.data};
        while (piece.data.len) {
            ssize_t taken = channel_put(c, &piece);
            if (taken < 0)
                break;
            piece.data = bytes_of(piece.data.data + taken, piece.data.len - (size_t)taken);
        }
        m.data = bytes_of(NULL, 0);
        if (channel_put(c, &m) < 0) {
            call_fail(call, EMSGSIZE);
            send_failure(call);
        }
    }
}

struct call *call_finish_next(struct call *call)
{
    struct agent *a = call->agent;
    struct call *mine = NULL;
    agent_lock(a);
    if (call->session == a->session)
        send_result(call);
    for (struct call *w = call->waiters, *next; w; w = next) {
        next = w->queue_next;
        w->queue_next = NULL;
        if (!mine && call->state == CALL_RUNNING && w->handler->run && !w->cancelled) {
            mine = w;
            if (w->handler->paths)
                root_follow(a);
        } else {
            start(w);
            agent_wake(a); /* for timers set by a thread that does not lead */
        }
    }
    call_free(call);
    agent_unlock(a);
    return mine;
}

void call_finish(struct call *call)
{
    call_finish_next(call);
}

void call_event(struct call *call, const char *event, const struct shape *shape, const void *value)
{
    struct agent *a = call->agent;
    struct buf packed = BUF_INIT(1024);
    struct packer p = {.to = &packed};
    shape_pack(&p, shape, value);
    struct message m = {.kind = MESSAGE_EVENT,
                        .id = call->id,
                        .op = bytes_str(event),
                        .args = bytes_of(buf_head(&packed), packed.len)};
    if (call->session == a->session)
        channel_put(&a->channel, &m);
    buf_done(&packed);
}

void call_begun(struct call *call, const struct shape *shape, const void *value)
{
    agent_lock(call->agent);
    call_event(call, "started", shape, value);
    agent_flush(call->agent);
    agent_unlock(call->agent);
}
