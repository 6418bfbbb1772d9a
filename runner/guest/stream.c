#include "guest/stream.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/alloc.h"

#define SHOWN 256 /* bytes at the end of what was seen, in an error */

struct stream {
    struct loop *loop;
    const struct stream_source *source;
    void *arg;
    char *kind, *detail, *site_file, *description;
    int site_line;
    const char *closed_text;
    struct buf pending;
    bool closed;
    bool news; /* since it was last looked at */
};

struct stream *stream_new(struct loop *loop, const struct stream_source *source, void *arg,
                          const char *kind, const char *detail, const char *closed)
{
    struct stream *s = xnew0(struct stream);
    s->loop = loop;
    s->source = source;
    s->arg = arg;
    s->kind = xstrdup(kind);
    s->detail = xstrdup(detail);
    s->closed_text = closed;
    s->pending = BUF_INIT(STREAM_UNMATCHED + STREAM_FRAME);
    stream_set_site(s, NULL, 0);
    return s;
}

void stream_free(struct stream *s)
{
    if (!s)
        return;
    stream_close(s);
    free(s->kind);
    free(s->detail);
    free(s->site_file);
    free(s->description);
    free(s);
}

void stream_set_site(struct stream *s, const char *file, int line)
{
    free(s->site_file);
    free(s->description);
    s->site_file = file ? xstrdup(file) : NULL;
    s->site_line = line;
    s->description = file ? xasprintf("%s(%s) at %s:%d", s->kind, s->detail, file, line)
                          : xasprintf("%s(%s) at unknown", s->kind, s->detail);
}

const char *stream_describe(const struct stream *s)
{
    return s->description;
}

const char *stream_kind(const struct stream *s)
{
    return s->kind;
}

const char *stream_site(const struct stream *s, int *ret_line)
{
    *ret_line = s->site_line;
    return s->site_file;
}

void stream_notify(struct stream *s)
{
    s->news = true;
}

void stream_close(struct stream *s)
{
    if (s->closed)
        return;
    s->closed = true;
    s->news = true; /* somebody may be waiting */
    buf_done(&s->pending);
    s->source->close(s->arg);
}

bool stream_is_closed(const struct stream *s)
{
    return s->closed;
}

bool stream_eof(struct stream *s)
{
    return s->closed || (!s->pending.len && s->source->ended(s->arg));
}

uint64_t stream_lost(const struct stream *s)
{
    return s->closed || !s->source->lost ? 0 : s->source->lost(s->arg);
}

enum fetched { FETCHED, FETCH_TIMEOUT, FETCH_END, FETCH_CANCELLED };

/* Appends the source's next frame to `to`, waiting for it. */
static enum fetched fetch(struct stream *s, int64_t deadline, struct buf *to)
{
    for (;;) {
        if (s->closed)
            return FETCH_END;
        s->news = false;
        if (s->source->take(s->arg, to))
            return FETCHED;
        if (s->source->ended(s->arg))
            return FETCH_END;
        if (loop_wait(s->loop, &s->news, deadline) < 0)
            return errno == ECANCELED ? FETCH_CANCELLED : FETCH_TIMEOUT;
    }
}

static int interrupted(struct err *e, const char *call)
{
    return err_set(e, ECANCELED, "%s: cancelled", call);
}

int stream_next(struct stream *s, int64_t deadline, struct buf *out, struct err *e)
{
    buf_done(out);
    out->max = s->pending.max;
    if (s->closed)
        return 0;
    if (s->pending.len) {
        size_t max = s->pending.max;
        *out = s->pending;
        s->pending = BUF_INIT(max);
        return 1;
    }
    switch (fetch(s, deadline, out)) {
    case FETCHED:
        return 1;
    case FETCH_CANCELLED:
        return interrupted(e, "next");
    default:
        return 0;
    }
}

/* The end of what was seen, printable. */
static char *show_end(const struct buf *b)
{
    size_t n = b->len < SHOWN ? b->len : SHOWN;
    struct buf text = BUF_INIT(SIZE_MAX);
    for (const uint8_t *p = b->len ? buf_head(b) + b->len - n : NULL; n--; p++) {
        if (*p == '\n')
            buf_append_str(&text, "\\n");
        else if (*p == '"' || *p == '\\')
            buf_printf(&text, "\\%c", *p);
        else if (isprint(*p))
            buf_append_byte(&text, *p);
        else
            buf_printf(&text, "\\x%02x", *p);
    }
    return buf_steal_str(&text);
}

static int unmatched(struct stream *s, const char *call, enum fetched why, const void *pattern, size_t n,
                     struct err *e)
{
    if (s->closed)
        return err_set(e, EBADF, "%s", s->closed_text);
    if (why == FETCH_CANCELLED)
        return interrupted(e, call);
    _cleanup_free_ char *end = show_end(&s->pending);
    int shown = (int)n;
    if (why == FETCH_END)
        return err_set(e, EPIPE, "stream EOF: %s; last bytes \"%s\"", s->description, end);
    if (why == FETCHED)
        return err_set(e, EOVERFLOW, "%s: no `%.*s` in 16 MiB: %s; last bytes \"%s\"", call, shown,
                       (const char *)pattern, s->description, end);
    return err_set(e, ETIMEDOUT, "%s timed out waiting for `%.*s`: %s; last bytes \"%s\"", call, shown,
                   (const char *)pattern, s->description, end);
}

int stream_read_until(struct stream *s, const void *pattern, size_t n, int64_t deadline, struct buf *out,
                      struct err *e)
{
    const char *call = out ? "read_until" : "expect";
    size_t searched = 0;
    if (s->closed)
        return err_set(e, EBADF, "%s", s->closed_text);
    for (;;) {
        size_t from = searched >= n ? searched - (n - 1) : 0;
        const uint8_t *head = buf_head(&s->pending);
        const uint8_t *at = s->pending.len > from ? memmem(head + from, s->pending.len - from, pattern, n) : NULL;
        if (at) {
            size_t through = (size_t)(at - head) + n;
            if (out) {
                buf_done(out);
                out->max = SIZE_MAX;
                buf_append(out, head, through);
            }
            buf_consume(&s->pending, through);
            return 0;
        }
        searched = s->pending.len;
        enum fetched got = searched > STREAM_UNMATCHED ? FETCHED : fetch(s, deadline, &s->pending);
        if (got != FETCHED || searched > STREAM_UNMATCHED)
            return unmatched(s, call, got, pattern, n, e);
    }
}

int stream_drain(struct stream *s, int64_t deadline, void (*frame)(void *arg, struct buf *frame), void *arg,
                 struct err *e)
{
    _cleanup_buf_ struct buf b = BUF_INIT(0);
    int got;
    while ((got = stream_next(s, deadline, &b, e)) > 0)
        frame(arg, &b);
    return got;
}
