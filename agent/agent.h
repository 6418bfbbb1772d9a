/* The serving process of the agent. One lock guards everything reachable from struct agent. The thread that leads
 * (team.h) holds it while it dispatches events; threads that run calls take it for short moments. It is recursive, so
 * that functions used by both need not care. After a fork the child must not touch any of it. */
#pragma once

#include <pthread.h>
#include <signal.h>

#include "base/buf.h"
#include "channel.h"
#include "events.h"
#include "wire/operation.h"

/* Interrupts a blocking system call of a thread that runs a call. */
#define SIGNAL_CANCEL SIGRTMIN

#define CALLS_MAX    4096 /* unfinished ones; the next is refused with EAGAIN */
#define CALL_BUCKETS 256

struct call;
struct handle;
struct handler;
struct process;
struct worker;

struct agent_options {
    int fd;           /* the channel, ready to use; owned */
    bool device;      /* it is a port or a serial line, on which an end of file only means that nobody listens now */
    bool follow_root; /* path operations use pid 1's root directory */
    bool init;        /* this process is pid 1 */
    bool alone;       /* no threads: calls run one after the other, in order (the thread of a worker) */
    const char *channel_name; /* for agent_features */
};

struct agent {
    struct agent_options options;
    pthread_mutex_t lock;
    struct events events;
    struct channel channel;
    struct watch wake_watch;   /* eventfd: another thread wants the leader to look */
    struct watch signal_watch; /* signalfd */
    struct call *calls[CALL_BUCKETS];
    size_t call_count;
    uint64_t requests; /* so far */
    int fds_socket; /* of a lane */
    uint64_t session; /* raised by each sync mark; a call of an earlier one has no voice any more */
    bool greeted;     /* hello succeeded in this session */

    /* team.c */
    pthread_t leader; /* if `lead` */
    bool lead;
    pthread_cond_t lead_cond;        /* somebody has to take it */
    struct call *queue, **queue_end; /* for the leader to run */
    bool running;                    /* the leader runs a call */
    uint64_t runs;
    unsigned threads, spares, starting;
    int watchdog_fd;
    bool watchdog_set;
    struct timer cancel_timer;

    const struct handler *handlers; /* by operation */
    struct process *processes;
    struct { /* children that ended before the worker told of them: launch.c */
        pid_t pid;
        int status;
    } unclaimed[32];
    size_t unclaimed_count;
    struct handle *handles;
    struct worker *workers;
    bool quiet; /* process output stays in the pipes: a snapshot is about to be taken */
    uint8_t scratch[PIECE_MAX]; /* with the lock */
};

/* Serves until the channel ends, which a device never does; then the process exits. */
int agent_serve(const struct agent_options *options);
void agent_init_lock(struct agent *a);
void agent_end(struct agent *a) __attribute__((noreturn));

static inline void agent_lock(struct agent *a)
{
    pthread_mutex_lock(&a->lock);
}

static inline void agent_unlock(struct agent *a)
{
    pthread_mutex_unlock(&a->lock);
}

/* Makes the leader run through its loop once more. From any thread. */
void agent_wake(struct agent *a);
/* Writes queued messages; wakes the leader if that ended a congestion. From any thread, with the lock. */
void agent_flush(struct agent *a);
/* Says something on the guest's kernel log, where a person looks when no agent answers. */
void agent_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
