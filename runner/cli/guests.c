#include "cli/guests.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/say.h"
#include "config/qemu.h"
#include "ns/sandbox.h"
#include "uplink/broker.h"
#include "vm/accel.h"

int guests_enter_sandbox(enum sandbox_choice choice, bool quiet)
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

bool guests_choose_kvm(const struct options *options, const struct config *config, const struct environment *env,
                       char **ret_note)
{
    _cleanup_err_ struct err e = ERR_INIT;
    bool wanted = false;
    for (size_t i = 0; i < config->profile_count; i++)
        wanted = wanted || (config->profiles[i].accel != ACCEL_TCG && config->profiles[i].arch == ARCH_X86_64);
    *ret_note = xstrdup("");
    if (config->local && !options->quiet)
        say_note("--vmm local: no guests and no kernels of their own, what tests run are processes of this host");
    if (!wanted || config->local)
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

char *guests_make_run_id(void)
{
    return xasprintf("%" PRIx64 "-%d", (uint64_t)clock_realtime_ns(), (int)getpid());
}

int guests_start_broker(void)
{
    _cleanup_err_ struct err e = ERR_INIT;
    pid_t pid;
    int broker = uplink_broker_start(&pid, &e);
    if (broker < 0)
        say_warning("bridges can have no uplink: %s", err_message(&e));
    return broker;
}
