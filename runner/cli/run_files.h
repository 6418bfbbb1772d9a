/* The run itself: from a list of files to the exit code. */
#pragma once

#include "cli/options.h"
#include "cli/select.h"
#include "config/environment.h"
#include "pool/pool.h"
#include "pool/worker.h"

/* Returns the exit code. */
int run_files(const struct options *options, const struct environment *env, const struct selection *selection,
              const struct worker_run *worker);

/* The memory and CPUs that --mem, --cpus and --cpu-overcommit stand for. */
struct amount pool_budget(const struct options *options);
