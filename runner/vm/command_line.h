/* The QEMU command line of a VM: a pure function from a machine description to an argument vector. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/strv.h"

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
    const char *rtc_base;    /* "utc" or a date as -rtc base= takes it */
    bool seeded;             /* virtio-rng delivers a stream that depends on rng_seed alone */
    uint64_t rng_seed;
};

/* Appends argv, argv[0] included. */
void machine_command_line(const struct machine *m, struct strv *argv);
