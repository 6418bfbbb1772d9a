/* Which tests cover what: the tests of a run, by a key of their meta (docs/coverage.md). */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"
#include "events/replay.h"

#define UNSET_BUCKET "<unset>" /* of tests without the key */

enum covered_status { COVERED_PASSED, COVERED_FAILED, COVERED_SKIPPED, COVERED_UNFINISHED, COVERED_STATUS_COUNT };
const char *covered_status_name(enum covered_status status);

struct covered_test {
    const char *path, *name; /* borrowed from the replay */
    enum covered_status status;
    bool flaky;
    size_t order; /* among all tests */
};

struct tally {
    size_t by_status[COVERED_STATUS_COUNT];
    size_t flaky;
};

struct bucket {
    char *name;
    struct tally tally;
    struct covered_test *tests; /* by path, then in their order */
    size_t test_count;
};

struct coverage {
    const char *key;
    struct bucket *buckets; /* bytewise, UNSET_BUCKET last */
    size_t bucket_count;
    struct tally totals; /* each test once */
    struct strv uncovered, unexpected; /* against the names that were expected */
    bool truncated;
};

/* `expected` may be NULL. Both are borrowed, as is `key`. */
struct coverage *coverage_new(const struct replay *replay, const char *key, const struct strv *expected);
void coverage_free(struct coverage *c);
DEFINE_CLEANUP(struct coverage, coverage_free)
/* Percent of buckets (of those expected, if that is known) in which tests passed and none failed; UNSET_BUCKET is left out. */
double coverage_percent(const struct coverage *c, const struct strv *expected);

/* The reports of shards, joined (join.c). */
struct coverage_set;
struct coverage_set *coverage_set_new(void);
void coverage_set_free(struct coverage_set *set);
DEFINE_CLEANUP(struct coverage_set, coverage_set_free)
/* Takes what coverage_json has written for one shard, a report per line; `name` is for errors. */
int coverage_set_add(struct coverage_set *set, const char *name, const struct buf *text, struct err *e);
/* One report per key. They are the set's. */
struct coverage *const *coverage_set_end(struct coverage_set *set, size_t *ret_count);

/* Each appends one report. */
void coverage_text(struct buf *out, const struct coverage *c);
void coverage_json(struct buf *out, const struct coverage *c);
/* A whole page with all of them. */
void coverage_html(struct buf *out, struct coverage *const *reports, size_t count);
