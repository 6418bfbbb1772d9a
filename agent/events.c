#include "events.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"

int events_init(struct events *ev)
{
    *ev = (struct events){.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    return ev->epoll_fd < 0 ? -1 : 0;
}

void events_done(struct events *ev)
{
    close_fd(&ev->epoll_fd);
}

int watch_set(struct events *ev, struct watch *w, uint32_t events)
{
    if (events == w->events)
        return 0;
    int op = !events ? EPOLL_CTL_DEL : w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    struct epoll_event event = {.events = events, .data.ptr = w};
    if (epoll_ctl(ev->epoll_fd, op, w->fd, &event) < 0)
        return -1;
    w->events = events;
    return 0;
}

void timer_set(struct events *ev, struct timer *t, int64_t deadline)
{
    timer_stop(ev, t);
    struct timer **at = &ev->timers;
    while (*at && (*at)->deadline <= deadline)
        at = &(*at)->next;
    t->deadline = deadline;
    t->next = *at;
    t->armed = true;
    *at = t;
}

void timer_stop(struct events *ev, struct timer *t)
{
    if (!t->armed)
        return;
    struct timer **at = &ev->timers;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    t->armed = false;
}

int events_timeout(const struct events *ev)
{
    return deadline_poll_ms(ev->timers ? ev->timers->deadline : DEADLINE_NONE);
}

void events_wait(struct events *ev, int timeout_ms)
{
    ev->count = epoll_wait(ev->epoll_fd, &ev->event, 1, timeout_ms);
}

void events_dispatch(struct events *ev)
{
    if (ev->count > 0) {
        struct watch *w = ev->event.data.ptr;
        w->fn(w, ev->event.events);
    }
    struct timer *t = ev->timers;
    if (t && t->deadline <= clock_monotonic_ns()) {
        timer_stop(ev, t);
        t->fn(t);
    }
}
