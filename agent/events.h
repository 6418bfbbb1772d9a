/* The agent's event loop: descriptors and timers over one epoll(7) instance, in the main thread.
 * Watches and timers live inside what they belong to; no memory is allocated here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

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
};

int events_init(struct events *ev);
void events_done(struct events *ev);

/* Watches for EPOLL* `events`, which may be 0. Fails only for descriptors that epoll refuses (EPERM: regular files). */
int watch_set(struct events *ev, struct watch *w, uint32_t events);
void timer_set(struct events *ev, struct timer *t, int64_t deadline);
void timer_stop(struct events *ev, struct timer *t);

/* Waits for one event or due timer and dispatches it. One at a time: a callback may free any watch but its own
 * caller's, and epoll itself takes turns among ready descriptors. `before` and `after` bracket the callbacks. */
void events_run(struct events *ev, void (*before)(void *), void (*after)(void *), void *arg);
