#include "unit.h"

#include <sched.h>

#include "pool/host.h"
#include "temp.h"

#define GIB (UINT64_C(1) << 30)

static struct host_resources host_in(const char *dir)
{
    _cleanup_free_ char *proc = path_join(dir, "proc"), *cgroup = path_join(dir, "cgroup");
    return host_resources_read(proc, cgroup);
}

static void no_limits(void **state)
{
    (void)state;
    _cleanup_temp_ char *dir = temp_new();
    free(temp_file(dir, "proc/meminfo", "MemTotal:       16777216 kB\nMemFree: 1 kB\n"));
    struct host_resources r = host_in(dir);
    assert_true(r.memory == 16 * GIB && r.memory_total == 16 * GIB);
    assert_true(r.cpu_quota == 0);
    assert_true(r.cpus >= 1 && r.cpus_online >= 1);
}

static void unified_hierarchy_takes_the_lowest_limit(void **state)
{
    (void)state;
    _cleanup_temp_ char *dir = temp_new();
    free(temp_file(dir, "proc/meminfo", "MemTotal:       16777216 kB\n"));
    free(temp_file(dir, "proc/self/cgroup", "0::/a/b\n"));
    free(temp_file(dir, "cgroup/a/memory.max", "4294967296\n"));
    free(temp_file(dir, "cgroup/a/b/memory.max", "max\n"));
    free(temp_file(dir, "cgroup/a/b/cpu.max", "50000 100000\n"));
    free(temp_file(dir, "cgroup/cpu.max", "max 100000\n"));
    struct host_resources r = host_in(dir);
    assert_true(r.memory == 4 * GIB);
    assert_true(r.cpu_quota == 0.5);
    assert_int_equal(r.cpus, 1);
}

static void container_sees_its_group_at_the_mount_point(void **state)
{
    (void)state;
    _cleanup_temp_ char *dir = temp_new();
    free(temp_file(dir, "proc/meminfo", "MemTotal:       16777216 kB\n"));
    free(temp_file(dir, "proc/self/cgroup",
                   "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n1:name=systemd:/\n"));
    free(temp_file(dir, "cgroup/memory/memory.limit_in_bytes", "2147483648\n"));
    free(temp_file(dir, "cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n"));
    free(temp_file(dir, "cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"));
    struct host_resources r = host_in(dir);
    assert_true(r.memory == 2 * GIB);
    assert_true(r.cpu_quota == 1.5);
    assert_int_equal(r.cpus, 1);
}

static void affinity_counts(void **state)
{
    (void)state;
    _cleanup_temp_ char *dir = temp_new();
    cpu_set_t before, one;
    sched_getaffinity(0, sizeof(before), &before);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
        if (CPU_ISSET(i, &before))
            CPU_SET(i, &one);
    sched_setaffinity(0, sizeof(one), &one);
    assert_int_equal(host_in(dir).cpus, 1);
    sched_setaffinity(0, sizeof(before), &before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_limits),
        cmocka_unit_test(unified_hierarchy_takes_the_lowest_limit),
        cmocka_unit_test(container_sees_its_group_at_the_mount_point),
        cmocka_unit_test(affinity_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
