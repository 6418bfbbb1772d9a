/* A VM's parts, shared by vm.c (what callers ask for) and watch.c (what happens to it). */
#pragma once

#include "snapshot/snapshot_file.h"
#include "vm/panic.h"
#include "vm/start.h"
#include "vm/vm.h"

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

    int memory_fd;                     /* of a guest that was booted: its memory */
    struct snapshot_file *base;        /* of one that was restored: what it began with */
    struct snapshot_info origin;       /* the machine, as a snapshot tells of it; without identities and NICs */
    unsigned generations;              /* given out so far */
    bool frozen;                       /* vm_freeze has stopped the vCPUs */
    bool loaded;                       /* a snapshot's state */

    bool booting;         /* between vm_boot_begin and the end of vm_boot_wait */
    bool exited;          /* QEMU is gone */
    bool guest_shutdown;  /* it powered itself off */
    bool resetting;       /* vm_reset waits */
    bool set_clock;       /* its real-time clock does not know the time */
    bool suspended;
    bool stopped;         /* by QEMU, since vm_wakeup has asked */
    bool emulated;        /* TCG: an answer may take its time */
    char *failure;        /* why this boot failed */
    struct console_scanner scanner;
    uint64_t scanned;     /* console offset */
    struct source *panic_timer, *lost_timer;
    struct stream **readers; /* of the console */
    size_t reader_count;

    char slots[MACHINE_HOTPLUG_SLOTS][32]; /* which device sits in each slot for hot-plug; empty: free */
    char unplugging[32];
    bool unplugged;

    vm_ended_fn on_ended;
    void *on_ended_arg;
    bool ended_told;
};

/* From any state: forgets what was of an earlier boot and starts QEMU, or goes on with one that was started `ahead`, and
 * whose parts it takes. `line` as for guest_reconnect. */
int vm_start(struct vm *vm, const struct vm_boot *boot, struct started *ahead, int line, struct err *e);
/* Waits until the agent answers; on failure `failure` says why, unless the call was interrupted. */
int vm_wait_ready(struct vm *vm, const char *call, int64_t start, const char *note, int64_t deadline, struct err *e);
/* The other half of vm_start: waits likewise; the VM is booted, or has a cause of death. */
int vm_end_start(struct vm *vm, const char *call, const char *note, int64_t deadline, struct err *e);
/* "<call>: VM is <state>; <what to do>" */
int vm_wrong_state(const struct vm *vm, const char *call, struct err *e);
/* "<call>: the guest has suspended itself; …" */
int vm_is_asleep(const char *call, struct err *e);
/* vm_restore_begin, with a QEMU that was started ahead or NULL. */
int vm_restore_start(struct vm *vm, const struct vm_boot *boot, struct snapshot_file *file, struct started *ahead,
                     struct vm_mark *mark, struct err *e);
/* What a machine with this origin is told when it goes on; borrows `seed`, which it fills. */
#define VM_SEED_BYTES 64
struct guest_refresh vm_refresh(const struct snapshot_info *info, uint8_t seed[static VM_SEED_BYTES]);
/* booted or paused */
bool vm_is_live(const struct vm *vm);
/* Takes the text. */
void vm_set_cause(struct vm *vm, char *cause);
/* Ends the boot in progress with the reason (taken), if it is the first. */
void vm_fail_boot(struct vm *vm, char *reason);
/* A booted VM has come to its end, whatever QEMU does; takes the cause. */
void vm_end_booted(struct vm *vm, enum vm_state state, char *cause);
void vm_tell_ended(struct vm *vm);

/* Callbacks of the parts; `arg` is the VM. */
void vm_on_panic_timer(struct source *s, void *arg);
void vm_on_lost_timer(struct source *s, void *arg);
void vm_on_console_output(void *arg);
void vm_on_guest_event(struct guest *g, enum guest_event event, const char *why, void *arg);
void vm_on_qmp_event(const char *event, json_t *data, void *arg);
void vm_on_qmp_closed(void *arg);
void vm_on_qemu_exit(void *arg);
/* The machine was reset. */
void vm_on_reset(struct vm *vm);
