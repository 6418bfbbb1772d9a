/* The event loop of a process: descriptors, timers and children over one epoll(7) instance.
 *
 * Single-threaded. Callbacks may add and remove sources freely, including their own; a removed source's callback
 * is never called again. A callback may also call loop_wait (a blocking call inside a blocking call). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/clock.h"

struct loop;
struct source;

/* `events` are the EPOLL* bits that are ready. */
typedef void (*loop_fd_fn)(struct source *s, uint32_t events, void *arg);
typedef void (*loop_timer_fn)(struct source *s, void *arg);
/* `status` as from waitpid(2); the child has been reaped and the source is removed after the call. */
typedef void (*loop_child_fn)(struct source *s, pid_t pid, int status, void *arg);

struct loop *loop_new(void);
void loop_free(struct loop *loop);
DEFINE_CLEANUP(struct loop, loop_free)

/* The descriptor stays the caller's and must outlive the source. */
struct source *loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *arg);
void source_set_events(struct source *s, uint32_t events);
/* One shot at an absolute deadline; re-arm with source_set_deadline. */
struct source *loop_add_timer(struct loop *loop, int64_t deadline, loop_timer_fn fn, void *arg);
void source_set_deadline(struct source *s, int64_t deadline);
/* Watches by pidfd and reaps. NULL with errno when the pidfd cannot be made. */
struct source *loop_add_child(struct loop *loop, pid_t pid, loop_child_fn fn, void *arg);
/* NULL is allowed. */
void source_remove(struct source *s);

/* Dispatches events until `*done` is true, `deadline` passes or loop_interrupt is called.
 * Returns 0 when done, -1 with errno ETIMEDOUT or ECANCELED. `*done` is looked at first, so a wait for something
 * that has already happened does not touch the kernel. */
int loop_wait(struct loop *loop, const bool *done, int64_t deadline);
/* Dispatches what is ready now, without blocking. */
void loop_poll(struct loop *loop);
/* Makes every loop_wait in progress, nested ones included, return ECANCELED. */
void loop_interrupt(struct loop *loop);
