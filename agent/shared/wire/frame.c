/* The mark is looked for in every byte that comes in, across reads, with a match counter. Because
 * its first byte does not occur again in it, a mismatch can only start a new match at the byte that
 * mismatched. */
#include "wire/frame.h"

#include <sys/types.h>

void frame_reader_init(struct frame_reader *r, bool hunting)
{
    *r = (struct frame_reader){.in = BUF_INIT(2 * FRAME_MAX), .hunting = hunting};
}

void frame_reader_done(struct frame_reader *r)
{
    buf_done(&r->in);
}

void frame_reader_hunt(struct frame_reader *r)
{
    buf_clear(&r->in);
    r->taken = 0;
    r->synced = false;
    r->hunting = true;
}

uint8_t *frame_reader_space(struct frame_reader *r, size_t *ret_size)
{
    buf_consume(&r->in, r->taken);
    r->taken = 0;
    *ret_size = r->in.max - r->in.len;
    if (*ret_size > FRAME_MAX)
        *ret_size = FRAME_MAX;
    return buf_reserve(&r->in, *ret_size);
}

/* Feeds `n` bytes to the match counter; returns how many follow the last whole mark, or -1 if there
 * was none. */
static ssize_t scan(size_t *matched, const uint8_t *p, size_t n)
{
    static const uint8_t mark[SYNC_MARK_LEN] = SYNC_MARK;
    const uint8_t *end = p + n, *after = NULL;
    size_t have = *matched;
    while (p < end) {
        if (!have) {
            p = memchr(p, mark[0], (size_t)(end - p));
            if (!p)
                break;
        }
        if (*p == mark[have]) {
            p++;
            have++;
        } else {
            have = 0; /* and look at this byte again, as a first one */
        }
        if (have == SYNC_MARK_LEN) {
            after = p;
            have = 0;
        }
    }
    *matched = have;
    return after ? end - after : -1;
}

void frame_reader_fed(struct frame_reader *r, size_t n)
{
    ssize_t after = scan(&r->matched, buf_head(&r->in) + r->in.len, n);
    buf_commit(&r->in, n);
    if (after >= 0) {
        buf_consume(&r->in, r->in.len - (size_t)after);
        r->synced = true;
        r->hunting = false;
    } else if (r->hunting) {
        buf_clear(&r->in);
    }
}

enum frame_status frame_reader_next(struct frame_reader *r, struct bytes *ret_body)
{
    buf_consume(&r->in, r->taken);
    r->taken = 0;
    if (r->synced) {
        r->synced = false;
        return FRAME_SYNC;
    }
    if (r->hunting || r->in.len < FRAME_HEADER)
        return FRAME_NONE;
    const uint8_t *p = buf_head(&r->in);
    uint32_t len = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    if (!len || len > FRAME_MAX - FRAME_HEADER) {
        /* The first bytes of a mark are no length; only a mark cut off by the end of the input may
         * look so. */
        if (r->matched == r->in.len)
            return FRAME_NONE;
        frame_reader_hunt(r);
        return FRAME_BAD;
    }
    if (r->in.len - FRAME_HEADER < len)
        return FRAME_NONE;
    *ret_body = bytes_of(p + FRAME_HEADER, len);
    r->taken = FRAME_HEADER + len;
    return FRAME_READY;
}

ssize_t sync_mark_find(struct bytes in)
{
    const uint8_t *p = in.data, *end = in.data + in.len;
    while (p < end && (p = memchr(p, SYNC_MARK[0] & 0xff, (size_t)(end - p)))) {
        if ((size_t)(end - p) < SYNC_MARK_LEN)
            break;
        if (!memcmp(p, SYNC_MARK, SYNC_MARK_LEN))
            return p - in.data;
        p++;
    }
    return -1;
}
