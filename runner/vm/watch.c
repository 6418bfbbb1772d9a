/* What happens to a VM.
 *
 * QEMU, the monitor, the console and the agent session all report through the loop. The callbacks below note what
 * happened and close the agent session with the reason; whoever waits for the agent so learns at once why it will not
 * answer.
 *
 * What ends a boot, and how it is told apart: QEMU's exit (its stderr), SHUTDOWN by the guest (powered off), a panic or
 * halt in the console text that is followed by silence, the agent's timeout. After the boot, panic text alone proves
 * nothing (a test may print it): the agent is asked, and only its silence counts. */
#include <string.h>

#include "base/alloc.h"
#include "guest/stream.h"
#include "vm/internal.h"

#define PANIC_GRACE_NS   (500 * NS_PER_MS)
#define PING_NS          NS_PER_S
#define PORT_GRACE_NS    NS_PER_S /* from the end of the agent's port to the reset or exit that explains it */
#define EXIT_NS          NS_PER_S /* from the end of its sockets to QEMU's exit */

void vm_set_cause(struct vm *vm, char *cause)
{
    free(vm->cause);
    vm->cause = cause;
}

/* The first reason counts. */
void vm_fail_boot(struct vm *vm, char *reason)
{
    if (!vm->booting || vm->failure) {
        free(reason);
        return;
    }
    vm->failure = reason;
    vm->loaded = true; /* nobody waits for a state any more */
    if (vm->guest)
        guest_close(vm->guest, reason);
}

void vm_tell_ended(struct vm *vm)
{
    if (vm->ended_told || !vm->on_ended)
        return;
    vm->ended_told = true;
    vm->on_ended(vm, vm->on_ended_arg);
}

/* A booted VM has come to its end, whatever QEMU does. */
void vm_end_booted(struct vm *vm, enum vm_state state, char *cause)
{
    vm_set_cause(vm, cause);
    vm->state = state;
    _cleanup_free_ char *why = xasprintf("the VM died (%s)", vm->cause);
    guest_close(vm->guest, why);
    vm_tell_ended(vm);
}

bool vm_is_live(const struct vm *vm)
{
    return vm->state == VM_BOOTED || vm->state == VM_PAUSED;
}

static void stop_vcpus(struct vm *vm)
{
    if (vm->qmp)
        qmp_send(vm->qmp, "stop", NULL);
}

static char *console_reason(const struct vm *vm)
{
    if (vm->scanner.verdict == CONSOLE_PANIC)
        return xasprintf("kernel panic: %s", vm->scanner.text);
    return xstrdup("the guest halted");
}

/* The agent of a running guest does not answer. A guest that begins anew meanwhile is not silent: on a busy host QEMU takes
 * longer than PORT_GRACE_NS from closing the agent's port to telling of the reset. */
static bool is_silent(struct vm *vm)
{
    unsigned generation = vm->generation;
    int64_t patience = PING_NS * (vm->emulated ? 4 : 1);
    return vm->state == VM_BOOTED && !vm->frozen && !vm->suspended &&
           guest_ping(vm->guest, deadline_after(patience), NULL) < 0 && vm_is_live(vm) && !vm->suspended &&
           vm->generation == generation;
}

/* Half a second after the fatal line: whoever still answers has not ended. */
void vm_on_panic_timer(struct source *s, void *arg)
{
    struct vm *vm = arg;
    (void)s;
    if (vm->booting) {
        vm_fail_boot(vm, console_reason(vm));
        stop_vcpus(vm);
    } else if (is_silent(vm)) {
        vm_end_booted(vm, VM_DEAD, console_reason(vm));
        stop_vcpus(vm);
    }
}

void vm_on_console_output(void *arg)
{
    struct vm *vm = arg;
    char chunk[8192];
    ssize_t got;
    while ((got = console_read(vm->console, vm->scanned, chunk, sizeof(chunk))) > 0) {
        vm->scanned += (uint64_t)got;
        if (vm->scanner.verdict != CONSOLE_ALIVE || !console_scan(&vm->scanner, chunk, (size_t)got))
            continue;
        source_set_deadline(vm->panic_timer, deadline_after(PANIC_GRACE_NS));
    }
    for (size_t i = 0; i < vm->reader_count; i++)
        stream_notify(vm->readers[i]);
}

/* The guest begins anew, by vm_reset or on its own: handles of before are lost. */
static void begin_generation(struct vm *vm)
{
    vm->generation = ++vm->generations;
    vm->scanner = (struct console_scanner){0};
    console_mark_boot(vm->console);
}

void vm_on_guest_event(struct guest *g, enum guest_event event, const char *why, void *arg)
{
    struct vm *vm = arg;
    (void)g;
    if (event == GUEST_GREETED)
        return;
    if (event == GUEST_RESTARTED) {
        begin_generation(vm); /* without a reset of the machine: kexec, or the agent was started again */
        return;
    }
    loop_wait(vm->loop, &vm->exited, deadline_after(EXIT_NS)); /* the usual reason, and its exit says more */
    if (vm->booting) {
        vm_fail_boot(vm, xasprintf("agent lost: %s", why));
    } else if (vm_is_live(vm) && !vm->exited) {
        vm_end_booted(vm, VM_DEAD, xasprintf("agent lost: %s", why));
    }
}

void vm_on_reset(struct vm *vm)
{
    source_set_deadline(vm->lost_timer, DEADLINE_NONE);
    vm->suspended = false;
    if (vm->scanner.verdict != CONSOLE_ALIVE && !vm->resetting) {
        char *reason = console_reason(vm); /* panic=-1: the kernel reboots by itself */
        stop_vcpus(vm);
        if (vm_is_live(vm))
            vm_end_booted(vm, VM_DEAD, reason);
        else
            vm_fail_boot(vm, reason);
    } else if (vm_is_live(vm) || vm->booting) {
        begin_generation(vm);
        guest_expect_restart(vm->guest, vm->resetting ? "the VM was reset" : "the guest rebooted");
    }
}

/* A second after the agent's port was closed. QEMU throttles these events (monitor/monitor.c), so one may come after the
 * reset that it belongs to: only an agent that should answer and does not is lost. A guest that suspends itself closes the
 * port as well. */
void vm_on_lost_timer(struct source *s, void *arg)
{
    struct vm *vm = arg;
    if (vm->frozen)
        source_set_deadline(s, deadline_after(PORT_GRACE_NS));
    else if (guest_is_ready(vm->guest) && is_silent(vm))
        vm_end_booted(vm, VM_DEAD, xstrdup("agent lost: its process ended"));
}

void vm_on_qmp_event(const char *event, json_t *data, void *arg)
{
    struct vm *vm = arg;
    if (!strcmp(event, "SHUTDOWN")) {
        vm->guest_shutdown = json_is_true(json_object_get(data, "guest"));
    } else if (!strcmp(event, "RESET")) {
        vm_on_console_output(vm); /* what was said before it */
        vm_on_reset(vm);
    } else if (!strcmp(event, "VSERPORT_CHANGE")) {
        /* The guest's end of a virtio port; a reset or a power-off closes it as well, and is told of next. */
        const char *id = json_string_value(json_object_get(data, "id"));
        if (id && !strcmp(id, "agent"))
            source_set_deadline(vm->lost_timer, json_is_true(json_object_get(data, "open"))
                                                    ? DEADLINE_NONE
                                                    : deadline_after(PORT_GRACE_NS));
    } else if (!strcmp(event, "DEVICE_DELETED")) {
        const char *device = json_string_value(json_object_get(data, "device"));
        vm->unplugged = vm->unplugged || (device && !strcmp(device, vm->unplugging));
    } else if (!strcmp(event, "MIGRATION")) {
        const char *status = json_string_value(json_object_get(data, "status"));
        vm->loaded = vm->loaded || (status && !strcmp(status, "completed"));
    } else if (!strcmp(event, "SUSPEND")) {
        vm->suspended = true;
    } else if (!strcmp(event, "WAKEUP")) {
        vm->suspended = false;
    } else if (!strcmp(event, "STOP")) {
        vm->stopped = true;
    }
}

void vm_on_qmp_closed(void *arg)
{
    (void)arg; /* QEMU's exit follows */
}

void vm_on_qemu_exit(void *arg)
{
    struct vm *vm = arg;
    vm->exited = vm->stopped = true;
    if (vm->qmp)
        qmp_drain(vm->qmp);
    char *reason = qemu_describe_exit(vm->qemu);
    if (vm->guest_shutdown) {
        free(reason);
        reason = xstrdup("the guest powered itself off");
    }
    if (vm_is_live(vm))
        vm_end_booted(vm, vm->guest_shutdown ? VM_SHUTDOWN : VM_DEAD, reason);
    else
        vm_fail_boot(vm, reason);
}
