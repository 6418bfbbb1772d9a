/* Waking a guest that suspended itself to RAM.
 *
 * The wake-up resets the machine, and QEMU (7.2, hw/core/loader.c: rom_reset) then writes what it had loaded into the
 * guest's memory anew: the kernel, where it entered that as an ELF file, over the one that sleeps. A suspended guest's
 * memory does not change, so it is copied before, and what differs is put back before the first instruction.
 *
 * For that the vCPU has to stand still just after the reset. There is no command for it, and a `stop` comes too late; but
 * a breakpoint of QEMU's debugger (its protocol: GDB manual, Remote Serial Protocol) at the reset vector stops it in time.
 * It also drops code that was translated from the memory. The debugger is there for the length of the call only.
 *
 * The reset also takes q35's power management registers off the I/O ports. SeaBIOS (1.16, src/fw/pciinit.c: pci_resume) puts
 * them back for the older machine only, and without them there is no second sleep and no power button: so we do. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "vm/internal.h"
#include "vm/memory.h"

#define SET_BREAKPOINT "Z1,fffffff0,1" /* the x86 reset vector */
#define DETACH         "D"             /* removes it, and the guest goes on */
#define DEBUGGER_NS    (30 * NS_PER_S)

struct debugger {
    int fd;
    char packet[64];
    size_t length;
    bool replied, ok;
};

/* "$<text>#<checksum>"; acknowledgements and the news that the guest has stopped, T…, are passed over. */
static void take_byte(struct debugger *d, char c)
{
    if (c == '$') {
        d->length = 0;
    } else if (c == '#') {
        d->packet[d->length] = '\0';
        d->ok = !strcmp(d->packet, "OK");
        d->replied = d->packet[0] != 'T';
    } else if (d->length < sizeof(d->packet) - 1) {
        d->packet[d->length++] = c;
    }
}

static void on_debugger(struct source *s, uint32_t events, void *arg)
{
    struct debugger *d = arg;
    char chunk[256];
    (void)events;
    ssize_t got = recv(d->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    for (ssize_t i = 0; i < got; i++)
        take_byte(d, chunk[i]);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        source_set_events(s, 0);
        d->replied = true;
        d->ok = false;
    }
}

static int debugger_call(struct vm *vm, struct debugger *d, const char *command, int64_t deadline, struct err *e)
{
    char packet[64];
    unsigned char sum = 0;
    for (const char *p = command; *p; p++)
        sum = (unsigned char)(sum + *p);
    int length = snprintf(packet, sizeof(packet), "$%s#%02x", command, sum);
    d->replied = d->ok = false;
    if (send(d->fd, packet, (size_t)length, MSG_NOSIGNAL) != length)
        return err_errno(e, "QEMU's debugger: %s", command);
    struct source *source = loop_add_fd(vm->loop, d->fd, EPOLLIN, on_debugger, d);
    int result = loop_wait(vm->loop, &d->replied, deadline);
    source_remove(source);
    return result < 0 ? err_errno(e, "QEMU's debugger: %s", command)
           : d->ok    ? 0
                      : err_set(e, EPROTO, "QEMU's debugger refuses %s", command);
}

static int monitor_command(struct vm *vm, const char *line, int64_t deadline, json_t **ret, struct err *e)
{
    return qmp_call(vm->qmp, "human-monitor-command", json_pack("{s:s}", "command-line", line), deadline, ret, e);
}

/* What PCI's mechanism #1 takes at port 0xcf8: ICH9's identity and, of it and of the host bridge, what firmware has set. */
#define ICH9_IDENTITY UINT32_C(0x8000f800)
#define ICH9          UINT32_C(0x29188086)
static const uint32_t chipset_registers[] = {
    0x8000f840, /* PMBASE */
    0x8000f844, /* ACPI_CNTL */
    0x8000f8f0, /* RCBA */
    0x80000064, /* PCIEXBAR: the upper half, then the lower one with its enable bit */
    0x80000060,
};

struct chipset {
    bool known;
    uint32_t values[ARRAY_SIZE(chipset_registers)];
};

static int port_write(struct vm *vm, unsigned port, uint32_t value, int64_t deadline, struct err *e)
{
    char line[64];
    snprintf(line, sizeof(line), "o/w 0x%x 0x%" PRIx32, port, value);
    return monitor_command(vm, line, deadline, NULL, e);
}

static int config_read(struct vm *vm, uint32_t address, uint32_t *ret, int64_t deadline, struct err *e)
{
    json_t *reply = NULL;
    if (port_write(vm, 0xcf8, address, deadline, e) < 0 || monitor_command(vm, "i/w 0xcfc", deadline, &reply, e) < 0)
        return -1;
    const char *text = json_string_value(reply), *value = text ? strchr(text, '=') : NULL;
    if (value)
        *ret = (uint32_t)strtoul(value + 1, NULL, 0);
    json_decref(reply);
    return value ? 0 : err_set(e, EPROTO, "QEMU does not tell the chipset's registers");
}

static int chipset_keep(struct vm *vm, struct chipset *c, int64_t deadline, struct err *e)
{
    uint32_t identity;
    if (config_read(vm, ICH9_IDENTITY, &identity, deadline, e) < 0)
        return -1;
    c->known = identity == ICH9;
    for (size_t i = 0; c->known && i < ARRAY_SIZE(chipset_registers); i++)
        if (config_read(vm, chipset_registers[i], &c->values[i], deadline, e) < 0)
            return -1;
    return 0;
}

static int chipset_put_back(struct vm *vm, const struct chipset *c, int64_t deadline, struct err *e)
{
    for (size_t i = 0; c->known && i < ARRAY_SIZE(chipset_registers); i++)
        if (port_write(vm, 0xcf8, chipset_registers[i], deadline, e) < 0 ||
            port_write(vm, 0xcfc, c->values[i], deadline, e) < 0)
            return -1;
    return 0;
}

static int debugger_attach(struct vm *vm, struct debugger *d, int64_t deadline, struct err *e)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, "socket pair");
    *d = (struct debugger){.fd = pair[0]};
    _cleanup_close_ int far = pair[1];
    if (qmp_call_fd(vm->qmp, "getfd", json_pack("{s:s}", "fdname", "debugger"), far, deadline, NULL, e) < 0 ||
        qmp_call(vm->qmp, "chardev-add",
                 json_pack("{s:s, s:{s:s, s:{s:{s:s, s:{s:s}}, s:b}}}", "id", "debugger", "backend", "type", "socket", "data",
                           "addr", "type", "fd", "data", "str", "debugger", "server", 0), deadline, NULL, e) < 0 ||
        monitor_command(vm, "gdbserver chardev:debugger", deadline, NULL, e) < 0)
        return -1;
    return debugger_call(vm, d, SET_BREAKPOINT, deadline, e);
}

/* With the chardev. */
static void debugger_remove(struct vm *vm, struct debugger *d)
{
    qmp_send(vm->qmp, "human-monitor-command", json_pack("{s:s}", "command-line", "gdbserver none"));
    close_fd(&d->fd);
}

/* From suspended to running. */
static int wake(struct vm *vm, struct debugger *d, struct memory *memory, int64_t deadline, struct err *e)
{
    _cleanup_close_ int copy = -1;
    struct chipset chipset;
    if (memory_keep(memory, &copy, deadline, e) < 0 || chipset_keep(vm, &chipset, deadline, e) < 0)
        return -1;
    /* To a suspended one, the debugger's coming means nothing in QEMU before 9.0, as does `cont`; later ones pause it. */
    if (qmp_call(vm->qmp, "cont", NULL, deadline, NULL, e) < 0)
        return -1;
    vm->stopped = false;
    if (qmp_call(vm->qmp, "system_wakeup", NULL, deadline, NULL, e) < 0)
        return -1;
    if (loop_wait(vm->loop, &vm->stopped, deadline) < 0)
        return err_errno(e, "the machine's reset");
    if (memory_put_back(memory, copy, e) < 0 || chipset_put_back(vm, &chipset, deadline, e) < 0)
        return -1;
    return debugger_call(vm, d, DETACH, deadline, e);
}

int vm_wakeup(struct vm *vm, int64_t deadline, struct err *e)
{
    if (vm->state != VM_BOOTED)
        return vm_wrong_state(vm, "wakeup", e);
    if (!vm->suspended)
        return err_set(e, 0, "wakeup: the guest is not suspended");
    int64_t limit = deadline_after(DEBUGGER_NS);
    struct debugger debugger = {.fd = -1};
    _cleanup_(memory_done) struct memory memory = MEMORY_INIT;
    int result = memory_open(&memory, vm->base ? snapshot_file_fd(vm->base) : vm->memory_fd, vm->base, qemu_pid(vm->qemu),
                             vm->origin.memory_bytes, e);
    if (limit > deadline)
        limit = deadline;
    if (!result)
        result = debugger_attach(vm, &debugger, limit, e);
    if (!result)
        result = wake(vm, &debugger, &memory, limit, e);
    if (debugger.fd >= 0)
        debugger_remove(vm, &debugger);
    if (!result)
        result = guest_ping(vm->guest, deadline, e);
    return result < 0 ? err_prefix(e, "wakeup") : 0;
}
