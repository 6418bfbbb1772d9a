/* A frame that lies right behind the last one in the same slab makes that run longer: a batch that
 * came in by one read and goes out by one port is one entry, one reference and one piece to write.
 */
#include "switch/queue.h"

#include "base/alloc.h"
#include "switch/bytes.h"

void queue_clear(struct queue *q)
{
    while (q->count--) {
        slab_unref(q->ring[q->head].slab);
        q->head = (q->head + 1) & (q->cap - 1);
    }
    q->head = q->count = q->frames = q->sent = 0;
    q->bytes = 0;
}

void queue_done(struct queue *q)
{
    queue_clear(q);
    free(q->ring);
    *q = (struct queue){0};
}

static uint32_t first_size(const struct run *r)
{
    return get32(r->at) + FRAME_PREFIX;
}

void queue_drop_unsent(struct queue *q)
{
    if (!q->sent) {
        queue_clear(q);
        return;
    }
    struct run first = q->ring[q->head];
    uint32_t sent = q->sent;
    slab_ref(first.slab);
    queue_clear(q);
    first.size = first_size(&first);
    first.frames = 1;
    q->ring[q->head] = first;
    q->count = q->frames = 1;
    q->sent = sent;
    q->bytes = first.size - FRAME_PREFIX;
}

static void grow(struct queue *q)
{
    uint32_t cap = q->cap ? q->cap * 2 : 16;
    struct run *ring = xnewa(struct run, cap);
    for (uint32_t i = 0; i < q->count; i++)
        ring[i] = q->ring[(q->head + i) & (q->cap - 1)];
    free(q->ring);
    q->ring = ring;
    q->cap = cap;
    q->head = 0;
}

bool queue_push_run(struct queue *q, const struct run *r)
{
    size_t bytes = r->size - (size_t)r->frames * FRAME_PREFIX;
    if (q->frames + r->frames > QUEUE_FRAMES_MAX || q->bytes + bytes > QUEUE_BYTES_MAX)
        return false;
    q->frames += r->frames;
    q->bytes += bytes;
    struct run *last = q->count ? &q->ring[(q->head + q->count - 1) & (q->cap - 1)] : NULL;
    if (last && last->slab == r->slab && last->at + last->size == r->at) {
        last->size += r->size;
        last->frames += r->frames;
        return true;
    }
    if (q->count == q->cap)
        grow(q);
    slab_ref(r->slab);
    q->ring[(q->head + q->count++) & (q->cap - 1)] = *r;
    return true;
}

bool queue_push(struct queue *q, struct frame f)
{
    struct run r = {f.slab, f.data - FRAME_PREFIX, f.len + FRAME_PREFIX, 1};
    return queue_push_run(q, &r);
}

unsigned queue_peek(const struct queue *q, struct iovec *pieces, unsigned max)
{
    unsigned n = q->count < max ? q->count : max;
    for (unsigned i = 0; i < n; i++) {
        const struct run *r = &q->ring[(q->head + i) & (q->cap - 1)];
        pieces[i] = (struct iovec){.iov_base = r->at, .iov_len = r->size};
    }
    if (n) {
        pieces[0].iov_base = (uint8_t *)pieces[0].iov_base + q->sent;
        pieces[0].iov_len -= q->sent;
    }
    return n;
}

/* Drops the first `frames` frames, `size` bytes with their prefixes, of the first run. */
static void drop(struct queue *q, uint32_t size, uint32_t frames)
{
    struct run *r = &q->ring[q->head];
    r->at += size;
    r->size -= size;
    r->frames -= frames;
    q->frames -= frames;
    q->bytes -= size - frames * FRAME_PREFIX;
    if (r->frames)
        return;
    slab_unref(r->slab);
    q->head = (q->head + 1) & (q->cap - 1);
    q->count--;
}

void queue_consume(struct queue *q, size_t n, uint64_t *add_frames, uint64_t *add_bytes)
{
    uint32_t frames = q->frames;
    size_t bytes = q->bytes;
    n += q->sent;
    while (q->count) {
        struct run *r = &q->ring[q->head];
        uint32_t size = n >= r->size ? r->size : first_size(r);
        if (n < size)
            break;
        n -= size;
        drop(q, size, size == r->size ? r->frames : 1);
    }
    q->sent = (uint32_t)n;
    *add_frames += frames - q->frames;
    *add_bytes += bytes - q->bytes;
}

bool queue_pop(struct queue *q, struct frame *ret)
{
    if (!q->count)
        return false;
    struct run *r = &q->ring[q->head];
    uint32_t size = first_size(r);
    *ret = (struct frame){slab_ref(r->slab), r->at + FRAME_PREFIX, size - FRAME_PREFIX};
    drop(q, size, 1);
    q->sent = 0;
    return true;
}
