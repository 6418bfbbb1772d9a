/* The command line, parsed once. The rows of option_table.c drive the parser, the help and the
 * completion. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strv.h"

enum shuffle_choice { SHUFFLE_FILES, SHUFFLE_TESTS, SHUFFLE_ALL };
enum vmm_choice { VMM_QEMU, VMM_LOCAL };
enum color_choice { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

struct verb;

struct options {
    const struct verb *verb; /* what to do; the one without a name runs tests */
    struct strv operands;
    char *const *argv; /* the whole command line: workers parse it again */

    /* Selection. */
    char *config, *filter; /* NULL: not given */
    bool include_slow;
    struct strv tags, no_tags, tag_meta, no_tag_meta; /* the last two are "K=V" */
    char *since, *durations;
    bool rerun_failed, allow_missing, watch, force, fixtures;
    struct shard {
        unsigned index, count; /* index from 1 */
    } shard;
    int shuffle; /* enum shuffle_choice or -1 */
    unsigned repeat, retries;
    bool seed_given;
    uint64_t seed;

    /* Resources and lifecycle; 0 or -1: not given. */
    uint64_t memory;
    unsigned cpus, jobs;
    double cpu_overcommit;
    double psi_threshold; /* percent, 0 disables; -1: not given */
    int64_t timeout_ns; /* 0 disables */
    bool fail_fast, backfill, no_preflight, no_build, no_ksm;
    struct strv kernels, initrds, appends; /* "[PROFILE=]VALUE" */
    char *qemu;
    int accel;   /* enum accel_choice or -1 */
    int vmm;     /* enum vmm_choice */
    int sandbox; /* enum sandbox_choice or -1 */
    int ahead;   /* enum ahead_choice or -1 */

    /* repl, console, doctor. */
    char *name, *fixture, *kernel_cmdline; /* NULL: not given */
    bool agent, print_command, boot;
    struct strv extra; /* words behind `--`, of a command that takes them */

    /* Output. */
    bool verbose, quiet, json, tap, ktap, github, events_stdout, no_progress, coverage;
    char *junit, *html, *save_events, *events_socket, *merged_events; /* NULL: not given */
    int color; /* enum color_choice */
    bool help, version;
};

enum option_kind {
    OPTION_FLAG,     /* bool */
    OPTION_TEXT,     /* char *; the last one counts */
    OPTION_TEXTS,    /* struct strv; repeatable */
    OPTION_PAIRS,    /* struct strv of K=V; repeatable */
    OPTION_SIZE,     /* uint64_t bytes, not 0 */
    OPTION_DURATION, /* int64_t ns */
    OPTION_COUNT,    /* unsigned, at least 1 */
    OPTION_NUMBER,   /* unsigned, may be 0 */
    OPTION_PERCENT,  /* double from 0 to 100 */
    OPTION_SHARD,    /* struct shard */
    OPTION_SEED,     /* uint64_t, and seed_given */
    OPTION_FACTOR,   /* double, clamped to [0.5, 8.0] */
    OPTION_WORD,     /* int: index into `words` */
    OPTION_CHOICE,   /* the same, with a value only as --flag=value; without it the first word */
};

enum option_group { GROUP_SELECTION, GROUP_RESOURCES, GROUP_OUTPUT, GROUP_GENERAL, GROUP_COUNT };

struct option_row {
    const char *name; /* without the dashes */
    char letter;      /* or 0 */
    enum option_kind kind;
    size_t offset;     /* in struct options */
    const char *value; /* name of the value in the help, NULL for a flag */
    enum option_group group;
    unsigned verbs; /* VERB_* bits of the commands that take it */
    const char *help;
    const char *const *words;
};

extern const struct option_row option_rows[];
extern const size_t option_row_count;
/* Pairs of option names that exclude each other. */
extern const char *const option_conflicts[][2];
extern const size_t option_conflict_count;

/* Parses everything after the program name; errors are usage errors (exit 2). */
int options_parse(int argc, char **argv, struct options *ret, struct err *e);
void options_done(struct options *o);
