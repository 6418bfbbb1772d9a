/* Everything about one run that the reports at its end need: results, and what happened when. */
#pragma once

#include "events/result.h"

struct vm_span {
    char *name, *file, *profile;
    int64_t cid, memory_bytes;
    int64_t spawned, ended; /* since the epoch; ended 0: not seen */
};

/* What a file did besides running. */
enum run_span_kind {
    SPAN_BLOCKED, /* was next, and waited for its start; `what` is the reason */
    SPAN_BUILD,   /* built the fixture `what` */
    SPAN_WAIT,    /* waited for the fixture `what`, which `other` was building */
};

struct run_span {
    enum run_span_kind kind;
    char *file, *what, *other; /* other: "" where there is none */
    int64_t started, ended; /* since the epoch; ended 0: not seen */
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
    struct run_span *spans;
    size_t span_count;
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
/* Takes what is no test's: vm_*, fixture_*, pool_state and the starts of files; ignores others. */
void run_record_take(struct run_record *r, const struct event *ev);
