/* The VM userdata: creation, lifecycle and accessors. Its user value is the table of creation-time boot options. */
#include "script/vm.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "script/argument.h"
#include "script/barrier.h"
#include "script/handle.h"
#include "script/network.h"
#include "script/fixture.h"
#include "script/snapshot.h"
#include "script/stream.h"

struct vm_object *check_vm(lua_State *L)
{
    struct vm_object *o = luaL_testudata(L, 1, "vm");
    if (!o || !o->vm)
        raise_format(L, "expected a VM as first argument (got %s); call methods with a colon", luaL_typename(L, 1));
    return o;
}

const void *vm_behind(lua_State *L, int index)
{
    lua_pushvalue(L, index);
    while (lua_isuserdata(L, -1) && !luaL_testudata(L, -1, "vm")) {
        lua_getiuservalue(L, -1, 1);
        lua_remove(L, -2);
    }
    const void *vm = luaL_testudata(L, -1, "vm");
    lua_pop(L, 1);
    return vm;
}

int vm_raise(lua_State *L, struct vm_object *o, struct err *e)
{
    err_prefix(e, "%s", o->label);
    return raise_err(L, e);
}

struct guest *guest_call_begin(lua_State *L, struct vm_object *o, const char *call, int64_t own, int64_t *ret_deadline)
{
    struct script *s = script_of(L);
    struct guest *guest = NULL;
    struct err e = ERR_INIT;
    lua_pushfstring(L, "%s: %s", o->label, call);
    int64_t deadline = deadline_enter(L, &s->deadline, lua_tostring(L, -1), own);
    lua_pop(L, 1);
    if (vm_guest(o->vm, call, deadline, &guest, &e) < 0) {
        deadline_leave(L, &s->deadline, true);
        vm_raise(L, o, &e);
    }
    *ret_deadline = deadline;
    return guest;
}

void guest_call_end(lua_State *L, struct vm_object *o, const char *call, struct err *e)
{
    struct deadline *d = &script_of(L)->deadline;
    if (e && deadline_is_over(d))
        err_clear(e);
    deadline_leave(L, d, e != NULL);
    if (!e)
        return;
    vm_explain(o->vm, call, e);
    vm_raise(L, o, e);
}

/* ------------------------------------------------------------------------------------------------- life */

void vm_release_charge(struct script *s, struct vm_object *o)
{
    if (o->by_claim) {
        s->claim.memory_used -= o->charged;
        s->claim.cpus_used -= o->charged_cpus;
    } else if (o->charged) {
        pool_client_release(s->pool, o->charged, 0);
    }
    o->charged = o->charged_cpus = 0;
    o->by_claim = false;
}

/* core.vm_new(name, profile, options) */
static int vm_new_binding(lua_State *L)
{
    struct script *s = script_of(L);
    struct err e = ERR_INIT;
    const char *name = luaL_checkstring(L, 1);
    if (lua_type(L, 2) != LUA_TSTRING)
        return raise_format(L, "lab:vm: profile must be a string (got %s)", luaL_typename(L, 2));
    const struct profile *profile = config_profile(s->settings->config, lua_tostring(L, 2), &e);
    if (!profile)
        return raise_err(L, &e);
    check_boot_options(L, 3, "lab:vm");
    struct vm_object *o = lua_newuserdatauv(L, sizeof(*o), 1);
    *o = (struct vm_object){.profile = profile, .launch = LAUNCH_INIT};
    luaL_setmetatable(L, "vm");
    lua_pushvalue(L, 3);
    lua_setiuservalue(L, -2, 1);
    o->number = ++s->vm_count;
    o->name = xstrdup(name);
    o->label = xasprintf("vm \"%s\"", name);
    o->vm = vm_new(s->loop, name, s->settings->host.environment->temporary_dir, &e);
    if (!o->vm)
        return vm_raise(L, o, &e);
    scope_add(L, "vm", -1);
    return 1;
}

static void note_ended(lua_State *L, struct vm_object *o)
{
    if (!o->launching && (vm_state(o->vm) == VM_SHUTDOWN || vm_state(o->vm) == VM_DEAD))
        vm_release_charge(script_of(L), o);
}

static int vm_shutdown_binding(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    check_unused(L, "shutdown");
    o->closing = true;
    o->launching = false;
    vm_shutdown(o->vm);
    o->closing = false;
    note_ended(L, o);
    return 0;
}

static int vm_collect(lua_State *L)
{
    struct vm_object *o = lua_touserdata(L, 1);
    vm_mark_free(o->mark);
    o->mark = NULL;
    vm_free(o->vm);
    launch_done(&o->launch);
    network_forget_nics(o);
    free(o->name);
    free(o->label);
    o->vm = NULL;
    o->name = o->label = NULL;
    return 0;
}

int vm_step(lua_State *L, const char *call, vm_step_fn step, struct err *e)
{
    struct vm_object *o = check_vm(L);
    struct script *s = script_of(L);
    check_unused(L, call);
    lua_pushfstring(L, "%s: %s", o->label, call);
    int64_t deadline = deadline_enter(L, &s->deadline, lua_tostring(L, -1), DEADLINE_NONE);
    int failed = step(s, o, L, deadline, e);
    note_ended(L, o);
    if (failed && deadline_is_over(&s->deadline))
        err_clear(e);
    deadline_leave(L, &s->deadline, failed);
    return failed;
}

static int lifecycle(lua_State *L, const char *call, vm_step_fn step)
{
    struct err e = ERR_INIT;
    if (vm_step(L, call, step, &e) < 0)
        return vm_raise(L, check_vm(L), &e);
    lua_settop(L, 1);
    return 1;
}

#define STEP(name)                                                                                                   \
    static int name##_step(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)       \
    {                                                                                                                \
        (void)s, (void)L;                                                                                            \
        return vm_##name(o->vm, deadline, e);                                                                          \
    }
STEP(pause)
STEP(resume)
STEP(reset)
STEP(power_button)
STEP(wakeup)
#undef STEP

static int vm_pause_binding(lua_State *L)
{
    return lifecycle(L, "pause", pause_step);
}

static int vm_resume_binding(lua_State *L)
{
    return lifecycle(L, "resume", resume_step);
}

static int vm_reset_binding(lua_State *L)
{
    struct err e = ERR_INIT;
    lifecycle(L, "reset", reset_step);
    if (network_configure_vm(script_of(L), check_vm(L), DEADLINE_NONE, &e) < 0)
        return vm_raise(L, check_vm(L), &e);
    return 1;
}

static int vm_power_button_binding(lua_State *L)
{
    return lifecycle(L, "power_button", power_button_step);
}

static int vm_wakeup_binding(lua_State *L)
{
    return lifecycle(L, "wakeup", wakeup_step);
}

/* ------------------------------------------------------------------------------------------------- accessors */

static int vm_state_binding(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    loop_poll(script_of(L)->loop); /* what QEMU has said already counts; the guest is not asked */
    note_ended(L, o);
    lua_pushstring(L, vm_state_name(vm_state(o->vm)));
    return 1;
}

static int vm_name_binding(lua_State *L)
{
    lua_pushstring(L, check_vm(L)->name);
    return 1;
}

static int vm_profile_binding(lua_State *L)
{
    lua_pushstring(L, check_vm(L)->profile->name);
    return 1;
}

static int vm_cid_binding(lua_State *L)
{
    unsigned cid = check_vm(L)->cid;
    if (!cid)
        return 0;
    lua_pushinteger(L, cid);
    return 1;
}

static int vm_tostring(lua_State *L)
{
    struct vm_object *o = luaL_checkudata(L, 1, "vm");
    lua_pushfstring(L, "%s (provium#%d)", o->label ? o->label : "vm", (int)o->number);
    return 1;
}

const luaL_Reg vm_lifecycle_methods[] = {
    {"boot", vm_boot_binding},
    {"shutdown", vm_shutdown_binding},
    {"close", vm_shutdown_binding},
    {"pause", vm_pause_binding},
    {"resume", vm_resume_binding},
    {"reset", vm_reset_binding},
    {"power_button", vm_power_button_binding},
    {"wakeup", vm_wakeup_binding},
    {"state", vm_state_binding},
    {"name", vm_name_binding},
    {"profile", vm_profile_binding},
    {"cid", vm_cid_binding},
    {NULL, NULL},
};

/* ------------------------------------------------------------------------------------------------- for lua/ */

/* core.console_tail(vm, bytes) → the last bytes of its console, "" for a VM that was never booted */
static int core_console_tail(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    size_t n = (size_t)luaL_checkinteger(L, 2);
    char *tail = console_tail(vm_console(o->vm), 0, n);
    lua_pushstring(L, tail);
    free(tail);
    return 1;
}

/* core.ping(vm, seconds) → does its agent answer? */
static int core_ping(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    struct guest *guest;
    int64_t deadline = deadline_after((int64_t)(luaL_checknumber(L, 2) * 1e9));
    lua_pushboolean(L, vm_guest(o->vm, "ping", deadline, &guest, NULL) == 0 && guest_ping(guest, deadline, NULL) == 0);
    return 1;
}

/* core.is_open_on(file, vm) */
static int core_is_open_on(lua_State *L)
{
    const struct handle *h = luaL_checkudata(L, 1, "file");
    lua_pushboolean(L, h->file && h->o == lua_touserdata(L, 2) && h->generation == vm_generation(h->o->vm) &&
                           vm_state(h->o->vm) != VM_SHUTDOWN);
    return 1;
}

void vm_open(lua_State *L)
{
    static const luaL_Reg meta[] = {{"__tostring", vm_tostring}, {"__gc", vm_collect}, {"__close", vm_shutdown_binding},
                                    {NULL, NULL}};
    static const luaL_Reg functions[] = {{"vm_new", vm_new_binding},
                                         {"boot_begin", vm_boot_begin_binding},
                                         {"boot_wait", vm_boot_wait_binding},
                                         {"check_boot_options", vm_check_boot_options_binding},
                                         {"console_tail", core_console_tail},
                                         {"ping", core_ping},
                                         {"is_open_on", core_is_open_on},
                                         {NULL, NULL}};
    int core = lua_gettop(L);
    luaL_newmetatable(L, "vm");
    luaL_setfuncs(L, meta, 0);
    lua_newtable(L);
    luaL_setfuncs(L, vm_lifecycle_methods, 0);
    luaL_setfuncs(L, vm_run_methods, 0);
    luaL_setfuncs(L, vm_file_methods, 0);
    luaL_setfuncs(L, vm_handle_methods, 0);
    luaL_setfuncs(L, vm_stream_methods, 0);
    luaL_setfuncs(L, vm_process_methods, 0);
    luaL_setfuncs(L, vm_worker_methods, 0);
    luaL_setfuncs(L, vm_kernel_methods, 0);
    luaL_setfuncs(L, vm_transfer_methods, 0);
    luaL_setfuncs(L, vm_batch_methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, core, "vm_methods"); /* bridge.lua adds nic and ip */
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    run_result_open(L);
    stream_open(L);
    file_open(L);
    process_open(L);
    worker_open(L);
    kernel_open(L);
    batch_open(L);
    vm_handles_open(L);
    luaL_getmetatable(L, "clock");
    lua_getfield(L, -1, "__index");
    lua_setfield(L, core, "clock_methods"); /* for local.lua */
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
    network_open(L);
    snapshot_open(L);
    fixture_open(L);
}
