/* `provium [PATH...]`: finds the files, enters the sandbox, runs them and reports. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/preflight.h"
#include "cli/run_files.h"
#include "cli/say.h"
#include "cli/setup.h"
#include "cli/verb.h"
#include "fixture/evict.h"
#include "initrd/merge.h"
#include "ns/sandbox.h"
#include "config/qemu.h"
#include "vm/accel.h"

/* Continues in the inner process. */
static int enter_sandbox(enum sandbox_choice choice, bool quiet)
{
    _cleanup_err_ struct err e = ERR_INIT;
    fflush(NULL);
    if (choice == SANDBOX_OFF || sandbox_enter(&e) == 0)
        return 0;
    if (choice == SANDBOX_REQUIRE) {
        err_prefix(&e, "sandbox = \"require\"");
        say_error(&e);
        return -1;
    }
    if (!quiet)
        say_note("running without a sandbox: %s (`provium doctor` tells how to get it)", err_message(&e));
    return 0;
}

/* Tries KVM unless no profile wants it. *ret_note says why it is TCG; malloc'ed. */
static bool choose_kvm(const struct options *options, const struct config *config, const struct environment *env,
                       char **ret_note)
{
    _cleanup_err_ struct err e = ERR_INIT;
    bool wanted = false;
    for (size_t i = 0; i < config->profile_count; i++)
        wanted = wanted || (config->profiles[i].accel != ACCEL_TCG && config->profiles[i].arch == ARCH_X86_64);
    *ret_note = xstrdup("");
    if (!wanted)
        return false;
    _cleanup_free_ char *qemu = qemu_find(env, ARCH_X86_64, NULL);
    const struct accel_probe probe = {
        .qemu = qemu ? qemu : "", .scratch_root = env->scratch_root, .fresh = options->accel == ACCEL_KVM};
    if (accel_probe_kvm(&probe, &e) == 0)
        return true;
    free(*ret_note);
    *ret_note = xstrdup(err_message(&e));
    if (!options->quiet)
        say_note("guests run under TCG, software emulation: %s", err_message(&e));
    return false;
}

static uint64_t choose_seed(const struct options *options)
{
    uint64_t seed = options->seed;
    if (!options->seed_given && getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        seed = (uint64_t)getpid();
    return seed;
}

/* Names this run among all runs; malloc'ed. */
static char *make_run_id(void)
{
    return xasprintf("%" PRIx64 "-%d", (uint64_t)clock_realtime_ns(), (int)getpid());
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
    bool kvm = selection.count && choose_kvm(options, config, env, &accel_note);
    if (selection.count && enter_sandbox(config->sandbox, options->quiet) < 0)
        return EXIT_USAGE;
    initrd_cache_sweep(env->scratch_root);
    store_evict(config->cache_dir, config->cache_max_size);
    _cleanup_free_ char *run_id = make_run_id();
    struct worker_run worker = {
        .roots = selection.found.roots,
        .kvm = kvm,
        .accel_note = accel_note ? accel_note : (char[]){""},
        .run_id = run_id,
        .seed = seed,
    };
    return run_files(options, env, &selection, &worker);
}
