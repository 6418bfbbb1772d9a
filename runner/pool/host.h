/* What this machine, container or cgroup lets the run use. */
#pragma once

#include <stdint.h>

struct host_resources {
    uint64_t memory;       /* bytes: RAM, or a cgroup's limit if that is lower */
    uint64_t memory_total; /* RAM */
    unsigned cpus; /* whole CPUs, at least 1: affinity, or a cgroup's quota if that is lower */
    unsigned cpus_online;
    double cpu_quota; /* CPUs the cgroup allows; 0: no limit */
};

/* `proc` and `cgroup` are "/proc" and "/sys/fs/cgroup" but for tests. Version 2 and version 1
 * hierarchies are read, with the limits of all ancestors that are visible. */
struct host_resources host_resources_read(const char *proc, const char *cgroup);
