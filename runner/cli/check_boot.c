#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/check.h"
#include "guest/guest.h"
#include "vm/launch.h"

static double since(int64_t *at)
{
    int64_t now = clock_monotonic_ns(), before = *at;
    *at = now;
    return (double)(now - before) / 1e9;
}

static int boot(const struct profile *profile, const struct launch_host *host, char **ret_phases, struct err *e)
{
    const struct launch_options none = {0};
    _cleanup_(launch_done) struct launch l = LAUNCH_INIT;
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    _cleanup_(vm_freep) struct vm *vm = vm_new(loop, "doctor", host->environment->temporary_dir, e);
    int64_t at = clock_monotonic_ns();
    if (!vm || launch_prepare(profile, host, "doctor", &none, &l, e) < 0)
        return -1;
    double prepared = since(&at);
    if (vm_boot_begin(vm, &l.boot, e) < 0)
        return -1;
    double started = since(&at);
    if (vm_boot_wait(vm, &l.boot, deadline_after(l.boot.agent_timeout_ns), e) < 0)
        return -1;
    double booted = since(&at);
    struct guest *guest;
    int64_t deadline = deadline_after(l.boot.agent_timeout_ns);
    if (vm_guest(vm, "ping", deadline, &guest, e) < 0 || guest_ping(guest, deadline, e) < 0)
        return -1;
    double answered = since(&at);
    vm_shutdown(vm);
    *ret_phases = xasprintf("files %.2f s, %s %.2f s, %s %.2f s, an answer %.1f ms, end %.2f s", prepared,
                            host->local ? "process" : "QEMU", started, host->local ? "agent" : "kernel and agent", booted,
                            answered * 1000, since(&at));
    return 0;
}

void check_boot(struct check_list *list, const struct profile *profile, const struct launch_host *host)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_free_ char *phases = NULL;
    if (boot(profile, host, &phases, &e) == 0)
        check_add(list, CHECK_OK, "boot", NULL, "`%s` %s: %s", profile->name,
                  host->local ? "without a machine" : host->kvm ? "under KVM" : "under TCG", phases);
    else
        check_add(list, CHECK_FAIL, "boot", e.hint, "`%s`: %s", profile->name, err_message(&e));
}
