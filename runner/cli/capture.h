/* Running a program for its output. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* Runs argv[0] (a path) with empty input and appends its standard output and error to `out`. Fails
 * when it can't be started, exits with another status than 0, prints more than `out` may hold, or
 * is not done in time (it is killed). */
int capture(char *const argv[], struct buf *out, int64_t timeout_ns, struct err *e);
