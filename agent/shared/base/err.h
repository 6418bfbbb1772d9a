/* Error objects: what went wrong (message), as which class (code) and what to do next (hint).
 *
 * Functions that can fail take `struct err *` last, return 0 or -1 and leave their outputs untouched on failure.
 * Each module boundary adds the name of its object once with err_prefix: `vm "web": qmp: device_add: …`.
 * A NULL err is allowed everywhere: the caller only wants the return value. */
#pragma once

#include <stdarg.h>

#include "base/cleanup.h"

struct err {
    int code;      /* an errno value, or 0 when none fits */
    char *message; /* one phrase without a final full stop; NULL: no error */
    char *hint;    /* the next step for the user, or NULL */
};

#define ERR_INIT ((struct err){0})

/* Each returns -1, so that a failing function can end in `return err_set(…)`. An earlier error is replaced. */
int err_set(struct err *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* As err_set with code = errno; the message ends in `: <strerror>`. */
int err_errno(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts `<formatted>: ` in front of the message. */
int err_prefix(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Sets (replaces) the hint. */
int err_hint(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

void err_clear(struct err *e);
/* Moves `from` into `to` (which may be NULL); returns -1. */
int err_move(struct err *to, struct err *from);
/* The message, never NULL. */
const char *err_message(const struct err *e);

/* Symbolic name of an errno value ("ENOENT"), or NULL for an unknown one. */
const char *errno_name(int code);

#define _cleanup_err_ _cleanup_(err_clear)
