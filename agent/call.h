/* A call: one request of the host, from its frame to the frame with its result.
 *
 * Most operations are plain functions that may block (handler.run). The others are driven by events (handler.begin)
 * and end their call when they like. Either way there is exactly one result, sent by call_finish; a call whose
 * session is over is carried to its end and says nothing.
 *
 * What the arguments borrow from is kept in the call. All functions may be used from any thread. */
#pragma once

#include <errno.h>

#include "agent.h"

#define BODY_MAX (4 * 1024 * 1024) /* argument and environment strings: above what the kernel takes by default */

struct piece {
    struct piece *next;
    size_t len, used;
    size_t room; /* for data */
    uint8_t data[];
};

struct handler {
    /* Without the lock. The result is what call_value and call_fail left. */
    void (*run)(struct call *call);
    /* With the lock. Calls call_finish now or later. */
    void (*begin)(struct call *call);
    /* For handlers with `begin`: more of the body is in call->pieces, or it ended. */
    void (*body)(struct call *call);
    /* For handlers with `begin`: the host has given up; the call has to end soon. */
    void (*cancel)(struct call *call);
    /* For handlers with `begin`: the host takes `n` more bytes of an output stream. */
    void (*credit)(struct call *call, unsigned stream, uint64_t n);
    bool paths;  /* looks names up: has to use pid 1's root */
    bool in_worker; /* can be executed by a worker */
    bool object; /* may outlive a sync mark, see session.c */
};

enum call_state {
    CALL_WAITING, /* for the call in `after` */
    CALL_QUEUED,  /* for the leader */
    CALL_RUNNING, /* in `thread` */
    CALL_OPEN,    /* driven by events */
};

struct call {
    struct call *next;       /* in its bucket */
    struct call *queue_next; /* in the pool's queue, or in the list of those waiting for the same call */
    struct call *waiters;
    struct agent *agent;
    const struct handler *handler;
    uint64_t id, session;
    uint64_t worker; /* that is to execute it; 0: the agent */
    enum operation op;
    enum call_state state;
    pthread_t thread;
    bool cancelled;

    union operation_object args;
    uint8_t *args_copy; /* what `args` borrows from: the packed arguments */
    size_t args_len;
    uint64_t credit; /* of a stream */

    struct piece *pieces, **pieces_end; /* of the body, not yet taken */
    struct piece *at_hand;              /* taken in part, by call_receive_exactly */
    struct piece *used;                 /* kept for the pieces to come: fresh memory costs page faults */
    size_t buffered, uncredited;
    bool body_ended;
    bool body_passed; /* to a worker */
    pthread_cond_t changed; /* a piece came, the body ended, or the call was cancelled */

    struct buf value; /* packed */
    struct buf tail;  /* the end of the result's body */
    int errno_code;
    char *detail;
    bool failed;
    void *data; /* of a handler with `begin` */
};

extern const struct handler handlers[OPERATION_COUNT], handler_for_workers;

/* Requests and what follows them, from the channel. */
void call_request(struct agent *a, const struct message *m);
void call_body(struct agent *a, const struct message *m);
void call_cancel(struct call *call);
void call_cancel_all(struct agent *a);
/* Forgets all calls, where no thread can be in one. */
void call_free_all(struct agent *a);
struct call *call_find(struct agent *a, uint64_t id);

/* The arguments: `const struct args_stat *args = call_args(call)`. */
static inline const void *call_args(const struct call *call)
{
    return &call->args;
}
/* A path or name as a C string; malloc'ed. NULL when it holds a NUL byte; the call has then failed with EINVAL. */
char *call_string(struct call *call, struct bytes b);

/* The result. `value` is the struct of the operation; NULL: nothing. A failure replaces it. */
void call_value(struct call *call, const void *value);
void call_fail(struct call *call, int code);
void call_fail_about(struct call *call, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Sends the result and frees the call. Returns a call that waited for this one and is to be run by this thread next, or
 * NULL. Handlers use call_finish. */
struct call *call_finish_next(struct call *call);
void call_finish(struct call *call);

/* Adds `n` bytes to the result's body, waiting for room in the channel. -1: the call is cancelled or has failed. For
 * `run`. */
int call_send(struct call *call, const void *data, size_t n);
/* Tells the host that a call which goes on has begun: event `started`. For `run`. */
void call_begun(struct call *call, const struct shape *shape, const void *value);
/* For calls that are streams: how much of `max` bytes the host takes now, waiting until that is something; 0: the call
 * is cancelled. Then, sends what was got. For `run`. */
size_t call_await_credit(struct call *call, size_t max);
int call_stream(struct call *call, const void *data, size_t n);
/* A handler's `credit` for such calls. */
void call_add_credit(struct call *call, unsigned stream, uint64_t n);
/* The next piece of the request's body, waiting for it; NULL at its end, or when the call is cancelled. To be given back
 * with call_recycle. For `run`. */
struct piece *call_receive(struct call *call);
void call_recycle(struct call *call, struct piece *piece);
/* Exactly `n` bytes of the body; -1: there are fewer, and the call has failed. For `run`. */
int call_receive_exactly(struct call *call, void *to, size_t n);
/* The whole body, of at most BODY_MAX bytes; malloc'ed. NULL: the call has failed. For `run`. */
uint8_t *call_receive_all(struct call *call, size_t *ret_len);
/* Tells the host that `n` bytes of the body were used up. */
void call_credit(struct call *call, size_t n);
/* More of the body has come; and the end of the call: for call.c. */
void call_add_body(struct call *call, const struct message *m);
void call_free_body(struct call *call);
/* Takes what has come of the body so far out of the call, in one piece; malloc'ed. */
uint8_t *call_take_body(struct call *call, size_t *ret_len);
/* An event of the call. */
void call_event(struct call *call, const char *event, const struct shape *shape, const void *value);

/* With the lock: waits until `changed` is signalled, while events go on; 0, or -1 when the call has failed. For `run`. */
int call_wait(struct call *call);

/* After a system call failed: true if it should be tried again (EINTR without a cancellation). */
static inline bool call_retry(const struct call *call, int code)
{
    return code == EINTR && !__atomic_load_n(&call->cancelled, __ATOMIC_ACQUIRE);
}
