/* The Process userdata and run_async. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "script/argument.h"
#include "script/barrier.h"
#include "script/exec_options.h"
#include "script/handle.h"
#include "script/stream.h"

#define CLOSE_NS (5 * NS_PER_S)

int run_async_binding(lua_State *L)
{
    struct guest_command command;
    int64_t deadline;
    struct err e = ERR_INIT;
    int barrier = read_exec_options(L, "run_async", false, &command);
    const char *call = lua_tostring(L, -1);
    struct executor x = check_executor(L);
    if (barrier)
        barrier_check(L, x.vm, barrier, "run_async");
    struct guest *guest = guest_call_begin(L, x.o, call, DEADLINE_NONE, &deadline);
    uint64_t gate = barrier ? push_gate(L, x.vm, guest) : 0;
    struct handle *h = push_new_handle(L, "process", "process", x.vm);
    h->process = guest_process_start(guest, x.worker, gate, &command, deadline, &e);
    h->label = xstrdup(call);
    guest_call_end(L, x.o, call, h->process ? NULL : &e);
    if (barrier)
        barrier_arrive(L, x.vm, barrier, -2, -1);
    return 1;
}

static struct handle *check_process(lua_State *L)
{
    struct handle *h = check_handle(L, "process", true);
    if (!h->process)
        raise_format(L, "process is closed");
    const char *lost = guest_process_lost(h->process);
    if (lost)
        raise_format(L, "%s on %s belongs to an earlier boot (%s)", h->label, h->o->label, lost);
    const char *failure = guest_process_failure(h->process);
    if (failure)
        raise_format(L, "%s: %s: %s", h->o->label, h->label, failure);
    return h;
}

static int process_wait(lua_State *L)
{
    struct handle *h = check_process(L);
    int64_t limit = 0, kill_at = DEADLINE_NONE;
    if (!lua_isnoneornil(L, 2)) {
        limit = check_duration(L, 2, "wait");
        if (!limit)
            return raise_format(L, "wait: 0 does not wait; use proc:status()");
        kill_at = deadline_after(limit);
    }
    struct guest_result result;
    struct err e = ERR_INIT;
    int64_t deadline = handle_begin(L, h, "wait", DEADLINE_NONE);
    int failed = guest_process_wait(h->process, kill_at, deadline, &result, &e);
    handle_end(L, h, "wait", failed ? &e : NULL);
    push_run_result(L, &result, h->label, limit);
    return 1;
}

static int process_status(lua_State *L)
{
    static const char *const names[] = {"exited", "signalled", "timed_out"};
    struct handle *h = check_process(L);
    struct guest_result r = {0};
    loop_poll(script_of(L)->loop);
    bool running = guest_process_status(h->process, &r) < 0;
    lua_newtable(L);
    lua_pushboolean(L, running);
    lua_setfield(L, -2, "running");
    lua_pushstring(L, running ? "running" : names[r.status]);
    lua_setfield(L, -2, "status");
    if (running)
        return 1;
    lua_pushinteger(L, r.exit_code);
    lua_setfield(L, -2, "exit_code");
    if (r.signal) {
        lua_pushinteger(L, r.signal);
        lua_setfield(L, -2, "signal");
    }
    return 1;
}

int check_signal(lua_State *L, int index, int by_default)
{
    static const struct {
        const char *name;
        int number;
    } signals[] = {{"hup", 1},   {"int", 2},   {"quit", 3},  {"kill", 9},  {"usr1", 10}, {"usr2", 12},  {"pipe", 13},
                   {"alrm", 14}, {"term", 15}, {"chld", 17}, {"cont", 18}, {"stop", 19}, {"winch", 28}};
    if (lua_isnoneornil(L, index) && by_default)
        return by_default;
    if (lua_type(L, index) != LUA_TSTRING && !lua_isinteger(L, index))
        return raise_format(L, "signal must be a name or a number (got %s)", luaL_typename(L, index));
    if (lua_isinteger(L, index) || isdigit((unsigned char)*lua_tostring(L, index))) {
        lua_Integer number = lua_tointeger(L, index);
        if (number >= 1 && number <= 64)
            return (int)number;
    } else {
        const char *name = lua_tostring(L, index);
        const char *bare = strncasecmp(name, "sig", 3) ? name : name + 3;
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
            if (!strcasecmp(bare, signals[i].name))
                return signals[i].number;
    }
    return raise_format(L, "unknown signal name `%s`", lua_tostring(L, index));
}

static int send_signal(lua_State *L, int by_default)
{
    struct handle *h = check_process(L);
    bool delivered = false;
    int number = check_signal(L, 2, by_default);
    struct err e = ERR_INIT;
    int64_t deadline = handle_begin(L, h, "kill", DEADLINE_NONE);
    int failed = guest_process_signal(h->process, number, false, &delivered, deadline, &e);
    handle_end(L, h, "kill", failed ? &e : NULL);
    lua_pushboolean(L, delivered);
    return 1;
}

static int process_kill(lua_State *L)
{
    return send_signal(L, 15);
}

static int process_signal(lua_State *L)
{
    return send_signal(L, 0);
}

static int process_pid(lua_State *L)
{
    lua_pushinteger(L, guest_process_pid(check_process(L)->process));
    return 1;
}

static int process_handle(lua_State *L)
{
    struct handle *h = check_handle(L, "process", false);
    lua_pushinteger(L, h->process ? (lua_Integer)guest_process_id(h->process) : 0);
    return 1;
}

static int process_stdin_write(lua_State *L)
{
    struct handle *h = check_process(L);
    size_t n;
    const char *data = luaL_checklstring(L, 2, &n);
    struct err e = ERR_INIT;
    if (h->stdin_closed)
        return raise_format(L, "stdin is closed");
    int64_t deadline = handle_begin(L, h, "stdin_write", DEADLINE_NONE);
    int failed = guest_process_write(h->process, data, n, deadline, &e);
    handle_end(L, h, "stdin_write", failed ? &e : NULL);
    lua_pushinteger(L, (lua_Integer)n);
    return 1;
}

static int process_close_stdin(lua_State *L)
{
    struct handle *h = check_process(L);
    struct err e = ERR_INIT;
    if (h->stdin_closed || !guest_process_is_running(h->process))
        return 0;
    h->stdin_closed = true;
    int64_t deadline = handle_begin(L, h, "close_stdin", DEADLINE_NONE);
    int failed = guest_process_close_stdin(h->process, deadline, &e);
    handle_end(L, h, "close_stdin", failed ? &e : NULL);
    return 0;
}

static int output_stream(lua_State *L, unsigned output)
{
    static const char *const keys[] = {"window", NULL};
    const char *method = output ? "stderr_stream" : "stdout_stream";
    struct handle *h = check_process(L);
    check_options(L, 2, method, keys);
    option_window(L, 2, method); /* a cursor over what is captured anyway: only its range matters */
    push_stream(L, guest_process_stream(h->process, output), h->o->label, 1);
    return 1;
}

static int process_stdout_stream(lua_State *L)
{
    return output_stream(L, 0);
}

static int process_stderr_stream(lua_State *L)
{
    return output_stream(L, 1);
}

/* Ended processes stay readable; only a running one has something to close. */
static int process_close(lua_State *L)
{
    struct handle *h = check_handle(L, "process", false);
    struct err e = ERR_INIT;
    if (!h->process || h->generation != vm_generation(h->o->vm) || vm_state(h->o->vm) != VM_BOOTED ||
        guest_process_lost(h->process))
        return 0;
    guest_process_close(h->process, deadline_after(CLOSE_NS), &e);
    err_clear(&e);
    return 0;
}

static int process_collect(lua_State *L)
{
    struct handle *h = lua_touserdata(L, 1);
    guest_process_free(h->process);
    free(h->label);
    *h = (struct handle){0};
    return 0;
}

static int process_tostring(lua_State *L)
{
    struct handle *h = check_handle(L, "process", false);
    lua_pushfstring(L, "process %s of %s", h->label, h->o->label);
    return 1;
}

const luaL_Reg vm_process_methods[] = {{"run_async", run_async_binding}, {NULL, NULL}};

void process_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"wait", process_wait},
                                       {"status", process_status},
                                       {"kill", process_kill},
                                       {"signal", process_signal},
                                       {"pid", process_pid},
                                       {"handle", process_handle},
                                       {"stdin_write", process_stdin_write},
                                       {"close_stdin", process_close_stdin},
                                       {"stdout_stream", process_stdout_stream},
                                       {"stderr_stream", process_stderr_stream},
                                       {"close", process_close},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", process_collect}, {"__close", process_close},
                                    {"__tostring", process_tostring}, {NULL, NULL}};
    luaL_newmetatable(L, "process");
    luaL_setfuncs(L, meta, 0);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
