/* The event stream of a run and where it goes: a file, standard output, a socket with any number of readers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "events/event.h"
#include "events/payload.h"
#include "loop/loop.h"

struct event_stream;

struct event_stream_settings {
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
struct event_stream *event_stream_new(struct loop *loop, const struct event_stream_settings *settings, struct err *e);
/* A further run: the file begins anew, and so do readers that come later; others go on. */
int event_stream_restart(struct event_stream *s, struct err *e);
/* Gives readers some seconds to take what is left, then closes; removes the socket. */
void event_stream_free(struct event_stream *s);
DEFINE_CLEANUP(struct event_stream, event_stream_free)

/* `ts` 0 is now. */
void event_stream_emit(struct event_stream *s, int64_t ts, const char *kind, const struct payload *payload);
/* The same with a packed map. */
void event_stream_put(struct event_stream *s, int64_t ts, struct bytes kind, struct bytes payload);
