/* The mark is looked for in every byte that comes in, so the search has to be quick: like Horspool's, it looks at one
 * byte in sixteen, and goes on unless that occurs in the mark. Across reads, the last bytes of the stream are kept,
 * whether or not a frame has taken them. */
#include "wire/frame.h"

#include "base/alloc.h"
#include "base/cleanup.h"

#define ROOM (2 * FRAME_MAX)

void frame_reader_init(struct frame_reader *r, bool hunting)
{
    *r = (struct frame_reader){.hunting = hunting};
}

void frame_reader_done(struct frame_reader *r)
{
    free(r->data);
    *r = (struct frame_reader){0};
}

void frame_reader_hunt(struct frame_reader *r)
{
    r->at = r->len = r->taken = 0;
    r->synced = false;
    r->hunting = true;
}

static void drop(struct frame_reader *r, size_t n)
{
    r->at += n;
    r->len -= n;
}

static void drop_taken(struct frame_reader *r)
{
    drop(r, r->taken);
    r->taken = 0;
}

uint8_t *frame_reader_space(struct frame_reader *r, size_t *ret_size)
{
    if (!r->data)
        r->data = xmalloc(ROOM);
    drop_taken(r);
    /* Right after a frame little is left: moving it now costs less than later. */
    if (r->at) {
        memmove(r->data, r->data + r->at, r->len);
        r->at = 0;
    }
    *ret_size = ROOM - r->len;
    return r->data + r->len;
}

/* For each byte value, how far the window may be moved when it is the window's last one. */
static const uint8_t *shifts(void)
{
    static uint8_t table[256];
    if (!table[0]) {
        memset(table, SYNC_MARK_LEN, sizeof(table));
        for (size_t i = 0; i < SYNC_MARK_LEN - 1; i++)
            table[(uint8_t)SYNC_MARK[i]] = (uint8_t)(SYNC_MARK_LEN - 1 - i);
    }
    return table;
}

ssize_t sync_mark_find(struct bytes in)
{
    const uint8_t *table = shifts();
    for (size_t end = SYNC_MARK_LEN; end <= in.len; end += table[in.data[end - 1]])
        if (!memcmp(in.data + end - SYNC_MARK_LEN, SYNC_MARK, SYNC_MARK_LEN))
            return (ssize_t)(end - SYNC_MARK_LEN);
    return -1;
}

/* How many of the `n` new bytes follow the last mark that ends in them; -1: there is none. */
static ssize_t after_mark(struct frame_reader *r, const uint8_t *p, size_t n)
{
    uint8_t seam[2 * SYNC_MARK_LEN];
    size_t head = n < SYNC_MARK_LEN - 1 ? n : SYNC_MARK_LEN - 1;
    ssize_t after = -1, at;
    memcpy(seam, r->tail, r->tail_len);
    memcpy(seam + r->tail_len, p, head);
    at = sync_mark_find(bytes_of(seam, r->tail_len + head));
    if (at >= 0)
        after = (ssize_t)(n - ((size_t)at + SYNC_MARK_LEN - r->tail_len));
    for (size_t from = 0; (at = sync_mark_find(bytes_of(p + from, n - from))) >= 0;) {
        from += (size_t)at + SYNC_MARK_LEN;
        after = (ssize_t)(n - from);
    }
    /* The new tail is the end of tail and news together. */
    if (n >= sizeof(r->tail)) {
        memcpy(r->tail, p + n - sizeof(r->tail), sizeof(r->tail));
        r->tail_len = sizeof(r->tail);
    } else {
        size_t len = r->tail_len + n, skip = len > sizeof(r->tail) ? len - sizeof(r->tail) : 0;
        memcpy(r->tail, seam + skip, len - skip);
        r->tail_len = len - skip;
    }
    return after;
}

void frame_reader_fed(struct frame_reader *r, size_t n)
{
    ssize_t after = after_mark(r, r->data + r->at + r->len, n);
    r->len += n;
    if (after >= 0) {
        drop(r, r->len - (size_t)after);
        r->synced = true;
        r->hunting = false;
    } else if (r->hunting) {
        r->at = r->len = 0;
    }
}

/* Are these the first bytes of a mark, of which the rest may still come? */
static bool may_become_mark(const struct frame_reader *r)
{
    return r->len < SYNC_MARK_LEN && !memcmp(r->data + r->at, SYNC_MARK, r->len);
}

enum frame_status frame_reader_next(struct frame_reader *r, struct bytes *ret_body)
{
    drop_taken(r);
    if (r->synced) {
        r->synced = false;
        return FRAME_SYNC;
    }
    if (r->hunting || r->len < FRAME_HEADER)
        return FRAME_NONE;
    const uint8_t *p = r->data + r->at;
    uint32_t len = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    if (!len || len > FRAME_MAX - FRAME_HEADER) {
        if (may_become_mark(r))
            return FRAME_NONE;
        frame_reader_hunt(r);
        return FRAME_BAD;
    }
    if (r->len - FRAME_HEADER < len)
        return FRAME_NONE;
    *ret_body = bytes_of(p + FRAME_HEADER, len);
    r->taken = FRAME_HEADER + len;
    return FRAME_READY;
}
