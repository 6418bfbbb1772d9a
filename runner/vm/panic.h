/* Finds the end of a kernel in its console output, which comes in arbitrary pieces. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum console_verdict {
    CONSOLE_ALIVE,
    CONSOLE_PANIC,  /* "Kernel panic - not syncing: <text>" (kernel/panic.c) */
    CONSOLE_HALTED, /* "reboot: System halted" (kernel/reboot.c) */
};

struct console_scanner {
    enum console_verdict verdict; /* the first one found; stays */
    char text[256];               /* panic: the text after the colon, without the line end */
    char carry[512];              /* the unfinished last line */
    size_t carried;
};

/* Feeds bytes; true when a verdict was reached by them. Zero-initialise; reset the same way. */
bool console_scan(struct console_scanner *s, const char *p, size_t n);
