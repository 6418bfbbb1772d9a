/* Calls in flight, by id. A call that its caller gave up stays in the table, abandoned, until the agent's result for it
 * comes; so that every result belongs to exactly one request, and one for anything else closes the channel. */
#include "guest/call.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "guest/upload.h"

static struct guest_call **bucket_of(struct guest *g, uint64_t id)
{
    return &g->calls[id % GUEST_BUCKETS];
}

static struct guest_call *find(struct guest *g, uint64_t id)
{
    struct guest_call *call = *bucket_of(g, id);
    while (call && call->id != id)
        call = call->next;
    return call;
}

static void destroy(struct guest_call *call)
{
    if (call->marks)
        guest_mark_forget(call->guest, call);
    free(call->label);
    err_clear(&call->error);
    buf_done(&call->value);
    buf_done(&call->body);
    free(call->own);
    free(call);
}

/* Takes it out of the table. The caller's handler hears of it; an abandoned one is freed. */
static void finish(struct guest_call *call)
{
    struct guest_call **at = bucket_of(call->guest, call->id);
    while (*at && *at != call)
        at = &(*at)->next;
    if (*at)
        *at = call->next;
    call->upload_left = 0;
    call->source = NULL;
    call->done = call->settled = true;
    if (call->abandoned) {
        destroy(call);
        return;
    }
    call->guest->in_flight -= !call->background;
    if (call->handlers && call->handlers->done)
        call->handlers->done(call);
}

void guest_call_fail(struct guest_call *call, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    _cleanup_free_ char *message = xvasprintf(format, args);
    va_end(args);
    err_set(&call->error, code, "%s", message);
    finish(call);
}

void guest_call_revive(struct guest_call *call, const uint64_t credit[2])
{
    struct guest_call **bucket = bucket_of(call->guest, call->id);
    if (find(call->guest, call->id) != call) {
        call->next = *bucket;
        *bucket = call;
    }
    err_clear(&call->error);
    buf_clear(&call->value);
    call->done = false;
    call->settled = call->begun;
    memcpy(call->credit, credit, sizeof(call->credit));
}

void guest_call_fail_all(struct guest *g, const char *why)
{
    for (size_t i = 0; i < GUEST_BUCKETS; i++)
        while (g->calls[i])
            guest_call_fail(g->calls[i], ENOTCONN, "%s", why);
}

static struct guest_call *call_new(struct guest *g, enum operation op, const struct guest_call_request *r)
{
    struct guest_call *call = xnew0(struct guest_call);
    call->guest = g;
    call->op = op;
    call->id = ++g->next_id;
    call->handlers = r->handlers;
    call->arg = r->arg;
    call->background = r->background;
    call->own = r->own;
    call->upload = r->own ? r->own : r->data;
    call->upload_left = r->len;
    call->upload_window = UPLOAD_WINDOW;
    call->source = r->source;
    call->budget = r->budget;
    call->value = BUF_INIT(FRAME_MAX);
    call->body = BUF_INIT(r->body_max);
    call->windowed = r->window;
    call->credit[0] = call->credit[1] = r->window;
    struct guest_call **bucket = bucket_of(g, call->id);
    call->next = *bucket;
    *bucket = call;
    g->in_flight += !call->background;
    return call;
}

struct guest_call *guest_call_start(struct guest *g, enum operation op, const struct guest_call_request *request,
                              const char *label, ...)
{
    struct guest_call *call = call_new(g, op, request);
    _cleanup_buf_ struct buf packed = BUF_INIT(FRAME_MAX);
    struct packer p = {.to = &packed};
    va_list args;
    va_start(args, label);
    call->label = xvasprintf(label, args);
    va_end(args);
    if (g->state != GUEST_READY) {
        guest_call_fail(call, ENOTCONN, "%s", g->why ? g->why : "the agent has not answered yet");
        return call;
    }
    if (request->args)
        shape_pack(&p, operations[op].args, request->args);
    struct message m = {.kind = MESSAGE_REQUEST,
                        .id = call->id,
                        .op = bytes_str(operations[op].name),
                        .args = bytes_of(buf_head(&packed), packed.len),
                        .worker = request->worker,
                        .after = request->after};
    guest_upload_next(call, &m);
    ssize_t taken = p.full || call->error.message ? -1 : guest_channel_put(g, &m);
    if (taken < 0) {
        if (call->error.message)
            finish(call);
        else
            guest_call_fail(call, ENAMETOOLONG, "the arguments do not fit a message");
        return call;
    }
    guest_upload_sent(call, taken);
    guest_upload_pump(call);
    if (!g->corked)
        guest_channel_flush(g);
    return call;
}

void guest_call_send(struct guest_call *call, const struct message *m)
{
    guest_channel_put(call->guest, m);
    guest_channel_flush(call->guest);
}

void guest_call_cork(struct guest *g)
{
    g->corked = true;
}

void guest_call_uncork(struct guest *g)
{
    g->corked = false;
    guest_channel_flush(g);
}

void guest_call_grant(struct guest_call *call, unsigned stream, uint64_t n)
{
    if (call->done)
        return;
    call->credit[stream] += n;
    struct message m = {.kind = MESSAGE_CREDIT, .id = call->id, .stream = stream, .credit = n};
    guest_call_send(call, &m);
}

static void abandon(struct guest_call *call)
{
    call->guest->in_flight -= !call->background;
    call->abandoned = true;
    call->handlers = NULL;
}

void guest_call_detach(struct guest_call *call)
{
    if (call->done)
        destroy(call);
    else
        abandon(call);
}

void guest_call_free(struct guest_call *call)
{
    if (!call)
        return;
    if (call->done) {
        destroy(call);
        return;
    }
    abandon(call);
    call->source = NULL;
    call->upload_left = 0; /* the agent drops what it has of the body together with the call */
    struct message m = {.kind = MESSAGE_CANCEL, .id = call->id};
    guest_call_send(call, &m);
}

void guest_call_give_up(struct guest_call *call, int code, const char *why)
{
    if (call->done)
        return;
    /* A double of it waits for the agent's result, unheard. */
    struct guest_call *rest = xnew0(struct guest_call);
    rest->guest = call->guest;
    rest->id = call->id;
    rest->op = call->op;
    rest->label = xstrdup(call->label);
    rest->windowed = call->windowed;
    memcpy(rest->credit, call->credit, sizeof(rest->credit));
    rest->upload_window = call->upload_window;
    rest->abandoned = true;
    struct message m = {.kind = MESSAGE_CANCEL, .id = call->id};
    guest_call_send(call, &m);
    guest_call_fail(call, code, "%s", why);
    struct guest_call **bucket = bucket_of(rest->guest, rest->id);
    rest->next = *bucket;
    *bucket = rest;
}

static void on_data(struct guest_call *call, const struct message *m)
{
    if (call->windowed) {
        if (m->data.len > call->credit[m->stream]) {
            guest_channel_violation(call->guest, "more of %s than its window", call->label);
            return;
        }
        call->credit[m->stream] -= m->data.len;
    }
    if (call->abandoned)
        return;
    if (call->budget && call->budget->left < m->data.len) {
        call->budget->exceeded = true;
        guest_call_give_up(call, EOVERFLOW, CALL_BUDGET_EXCEEDED);
        return;
    }
    if (call->budget)
        call->budget->left -= m->data.len;
    if (call->handlers && call->handlers->data)
        call->handlers->data(call, m->stream, m->data);
    else if (buf_append(&call->body, m->data.data, m->data.len) < 0)
        guest_channel_violation(call->guest, "more of %s than was asked for", call->label);
}

static void on_failure(struct guest_call *call, const struct message *m)
{
    struct value_err value;
    if (shape_unpack(m->args, &shape_value_err, &value) < 0) {
        guest_channel_violation(call->guest, "a malformed error of %s", call->label);
        return;
    }
    if (call->error.message) { /* our own side failed before */
        finish(call);
        return;
    }
    int code = value.errno_code > INT16_MAX ? EPROTO : (int)value.errno_code;
    const char *name = errno_name(code);
    int len = (int)value.detail.len;
    const char *detail = (const char *)value.detail.data, *colon = len && code ? ": " : "";
    if (!code)
        guest_call_fail(call, EINVAL, "%.*s", len, detail);
    else if (name)
        guest_call_fail(call, code, "%.*s%s%s: %s", len, detail, colon, name, strerror(code));
    else
        guest_call_fail(call, code, "%.*s%serrno %d", len, detail, colon, code);
}

static void on_success(struct guest_call *call, const struct message *m)
{
    union operation_object value;
    if (shape_unpack(m->args, operations[call->op].value, &value) < 0) {
        guest_channel_violation(call->guest, "a malformed result of %s", call->label);
        return;
    }
    uint64_t id = call->id;
    if (m->data.len)
        on_data(call, m);
    if (find(call->guest, id) != call)
        return; /* that was too much */
    buf_append(&call->value, m->args.data, m->args.len);
    finish(call);
}

void guest_call_deliver(struct guest *g, const struct message *m)
{
    struct guest_call *call = find(g, m->id);
    if (!call && m->kind != MESSAGE_CREDIT) {
        guest_channel_violation(g, "a message for call %llu, which is not in flight", (unsigned long long)m->id);
        return;
    }
    switch (m->kind) {
    case MESSAGE_DATA:
        on_data(call, m);
        break;
    case MESSAGE_CREDIT:
        if (call && m->credit <= UPLOAD_WINDOW - call->upload_window) {
            call->upload_window += m->credit;
            guest_upload_pump(call);
            guest_channel_flush(g);
        } else if (call) {
            guest_channel_violation(g, "credit for what was not sent");
        }
        break;
    case MESSAGE_OK:
        on_success(call, m);
        break;
    case MESSAGE_ERR:
        on_failure(call, m);
        break;
    case MESSAGE_EVENT:
        if (bytes_is(m->op, "started"))
            call->begun = call->settled = true;
        if (!call->abandoned && call->handlers && call->handlers->event)
            call->handlers->event(call, m->op, m->args);
        break;
    case MESSAGE_REQUEST:
    case MESSAGE_CANCEL:
        guest_channel_violation(g, "a message that only a host sends");
        break;
    }
}

int guest_call_result(struct guest_call *call, void *ret_value, struct err *e)
{
    if (call->error.message) {
        if (e) {
            err_set(e, call->error.code, "%s", call->error.message);
            err_prefix(e, "%s", call->label);
        }
        return -1;
    }
    if (ret_value) /* was checked when it came */
        shape_unpack(bytes_of(buf_head(&call->value), call->value.len), operations[call->op].value, ret_value);
    return 0;
}

int guest_call_await(struct guest_call *call, int64_t deadline, void *ret_value, struct err *e)
{
    if (loop_wait(call->guest->loop, &call->done, deadline) < 0)
        return err_set(e, errno, "%s: %s", call->label, errno == ETIMEDOUT ? "timed out" : "cancelled");
    return guest_call_result(call, ret_value, e);
}

int guest_call_await_begin(struct guest_call *call, int64_t deadline, struct err *e)
{
    if (loop_wait(call->guest->loop, &call->settled, deadline) < 0)
        return err_set(e, errno, "%s: %s", call->label, errno == ETIMEDOUT ? "timed out" : "cancelled");
    return call->begun ? 0 : guest_call_result(call, NULL, e);
}

int guest_call_simple(struct guest *g, enum operation op, const void *args, void *ret_value,
                int64_t deadline, struct err *e, const char *label, ...)
{
    struct guest_call_request request = {.args = args};
    va_list list;
    va_start(list, label);
    _cleanup_free_ char *text = xvasprintf(label, list);
    va_end(list);
    _cleanup_(guest_call_freep) struct guest_call *call = guest_call_start(g, op, &request, "%s", text);
    return guest_call_await(call, deadline, ret_value, e);
}
