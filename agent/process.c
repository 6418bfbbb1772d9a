/* An exec call lasts as long as the host may want to hear of the process: until it has ended and both of its outputs
 * have. A release ends the call earlier; the object then stays until the pipes are at their end, reading and
 * dropping what descendants write, so that they go on undisturbed.
 *
 * The agent is the parent, so a pid that it has not reaped is never another process's. */
#include "process.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "launch.h"
#include "stdin.h"
#include "worker.h"

#define NO_LIMIT (-1)

struct process *process_find(struct agent *a, uint64_t id)
{
    struct call *call = call_find(a, id);
    return call && call->op == OPERATION_exec ? call->data : NULL;
}

static bool drops(const struct output *o)
{
    return o->process->released || !o->left;
}

static void update_watch(struct output *o)
{
    struct process *p = o->process;
    bool room = o->credit > 0 && !channel_busy(&p->agent->channel) && !p->agent->quiet;
    if (o->watch.fd >= 0)
        watch_set(&p->agent->events, &o->watch, p->started && (drops(o) || room) ? EPOLLIN : 0);
}

static struct value_exited describe(const struct process *p)
{
    return (struct value_exited){
        .code = WIFEXITED(p->status) ? WEXITSTATUS(p->status) : -1,
        .signal = WIFSIGNALED(p->status) ? (uint64_t)WTERMSIG(p->status) : 0,
        .timed_out = p->timed_out,
        .truncated = p->out[0].truncated || p->out[1].truncated,
    };
}

static void process_free(struct process *p)
{
    struct process **at = &p->agent->processes;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    timer_stop(&p->agent->events, &p->timeout);
    free(p);
}

static void end_call(struct process *p)
{
    struct call *call = steal_ptr(p->call);
    struct value_exited value = describe(p);
    if (!call->failed)
        call_value(call, &value);
    call_finish(call);
    p->released = true;
    for (int i = 0; i < 2; i++)
        update_watch(&p->out[i]);
}

/* After anything that happened to it: what is over now? May free it. */
static void check(struct process *p)
{
    bool eof = p->out[0].eof && p->out[1].eof;
    if (p->call && p->started && p->reaped && (eof || p->released))
        end_call(p);
    if (!p->call && p->started && p->reaped && eof)
        process_free(p);
}

/* That it has ended, where its outputs have not: the result may be long in coming. */
static void tell_exit(struct process *p)
{
    struct value_exited value = describe(p);
    if (p->call && p->started && p->reaped && !p->released && !(p->out[0].eof && p->out[1].eof))
        call_event(p->call, "exited", &shape_value_exited, &value);
}

static void send_output(struct output *o, size_t n)
{
    struct agent *a = o->process->agent;
    struct call *call = o->process->call;
    struct message m = {.kind = MESSAGE_DATA,
                        .id = call->id,
                        .stream = o->stream,
                        .data = bytes_of(a->scratch, n)};
    while (m.data.len && call->session == a->session) {
        ssize_t taken = channel_put(&a->channel, &m);
        if (taken < 0)
            break;
        m.data = bytes_of(m.data.data + taken, m.data.len - (size_t)taken);
    }
    o->credit -= (int64_t)n;
    if (o->left != NO_LIMIT)
        o->left -= (int64_t)n;
}

static void end_output(struct output *o)
{
    struct process *p = o->process;
    struct value_stream value = {.stream = o->stream};
    watch_set(&p->agent->events, &o->watch, 0);
    close_fd(&o->watch.fd);
    o->eof = true;
    if (p->call && !p->quiet)
        call_event(p->call, "eof", &shape_value_stream, &value);
    check(p);
}

static void on_output(struct watch *w, uint32_t events)
{
    struct output *o = container_of(w, struct output, watch);
    struct agent *a = o->process->agent;
    int64_t room = sizeof(a->scratch);
    (void)events;
    if (!drops(o)) {
        room = o->credit < room ? o->credit : room;
        room = o->left != NO_LIMIT && o->left < room ? o->left : room;
    }
    ssize_t got = read(w->fd, a->scratch, (size_t)room);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        end_output(o);
        return;
    }
    if (drops(o))
        o->truncated |= !o->process->released;
    else
        send_output(o, (size_t)got);
    update_watch(o);
}

/* The end of the error pipe: the program runs, unless the child wrote why not. */
static void on_start(struct watch *w, uint32_t events)
{
    struct process *p = container_of(w, struct process, start_watch);
    struct spawn_error e;
    (void)events;
    ssize_t got = read(w->fd, &e, sizeof(e));
    watch_set(&p->agent->events, w, 0);
    close_fd(&w->fd);
    p->started = true;
    if (p->call && got == sizeof(e)) {
        e.detail[sizeof(e.detail) - 1] = '\0';
        call_fail_about(p->call, e.code, "%s", e.detail);
        end_call(p);
    } else if (p->call && !p->quiet) {
        struct value_started value = {.pid = (uint64_t)p->pid};
        call_event(p->call, "started", &shape_value_started, &value);
    }
    for (int i = 0; i < 2; i++)
        update_watch(&p->out[i]);
    tell_exit(p);
    check(p);
}

void process_kill(struct process *p)
{
    p->killed = true;
    if (!p->pid || p->reaped)
        return;
    kill(-p->pid, SIGKILL);
    kill(p->pid, SIGKILL); /* it may not have its own group yet */
}

static void on_timeout(struct timer *t)
{
    struct process *p = container_of(t, struct process, timeout);
    if (p->reaped)
        return;
    p->timed_out = true;
    process_kill(p);
}

struct process *process_new(struct call *call)
{
    struct process *p = xnew0(struct process);
    struct agent *a = call->agent;
    p->agent = a;
    p->call = call;
    p->start_watch = (struct watch){.fd = -1, .fn = on_start};
    p->stdin_watch.fd = -1;
    p->writers_end = &p->writers;
    p->timeout.fn = on_timeout;
    for (unsigned i = 0; i < 2; i++)
        p->out[i] = (struct output){.process = p, .stream = i, .watch = {.fd = -1, .fn = on_output}};
    p->next = a->processes;
    a->processes = p;
    call->data = p;
    return p;
}

void process_abandon(struct process *p, int code)
{
    struct call *call = steal_ptr(p->call);
    struct watch *pipes[] = {&p->out[0].watch, &p->out[1].watch, &p->start_watch};
    stdin_close(p);
    for (size_t i = 0; i < ARRAY_SIZE(pipes); i++) {
        if (pipes[i]->fd >= 0)
            watch_set(&p->agent->events, pipes[i], 0);
        close_fd(&pipes[i]->fd);
    }
    process_free(p);
    call_fail(call, code);
    call_finish(call);
}

void process_release(struct process *p)
{
    if (!p->pid && !p->asked) {
        process_abandon(p, ECANCELED);
        return;
    }
    p->released = true;
    for (int i = 0; i < 2; i++)
        update_watch(&p->out[i]);
    check(p);
}

void process_take(struct process *p, unsigned stream, uint64_t n)
{
    struct output *o = &p->out[stream];
    if (__builtin_add_overflow(o->credit, n, &o->credit))
        o->credit = INT64_MAX;
    update_watch(o);
}

void process_ended(struct process *p, int status)
{
    p->reaped = true;
    p->status = status;
    timer_stop(&p->agent->events, &p->timeout);
    stdin_close(p);
    tell_exit(p);
    check(p);
}

void process_reap(struct agent *a)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct process *p = a->processes;
        bool asked = false;
        for (; p && (p->pid != pid || p->reaped); p = p->next)
            asked |= p->asked;
        if (p)
            process_ended(p, status);
        else if (!worker_reaped(a, pid, status) && asked)
            launch_note_ended(a, pid, status);
    }
}

void process_resume(struct agent *a)
{
    for (struct process *p = a->processes; p; p = p->next)
        for (int i = 0; i < 2; i++)
            update_watch(&p->out[i]);
}

void process_adopt(struct agent *a, const uint64_t *ids, size_t count)
{
    for (struct process *p = a->processes, *next; p; p = next) {
        next = p->next;
        if (!p->call || p->call->session == a->session)
            continue;
        size_t i = 0;
        while (i < count && ids[i] != p->call->id)
            i++;
        if (i < count)
            p->call->session = a->session;
        else
            process_release(p);
    }
}

void process_kill_all(struct agent *a)
{
    for (struct process *p = a->processes; p; p = p->next)
        process_kill(p);
}
