/* What a worker writes to its standard output or standard error: passed on as it comes, its end is kept. */
#pragma once

#include "base/buf.h"
#include "loop/loop.h"

struct dispatcher_settings;

struct captured {
    int number; /* STDOUT_FILENO or STDERR_FILENO */
    int fd;     /* -1: closed */
    struct source *source;
    struct buf tail;
    const struct dispatcher_settings *settings;
};

#define CAPTURED_INIT ((struct captured){.fd = -1})

/* A pipe. Returns the worker's end, or -1 with errno. `c` must not move afterwards. */
int captured_open(struct captured *c, int number, const struct dispatcher_settings *settings);
/* Takes what has come so far. */
void captured_drain(struct captured *c);
/* The end of everything, malloc'ed; NULL when there was nothing. */
char *captured_text(const struct captured *c);
void captured_close(struct captured *c);
