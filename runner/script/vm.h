/* The VM userdata, shared by the files that bind its methods (vm_*.c). */
#pragma once

#include <lauxlib.h>
#include <lua.h>

#include "script/script.h"
#include "vm/launch.h"
#include "vm/vm.h"

/* A NIC of the VM, on a bridge of the unit. */
struct vm_nic {
    uint32_t bridge;
    char mac[24];        /* as the bridge knows it */
    char device_mac[24]; /* that its device came with: another one after the restore of a clone */
    char device_id[32];  /* of its device in the running QEMU */
    bool plugged;        /* the running QEMU has it */
    bool detached;       /* not a member any more; what the QEMU has of it is gone at the next boot */
    bool awaited;        /* the guest was given its time to show it */
    bool raw;            /* not for the agent to configure */
    bool configured;
    char guest_name[32]; /* of the guest's interface; empty: none was found */
    char *reason;        /* why it is not configured, or NULL */
};

struct vm_object {
    struct vm *vm; /* NULL: never made, or collected */
    const struct profile *profile;
    char *name, *label; /* label: vm "a" */
    unsigned number;    /* in the file */
    unsigned cid;       /* 0: never booted */
    uint64_t charged;   /* bytes of the pool or the claim */
    uint64_t charged_cpus;
    bool by_claim;
    struct vm_nic *nics; /* in attach order */
    size_t nic_count;
    struct launch launch; /* of the boot in progress */
    bool launching;
    bool was_ahead;         /* its QEMU was started before it was asked for */
    bool time_pinned;       /* the test decides what time it is in the guest */
    struct vm_mark *mark;   /* of the file's baseline, or NULL */
    bool closing;           /* being shut down by the test or the end of its scope */
    struct script *script;  /* of a VM that has booted */
    uint64_t expected; /* console offset of the expect cursor */
    uint64_t reader;   /* … of the next console stream */
    unsigned expect_generation;
};

/* Part of a blocking call; see vm_step. */
typedef int (*vm_step_fn)(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e);

/* The VM at argument 1; raises on anything else. */
struct vm_object *check_vm(lua_State *L);
/* The VM behind any object: itself, or the last in the chain of first user values; NULL if there is none. */
const void *vm_behind(lua_State *L, int index);

/* Runs `step` as a blocking call of the VM at argument 1, which the call's name belongs to. -1: it failed as `e` says, which
 * the caller raises. */
int vm_step(lua_State *L, const char *call, vm_step_fn step, struct err *e);
/* Raises `e` with the VM's name in front. */
int vm_raise(lua_State *L, struct vm_object *o, struct err *e);

/* A blocking guest operation: names the call, checks the state, and gives the session and the deadline. Raises
 * when it cannot begin. `own` is the operation's own deadline. */
struct guest *guest_call_begin(lua_State *L, struct vm_object *o, const char *call, int64_t own, int64_t *ret_deadline);
/* It ended; `e` is NULL for success. Raises when it failed, with the VM's name in front. Everything else has to be
 * released before. */
void guest_call_end(lua_State *L, struct vm_object *o, const char *call, struct err *e);

/* Methods, by family; each NULL-terminated list goes into the VM's method table. */
extern const luaL_Reg vm_lifecycle_methods[], vm_run_methods[], vm_file_methods[], vm_handle_methods[];

/* Creates the metatables of RunResult (vm_run.c), Console and Clock (vm_handles.c). */
void run_result_open(lua_State *L);
void vm_handles_open(lua_State *L);

/* Boot (vm_boot.c): core.boot_begin and core.boot_wait, vm:boot. The VM is argument 1, options argument 2. */
int vm_boot_begin_binding(lua_State *L);
int vm_boot_wait_binding(lua_State *L);
int vm_boot_binding(lua_State *L);
int vm_check_boot_options_binding(lua_State *L);
/* Raises when the boot options at `index` are not well-formed. */
void check_boot_options(lua_State *L, int index, const char *call);
/* Tells that the boot in o->launch is done, and will tell of the VM's end (vm_events.c). `source`: boot or snapshot. */
void vm_announce_boot(struct script *s, struct vm_object *o, const char *source);
/* Takes the VM's memory from the claim or from the pool; waiting for the pool stops the clocks. */
int vm_charge(struct script *s, struct vm_object *o, uint64_t memory, uint64_t cpus, struct err *e);
/* Gives back what the VM had of the pool or the claim. */
void vm_release_charge(struct script *s, struct vm_object *o);
