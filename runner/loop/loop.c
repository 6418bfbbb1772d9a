/* Sources live in one list; epoll holds a pointer to each descriptor source. Removal only marks a source dead:
 * it is freed when no dispatch is on the stack, so that events already fetched for it stay harmless. Timers are
 * few (a handful per process) and kept in the same list; the nearest deadline bounds epoll_pwait2. */
#include "loop/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"

enum source_kind { SOURCE_FD, SOURCE_TIMER, SOURCE_CHILD };

struct source {
    struct source *next, **prev_link;
    struct loop *loop;
    enum source_kind kind;
    bool dead;
    int fd; /* pidfd of a child source: owned */
    pid_t pid;
    int64_t deadline;
    union {
        loop_fd_fn fd_fn;
        loop_timer_fn timer_fn;
        loop_child_fn child_fn;
    };
    void *arg;
};

struct loop {
    int epoll_fd;
    struct source *sources;
    struct source *graveyard;
    unsigned depth;        /* dispatches on the stack */
    unsigned waiting;      /* loop_wait calls on the stack */
    bool interrupted;      /* until the outermost loop_wait has returned */
};

struct loop *loop_new(void)
{
    struct loop *loop = xnew0(struct loop);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        free(loop);
        return NULL;
    }
    return loop;
}

static void bury(struct loop *loop)
{
    while (loop->graveyard) {
        struct source *s = loop->graveyard;
        loop->graveyard = s->next;
        free(s);
    }
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    while (loop->sources)
        source_remove(loop->sources);
    bury(loop);
    close(loop->epoll_fd);
    free(loop);
}

static struct source *add(struct loop *loop, enum source_kind kind, void *arg)
{
    struct source *s = xnew0(struct source);
    s->loop = loop;
    s->kind = kind;
    s->fd = -1;
    s->deadline = DEADLINE_NONE;
    s->arg = arg;
    s->next = loop->sources;
    s->prev_link = &loop->sources;
    if (s->next)
        s->next->prev_link = &s->next;
    loop->sources = s;
    return s;
}

struct source *loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *arg)
{
    struct source *s = add(loop, SOURCE_FD, arg);
    s->fd = fd;
    s->fd_fn = fn;
    struct epoll_event event = {.events = events, .data.ptr = s};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        int saved = errno;
        s->fd = -1;
        source_remove(s);
        errno = saved;
        return NULL;
    }
    return s;
}

void source_set_events(struct source *s, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = s};
    epoll_ctl(s->loop->epoll_fd, EPOLL_CTL_MOD, s->fd, &event);
}

struct source *loop_add_timer(struct loop *loop, int64_t deadline, loop_timer_fn fn, void *arg)
{
    struct source *s = add(loop, SOURCE_TIMER, arg);
    s->deadline = deadline;
    s->timer_fn = fn;
    return s;
}

void source_set_deadline(struct source *s, int64_t deadline)
{
    s->deadline = deadline;
}

struct source *loop_add_child(struct loop *loop, pid_t pid, loop_child_fn fn, void *arg)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return NULL;
    struct source *s = add(loop, SOURCE_CHILD, arg);
    s->fd = fd;
    s->pid = pid;
    s->child_fn = fn;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    return s;
}

void source_remove(struct source *s)
{
    if (!s || s->dead)
        return;
    struct loop *loop = s->loop;
    s->dead = true;
    if (s->fd >= 0)
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
    if (s->kind == SOURCE_CHILD)
        close_fd(&s->fd);
    *s->prev_link = s->next;
    if (s->next)
        s->next->prev_link = s->prev_link;
    s->next = loop->graveyard;
    loop->graveyard = s;
    if (!loop->depth)
        bury(loop);
}

static void dispatch_child(struct source *s)
{
    int status;
    pid_t got = waitpid(s->pid, &status, WNOHANG);
    if (!got)
        return;
    if (got < 0)
        status = 0; /* somebody else reaped it: nothing more to learn */
    s->child_fn(s, s->pid, status, s->arg);
    source_remove(s);
}

/* The list may change under a callback: start over after each timer that fired. */
static void dispatch_timers(struct loop *loop)
{
    int64_t now = clock_monotonic_ns();
    for (struct source *s = loop->sources; s;) {
        if (s->kind != SOURCE_TIMER || s->deadline > now) {
            s = s->next;
            continue;
        }
        s->deadline = DEADLINE_NONE;
        s->timer_fn(s, s->arg);
        s = loop->sources;
    }
}

static void run_once(struct loop *loop, int64_t deadline)
{
    struct epoll_event events[32];
    for (struct source *s = loop->sources; s; s = s->next)
        if (s->kind == SOURCE_TIMER && s->deadline < deadline)
            deadline = s->deadline;
    struct timespec ts, *timeout = NULL;
    if (deadline != DEADLINE_NONE) {
        int64_t left = deadline - clock_monotonic_ns();
        if (left < 0)
            left = 0;
        ts = (struct timespec){.tv_sec = left / NS_PER_S, .tv_nsec = left % NS_PER_S};
        timeout = &ts;
    }
    int n = epoll_pwait2(loop->epoll_fd, events, ARRAY_SIZE(events), timeout, NULL);
    if (n < 0 && (errno == ENOSYS || errno == EPERM)) /* before Linux 5.11, or an old seccomp profile */
        n = epoll_wait(loop->epoll_fd, events, ARRAY_SIZE(events), deadline_poll_ms(deadline));
    loop->depth++;
    for (int i = 0; i < n; i++) {
        struct source *s = events[i].data.ptr;
        if (s->dead)
            continue;
        if (s->kind == SOURCE_CHILD)
            dispatch_child(s);
        else
            s->fd_fn(s, events[i].events, s->arg);
    }
    dispatch_timers(loop);
    if (!--loop->depth)
        bury(loop);
}

int loop_wait(struct loop *loop, const bool *done, int64_t deadline)
{
    int result = 0, code = 0;
    loop->waiting++;
    while (!*done) {
        if (loop->interrupted) {
            code = ECANCELED;
        } else if (deadline != DEADLINE_NONE && clock_monotonic_ns() >= deadline) {
            loop_poll(loop); /* what came in meanwhile still counts */
            code = *done ? 0 : ETIMEDOUT;
        } else {
            run_once(loop, deadline);
            continue;
        }
        result = code ? -1 : 0;
        break;
    }
    if (!--loop->waiting)
        loop->interrupted = false;
    errno = code;
    return result;
}

void loop_poll(struct loop *loop)
{
    run_once(loop, 0);
}

void loop_interrupt(struct loop *loop)
{
    if (loop->waiting)
        loop->interrupted = true;
}
