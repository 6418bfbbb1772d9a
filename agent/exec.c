/* The operations on processes, see process.c. */
#include "exec.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "launch.h"
#include "stdin.h"

static void start(struct process *p)
{
    struct call *call = p->call;
    const struct args_exec *args = call_args(call);
    size_t len;
    uint8_t *body = call_take_body(call, &len);
    p->quiet = args->quiet;
    p->stdin_ends = !args->stdin_open;
    if (launch(p, args, body, len) < 0)
        process_abandon(p, errno);
    else
        stdin_pump(p);
}

void exec_begin(struct call *call)
{
    process_new(call);
    exec_body(call);
}

void exec_body(struct call *call)
{
    struct process *p = call->data;
    size_t total = 0;
    call_credit(call, call->buffered);
    for (struct piece *piece = call->pieces; piece; piece = piece->next)
        total += piece->len;
    if (total > BODY_MAX)
        process_abandon(p, E2BIG);
    else if (call->body_ended)
        start(p);
}

void exec_cancel(struct call *call)
{
    process_kill(call->data);
    process_release(call->data);
}

void exec_credit(struct call *call, unsigned stream, uint64_t n)
{
    process_take(call->data, stream, n);
}

/* One that has ended and was not reaped yet takes signals, but nobody is there. */
static bool is_running(const struct process *p)
{
    siginfo_t info = {0};
    return !p->reaped && p->pid &&
           (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid);
}

void exec_signal(struct call *call)
{
    const struct args_signal *args = call_args(call);
    struct process *p = process_find(call->agent, args->process);
    struct value_signal value = {.delivered = p && is_running(p)};
    if (value.delivered && kill(args->group ? -p->pid : p->pid, (int)args->signal) < 0)
        call_fail(call, errno);
    else
        call_value(call, &value);
    call_finish(call);
}

void exec_release(struct call *call)
{
    const struct args_process *args = call_args(call);
    struct process *p = process_find(call->agent, args->process);
    if (p)
        process_release(p);
    call_finish(call);
}
