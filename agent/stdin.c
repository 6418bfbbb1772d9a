/* Standard input of processes: each write_stdin call feeds its body into the pipe, one call after the other. A call
 * ends when the pipe has all of it, or with EPIPE when nobody reads any more. */
#include "stdin.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

static void drop_writer(struct process *p, struct call *call, int code)
{
    struct call **at = &p->writers;
    while (*at != call)
        at = &(*at)->queue_next;
    *at = call->queue_next;
    p->writers_end = &p->writers;
    while (*p->writers_end)
        p->writers_end = &(*p->writers_end)->queue_next;
    call->queue_next = NULL;
    if (code)
        call_fail(call, code);
    call_finish(call);
}

void stdin_close(struct process *p)
{
    if (p->stdin_watch.fd >= 0)
        watch_set(&p->agent->events, &p->stdin_watch, 0);
    close_fd(&p->stdin_watch.fd);
    while (p->writers)
        drop_writer(p, p->writers, EPIPE);
}

/* Writes the call's next piece; 1: done with it, 0: the pipe is full, -1: nobody reads. */
static int write_piece(struct process *p, struct call *call)
{
    struct piece *piece = call->pieces;
    ssize_t done = write(p->stdin_watch.fd, piece->data + piece->used, piece->len - piece->used);
    if (done < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    piece->used += (size_t)done;
    if (piece->used < piece->len)
        return 0;
    call->pieces = piece->next;
    if (!call->pieces)
        call->pieces_end = &call->pieces;
    call_credit(call, piece->len);
    call_recycle(call, piece);
    return 1;
}

void stdin_pump(struct process *p)
{
    bool full = false;
    while (p->writers && !full) {
        struct call *call = p->writers;
        int result = 1;
        while (call->pieces && result > 0)
            result = write_piece(p, call);
        if (result < 0) {
            stdin_close(p);
            return;
        }
        full = !result;
        if (!full && !call->body_ended)
            break;
        if (!full)
            drop_writer(p, call, 0);
    }
    if (!p->writers && p->stdin_ends)
        stdin_close(p);
    else if (p->stdin_watch.fd >= 0)
        watch_set(&p->agent->events, &p->stdin_watch, full ? EPOLLOUT : 0);
}

static void on_writable(struct watch *w, uint32_t events)
{
    (void)events;
    stdin_pump(container_of(w, struct process, stdin_watch));
}

void stdin_write(struct call *call)
{
    const struct args_process *args = call_args(call);
    struct process *p = process_find(call->agent, args->process);
    if (!p || p->stdin_watch.fd < 0 || p->stdin_ends) {
        call_fail(call, EPIPE);
        call_finish(call);
        return;
    }
    p->stdin_watch.fn = on_writable;
    call->data = p;
    *p->writers_end = call;
    p->writers_end = &call->queue_next;
    stdin_pump(p);
}

void stdin_more(struct call *call)
{
    stdin_pump(call->data);
}

void stdin_cancel(struct call *call)
{
    struct process *p = call->data;
    drop_writer(p, call, ECANCELED);
    stdin_pump(p);
}

void stdin_end(struct call *call)
{
    const struct args_process *args = call_args(call);
    struct process *p = process_find(call->agent, args->process);
    if (p) {
        p->stdin_ends = true;
        stdin_pump(p);
    }
    call_finish(call);
}
