/* The results of shards become the results of one run, and go through the same reports. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/history.h"
#include "cli/merge_input.h"
#include "cli/output.h"
#include "cli/say.h"
#include "cli/verb.h"

struct merge {
    struct merge_input *inputs;
    size_t count;
    struct history *durations; /* of all files */
};

/* Slices of one whole, each once, and none missing. */
static int check_shards(const struct merge *m, bool allow_missing, struct err *e)
{
    const struct merge_input *first = &m->inputs[0];
    _cleanup_free_ const char **by_shard = xcalloc(first->shards + 1, sizeof(*by_shard));
    _cleanup_strv_ struct strv missing = STRV_INIT;
    for (size_t i = 0; i < m->count; i++) {
        const struct merge_input *in = &m->inputs[i];
        if (in->shards != first->shards || strcmp(in->replay.record.input_hash, first->replay.record.input_hash)) {
            err_set(e, 0, "`%s` (shard %u/%u) and `%s` (shard %u/%u) are not of one whole", first->path, first->shard,
                    first->shards, in->path, in->shard, in->shards);
            return err_hint(e, "their runs saw other files or other durations");
        }
        if (!in->shard || in->shard > in->shards)
            return err_set(e, 0, "`%s`: shard %u/%u", in->path, in->shard, in->shards);
        if (by_shard[in->shard])
            return err_set(e, 0, "`%s` and `%s` are both shard %u/%u", by_shard[in->shard], in->path, in->shard,
                           in->shards);
        by_shard[in->shard] = in->path;
    }
    for (unsigned i = 1; i <= first->shards; i++)
        if (!by_shard[i])
            strv_addf(&missing, "%u/%u", i, first->shards);
    if (!missing.count)
        return 0;
    _cleanup_free_ char *list = strv_join(&missing, ", ");
    if (allow_missing) {
        say_warning("missing: shard %s", list);
        return 0;
    }
    err_set(e, 0, "missing: shard %s", list);
    return err_hint(e, "--allow-missing merges the others");
}

static int by_path(const void *a, const void *b)
{
    const struct file_result *const *x = a, *const *y = b;
    return strcmp((*x)->path, (*y)->path);
}

/* Moves all files into one array, by path; places for workers are counted on. */
static int collect(struct merge *m, struct run_record *all, struct err *e)
{
    unsigned workers = 0;
    for (size_t i = 0; i < m->count; i++) {
        struct run_record *one = &m->inputs[i].replay.record;
        unsigned most = 0;
        for (size_t j = 0; j < one->file_count; j++) {
            most = one->files[j]->worker > most ? one->files[j]->worker : most;
            one->files[j]->worker += workers;
            run_record_add(all, one->files[j]);
        }
        one->file_count = 0;
        workers += most + 1;
    }
    if (all->file_count)
        qsort(all->files, all->file_count, sizeof(*all->files), by_path);
    for (size_t i = 1; i < all->file_count; i++)
        if (!strcmp(all->files[i - 1]->path, all->files[i]->path))
            return err_set(e, 0, "`%s` is in two shards", all->files[i]->path);
    return 0;
}

/* Shards run at the same time: the longest one is the duration. */
static struct run_totals add_totals(const struct merge *m, int *ret_signal)
{
    struct run_totals sum = {0};
    *ret_signal = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct run_record *r = &m->inputs[i].replay.record;
        const struct run_totals *t = &r->totals;
        sum.files += t->files;
        sum.files_bad += t->files_bad;
        sum.passed += t->passed;
        sum.failed += t->failed;
        sum.skipped += t->skipped;
        sum.flaky += t->flaky;
        sum.files_not_run += t->files_not_run;
        sum.duration_ns = t->duration_ns > sum.duration_ns ? t->duration_ns : sum.duration_ns;
        *ret_signal = r->signal_number ? r->signal_number : *ret_signal;
    }
    return sum;
}

static bool one_could_not_run(const struct merge *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (!m->inputs[i].replay.completed || m->inputs[i].replay.exit_code == EXIT_USAGE)
            return true;
    return false;
}

/* Moves the items of an array to the end of another. */
static void *move_items(void *to, size_t *to_count, const void *from, size_t *from_count, size_t size)
{
    char *all = xreallocarray(to, *to_count + *from_count + 1, size);
    if (*from_count)
        memcpy(all + *to_count * size, from, *from_count * size);
    *to_count += *from_count;
    *from_count = 0;
    return all;
}

/* What all shards did and when, for the timeline. */
static void add_timeline(struct merge *m, struct run_record *all)
{
    for (size_t i = 0; i < m->count; i++) {
        struct run_record *one = &m->inputs[i].replay.record;
        all->vms = move_items(all->vms, &all->vm_count, one->vms, &one->vm_count, sizeof(*all->vms));
        all->spans = move_items(all->spans, &all->span_count, one->spans, &one->span_count, sizeof(*all->spans));
    }
}

static int report(struct merge *m, const struct options *options, struct err *e)
{
    struct output out;
    struct run_record all = {0};
    int signal_number;
    struct run_totals totals = add_totals(m, &signal_number);
    const struct run_record *first = &m->inputs[0].replay.record;
    if (collect(m, &all, e) < 0) {
        run_record_done(&all);
        return EXIT_USAGE;
    }
    char *shard = m->count == m->inputs[0].shards ? xstrdup("1/1") : xasprintf("%zu of %u", m->count, m->inputs[0].shards);
    output_begin(&out, options, first->seed, shard, xstrdup(first->input_hash), totals.files);
    add_timeline(m, &out.record);
    for (size_t i = 0; i < all.file_count; i++) {
        history_note(m->durations, all.files[i]);
        output_file(&out, all.files[i]);
    }
    all.file_count = 0;
    run_record_done(&all);
    output_end(&out, &totals, signal_number);
    int code = signal_number                       ? 128 + signal_number
               : out.failed || one_could_not_run(m) ? EXIT_USAGE
               : totals.files_bad                   ? EXIT_TESTS_FAILED
                                                    : 0;
    output_done(&out);
    if (options->durations && history_write_durations(m->durations, options->durations, e) < 0)
        return EXIT_USAGE;
    if (options->merged_events && merge_events_write(m->inputs, m->count, &totals, code, options->merged_events, e) < 0)
        return EXIT_USAGE;
    return code;
}

int verb_merge(const struct options *options)
{
    _cleanup_err_ struct err e = ERR_INIT;
    const struct strv *paths = &options->operands;
    struct merge m = {.inputs = xnewa(struct merge_input, paths->count + 1), .count = paths->count,
                      .durations = history_new()};
    int rc = 0;
    if (!paths->count)
        rc = err_set(&e, 0, "merge: nothing to merge: name what all shards have left (--save-events, --json, --junit, provium-coverage --json)");
    bool coverage = paths->count && merge_is_coverage(paths->items[0]);
    if (coverage)
        rc = merge_coverage(options, &e);
    m.count = coverage ? 0 : m.count;
    for (size_t i = 0; i < m.count && !rc; i++)
        rc = merge_input_read(&m.inputs[i], paths->items[i], &e);
    if (!rc && !coverage)
        rc = check_shards(&m, options->allow_missing, &e);
    if (!rc && !coverage)
        rc = report(&m, options, &e);
    if (e.message) {
        say_error(&e);
        rc = EXIT_USAGE;
    }
    for (size_t i = 0; i < m.count; i++)
        merge_input_done(&m.inputs[i]);
    history_free(m.durations);
    free(m.inputs);
    return rc;
}
