#include "guest/process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/alloc.h"
#include "guest/capture.h"
#include "guest/channel.h"
#include "guest/exec_call.h"
#include "guest/worker.h"

#define WINDOW     (1024 * 1024)
#define LINGER     (200 * NS_PER_MS)
#define TERM_GRACE (2 * NS_PER_S)
#define KILL_GRACE (5 * NS_PER_S)

struct output_stream {
    struct output_stream *next;
    struct guest_process *process;
    struct stream *stream;
    unsigned output;
    uint64_t cursor, lost;
};

struct guest_process {
    struct guest *guest;
    struct guest_call *call;
    char *label;
    uint64_t id;
    int64_t pid;
    struct capture outputs[2];
    bool complete; /* its end is known, and so is its output, or nobody waits for more */
    struct progress {
        bool exited; /* its end is known: `value` */
        bool complete;
        bool timed_out, stdin_closed;
        struct value_exited value;
        uint64_t taken[2];    /* output since the last credit */
        size_t result_len[2]; /* of the output, when it was first complete */
    } now;
    struct source *linger;
    struct output_stream *streams;
};

static void notify(struct guest_process *p)
{
    for (struct output_stream *s = p->streams; s; s = s->next)
        stream_notify(s->stream);
}

static void complete(struct guest_process *p)
{
    if (p->complete)
        return;
    p->complete = true;
    for (int i = 0; i < 2; i++)
        p->now.result_len[i] = p->outputs[i].head.len;
    source_remove(p->linger);
    p->linger = NULL;
}

static void on_linger(struct source *s, void *arg)
{
    struct guest_process *p = arg;
    (void)s;
    complete(p);
}

static void exited(struct guest_process *p, struct bytes packed)
{
    if (p->now.exited || shape_unpack(packed, &shape_value_exited, &p->now.value) < 0)
        return;
    p->now.exited = true;
    if (!p->complete)
        p->linger = loop_add_timer(p->guest->loop, deadline_after(LINGER), on_linger, p);
}

static void on_event(struct guest_call *call, struct bytes name, struct bytes value)
{
    struct guest_process *p = call->arg;
    struct value_started started;
    struct value_stream stream;
    if (bytes_is(name, "started") && !shape_unpack(value, &shape_value_started, &started))
        p->pid = (int64_t)started.pid;
    else if (bytes_is(name, "eof") && !shape_unpack(value, &shape_value_stream, &stream) && stream.stream < 2)
        p->outputs[stream.stream].ended = true;
    else if (bytes_is(name, "exited"))
        exited(p, value);
    notify(p);
}

static void on_data(struct guest_call *call, unsigned stream, struct bytes data)
{
    struct guest_process *p = call->arg;
    capture_put(&p->outputs[stream], data.data, data.len);
    p->now.taken[stream] += data.len;
    if (p->now.taken[stream] >= WINDOW / 2) {
        guest_call_grant(call, stream, p->now.taken[stream]);
        p->now.taken[stream] = 0;
    }
    notify(p);
}

static void on_done(struct guest_call *call)
{
    struct guest_process *p = call->arg;
    if (!call->error.message)
        exited(p, bytes_of(buf_head(&call->value), call->value.len));
    for (int i = 0; i < 2; i++)
        p->outputs[i].ended = true;
    complete(p);
    notify(p);
}

static void *save(struct guest_call *call)
{
    const struct guest_process *p = call->arg;
    size_t first = capture_save_size(&p->outputs[0]);
    struct progress *saved = xmalloc(sizeof(*saved) + first + capture_save_size(&p->outputs[1]));
    *saved = p->now;
    saved->complete = p->complete;
    capture_save(&p->outputs[0], saved + 1);
    capture_save(&p->outputs[1], (uint8_t *)(saved + 1) + first);
    return saved;
}

static void restore(struct guest_call *call, const void *data)
{
    struct guest_process *p = call->arg;
    const struct progress *saved = data;
    bool waited = saved->exited && !saved->complete;
    p->now = *saved;
    p->complete = saved->complete;
    const uint8_t *at = (const uint8_t *)(saved + 1);
    at += capture_restore(&p->outputs[0], at);
    capture_restore(&p->outputs[1], at);
    source_remove(p->linger);
    p->linger = waited ? loop_add_timer(p->guest->loop, deadline_after(LINGER), on_linger, p) : NULL;
}

struct guest_process *guest_process_start(struct guest *g, struct guest_worker *worker, uint64_t after,
                                          const struct guest_command *command, int64_t deadline,
                                          struct err *e)
{
    static const struct guest_call_handlers handlers = {
        .data = on_data, .event = on_event, .done = on_done, .save = save, .restore = restore};
    struct guest_process *p = xnew0(struct guest_process);
    struct exec_mode mode = {
        .verb = "run_async",
        .keep_stdin = true,
        .background = true,
        .window = WINDOW,
        .limit = -1,
        .worker = worker ? guest_worker_id(worker) : 0,
        .after = after,
        .handlers = &handlers,
        .arg = p,
    };
    p->guest = g;
    for (int i = 0; i < 2; i++)
        capture_init(&p->outputs[i], command->max_output);
    p->call = guest_exec_start(g, command, &mode);
    p->id = p->call->id;
    p->label = xasprintf("process \"%s\"", command->name ? command->name : command->argv[0]);
    if (!after && guest_process_wait_started(p, deadline, e) < 0) {
        guest_process_free(p);
        return NULL;
    }
    return p;
}

int guest_process_wait_started(struct guest_process *p, int64_t deadline, struct err *e)
{
    return guest_call_await_begin(p->call, deadline, e);
}

void guest_process_free(struct guest_process *p)
{
    if (!p)
        return;
    if (p->now.exited && !p->call->done) { /* what it left behind goes on */
        struct args_process args = {.process = p->id};
        struct guest_call_request request = {.args = &args, .background = true};
        guest_call_detach(guest_call_start(p->guest, OPERATION_release, &request, "release"));
        guest_call_detach(p->call);
    } else {
        guest_call_free(p->call);
    }
    source_remove(p->linger);
    for (int i = 0; i < 2; i++)
        capture_done(&p->outputs[i]);
    free(p->label);
    free(p);
}

uint64_t guest_process_id(const struct guest_process *p)
{
    return p->id;
}

int64_t guest_process_pid(const struct guest_process *p)
{
    return p->pid;
}

bool guest_process_is_running(const struct guest_process *p)
{
    return !p->now.exited && !p->call->done;
}

const char *guest_process_lost(const struct guest_process *p)
{
    return p->now.exited || p->call->error.code != ENOTCONN ? NULL : p->call->error.message;
}

const char *guest_process_failure(const struct guest_process *p)
{
    return p->now.exited || p->call->error.code == ENOTCONN ? NULL : p->call->error.message;
}

void guest_process_give_up(struct guest_process *p, const char *why)
{
    guest_call_give_up(p->call, ETIMEDOUT, why);
}

int guest_process_status(const struct guest_process *p, struct guest_result *ret)
{
    if (!p->now.exited)
        return -1;
    struct value_exited value = p->now.value;
    value.timed_out |= p->now.timed_out;
    *ret = (struct guest_result){0};
    guest_exec_describe(&value, ret);
    return 0;
}

int guest_process_wait(struct guest_process *p, int64_t kill_at, int64_t deadline, struct guest_result *ret,
                       struct err *e)
{
    int failed = loop_wait(p->guest->loop, &p->complete, kill_at < deadline ? kill_at : deadline);
    if (failed && errno == ETIMEDOUT && kill_at < deadline) {
        bool delivered = false;
        int64_t grace = deadline_after(KILL_GRACE);
        if (guest_process_signal(p, SIGKILL, true, &delivered, grace, e) < 0)
            return -1;
        p->now.timed_out = delivered;
        failed = loop_wait(p->guest->loop, &p->complete, grace);
    }
    if (failed)
        return err_set(e, errno, "%s: wait: %s", p->label, errno == ETIMEDOUT ? "timed out" : "cancelled");
    if (guest_process_status(p, ret) < 0)
        return err_set(e, ENOTCONN, "%s: wait: %s", p->label, err_message(&p->call->error));
    struct buf *bufs[] = {&ret->out, &ret->err};
    for (int i = 0; i < 2; i++) {
        *bufs[i] = p->outputs[i].head; /* borrowed: not to be released */
        bufs[i]->len = p->now.result_len[i];
        ret->truncated |= p->outputs[i].total > p->outputs[i].cap;
    }
    return 0;
}

int guest_process_signal(struct guest_process *p, int number, bool group, bool *ret_delivered, int64_t deadline,
                         struct err *e)
{
    struct args_signal args = {.process = p->id, .signal = (uint64_t)number, .group = group};
    struct value_signal value;
    *ret_delivered = false;
    if (!guest_process_is_running(p))
        return 0;
    if (guest_call_simple(p->guest, OPERATION_signal, &args, &value, deadline, e, "%s: kill", p->label) < 0)
        return -1;
    *ret_delivered = value.delivered;
    return 0;
}

int guest_process_write(struct guest_process *p, const void *data, size_t n, int64_t deadline, struct err *e)
{
    struct args_process args = {.process = p->id};
    struct guest_call_request request = {.args = &args, .data = data, .len = n};
    if (p->now.stdin_closed)
        return err_set(e, EPIPE, "%s: stdin_write: stdin is closed", p->label);
    _cleanup_(guest_call_freep) struct guest_call *call =
        guest_call_start(p->guest, OPERATION_write_stdin, &request, "%s: stdin_write", p->label);
    return guest_call_await(call, deadline, NULL, e);
}

int guest_process_close_stdin(struct guest_process *p, int64_t deadline, struct err *e)
{
    struct args_process args = {.process = p->id};
    if (p->now.stdin_closed || !guest_process_is_running(p))
        return 0;
    p->now.stdin_closed = true;
    return guest_call_simple(p->guest, OPERATION_close_stdin, &args, NULL, deadline, e, "%s: close_stdin",
                             p->label);
}

int guest_process_close(struct guest_process *p, int64_t deadline, struct err *e)
{
    int64_t patience = deadline_after(TERM_GRACE);
    bool delivered;
    if (!guest_process_is_running(p))
        return 0;
    if (guest_process_signal(p, SIGTERM, true, &delivered, deadline, e) < 0)
        return -1;
    if (!loop_wait(p->guest->loop, &p->complete, patience < deadline ? patience : deadline))
        return 0;
    if (errno == ECANCELED)
        return err_set(e, ECANCELED, "%s: close: cancelled", p->label);
    if (guest_process_signal(p, SIGKILL, true, &delivered, deadline, e) < 0)
        return -1;
    if (loop_wait(p->guest->loop, &p->complete, deadline) < 0)
        return err_set(e, errno, "%s: close: it does not end", p->label);
    return 0;
}

/* ------------------------------------------------------------------------------------------------- streams */

static size_t take(void *arg, struct buf *to)
{
    struct output_stream *s = arg;
    return capture_take(&s->process->outputs[s->output], &s->cursor, &s->lost, STREAM_FRAME, to);
}

static bool ended(void *arg)
{
    struct output_stream *s = arg;
    const struct capture *c = &s->process->outputs[s->output];
    return c->ended && s->cursor == c->total;
}

static uint64_t lost(void *arg)
{
    struct output_stream *s = arg;
    const struct capture *c = &s->process->outputs[s->output];
    return s->lost + (c->total - s->cursor > c->cap ? c->total - c->cap - s->cursor : 0);
}

static void close_stream(void *arg)
{
    struct output_stream *s = arg, **at = &s->process->streams;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    free(s);
}

struct stream *guest_process_stream(struct guest_process *p, unsigned output)
{
    static const struct stream_source source = {
        .take = take, .ended = ended, .lost = lost, .close = close_stream};
    _cleanup_free_ char *detail = xasprintf("handle=%llu", (unsigned long long)p->id);
    struct output_stream *s = xnew0(struct output_stream);
    *s = (struct output_stream){.process = p, .output = output, .next = p->streams};
    s->stream = stream_new(p->guest->loop, &source, s, output ? "proc_stderr_stream" : "proc_stdout_stream",
                           detail, "stream closed");
    p->streams = s;
    return s->stream;
}
