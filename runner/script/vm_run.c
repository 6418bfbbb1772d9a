/* vm:run and its result. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "script/argument.h"
#include "script/exec_options.h"
#include "script/handle.h"
#include "script/vm.h"

#define ASSERT_OUTPUT 4096

/* ------------------------------------------------------------------------------------------------- RunResult */

/* A RunResult is a userdata whose user value is the table of its members. */
static void set_string(lua_State *L, const char *key, const char *s, size_t n)
{
    lua_pushlstring(L, s, n);
    lua_setfield(L, -2, key);
}

void push_run_result(lua_State *L, const struct guest_result *r, const char *command, int64_t timeout_ns)
{
    static const char *const names[] = {"exited", "signalled", "timed_out"};
    lua_newuserdatauv(L, 0, 1);
    luaL_setmetatable(L, "RunResult");
    lua_newtable(L);
    lua_pushstring(L, names[r->status]);
    lua_setfield(L, -2, "status");
    lua_pushinteger(L, r->exit_code);
    lua_setfield(L, -2, "exit_code");
    if (r->status == GUEST_SIGNALLED) {
        lua_pushinteger(L, r->signal);
        lua_setfield(L, -2, "signal");
    }
    lua_pushboolean(L, r->status == GUEST_TIMED_OUT);
    lua_setfield(L, -2, "timed_out");
    lua_pushboolean(L, r->truncated);
    lua_setfield(L, -2, "truncated");
    set_string(L, "stdout", (const char *)buf_head(&r->out), r->out.len);
    set_string(L, "stderr", (const char *)buf_head(&r->err), r->err.len);
    set_string(L, "_command", command, strlen(command));
    lua_pushnumber(L, (double)timeout_ns / 1e9);
    lua_setfield(L, -2, "_timeout");
    lua_setiuservalue(L, -2, 1);
}

static int result_ok(lua_State *L)
{
    luaL_checkudata(L, 1, "RunResult");
    lua_getiuservalue(L, 1, 1);
    lua_getfield(L, -1, "exit_code");
    lua_pushboolean(L, lua_tointeger(L, -1) == 0);
    return 1;
}

static void add_tail(lua_State *L, luaL_Buffer *b, int members, const char *key)
{
    size_t n;
    lua_getfield(L, members, key);
    const char *text = lua_tolstring(L, -1, &n);
    size_t kept = n > ASSERT_OUTPUT ? ASSERT_OUTPUT : n;
    lua_pushfstring(L, "\n%s%s:\n", key, kept < n ? " (last 4 KiB)" : "");
    lua_pushlstring(L, text + n - kept, kept);
    lua_concat(L, 2);
    lua_remove(L, -2);
    if (n)
        luaL_addvalue(b);
    else
        lua_pop(L, 1);
}

static int result_assert_ok(lua_State *L)
{
    char status[64];
    luaL_checkudata(L, 1, "RunResult");
    lua_settop(L, 1);
    lua_getiuservalue(L, 1, 1);
    lua_getfield(L, 2, "exit_code");
    lua_getfield(L, 2, "signal");
    lua_getfield(L, 2, "_command");
    lua_getfield(L, 2, "_timeout");
    lua_Integer code = lua_tointeger(L, 3);
    if (!code) {
        lua_settop(L, 1);
        return 1;
    }
    int number = (int)lua_tointeger(L, 4);
    const char *name = sigabbrev_np(number);
    if (code == -2)
        snprintf(status, sizeof(status), "timed out after %gs", lua_tonumber(L, 6));
    else if (code == -1)
        snprintf(status, sizeof(status), "killed by SIG%s (%d)", name ? name : "?", number);
    else
        snprintf(status, sizeof(status), "exited with %d", (int)code);
    luaL_Buffer b;
    push_position(L, 1);
    const char *position = lua_tostring(L, -1);
    luaL_buffinit(L, &b);
    luaL_addstring(&b, position);
    luaL_addstring(&b, lua_tostring(L, 5));
    luaL_addstring(&b, ": ");
    luaL_addstring(&b, status);
    add_tail(L, &b, 2, "stdout");
    add_tail(L, &b, 2, "stderr");
    luaL_pushresult(&b);
    return lua_error(L);
}

static int result_index(lua_State *L)
{
    static const char *const members[] = {"status",    "exit_code", "signal",    "timed_out", "stdout",
                                          "stderr",    "truncated", "ok",        "assert_ok"};
    const char *key = luaL_tolstring(L, 2, NULL);
    if (!strcmp(key, "ok")) {
        lua_pushcfunction(L, result_ok);
        return 1;
    }
    if (!strcmp(key, "assert_ok")) {
        lua_pushcfunction(L, result_assert_ok);
        return 1;
    }
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        if (!strcmp(key, members[i])) {
            lua_getiuservalue(L, 1, 1);
            lua_getfield(L, -1, key);
            return 1;
        }
    }
    return raise_format(L, "RunResult has no member \"%s\" (status, exit_code, signal, timed_out, stdout, stderr, "
                           "truncated, ok, assert_ok)", key);
}

static int result_tostring(lua_State *L)
{
    lua_getiuservalue(L, 1, 1);
    lua_getfield(L, -1, "status");
    lua_getfield(L, -2, "exit_code");
    lua_pushfstring(L, "RunResult(%s, %d)", lua_tostring(L, -2), (int)lua_tointeger(L, -1));
    return 1;
}

void run_result_open(lua_State *L)
{
    static const luaL_Reg meta[] = {{"__index", result_index}, {"__tostring", result_tostring}, {NULL, NULL}};
    luaL_newmetatable(L, "RunResult");
    luaL_setfuncs(L, meta, 0);
    lua_pop(L, 1);
}

/* ------------------------------------------------------------------------------------------------- vm:run */

static int vm_run(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    struct guest_command command;
    struct err e = ERR_INIT;
    int64_t deadline;
    read_exec_options(L, "run", true, &command); /* leaves the call's text on top */
    const char *call = lua_tostring(L, -1);
    struct guest *guest = guest_call_begin(L, o, call, DEADLINE_NONE, &deadline);
    struct guest_result result;
    int failed = guest_run(guest, &command, &result, deadline, &e);
    if (!failed) {
        push_run_result(L, &result, call, command.timeout_ns);
        guest_result_done(&result);
    }
    guest_call_end(L, o, call, failed ? &e : NULL);
    return 1;
}

const luaL_Reg vm_run_methods[] = {{"run", vm_run}, {NULL, NULL}};
