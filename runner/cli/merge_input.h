/* What `provium merge` takes: results of one shard, whatever they are kept in. */
#pragma once

#include "events/replay.h"

/* The two forms in which results come, recognised by content. */
enum merge_form { MERGE_EVENTS, MERGE_JSON };

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

/* One event stream of all inputs, which must be streams: files first discovered, then everything by time, and totals. */
int merge_events_write(const struct merge_input *inputs, size_t count, const struct run_totals *totals, int exit_code,
                       const char *path, struct err *e);
