#include "pool/host.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/strv.h"

#define SMALL_FILE_MAX 65536

/* The text of a small file, or NULL; malloc'ed. */
static char *read_text(const char *directory, const char *name)
{
    _cleanup_free_ char *path = path_join(directory, name);
    _cleanup_buf_ struct buf text = BUF_INIT(SMALL_FILE_MAX);
    return file_read(path, &text, NULL) == 0 ? buf_steal_str(&text) : NULL;
}

static void lower(uint64_t *value, uint64_t limit)
{
    if (limit && limit < *value)
        *value = limit;
}

static void lower_quota(double *quota, double limit)
{
    if (limit > 0 && (*quota == 0 || limit < *quota))
        *quota = limit;
}

/* "max" and nonsense give 0. */
static void read_limits(const char *directory, struct host_resources *r)
{
    unsigned long long value;
    double quota, period;
    _cleanup_free_ char *memory = read_text(directory, "memory.max"),
                        *cpu = read_text(directory, "cpu.max");
    _cleanup_free_ char *memory_v1 = read_text(directory, "memory.limit_in_bytes");
    _cleanup_free_ char *quota_v1 = read_text(directory, "cpu.cfs_quota_us");
    _cleanup_free_ char *period_v1 = read_text(directory, "cpu.cfs_period_us");
    if (memory && sscanf(memory, "%llu", &value) == 1)
        lower(&r->memory, value);
    if (memory_v1 && sscanf(memory_v1, "%llu", &value) == 1)
        lower(&r->memory, value);
    if (cpu && sscanf(cpu, "%lf %lf", &quota, &period) == 2 && period > 0)
        lower_quota(&r->cpu_quota, quota / period);
    if (quota_v1 && period_v1 && sscanf(quota_v1, "%lf", &quota) == 1 &&
        sscanf(period_v1, "%lf", &period) == 1 && period > 0)
        lower_quota(&r->cpu_quota, quota / period);
}

/* From the group up to the mount point. In a container the group may lie outside of what is
 * mounted; the mount point then is the group itself. */
static void read_group(const char *mount, const char *group, struct host_resources *r)
{
    _cleanup_free_ char *path = xasprintf("%s%s", mount, group);
    while (strlen(path) > strlen(mount)) {
        read_limits(path, r);
        *strrchr(path, '/') = '\0';
    }
    read_limits(mount, r);
}

/* /proc/self/cgroup: lines of "0::/path" (version 2) and "N:controller,…:/path" (version 1). */
static void read_groups(const char *proc, const char *cgroup, struct host_resources *r)
{
    _cleanup_free_ char *text = read_text(proc, "self/cgroup");
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        if (*group != '/')
            continue;
        controllers++;
        _cleanup_free_ char *mount =
            *controllers ? path_join(cgroup, controllers) : xstrdup(cgroup);
        read_group(mount, group, r);
    }
}

static uint64_t memory_total(const char *proc)
{
    unsigned long long kib = 0;
    _cleanup_free_ char *text = read_text(proc, "meminfo");
    const char *line = text ? strstr(text, "MemTotal:") : NULL;
    if (line && sscanf(line, "MemTotal: %llu kB", &kib) == 1)
        return kib * 1024;
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static unsigned cpus_allowed(void)
{
    enum { CPUS = 8192 };
    _cleanup_free_ cpu_set_t *set = xcalloc(1, CPU_ALLOC_SIZE(CPUS));
    if (sched_getaffinity(0, CPU_ALLOC_SIZE(CPUS), set) < 0)
        return 1;
    return (unsigned)CPU_COUNT_S(CPU_ALLOC_SIZE(CPUS), set);
}

struct host_resources host_resources_read(const char *proc, const char *cgroup)
{
    struct host_resources r = {.memory_total = memory_total(proc)};
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    r.cpus_online = online > 0 ? (unsigned)online : 1;
    r.memory = r.memory_total;
    r.cpus = cpus_allowed();
    read_groups(proc, cgroup, &r);
    if (r.cpu_quota > 0 && r.cpu_quota < r.cpus)
        r.cpus = r.cpu_quota < 1 ? 1 : (unsigned)r.cpu_quota;
    return r;
}
