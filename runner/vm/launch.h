/* From a profile and boot options to what vm_boot_begin needs: files opened, initrd merged, command line composed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "config/config.h"
#include "config/resolve.h"
#include "initrd/merge.h"
#include "vm/vm.h"

/* What holds for every VM of the run. Borrowed. */
struct launch_host {
    const struct environment *environment;
    bool kvm;               /* the accelerator that `auto` stands for */
    const char *accel_note; /* why it is TCG, or NULL */
    bool no_build;
    bool local;             /* --vmm local: nothing but the agent is prepared */
    const char *run_id;     /* see build.h */
};

/* Boot options (spec: vm). Borrowed. Zero or NULL: the profile's. */
struct launch_options {
    uint64_t memory_bytes;
    uint64_t cpus;
    const char *kernel_cmdline, *kernel_cmdline_append;
    int64_t agent_timeout_ns; /* 0: not given */
    bool has_rng_seed, has_initial_time;
    uint64_t rng_seed;
    double initial_time;
    const struct initrd_file *files;
    size_t file_count;
};

struct launch {
    struct vm_boot boot; /* borrows from the fields below */
    struct profile_files files;
    char *overlay_path; /* NULL: the embedded agent, or none */
    char *qemu, *cmdline, *rtc_base;
    char *machine, *cpu; /* of a snapshot, or NULL: the profile's */
    int kernel_fd, initrd_fd, agent_fd;
    char *warning; /* to be shown once, or NULL */
};
#define LAUNCH_INIT ((struct launch){.kernel_fd = -1, .initrd_fd = -1, .agent_fd = -1})

/* `name` is shown by ps(1). */
int launch_prepare(const struct profile *profile, const struct launch_host *host, const char *name,
                   const struct launch_options *options, struct launch *ret, struct err *e);
/* The same for a machine that goes on with a snapshot's state: everything but kernel and initrd, which it needs when it is
 * reset, comes from there. Fails with the reason when the state can't be used here. */
int launch_restore(const struct profile *profile, const struct launch_host *host, const char *name,
                   const struct snapshot_info *info, struct launch *ret, struct err *e);
/* Why the machine of the snapshot can't go on here, if so: SNAPSHOT_UNFIT. Nothing is started for that. */
int launch_check_origin(const struct profile *profile, const struct snapshot_info *info, bool kvm, struct err *e);
void launch_done(struct launch *l);
/* Only the part that `provium prepare` does: builds, finds and checks the files, composes the command line, fills the
 * caches. */
int launch_prepare_files(const struct profile *profile, const struct launch_host *host,
                         const struct launch_options *options, struct launch *ret, struct err *e);
/* The agent overlay of a profile, whole. */
int launch_find_overlay(const struct profile *profile, const struct environment *environment, struct overlay *ret,
                        struct err *e);
/* Memory that a boot with these options takes, in bytes: the pool wants to know first. */
uint64_t launch_memory(const struct profile *profile, const struct launch_options *options);
