/* Life of a VM.
 *
 * QEMU, the monitor, the console and the agent session all report through the loop; the callbacks below only note what
 * happened (`ready`, `failure`, `exited`, …) and blocking calls wait for those notes. `settled` is true while nothing
 * is being waited for: the agent answers or the boot has failed.
 *
 * What ends a boot, and how it is told apart: QEMU's exit (its stderr), SHUTDOWN by the guest (powered off), a panic or
 * halt in the console text that is followed by silence, the agent's timeout. After the boot, panic text alone proves
 * nothing (a test may print it): the agent is asked, and only its silence counts. */
#include "vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/io.h"
#include "vm/panic.h"
#include "vm/qemu.h"

#define CONSOLE_TAIL     4096
#define PANIC_GRACE_NS   (500 * NS_PER_MS)
#define POWER_OFF_NS     (30 * NS_PER_S)
#define MONITOR_NS       (60 * NS_PER_S)
#define CONSOLE_DRAIN_NS (2 * NS_PER_S)

struct vm {
    struct loop *loop;
    char *name;
    enum vm_state state;
    char *cause;
    unsigned generation;
    int64_t started_ns;
    struct console *console;
    struct qemu *qemu;
    struct qmp *qmp;
    struct guest *guest;
    int64_t agent_timeout_ns;

    bool settled;         /* ready or failed */
    bool ready;           /* the agent has said hello in this generation */
    bool exited;          /* QEMU is gone */
    bool guest_shutdown;  /* it powered itself off */
    bool resetting;       /* vm_reset waits */
    bool running;         /* vCPUs run */
    bool suspended;
    char *failure;        /* why this boot failed */
    struct console_scanner scanner;
    uint64_t scanned;     /* console offset */
    struct source *panic_timer;

    vm_ended_fn on_ended;
    void *on_ended_arg;
    bool ended_told;
};

const char *vm_state_name(enum vm_state state)
{
    static const char *const names[] = {"created", "booted", "paused", "shutdown", "dead"};
    return names[state];
}

/* -------------------------------------------------------------------------------------------- notes of events */

static void set_cause(struct vm *vm, char *cause)
{
    free(vm->cause);
    vm->cause = cause;
}

static void fail_boot(struct vm *vm, char *reason)
{
    if (vm->settled) {
        free(reason);
        return;
    }
    vm->failure = reason;
    vm->settled = true;
}

static void tell_ended(struct vm *vm)
{
    if (vm->ended_told || !vm->on_ended)
        return;
    vm->ended_told = true;
    vm->on_ended(vm, vm->on_ended_arg);
}

/* A booted VM has come to its end, whatever QEMU does. */
static void end_booted(struct vm *vm, enum vm_state state, char *cause)
{
    set_cause(vm, cause);
    vm->state = state;
    if (vm->guest)
        guest_fail(vm->guest, vm->cause);
    tell_ended(vm);
}

static bool is_live(const struct vm *vm)
{
    return vm->state == VM_BOOTED || vm->state == VM_PAUSED;
}

static void stop_vcpus(struct vm *vm)
{
    if (vm->qmp)
        qmp_send(vm->qmp, "stop");
}

static char *console_reason(const struct vm *vm)
{
    if (vm->scanner.verdict == CONSOLE_PANIC)
        return xasprintf("kernel panic: %s", vm->scanner.text);
    return xstrdup("the guest halted");
}

/* Half a second after the fatal line: whoever still answers has not ended. */
static void on_panic_timer(struct source *s, void *arg)
{
    struct vm *vm = arg;
    (void)s;
    if (!vm->settled) {
        fail_boot(vm, console_reason(vm));
        stop_vcpus(vm);
    } else if (is_live(vm) && vm->guest && !guest_heard_since(vm->guest, clock_monotonic_ns() - PANIC_GRACE_NS)) {
        end_booted(vm, VM_DEAD, console_reason(vm));
        stop_vcpus(vm);
    }
}

static void on_console_output(void *arg)
{
    struct vm *vm = arg;
    char chunk[8192];
    ssize_t got;
    while ((got = console_read(vm->console, vm->scanned, chunk, sizeof(chunk))) > 0) {
        vm->scanned += (uint64_t)got;
        if (vm->scanner.verdict != CONSOLE_ALIVE || !console_scan(&vm->scanner, chunk, (size_t)got))
            continue;
        if (vm->guest)
            guest_ping_async(vm->guest);
        source_set_deadline(vm->panic_timer, deadline_after(PANIC_GRACE_NS));
    }
}

static void on_guest_ready(void *arg)
{
    struct vm *vm = arg;
    vm->ready = true;
    vm->settled = true;
}

static void on_guest_lost(void *arg)
{
    struct vm *vm = arg;
    if (!vm->settled)
        fail_boot(vm, xasprintf("agent: %s", guest_error(vm->guest)));
    else if (is_live(vm) && !vm->exited)
        vm->ready = false;
}

/* The guest begins anew, by vm_reset or on its own: handles of before are lost. */
static void begin_generation(struct vm *vm)
{
    vm->generation++;
    vm->ready = false;
    if (vm->settled)
        vm->settled = vm->failure != NULL;
    vm->scanner = (struct console_scanner){0};
    console_mark_boot(vm->console);
    guest_restart(vm->guest, vm->resetting ? "the VM was reset" : "the guest rebooted");
}

static void on_reset(struct vm *vm)
{
    if (vm->scanner.verdict != CONSOLE_ALIVE && !vm->resetting) {
        char *reason = console_reason(vm); /* panic=-1: the kernel reboots by itself */
        stop_vcpus(vm);
        if (vm->settled && is_live(vm))
            end_booted(vm, VM_DEAD, reason);
        else
            fail_boot(vm, reason);
        return;
    }
    if (is_live(vm) || !vm->settled)
        begin_generation(vm);
}

static void on_qmp_event(const char *event, json_t *data, void *arg)
{
    struct vm *vm = arg;
    if (!strcmp(event, "SHUTDOWN")) {
        vm->guest_shutdown = json_is_true(json_object_get(data, "guest"));
    } else if (!strcmp(event, "RESET")) {
        on_console_output(vm); /* what was said before it */
        on_reset(vm);
    } else if (!strcmp(event, "STOP")) {
        vm->running = false;
    } else if (!strcmp(event, "RESUME")) {
        vm->running = true;
    } else if (!strcmp(event, "SUSPEND")) {
        vm->suspended = true;
    } else if (!strcmp(event, "WAKEUP")) {
        vm->suspended = false;
    }
}

static void on_qmp_closed(void *arg)
{
    (void)arg; /* QEMU's exit follows */
}

static void on_qemu_exit(void *arg)
{
    struct vm *vm = arg;
    vm->exited = true;
    qmp_drain(vm->qmp);
    char *reason = qemu_describe_exit(vm->qemu);
    if (vm->guest_shutdown) {
        free(reason);
        reason = xstrdup("the guest powered itself off");
    }
    if (is_live(vm))
        end_booted(vm, vm->guest_shutdown ? VM_SHUTDOWN : VM_DEAD, reason);
    else
        fail_boot(vm, reason);
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
    vm->settled = true;
    vm->panic_timer = loop_add_timer(loop, DEADLINE_NONE, on_panic_timer, vm);
    console_on_output(console, on_console_output, vm);
    return vm;
}

static void drop_qemu(struct vm *vm)
{
    source_set_deadline(vm->panic_timer, DEADLINE_NONE);
    guest_free(vm->guest);
    vm->guest = NULL;
    qmp_free(vm->qmp);
    vm->qmp = NULL;
    qemu_free(vm->qemu);
    vm->qemu = NULL;
}

void vm_free(struct vm *vm)
{
    if (!vm)
        return;
    vm->on_ended = NULL;
    drop_qemu(vm);
    source_remove(vm->panic_timer);
    console_free(vm->console);
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

void vm_on_ended(struct vm *vm, vm_ended_fn fn, void *arg)
{
    vm->on_ended = fn;
    vm->on_ended_arg = arg;
}

/* -------------------------------------------------------------------------------------------- boot */

enum { SOCKET_QMP, SOCKET_AGENT, SOCKET_AGENT_ISA, SOCKETS };

/* Makes the channels, starts QEMU with their far ends, keeps the near ones. */
static int start_qemu(struct vm *vm, const struct vm_boot *boot, struct err *e)
{
    struct machine m = boot->machine;
    int near[SOCKETS] = {-1, -1, -1}, far[SOCKETS] = {-1, -1, -1}, console_fd = -1, result = -1;
    for (int i = 0; i < SOCKETS; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
            err_errno(e, "socket pair");
            goto out;
        }
        near[i] = pair[0];
        far[i] = pair[1];
    }
    if (console_connect(vm->console, &console_fd, e) < 0)
        goto out;
    m.qmp_fd = far[SOCKET_QMP];
    m.agent_fd = far[SOCKET_AGENT];
    m.agent_isa_fd = far[SOCKET_AGENT_ISA];
    m.console_fd = console_fd;
    _cleanup_strv_ struct strv argv = STRV_INIT;
    machine_command_line(&m, &argv);
    int fds[] = {far[SOCKET_QMP], far[SOCKET_AGENT], far[SOCKET_AGENT_ISA], console_fd, m.kernel_fd, m.initrd_fd};
    vm->qemu = qemu_start(vm->loop, &argv, fds, ARRAY_SIZE(fds) - (m.initrd_fd < 0), on_qemu_exit, vm, e);
    if (!vm->qemu)
        goto out;
    vm->qmp = qmp_new(vm->loop, steal_fd(&near[SOCKET_QMP]), on_qmp_event, on_qmp_closed, vm);
    vm->guest = guest_new(vm->loop, steal_fd(&near[SOCKET_AGENT]), steal_fd(&near[SOCKET_AGENT_ISA]),
                          on_guest_ready, on_guest_lost, vm);
    result = 0;
out:
    for (int i = 0; i < SOCKETS; i++) {
        close_fd(&near[i]);
        close_fd(&far[i]);
    }
    close_fd(&console_fd);
    return result;
}

int vm_boot_begin(struct vm *vm, const struct vm_boot *boot, struct err *e)
{
    if (is_live(vm))
        return err_set(e, 0, "boot: VM is %s already", vm_state_name(vm->state));
    drop_qemu(vm);
    set_cause(vm, NULL);
    free(vm->failure);
    vm->failure = NULL;
    vm->settled = vm->ready = vm->exited = vm->guest_shutdown = vm->suspended = vm->ended_told = false;
    vm->running = true;
    vm->scanner = (struct console_scanner){0};
    vm->generation++;
    vm->agent_timeout_ns = boot->agent_timeout_ns;
    vm->started_ns = clock_monotonic_ns();
    vm->state = VM_DEAD; /* until it has booted */
    if (start_qemu(vm, boot, e) < 0) {
        drop_qemu(vm);
        set_cause(vm, xstrdup(err_message(e)));
        vm->settled = true;
        return err_prefix(e, "boot");
    }
    vm->scanned = console_boot_start(vm->console);
    return 0;
}

static int fail_wait(struct vm *vm, const char *call, const char *note, struct err *e)
{
    if (vm->exited)
        console_finish(vm->console, deadline_after(CONSOLE_DRAIN_NS));
    _cleanup_free_ char *tail = console_tail(vm->console, console_boot_start(vm->console), CONSOLE_TAIL);
    set_cause(vm, xstrdup(vm->failure));
    return err_set(e, 0, "%s: %s%s%s%s%s%s", call, vm->failure, note ? " (" : "", note ? note : "", note ? ")" : "",
                   *tail ? "\nconsole tail:\n" : "\nthe console is empty", tail);
}

/* Waits until the agent answers in the current generation. */
static int wait_ready(struct vm *vm, const char *call, int64_t start, const char *note, int64_t deadline, struct err *e)
{
    int64_t limit = start + vm->agent_timeout_ns;
    if (loop_wait(vm->loop, &vm->settled, limit < deadline ? limit : deadline) < 0) {
        int code = errno;
        if (code == ETIMEDOUT && limit <= deadline) {
            fail_boot(vm, xasprintf("the agent did not answer within %gs", (double)vm->agent_timeout_ns / 1e9));
        } else {
            vm->failure = xstrdup("interrupted");
            vm->settled = true;
            set_cause(vm, xstrdup("its boot was interrupted"));
            return err_set(e, code, "%s: interrupted", call);
        }
    }
    if (!vm->ready) {
        guest_fail(vm->guest, vm->failure);
        return fail_wait(vm, call, note, e);
    }
    return 0;
}

int vm_boot_wait(struct vm *vm, const struct vm_boot *boot, int64_t deadline, struct err *e)
{
    if (wait_ready(vm, "boot", vm->started_ns, boot->accel_note, deadline, e) < 0)
        return -1;
    vm->state = VM_BOOTED;
    if (!boot->has_initial_time)
        return 0;
    if (guest_clock_set(vm->guest, (int64_t)(boot->initial_time * 1e9), deadline, e) < 0)
        return err_prefix(e, "boot");
    return 0;
}

/* -------------------------------------------------------------------------------------------- lifecycle */

static int wrong_state(const struct vm *vm, const char *call, struct err *e)
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

static int change_running(struct vm *vm, const char *call, const char *command, enum vm_state from, enum vm_state to,
                          int64_t deadline, struct err *e)
{
    if (vm->state != from)
        return wrong_state(vm, call, e);
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
        return wrong_state(vm, "reset", e);
    vm->resetting = true;
    int64_t start = clock_monotonic_ns();
    unsigned before = vm->generation;
    int result = qmp_call(vm->qmp, "system_reset", NULL, deadline, NULL, e);
    if (result < 0) {
        err_prefix(e, "reset");
    } else {
        if (vm->generation == before)
            begin_generation(vm); /* the RESET event comes after the reply, and changes nothing more */
        result = wait_ready(vm, "reset", start, NULL, deadline, e);
    }
    vm->resetting = false;
    if (result < 0 && vm->failure)
        end_booted(vm, VM_DEAD, xstrdup(vm->failure));
    return result;
}

int vm_power_button(struct vm *vm, int64_t deadline, struct err *e)
{
    if (vm->state != VM_BOOTED)
        return wrong_state(vm, "power_button", e);
    if (qmp_call(vm->qmp, "system_powerdown", NULL, deadline, NULL, e) < 0)
        return err_prefix(e, "power_button");
    int64_t limit = deadline_after(POWER_OFF_NS);
    if (loop_wait(vm->loop, &vm->exited, limit < deadline ? limit : deadline) < 0)
        return err_set(e, errno, "power_button: the guest did not power off within 30s; it is still booted");
    console_finish(vm->console, deadline_after(CONSOLE_DRAIN_NS));
    return 0;
}

int vm_wakeup(struct vm *vm, int64_t deadline, struct err *e)
{
    if (vm->state != VM_BOOTED)
        return wrong_state(vm, "wakeup", e);
    if (!vm->suspended)
        return err_set(e, 0, "wakeup: the guest is not suspended");
    if (qmp_call(vm->qmp, "system_wakeup", NULL, deadline, NULL, e) < 0 || guest_ping(vm->guest, deadline, e) < 0)
        return err_prefix(e, "wakeup");
    return 0;
}

void vm_shutdown(struct vm *vm)
{
    bool live = is_live(vm);
    if (live)
        set_cause(vm, xstrdup("it was shut down"));
    vm->state = VM_SHUTDOWN;
    if (vm->guest)
        guest_fail(vm->guest, "the VM was shut down");
    drop_qemu(vm);
    console_finish(vm->console, deadline_after(CONSOLE_DRAIN_NS));
    if (live)
        tell_ended(vm);
}

/* -------------------------------------------------------------------------------------------- the agent */

int vm_guest(struct vm *vm, const char *call, int64_t deadline, struct guest **ret, struct err *e)
{
    if (vm->state != VM_BOOTED)
        return wrong_state(vm, call, e);
    if (!vm->settled && wait_ready(vm, call, clock_monotonic_ns(), NULL, deadline, e) < 0) {
        if (vm->failure)
            end_booted(vm, VM_DEAD, xstrdup(vm->failure));
        return -1;
    }
    *ret = vm->guest;
    return 0;
}

void vm_explain(struct vm *vm, const char *call, struct err *e)
{
    if (!is_live(vm))
        err_set(e, 0, "%s: the VM died (%s)", call, vm->cause ? vm->cause : vm_state_name(vm->state));
}
