#include "unit.h"

#include <string.h>

#include "base/strv.h"
#include "vm/command_line.h"

static const struct machine base_machine = {
    .qemu = "/usr/bin/qemu-system-x86_64",
    .name = "web",
    .arch = "x86_64",
    .machine = "auto",
    .cpu = "auto",
    .memory_bytes = UINT64_C(512) << 20,
    .cpus = 1,
    .cmdline = "console=ttyS0",
    .kernel_fd = 10,
    .initrd_fd = 11,
    .qmp_fd = 12,
    .console_fd = 13,
    .agent_fd = 14,
    .agent_isa_fd = 15,
    .memory_fd = -1,
    .state_fd = -1,
    .rtc_base = "utc",
};

/* The argument that follows the n-th `option`. */
static const char *value_of(const struct strv *argv, const char *option, int n)
{
    for (size_t i = 0; i + 1 < argv->count; i++)
        if (!strcmp(argv->items[i], option) && !n--)
            return argv->items[i + 1];
    return NULL;
}

static void assert_value(const struct machine *m, const char *option, int n, const char *expected)
{
    _cleanup_strv_ struct strv argv = STRV_INIT;
    machine_command_line(m, &argv);
    const char *value = value_of(&argv, option, n);
    if (!expected) {
        assert_null(value);
        return;
    }
    assert_non_null(value);
    assert_string_equal(value, expected);
}

static void accelerators(void **state)
{
    (void)state;
    struct machine m = base_machine;
    assert_value(&m, "-accel", 0, "tcg,thread=multi");
    assert_value(&m, "-cpu", 0, "max,erms=off,fsrm=off");
    m.kvm = true;
    assert_value(&m, "-accel", 0, "kvm");
    assert_value(&m, "-cpu", 0, "host");
    m.cpu = "Haswell";
    assert_value(&m, "-cpu", 0, "Haswell");
}

static void channels_are_descriptors(void **state)
{
    (void)state;
    _cleanup_strv_ struct strv argv = STRV_INIT;
    machine_command_line(&base_machine, &argv);
    assert_string_equal(value_of(&argv, "-kernel", 0), "/proc/self/fd/10");
    assert_string_equal(value_of(&argv, "-initrd", 0), "/proc/self/fd/11");
    assert_string_equal(value_of(&argv, "-chardev", 0), "socket,id=qmp,fd=12");
    assert_string_equal(value_of(&argv, "-chardev", 1), "socket,id=console,fd=13");
    assert_string_equal(value_of(&argv, "-chardev", 2), "socket,id=agent,fd=14");
    assert_string_equal(value_of(&argv, "-chardev", 3), "socket,id=agent-isa,fd=15");
    assert_string_equal(value_of(&argv, "-append", 0), "console=ttyS0");
    for (size_t i = 0; i < argv.count; i++) /* nothing that could collide or be left behind */
        assert_null(strstr(argv.items[i], "/tmp/"));
}

static void parts_are_optional(void **state)
{
    (void)state;
    struct machine m = base_machine;
    m.initrd_fd = -1;
    m.agent_isa_fd = -1;
    assert_value(&m, "-initrd", 0, NULL);
    assert_value(&m, "-chardev", 3, NULL);
    m.arch = "aarch64";
    assert_value(&m, "-machine", 0, "virt,memory-backend=ram");
    m.machine = "microvm";
    assert_value(&m, "-machine", 0, "microvm,memory-backend=ram");
}

static void seeds_make_the_generator_deterministic(void **state)
{
    (void)state;
    struct machine m = base_machine;
    assert_value(&m, "-seed", 0, NULL);
    m.seeded = true;
    m.rng_seed = UINT64_MAX;
    assert_value(&m, "-seed", 0, "18446744073709551615");
    assert_value(&m, "-icount", 0, "shift=2,sleep=off");
    assert_value(&m, "-accel", 0, "tcg,thread=single");
    assert_value(&m, "-cpu", 0, "max,erms=off,fsrm=off,rdrand=off,rdseed=off");
    m.kvm = true;
    assert_value(&m, "-icount", 0, NULL);
    assert_value(&m, "-cpu", 0, "host");
    m.kvm = false;
    m.memory_bytes = UINT64_C(3) << 30;
    m.cpus = 4;
    assert_value(&m, "-m", 0, "3072M");
    assert_value(&m, "-smp", 0, "4");
    assert_value(&m, "-icount", 0, NULL);
}

static void memory_is_a_file(void **state)
{
    (void)state;
    struct machine m = base_machine;
    assert_value(&m, "-incoming", 0, NULL);
    assert_value(&m, "-object", 0, "memory-backend-memfd,id=ram,size=536870912,share=on");
    m.memory_fd = 9;
    assert_value(&m, "-object", 0, "memory-backend-file,id=ram,size=536870912,mem-path=/proc/self/fd/9,share=on");
    m.state_fd = 8;
    assert_value(&m, "-object", 0, "memory-backend-file,id=ram,size=536870912,mem-path=/proc/self/fd/9,share=off");
    assert_value(&m, "-incoming", 0, "fd:8");
}

static void nics_are_where_they_were(void **state)
{
    (void)state;
    const struct machine_nic nics[] = {{.id = "nic7", .mac = "52:54:00:00:00:07", .slot = 1, .fd = 7},
                                       {.id = "nic8", .mac = "52:54:00:00:00:08", .slot = -1, .fd = 8}};
    struct machine m = base_machine;
    m.nics = nics;
    m.nic_count = 2;
    assert_value(&m, "-netdev", 0, "stream,id=nic8,server=off,addr.type=fd,addr.str=8");
    assert_value(&m, "-netdev", 1, "stream,id=nic7,server=off,addr.type=fd,addr.str=7");
    assert_value(&m, "-device", 3, "virtio-net-pci,id=nic8,netdev=nic8,mac=52:54:00:00:00:08,romfile=," MACHINE_NIC_FEATURES);
    assert_value(&m, "-device", 4, MACHINE_HOTPLUG_BRIDGE);
    assert_value(&m, "-device", 5,
                 "virtio-net-pci,id=nic7,netdev=nic7,mac=52:54:00:00:00:07,romfile=," MACHINE_NIC_FEATURES ",bus=hotplug,addr=2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accelerators),
        cmocka_unit_test(channels_are_descriptors),
        cmocka_unit_test(parts_are_optional),
        cmocka_unit_test(seeds_make_the_generator_deterministic),
        cmocka_unit_test(memory_is_a_file),
        cmocka_unit_test(nics_are_where_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
