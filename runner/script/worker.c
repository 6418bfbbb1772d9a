/* The Worker userdata. The processes that it started are kept in a table of the registry, for kill and join. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "script/argument.h"
#include "script/barrier.h"
#include "script/exec_options.h"
#include "script/handle.h"

#define CLOSE_NS (5 * NS_PER_S)

static const char processes_key; /* registry: worker userdata → array of its processes (weak keys) */

static int vm_spawn_worker(lua_State *L)
{
    static const char *const keys[] = {"thread", NULL};
    struct vm_object *o = check_vm(L);
    bool thread = false;
    int64_t deadline;
    struct err e = ERR_INIT;
    check_options(L, 2, "spawn_worker", keys);
    if (option_boolean(L, 2, "spawn_worker", "thread", &thread) && thread)
        return raise_format(L, "spawn_worker: thread = true is not supported; workers are processes");
    struct guest *guest = guest_call_begin(L, o, "spawn_worker", DEADLINE_NONE, &deadline);
    struct handle *h = push_new_handle(L, "worker", "worker", 1);
    h->worker = guest_worker_start(guest, deadline, &e);
    if (h->worker)
        h->label = xasprintf("worker %llu", (unsigned long long)guest_worker_id(h->worker));
    guest_call_end(L, o, "spawn_worker", h->worker ? NULL : &e);
    return 1;
}

static struct handle *check_worker(lua_State *L)
{
    check_executor(L);
    lua_pop(L, 1);
    return lua_touserdata(L, 1);
}

static int worker_run(lua_State *L)
{
    struct handle *h = check_worker(L);
    struct guest_command command;
    struct guest_result result;
    struct err e = ERR_INIT;
    read_exec_options(L, "run", true, &command);
    const char *call = lua_tostring(L, -1);
    int64_t deadline = handle_begin(L, h, call, DEADLINE_NONE);
    int failed = guest_worker_run(h->worker, &command, &result, deadline, &e);
    if (!failed) {
        push_run_result(L, &result, call, command.timeout_ns);
        guest_result_done(&result);
    }
    handle_end(L, h, call, failed ? &e : NULL);
    return 1;
}

/* Pushes the array of the worker's processes. */
static void push_processes(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &processes_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_newtable(L);
        lua_pushliteral(L, "k");
        lua_setfield(L, -2, "__mode");
        lua_setmetatable(L, -2);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &processes_key);
    }
    lua_pushvalue(L, 1);
    if (lua_rawget(L, -2) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, 1);
        lua_pushvalue(L, -2);
        lua_rawset(L, -4);
    }
    lua_remove(L, -2);
}

static int worker_run_async(lua_State *L)
{
    check_worker(L);
    run_async_binding(L);
    int process = lua_gettop(L);
    push_processes(L);
    lua_pushvalue(L, process);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_settop(L, process);
    return 1;
}

/* w:kill(sig?) → how many were signalled */
static int worker_kill(lua_State *L)
{
    struct handle *h = check_worker(L);
    int number = check_signal(L, 2, 15);
    lua_Integer count = 0;
    struct err e = ERR_INIT;
    push_processes(L);
    int list = lua_gettop(L), failed = 0;
    int64_t deadline = handle_begin(L, h, "kill", DEADLINE_NONE);
    for (lua_Integer i = 1; !failed && i <= (lua_Integer)lua_rawlen(L, list); i++) {
        lua_rawgeti(L, list, i);
        struct handle *p = lua_touserdata(L, -1);
        bool delivered = false;
        failed = p->process && guest_process_signal(p->process, number, false, &delivered, deadline, &e) < 0;
        count += delivered;
        lua_pop(L, 1);
    }
    handle_end(L, h, "kill", failed ? &e : NULL);
    lua_pushinteger(L, count);
    return 1;
}

static void push_joined(lua_State *L, struct handle *p, const struct guest_result *r)
{
    static const char *const names[] = {"exited", "signalled", "timed_out"};
    lua_createtable(L, 0, 5);
    lua_pushinteger(L, (lua_Integer)guest_process_id(p->process));
    lua_setfield(L, -2, "handle");
    lua_pushinteger(L, guest_process_pid(p->process));
    lua_setfield(L, -2, "pid");
    lua_pushstring(L, names[r->status]);
    lua_setfield(L, -2, "status");
    lua_pushinteger(L, r->exit_code);
    lua_setfield(L, -2, "exit_code");
    if (r->signal) {
        lua_pushinteger(L, r->signal);
        lua_setfield(L, -2, "signal");
    }
}

/* Makes the error name the processes of the list that still run. */
static void name_running(lua_State *L, int list, struct err *e)
{
    _cleanup_free_ char *text = xstrdup("join: still running:");
    for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, list); i++) {
        lua_rawgeti(L, list, i);
        const struct handle *p = lua_touserdata(L, -1);
        if (p->process && guest_process_is_running(p->process)) {
            char *longer = xasprintf("%s pid %lld (%s)", text, (long long)guest_process_pid(p->process), p->label);
            free(text);
            text = longer;
        }
        lua_pop(L, 1);
    }
    err_set(e, e->code, "%s", text);
}

/* w:join(timeout?) → array, in start order */
static int worker_join(lua_State *L)
{
    struct handle *h = check_worker(L);
    int64_t own = lua_isnoneornil(L, 2) ? DEADLINE_NONE : deadline_after(check_duration(L, 2, "join"));
    struct err e = ERR_INIT;
    push_processes(L);
    int list = lua_gettop(L), failed = 0;
    lua_newtable(L);
    int64_t deadline = handle_begin(L, h, "join", own);
    for (lua_Integer i = 1; !failed && i <= (lua_Integer)lua_rawlen(L, list); i++) {
        lua_rawgeti(L, list, i);
        struct handle *p = lua_touserdata(L, -1);
        struct guest_result r;
        lua_pop(L, 1);
        if (!p->process)
            continue;
        failed = guest_process_wait(p->process, DEADLINE_NONE, deadline, &r, &e) < 0;
        if (failed) {
            name_running(L, list, &e);
            break;
        }
        push_joined(L, p, &r);
        lua_rawseti(L, list + 1, i);
    }
    handle_end(L, h, "join", failed ? &e : NULL);
    lua_settop(L, list + 1);
    return 1;
}

static int worker_handle(lua_State *L)
{
    struct handle *h = check_handle(L, "worker", false);
    lua_pushinteger(L, h->worker ? (lua_Integer)guest_worker_id(h->worker) : 0);
    return 1;
}

static int worker_pid(lua_State *L)
{
    lua_pushinteger(L, guest_worker_pid(check_worker(L)->worker));
    return 1;
}

static int worker_close(lua_State *L)
{
    struct handle *h = check_handle(L, "worker", false);
    struct err e = ERR_INIT;
    struct guest_worker *worker = h->worker;
    check_unused(L, "close");
    if (!worker)
        return 0;
    push_processes(L);
    for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, -1); i++) {
        lua_rawgeti(L, -1, i);
        struct handle *p = lua_touserdata(L, -1);
        if (p->process && !guest_process_lost(p->process))
            guest_process_close(p->process, deadline_after(CLOSE_NS), &e);
        lua_pop(L, 1);
        err_clear(&e);
    }
    h->worker = NULL;
    if (vm_state(h->o->vm) == VM_BOOTED && h->generation == vm_generation(h->o->vm))
        guest_worker_close(worker, deadline_after(CLOSE_NS), &e);
    guest_worker_free(worker);
    err_clear(&e);
    return 0;
}

static int worker_collect(lua_State *L)
{
    struct handle *h = lua_touserdata(L, 1);
    guest_worker_free(h->worker);
    free(h->label);
    *h = (struct handle){0};
    return 0;
}

static int worker_tostring(lua_State *L)
{
    struct handle *h = check_handle(L, "worker", false);
    lua_pushfstring(L, "%s of %s", h->label ? h->label : "worker", h->o->label);
    return 1;
}

const luaL_Reg vm_worker_methods[] = {{"spawn_worker", vm_spawn_worker}, {NULL, NULL}};

void worker_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"run", worker_run},
                                       {"run_async", worker_run_async},
                                       {"open_file", open_file_binding},
                                       {"syscall", syscall_binding},
                                       {"syscall_async", syscall_async_binding},
                                       {"ioctl", ioctl_binding},
                                       {"read_mem", read_mem_binding},
                                       {"kill", worker_kill},
                                       {"join", worker_join},
                                       {"handle", worker_handle},
                                       {"pid", worker_pid},
                                       {"close", worker_close},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", worker_collect}, {"__close", worker_close}, {"__tostring", worker_tostring},
                                    {NULL, NULL}};
    luaL_newmetatable(L, "worker");
    luaL_setfuncs(L, meta, 0);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
