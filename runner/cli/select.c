/* A pipeline over the discovered files: --filter (in setup_files), --rerun-failed, --since, --shard, --shuffle,
 * --repeat. Each step but the last only drops or reorders. */
#include "cli/select.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/io.h"
#include "cli/history.h"
#include "cli/say.h"
#include "cli/setup.h"
#include "fixture/scan.h"
#include "initrd/hash.h"

#define SOURCE_MAX ((size_t)64 << 20)

/* ------------------------------------------------------------------------------------------------- dropping */

/* Keeps the files for which `keep` is true. */
static void keep_files(struct discovery *d, bool (*keep)(const struct test_file *, size_t index, const void *), const void *arg)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->count; i++) {
        if (keep(&d->files[i], i, arg))
            d->files[kept++] = d->files[i];
        else
            free(d->files[i].path);
    }
    d->count = kept;
}

static bool has_failed(const struct test_file *file, size_t index, const void *arg)
{
    (void)index;
    _cleanup_free_ char *canonical = realpath(file->path, NULL);
    return canonical && strv_contains(arg, canonical);
}

static void select_failed(struct discovery *d, const struct environment *env)
{
    _cleanup_strv_ struct strv failed = STRV_INIT;
    if (!history_failed(env, &failed))
        say_note("--rerun-failed: no run has failed yet");
    keep_files(d, has_failed, &failed);
}

static bool is_newer(const struct test_file *file, size_t index, const void *arg)
{
    const struct timespec *since = arg;
    struct stat st;
    (void)index;
    if (stat(file->path, &st) < 0)
        return true; /* its run will say what is wrong */
    return st.st_mtim.tv_sec != since->tv_sec ? st.st_mtim.tv_sec > since->tv_sec : st.st_mtim.tv_nsec > since->tv_nsec;
}

static int select_since(struct discovery *d, const char *path, struct err *e)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        err_errno(e, "--since: `%s`", path);
        return err_hint(e, "name a file or directory; test files changed later than it are run");
    }
    keep_files(d, is_newer, &st.st_mtim);
    return 0;
}

/* ------------------------------------------------------------------------------------------------- shards */

struct weighed {
    const char *path;
    size_t index;
    double seconds;
};

static int heavier_first(const void *a, const void *b)
{
    const struct weighed *x = a, *y = b;
    if (x->seconds != y->seconds)
        return x->seconds < y->seconds ? 1 : -1;
    return strcmp(x->path, y->path);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct weighed *)a)->path, ((const struct weighed *)b)->path);
}

/* Unknown durations count as the median of the known ones, or 1. Sorts. */
static void fill_unknown(struct weighed *w, size_t count)
{
    size_t known = 0;
    qsort(w, count, sizeof(*w), heavier_first); /* unknown ones are -1: last */
    while (known < count && w[known].seconds >= 0)
        known++;
    double median = !known ? 1 : known % 2 ? w[known / 2].seconds : (w[known / 2 - 1].seconds + w[known / 2].seconds) / 2;
    for (size_t i = known; i < count; i++)
        w[i].seconds = median;
}

static char *hash_inputs(struct weighed *w, size_t count)
{
    char hex[HASH_HEX_SIZE];
    _cleanup_buf_ struct buf text = BUF_INIT((size_t)1 << 30);
    qsort(w, count, sizeof(*w), by_path);
    for (size_t i = 0; i < count; i++)
        buf_printf(&text, "%s\n%.6f\n", w[i].path, w[i].seconds);
    hash_bytes(text.len ? (const void *)buf_head(&text) : "", text.len, hex);
    return xstrdup(hex);
}

/* Each file goes to the shard with the least to do; marks[index] is set for those of the shard `mine` (from 0). */
static void deal_out(const struct weighed *w, size_t count, unsigned shards, unsigned mine, bool *marks)
{
    _cleanup_free_ double *load = xnewa(double, shards);
    for (size_t i = 0; i < count; i++) {
        unsigned least = 0;
        for (unsigned s = 1; s < shards; s++)
            if (load[s] < load[least])
                least = s;
        load[least] += w[i].seconds;
        marks[w[i].index] = least == mine;
    }
}

static bool is_marked(const struct test_file *file, size_t index, const void *arg)
{
    (void)file;
    return ((const bool *)arg)[index];
}

static int select_shard(struct selection *s, const struct options *options, const struct environment *env,
                        const struct config *config, struct err *e)
{
    struct discovery *d = &s->found;
    _cleanup_free_ char *directory = config->file ? path_directory(config->file) : xstrdup(".");
    struct durations *durations = s->durations = durations_load(options->durations, directory, env, e);
    _cleanup_free_ struct weighed *weighed = xnewa(struct weighed, d->count + 1);
    _cleanup_free_ bool *marks = xnewa(bool, d->count + 1);
    if (!durations)
        return -1;
    bool shared = durations_are_shared(durations); /* slices by what only this machine knows could overlap */
    for (size_t i = 0; i < d->count; i++)
        weighed[i] = (struct weighed){d->files[i].path, i, shared ? durations_of(durations, d->files[i].path) : -1};
    fill_unknown(weighed, d->count);
    s->input_hash = hash_inputs(weighed, d->count);
    s->shard = xasprintf("%u/%u", options->shard.index, options->shard.count);
    qsort(weighed, d->count, sizeof(*weighed), heavier_first);
    deal_out(weighed, d->count, options->shard.count, options->shard.index - 1, marks);
    keep_files(d, is_marked, marks);
    return 0;
}

/* ------------------------------------------------------------------------------------------------- order */

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators) */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void shuffle(struct discovery *d, uint64_t seed)
{
    for (size_t i = d->count; i > 1; i--) {
        size_t other = (size_t)(next_random(&seed) % i);
        struct test_file kept = d->files[i - 1];
        d->files[i - 1] = d->files[other];
        d->files[other] = kept;
    }
}

static void repeat(struct selection *s, unsigned times)
{
    const struct discovery *d = &s->found;
    s->count = d->count * times;
    s->files = xnewa(struct dispatch_file, s->count + 1);
    for (size_t i = 0; i < s->count; i++) {
        const char *path = d->files[i % (d->count ? d->count : 1)].path;
        unsigned round = (unsigned)(i / d->count) + 1;
        if (times > 1)
            strv_addf(&s->labels, "%s#%u", path, round);
        else
            strv_add(&s->labels, path);
        s->files[i] = (struct dispatch_file){.path = path, .label = s->labels.items[i], .repeat = round};
    }
}

int select_files(const struct options *options, const struct environment *env, const struct config *config,
                 uint64_t seed, struct selection *ret, struct err *e)
{
    _cleanup_(selection_done) struct selection s = {0};
    if (setup_files(options, config, &s.found, e) < 0)
        return -1;
    if (options->rerun_failed && !options->watch)
        select_failed(&s.found, env);
    if (options->since && select_since(&s.found, options->since, e) < 0)
        return -1;
    if (select_shard(&s, options, env, config, e) < 0)
        return -1;
    if (options->shuffle == SHUFFLE_FILES || options->shuffle == SHUFFLE_ALL)
        shuffle(&s.found, seed);
    repeat(&s, options->repeat);
    *ret = s;
    s = (struct selection){0};
    return 0;
}

void selection_scan(struct selection *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct dispatch_file *file = &s->files[i];
        _cleanup_buf_ struct buf text = BUF_INIT(SOURCE_MAX);
        struct lua_uses uses;
        if (file_read(file->path, &text, NULL) < 0)
            continue; /* its run will say what is wrong */
        lua_scan((const char *)buf_head(&text), text.len, &uses);
        for (size_t j = 0; j < uses.count; j++)
            if (uses.items[j].kind == LUA_USE_FIXTURE)
                strv_add(&file->fixture_refs, uses.items[j].name);
        file->declares_claim = uses.claims;
        file->claim = (struct amount){.memory_bytes = uses.claim_memory, .cpus = uses.claim_cpus};
        lua_uses_done(&uses);
    }
}

void selection_done(struct selection *s)
{
    discovery_done(&s->found);
    for (size_t i = 0; i < s->count; i++)
        strv_done(&s->files[i].fixture_refs);
    free(s->files);
    strv_done(&s->labels);
    durations_free(s->durations);
    free(s->shard);
    free(s->input_hash);
    *s = (struct selection){0};
}
