/* Runs test files, each in a process of its own, as many at once as the pool allows. */
#pragma once

#include "base/strv.h"
#include "events/result.h"
#include "loop/loop.h"
#include "pool/pool.h"
#include "report/report.h"

struct dispatcher_settings {
    const struct strv *files;
    char *const *argv;      /* this process's own: each worker parses the same command line */
    const char *filter_json; /* for every worker's WORKER_FILTER_VARIABLE */
    struct amount total;    /* of the pool */
    unsigned jobs;          /* files at once */
    int64_t timeout_ns;     /* per file, waits left out; 0: none */
    bool fail_fast;
    const struct buf *job;  /* packed map handed to every worker, without "path" (see worker.h) */
    /* Called for each finished file, in the order of finishing. */
    void (*on_file)(struct file_result *r, void *arg);
    void *arg;
};

/* Blocks until all files are done. Returns 0, or the signal number that interrupted the run; *totals is filled in
 * either case. */
int dispatcher_run(const struct dispatcher_settings *settings, struct run_totals *totals);
