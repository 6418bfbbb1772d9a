/* The process of one test file. */
#pragma once

#include "base/buf.h"
#include "base/strv.h"
#include "config/config.h"

/* Set for a worker: the number of its link to the dispatcher. */
#define WORKER_FD_VARIABLE "PROVIUM_WORKER_FD"
/* Which tests of the file to run: the map of lua/framework.lua in JSON. */
#define WORKER_FILTER_VARIABLE "PROVIUM_TEST_FILTER"

/* What the dispatcher's process has found out for all files of the run. */
struct worker_run {
    struct strv roots;
    bool kvm;
    char *accel_note;  /* why TCG, or "" */
    char *run_id;      /* see config/build.h */
    uint64_t seed;
};

/* As a packed map, for dispatcher_settings.job. */
void worker_run_pack(const struct worker_run *run, struct buf *out);

/* What a worker derives from the command line, as the dispatcher's process did. Borrowed. */
struct worker_settings {
    const struct config *config;
    const struct environment *environment;
    const char *filter_json; /* the value of WORKER_FILTER_VARIABLE */
    int64_t timeout_ns;      /* per file; 0: none */
    bool no_build, show_progress;
    const char *fixture;     /* not a test file: this fixture is to be built, the job's path is its file */
    bool build_again;        /* … even when it is cached */
};

/* Runs the file named by the job frame that comes over `link_fd`; returns the exit code, 0 unless the harness itself
 * failed. */
int worker_main(int link_fd, const struct worker_settings *settings);
