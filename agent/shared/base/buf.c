#include "base/buf.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

void buf_done(struct buf *b)
{
    free(b->data);
    *b = BUF_INIT(b->max);
}

uint8_t *buf_reserve(struct buf *b, size_t extra)
{
    if (extra > b->max || b->len > b->max - extra)
        return NULL;
    size_t need = b->len + extra;
    if (b->start + need > b->cap) {
        if (b->start && need <= b->cap) {
            memmove(b->data, buf_head(b), b->len);
        } else {
            size_t cap = b->cap < 256 ? 256 : b->cap;
            while (cap < need)
                cap += cap / 2;
            uint8_t *data = xmalloc(cap);
            if (b->len)
                memcpy(data, buf_head(b), b->len);
            free(b->data);
            b->data = data;
            b->cap = cap;
        }
        b->start = 0;
    }
    return buf_head(b) + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
    b->len += n;
}

int buf_append(struct buf *b, const void *p, size_t n)
{
    if (!n)
        return 0;
    uint8_t *to = buf_reserve(b, n);
    if (!to)
        return -1;
    memcpy(to, p, n);
    b->len += n;
    return 0;
}

int buf_append_byte(struct buf *b, uint8_t byte)
{
    return buf_append(b, &byte, 1);
}

int buf_append_str(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

int buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    _cleanup_free_ char *s = xvasprintf(format, args);
    va_end(args);
    return buf_append_str(b, s);
}

void buf_consume(struct buf *b, size_t n)
{
    b->start += n;
    b->len -= n;
    if (!b->len)
        b->start = 0;
}

void buf_clear(struct buf *b)
{
    b->start = b->len = 0;
}

char *buf_steal_str(struct buf *b)
{
    char *s = xmalloc(b->len + 1);
    if (b->len)
        memcpy(s, buf_head(b), b->len);
    s[b->len] = '\0';
    buf_done(b);
    return s;
}
