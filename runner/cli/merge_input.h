/* What `provium merge` takes: results of one shard, whatever they are kept in. */
#pragma once

#include "events/replay.h"

/* The forms in which results come, recognised by content. */
enum merge_form { MERGE_EVENTS, MERGE_JSON, MERGE_JUNIT };

struct merge_input {
    const char *path;
    enum merge_form form;
    struct replay replay;
    unsigned shard, shards;
};

/* Reads the file; `path` is borrowed. Says a warning for a stream that is cut. */
int merge_input_read(struct merge_input *in, const char *path, struct err *e);
void merge_input_done(struct merge_input *in);

/* The lines of --json, as a replay; fails on anything else. */
int json_results_read(const struct buf *text, struct replay *ret, struct err *e);

/* The file of --junit, likewise. */
int junit_results_read(const struct buf *text, struct replay *ret, struct err *e);
/* Adds the results of a file, an object with a path as --json writes it. */
struct json_t;
void json_results_add(struct replay *r, const struct json_t *object);

/* Whether a file is a report of provium-coverage, in JSON. */
bool merge_is_coverage(const char *path);
/* Joins such reports, all operands, into text or --json on standard output, and --html. Returns the exit code. */
struct options;
int merge_coverage(const struct options *options, struct err *e);

/* One event stream of all inputs, which must be streams: files first discovered, then everything by time, and totals. */
int merge_events_write(const struct merge_input *inputs, size_t count, const struct run_totals *totals, int exit_code,
                       const char *path, struct err *e);
