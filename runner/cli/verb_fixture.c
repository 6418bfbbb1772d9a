/* `provium fixture`: list, build, rebuild, clean, stale. A build is a run of one worker, which makes the fixture instead of
 * running tests (script/fixture_build.c). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "cli/guests.h"
#include "cli/preflight.h"
#include "cli/run_files.h"
#include "cli/say.h"
#include "cli/setup.h"
#include "cli/verb.h"
#include "config/values.h"
#include "fixture/base.h"
#include "fixture/evict.h"
#include "fixture/key.h"
#include "events/payload.h"
#include "pool/dispatcher.h"

struct command {
    const struct options *options;
    struct environment *env;
    struct config *config;
    const char *path; /* operand, or NULL */
};

/* ------------------------------------------------------------------------------------------------- list, clean */

/* Two decimals, as "23.45MiB"; malloc'ed. */
static char *show_size(uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
        value /= 1024;
    return unit ? xasprintf("%.2f%s", value, units[unit]) : xasprintf("%" PRIu64 "B", bytes);
}

static int list(struct command *c)
{
    struct store_items all;
    uint64_t total = 0, hot = 0;
    size_t count = 0;
    store_list(c->config->cache_dir, &all);
    for (size_t i = 0; i < all.count; i++) {
        const struct store_item *item = &all.items[i];
        char used[64] = "";
        time_t seconds = (time_t)(item->used_ns / NS_PER_S);
        struct tm tm;
        hot += item->hot_bytes;
        if (!item->entry)
            continue;
        if (localtime_r(&seconds, &tm))
            strftime(used, sizeof(used), "%Y-%m-%d %H:%M:%S", &tm);
        _cleanup_free_ char *size = show_size(item->bytes);
        printf("%10s  %-3s  %s  %s  %s\n", size, fixture_kind_words[item->kind], item->key,
               item->fixture ? item->fixture : "?", used);
        total += item->bytes;
        count++;
    }
    store_items_done(&all);
    _cleanup_free_ char *size = show_size(total), *hot_size = show_size(hot);
    printf("%zu entries, %s\n", count, size);
    if (hot)
        printf("%s more are hot forms, made again when missing\n", hot_size);
    return 0;
}

static int clean(struct command *c)
{
    _cleanup_err_ struct err e = ERR_INIT;
    size_t count = 0;
    if (store_clean(c->config->cache_dir, &count, &e) < 0) {
        say_error(&e);
        return EXIT_USAGE;
    }
    printf("%zu entries removed\n", count);
    return 0;
}

/* ------------------------------------------------------------------------------------------------- stale */

static int find_fixtures(struct command *c, struct discovery *found)
{
    _cleanup_err_ struct err e = ERR_INIT;
    if (discover(&STRV_INIT, &c->config->roots, FIXTURE_SUFFIX, found, &e) == 0)
        return 0;
    say_error(&e);
    return -1;
}

static bool is_stale(const struct fixture_world *world, const char *name)
{
    _cleanup_err_ struct err e = ERR_INIT;
    struct fixture_key key;
    if (fixture_key(world, name, &key, &e) < 0) {
        say_warning("%s", err_message(&e));
        return true;
    }
    const struct store_id vm = {world->config->cache_dir, key.hex, FIXTURE_VM}, lab = {vm.directory, key.hex, FIXTURE_LAB};
    bool stale = !base_is_complete(&vm) && !base_is_complete(&lab);
    fixture_key_done(&key);
    return stale;
}

static int stale(struct command *c)
{
    _cleanup_(discovery_done) struct discovery found = {0};
    _cleanup_free_ char *note = NULL;
    size_t count = 0;
    struct strv seen = STRV_INIT;
    if (find_fixtures(c, &found) < 0)
        return EXIT_USAGE;
    const struct launch_host host = {.environment = c->env,
                                     .kvm = found.count && guests_choose_kvm(c->options, c->config, c->env, &note),
                                     .no_build = c->options->no_build};
    const struct fixture_world world = {c->config, &host, (const char *const *)found.roots.items};
    for (size_t i = 0; i < found.count; i++) {
        const char *file = found.files[i].relative;
        _cleanup_free_ char *name = xstrndup(file, strlen(file) - strlen(FIXTURE_SUFFIX));
        if (strv_contains(&seen, name))
            continue;
        strv_add(&seen, name);
        if (!is_stale(&world, name))
            continue;
        puts(name);
        count++;
    }
    strv_done(&seen);
    printf("%zu stale fixture(s)\n", count);
    return 0;
}

/* ------------------------------------------------------------------------------------------------- build, rebuild */

static void on_file(struct file_result *r, void *arg)
{
    bool *passed = arg;
    *passed = r->status == FILE_PASSED;
    if (!*passed) {
        const char *why = r->chunk_error ? r->chunk_error : r->detail;
        say_warning("%s", why ? why : "the build failed");
    }
    file_result_free(r);
}

/* A stacked fixture may build others on its way. */
static void on_event(const struct event *ev, void *arg)
{
    (void)arg;
    int64_t duration = 0, bytes = 0;
    if (!event_is(ev, "fixture_build_done") || !payload_int(ev->payload, "snapshot_bytes", &bytes) || !bytes)
        return;
    payload_int(ev->payload, "duration_ns", &duration);
    _cleanup_free_ char *name = payload_string(ev->payload, "path"), *size = show_size((uint64_t)bytes);
    printf("built: %s (%s in %.1fs)\n", name, size, (double)duration / 1e9);
}

static void on_output(int fd, const char *text, size_t n, void *arg)
{
    (void)arg;
    write_full(fd, text, n);
}

/* Returns the exit code. */
static int dispatch(struct command *c, const char *file, const struct worker_run *worker, int broker)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    const struct event_stream_settings sinks = {.temporary_dir = c->env->temporary_dir, .on_event = on_event};
    struct event_stream *stream = event_stream_new(loop, &sinks, &e);
    if (!stream) {
        say_error(&e);
        return EXIT_USAGE;
    }
    _cleanup_buf_ struct buf job = BUF_INIT(1 << 20);
    worker_run_pack(worker, &job);
    const struct dispatch_file work = {.path = file, .label = file, .repeat = 1};
    struct run_totals totals;
    bool passed = false;
    const struct dispatcher_settings settings = {
        .loop = loop,
        .stream = stream,
        .files = &work,
        .file_count = 1,
        .argv = c->options->argv,
        .filter_json = "{}",
        .total = pool_budget(c->options),
        .jobs = 1,
        .library = -1,
        .broker = broker,
        .timeout_ns = c->options->timeout_ns,
        .job = &job,
        .on_file = on_file,
        .on_output = on_output,
        .arg = &passed,
    };
    int signal_number = dispatcher_run(&settings, &totals);
    event_stream_free(stream);
    return signal_number ? 128 + signal_number : passed ? 0 : EXIT_TESTS_FAILED;
}

static int build(struct command *c)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(discovery_done) struct discovery found = {0};
    _cleanup_free_ char *note = NULL, *run_id = guests_make_run_id();
    if (!c->options->no_preflight && preflight(c->config, c->env) < 0)
        return EXIT_USAGE;
    if (find_fixtures(c, &found) < 0)
        return EXIT_USAGE;
    _cleanup_free_ char *file = fixture_find((const char *const *)found.roots.items, c->path, &e);
    if (!file) {
        say_error(&e);
        return EXIT_TESTS_FAILED;
    }
    bool kvm = guests_choose_kvm(c->options, c->config, c->env, &note);
    _cleanup_close_ int broker = guests_start_broker();
    if (guests_enter_sandbox(c->config->sandbox, c->options->quiet) < 0)
        return EXIT_USAGE;
    const struct worker_run worker = {.roots = found.roots, .kvm = kvm, .accel_note = note, .run_id = run_id};
    return dispatch(c, file, &worker, broker);
}

static const struct {
    const char *name;
    bool takes_path;
    int (*run)(struct command *c);
} actions[] = {
    {"list", false, list},   {"build", true, build},  {"rebuild", true, build},
    {"clean", false, clean}, {"stale", false, stale},
};

static int run_action(struct command *c, const char *name)
{
    const char *names[ARRAY_SIZE(actions)];
    _cleanup_err_ struct err e = ERR_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
        names[i] = actions[i].name;
        if (strcmp(names[i], name))
            continue;
        if (actions[i].takes_path == !!c->path)
            return actions[i].run(c);
        err_set(&e, EINVAL, "fixture %s: %s", name,
                c->path ? "takes no path" : "which fixture? give its path below a test root");
        say_error(&e);
        return EXIT_USAGE;
    }
    const char *nearest = str_nearest(name, names, ARRAY_SIZE(names));
    err_set(&e, EINVAL, "fixture: unknown action `%s`; known: list, build, rebuild, clean, stale", name);
    if (nearest)
        err_hint(&e, "did you mean `%s`?", nearest);
    say_error(&e);
    return EXIT_USAGE;
}

int verb_fixture(const struct options *options)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(environment_freep) struct environment *env = setup_environment(options);
    _cleanup_(config_freep) struct config *config = setup_config(options, env, &e);
    if (!config) {
        say_error(&e);
        return EXIT_USAGE;
    }
    const struct strv *operands = &options->operands;
    struct command c = {options, env, config, operands->count > 1 ? operands->items[1] : NULL};
    return run_action(&c, operands->count ? operands->items[0] : "list");
}
