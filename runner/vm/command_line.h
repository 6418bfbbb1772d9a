/* The QEMU command line of a VM: a pure function from a machine description to an argument vector. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/strv.h"

/* One virtio-net device; its frames go over a connected stream socket. */
struct machine_nic {
    char id[32]; /* of device and netdev */
    char mac[24];
    int slot; /* of the bridge for hot-plug, from 0; -1: on the root bus */
    int fd;
};

/* A machine as QEMU sees it. Descriptors are numbers that QEMU inherits; -1 leaves the part out. */
struct machine {
    const char *qemu;        /* the binary */
    const char *name;        /* shown by ps(1) */
    const char *arch;        /* "x86_64" or "aarch64" */
    const char *machine;     /* QEMU machine type or "auto" */
    const char *cpu;         /* QEMU CPU model or "auto" */
    bool kvm;                /* else TCG */
    uint64_t memory_bytes;   /* a multiple of 1 MiB */
    unsigned cpus;
    const char *cmdline;     /* the kernel's, complete */
    int kernel_fd, initrd_fd;
    int qmp_fd, console_fd, agent_fd, agent_isa_fd;
    int memory_fd;           /* a file of at least memory_bytes that is the guest's memory; -1: QEMU's own */
    int state_fd;            /* the devices' state is to be loaded from here, on top of the file's memory, which stays as
                                it is: writes are private; -1: a boot */
    const struct machine_nic *nics; /* in the order of their PCI slots */
    size_t nic_count;
    const char *rtc_base;    /* "utc" or a date as -rtc base= takes it */
    bool seeded;             /* virtio-rng delivers a stream that depends on rng_seed alone; see machine_is_deterministic */
    uint64_t rng_seed;
};

/* The id of the NIC at that place of a snapshot, in any machine that goes on with it. */
void machine_restored_nic(size_t index, char id[static 32]);

/* What QEMU's device_add and -device take for a NIC, without "virtio-net-pci,": no offloads, frames as they are. No
 * announcements after a restore: QEMU 7.2 crashes at the reset of a NIC that has them when announce-rounds is 0. */
#define MACHINE_NIC_FEATURES                                                                       \
    "csum=off,gso=off,host_tso4=off,host_tso6=off,host_ecn=off,host_ufo=off,guest_csum=off,"       \
    "guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,guest_announce=off"
/* What is plugged later sits behind one PCI bridge, `hotplug`, and comes by ACPI: all its slots cost a boot less than one
 * pcie-root-port would (35 ms each under TCG). Firmware sets aside address space for a bridge only with shpc=on. */
#define MACHINE_HOTPLUG_BRIDGE "pci-bridge,id=hotplug,chassis_nr=1,shpc=on"
#define MACHINE_HOTPLUG_SLOTS  31 /* addr=1 to 31 */

/* Does its boot run the same instructions each time? Where a seed asks for that, and where QEMU can: one emulated CPU whose
 * time is the count of its instructions. While the guest idles that time jumps to the next timer, so the agent sees to it
 * that it never does once it serves (agent/random.c). */
bool machine_is_deterministic(const struct machine *m);
/* What the kernel's command line has then, in front of the seed: the kernel stirs it into its random pool. */
#define MACHINE_SEED_PARAMETER "provium.rng_seed="
/* Appends argv, argv[0] included. */
void machine_command_line(const struct machine *m, struct strv *argv);
