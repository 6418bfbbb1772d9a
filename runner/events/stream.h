/* The event stream of a run and where it goes: a file, standard output, a socket with any number of readers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "events/event.h"
#include "events/payload.h"
#include "loop/loop.h"

struct stream;

struct stream_settings {
    const char *save_path;   /* or NULL */
    bool to_stdout;
    const char *socket_path; /* or NULL */
    const char *temporary_dir;
    /* Called once for each sink that ends early; `e` says why. */
    void (*on_lost)(const struct err *e, void *arg);
    /* Every frame, after the sinks have it. */
    void (*on_event)(const struct event *ev, void *arg);
    void *arg;
};

/* Creates the file and the socket. `settings` is borrowed. */
struct stream *stream_new(struct loop *loop, const struct stream_settings *settings, struct err *e);
/* Gives readers some seconds to take what is left, then closes; removes the socket. */
void stream_free(struct stream *s);
DEFINE_CLEANUP(struct stream, stream_free)

/* `ts` 0 is now. */
void stream_emit(struct stream *s, int64_t ts, const char *kind, const struct payload *payload);
/* The same with a packed map. */
void stream_put(struct stream *s, int64_t ts, struct bytes kind, struct bytes payload);
