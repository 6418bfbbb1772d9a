/* What became of one test file: folded from its events, read by the reports. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/strv.h"
#include "events/event.h"

enum test_status { TEST_PASSED, TEST_FAILED, TEST_SKIPPED };
enum file_status { FILE_PASSED, FILE_FAILED, FILE_TIMED_OUT, FILE_CRASHED };

struct test_result {
    char *name;
    enum test_status status;
    bool flaky;    /* passed, after it had failed in an earlier attempt */
    char *message; /* failure or skip reason; of a flaky test the earlier failure; else NULL */
    char *traceback, *console, *file;
    int64_t line, duration_ns;
    struct strv log;
    struct buf meta; /* packed map */
};

/* A test of which its file has told, before it runs. */
struct planned_test {
    char *name, *file;
    int64_t line;
    struct buf meta;
};

struct file_result {
    char *path;   /* with "#k" for the k-th repeat */
    char *source; /* the file, or NULL when it is not known */
    enum file_status status;
    char *chunk_error; /* or NULL */
    char *detail;      /* why it crashed, or NULL */
    char *stdout_tail, *stderr_tail; /* of a file that did not pass: what it wrote last, or NULL */
    struct test_result *tests; /* ended ones, in order */
    size_t test_count, test_capacity;
    size_t passed, failed, skipped, flaky;
    int64_t started, ended; /* since the epoch; 0: never dispatched */
    int64_t duration_ns;    /* waits for the pool left out */
    int64_t waited_ns;
    unsigned repeat; /* from 1 */
    unsigned attempt, worker;
    struct planned_test *planned; /* until it is settled */
    size_t planned_count;
    char *running; /* the test begun and not ended, or NULL */
    int64_t running_since; /* since the epoch */
    struct buf running_meta; /* its packed map */
};

struct run_totals {
    size_t files, files_bad; /* bad: failed, timed out or crashed */
    size_t passed, failed, skipped, flaky;
    size_t files_not_run; /* --fail-fast, interrupt */
    int64_t duration_ns;
};

/* Counts one file; not its duration, because files run at the same time. */
void run_totals_add(struct run_totals *t, const struct file_result *r);

struct file_result *file_result_new(const char *path);
void file_result_free(struct file_result *r);
DEFINE_CLEANUP(struct file_result, file_result_free)

/* Takes file_dispatched, file_completed, test_* and worker_* events; ignores others. */
void file_result_take(struct file_result *r, const struct event *ev);
/* The planned test of that name, or NULL. */
const struct planned_test *file_result_planned(const struct file_result *r, const char *name);
bool file_result_has_ended(const struct file_result *r, const char *name);
/* Passed unless something failed; to be called last. */
void file_result_settle(struct file_result *r);

/* The fields of run_completed. */
struct payload;
void run_totals_describe(struct payload *p, const struct run_totals *t, int exit_code, bool interrupted);

const char *test_status_name(enum test_status status);
const char *file_status_name(enum file_status status);
