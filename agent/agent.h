/* The serving process of the agent. One lock guards everything reachable from struct agent; the main thread holds it
 * while it dispatches, pool threads take it for short moments. It is recursive, so that functions used by both need
 * not care. After a fork the child must not touch any of it. */
#pragma once

#include <pthread.h>
#include <signal.h>

#include "base/buf.h"
#include "channel.h"
#include "events.h"
#include "wire/operation.h"

/* Interrupts a blocking system call of a pool thread. */
#define SIGNAL_CANCEL SIGRTMIN

#define CALLS_MAX    4096 /* unfinished ones; the next is refused with EAGAIN */
#define CALL_BUCKETS 256

struct call;
struct process;

struct agent_options {
    int fd;           /* the channel, ready to use; owned */
    bool device;      /* it is a port or a serial line, on which an end of file only means that nobody listens now */
    bool follow_root; /* path operations use pid 1's root directory */
    bool init;        /* this process is pid 1 */
    const char *channel_name; /* for agent_features */
};

struct agent {
    struct agent_options options;
    pthread_mutex_t lock;
    struct events events;
    struct channel channel;
    struct watch wake_watch;    /* eventfd: a pool thread wants the main thread to look */
    struct watch signal_watch;  /* signalfd */
    struct timer cancel_timer;  /* pool.c */
    struct call *calls[CALL_BUCKETS];
    size_t call_count;
    uint64_t session; /* raised by each sync mark; a call of an earlier one has no voice any more */
    bool greeted;     /* hello succeeded in this session */
    bool stop;

    struct call *queue, **queue_end; /* for the pool */
    pthread_cond_t queue_cond;
    unsigned queued, threads, idle;

    struct process *processes;
    uint8_t scratch[PIECE_MAX]; /* of the main thread */
};

/* Serves until the channel ends (a device never does) or an operation stops it; returns the exit status. */
int agent_serve(const struct agent_options *options);

static inline void agent_lock(struct agent *a)
{
    pthread_mutex_lock(&a->lock);
}

static inline void agent_unlock(struct agent *a)
{
    pthread_mutex_unlock(&a->lock);
}

/* Makes the main thread run through its loop once more. From any thread. */
void agent_wake(struct agent *a);
/* Writes queued messages; wakes the main thread if that ended a congestion. From any thread. */
void agent_flush(struct agent *a);
/* Says something on the guest's kernel log, where a person looks when no agent answers. */
void agent_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
