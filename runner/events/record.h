/* Everything about one run that the reports at its end need: results, and what happened when. */
#pragma once

#include "events/result.h"

struct vm_span {
    char *name, *file, *profile;
    int64_t cid, memory_bytes;
    int64_t spawned, ended; /* since the epoch; ended 0: not seen */
};

struct pool_sample {
    int64_t ts, memory_used, memory_available;
    int64_t in_flight, queued, vms;
    double psi;
};

struct run_record {
    struct file_result **files; /* owned, in the order of finishing */
    size_t file_count;
    struct vm_span *vms;
    size_t vm_count;
    struct pool_sample *pool;
    size_t pool_count;
    struct run_totals totals;
    int64_t started; /* since the epoch */
    uint64_t seed;
    char *shard, *input_hash; /* "1/1" for a whole run */
    int signal_number;        /* that interrupted it, or 0 */
};

void run_record_done(struct run_record *r);
/* Takes the result. */
void run_record_add(struct run_record *r, struct file_result *file);
/* Takes vm_* and pool_state events; ignores others. */
void run_record_take(struct run_record *r, const struct event *ev);
