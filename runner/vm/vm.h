/* A virtual machine: its states (spec: created, booted, paused, shutdown, dead), QEMU, console and agent session.
 *
 * All calls block by pumping the loop until done or until `deadline` (absolute); an interrupted or timed-out call
 * leaves the VM as it is. Errors do not name the VM: the caller puts `vm "a": ` in front. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "guest/guest.h"
#include "loop/loop.h"
#include "qmp/qmp.h"
#include "snapshot/snapshot_file.h"
#include "vm/command_line.h"
#include "vm/console.h"

struct vm;

enum vm_state {
    VM_CREATED,  /* never started: boot */
    VM_BOOTED,   /* the agent answers: everything but boot and resume */
    VM_PAUSED,   /* vCPUs stopped: resume, shutdown */
    VM_SHUTDOWN, /* QEMU is gone in an orderly way: boot */
    VM_DEAD,     /* failed boot, panic or unexpected end of QEMU: boot, shutdown, console */
};

#define VM_NICS_MAX 16

/* What one boot needs; see struct machine. Descriptors are borrowed for the call. */
struct vm_boot {
    struct machine machine;     /* its *_fd but kernel_fd and initrd_fd are filled in by vm_boot */
    bool local;                 /* no machine: the agent, in agent_fd, runs as a process of this host; see local.h */
    int agent_fd;
    int64_t agent_timeout_ns;
    bool has_initial_time;
    bool set_clock;             /* to the host's time, which machine.rtc_base does not say */
    double initial_time;        /* seconds since the epoch; machine.rtc_base holds the whole second */
    const char *accel_note;     /* why TCG was chosen, for a failed boot's message; NULL: nothing to say */
};

/* `directory` takes the console log. */
struct vm *vm_new(struct loop *loop, const char *name, const char *directory, struct err *e);
/* Ends the guest at once. */
void vm_free(struct vm *vm);
DEFINE_CLEANUP(struct vm, vm_free)

const char *vm_name(const struct vm *vm);
enum vm_state vm_state(const struct vm *vm);
const char *vm_state_name(enum vm_state state);
/* Why the VM is dead or shut down; NULL when it is not. */
const char *vm_cause(const struct vm *vm);
/* Counts boots and resets: a handle from another generation is lost. */
unsigned vm_generation(const struct vm *vm);
/* CLOCK_MONOTONIC of the newest boot's start. */
int64_t vm_started_ns(const struct vm *vm);
struct console *vm_console(struct vm *vm);
/* `stream` reads the console: it is notified of output and of its end, while `on`. */
struct stream;
void vm_watch_output(struct vm *vm, struct stream *stream, bool on);

/* Starts QEMU (from created, shutdown or dead); vm_boot_wait then waits for the agent. Several VMs may be begun before
 * the first is waited for. On failure the VM is dead and, unless QEMU ended, QEMU runs on so that the console can be
 * used; the message is the reason and the console's tail. */
int vm_boot_begin(struct vm *vm, const struct vm_boot *boot, struct err *e);
int vm_boot_wait(struct vm *vm, const struct vm_boot *boot, int64_t deadline, struct err *e);
int vm_pause(struct vm *vm, int64_t deadline, struct err *e);
int vm_resume(struct vm *vm, int64_t deadline, struct err *e);
int vm_reset(struct vm *vm, int64_t deadline, struct err *e);
/* Returns when the guest has powered off (state shutdown); at most 30 s, else the state stays booted. */
int vm_power_button(struct vm *vm, int64_t deadline, struct err *e);
/* Wakes a guest that suspended itself to RAM, with its memory as it was (wakeup.c). */
int vm_wakeup(struct vm *vm, int64_t deadline, struct err *e);
/* Kills QEMU; no-op when there is none. Never fails. */
void vm_shutdown(struct vm *vm);
/* The same, and the VM is as it was before its first boot. */
void vm_unboot(struct vm *vm);

/* NICs of a booted VM, by device id. Plugging puts it into a free slot of the bridge `hotplug`. Unplugging waits at most 10 s for the guest. */
/* How many more can be plugged while it runs. */
unsigned vm_free_slots(const struct vm *vm);
int vm_plug_nic(struct vm *vm, const struct machine_nic *nic, int64_t deadline, struct err *e);
int vm_unplug_nic(struct vm *vm, const char *id, int64_t deadline, struct err *e);
/* The slot that a NIC was plugged into, from 0; -1: it was there at boot. */
int vm_nic_slot(const struct vm *vm, const char *id);
int vm_set_link(struct vm *vm, const char *id, bool up, int64_t deadline, struct err *e);

/* Snapshots. A capture is made of a frozen VM; freezing several before capturing any gives one consistent cut. */

/* What the VM does not know of itself. Borrowed. */
struct vm_capture {
    const char *provium, *profile;
    bool time_pinned;
    bool durable; /* the file is on the disk when this returns */
    struct snapshot_nic *nics;
    size_t nic_count;
};

/* Stops the vCPUs of a booted VM; a paused one is as it has to be. vm_thaw undoes it. */
int vm_freeze(struct vm *vm, int64_t deadline, struct err *e);
void vm_thaw(struct vm *vm);
int vm_capture(struct vm *vm, const char *path, const struct vm_capture *capture, int64_t deadline, struct err *e);

/* For restores of this very VM that leave handles valid: to be made before vm_freeze. The agent sends no output of
 * processes from then on, until vm_mark_release after vm_thaw, or a restore. */
struct vm_mark;
struct vm_mark *vm_mark_new(struct vm *vm, int64_t deadline, struct err *e);
/* Does it hold nothing, so that a restore without it gives the same? */
bool vm_mark_is_empty(const struct vm_mark *mark);
void vm_mark_free(struct vm_mark *mark);
DEFINE_CLEANUP(struct vm_mark, vm_mark_free)
int vm_mark_release(struct vm *vm, int64_t deadline, struct err *e);

/* Begins with the state in `file` (taken) instead of a boot: VM created or shut down, or in any state with a mark of its
 * own. `load` waits until QEMU has the state, `run` until the agent answers; several VMs may be begun, then loaded, then
 * run. After a failure the VM is dead. `boot` comes from launch_restore. */
int vm_restore_begin(struct vm *vm, const struct vm_boot *boot, struct snapshot_file *file, struct vm_mark *mark,
                     struct err *e);
int vm_restore_load(struct vm *vm, int64_t deadline, struct err *e);
int vm_restore_run(struct vm *vm, const struct vm_boot *boot, const struct vm_mark *mark, int64_t deadline, struct err *e);

/* The agent session for an operation: the VM must be booted. A guest that is rebooting itself is waited for.
 * Error: `<call>: VM is <state>; <remedy>` or the cause of death. */
int vm_guest(struct vm *vm, const char *call, int64_t deadline, struct guest **ret, struct err *e);
/* After a guest operation failed: when the VM has ended meanwhile, the error becomes `<call>: the VM died (<cause>)`. */
void vm_explain(const struct vm *vm, const char *call, struct err *e);

/* `fn` runs whenever a booted VM ends or is shut down (not for failed boots), once per boot. */
typedef void (*vm_ended_fn)(struct vm *vm, void *arg);
void vm_on_ended(struct vm *vm, vm_ended_fn fn, void *arg);
