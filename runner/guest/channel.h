/* The connection under the calls. Not for callers of guest_*. */
#pragma once

#include "guest/call.h"

#define GUEST_BUCKETS  256
#define CHANNEL_QUEUED (1024 * 1024) /* bodies wait while more than this is to be written */

enum guest_state {
    GUEST_SYNCING,  /* waiting for a mark and the agent's announcement */
    GUEST_GREETING, /* hello was sent */
    GUEST_READY,
    GUEST_CLOSED,
};

struct line {
    struct guest *guest;
    int fd;
    struct source *source;
    struct frame_reader reader;
    struct buf out;
    bool waiting; /* for room to write */
    bool ended;
};

struct guest {
    struct loop *loop;
    enum guest_state state;
    struct line lines[2]; /* virtio, serial */
    struct line *active;  /* where the agent spoke */
    bool settled;         /* GUEST_READY or GUEST_CLOSED */
    char *why;            /* when closed */
    struct guest_agent agent;
    guest_event_fn event_fn;
    void *event_arg;
    uint64_t next_id, nonce;
    uint64_t *keep;
    size_t keep_count;
    struct guest_call *calls[GUEST_BUCKETS];
    size_t in_flight;
    bool corked;
};

/* Queues a message on the active line; as message_put. */
ssize_t guest_channel_put(struct guest *g, const struct message *m);
/* Writes what the descriptor takes now; the loop does the rest. */
void guest_channel_flush(struct guest *g);
bool guest_channel_has_room(const struct guest *g);
/* The agent broke the protocol. */
void guest_channel_violation(struct guest *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
