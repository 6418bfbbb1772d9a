/* What callers ask of a VM: boot, lifecycle, the agent session. What happens to it by itself is in watch.c. */
#include "vm/internal.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "guest/clock.h"
#include "vm/local.h"

#define CONSOLE_TAIL     4096
#define POWER_OFF_NS     (30 * NS_PER_S)
#define PRESS_NS         (3 * NS_PER_S)
#define CONSOLE_DRAIN_NS (2 * NS_PER_S)

const char *vm_state_name(enum vm_state state)
{
    static const char *const names[] = {"created", "booted", "paused", "shutdown", "dead"};
    return names[state];
}

/* -------------------------------------------------------------------------------------------- parts */

struct vm *vm_new(struct loop *loop, const char *name, const char *directory, struct err *e)
{
    struct console *console = console_new(loop, directory, e);
    if (!console)
        return NULL;
    struct vm *vm = xnew0(struct vm);
    vm->loop = loop;
    vm->name = xstrdup(name);
    vm->console = console;
    vm->memory_fd = -1;
    vm->panic_timer = loop_add_timer(loop, DEADLINE_NONE, vm_on_panic_timer, vm);
    vm->lost_timer = loop_add_timer(loop, DEADLINE_NONE, vm_on_lost_timer, vm);
    console_on_output(console, vm_on_console_output, vm);
    return vm;
}

/* The session stays, closed: handles refer to it, and a restore may take it up again. */
static void drop_qemu(struct vm *vm)
{
    source_set_deadline(vm->panic_timer, DEADLINE_NONE);
    source_set_deadline(vm->lost_timer, DEADLINE_NONE);
    if (vm->guest)
        guest_close(vm->guest, "the guest is gone");
    qmp_free(vm->qmp);
    vm->qmp = NULL;
    qemu_free(vm->qemu);
    vm->qemu = NULL;
    close_fd(&vm->memory_fd);
    snapshot_file_free(vm->base);
    vm->base = NULL;
    vm->frozen = false;
}

void vm_free(struct vm *vm)
{
    if (!vm)
        return;
    vm->on_ended = NULL;
    drop_qemu(vm);
    guest_free(vm->guest);
    snapshot_info_done(&vm->origin);
    source_remove(vm->panic_timer);
    source_remove(vm->lost_timer);
    console_free(vm->console);
    free(vm->readers);
    free(vm->cause);
    free(vm->failure);
    free(vm->name);
    free(vm);
}

const char *vm_name(const struct vm *vm)
{
    return vm->name;
}

enum vm_state vm_state(const struct vm *vm)
{
    return vm->state;
}

const char *vm_cause(const struct vm *vm)
{
    return vm->cause;
}

unsigned vm_generation(const struct vm *vm)
{
    return vm->generation;
}

int64_t vm_started_ns(const struct vm *vm)
{
    return vm->started_ns;
}

struct console *vm_console(struct vm *vm)
{
    return vm->console;
}

void vm_watch_output(struct vm *vm, struct stream *stream, bool on)
{
    if (on) {
        vm->readers = xreallocarray(vm->readers, vm->reader_count + 1, sizeof(struct stream *));
        vm->readers[vm->reader_count++] = stream;
        return;
    }
    for (size_t i = 0; i < vm->reader_count; i++) {
        if (vm->readers[i] == stream) {
            vm->readers[i] = vm->readers[--vm->reader_count];
            return;
        }
    }
}

void vm_on_ended(struct vm *vm, vm_ended_fn fn, void *arg)
{
    vm->on_ended = fn;
    vm->on_ended_arg = arg;
}

/* -------------------------------------------------------------------------------------------- boot */

static void note_origin(struct vm *vm, const struct machine *m)
{
    snapshot_info_done(&vm->origin);
    vm->origin = (struct snapshot_info){
        .arch = xstrdup(m->arch),
        .machine = xstrdup(m->machine),
        .cpu = xstrdup(m->cpu),
        .kvm = m->kvm,
        .memory_bytes = m->memory_bytes,
        .cpus = m->cpus,
        .cmdline = xstrdup(m->cmdline),
        .seeded = m->seeded,
        .rng_seed = m->rng_seed,
    };
}

/* The VM goes on with it. */
static int adopt(struct vm *vm, const struct machine *m, struct started *s, int line, struct err *e)
{
    note_origin(vm, m);
    for (size_t i = 0; i < m->nic_count; i++)
        if (m->nics[i].slot >= 0)
            memcpy(vm->slots[m->nics[i].slot], m->nics[i].id, sizeof(vm->slots[0]));
    vm->qemu = steal_ptr(s->qemu);
    vm->qmp = steal_ptr(s->qmp);
    vm->memory_fd = steal_fd(&s->memory_fd);
    if (!vm->guest)
        vm->guest = guest_new(vm->loop, -1, -1);
    guest_set_event_fn(vm->guest, vm_on_guest_event, vm);
    guest_reconnect(vm->guest, steal_fd(&s->agent_fd), steal_fd(&s->agent_isa_fd), line);
    return s->console_fd < 0 ? 0 : console_connect(vm->console, steal_fd(&s->console_fd), e);
}

int vm_start(struct vm *vm, const struct vm_boot *boot, struct started *ahead, int line, struct err *e)
{
    const struct started_events events = {vm_on_qmp_event, vm_on_qmp_closed, vm_on_qemu_exit, vm};
    struct started started = STARTED_INIT;
    vm_set_cause(vm, NULL);
    free(vm->failure);
    vm->failure = NULL;
    vm->exited = vm->guest_shutdown = vm->suspended = vm->ended_told = vm->loaded = false;
    memset(vm->slots, 0, sizeof(vm->slots));
    vm->booting = true;
    vm->emulated = !boot->machine.kvm;
    vm->scanner = (struct console_scanner){0};
    vm->generation = ++vm->generations;
    vm->agent_timeout_ns = boot->agent_timeout_ns;
    vm->started_ns = clock_monotonic_ns();
    vm->state = VM_DEAD; /* until it has booted */
    if (ahead)
        started_tell(ahead, &events);
    int result = ahead         ? 0
                 : boot->local ? local_begin(vm->loop, boot->agent_fd, &events, &started, e)
                               : started_begin(vm->loop, &boot->machine, vm->base, &events, &started, e);
    if (!result)
        result = adopt(vm, &boot->machine, ahead ? ahead : &started, line, e);
    started_done(&started);
    if (result < 0) {
        drop_qemu(vm);
        vm_set_cause(vm, xstrdup(err_message(e)));
        vm->booting = false;
        return -1;
    }
    vm->scanned = console_boot_start(vm->console);
    return 0;
}

int vm_boot_begin(struct vm *vm, const struct vm_boot *boot, struct err *e)
{
    if (vm_is_live(vm))
        return err_set(e, 0, "boot: VM is %s already", vm_state_name(vm->state));
    drop_qemu(vm);
    return vm_start(vm, boot, NULL, -1, e) < 0 ? err_prefix(e, "boot") : 0;
}

/* Reports the failure, with the console's end. */
static int report_failure(struct vm *vm, const char *call, const char *note, struct err *e)
{
    if (vm->exited)
        console_finish(vm->console, deadline_after(CONSOLE_DRAIN_NS));
    _cleanup_free_ char *tail = console_tail(vm->console, console_boot_start(vm->console), CONSOLE_TAIL);
    vm_set_cause(vm, xstrdup(vm->failure));
    return err_set(e, 0, "%s: %s%s%s%s%s%s", call, vm->failure, note ? " (" : "", note ? note : "", note ? ")" : "",
                   *tail ? "\nconsole tail:\n" : "\nthe console is empty", tail);
}

int vm_wait_ready(struct vm *vm, const char *call, int64_t start, const char *note, int64_t deadline, struct err *e)
{
    _cleanup_err_ struct err why = ERR_INIT;
    int64_t limit = start + vm->agent_timeout_ns;
    if (guest_wait_ready(vm->guest, limit < deadline ? limit : deadline, &why) == 0)
        return 0;
    if (!vm->failure && why.code == ETIMEDOUT && limit <= deadline)
        vm->failure = xasprintf("the agent did not answer within %gs", (double)vm->agent_timeout_ns / 1e9);
    if (vm->failure)
        return report_failure(vm, call, note, e);
    return err_set(e, why.code, "%s: %s", call, err_message(&why));
}

int vm_end_start(struct vm *vm, const char *call, const char *note, int64_t deadline, struct err *e)
{
    int result = vm_wait_ready(vm, call, vm->started_ns, note, deadline, e);
    vm->booting = false;
    if (!result)
        vm->state = VM_BOOTED;
    else if (!vm->failure)
        vm_set_cause(vm, xstrdup(err_message(e)));
    return result;
}

int vm_boot_wait(struct vm *vm, const struct vm_boot *boot, int64_t deadline, struct err *e)
{
    if (vm_end_start(vm, "boot", boot->accel_note, deadline, e) < 0)
        return -1;
    vm->set_clock = boot->set_clock;
    if (boot->set_clock)
        return guest_clock_set(vm->guest, clock_realtime_ns(), deadline, e);
    if (!boot->has_initial_time)
        return 0;
    return guest_clock_set(vm->guest, (int64_t)(boot->initial_time * 1e9), deadline, e);
}

/* -------------------------------------------------------------------------------------------- lifecycle */

int vm_wrong_state(const struct vm *vm, const char *call, struct err *e)
{
    static const char *const remedies[] = {
        [VM_CREATED] = "call vm:boot() first",
        [VM_BOOTED] = "it runs",
        [VM_PAUSED] = "call vm:resume() first",
        [VM_SHUTDOWN] = "call vm:boot() to start it again",
        [VM_DEAD] = "call vm:boot() to start it again",
    };
    const char *cause = vm->state == VM_DEAD ? vm->cause : NULL;
    return err_set(e, 0, "%s: VM is %s%s%s%s; %s", call, vm_state_name(vm->state), cause ? " (" : "", cause ? cause : "",
                   cause ? ")" : "", remedies[vm->state]);
}

int vm_is_asleep(const char *call, struct err *e)
{
    return err_set(e, 0, "%s: the guest has suspended itself; call vm:wakeup() first", call);
}

static int change_running(struct vm *vm, const char *call, const char *command, enum vm_state from, enum vm_state to,
                          int64_t deadline, struct err *e)
{
    if (vm->state != from)
        return vm_wrong_state(vm, call, e);
    if (qmp_call(vm->qmp, command, NULL, deadline, NULL, e) < 0)
        return err_prefix(e, "%s", call);
    vm->state = to;
    return 0;
}

int vm_pause(struct vm *vm, int64_t deadline, struct err *e)
{
    return change_running(vm, "pause", "stop", VM_BOOTED, VM_PAUSED, deadline, e);
}

int vm_resume(struct vm *vm, int64_t deadline, struct err *e)
{
    return change_running(vm, "resume", "cont", VM_PAUSED, VM_BOOTED, deadline, e);
}

int vm_reset(struct vm *vm, int64_t deadline, struct err *e)
{
    if (vm->state != VM_BOOTED)
        return vm_wrong_state(vm, "reset", e);
    int64_t start = clock_monotonic_ns();
    unsigned before = vm->generation;
    vm->resetting = vm->booting = true;
    bool suspended = vm->suspended;
    int result = qmp_call(vm->qmp, "system_reset", NULL, deadline, NULL, e);
    if (!result && suspended)
        qmp_send(vm->qmp, "cont", NULL); /* it would stay in `prelaunch` */
    if (result < 0)
        err_prefix(e, "reset");
    else if (vm->generation == before)
        vm_on_reset(vm); /* the event may come after the reply */
    if (!result)
        result = vm_wait_ready(vm, "reset", start, NULL, deadline, e);
    if (!result && vm->set_clock)
        result = guest_clock_set(vm->guest, clock_realtime_ns(), deadline, e);
    vm->resetting = vm->booting = false;
    if (result < 0 && vm->failure)
        vm_end_booted(vm, VM_DEAD, xstrdup(vm->failure));
    return result;
}

/* A guest whose button driver was not there yet has not seen a press, so it is repeated, as a person would. */
int vm_power_button(struct vm *vm, int64_t deadline, struct err *e)
{
    if (vm->state != VM_BOOTED)
        return vm_wrong_state(vm, "power_button", e);
    int64_t limit = deadline_after(POWER_OFF_NS);
    if (limit > deadline)
        limit = deadline;
    while (!vm->exited) {
        int64_t next = deadline_after(PRESS_NS);
        if (qmp_call(vm->qmp, "system_powerdown", NULL, limit, NULL, e) < 0 && !vm->exited)
            return err_prefix(e, "power_button");
        if (loop_wait(vm->loop, &vm->exited, next < limit ? next : limit) < 0 &&
            (errno == ECANCELED || clock_monotonic_ns() >= limit))
            return err_set(e, errno, "power_button: the guest did not power off within 30s; it is still booted");
    }
    console_finish(vm->console, deadline_after(CONSOLE_DRAIN_NS));
    return 0;
}

void vm_shutdown(struct vm *vm)
{
    bool live = vm_is_live(vm);
    if (live)
        vm_set_cause(vm, xstrdup("it was shut down"));
    vm->state = VM_SHUTDOWN;
    if (vm->guest)
        guest_close(vm->guest, "the VM was shut down");
    drop_qemu(vm);
    console_finish(vm->console, deadline_after(CONSOLE_DRAIN_NS));
    if (live)
        vm_tell_ended(vm);
}

void vm_unboot(struct vm *vm)
{
    vm_shutdown(vm);
    vm_set_cause(vm, NULL);
    vm->state = VM_CREATED;
}

/* -------------------------------------------------------------------------------------------- the agent */

int vm_guest(struct vm *vm, const char *call, int64_t deadline, struct guest **ret, struct err *e)
{
    if (vm->state != VM_BOOTED)
        return vm_wrong_state(vm, call, e);
    if (vm->suspended)
        return vm_is_asleep(call, e);
    if (!guest_is_ready(vm->guest) && vm_wait_ready(vm, call, clock_monotonic_ns(), NULL, deadline, e) < 0) {
        if (vm->failure && vm_is_live(vm))
            vm_end_booted(vm, VM_DEAD, xstrdup(vm->failure));
        return -1;
    }
    *ret = vm->guest;
    return 0;
}

void vm_explain(const struct vm *vm, const char *call, struct err *e)
{
    if (!vm_is_live(vm))
        err_set(e, 0, "%s: the VM died (%s)", call, vm->cause);
}
