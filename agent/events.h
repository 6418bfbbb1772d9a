/* The agent's event loop: descriptors and timers over one epoll(7) instance.
 * Watches and timers live inside what they belong to; no memory is allocated here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/clock.h"

struct events;

struct watch {
    int fd; /* the owner's */
    uint32_t events; /* 0: not watched */
    void (*fn)(struct watch *w, uint32_t events);
};

struct timer {
    int64_t deadline;
    struct timer *next;
    bool armed;
    void (*fn)(struct timer *t);
};

struct events {
    int epoll_fd;
    struct timer *timers; /* by deadline */
    struct epoll_event event;
    int count; /* of what events_wait found: 0 or 1 */
};

int events_init(struct events *ev);
void events_done(struct events *ev);

/* Watches for EPOLL* `events`, which may be 0. Fails only for descriptors that epoll refuses (EPERM: regular files). */
int watch_set(struct events *ev, struct watch *w, uint32_t events);
void timer_set(struct events *ev, struct timer *t, int64_t deadline);
void timer_stop(struct events *ev, struct timer *t);

/* Waits for one event or the next timer; then, dispatch. One at a time, so that a callback may free any watch, and epoll
 * itself takes turns among ready descriptors. Timers set meanwhile by other threads are not waited for. */
void events_wait(struct events *ev, int timeout_ms);
int events_timeout(const struct events *ev);
void events_dispatch(struct events *ev);
