/* The run itself: from a list of files to the exit code. */
#pragma once

#include "cli/options.h"
#include "cli/select.h"
#include "config/environment.h"
#include "pool/worker.h"

/* `broker` is of uplink_broker_start, or -1. Returns the exit code. */
int run_files(const struct options *options, const struct environment *env, const struct selection *selection,
              const struct worker_run *worker, int broker);
