/* A bounded queue of frames on their way into one stream socket. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "switch/frame.h"

#define QUEUE_FRAMES_MAX 4096
#define QUEUE_BYTES_MAX  (16u << 20)

/* Frames that lie one behind the other in a slab, length prefixes included. */
struct run {
    struct slab *slab;
    uint8_t *at;
    uint32_t size, frames;
};

struct queue {
    struct run *ring; /* a power of two */
    uint32_t head, count, cap;
    uint32_t frames;
    uint32_t sent; /* bytes of the first frame, prefix included, that are gone already */
    size_t bytes;  /* of frame data */
};

void queue_done(struct queue *q);
void queue_clear(struct queue *q);
/* All but a frame that is partly written. */
void queue_drop_unsent(struct queue *q);
/* Takes a reference of its own; false, with nothing taken, when full. */
bool queue_push(struct queue *q, struct frame f);
bool queue_push_run(struct queue *q, const struct run *r);
/* Describes the front of the queue with up to `max` pieces; returns how many. */
unsigned queue_peek(const struct queue *q, struct iovec *pieces, unsigned max);
/* `n` bytes were written: drops the frames that are complete and reports them. */
void queue_consume(struct queue *q, size_t n, uint64_t *add_frames, uint64_t *add_bytes);
/* Takes the first frame out, with its reference; false when empty. */
bool queue_pop(struct queue *q, struct frame *ret);
