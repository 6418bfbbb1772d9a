/* Reports: what a run shows (docs/cli.md, "Reports"). Those of a finished run append to a buffer. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "events/record.h"

enum verbosity { VERBOSITY_QUIET, VERBOSITY_NORMAL, VERBOSITY_VERBOSE };

/* Human text: a block per file, then the summary. */
struct text_report {
    FILE *out;
    enum verbosity verbosity;
    bool colour;
};

void text_report_file(const struct text_report *t, const struct file_result *r);
void text_report_end(const struct text_report *t, const struct run_totals *totals);

/* One JSON object per line and file. */
void json_report_file(struct buf *out, const struct file_result *r, const struct run_record *run);

/* TAP 14 and KTAP 1: a heading, a subtest per file, the plan (KTAP: in the heading). `number` counts from 1. */
void tap_report_begin(struct buf *out);
void tap_report_file(struct buf *out, const struct file_result *r, size_t number);
void tap_report_end(struct buf *out, const struct run_record *run);
void ktap_report_begin(struct buf *out, size_t files);
void ktap_report_file(struct buf *out, const struct file_result *r, size_t number);

void junit_report(struct buf *out, const struct run_record *run);
void html_report(struct buf *out, const struct run_record *run);
/* Workflow commands of GitHub Actions: within its limit of annotations per step. */
void github_annotations(struct buf *out, const struct run_record *run);
/* Markdown of at most `max` bytes for the step summary. */
void github_summary(struct buf *out, const struct run_record *run, size_t max);

/* Appends text for XML and HTML, in elements and attributes; what XML cannot hold becomes U+FFFD. */
void xml_append(struct buf *out, const char *s);
/* Why a file did not pass, beside its tests: its chunk error, crash or timeout; NULL when there is no such reason. */
const char *file_problem(const struct file_result *r);
