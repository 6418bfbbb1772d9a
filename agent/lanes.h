/* The agent's ends of lanes, for lanes.c and worker.c. */
#pragma once

#include "call.h"
#include "lane.h"

struct inquiry {
    struct inquiry *next;
    uint64_t id;
    /* The answer, or NULL if the worker ended; a descriptor that comes with it can be received from `fds`. */
    void (*fn)(void *arg, const struct message *m, int fds);
    void *arg;
};

struct lane {
    struct lane *next;
    struct worker *worker;
    struct channel channel;
    int fds;
    pid_t tid; /* of its thread; 0: not told yet */
    bool once; /* for one asynchronous call */
    bool shut; /* no longer connected; what waits for it is told when the worker has ended */
    struct call *calls, **calls_end; /* by queue_next; their data is this lane */
    struct inquiry *inquiries;
    struct timer cancel;
    int64_t cancelled_at;
};

struct worker {
    struct worker *next;
    struct agent *agent;
    struct call *call; /* the worker call; NULL: the kernel-call process */
    pid_t pid;
    struct lane *lanes;
    struct lane *control; /* always answers, or, in a worker of the host, is also the one for its calls */
    struct lane *ordered; /* for calls, in order */
    struct timer end;     /* when its patience is over */
};

/* A new lane of the worker, and the other end of it. NULL with errno. */
struct lane *lanes_add(struct worker *w, struct lane_ends *ret_theirs);
/* Another thread in the worker, at the end of a new lane. Requests may be put on it at once. */
struct lane *lanes_add_thread(struct worker *w);
void lanes_shut(struct lane *l);
/* Everything that waits for the lane hears that nothing will come. */
void lanes_fail(struct lane *l, int code, const char *why);
void lanes_free(struct lane *l);

/* A request of the agent's own. Descriptors go over the other socket, before it. -1: the worker cannot be asked. */
int lanes_inquire(struct lane *l, enum operation op, const void *args, struct bytes body, const int *fds,
                  size_t fd_count, void (*fn)(void *, const struct message *, int), void *arg);

/* Puts a call of the host on the lane; then, more of its body, and its cancellation. */
void lanes_pass_call(struct lane *l, struct call *call);
void lanes_pass_body(struct lane *l, struct call *call);
void lanes_pass_cancel(struct lane *l, struct call *call);
