/* What a bridge knows of ordered pairs of ports: partitions, the pair's own rule, random streams,
 * order.
 *
 * A pair comes into being when it is named or when an impaired frame takes it, and lives as long as
 * the bridge. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "switch/frame.h"

struct rule;

enum {
    PAIR_SYMMETRIC = 1 << 0,   /* partition(a, b); on both directions */
    PAIR_DIRECTIONAL = 1 << 1, /* partition{from, to} */
    PAIR_EXEMPT = 1 << 2,      /* from partition_all(); on both directions */
};

/* A random stream each: more draws of one kind never move another. */
enum random_kind {
    RANDOM_LOSS,
    RANDOM_DUPLICATE,
    RANDOM_CORRUPT,
    RANDOM_JITTER,
    RANDOM_REORDER,
    RANDOM_KINDS
};

struct pair {
    uint16_t from, to;
    uint8_t partition; /* PAIR_* */
    bool seeded;
    struct rule *rule;
    uint64_t random[RANDOM_KINDS];
    uint32_t generation; /* of the rules under which last_due holds */
    int64_t last_due;
    struct frame parked; /* a reordered frame that waits for its successor, if it has a slab */
    uint64_t parked_reminder;
};

struct pair_table {
    struct pair **slots;
    size_t count, cap;
};

void pairs_done(struct pair_table *t);
struct pair *pairs_find(const struct pair_table *t, uint16_t from, uint16_t to);
struct pair *pairs_get(struct pair_table *t, uint16_t from, uint16_t to);

/* Starts each stream at a hash of (seed, from, to, kind): independent of ids, of the other streams,
 * and of when it is first used. */
void pair_seed(struct pair *pair, const char *seed, const char *from, const char *to);
/* The next number of a seeded pair. */
uint64_t pair_draw(struct pair *pair, enum random_kind kind);
