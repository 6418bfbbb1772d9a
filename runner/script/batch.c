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

static int batch_collect(lua_State *L)
{
    struct recorder *r = lua_touserdata(L, 1);
    guest_batch_free(r->batch);
    r->batch = NULL;
    return 0;
}

/* The arguments of one operation, whichever it is. */
struct arguments {
    struct guest_command command;
    struct guest_syscall call;
    const char *path, *data;
    size_t n;
    bool follow, parents;
    int64_t perm;
};

static void read_syscall(lua_State *L, struct guest_syscall *s)
{
    int n = lua_gettop(L) - 2;
    *s = (struct guest_syscall){.nr = luaL_checkinteger(L, 2)};
    if (lua_istable(L, 3))
        raise_format(L, "batch: syscall takes integers");
    if (n > 6)
        raise_format(L, "batch: syscall: more than 6 arguments");
    for (int i = 0; i < n; i++)
        s->args[i] = luaL_checkinteger(L, 3 + i);
}

static void read_arguments(lua_State *L, const char *name, struct arguments *a)
{
    static const char *const stat_keys[] = {"follow", NULL}, *const mkdir_keys[] = {"perm", "parents", NULL};
    *a = (struct arguments){.follow = true, .perm = 0755};
    if (!strcmp(name, "run")) {
        read_exec_options(L, "run", true, &a->command);
        return;
    }
    if (!strcmp(name, "syscall")) {
        read_syscall(L, &a->call);
        return;
    }
    a->path = check_path(L, 2, name);
    if (!strcmp(name, "write_file")) {
        a->data = luaL_checklstring(L, 3, &a->n);
    } else if (!strcmp(name, "rename")) {
        a->data = check_path(L, 3, name);
    } else if (!strcmp(name, "stat")) {
        check_options(L, 3, "stat", stat_keys);
        option_boolean(L, 3, "stat", "follow", &a->follow);
    } else if (!strcmp(name, "mkdir")) {
        check_options(L, 3, "mkdir", mkdir_keys);
        option_boolean(L, 3, "mkdir", "parents", &a->parents);
        if (option_integer(L, 3, "mkdir", "perm", &a->perm) && (a->perm < 0 || a->perm > 07777))
            raise_format(L, "mkdir: perm must be 0 to 4095 (0o7777)");
    }
}

static void send(struct guest_batch *batch, const char *name, const struct arguments *a)
{
    if (!strcmp(name, "run"))
        guest_batch_run(batch, &a->command);
    else if (!strcmp(name, "syscall"))
        guest_batch_syscall(batch, &a->call);
    else if (!strcmp(name, "read_file"))
        guest_batch_read_file(batch, a->path);
    else if (!strcmp(name, "write_file"))
        guest_batch_write_file(batch, a->path, a->data, a->n, -1);
    else if (!strcmp(name, "stat"))
        guest_batch_stat(batch, a->path, a->follow);
    else if (!strcmp(name, "listdir"))
        guest_batch_listdir(batch, a->path);
    else if (!strcmp(name, "mkdir"))
        guest_batch_mkdir(batch, a->path, (unsigned)a->perm, a->parents);
    else if (!strcmp(name, "unlink"))
        guest_batch_unlink(batch, a->path);
    else
        guest_batch_rename(batch, a->path, a->data);
}

/* add(b, arguments…) with the name as upvalue 1 and the anchor table as upvalue 2: while `b` records, the arguments are
 * only looked at; so nothing is wrong with them any more when the first operation is sent. */
static int add(lua_State *L)
{
    struct recorder *r = lua_touserdata(L, 1);
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    struct arguments a;
    read_arguments(L, name, &a);
    if (!r->batch)
        return 0;
    send(r->batch, name, &a);
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
    lua_settop(L, n);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushnil(L);
    lua_pushcclosure(L, add, 2);
    lua_insert(L, 1);
    lua_call(L, n, 0);
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
    if (failed) /* now: the machine may be gone when the recorder is collected */
        guest_batch_free(steal_ptr(r->batch));
    guest_call_end(L, o, "batch", failed ? &e : NULL);
    lua_createtable(L, (int)count, 0);
    for (lua_Integer i = 1; i <= count; i++) {
        push_entry(L, guest_batch_entry(r->batch, (size_t)i - 1));
        lua_rawseti(L, -2, i);
    }
    guest_batch_free(steal_ptr(r->batch));
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
