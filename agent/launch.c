#include "launch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/io.h"
#include "stdin.h"
#include "worker.h"

enum { ERROR_PIPE = 3, PIPES = 4 };

/* A pipe whose end of ours, `mine` (0: for reading), does not block. */
static int make_pipe(int mine, int *ret_ours, int *ret_theirs)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    fd_set_nonblock(fds[mine], true);
    *ret_ours = fds[mine];
    *ret_theirs = fds[!mine];
    return 0;
}

/* The process's ends are in `fds`: 0, 1, 2, and the error pipe's. */
static int make_pipes(struct process *p, int fds[PIPES])
{
    if (!make_pipe(1, &p->stdin_watch.fd, &fds[0]) && !make_pipe(0, &p->out[0].watch.fd, &fds[1]) &&
        !make_pipe(0, &p->out[1].watch.fd, &fds[2]) && !make_pipe(0, &p->start_watch.fd, &fds[ERROR_PIPE]))
        return 0;
    return -1;
}

static int fork_here(struct process *p, const struct args_exec *args, uint8_t *body, size_t len, const int fds[PIPES])
{
    struct spawn s;
    pid_t pid = -1;
    if (spawn_parse(&s, args, body, len) < 0) {
        errno = EPROTO;
    } else {
        memcpy(s.fds, fds, sizeof(s.fds));
        s.error_fd = fds[ERROR_PIPE];
        pid = fork();
        if (!pid)
            spawn_child(&s);
    }
    int saved = errno;
    spawn_done(&s);
    if (pid > 0)
        launch_done(p, pid, 0);
    errno = saved;
    return pid > 0 ? 0 : -1;
}

/* In the worker of its call; launch_done is heard later. */
static int ask_worker(struct process *p, uint8_t *body, size_t len, const int fds[PIPES])
{
    int failed = worker_spawn(p, body, len, fds);
    free(body);
    p->asked = !failed;
    return failed;
}

int launch(struct process *p, const struct args_exec *args, uint8_t *body, size_t len)
{
    int fds[PIPES] = {-1, -1, -1, -1};
    for (int i = 0; i < 2; i++) {
        p->out[i].credit = (int64_t)(args->window > INT64_MAX ? INT64_MAX : args->window);
        p->out[i].left = args->limit < 0 ? -1 : args->limit;
    }
    if (args->timeout_ns && args->timeout_ns <= INT64_MAX)
        timer_set(&p->agent->events, &p->timeout, deadline_after((int64_t)args->timeout_ns));
    int failed = make_pipes(p, fds);
    if (failed)
        free(body);
    else if (p->call->worker)
        failed = ask_worker(p, body, len, fds);
    else
        failed = fork_here(p, args, body, len, fds);
    int saved = errno;
    for (int i = 0; i < PIPES; i++)
        close_fd(&fds[i]);
    errno = saved;
    return failed;
}

void launch_note_ended(struct agent *a, pid_t pid, int status)
{
    size_t slot = a->unclaimed_count++ % ARRAY_SIZE(a->unclaimed);
    a->unclaimed[slot].pid = pid;
    a->unclaimed[slot].status = status;
}

void launch_done(struct process *p, pid_t pid, int code)
{
    struct agent *a = p->agent;
    if (!pid) {
        process_abandon(p, code);
        return;
    }
    p->asked = false;
    p->pid = pid;
    watch_set(&a->events, &p->start_watch, EPOLLIN);
    if (p->killed)
        process_kill(p);
    for (size_t i = 0; i < ARRAY_SIZE(a->unclaimed); i++) {
        if (a->unclaimed[i].pid == pid) {
            a->unclaimed[i].pid = 0;
            process_ended(p, a->unclaimed[i].status);
            return;
        }
    }
}
