/* The loop: wait for descriptors or for the core's next deadline, serve each ready descriptor once,
 * let time pass in the core, write out. Rounds are short (see connection.c), so that no guest
 * delays another bridge's frames.
 *
 * Process: forked from a runner and nothing else; owns the control channel and what came over it.
 * It ends when the control channel does. */
#include "switch/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>

#include "base/clock.h"
#include "switch/process.h"

#define EVENTS_MAX 64

void watch_set(struct server *s, struct watch *w, uint32_t events)
{
    if (events == w->events || w->fd < 0)
        return;
    struct epoll_event event = {.events = events, .data.ptr = w};
    int operation = !w->events ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    epoll_ctl(s->epoll_fd, operation, w->fd, &event);
    w->events = events;
}

static int wait_for_events(struct server *s, struct epoll_event *events)
{
    int64_t next = s->busy ? 0 : switch_next(s->core);
    if (next == INT64_MAX)
        return epoll_wait(s->epoll_fd, events, EVENTS_MAX, -1);
    int64_t left = s->busy ? 0 : next - clock_monotonic_ns();
    if (left <= 0)
        return epoll_wait(s->epoll_fd, events, EVENTS_MAX, 0);
    struct timespec timeout = {.tv_sec = left / NS_PER_S, .tv_nsec = left % NS_PER_S};
    int n = epoll_pwait2(s->epoll_fd, events, EVENTS_MAX, &timeout, NULL);
    if (n < 0 &&
        (errno == ENOSYS || errno == EPERM)) /* before Linux 5.11, or an old seccomp profile */
        n = epoll_wait(s->epoll_fd, events, EVENTS_MAX, (int)(left / NS_PER_MS));
    return n;
}

/* The control channel comes last: its requests may free connections that have events in this batch.
 */
static void dispatch(struct server *s, const struct epoll_event *events, int count)
{
    uint32_t control = 0;
    for (int i = 0; i < count; i++) {
        struct watch *w = events[i].data.ptr;
        if (i)
            s->now = clock_monotonic_ns();
        if (w == &s->control.watch)
            control = events[i].events;
        else
            w->ready(s, w, events[i].events);
    }
    if (control)
        s->control.watch.ready(s, &s->control.watch, control);
}

int switch_serve(int control_fd)
{
    struct server s = {.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    uint64_t secret;
    if (s.epoll_fd < 0 || getrandom(&secret, sizeof(secret), 0) != sizeof(secret)) {
        perror("provium switch");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1);
    s.core = switch_new(secret);
    control_init(&s, control_fd);
    while (!s.done) {
        struct epoll_event events[EVENTS_MAX];
        int count = wait_for_events(&s, events);
        s.now = clock_monotonic_ns();
        if (s.drains)
            switch_set_wall_offset(s.core, clock_realtime_ns() - s.now);
        switch_advance(s.core, s.now);
        connections_flush(&s);
        dispatch(&s, events, count);
        connections_continue(&s);
        drains_flush(&s);
    }
    while (s.connections)
        connection_free(&s, s.connections);
    control_done(&s);
    drains_free(&s);
    switch_free(s.core);
    close(s.epoll_fd);
    return 0;
}
