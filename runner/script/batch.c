/* vm:batch(fn): `b` records; then everything goes in one round trip (guest/batch.h). What the operations borrow is
 * anchored in a table until the batch is freed. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "guest/batch.h"
#include "script/argument.h"
#include "script/exec_options.h"
#include "script/handle.h"

#define BATCH "provium.batch"

struct recorder {
    struct guest_batch *batch; /* NULL while recording */
};

static const char *const names[] = {"run",   "read_file", "write_file", "stat", "listdir",
                                    "mkdir", "unlink",    "rename",     "syscall"};

/* b:<name>(…): appends {name, arguments…} to the user value of `b`. */
static int record(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_checkudata(L, 1, BATCH);
    lua_getiuservalue(L, 1, 1);
    lua_createtable(L, n + 1, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_rawseti(L, -2, 1);
    for (int i = 2; i <= n; i++) {
        lua_pushvalue(L, i);
        lua_rawseti(L, -2, i);
    }
    lua_pushinteger(L, n);
    lua_setfield(L, -2, "n");
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    return 0;
}

static int batch_index(lua_State *L)
{
    const char *key = luaL_tolstring(L, 2, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!strcmp(key, names[i])) {
            lua_pushstring(L, key);
            lua_pushcclosure(L, record, 1);
            return 1;
        }
    }
    return raise_format(L, "batch has no method \"%s\" (run, read_file, write_file, stat, listdir, mkdir, unlink, rename, "
                           "syscall)", key);
}

static int batch_collect(lua_State *L)
{
    struct recorder *r = lua_touserdata(L, 1);
    guest_batch_free(r->batch);
    r->batch = NULL;
    return 0;
}

static void add_syscall(lua_State *L, struct guest_batch *batch)
{
    struct guest_syscall s = {.nr = luaL_checkinteger(L, 2)};
    int n = lua_gettop(L) - 2;
    if (lua_istable(L, 3))
        raise_format(L, "batch: syscall takes integers");
    if (n > 6)
        raise_format(L, "batch: syscall: more than 6 arguments");
    for (int i = 0; i < n; i++)
        s.args[i] = luaL_checkinteger(L, 3 + i);
    guest_batch_syscall(batch, &s);
}

/* add(b, arguments…) with the name as upvalue 1 and the anchor table as upvalue 2 */
static int add(lua_State *L)
{
    static const char *const stat_keys[] = {"follow", NULL}, *const mkdir_keys[] = {"perm", "parents", NULL};
    struct recorder *r = lua_touserdata(L, 1);
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    bool follow = true, parents = false;
    int64_t perm = 0755;
    size_t n;
    if (!strcmp(name, "run")) {
        struct guest_command command;
        read_exec_options(L, "run", true, &command);
        guest_batch_run(r->batch, &command);
    } else if (!strcmp(name, "syscall")) {
        add_syscall(L, r->batch);
    } else {
        const char *path = check_path(L, 2, name);
        if (!strcmp(name, "read_file")) {
            guest_batch_read_file(r->batch, path);
        } else if (!strcmp(name, "write_file")) {
            const char *data = luaL_checklstring(L, 3, &n);
            guest_batch_write_file(r->batch, path, data, n, -1);
        } else if (!strcmp(name, "stat")) {
            check_options(L, 3, "stat", stat_keys);
            option_boolean(L, 3, "stat", "follow", &follow);
            guest_batch_stat(r->batch, path, follow);
        } else if (!strcmp(name, "listdir")) {
            guest_batch_listdir(r->batch, path);
        } else if (!strcmp(name, "mkdir")) {
            check_options(L, 3, "mkdir", mkdir_keys);
            option_boolean(L, 3, "mkdir", "parents", &parents);
            option_integer(L, 3, "mkdir", "perm", &perm);
            guest_batch_mkdir(r->batch, path, (unsigned)perm & 07777, parents);
        } else if (!strcmp(name, "unlink")) {
            guest_batch_unlink(r->batch, path);
        } else {
            guest_batch_rename(r->batch, path, check_path(L, 3, name));
        }
    }
    for (int i = lua_gettop(L); i > 1; i--) { /* what the batch borrows outlives this frame */
        lua_rawseti(L, lua_upvalueindex(2), (lua_Integer)lua_rawlen(L, lua_upvalueindex(2)) + 1);
    }
    return 0;
}

static void push_value(lua_State *L, const struct guest_batch_entry *e)
{
    switch (e->kind) {
    case BATCH_NOTHING:
        lua_newtable(L);
        return;
    case BATCH_RUN:
        push_run_result(L, &e->result, "run", 0);
        return;
    case BATCH_DATA:
        lua_pushlstring(L, (const char *)buf_head(&e->data), e->data.len);
        return;
    case BATCH_STAT:
        push_stat(L, &e->stat);
        return;
    case BATCH_LISTING:
        push_listing(L, &e->listing);
        return;
    case BATCH_SYSCALL:
        lua_createtable(L, 0, 3);
        lua_pushinteger(L, e->syscall.ret);
        lua_setfield(L, -2, "ret");
        lua_pushinteger(L, e->syscall.ret);
        lua_setfield(L, -2, "result");
        lua_pushinteger(L, e->syscall.errno_code);
        lua_setfield(L, -2, "errno");
        return;
    }
}

static void push_entry(lua_State *L, const struct guest_batch_entry *e)
{
    lua_createtable(L, 0, 2);
    if (e->error.message) {
        lua_pushstring(L, e->error.message);
        lua_setfield(L, -2, "err");
        lua_pushinteger(L, e->error.code);
        lua_setfield(L, -2, "errno");
        return;
    }
    push_value(L, e);
    lua_setfield(L, -2, "ok");
}

static int vm_batch(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    struct err e = ERR_INIT;
    int64_t deadline;
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    struct recorder *r = lua_newuserdatauv(L, sizeof(*r), 1);
    *r = (struct recorder){0};
    luaL_setmetatable(L, BATCH);
    lua_newtable(L);
    lua_setiuservalue(L, 3, 1);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_call(L, 1, 0);
    lua_newtable(L); /* 4: the anchor */
    lua_getiuservalue(L, 3, 1);
    lua_Integer count = (lua_Integer)lua_rawlen(L, 5);
    struct guest *guest = guest_call_begin(L, o, "batch", DEADLINE_NONE, &deadline);
    r->batch = guest_batch_new(guest);
    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(L, 5, i);
        lua_getfield(L, -1, "n");
        int n = (int)lua_tointeger(L, -1);
        lua_pop(L, 1);
        lua_rawgeti(L, 6, 1);
        lua_pushvalue(L, 4);
        lua_pushcclosure(L, add, 2);
        lua_pushvalue(L, 3);
        luaL_checkstack(L, n, "batch");
        for (int k = 2; k <= n; k++)
            lua_rawgeti(L, 6, k);
        lua_call(L, n, 0);
        lua_settop(L, 5);
    }
    int failed = guest_batch_wait(r->batch, deadline, &e);
    guest_call_end(L, o, "batch", failed ? &e : NULL);
    lua_createtable(L, (int)count, 0);
    for (lua_Integer i = 1; i <= count; i++) {
        push_entry(L, guest_batch_entry(r->batch, (size_t)i - 1));
        lua_rawseti(L, -2, i);
    }
    guest_batch_free(r->batch);
    r->batch = NULL;
    return 1;
}

const luaL_Reg vm_batch_methods[] = {{"batch", vm_batch}, {NULL, NULL}};

void batch_open(lua_State *L)
{
    static const luaL_Reg meta[] = {{"__index", batch_index}, {"__gc", batch_collect}, {NULL, NULL}};
    luaL_newmetatable(L, BATCH);
    luaL_setfuncs(L, meta, 0);
    lua_pop(L, 1);
}
