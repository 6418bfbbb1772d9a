/* The event stream: frames of a u32 big-endian length and one MessagePack map {ts, kind, payload}
 * (spec: scheduler-and-events). The same frames carry the requests between a test file's process and the
 * dispatcher, with kinds of their own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/msgpack.h"

#define EVENT_FRAME_MAX ((size_t)16 << 20)

/* Appends one frame with `payload` (a packed map) and the current time. */
void event_append(struct buf *out, const char *kind, const struct buf *payload);
/* Writes one frame to a blocking descriptor; false with errno when the reader is gone. */
bool event_write(int fd, const char *kind, const struct buf *payload);

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

/* A field of a packed map: false when it is absent or of another type; outputs are then untouched. */
bool payload_value(struct bytes map, const char *key, struct bytes *ret_packed);
bool payload_bytes(struct bytes map, const char *key, struct bytes *ret);
bool payload_int(struct bytes map, const char *key, int64_t *ret);
bool payload_bool(struct bytes map, const char *key, bool *ret);
/* As a malloc'ed string, "" when absent. */
char *payload_string(struct bytes map, const char *key);
