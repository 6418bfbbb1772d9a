/* Runs test files, each in a process of its own, as many at once as the pool allows. */
#pragma once

#include "base/strv.h"
#include "events/result.h"
#include "events/stream.h"
#include "loop/loop.h"
#include "pool/pool.h"

/* One run of one file. */
struct dispatch_file {
    const char *path;
    const char *label; /* names it in events and reports: the path, with "#k" for the k-th repeat */
    unsigned repeat;   /* from 1 */
    struct strv fixture_refs; /* that it names by literals */
    bool declares_claim;      /* at file scope, by literals: reserved before it starts */
    struct amount claim;
};

struct dispatcher_settings {
    struct loop *loop;
    struct event_stream *stream; /* takes the events */
    const struct dispatch_file *files;
    size_t file_count;
    char *const *argv;      /* this process's own: each worker parses the same command line */
    const char *filter_json; /* for every worker's WORKER_FILTER_VARIABLE */
    struct amount total;    /* of the pool */
    unsigned jobs;          /* files at once */
    unsigned retries;       /* further attempts of a file that did not pass */
    int64_t timeout_ns;     /* per file, waits left out; 0: none */
    double psi_threshold;   /* percent of CPU pressure that holds back files; 0: none */
    const char *pressure_file; /* where it is read, once a second; NULL or absent: no pressure */
    int64_t (*now)(void);   /* for how long a blocked file has been passed; only with backfill */
    bool fail_fast, backfill;
    const struct buf *job;  /* packed map handed to every worker (see worker.h) */
    int library;            /* for every worker, see script/library.h; -1: none */
    int broker;             /* of uplinks, each worker gets a connection to it; -1: none */
    /* Called for each finished file, after its last attempt, in the order of finishing; takes the result. */
    void (*on_file)(struct file_result *r, void *arg);
    /* What workers write to standard output (`fd` 1) and standard error (2). */
    void (*on_output)(int fd, const char *text, size_t n, void *arg);
    void *arg;
};

/* Blocks until all files are done. Returns 0, or the signal number that interrupted the run; *totals is filled in
 * either case. */
int dispatcher_run(const struct dispatcher_settings *settings, struct run_totals *totals);
