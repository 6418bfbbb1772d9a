/* What a process has written to one of its outputs, kept on the host: the first `cap` bytes for its result, and the
 * last `cap` for streams that follow behind. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

struct capture {
    struct buf head;
    uint8_t *ring; /* the bytes after `head`; the one at offset o is at (o - cap) % cap */
    uint64_t cap, total;
    bool ended;
};

void capture_init(struct capture *c, uint64_t cap);
void capture_done(struct capture *c);
void capture_put(struct capture *c, const void *data, size_t n);
/* Appends up to `max` bytes from *cursor on to `to` and moves the cursor; what was dropped meanwhile is added to *lost. */
size_t capture_take(const struct capture *c, uint64_t *cursor, uint64_t *lost, size_t max, struct buf *to);
/* How much of a flat copy there is of what changes; making it; and going back to it. */
size_t capture_save_size(const struct capture *c);
void capture_save(const struct capture *c, void *to);
size_t capture_restore(struct capture *c, const void *saved); /* returns its size */
