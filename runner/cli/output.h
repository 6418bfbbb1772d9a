/* What a run shows and leaves: text, reports, events. */
#pragma once

#include "cli/options.h"
#include "events/record.h"
#include "events/stream.h"
#include "report/report.h"

struct output {
    const struct options *options;
    struct text_report text;
    struct run_record record;
    struct buf chunk; /* what goes to standard output next */
    size_t files_shown;
    bool failed; /* something could not be written */
};

/* Takes the names of the shard and of the inputs. */
void output_begin(struct output *o, const struct options *options, uint64_t seed, char *shard, char *input_hash,
                  size_t files);
/* Takes the result. */
void output_file(struct output *o, struct file_result *r);
/* The text's summary and all reports, whatever may fail. */
void output_end(struct output *o, const struct run_totals *totals, int signal_number);
void output_done(struct output *o);
/* Whether standard output carries something for machines, and text goes to standard error. */
bool output_owns_stdout(const struct options *options);
