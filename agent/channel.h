/* The agent's end of the channel: frames in, frames out, over one non-blocking descriptor.
 *
 * Output is queued and written at once when there is room. Bulk senders (file contents, process output) wait while
 * more than CHANNEL_BUSY bytes are queued, so that a small reply never waits behind more than that; and no request is
 * read while the queue is long, so a peer that does not listen cannot make it grow. */
#pragma once

#include <pthread.h>

#include "base/buf.h"
#include "events.h"
#include "wire/message.h"

#define CHANNEL_BUSY (192 * 1024)
#define CHANNEL_KEEP (512 * 1024) /* memory of an empty queue */
#define CHANNEL_MAX  (4 * 1024 * 1024)

struct channel {
    struct events *events;
    struct watch watch;
    struct frame_reader reader;
    struct buf out;
    bool device, ended;
    bool alone; /* nobody listens at the other end of the device */
    bool was_busy;
    bool paused; /* not reading, see channel_pause */
    pthread_cond_t drained; /* broadcast when `out` is no longer busy; waited on with the agent's lock */
};

/* `fn` is called when the descriptor is ready for reading, or for writing if there is something to write. Without
 * `ev`, the caller waits. */
int channel_init(struct channel *c, struct events *ev, int fd, bool device,
                 void (*fn)(struct watch *, uint32_t));
void channel_done(struct channel *c);

/* To be called with the events of a callback. */
void channel_heard(struct channel *c, uint32_t events);
/* Reads once; returns how much. 0: there was nothing to read, or there is too much to write. */
size_t channel_fill(struct channel *c);
/* The next message of what was read; 0 when there is none, 1 for a message, -1 for a protocol violation, 2 for a
 * sync mark. */
int channel_receive(struct channel *c, struct message *ret);

/* Queues what fits of a message, as message_put does. */
ssize_t channel_put(struct channel *c, const struct message *m);
void channel_put_mark(struct channel *c);
/* Stops and resumes reading. */
void channel_pause(struct channel *c, bool paused);
/* Writes what the descriptor takes now, and watches for more room when that was not all. True if the queue was busy and
 * no longer is. */
bool channel_flush(struct channel *c);
static inline bool channel_busy(const struct channel *c)
{
    return c->out.len > CHANNEL_BUSY;
}
