/* A byte stream that a test reads: tails, process output, captures, the console. This file knows no guest: where the
 * bytes come from is a source.
 *
 * Every deadline is absolute; one that has passed takes only what has arrived. Functions that wait pump the loop. A
 * timeout or end of the stream loses nothing: what was collected is pending again. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "loop/loop.h"

#define STREAM_FRAME     65536
#define STREAM_UNMATCHED (16 * 1024 * 1024) /* read_until and expect give up beyond */

struct stream;

struct stream_source {
    /* Appends up to STREAM_FRAME bytes of what has come, and returns how many; 0: nothing now. */
    size_t (*take)(void *arg, struct buf *to);
    /* Nothing will come any more, and all was taken. */
    bool (*ended)(void *arg);
    /* Bytes (or packets) dropped so far; NULL: never any. */
    uint64_t (*lost)(void *arg);
    /* The stream is closed: releases `arg`. */
    void (*close)(void *arg);
};

/* `kind` and `detail` are for messages: `tail_file`, `"/x"`. `closed` is the error after a close: "stream closed".
 * Owns `arg`, through source->close. */
struct stream *stream_new(struct loop *loop, const struct stream_source *source, void *arg,
                          const char *kind, const char *detail, const char *closed);
void stream_free(struct stream *s);
DEFINE_CLEANUP(struct stream, stream_free)
/* Where the test made it; for messages. `file` NULL: unknown. */
void stream_set_site(struct stream *s, const char *file, int line);
/* `kind(detail) at file:line`. */
const char *stream_describe(const struct stream *s);
const char *stream_kind(const struct stream *s);
const char *stream_site(const struct stream *s, int *ret_line);

/* For the source's owner: something came, or ended. Cheap. */
void stream_notify(struct stream *s);

/* Pending bytes if there are any, else the next frame, into `out` (emptied before). 1: a frame; 0: none until the deadline,
 * or the stream is at its end or closed; -1: interrupted. */
int stream_next(struct stream *s, int64_t deadline, struct buf *out, struct err *e);
/* Everything through the first match of the pattern, into `out` (NULL: dropped). */
int stream_read_until(struct stream *s, const void *pattern, size_t n, int64_t deadline, struct buf *out,
                      struct err *e);
/* Waits until the deadline or the end; `frame` gets each frame, pending bytes first. -1: interrupted. */
int stream_drain(struct stream *s, int64_t deadline, void (*frame)(void *arg, struct buf *frame), void *arg,
                 struct err *e);
/* The source has ended and nothing is pending, or the stream is closed. */
bool stream_eof(struct stream *s);
uint64_t stream_lost(const struct stream *s);
/* Ends it and drops what is pending. */
void stream_close(struct stream *s);
bool stream_is_closed(const struct stream *s);
