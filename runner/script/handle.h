/* Handles of things in a guest: files, processes, workers, asynchronous system calls. Each is a userdata that owns its C
 * object and keeps its VM, which is its user value. */
#pragma once

#include <lua.h>

#include "guest/file.h"
#include "guest/files.h"
#include "guest/kernel.h"
#include "guest/process.h"
#include "guest/worker.h"
#include "script/vm.h"

struct handle {
    struct vm_object *o;
    union {
        struct guest_file *file;
        struct guest_process *process;
        struct guest_worker *worker;
        struct guest_async *async;
        void *object; /* NULL: closed */
    };
    unsigned generation; /* of the VM, at its birth */
    bool stdin_closed, awaited;
    char *label;         /* for messages: file "/x" */
};

/* Pushes a handle of that kind without its object, with the VM at `vm` as user value, and puts it into the scope. */
struct handle *push_new_handle(lua_State *L, const char *kind, const char *scope, int vm);
/* The handle at argument 1; raises on anything else. `alive`: raises when it is of an earlier boot. */
struct handle *check_handle(lua_State *L, const char *kind, bool alive);
/* A blocking call about the handle: as guest_call_begin and guest_call_end, for its VM. */
int64_t handle_begin(lua_State *L, struct handle *h, const char *method, int64_t own);
void handle_end(lua_State *L, struct handle *h, const char *method, struct err *e);

/* What runs kernel calls, files and commands: the VM at argument 1, or a worker there. */
struct executor {
    struct vm_object *o;
    struct guest_worker *worker; /* NULL: the agent */
    int vm;                      /* stack index of the VM userdata */
};
/* Leaves the VM userdata on top of the stack. */
struct executor check_executor(lua_State *L);

/* Methods that VMs and workers share. */
int open_file_binding(lua_State *L);
int run_async_binding(lua_State *L);
int syscall_binding(lua_State *L);
int syscall_async_binding(lua_State *L);
int ioctl_binding(lua_State *L);
int read_mem_binding(lua_State *L);

/* Asynchronous system calls of this boot of the VM that nobody has awaited yet. */
unsigned syscalls_unawaited(lua_State *L, const struct vm_object *o);

/* Metatables; each in its file. */
void file_open(lua_State *L);
void process_open(lua_State *L);
void worker_open(lua_State *L);
void kernel_open(lua_State *L);

extern const luaL_Reg vm_stream_methods[], vm_process_methods[], vm_worker_methods[], vm_kernel_methods[],
    vm_transfer_methods[], vm_batch_methods[];
void batch_open(lua_State *L);

/* vm_files.c */
void push_stat(lua_State *L, const struct guest_stat *st);
void push_listing(lua_State *L, const struct guest_listing *listing);

/* vm_run.c */
void push_run_result(lua_State *L, const struct guest_result *r, const char *command, int64_t timeout_ns);
/* A signal at `index`: number, name or decimal text; nil: `by_default`. */
int check_signal(lua_State *L, int index, int by_default);
