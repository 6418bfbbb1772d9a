/* A call on the agent, as the other files of this folder use it. Not for callers of guest_*. */
#pragma once

#include <sys/types.h>

#include "guest/guest.h"
#include "wire/operation.h"

struct guest_call;

struct guest_call_handlers {
    /* A piece of a body; `stream` as in operation.h. Without it, data goes to the body buffer. */
    void (*data)(struct guest_call *call, unsigned stream, struct bytes data);
    void (*event)(struct guest_call *call, struct bytes name, struct bytes value);
    /* The result came, or the call failed; `done` is set. */
    void (*done)(struct guest_call *call);
    /* For objects that marks can hold: a malloc'ed copy of what changes, and going back to it. */
    void *(*save)(struct guest_call *call);
    void (*restore)(struct guest_call *call, const void *saved);
};

/* The next bytes of a body that is not in memory, at most `n`; 0: its end; -1 with errno. */
typedef ssize_t (*guest_source_fn)(void *arg, uint8_t *to, size_t n);

/* What several calls may bring in together. */
struct call_budget {
    uint64_t left;
    bool exceeded;
};
#define CALL_BUDGET_EXCEEDED "the results of the batch exceed 64 MiB"

struct guest_call {
    struct guest_call *next; /* in its bucket */
    struct guest *guest;
    uint64_t id;
    enum operation op;
    char *label; /* `stat "/x"` */
    const struct guest_call_handlers *handlers;
    void *arg;
    bool background; /* not counted as in flight: a process or a stream */
    bool windowed;   /* data counts against `credit` */
    unsigned marks;  /* that hold it; none, once its guest is freed */
    bool abandoned;  /* the caller is gone; freed when the result comes */

    /* What is still to be sent of the body: from `upload`, then from `source`. */
    const uint8_t *upload;
    size_t upload_left;
    uint64_t upload_window;
    guest_source_fn source; /* NULL when it has nothing more */
    void *own;              /* freed with the call */
    struct call_budget *budget;

    bool begun; /* event `started` came */
    bool settled; /* begun or done */
    bool done;
    struct err error;  /* without the label */
    struct buf value;  /* packed */
    struct buf body;   /* of the result; its maximum is set by the caller */
    uint64_t credit[2]; /* bytes of each stream that the agent may still send */
};

/* What comes with a request. */
struct guest_call_request {
    const void *args;           /* the operation's struct; NULL: all zero */
    const void *data;           /* the body; borrowed until the call is done */
    void *own;                  /* or a malloc'ed body that the call takes over */
    size_t len;
    guest_source_fn source;     /* or where it comes from, with `arg` */
    struct call_budget *budget;
    const struct guest_call_handlers *handlers;
    void *arg;
    size_t body_max;
    uint64_t window; /* of each stream; 0: the body is not a stream */
    uint64_t worker, after;
    bool background;
};

/* Sends a request. Never NULL: a call that cannot be made is done at once. The label is formatted. */
struct guest_call *guest_call_start(struct guest *g, enum operation op, const struct guest_call_request *request,
                              const char *label, ...) __attribute__((format(printf, 4, 5)));
/* Waits for the result, unpacks its value (NULL: not wanted). On failure `e` is set, label included. */
int guest_call_await(struct guest_call *call, int64_t deadline, void *ret_value, struct err *e);
/* The same for its beginning: event `started`, or a failure. */
int guest_call_await_begin(struct guest_call *call, int64_t deadline, struct err *e);
/* The result of a call that is done. */
int guest_call_result(struct guest_call *call, void *ret_value, struct err *e);
/* Cancels it if it is not done. */
void guest_call_free(struct guest_call *call);
/* Lets it go on without anybody who waits for its result. */
void guest_call_detach(struct guest_call *call);
DEFINE_CLEANUP(struct guest_call, guest_call_free)
/* start, await and free, for an operation without bodies. */
int guest_call_simple(struct guest *g, enum operation op, const void *args, void *ret_value,
                int64_t deadline, struct err *e, const char *label, ...)
    __attribute__((format(printf, 7, 8)));

/* Sends a message of the call's at once. */
void guest_call_send(struct guest_call *call, const struct message *m);
/* Lets the agent send `n` more bytes. */
void guest_call_grant(struct guest_call *call, unsigned stream, uint64_t n);
/* Cancels a call that is not done, and fails it at once. */
void guest_call_give_up(struct guest_call *call, int code, const char *why);
/* Ends a call from the host's side with an error. */
void guest_call_fail(struct guest_call *call, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Requests made between the two leave in one write. */
void guest_call_cork(struct guest *g);
void guest_call_uncork(struct guest *g);

/* Makes a call be in flight, as it was before. */
void guest_call_revive(struct guest_call *call, const uint64_t credit[2]);

/* Between channel.c and call.c. */
void guest_call_deliver(struct guest *g, const struct message *m);
void guest_call_fail_all(struct guest *g, const char *why);
