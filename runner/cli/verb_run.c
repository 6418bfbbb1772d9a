/* `provium [PATH...]`: finds the files, enters the sandbox, runs them and reports. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/guests.h"
#include "cli/preflight.h"
#include "cli/run_files.h"
#include "cli/say.h"
#include "cli/setup.h"
#include "cli/verb.h"
#include "fixture/evict.h"
#include "initrd/merge.h"

static uint64_t choose_seed(const struct options *options)
{
    uint64_t seed = options->seed;
    if (!options->seed_given && getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        seed = (uint64_t)getpid();
    return seed;
}

int verb_run(const struct options *options)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(selection_done) struct selection selection = {0};
    _cleanup_(environment_freep) struct environment *env = setup_environment(options);
    _cleanup_(config_freep) struct config *config = setup_config(options, env, &e);
    uint64_t seed = choose_seed(options);
    if (!config || select_files(options, env, config, seed, &selection, &e) < 0) {
        say_error(&e);
        return EXIT_USAGE;
    }
    if (!config->file && !options->quiet)
        say_note("no provium.toml here: using the built-in profile `%s`", DEFAULT_PROFILE);
    if (!selection.count)
        say_note("no test files found");
    else if (!options->no_preflight && preflight(config, env) < 0)
        return EXIT_USAGE;
    _cleanup_free_ char *accel_note = NULL;
    bool kvm = selection.count && guests_choose_kvm(options, config, env, &accel_note);
    if (selection.count && guests_enter_sandbox(config->sandbox, options->quiet) < 0)
        return EXIT_USAGE;
    initrd_cache_sweep(env->scratch_root);
    store_evict(config->cache_dir, config->cache_max_size);
    _cleanup_free_ char *run_id = guests_make_run_id();
    struct worker_run worker = {
        .roots = selection.found.roots,
        .kvm = kvm,
        .accel_note = accel_note ? accel_note : (char[]){""},
        .run_id = run_id,
        .seed = seed,
    };
    return run_files(options, env, &selection, &worker);
}
