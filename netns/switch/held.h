/* Frames that wait for their time, as a heap ordered by (due, arrival). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "switch/frame.h"

#define HELD_BYTES_MAX (64u << 20) /* of frame data, per bridge */

struct held {
    int64_t due;
    uint64_t sequence;
    struct frame frame; /* no slab: only a reminder that the pair's parked frame is due */
    uint16_t from, to;
};

struct held_heap {
    struct held *items;
    size_t count, cap;
    uint64_t sequence;
};

void held_done(struct held_heap *h);
/* Takes over the frame's reference; returns the entry's sequence number. */
uint64_t held_push(struct held_heap *h, int64_t due, struct frame f, uint16_t from, uint16_t to);
/* The earliest; false when empty or due after `now`. */
bool held_pop(struct held_heap *h, int64_t now, struct held *ret);

static inline int64_t held_next(const struct held_heap *h)
{
    return h->count ? h->items[0].due : INT64_MAX;
}
