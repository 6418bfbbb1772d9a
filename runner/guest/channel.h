/* The connection under the calls. Not for callers of guest_*. */
#pragma once

#include "guest/call.h"
#include "guest/file.h"

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
    struct guest_file *files; /* open ones */
    struct guest_mark *marks;
    size_t in_flight;
    bool corked;
};

/* Queues a message on the active line; as message_put. */
ssize_t guest_channel_put(struct guest *g, const struct message *m);
/* Writes what the descriptor takes now; the loop does the rest. */
void guest_channel_flush(struct guest *g);
bool guest_channel_has_room(const struct guest *g);
/* Begins a new session on the same descriptors; the agent keeps the objects with these ids. */
void guest_channel_resync(struct guest *g, const uint64_t *keep, size_t keep_count, const struct guest_refresh *refresh);
/* The agent broke the protocol. */
void guest_channel_violation(struct guest *g, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* file.c: the list of open files. */
struct guest_file *guest_file_next(const struct guest_file *f);
/* The guest is being freed: its files are closed. */
void guest_file_orphan(struct guest *g);
/* mark.c: a call, or the guest, ceases to be. */
void guest_mark_forget(struct guest *g, const struct guest_call *call);
void guest_mark_orphan(struct guest *g);
