#include "vm/command_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

void machine_restored_nic(size_t index, char id[static 32])
{
    snprintf(id, 32, "restored%zu", index);
}

static bool is_auto(const char *s)
{
    return !s || !strcmp(s, "auto");
}

static bool is_pc(const struct machine *m)
{
    return !strcmp(m->arch, "x86_64");
}

bool machine_is_deterministic(const struct machine *m)
{
    return m->seeded && !m->kvm && is_pc(m) && m->cpus == 1;
}

/* q35 without what no test can see; each option measured (docs/accelerator.md). */
static void add_machine(const struct machine *m, struct strv *argv)
{
    bool pc = is_pc(m);
    strv_add(argv, "-machine");
    if (!is_auto(m->machine))
        strv_addf(argv, "%s,memory-backend=ram", m->machine);
    else if (!pc)
        strv_add(argv, "virt,memory-backend=ram");
    else
        strv_add(argv, "q35,usb=off,smbus=off,sata=off,vmport=off,hpet=off,memory-backend=ram");
    strv_add(argv, "-accel");
    strv_add(argv, m->kvm ? "kvm" : machine_is_deterministic(m) ? "tcg,thread=single" : "tcg,thread=multi");
    strv_add(argv, "-cpu");
    /* With ERMS the kernel copies by `rep movsb`, which TCG runs a byte at a time: a tenth of a boot. */
    strv_addf(argv, "%s%s", !is_auto(m->cpu) ? m->cpu : m->kvm ? "host" : pc ? "max,erms=off,fsrm=off" : "max",
              machine_is_deterministic(m) && !strstr(m->cpu ? m->cpu : "", "rdseed") ? ",rdrand=off,rdseed=off" : "");
    strv_add(argv, "-smp");
    strv_addf(argv, "%u", m->cpus);
    strv_add(argv, "-m");
    strv_addf(argv, "%" PRIu64 "M", m->memory_bytes >> 20);
    strv_add(argv, "-object");
    if (m->memory_fd < 0)
        strv_addf(argv, "memory-backend-memfd,id=ram,size=%" PRIu64 ",share=on", m->memory_bytes);
    else
        strv_addf(argv, "memory-backend-file,id=ram,size=%" PRIu64 ",mem-path=/proc/self/fd/%d,share=%s", m->memory_bytes,
                  m->memory_fd, m->state_fd >= 0 ? "off" : "on");
}

static void add_chardev(struct strv *argv, const char *id, int fd)
{
    strv_add(argv, "-chardev");
    strv_addf(argv, "socket,id=%s,fd=%d", id, fd);
}

static void add_channels(const struct machine *m, struct strv *argv)
{
    add_chardev(argv, "qmp", m->qmp_fd);
    strv_add(argv, "-mon");
    strv_add(argv, "chardev=qmp,mode=control");
    add_chardev(argv, "console", m->console_fd);
    strv_add(argv, "-serial");
    strv_add(argv, "chardev:console");
    strv_add(argv, "-device");
    strv_add(argv, "virtio-serial-pci,id=serial,max_ports=2");
    add_chardev(argv, "agent", m->agent_fd);
    strv_add(argv, "-device");
    strv_add(argv, "virtserialport,bus=serial.0,id=agent,chardev=agent,name=org.provium.agent");
    if (is_pc(m) && m->agent_isa_fd >= 0) {
        add_chardev(argv, "agent-isa", m->agent_isa_fd);
        strv_add(argv, "-device");
        strv_add(argv, "isa-serial,chardev=agent-isa,index=1");
    }
}

static void add_nic(const struct machine_nic *nic, struct strv *argv)
{
    _cleanup_free_ char *bus = nic->slot < 0 ? xstrdup("") : xasprintf(",bus=hotplug,addr=%d", nic->slot + 1);
    strv_add(argv, "-netdev");
    strv_addf(argv, "stream,id=%s,server=off,addr.type=fd,addr.str=%d", nic->id, nic->fd);
    strv_add(argv, "-device");
    strv_addf(argv, "virtio-net-pci,id=%s,netdev=%s,mac=%s,romfile=," MACHINE_NIC_FEATURES "%s", nic->id, nic->id, nic->mac,
              bus);
}

/* Slots are given out in the order of the devices: those on the root bus come first, and the others take none. */
static void add_network(const struct machine *m, struct strv *argv)
{
    for (size_t i = 0; i < m->nic_count; i++)
        if (m->nics[i].slot < 0)
            add_nic(&m->nics[i], argv);
    if (is_pc(m) && is_auto(m->machine)) {
        strv_add(argv, "-device");
        strv_add(argv, MACHINE_HOTPLUG_BRIDGE);
    }
    for (size_t i = 0; i < m->nic_count; i++)
        if (m->nics[i].slot >= 0)
            add_nic(&m->nics[i], argv);
}

static void add_random(const struct machine *m, struct strv *argv)
{
    if (m->seeded) {
        strv_add(argv, "-seed");
        strv_addf(argv, "%" PRIu64, m->rng_seed);
    }
    strv_add(argv, "-object");
    strv_add(argv, m->seeded ? "rng-builtin,id=rng" : "rng-random,id=rng,filename=/dev/urandom");
    strv_add(argv, "-device");
    strv_add(argv, "virtio-rng-pci,rng=rng");
}

/* Time counts instructions, and a device's doorbell is answered by the CPU that rings it, not some time later. */
static void add_time(const struct machine *m, struct strv *argv)
{
    static const char *const doorbells[] = {"virtio-serial-pci", "virtio-rng-pci", "virtio-net-pci"};
    bool deterministic = machine_is_deterministic(m);
    strv_add(argv, "-rtc");
    strv_addf(argv, "base=%s,clock=%s", m->rtc_base, deterministic ? "vm" : "host");
    if (!deterministic)
        return;
    strv_add(argv, "-icount");
    strv_add(argv, "shift=2,sleep=off");
    for (size_t i = 0; i < ARRAY_SIZE(doorbells); i++) {
        strv_add(argv, "-global");
        strv_addf(argv, "%s.ioeventfd=off", doorbells[i]);
    }
}

/* Everything that would take a command: QEMU (7.2) reads its monitor a byte at a time, at 25 us each. It tells when the
 * state is loaded, and then waits. No announcements: no frame is sent that the guest did not send. */
static void add_incoming(const struct machine *m, struct strv *argv)
{
    strv_add(argv, "-S");
    strv_add(argv, "-global");
    strv_add(argv, "migration.x-events=on");
    strv_add(argv, "-global");
    strv_add(argv, "migration.announce-rounds=0");
    strv_add(argv, "-incoming");
    strv_addf(argv, "fd:%d", m->state_fd);
}

void machine_command_line(const struct machine *m, struct strv *argv)
{
    strv_add(argv, m->qemu);
    strv_add(argv, "-name");
    strv_addf(argv, "provium-%s", m->name);
    strv_add(argv, "-nodefaults");
    strv_add(argv, "-no-user-config");
    strv_add(argv, "-display");
    strv_add(argv, "none");
    add_machine(m, argv);
    add_channels(m, argv);
    add_network(m, argv);
    add_random(m, argv);
    add_time(m, argv);
    strv_add(argv, "-kernel");
    strv_addf(argv, "/proc/self/fd/%d", m->kernel_fd);
    if (m->initrd_fd >= 0) {
        strv_add(argv, "-initrd");
        strv_addf(argv, "/proc/self/fd/%d", m->initrd_fd);
    }
    strv_add(argv, "-append");
    strv_add(argv, m->cmdline);
    if (m->state_fd >= 0)
        add_incoming(m, argv);
}
