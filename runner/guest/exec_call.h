/* Starting commands, for exec.c and process.c. Not for callers of guest_*. */
#pragma once

#include "guest/call.h"
#include "guest/exec.h"

struct exec_mode {
    const char *verb; /* for the label */
    bool quiet;       /* only `exited` events */
    bool keep_stdin;  /* more input will follow */
    bool background;
    uint64_t window;  /* of each stream */
    int64_t limit;    /* of each stream; -1: none */
    uint64_t worker, after;
    struct call_budget *budget;
    const struct guest_call_handlers *handlers;
    void *arg;
};

struct guest_call *guest_exec_start(struct guest *g, const struct guest_command *c, const struct exec_mode *mode);
/* All of a result but its output. */
void guest_exec_describe(const struct value_exited *value, struct guest_result *ret);
