/* Streams: the userdata behind tails, console readers, process output and captures (spec: guest-handles, "Streams").
 * What differs between them is a source. */
#pragma once

#include <lua.h>

#include "base/buf.h"
#include "base/err.h"
#include "script/script.h"

#define STREAM_FRAME_MAX 65536

/* `arg` is the source's own object, released by `close`. None of these may raise. */
struct stream_source {
    /* Appends 1 to STREAM_FRAME_MAX bytes to `out`, waiting for them until `deadline`: 1. 0: the source has ended.
     * -1: ETIMEDOUT or ECANCELED as the error's code, or another failure. */
    int (*read)(void *arg, struct buf *out, int64_t deadline, struct err *e);
    /* No byte will come any more. */
    bool (*ended)(void *arg);
    uint64_t (*lost)(void *arg); /* NULL: never any */
    void (*close)(void *arg);
};

struct stream_info {
    const char *kind;   /* "console_read", "tail_file", … */
    const char *detail; /* shown in parentheses */
    const char *closed; /* the message on a closed stream: "stream closed" */
    const char *label;  /* vm "a" */
};

/* Pushes an open stream and adds it to the scope; it owns `arg` from now on, even when this raises. Its user value is
 * free for what has to live as long. */
void push_stream(lua_State *L, const struct stream_source *source, void *arg, const struct stream_info *info);
/* The metatable. */
void stream_open(lua_State *L);
