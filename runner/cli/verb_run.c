/* `provium [PATH...]`: finds the files, enters the sandbox, runs them and reports. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/coverage_step.h"
#include "cli/guests.h"
#include "cli/ksm.h"
#include "cli/output.h"
#include "cli/preflight.h"
#include "cli/run_files.h"
#include "cli/say.h"
#include "cli/setup.h"
#include "cli/verb.h"
#include "cli/watch.h"
#include "fixture/evict.h"
#include "initrd/merge.h"

static uint64_t choose_seed(const struct options *options)
{
    uint64_t seed = options->seed;
    if (!options->seed_given && getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        seed = (uint64_t)getpid();
    return seed;
}

/* What all runs of this process share. */
struct running {
    const struct options *options;
    const struct environment *env;
    struct run_session *session;
    const struct coverage_step *coverage;
    bool kvm;
    char *accel_note;
};

static int run_once(const struct config *config, const struct selection *selection, int *ret_signal, void *arg)
{
    const struct running *running = arg;
    _cleanup_free_ char *run_id = guests_make_run_id();
    struct worker_run worker = {
        .roots = selection->found.roots,
        .kvm = running->kvm,
        .accel_note = running->accel_note ? running->accel_note : (char[]){""},
        .run_id = run_id,
        .seed = running->options->seed,
    };
    initrd_cache_sweep(running->env->scratch_root);
    store_evict(config->cache_dir, config->cache_max_size);
    int code = run_session_run(running->session, selection, &worker, ret_signal);
    int out = output_owns_stdout(running->options) ? STDERR_FILENO : STDOUT_FILENO;
    if (running->coverage->path && !coverage_step_report(running->coverage, out) && !code)
        code = EXIT_TESTS_FAILED;
    return code;
}

/* Behind the checks: chooses the accelerator, enters the sandbox and runs. */
static int run_selection(const struct options *options, const struct environment *env, const struct config *config,
                         const struct selection *selection, const struct coverage_step *coverage)
{
    _cleanup_err_ struct err e = ERR_INIT;
    struct running running = {.options = options, .env = env, .coverage = coverage};
    bool guests = selection->count || options->watch;
    int signal_number, code = EXIT_USAGE;
    if (guests && !config->local && !options->no_ksm && ksm_tune(KSM_DIRECTORY))
        say_note("KSM merges equal pages of guests now (--no-ksm leaves it alone)");
    running.kvm = guests && guests_choose_kvm(options, config, env, &running.accel_note);
    int broker = guests ? guests_start_broker() : -1;
    if (!guests || guests_enter_sandbox(config->sandbox, options->quiet) == 0) {
        running.session = run_session_new(options, env, broker, &e);
        if (!running.session)
            say_error(&e);
        else if (options->watch)
            code = run_session_end(running.session, watch(options, env, running.session, run_once, &running));
        else
            code = run_session_end(running.session, run_once(config, selection, &signal_number, &running));
    }
    free(running.accel_note);
    return code;
}

static void say_nothing_found(const struct options *options, const struct config *config)
{
    const struct strv *where = options->operands.count ? &options->operands : &config->roots;
    _cleanup_free_ char *below = where->count ? strv_join(where, "`, `") : xstrdup(".");
    if (options->filter || options->since || options->rerun_failed || options->shard.count > 1)
        say_note("no test files found below `%s` that --filter, --rerun-failed, --since and --shard let through", below);
    else
        say_note("no test files found below `%s`: their names end in .test.lua", below);
}

/* Reports are written at the end, but that they cannot be should not be found out then. */
static int check_report(const char *flag, const char *path, struct err *e)
{
    _cleanup_free_ char *directory = path ? path_directory(path) : NULL;
    if (!path || access(path, W_OK) == 0 || access(directory, W_OK | X_OK) == 0)
        return 0;
    err_errno(e, "--%s: `%s`", flag, path);
    return err_hint(e, "it needs a directory that exists and may be written to");
}

int verb_run(const struct options *given)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(selection_done) struct selection selection = {0};
    _cleanup_(environment_freep) struct environment *env = setup_environment(given);
    _cleanup_(config_freep) struct config *config = setup_config(given, env, &e);
    struct options options = *given; /* with what was left open */
    struct coverage_step coverage;
    options.seed = choose_seed(given);
    if (!config || select_files(&options, env, config, options.seed, &selection, &e) < 0) {
        say_error(&e);
        return EXIT_USAGE;
    }
    if (check_report("junit", options.junit, &e) < 0 || check_report("html", options.html, &e) < 0) {
        say_error(&e);
        return EXIT_USAGE;
    }
    if (!config->file && !options.quiet)
        say_note("no provium.toml here: using the built-in profile `%s`", DEFAULT_PROFILE);
    if (!selection.count)
        say_nothing_found(&options, config);
    selection_scan(&selection);
    if ((selection.count || options.watch) && !options.no_preflight && preflight(config, env) < 0)
        return EXIT_USAGE;
    if (coverage_step_begin(&coverage, &options, env, &e) < 0) {
        say_error(&e);
        return EXIT_USAGE;
    }
    if (coverage.path)
        options.save_events = coverage.path;
    int code = run_selection(&options, env, config, &selection, &coverage);
    coverage_step_end(&coverage);
    return code;
}
