/* The event stream: frames of a u32 big-endian length and one MessagePack map {ts, kind, payload}
 * (docs/events.md). The same frames carry the requests between a test file's process and the dispatcher, with kinds
 * of their own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/msgpack.h"

#define EVENT_FRAME_MAX ((size_t)16 << 20)

/* Appends one frame; `ts` is nanoseconds since the Unix epoch, `payload` a packed map. -1 when it is too long for a
 * frame or for `out`, which then is as before. */
int event_append(struct buf *out, int64_t ts, struct bytes kind, struct bytes payload);
/* Writes one frame with the current time to a blocking descriptor; false with errno when the reader is gone. */
bool event_write(int fd, const char *kind, const struct buf *payload);
/* The same to a socket, with a descriptor beside the frame; -1: none. */
bool event_write_passing(int fd, const char *kind, const struct buf *payload, int passed);

/* One decoded frame; everything is borrowed from the buffer it was taken from. */
struct event {
    int64_t ts;
    struct bytes kind;
    struct bytes payload; /* a packed map */
    struct bytes frame;   /* the whole frame, length included */
};

/* Looks at the front of `in`: 1 = an event, to be dropped by buf_consume(in, event.frame.len) after use;
 * 0 = not yet whole; -1 = not an event stream. */
int event_next(const struct buf *in, struct event *ret, struct err *e);
bool event_is(const struct event *ev, const char *kind);
