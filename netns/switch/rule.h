/* A rule as the pipeline sees it. */
#pragma once

#include "switch/core.h"
#include "switch/impair.h"

#define CHANCE_ONE (UINT64_C(1) << 32)

struct rule {
    struct rule *next;
    struct port *from, *to; /* NULL: open */
    struct impairment knobs;
    uint64_t loss, duplicate, reorder, corrupt; /* chances */
    int64_t busy_until;                         /* the rate's queue is empty from then on */
    uint64_t remainder;                         /* of the division that made busy_until */
    struct {
        uint64_t serial;
        bool admitted;
        int64_t departs;
    } charge[2]; /* of the original and of the duplicate */
};
