/* The `build` command of a profile. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "config/config.h"

struct build_options {
    bool skip;          /* --no-build: nothing runs, the output directory must be there */
    const char *run_id; /* without blanks; the same in all processes of a run, in no other run.
                           NULL: the command always runs */
};

/* Makes the output directory and runs the command, once per run whichever process comes first: the
 * outcome, a failure too, is kept under the run's id in the lock file, on which other runs wait.
 * Blocks for as long as the command takes; a process with an event loop calls it in a child first,
 * and then itself, which finds the outcome. Nothing to do is success. */
int profile_build(const struct profile *p, const struct environment *env,
                  const struct build_options *options, struct err *e);
