/* A lane's calls are a queue, in the order in which the worker runs them; the first one is the one that it runs now. To
 * cancel that, its thread is signalled, again and again; if it does not come back within LOST_MS, a worker of the host
 * is killed, and a thread of the kernel-call process is left to itself and replaced. The agent itself has requests
 * (start a thread, share a descriptor), with ids of a range of their own. */
#include "lanes.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "handle.h"

#define LOST_MS     1000
#define RESIGNAL_MS 20
#define OWN_IDS     (UINT64_C(1) << 63)

static void on_lane(struct watch *w, uint32_t events);
static void cancel_again(struct timer *t);

struct lane *lanes_add(struct worker *w, struct lane_ends *ret_theirs)
{
    int frames[2], fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, frames) < 0)
        return NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        close(frames[0]);
        close(frames[1]);
        return NULL;
    }
    struct lane *l = xnew0(struct lane);
    l->worker = w;
    l->fds = fds[0];
    l->calls_end = &l->calls;
    l->cancel.fn = cancel_again;
    fd_set_nonblock(l->fds, true);
    channel_init(&l->channel, &w->agent->events, frames[0], false, on_lane);
    l->next = w->lanes;
    w->lanes = l;
    *ret_theirs = (struct lane_ends){.frames = frames[1], .fds = fds[1]};
    return l;
}

void lanes_shut(struct lane *l)
{
    if (l->shut)
        return;
    l->shut = true;
    timer_stop(&l->worker->agent->events, &l->cancel);
    channel_done(&l->channel);
    close_fd(&l->fds);
}

static struct call *take_call(struct lane *l, struct call *call)
{
    struct call **at = &l->calls;
    while (*at != call)
        at = &(*at)->queue_next;
    *at = call->queue_next;
    l->calls_end = &l->calls;
    while (*l->calls_end)
        l->calls_end = &(*l->calls_end)->queue_next;
    call->queue_next = NULL;
    return call;
}

void lanes_fail(struct lane *l, int code, const char *why)
{
    while (l->inquiries) {
        struct inquiry *q = l->inquiries;
        l->inquiries = q->next;
        q->fn(q->arg, NULL, -1);
        free(q);
    }
    while (l->calls) {
        struct call *call = take_call(l, l->calls);
        call_fail_about(call, code, "%s", why);
        call_finish(call);
    }
}

void lanes_free(struct lane *l)
{
    struct lane **at = &l->worker->lanes;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    lanes_shut(l);
    free(l);
}

int lanes_inquire(struct lane *l, enum operation op, const void *args, struct bytes body, const int *fds, size_t fd_count,
                   void (*fn)(void *, const struct message *, int), void *arg)
{
    static uint64_t last = OWN_IDS;
    _cleanup_buf_ struct buf packed = BUF_INIT(FRAME_MAX);
    struct packer p = {.to = &packed};
    if (l->shut || (fd_count && fds_send(l->fds, "", 1, fds, fd_count) < 0))
        return -1;
    if (args)
        shape_pack(&p, operations[op].args, args);
    struct message m = {.kind = MESSAGE_REQUEST,
                        .id = ++last,
                        .op = bytes_str(operations[op].name),
                        .args = bytes_of(buf_head(&packed), packed.len),
                        .data = body};
    do {
        ssize_t taken = p.full ? -1 : channel_put(&l->channel, &m);
        if (taken < 0) {
            lanes_shut(l); /* half a request is out */
            return -1;
        }
        m = (struct message){.kind = MESSAGE_DATA,
                             .id = m.id,
                             .data = bytes_of(m.data.data + taken, m.data.len - (size_t)taken)};
    } while (m.data.len);
    channel_flush(&l->channel);
    if (fn) {
        struct inquiry *q = xnew0(struct inquiry);
        *q = (struct inquiry){.next = l->inquiries, .id = last, .fn = fn, .arg = arg};
        l->inquiries = q;
    }
    return 0;
}

static void thread_started(void *arg, const struct message *m, int fds)
{
    struct lane *l = arg;
    (void)fds;
    if (!m || m->kind != MESSAGE_ERR)
        return;
    lanes_shut(l);
    lanes_fail(l, EAGAIN, "no thread for it");
    if (l->worker->ordered == l)
        l->worker->ordered = NULL;
    lanes_free(l);
}

struct lane *lanes_add_thread(struct worker *w)
{
    struct lane_ends theirs;
    struct lane *l = lanes_add(w, &theirs);
    if (!l)
        return NULL;
    int fds[] = {theirs.frames, theirs.fds};
    int failed = lanes_inquire(w->control, OPERATION_lane, NULL, bytes_of(NULL, 0), fds, 2, thread_started, l);
    close(fds[0]);
    close(fds[1]);
    if (failed) {
        lanes_free(l);
        return NULL;
    }
    return l;
}

void lanes_pass_body(struct lane *l, struct call *call)
{
    while (call->pieces && !l->shut) {
        struct piece *piece = call->pieces;
        call->pieces = piece->next;
        if (!call->pieces)
            call->pieces_end = &call->pieces;
        struct message m = {.kind = MESSAGE_DATA, .id = call->id, .data = bytes_of(piece->data, piece->len)};
        m.more = call->pieces || !call->body_ended;
        call->body_passed = !m.more;
        while (m.data.len) {
            ssize_t taken = channel_put(&l->channel, &m);
            if (taken < 0)
                break;
            m.data = bytes_of(m.data.data + taken, m.data.len - (size_t)taken);
        }
        call->buffered -= piece->len;
        call_recycle(call, piece);
    }
    if (call->body_ended && !call->body_passed) {
        struct message m = {.kind = MESSAGE_DATA, .id = call->id};
        channel_put(&l->channel, &m);
        call->body_passed = true;
    }
    if (!l->shut)
        channel_flush(&l->channel);
}

void lanes_pass_call(struct lane *l, struct call *call)
{
    call->data = l;
    *l->calls_end = call;
    l->calls_end = &call->queue_next;
    if (l->shut)
        return; /* its end will be told */
    call->body_passed = call->body_ended && !call->pieces;
    struct message m = {.kind = MESSAGE_REQUEST,
                        .id = call->id,
                        .op = bytes_str(operations[call->op].name),
                        .args = bytes_of(call->args_copy, call->args_len),
                        .more = !call->body_passed};
    channel_put(&l->channel, &m);
    lanes_pass_body(l, call);
}

static void interrupt(struct lane *l)
{
    siginfo_t info = {.si_signo = SIGNAL_CANCEL, .si_code = SI_QUEUE};
    info.si_pid = getpid();
    info.si_value.sival_int = (int)(uint32_t)l->calls->id;
    if (l->tid)
        syscall(SYS_rt_tgsigqueueinfo, l->worker->pid, l->tid, SIGNAL_CANCEL, &info);
}

static void cancel_again(struct timer *t)
{
    struct lane *l = container_of(t, struct lane, cancel);
    struct worker *w = l->worker;
    struct events *ev = &w->agent->events;
    if (!l->calls || !l->calls->cancelled)
        return;
    if (clock_monotonic_ns() - l->cancelled_at < LOST_MS * NS_PER_MS) {
        interrupt(l);
        timer_set(ev, t, deadline_after(RESIGNAL_MS * NS_PER_MS));
    } else if (l == w->control) {
        kill(w->pid, SIGKILL);
    } else {
        if (w->ordered == l)
            w->ordered = NULL;
        lanes_shut(l);
        lanes_fail(l, ECANCELED, "the call did not come back, and the state of its thread is lost");
        lanes_free(l);
    }
}

void lanes_pass_cancel(struct lane *l, struct call *call)
{
    struct message m = {.kind = MESSAGE_CANCEL, .id = call->id};
    if (l->shut)
        return;
    channel_put(&l->channel, &m);
    channel_flush(&l->channel);
    if (call == l->calls) {
        l->cancelled_at = clock_monotonic_ns();
        cancel_again(&l->cancel);
    }
}

/* The call has its result. */
static void end_call(struct lane *l, struct call *call)
{
    struct agent *a = l->worker->agent;
    if (call == l->calls)
        timer_stop(&a->events, &l->cancel);
    take_call(l, call);
    call_finish(call);
    if (l->once) {
        lanes_free(l);
    } else if (l->calls && l->calls->cancelled && !l->shut) {
        l->cancelled_at = clock_monotonic_ns();
        timer_set(&a->events, &l->cancel, deadline_after(RESIGNAL_MS * NS_PER_MS));
    }
}

static void opened(struct lane *l, struct call *call, const struct message *m)
{
    struct value_fd value;
    int fd = -1;
    size_t count = 0;
    char byte;
    if (shape_unpack(m->args, operations[OPERATION_open].value, &value) < 0 ||
        fds_recv(l->fds, &byte, 1, &fd, 1, &count) < 0 || count != 1)
        call_fail(call, EPROTO);
    else
        handle_add(l->worker->agent, call->id, fd, call->worker, (int)value.fd);
}

static void on_result(struct lane *l, const struct message *m)
{
    struct call *call = l->calls;
    struct value_err e;
    while (call && call->id != m->id)
        call = call->queue_next;
    if (!call)
        return;
    if (m->kind == MESSAGE_OK) {
        buf_append(&call->value, m->args.data, m->args.len);
        if (buf_append(&call->tail, m->data.data, m->data.len) < 0)
            call_fail(call, EPROTO);
        if (call->op == OPERATION_open)
            opened(l, call, m);
    } else if (shape_unpack(m->args, &shape_value_err, &e) < 0) {
        call_fail(call, EPROTO);
    } else {
        call_fail_about(call, (int)e.errno_code, "%.*s", (int)e.detail.len, e.detail.data);
    }
    end_call(l, call);
}

static void on_answer(struct lane *l, const struct message *m)
{
    struct inquiry **at = &l->inquiries;
    while (*at && (*at)->id != m->id)
        at = &(*at)->next;
    struct inquiry *q = *at;
    if (!q)
        return;
    *at = q->next;
    q->fn(q->arg, m, l->fds);
    free(q);
}

static void on_message(struct lane *l, struct message *m)
{
    struct agent *a = l->worker->agent;
    struct value_started started;
    switch (m->kind) {
    case MESSAGE_OK:
    case MESSAGE_ERR:
        if (m->id >= OWN_IDS)
            on_answer(l, m);
        else
            on_result(l, m);
        break;
    case MESSAGE_DATA:
        for (ssize_t taken; call_find(a, m->id) && m->data.len;) {
            if ((taken = channel_put(&a->channel, m)) < 0)
                break;
            m->data = bytes_of(m->data.data + taken, m->data.len - (size_t)taken);
        }
        break;
    case MESSAGE_CREDIT:
        if (call_find(a, m->id))
            channel_put(&a->channel, m);
        break;
    case MESSAGE_EVENT:
        if (!shape_unpack(m->args, &shape_value_started, &started))
            l->tid = (pid_t)started.pid;
        break;
    case MESSAGE_REQUEST:
    case MESSAGE_CANCEL:
        break;
    }
}

/* A lane that ends takes its process with it, unless its thread never began (thread_started tells). */
static void on_lane(struct watch *watch, uint32_t events)
{
    struct lane *l = container_of(watch, struct lane, channel.watch);
    struct worker *w = l->worker;
    struct agent *a = w->agent;
    struct message m;
    (void)events;
    if (channel_flush(&l->channel))
        channel_pause(&l->channel, false);
    if (channel_busy(&a->channel)) {
        channel_pause(&l->channel, true);
        return;
    }
    channel_fill(&l->channel);
    bool ended = l->channel.ended;
    for (int got; (got = channel_receive(&l->channel, &m));) {
        bool last = l->once && m.kind != MESSAGE_DATA && m.kind != MESSAGE_CREDIT && m.kind != MESSAGE_EVENT;
        if (got == 1)
            on_message(l, &m);
        if (last)
            return; /* the lane is gone */
        ended |= got != 1;
        if (ended)
            break;
    }
    if (ended) {
        if (l->tid || l == w->control)
            kill(w->pid, SIGKILL);
        lanes_shut(l);
    }
}
