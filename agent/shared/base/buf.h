/* Growable byte buffer with a maximum from birth, readable from the front (a queue) or as a whole. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct buf {
    uint8_t *data; /* storage; the bytes are [start, start + len) */
    size_t start, len, cap;
    size_t max; /* largest len; appending beyond it fails with -1 and changes nothing */
};

#define BUF_INIT(maximum) ((struct buf){.max = (maximum)})

void buf_done(struct buf *b);
static inline uint8_t *buf_head(const struct buf *b)
{
    return b->data ? b->data + b->start : NULL;
}
/* Room for `extra` more bytes; returns the write position, or NULL when that would pass the maximum. */
uint8_t *buf_reserve(struct buf *b, size_t extra);
/* Declares that `n` reserved bytes were written. */
void buf_commit(struct buf *b, size_t n);
int buf_append(struct buf *b, const void *p, size_t n);
int buf_append_byte(struct buf *b, uint8_t byte);
int buf_append_str(struct buf *b, const char *s);
int buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Drops `n` bytes (at most len) from the front. */
void buf_consume(struct buf *b, size_t n);
void buf_clear(struct buf *b);
/* Hands the bytes over as a malloc'ed, NUL-terminated string and empties the buffer. */
char *buf_steal_str(struct buf *b);

#define _cleanup_buf_ _cleanup_(buf_done)
