/* --coverage: provium-coverage on the run's own events. */
#pragma once

#include "cli/options.h"
#include "config/environment.h"

struct coverage_step {
    char *path;     /* of the event file, or NULL: no --coverage */
    bool temporary; /* ours, to be removed */
};

/* Before the sandbox is entered: chooses the file that --save-events is to write to, and creates it when it is ours. Fails
 * when that is not possible. */
int coverage_step_begin(struct coverage_step *step, const struct options *options, const struct environment *env,
                        struct err *e);
/* After a run: prints the report, to `fd`. False, after saying so, when that did not work. */
bool coverage_step_report(const struct coverage_step *step, int fd);
/* Removes the file. */
void coverage_step_end(struct coverage_step *step);
