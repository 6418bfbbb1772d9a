/* The QEMU command line of a VM: a pure function from a machine description to an argument vector. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/strv.h"

/* One virtio-net device; its frames go over a connected stream socket. */
struct machine_nic {
    char id[32]; /* of device and netdev */
    char mac[24];
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
    const struct machine_nic *nics; /* in the order of their PCI slots */
    size_t nic_count;
    const char *rtc_base;    /* "utc" or a date as -rtc base= takes it */
    bool seeded;             /* virtio-rng delivers a stream that depends on rng_seed alone */
    uint64_t rng_seed;
};

/* What QEMU's device_add and -device take for a NIC, without "virtio-net-pci,": no offloads, frames as they are. */
#define MACHINE_NIC_FEATURES                                                                       \
    "csum=off,gso=off,host_tso4=off,host_tso6=off,host_ecn=off,host_ufo=off,guest_csum=off,"       \
    "guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off"
/* Slots 1 to 31 of the PCI bridge `hot`, for what is plugged later. All cost as much of a boot as four root ports. QEMU
 * hot-plugs there by ACPI, as on root ports (q35 since 6.1), which Linux does in 20 ms. */
#define MACHINE_HOT_SLOTS 31
#define MACHINE_HOT_BUS   "hot"

/* Appends argv, argv[0] included. */
void machine_command_line(const struct machine *m, struct strv *argv);
