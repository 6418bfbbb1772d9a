/* Reports: what a run shows. Each is told of every finished file and of the end. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "events/result.h"

struct run_totals {
    size_t files, files_bad; /* bad: failed, timed out or crashed */
    size_t passed, failed, skipped;
    size_t files_not_run; /* --fail-fast, interrupt */
    int64_t duration_ns;
};

enum verbosity { VERBOSITY_QUIET, VERBOSITY_NORMAL, VERBOSITY_VERBOSE };

/* Human text (spec: cli "Output shapes"): a block per file, then the summary. */
struct text_report {
    FILE *out;
    enum verbosity verbosity;
    bool colour;
};

void text_report_file(const struct text_report *t, const struct file_result *r);
void text_report_end(const struct text_report *t, const struct run_totals *totals);

/* One JSON object per line and file; false when the output cannot be written. */
bool json_report_file(FILE *out, const struct file_result *r, uint64_t seed);
