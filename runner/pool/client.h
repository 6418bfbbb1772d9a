/* The test file's end of its link to the dispatcher: emits events, and asks the pool for memory and CPUs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "events/payload.h"
#include "loop/loop.h"

struct pool_client;

/* Takes `fd`, a stream socket; -1: there is no dispatcher, nobody listens and everything is granted. */
struct pool_client *pool_client_new(struct loop *loop, int fd);
void pool_client_free(struct pool_client *c);
DEFINE_CLEANUP(struct pool_client, pool_client_free)

/* `payload` is a packed map. A dispatcher that is gone ends this process: nobody wants its results. */
void pool_client_emit(struct pool_client *c, const char *kind, const struct buf *payload);
void pool_client_emit_payload(struct pool_client *c, const char *kind, const struct payload *payload);
/* With the log of a console for the dispatcher, which reads its end should this process die. */
void pool_client_emit_spawned(struct pool_client *c, const struct payload *payload, int console_fd);
/* Asks for resources and waits for them (no deadline: waiting for the pool counts for nobody, but the loop may be
 * interrupted). `what` tells apart "claim" and "boot". Refused when the pool could never give them. */
int pool_client_acquire(struct pool_client *c, const char *what, uint64_t memory_bytes, unsigned cpus,
                        struct err *e);
/* Asks for memory that nobody needs now, without waiting: `granted` says, later or at once, whether there is some, and
 * `recalled` that somebody needs it, so that it is given back soon. One request at a time. */
struct pool_spare_events {
    void (*granted)(bool granted, void *arg);
    void (*recalled)(void *arg);
    void *arg;
};
void pool_client_ask_spare(struct pool_client *c, uint64_t memory_bytes, const struct pool_spare_events *events);
/* Nobody listens any more. */
void pool_client_forget_spare(struct pool_client *c);
void pool_client_release_spare(struct pool_client *c, uint64_t memory_bytes);
void pool_client_release(struct pool_client *c, uint64_t memory_bytes, unsigned cpus);
