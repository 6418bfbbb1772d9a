/* Impairments: what a bridge does to the copies of frames on their way from one port to another.
 *
 * A rule belongs to a pair of ports, to everything one port sends, to everything one port gets, or
 * to the whole bridge. Every rule that matches a copy applies. Order for each copy: loss,
 * duplicate, corrupt, rate, latency and jitter, reorder. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    IMPAIR_LATENCY = 1 << 0,
    IMPAIR_JITTER = 1 << 1,
    IMPAIR_LOSS = 1 << 2,
    IMPAIR_DUPLICATE = 1 << 3,
    IMPAIR_REORDER = 1 << 4,
    IMPAIR_CORRUPT = 1 << 5,
    IMPAIR_RATE = 1 << 6,
};

#define IMPAIR_TIME_MAX (INT64_C(3600) * 1000000000)
#define IMPAIR_RATE_MAX UINT64_C(1000000000000)

struct impairment {
    const char *from, *to;   /* NULL: open */
    unsigned set;            /* which of the following are meant; zero clears a knob */
    int64_t latency, jitter; /* nanoseconds */
    double loss, duplicate, reorder, corrupt; /* percent */
    uint64_t rate;                            /* bits per second */
};

struct bridge;

/* Sets the given knobs of the rule for (from, to), keeps the rest. */
int impair_set(struct bridge *b, const struct impairment *change, struct err *e);
/* The i-th rule in the order of creation; -1 beyond the last. The names are the ports'. */
int impair_get(const struct bridge *b, size_t i, struct impairment *ret);
/* Restarts all random streams. */
void impair_seed(struct bridge *b, const char *seed);
/* Drops rules, partitions and isolation, restarts the random streams, delivers held frames in due
 * order. */
void impair_reset(struct bridge *b, int64_t now);
