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
    char *message; /* failure or skip reason; NULL when passed */
    char *traceback, *console, *file;
    int64_t line, duration_ns;
    struct strv log;
    struct buf meta; /* packed map */
};

struct file_result {
    char *path;
    enum file_status status;
    char *chunk_error; /* or NULL */
    char *detail;      /* why it crashed, or NULL */
    char *stderr_tail; /* of a crashed file, or NULL */
    struct test_result *tests; /* ended ones, in order */
    size_t test_count, test_capacity;
    size_t passed, failed, skipped;
    int64_t duration_ns; /* waits for the pool left out */
    unsigned attempt;
    struct strv registered; /* names of all tests of the file */
    char *running;          /* the test begun and not ended, or NULL */
};

struct file_result *file_result_new(const char *path);
void file_result_free(struct file_result *r);
DEFINE_CLEANUP(struct file_result, file_result_free)

/* Takes test_* and worker_* events; ignores others. */
void file_result_take(struct file_result *r, const struct event *ev);
/* The process is gone before it was done: the running test fails with `reason`, the tests after it as
 * `failed-due-to-poisoned-state`. */
void file_result_crash(struct file_result *r, const char *reason);
/* Passed unless something failed; to be called last. */
void file_result_settle(struct file_result *r);

const char *test_status_name(enum test_status status);
const char *file_status_name(enum file_status status);
