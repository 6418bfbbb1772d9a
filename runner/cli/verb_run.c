/* `provium [PATH...]`: finds the files, enters the sandbox, runs them and reports. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/filter.h"
#include "cli/preflight.h"
#include "cli/say.h"
#include "cli/setup.h"
#include "cli/verb.h"
#include "initrd/merge.h"
#include "ns/sandbox.h"
#include "pool/dispatcher.h"
#include "pool/host.h"
#include "pool/worker.h"
#include "config/qemu.h"
#include "report/report.h"
#include "vm/accel.h"

struct run {
    const struct options *options;
    struct text_report text;
    uint64_t seed;
    bool output_failed;
};

static bool wants_colour(const struct options *options, FILE *out)
{
    const char *none = getenv("NO_COLOR");
    if (options->color != COLOR_AUTO)
        return options->color == COLOR_ALWAYS;
    return isatty(fileno(out)) && !(none && *none);
}

static void on_file(struct file_result *r, void *arg)
{
    struct run *run = arg;
    text_report_file(&run->text, r);
    if (run->options->json && !json_report_file(stdout, r, run->seed))
        run->output_failed = true;
}

static struct amount pool_budget(const struct options *options)
{
    struct host_resources host = host_resources_read("/proc", "/sys/fs/cgroup");
    double cpus = options->cpus ? options->cpus : host.cpus;
    if (options->cpu_overcommit > 0)
        cpus *= options->cpu_overcommit;
    return (struct amount){
        .memory_bytes = options->memory ? options->memory : host.memory / 5 * 4,
        .cpus = cpus < 1 ? 1 : (uint64_t)cpus,
    };
}

static int exit_code(const struct run *run, const struct run_totals *totals, int signal_number)
{
    if (signal_number)
        return 128 + signal_number;
    if (run->output_failed)
        return EXIT_USAGE;
    return totals->files_bad ? EXIT_TESTS_FAILED : 0;
}

static int run_files(const struct options *options, const struct discovery *found, struct worker_run *worker)
{
    struct run run = {
        .options = options,
        .seed = worker->seed,
        .text = {.out = options->json ? stderr : stdout,
                 .verbosity = options->quiet     ? VERBOSITY_QUIET
                              : options->verbose ? VERBOSITY_VERBOSE
                                                 : VERBOSITY_NORMAL},
    };
    run.text.colour = wants_colour(options, run.text.out);
    _cleanup_strv_ struct strv paths = STRV_INIT;
    for (size_t i = 0; i < found->count; i++)
        strv_add(&paths, found->files[i].path);
    _cleanup_buf_ struct buf job = BUF_INIT(1 << 20);
    worker_run_pack(worker, &job);
    struct amount budget = pool_budget(options);
    _cleanup_free_ char *filter = filter_json(options);
    const struct dispatcher_settings settings = {
        .files = &paths,
        .argv = options->argv,
        .filter_json = filter,
        .total = budget,
        .jobs = options->jobs ? options->jobs : (unsigned)budget.cpus,
        .timeout_ns = options->timeout_ns,
        .fail_fast = options->fail_fast,
        .job = &job,
        .on_file = on_file,
        .arg = &run,
    };
    struct run_totals totals;
    int signal_number = dispatcher_run(&settings, &totals);
    text_report_end(&run.text, &totals);
    if (totals.files_bad || options->seed_given)
        say_note("seed %llu", (unsigned long long)run.seed);
    if (fflush(stdout) == EOF || ferror(stdout))
        run.output_failed = true;
    return exit_code(&run, &totals, signal_number);
}

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
    _cleanup_(discovery_done) struct discovery files = {0};
    _cleanup_(environment_freep) struct environment *env = setup_environment(options);
    _cleanup_(config_freep) struct config *config = setup_config(options, env, &e);
    if (!config || setup_files(options, config, &files, &e) < 0) {
        say_error(&e);
        return EXIT_USAGE;
    }
    if (!config->file && !options->quiet)
        say_note("no provium.toml here: using the built-in profile `%s`", DEFAULT_PROFILE);
    if (!files.count) {
        say_note("no test files found");
        return 0;
    }
    if (!options->no_preflight && preflight(config, env) < 0)
        return EXIT_USAGE;
    _cleanup_free_ char *accel_note = NULL;
    bool kvm = choose_kvm(options, config, env, &accel_note);
    if (enter_sandbox(config->sandbox, options->quiet) < 0)
        return EXIT_USAGE;
    initrd_cache_sweep(env->scratch_root);
    _cleanup_free_ char *run_id = make_run_id();
    struct worker_run worker = {
        .roots = files.roots,
        .kvm = kvm,
        .accel_note = accel_note,
        .run_id = run_id,
        .seed = choose_seed(options),
    };
    return run_files(options, &files, &worker);
}
