#include "guest/capture.h"

#include <string.h>

#include "base/alloc.h"

void capture_init(struct capture *c, uint64_t cap)
{
    *c = (struct capture){.head = BUF_INIT(cap), .cap = cap};
}

void capture_done(struct capture *c)
{
    buf_done(&c->head);
    free(c->ring);
    c->ring = NULL;
}

void capture_put(struct capture *c, const void *data, size_t n)
{
    const uint8_t *p = data;
    size_t fits = c->cap - c->head.len < n ? c->cap - c->head.len : n;
    buf_append(&c->head, p, fits);
    c->total += n;
    p += fits;
    n -= fits;
    if (!n || !c->cap)
        return;
    if (!c->ring)
        c->ring = xmalloc(c->cap);
    if (n > c->cap) {
        p += n - c->cap;
        n = c->cap;
    }
    uint64_t at = (c->total - n) % c->cap;
    size_t first = c->cap - at < n ? c->cap - at : n;
    memcpy(c->ring + at, p, first);
    memcpy(c->ring, p + first, n - first);
}

size_t capture_take(const struct capture *c, uint64_t *cursor, uint64_t *lost, size_t max, struct buf *to)
{
    if (c->total - *cursor > c->cap) {
        *lost += c->total - c->cap - *cursor;
        *cursor = c->total - c->cap;
    }
    size_t n = c->total - *cursor < max ? c->total - *cursor : max, taken = 0;
    while (taken < n) {
        uint64_t offset = *cursor + taken;
        const uint8_t *from;
        size_t run;
        if (offset < c->head.len) {
            from = buf_head(&c->head) + offset;
            run = c->head.len - offset;
        } else {
            from = c->ring + offset % c->cap;
            run = c->cap - offset % c->cap;
        }
        run = run < n - taken ? run : n - taken;
        if (buf_append(to, from, run) < 0)
            break;
        taken += run;
    }
    *cursor += taken;
    return taken;
}

/* The first bytes only grow; the ring is overwritten, so it is copied. */
struct saved {
    uint64_t total;
    size_t head_len;
    bool ended, ring;
    uint8_t bytes[];
};

static size_t size_of(bool ring, uint64_t cap)
{
    return (sizeof(struct saved) + (ring ? cap : 0) + 7) / 8 * 8;
}

size_t capture_save_size(const struct capture *c)
{
    return size_of(c->ring, c->cap);
}

void capture_save(const struct capture *c, void *to)
{
    struct saved *s = to;
    *s = (struct saved){.total = c->total, .head_len = c->head.len, .ended = c->ended, .ring = c->ring};
    if (c->ring)
        memcpy(s->bytes, c->ring, c->cap);
}

size_t capture_restore(struct capture *c, const void *saved)
{
    const struct saved *s = saved;
    c->total = s->total;
    c->head.len = s->head_len;
    c->ended = s->ended;
    if (s->ring)
        memcpy(c->ring, s->bytes, c->cap);
    return size_of(s->ring, c->cap);
}
