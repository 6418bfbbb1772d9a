/* The process of one test file. */
#pragma once

#include "cli/options.h"
#include "base/buf.h"
#include "base/strv.h"

/* Set for a worker: the number of its link to the dispatcher. */
#define WORKER_FD_VARIABLE "PROVIUM_WORKER_FD"

/* What the dispatcher's process has found out for all files of the run. */
struct worker_run {
    struct strv roots;
    bool kvm;
    char *accel_note;  /* why TCG, or "" */
    char *run_dir;     /* private directory of the run, or "" */
    uint64_t seed;
};

/* As a packed map, for dispatcher_settings.job. */
void worker_run_pack(const struct worker_run *run, struct buf *out);

/* Runs the file named by the job frame that comes over `link_fd`; returns the exit code, 0 unless the harness itself
 * failed. `options` are the dispatcher's own, parsed again. */
int worker_main(int link_fd, const struct options *options);
