/* vm:boot and its options. A boot has two halves, so that a lab can begin all before it waits for any. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/process.h"
#include "config/build.h"
#include "pool/pool.h"
#include "script/argument.h"
#include "script/barrier.h"
#include "script/network.h"
#include "script/vm.h"

#define FILES_MAX 10000

/* lab:vm takes all of them, vm:boot all but the first, which is for lua/snapshot.lua. */
static const char *const creation_keys[] = {"from_snapshot",         "memory",        "cpus",     "kernel_cmdline",
                                            "kernel_cmdline_append", "agent_timeout", "rng_seed", "initial_time",
                                            "files",                 NULL};
static const char *const *const boot_keys = creation_keys + 1;

/* One entry of `files`, on top of the stack; strings stay anchored by it. */
static void read_file_entry(lua_State *L, const char *call, int number, struct initrd_file *out)
{
    static const char *const keys[] = {"path", "content", "mode", NULL};
    char what[96];
    int64_t mode = 0644;
    size_t path_size = 0;
    snprintf(what, sizeof(what), "%s: files[%d]", call, number);
    if (!lua_istable(L, -1))
        raise_format(L, "%s must be a table {path=, content=, mode=} (got %s)", what, luaL_typename(L, -1));
    check_options(L, -1, what, keys);
    *out = (struct initrd_file){.content = ""};
    const char *content = "";
    if (!option_string(L, -1, what, "path", &out->path, &path_size))
        raise_format(L, "%s has no path", what);
    option_string(L, -1, what, "content", &content, &out->size);
    option_integer(L, -1, what, "mode", &mode);
    if (strlen(out->path) != path_size || *out->path != '/' || strstr(out->path, "/../") ||
        (path_size >= 3 && !strcmp(out->path + path_size - 3, "/..")))
        raise_format(L, "%s: path `%s` must be absolute, without `..` and NUL bytes", what, out->path);
    if (mode < 0 || mode > 07777)
        raise_format(L, "%s: mode must be 0 to 4095 (0o7777)", what);
    out->content = content;
    out->mode = (unsigned)mode;
}

/* Reads the merged table of options at `index`. Files go to a userdata left on the stack. */
static void read_boot_options(lua_State *L, int index, const char *call, struct launch_options *o)
{
    int64_t cpus = 0, seed = 0;
    *o = (struct launch_options){0};
    lua_newuserdatauv(L, 0, 0);
    if (lua_isnoneornil(L, index))
        return;
    index = lua_absindex(L, index);
    check_options(L, index, call, strcmp(call, "lab:vm") ? boot_keys : creation_keys);
    if (option_size(L, index, call, "memory", &o->memory_bytes) && !o->memory_bytes)
        raise_format(L, "%s: memory must not be 0", call);
    if (option_integer(L, index, call, "cpus", &cpus) && (cpus < 1 || cpus > GUEST_CPUS_MAX))
        raise_format(L, "%s: cpus must be 1 to %d", call, GUEST_CPUS_MAX);
    o->cpus = (uint64_t)cpus;
    option_string(L, index, call, "kernel_cmdline", &o->kernel_cmdline, NULL);
    option_string(L, index, call, "kernel_cmdline_append", &o->kernel_cmdline_append, NULL);
    option_duration(L, index, call, "agent_timeout", &o->agent_timeout_ns);
    o->has_rng_seed = option_integer(L, index, call, "rng_seed", &seed);
    o->rng_seed = (uint64_t)seed;
    if (lua_getfield(L, index, "initial_time") != LUA_TNIL) {
        if (lua_type(L, -1) != LUA_TNUMBER || !isfinite(lua_tonumber(L, -1)))
            raise_format(L, "%s: initial_time must be a finite number of seconds", call);
        o->has_initial_time = true;
        o->initial_time = lua_tonumber(L, -1);
    }
    lua_pop(L, 1);
    if (lua_getfield(L, index, "files") != LUA_TNIL) {
        if (!lua_istable(L, -1))
            raise_format(L, "%s: files must be an array (got %s)", call, luaL_typename(L, -1));
        size_t n = lua_rawlen(L, -1);
        if (n > FILES_MAX)
            raise_format(L, "%s: more than %d files", call, FILES_MAX);
        struct initrd_file *files = lua_newuserdatauv(L, n * sizeof(*files) + 1, 0);
        for (size_t i = 0; i < n; i++) {
            lua_rawgeti(L, -2, (lua_Integer)i + 1);
            read_file_entry(L, call, (int)i + 1, &files[i]);
            lua_pop(L, 1);
        }
        o->files = files;
        o->file_count = n;
        lua_replace(L, -3);
    }
    lua_pop(L, 1);
}

void check_boot_options(lua_State *L, int index, const char *call)
{
    struct launch_options o;
    int top = lua_gettop(L);
    read_boot_options(L, index, call, &o);
    lua_settop(L, top);
}

/* core.check_boot_options(options) */
int vm_check_boot_options_binding(lua_State *L)
{
    check_boot_options(L, 1, "vm:boot");
    return 0;
}

/* Pushes creation-time options overlaid by those of this boot, key by key. */
static void push_merged_options(lua_State *L)
{
    lua_newtable(L);
    int merged = lua_gettop(L);
    lua_getiuservalue(L, 1, 1);
    if (lua_istable(L, -1))
        for (lua_pushnil(L); lua_next(L, merged + 1); lua_pop(L, 1)) {
            lua_pushvalue(L, -2);
            lua_pushvalue(L, -2);
            lua_rawset(L, merged);
        }
    lua_pop(L, 1);
    if (lua_istable(L, 2))
        for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
            lua_pushvalue(L, -2);
            lua_pushvalue(L, -2);
            lua_rawset(L, merged);
        }
}

static int exceed_claim(struct vm_object *o, const char *what, uint64_t wanted, uint64_t used, uint64_t total,
                        const char *unit, struct err *e)
{
    err_set(e, 0, "boot: %s needs %llu%s; the claim of %llu%s has %llu%s left", o->label, (unsigned long long)wanted, unit,
            (unsigned long long)total, unit, (unsigned long long)(total - used), unit);
    return err_hint(e, "claim %s = %llu%s", what, (unsigned long long)(used + wanted), unit);
}

int vm_charge(struct script *s, struct vm_object *o, uint64_t memory, uint64_t cpus, struct err *e)
{
    vm_release_charge(s, o);
    if (s->claim.taken && s->claim.memory_bytes) {
        struct claim *c = &s->claim;
        if (memory > c->memory_bytes - c->memory_used)
            return exceed_claim(o, "memory", memory >> 20, c->memory_used >> 20, c->memory_bytes >> 20, "M", e);
        if (c->cpus && cpus > c->cpus - c->cpus_used)
            return exceed_claim(o, "cpus", cpus, c->cpus_used, c->cpus, "", e);
        c->memory_used += memory;
        c->cpus_used += cpus;
        o->charged = memory;
        o->charged_cpus = cpus;
        o->by_claim = true;
        return 0;
    }
    int64_t start = clock_monotonic_ns();
    int result = pool_client_acquire(s->pool, "boot", memory + POOL_VM_OVERHEAD, 0, e);
    deadline_shift(&s->deadline, clock_monotonic_ns() - start);
    if (!result)
        o->charged = memory + POOL_VM_OVERHEAD;
    return result;
}

/* Starts QEMU, with the NICs of the bridges. */
static int start(struct script *s, struct vm_object *o, struct err *e)
{
    struct machine_nic nics[VM_NICS_MAX];
    if (o->nic_count > VM_NICS_MAX)
        return err_set(e, 0, "boot: a member of %zu bridges (at most %d)", o->nic_count, VM_NICS_MAX);
    if (network_connect_vm(s, o, nics, e) < 0)
        return err_prefix(e, "boot");
    o->launch.boot.machine.nics = nics;
    o->launch.boot.machine.nic_count = o->nic_count;
    int result = vm_boot_begin(o->vm, &o->launch.boot, e);
    o->launch.boot.machine.nics = NULL;
    o->launch.boot.machine.nic_count = 0;
    for (size_t i = 0; i < o->nic_count; i++)
        close(nics[i].fd);
    return result;
}

static void on_built(struct source *source, pid_t pid, int status, void *arg)
{
    (void)source, (void)pid, (void)status;
    *(bool *)arg = true;
}

/* The profile's `build` runs in a child, so that the file's other VMs, its deadline and Ctrl-C are served meanwhile;
 * launch_prepare then finds the outcome. */
static int build(struct script *s, const struct profile *profile, int64_t deadline, struct err *e)
{
    const struct launch_host *host = &s->settings->host;
    const struct build_options options = {.run_id = host->run_id};
    if (!profile->build || host->no_build || host->local || !host->run_id)
        return 0;
    pid_t pid = process_fork();
    if (pid < 0)
        return err_errno(e, "boot: fork");
    if (!pid) {
        struct err failure = ERR_INIT; /* kept for launch_prepare by profile_build */
        setpgid(0, 0);
        _exit(profile_build(profile, host->environment, &options, &failure) < 0);
    }
    bool done = false;
    struct source *child = loop_add_child(s->loop, pid, on_built, &done);
    if (child && !loop_wait(s->loop, &done, deadline))
        return 0;
    err_set(e, errno, "boot: `%s` was ended: %s", profile->build, strerror(errno));
    source_remove(child);
    kill(-pid, SIGKILL);
    process_kill_and_reap(pid);
    return -1;
}

static int begin(struct script *s, struct vm_object *o, const struct launch_options *options, int64_t deadline,
                 struct err *e)
{
    uint64_t cpus = options->cpus ? options->cpus : o->profile->cpus;
    launch_done(&o->launch);
    o->launching = o->was_ahead = false;
    uint64_t memory = s->settings->host.local ? 0 : launch_memory(o->profile, options);
    if (build(s, o->profile, deadline, e) < 0 || vm_charge(s, o, memory, cpus, e) < 0)
        return -1;
    if (launch_prepare(o->profile, &s->settings->host, o->name, options, &o->launch, e) < 0) {
        vm_release_charge(s, o);
        return err_prefix(e, "boot");
    }
    if (o->launch.warning)
        fprintf(stderr, "provium: %s\n", o->launch.warning);
    if (start(s, o, e) < 0) {
        vm_release_charge(s, o);
        return -1;
    }
    o->launching = true;
    o->time_pinned = options->has_initial_time;
    o->cid = s->settings->first_cid + o->number;
    return 0;
}

int vm_boot_begin_binding(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    struct script *s = script_of(L);
    struct launch_options options;
    struct err e = ERR_INIT;
    lua_settop(L, 2);
    check_unused(L, "boot");
    if (vm_state(o->vm) == VM_BOOTED || vm_state(o->vm) == VM_PAUSED)
        return raise_format(L, "%s: boot: VM is %s already", o->label, vm_state_name(vm_state(o->vm)));
    check_options(L, 2, "vm:boot", boot_keys);
    push_merged_options(L);
    read_boot_options(L, 3, "vm:boot", &options);
    lua_pushfstring(L, "%s: boot", o->label);
    int64_t deadline = deadline_enter(L, &s->deadline, lua_tostring(L, -1), DEADLINE_NONE);
    int failed = begin(s, o, &options, deadline, &e);
    if (failed && deadline_is_over(&s->deadline))
        err_clear(&e);
    deadline_leave(L, &s->deadline, failed);
    return failed ? vm_raise(L, o, &e) : 0;
}

int vm_boot_wait_binding(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    struct script *s = script_of(L);
    struct err e = ERR_INIT;
    if (!o->launching)
        return 0;
    o->launching = false;
    lua_pushfstring(L, "%s: boot", o->label);
    int64_t deadline = deadline_enter(L, &s->deadline, lua_tostring(L, -1), DEADLINE_NONE);
    int failed = vm_boot_wait(o->vm, &o->launch.boot, deadline, &e);
    if (!failed)
        vm_announce_boot(s, o, "boot");
    launch_done(&o->launch);
    if (!failed)
        failed = network_configure_vm(s, o, deadline, &e);
    if (failed && deadline_is_over(&s->deadline))
        err_clear(&e);
    deadline_leave(L, &s->deadline, failed);
    return failed ? vm_raise(L, o, &e) : 0;
}

int vm_boot_binding(lua_State *L)
{
    vm_boot_begin_binding(L);
    lua_settop(L, 1);
    vm_boot_wait_binding(L);
    lua_settop(L, 1);
    return 1;
}
