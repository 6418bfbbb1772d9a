#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "handle.h"
#include "lanes.h"
#include "launch.h"

#define PATIENCE_MS 1000 /* of closing a worker that is in the middle of something */

static void on_patience(struct timer *t)
{
    struct worker *w = container_of(t, struct worker, end);
    kill(w->pid, SIGKILL);
}

static void free_worker(struct worker *w)
{
    struct worker **at = &w->agent->workers;
    while (*at && *at != w)
        at = &(*at)->next;
    if (*at)
        *at = w->next;
    while (w->lanes)
        lanes_free(w->lanes);
    timer_stop(&w->agent->events, &w->end);
    free(w);
}

/* Forks a worker process with a control lane; NULL with errno. */
static struct worker *add_worker(struct agent *a, struct call *call)
{
    struct worker *w = xnew0(struct worker);
    struct lane_ends theirs;
    w->agent = a;
    w->call = call;
    w->end.fn = on_patience;
    w->control = lanes_add(w, &theirs);
    w->pid = w->control ? fork() : -1;
    if (!w->pid)
        lane_process(theirs, !call);
    int saved = errno;
    if (w->control) {
        close(theirs.frames);
        close(theirs.fds);
    }
    if (w->pid < 0) {
        free_worker(w);
        errno = saved;
        return NULL;
    }
    w->ordered = call ? w->control : NULL;
    w->next = a->workers;
    a->workers = w;
    return w;
}

/* The worker of that id; 0: the kernel-call process, which is made if there is none. NULL with errno. */
static struct worker *find(struct agent *a, uint64_t id)
{
    struct worker *w = a->workers;
    while (w && (id ? !w->call || w->call->id != id || w->call->session != a->session : !!w->call))
        w = w->next;
    if (w && w->control->shut)
        w = NULL;
    if (!w && !id)
        return add_worker(a, NULL);
    errno = ESRCH;
    return w;
}

static struct lane *lane_for(struct worker *w, struct call *call)
{
    if (call->op != OPERATION_syscall)
        return w->control;
    if (((const struct args_syscall *)call_args(call))->async) {
        struct lane *l = lanes_add_thread(w);
        if (l)
            l->once = true;
        return l;
    }
    if (!w->ordered)
        w->ordered = lanes_add_thread(w);
    return w->ordered;
}

void worker_begin(struct call *call)
{
    struct worker *w = find(call->agent, call->worker);
    struct lane *l = w ? lane_for(w, call) : NULL;
    if (l) {
        lanes_pass_call(l, call);
        return;
    }
    if (w || !call->worker)
        call_fail(call, errno);
    else
        call_fail_about(call, 0, "there is no such worker");
    call_finish(call);
}

void worker_body(struct call *call)
{
    lanes_pass_body(call->data, call);
}

void worker_cancel(struct call *call)
{
    lanes_pass_cancel(call->data, call);
}

void worker_new(struct call *call)
{
    struct worker *w = add_worker(call->agent, call);
    if (!w) {
        call_fail(call, errno);
        call_finish(call);
        return;
    }
    call->data = w;
    struct value_started value = {.pid = (uint64_t)w->pid};
    call_event(call, "started", &shape_value_started, &value);
}

/* It ends at the end of its control lane, or by force. */
static void end_worker(struct worker *w)
{
    lanes_shut(w->control);
    timer_set(&w->agent->events, &w->end, deadline_after(PATIENCE_MS * NS_PER_MS));
}

void worker_end(struct call *call)
{
    end_worker(call->data);
}

bool worker_reaped(struct agent *a, pid_t pid, int status)
{
    struct worker *w = a->workers;
    char why[100];
    while (w && w->pid != pid)
        w = w->next;
    if (!w)
        return false;
    struct value_exited value = {.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                                 .signal = WIFSIGNALED(status) ? (uint64_t)WTERMSIG(status) : 0};
    snprintf(why, sizeof(why), "the %s ended (%s %d)", w->call ? "worker" : "process for kernel calls",
             value.signal ? "killed by signal" : "exited with", value.signal ? (int)value.signal : (int)value.code);
    if (w->call) {
        struct call *call = steal_ptr(w->call);
        call_value(call, &value);
        call_finish(call);
    }
    for (struct lane *l = w->lanes; l; l = l->next) {
        lanes_shut(l);
        lanes_fail(l, 0, why);
    }
    free_worker(w);
    return true;
}

void worker_resume(struct agent *a)
{
    for (struct worker *w = a->workers; w; w = w->next)
        for (struct lane *l = w->lanes; l; l = l->next)
            if (!l->shut)
                channel_pause(&l->channel, false);
}

void worker_adopt(struct agent *a, const uint64_t *ids, size_t count)
{
    for (struct worker *w = a->workers; w; w = w->next) {
        size_t i = 0;
        if (!w->call || w->call->session == a->session)
            continue;
        while (i < count && ids[i] != w->call->id)
            i++;
        if (i < count)
            w->call->session = a->session;
        else
            end_worker(w);
    }
}

void worker_drop_fd(struct agent *a, uint64_t worker, int fd)
{
    struct value_fd args = {.fd = fd};
    for (struct worker *w = a->workers; w; w = w->next)
        if (worker == (w->call ? w->call->id : 0))
            lanes_inquire(w->control, OPERATION_drop, &args, bytes_of(NULL, 0), NULL, 0, NULL, NULL);
}

/* The number under which the kernel-call process got the file. */
static void on_adopted(void *arg, const struct message *m, int fds)
{
    struct call *call = arg;
    struct handle *h = call->data;
    struct value_fd value;
    (void)fds;
    if (m && m->kind == MESSAGE_OK && !shape_unpack(m->args, operations[OPERATION_adopt].value, &value)) {
        h->number = (int)value.fd;
        call_value(call, &value);
    } else {
        call_fail(call, ESRCH);
    }
    handle_give(call->agent, h);
    call_finish(call);
}

void worker_fd(struct call *call)
{
    const struct args_file *args = call_args(call);
    struct handle *h = handle_take(call, args->file);
    struct worker *w = h && h->number < 0 ? find(call->agent, h->worker) : NULL;
    call->data = h;
    if (w && !lanes_inquire(w->control, OPERATION_adopt, NULL, bytes_of(NULL, 0), &h->fd, 1, on_adopted, call))
        return;
    if (h && h->number >= 0) {
        struct value_fd value = {.fd = h->number};
        call_value(call, &value);
    } else if (h) {
        call_fail(call, errno);
    }
    if (h)
        handle_give(call->agent, h);
    call_finish(call);
}

/* A thread waits for a descriptor of the kernel-call process; it may be gone when that comes. */
struct share {
    struct call *call; /* NULL: gone */
    bool done;
    int fd, code;
};

static void on_shared(void *arg, const struct message *m, int fds)
{
    struct share *s = arg;
    struct value_err e = {.errno_code = ESRCH};
    size_t count = 0;
    char byte;
    s->fd = -1;
    if (m && m->kind == MESSAGE_OK)
        fds_recv(fds, &byte, 1, &s->fd, 1, &count);
    else if (m)
        shape_unpack(m->args, &shape_value_err, &e);
    s->code = s->fd < 0 ? (int)e.errno_code : 0;
    s->done = true;
    if (s->call) {
        pthread_cond_signal(&s->call->changed);
        return;
    }
    close_fd(&s->fd);
    free(s);
}

int worker_share_fd(struct call *call, int64_t fd)
{
    struct agent *a = call->agent;
    struct value_fd args = {.fd = fd};
    struct share *s = xnew0(struct share);
    s->call = call;
    agent_lock(a);
    struct worker *w = find(a, 0);
    if (!w || lanes_inquire(w->control, OPERATION_share, &args, bytes_of(NULL, 0), NULL, 0, on_shared, s) < 0) {
        s->done = true;
        s->fd = -1;
        s->code = errno;
    }
    while (!s->done && !call->cancelled && !call_wait(call))
        ;
    int result = -1, code = ECANCELED;
    if (s->done) {
        result = s->fd;
        code = s->code;
        free(s);
    } else {
        s->call = NULL;
    }
    agent_unlock(a);
    errno = code;
    return result;
}

static void on_spawned(void *arg, const struct message *m, int fds)
{
    struct value_started value = {0};
    struct value_err e = {.errno_code = ESRCH};
    (void)fds;
    if (m && m->kind == MESSAGE_OK)
        shape_unpack(m->args, &shape_value_started, &value);
    else if (m)
        shape_unpack(m->args, &shape_value_err, &e);
    launch_done(arg, (pid_t)value.pid, (int)e.errno_code);
}

int worker_spawn(struct process *p, const uint8_t *body, size_t len, const int fds[4])
{
    struct call *call = p->call;
    struct worker *w = find(call->agent, call->worker);
    struct args_spawn args = {.about = bytes_of(call->args_copy, call->args_len)};
    return w ? lanes_inquire(w->control, OPERATION_spawn, &args, bytes_of(body, len), fds, 4, on_spawned, p) : -1;
}
