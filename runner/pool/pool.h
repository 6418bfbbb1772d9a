/* The run's budget of memory and vCPUs: plain accounting, no processes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct amount {
    uint64_t memory_bytes;
    uint64_t cpus;
};

struct pool {
    struct amount total, used;
};

#define POOL_FILE_OVERHEAD (UINT64_C(50) << 20)  /* a running file */
#define POOL_VM_OVERHEAD   (UINT64_C(100) << 20) /* a VM booted without a claim */

/* Could the empty pool give it, beside the overhead of the file that asks? */
bool pool_could_give(const struct pool *p, struct amount a);
bool pool_fits(const struct pool *p, struct amount a);
/* Takes it if it fits now. */
bool pool_take(struct pool *p, struct amount a);
void pool_give_back(struct pool *p, struct amount a);
