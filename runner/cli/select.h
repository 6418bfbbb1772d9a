/* Which files run, in which order (docs/cli.md, "What to run"). */
#pragma once

#include "cli/options.h"
#include "config/config.h"
#include "pool/discover.h"
#include "pool/dispatcher.h"

struct selection {
    struct discovery found;
    struct dispatch_file *files; /* what to run, repeats included */
    size_t count;
    struct strv labels;
    struct durations *durations;
    char *shard;      /* "2/4" */
    char *input_hash; /* of all files that could be chosen, and their durations: equal in all shards of a run */
};

/* `seed` is that of --shuffle. Says notices about empty results. */
int select_files(const struct options *options, const struct environment *env, const struct config *config,
                 uint64_t seed, struct selection *ret, struct err *e);
/* Looks into the files for what the dispatcher wants to know before they run. */
void selection_scan(struct selection *s);
void selection_done(struct selection *s);
