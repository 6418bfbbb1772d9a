#include "vm/launch.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/alloc.h"
#include "base/io.h"
#include "config/build.h"
#include "config/cmdline.h"
#include "config/qemu.h"
#include "initrd/agent_blob.h"
#include "initrd/overlay.h"
#include "vm/host_cpu.h"
#include "vm/kernel_image.h"
#include "vm/local.h"
#include "wire/message.h"

#define TCG_TIMEOUT_FACTOR 4
#define MEMORY_STEP        (UINT64_C(1) << 20)

uint64_t launch_memory(const struct profile *profile, const struct launch_options *options)
{
    uint64_t bytes = options->memory_bytes ? options->memory_bytes : profile->memory;
    return (bytes + MEMORY_STEP - 1) / MEMORY_STEP * MEMORY_STEP;
}

/* Which accelerator this profile gets, and why it is not KVM. */
static int choose_accel(const struct profile *profile, const struct launch_host *host, struct launch *l, struct err *e)
{
    enum accel_choice choice = profile->accel;
    bool foreign = profile->arch != ARCH_X86_64;
    l->boot.accel_note = choice == ACCEL_TCG ? NULL : foreign ? "a foreign architecture is emulated" : host->accel_note;
    l->boot.machine.kvm = choice != ACCEL_TCG && !foreign && host->kvm;
    if (choice == ACCEL_KVM && !l->boot.machine.kvm) {
        err_set(e, 0, "accel = \"kvm\": %s", l->boot.accel_note ? l->boot.accel_note : "KVM is not usable");
        return err_hint(e, "use accel = \"auto\" or \"tcg\"");
    }
    return 0;
}

static int prepare_cmdline(const struct profile *profile, const struct launch_options *options, struct launch *l,
                           struct err *e)
{
    const struct cmdline_parts parts = {
        .profile = profile->name,
        .base = options->kernel_cmdline ? options->kernel_cmdline : l->files.cmdline,
        .append = options->kernel_cmdline_append,
        .arch = profile->arch,
        .inject_agent = profile->inject_agent,
    };
    return cmdline_compose(&parts, &l->cmdline, e);
}

int launch_find_overlay(const struct profile *profile, const struct environment *environment, struct overlay *ret,
                        struct err *e)
{
    const struct overlay_search search = {
        .configured = profile->agent_overlay_path,
        .environment = environment->overlay,
        .binary_directory = environment->binary_dir,
        .agent = agent_blob_start,
        .agent_size = agent_blob_size(),
        .protocol = PROTOCOL_VERSION,
    };
    return overlay_find(&search, ret, e);
}

static int prepare_initrd(const struct profile *profile, const struct environment *environment,
                          const struct launch_options *options, struct launch *l, struct err *e)
{
    _cleanup_(overlay_done) struct overlay overlay = OVERLAY_INIT;
    if (profile->inject_agent && launch_find_overlay(profile, environment, &overlay, e) < 0)
        return -1;
    const struct initrd_request request = {
        .initrd = l->files.initrd,
        .overlay = profile->inject_agent ? &overlay : NULL,
        .files = options->files,
        .file_count = options->file_count,
        .scratch_root = environment->scratch_root,
    };
    _cleanup_(initrd_done) struct initrd initrd = INITRD_INIT;
    if (initrd_prepare(&request, &initrd, e) < 0)
        return -1;
    l->initrd_fd = steal_fd(&initrd.fd);
    l->overlay_path = steal_ptr(overlay.path);
    l->warning = initrd.warning ? steal_ptr(initrd.warning) : overlay.note ? steal_ptr(overlay.note) : NULL;
    return 0;
}

static int prepare_kernel(const struct profile *profile, const struct environment *environment, const char *path,
                          struct launch *l, struct err *e)
{
    _cleanup_(kernel_image_done) struct kernel_image image = KERNEL_IMAGE_INIT;
    if (kernel_image_open(path, arch_words[profile->arch], environment->scratch_root, &image, e) < 0)
        return -1;
    l->kernel_fd = steal_fd(&image.fd);
    return 0;
}

/* -rtc takes whole seconds; the agent sets the fraction. A deterministic boot does not know what time it is. */
static char *rtc_base(const struct launch_options *options, bool deterministic)
{
    struct tm tm;
    char text[64];
    time_t seconds = (time_t)floor(options->initial_time);
    if (!options->has_initial_time || seconds < 0 || !gmtime_r(&seconds, &tm))
        return xstrdup(deterministic ? "2000-01-01T00:00:00" : "utc");
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    return xstrdup(text);
}

static int64_t agent_timeout(const struct profile *profile, const struct launch_options *options, bool kvm)
{
    if (options->agent_timeout_ns)
        return options->agent_timeout_ns;
    if (profile->agent_boot_timeout_ns >= 0)
        return profile->agent_boot_timeout_ns;
    return DEFAULT_BOOT_TIMEOUT_S * NS_PER_S * (kvm ? 1 : TCG_TIMEOUT_FACTOR);
}

int launch_prepare_files(const struct profile *profile, const struct launch_host *host,
                         const struct launch_options *options, struct launch *l, struct err *e)
{
    const struct build_options build = {.skip = host->no_build, .run_id = host->run_id};
    if (profile_build(profile, host->environment, &build, e) < 0 ||
        profile_resolve(profile, host->environment, &l->files, e) < 0 ||
        prepare_cmdline(profile, options, l, e) < 0)
        return -1;
    if (prepare_kernel(profile, host->environment, l->files.kernel, l, e) < 0 ||
        prepare_initrd(profile, host->environment, options, l, e) < 0)
        return err_prefix(e, "profile `%s`", profile->name);
    return 0;
}

static void append(struct launch *l, const char *parameter)
{
    char *joined = cmdline_join(l->cmdline, parameter);
    free(l->cmdline);
    l->cmdline = joined;
}

/* On a busy host an emulated timer interrupt may come too late for the kernel's check of the wiring, which then panics
 * ("IO-APIC + timer doesn't work!"). Under KVM the kernel leaves the check out by itself (arch/x86/kernel/kvm.c). */
static void skip_timer_check(struct launch *l)
{
    append(l, "no_timer_check");
}

/* A machine whose boot is to be the same each time. */
static void seed_boot(struct launch *l, const struct launch_options *options)
{
    bool deterministic = machine_is_deterministic(&l->boot.machine);
    if (deterministic) {
        _cleanup_free_ char *seed = xasprintf(MACHINE_SEED_PARAMETER "%" PRIu64, options->rng_seed);
        append(l, seed);
    }
    l->boot.set_clock = deterministic && !options->has_initial_time;
    l->rtc_base = rtc_base(options, deterministic);
    l->boot.machine.cmdline = l->cmdline;
    l->boot.machine.rtc_base = l->rtc_base;
}

/* What only a machine can be given. */
static int check_local(const struct launch_options *options, struct err *e)
{
    const char *given = options->kernel_cmdline          ? "kernel_cmdline"
                        : options->kernel_cmdline_append ? "kernel_cmdline_append"
                        : options->has_initial_time      ? "initial_time"
                        : options->has_rng_seed          ? "rng_seed"
                        : options->file_count            ? "files"
                                                         : NULL;
    return given ? local_refuse(given, e) : 0;
}

static int prepare_local(const struct profile *profile, const struct launch_host *host, const char *name,
                         const struct launch_options *options, struct launch *l, struct err *e)
{
    _cleanup_(overlay_done) struct overlay overlay = OVERLAY_INIT;
    _cleanup_buf_ struct buf binary = BUF_INIT(AGENT_MAX);
    if (check_local(options, e) < 0 || launch_find_overlay(profile, host->environment, &overlay, e) < 0 ||
        overlay_agent(&overlay, &binary, e) < 0)
        return -1;
    l->agent_fd = memfd_create("provium-agent", MFD_CLOEXEC);
    if (l->agent_fd < 0 || write_full(l->agent_fd, buf_head(&binary), binary.len) < 0)
        return err_errno(e, "the agent's binary");
    l->warning = steal_ptr(overlay.note);
    l->boot = (struct vm_boot){
        .machine = {.name = name, .arch = arch_words[profile->arch], .machine = "", .cpu = "", .kvm = true, .cmdline = ""},
        .local = true,
        .agent_fd = l->agent_fd,
        .agent_timeout_ns = agent_timeout(profile, options, true),
    };
    return 0;
}

int launch_prepare(const struct profile *profile, const struct launch_host *host, const char *name,
                   const struct launch_options *options, struct launch *ret, struct err *e)
{
    *ret = LAUNCH_INIT;
    if (host->local) {
        if (prepare_local(profile, host, name, options, ret, e) == 0)
            return 0;
        launch_done(ret);
        return -1;
    }
    ret->qemu = qemu_find(host->environment, profile->arch, e);
    if (!ret->qemu || choose_accel(profile, host, ret, e) < 0 || launch_prepare_files(profile, host, options, ret, e) < 0) {
        launch_done(ret);
        return -1;
    }
    bool kvm = ret->boot.machine.kvm;
    if (!kvm && profile->arch == ARCH_X86_64)
        skip_timer_check(ret);
    ret->boot.machine = (struct machine){
        .qemu = ret->qemu,
        .name = name,
        .arch = arch_words[profile->arch],
        .machine = profile->machine,
        .cpu = profile->cpu,
        .kvm = kvm,
        .memory_bytes = launch_memory(profile, options),
        .cpus = options->cpus ? (unsigned)options->cpus : profile->cpus,
        .kernel_fd = ret->kernel_fd,
        .initrd_fd = ret->initrd_fd,
        .memory_fd = -1,
        .state_fd = -1,
        .seeded = options->has_rng_seed,
        .rng_seed = options->rng_seed,
    };
    seed_boot(ret, options);
    ret->boot.agent_timeout_ns = agent_timeout(profile, options, kvm);
    ret->boot.has_initial_time = options->has_initial_time;
    ret->boot.initial_time = options->initial_time;
    return 0;
}

int launch_check_origin(const struct profile *profile, const struct snapshot_info *info, bool kvm, struct err *e)
{
    const char *arch = arch_words[profile->arch];
    if (strcmp(info->arch, arch))
        return err_set(e, SNAPSHOT_UNFIT, "taken of a guest for %s; profile `%s` is for %s", info->arch, profile->name, arch);
    if (info->kvm != kvm) {
        err_set(e, SNAPSHOT_UNFIT, "taken under %s; guests run under %s here", info->kvm ? "KVM" : "emulation (TCG)",
                kvm ? "KVM" : "emulation (TCG)");
        return err_hint(e, "take it again here, or choose the accelerator with --accel");
    }
    if (!kvm)
        return 0;
    _cleanup_free_ char *cpu = host_cpu_identity();
    if (!strcmp(cpu, info->host_cpu))
        return 0;
    err_set(e, SNAPSHOT_UNFIT, "taken on another CPU: %s; this is %s", info->host_cpu, cpu);
    return err_hint(e, "take it again here");
}

int launch_restore(const struct profile *profile, const struct launch_host *host, const char *name,
                   const struct snapshot_info *info, struct launch *ret, struct err *e)
{
    const struct launch_options options = {.memory_bytes = info->memory_bytes, .cpus = info->cpus,
                                           .has_rng_seed = info->seeded, .rng_seed = info->rng_seed};
    struct launch_host built = *host;
    built.no_build = true;
    if (launch_prepare(profile, &built, name, &options, ret, e) < 0)
        return -1;
    if (launch_check_origin(profile, info, ret->boot.machine.kvm, e) < 0) {
        launch_done(ret);
        return -1;
    }
    free(ret->cmdline);
    ret->cmdline = xstrdup(info->cmdline);
    ret->machine = xstrdup(info->machine);
    ret->cpu = xstrdup(info->cpu);
    ret->boot.machine.cmdline = ret->cmdline;
    ret->boot.machine.machine = ret->machine;
    ret->boot.machine.cpu = ret->cpu;
    return 0;
}

void launch_done(struct launch *l)
{
    profile_files_done(&l->files);
    free(l->overlay_path);
    free(l->qemu);
    free(l->cmdline);
    free(l->rtc_base);
    free(l->machine);
    free(l->cpu);
    free(l->warning);
    close_fd(&l->kernel_fd);
    close_fd(&l->initrd_fd);
    close_fd(&l->agent_fd);
    *l = LAUNCH_INIT;
}
