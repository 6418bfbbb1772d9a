/* System calls: syscall, syscall_async, ioctl and read_mem, of VMs and workers. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "script/argument.h"
#include "script/barrier.h"
#include "script/handle.h"

#define SLOTS       6
#define READ_MEM_MAX (64 << 20)

/* The arrays are userdata on the Lua stack, strings are anchored by the argument table. */
static void read_buffers(lua_State *L, int table, struct guest_syscall *s)
{
    if (lua_getfield(L, table, "bufs") != LUA_TNIL) {
        luaL_checktype(L, -1, LUA_TTABLE);
        s->buf_count = lua_rawlen(L, -1);
        struct guest_buffer *bufs = lua_newuserdatauv(L, (s->buf_count + 1) * sizeof(*bufs), 0);
        for (size_t i = 0; i < s->buf_count; i++) {
            if (lua_rawgeti(L, -2, (lua_Integer)i + 1) != LUA_TSTRING)
                raise_format(L, "syscall: bufs[%d] must be a string (got %s)", (int)i + 1, luaL_typename(L, -1));
            bufs[i].data = lua_tolstring(L, -1, &bufs[i].len);
            lua_pop(L, 1);
        }
        s->bufs = bufs;
    }
    if (lua_getfield(L, table, "ptrs") != LUA_TNIL) {
        luaL_checktype(L, -1, LUA_TTABLE);
        s->ptr_count = lua_rawlen(L, -1);
        unsigned *ptrs = lua_newuserdatauv(L, (s->ptr_count + 1) * sizeof(*ptrs), 0);
        for (size_t i = 0; i < s->ptr_count; i++) {
            lua_rawgeti(L, -2, (lua_Integer)i + 1);
            lua_Integer slot = luaL_checkinteger(L, -1);
            ptrs[i] = slot < 0 || slot > 1000 ? 1000 : (unsigned)slot;
            lua_pop(L, 1);
        }
        s->ptrs = ptrs;
    }
}

static size_t nested_field(lua_State *L, const char *key, lua_Integer by_default, lua_Integer base)
{
    lua_Integer value = by_default;
    if (lua_getfield(L, -1, key) != LUA_TNIL)
        value = luaL_checkinteger(L, -1);
    else if (by_default < 0)
        raise_format(L, "syscall: an entry of nested has no %s", key);
    lua_pop(L, 1);
    if (value < base)
        raise_format(L, "syscall: nested: %s is out of range", key);
    return (size_t)(value - base);
}

static void read_nested(lua_State *L, int table, struct guest_syscall *s)
{
    static const char *const keys[] = {"parent", "child", "offset", "child_offset", NULL};
    if (lua_getfield(L, table, "nested") == LUA_TNIL)
        return;
    luaL_checktype(L, -1, LUA_TTABLE);
    s->nested_count = lua_rawlen(L, -1);
    struct guest_nested *nested = lua_newuserdatauv(L, (s->nested_count + 1) * sizeof(*nested), 0);
    for (size_t i = 0; i < s->nested_count; i++) {
        lua_rawgeti(L, -2, (lua_Integer)i + 1);
        luaL_checktype(L, -1, LUA_TTABLE);
        check_options(L, -1, "syscall: nested", keys);
        nested[i] = (struct guest_nested){.parent = nested_field(L, "parent", -1, 1),
                                          .child = nested_field(L, "child", -1, 1),
                                          .offset = nested_field(L, "offset", -1, 0),
                                          .child_offset = nested_field(L, "child_offset", 0, 0)};
        lua_pop(L, 1);
    }
    s->nested = nested;
}

/* Reads `nr, …` from argument 2 on. */
static void read_syscall(lua_State *L, bool async, struct guest_syscall *s)
{
    static const char *const keys[] = {"args", "bufs", "ptrs", "nested", NULL};
    static const char *const async_keys[] = {"args", "bufs", "ptrs", "nested", "barrier", NULL};
    *s = (struct guest_syscall){.nr = luaL_checkinteger(L, 2)};
    luaL_checkstack(L, 20, "syscall");
    if (lua_istable(L, 3)) {
        check_options(L, 3, async ? "syscall_async" : "syscall", async ? async_keys : keys);
        if (lua_getfield(L, 3, "args") == LUA_TTABLE) {
            for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
                lua_Integer slot = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
                if (slot < 1 || slot > SLOTS)
                    raise_format(L, "syscall: more than %d arguments", SLOTS);
                s->args[slot - 1] = luaL_checkinteger(L, -1);
            }
        }
        read_buffers(L, 3, s);
        read_nested(L, 3, s);
    } else {
        int n = lua_gettop(L) - 2;
        if (n > SLOTS)
            raise_format(L, "syscall: more than %d arguments", SLOTS);
        for (int i = 0; i < n; i++)
            s->args[i] = luaL_checkinteger(L, 3 + i);
    }
    const char *problem = guest_syscall_check(s);
    if (problem)
        raise_format(L, "syscall: %s", problem);
}

static void push_result(lua_State *L, struct guest_syscall_result *r, const struct guest_buffer *bufs, size_t count)
{
    size_t at = 0;
    lua_createtable(L, 0, 4);
    lua_pushinteger(L, r->ret);
    lua_setfield(L, -2, "ret");
    lua_pushinteger(L, r->ret);
    lua_setfield(L, -2, "result");
    lua_pushinteger(L, r->errno_code);
    lua_setfield(L, -2, "errno");
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count && at + bufs[i].len <= r->out.len; i++) {
        lua_pushlstring(L, (const char *)buf_head(&r->out) + at, bufs[i].len);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
        at += bufs[i].len;
    }
    lua_setfield(L, -2, "out_bufs");
    guest_syscall_result_done(r);
}

int syscall_binding(lua_State *L)
{
    struct guest_syscall s;
    struct guest_syscall_result result;
    struct err e = ERR_INIT;
    int64_t deadline;
    read_syscall(L, false, &s);
    struct executor x = check_executor(L);
    lua_pushfstring(L, "syscall %d", (int)s.nr);
    const char *call = lua_tostring(L, -1);
    struct guest *guest = guest_call_begin(L, x.o, call, DEADLINE_NONE, &deadline);
    int failed = guest_syscall(guest, x.worker, &s, &result, deadline, &e);
    guest_call_end(L, x.o, call, failed ? &e : NULL);
    push_result(L, &result, s.bufs, s.buf_count);
    return 1;
}

/* The registry's table of pending calls (weak keys) keeps the lengths of their buffers. */
#define PENDING "provium.syscalls"

int syscall_async_binding(lua_State *L)
{
    struct guest_syscall s;
    int64_t deadline;
    read_syscall(L, true, &s);
    struct executor x = check_executor(L);
    int barrier = lua_istable(L, 3) && lua_getfield(L, 3, "barrier") != LUA_TNIL ? lua_gettop(L) : 0;
    if (barrier)
        barrier_check(L, x.vm, barrier, "syscall_async");
    struct guest *guest = guest_call_begin(L, x.o, "syscall_async", DEADLINE_NONE, &deadline);
    uint64_t gate = barrier ? push_gate(L, x.vm, guest) : 0;
    int gate_index = lua_gettop(L);
    struct handle *h = push_new_handle(L, "syscall", NULL, x.vm);
    h->async = guest_syscall_async(guest, x.worker, gate, &s);
    h->label = xasprintf("syscall %lld", (long long)s.nr);
    guest_call_end(L, x.o, "syscall_async", NULL);
    lua_createtable(L, (int)s.buf_count, 0);
    for (size_t i = 0; i < s.buf_count; i++) {
        lua_pushinteger(L, (lua_Integer)s.bufs[i].len);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_getfield(L, LUA_REGISTRYINDEX, PENDING);
    lua_pushvalue(L, -3);
    lua_pushvalue(L, -3);
    lua_rawset(L, -3);
    lua_pop(L, 2);
    if (barrier)
        barrier_arrive(L, x.vm, barrier, gate_index, -1);
    return 1;
}

static int async_await(lua_State *L)
{
    struct handle *h = check_handle(L, "syscall", true);
    int64_t own = lua_isnoneornil(L, 2) ? DEADLINE_NONE : deadline_after(check_duration(L, 2, "await"));
    struct guest_syscall_result result;
    struct err e = ERR_INIT;
    if (h->awaited)
        return raise_format(L, "await: %s was awaited already", h->label);
    lua_getfield(L, LUA_REGISTRYINDEX, PENDING);
    lua_pushvalue(L, 1);
    lua_rawget(L, -2);
    size_t count = lua_rawlen(L, -1);
    struct guest_buffer *bufs = lua_newuserdatauv(L, (count + 1) * sizeof(*bufs), 0);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -2, (lua_Integer)i + 1);
        bufs[i].len = (size_t)lua_tointeger(L, -1);
        lua_pop(L, 1);
    }
    int64_t deadline = handle_begin(L, h, "await", own);
    int failed = guest_async_await(h->async, deadline, &result, &e);
    handle_end(L, h, "await", failed ? &e : NULL);
    h->awaited = true;
    push_result(L, &result, bufs, count);
    return 1;
}

unsigned syscalls_unawaited(lua_State *L, const struct vm_object *o)
{
    unsigned count = 0;
    lua_getfield(L, LUA_REGISTRYINDEX, PENDING);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        const struct handle *h = lua_touserdata(L, -2);
        count += h->o == o && h->async && !h->awaited && h->generation == vm_generation(o->vm);
    }
    lua_pop(L, 1);
    return count;
}

static int async_collect(lua_State *L)
{
    struct handle *h = lua_touserdata(L, 1);
    guest_async_free(h->async);
    free(h->label);
    *h = (struct handle){0};
    return 0;
}

/* vm:ioctl(fd, cmd, data?, {bufs=, ptr_offsets=}?) */
int ioctl_binding(lua_State *L)
{
    static const char *const keys[] = {"bufs", "ptr_offsets", NULL};
    struct guest_syscall s = {.nr = GUEST_NR_IOCTL, .args = {luaL_checkinteger(L, 2), luaL_checkinteger(L, 3)}};
    struct guest_syscall_result result;
    struct err e = ERR_INIT;
    int64_t deadline;
    lua_settop(L, 5);
    check_options(L, 5, "ioctl", keys);
    size_t extra = 0;
    if (lua_istable(L, 5) && lua_getfield(L, 5, "bufs") == LUA_TTABLE)
        extra = lua_rawlen(L, -1);
    struct guest_buffer *bufs = lua_newuserdatauv(L, (extra + 1) * sizeof(*bufs), 0);
    struct guest_nested *nested = lua_newuserdatauv(L, (extra + 1) * sizeof(*nested), 0);
    static const unsigned slot = 2;
    if (lua_type(L, 4) == LUA_TSTRING) {
        bufs[0].data = lua_tolstring(L, 4, &bufs[0].len);
        s.bufs = bufs;
        s.buf_count = 1 + extra;
        s.ptrs = &slot;
        s.ptr_count = 1;
    } else if (!lua_isnil(L, 4)) {
        s.args[2] = luaL_checkinteger(L, 4);
    }
    for (size_t i = 0; i < extra; i++) {
        lua_getfield(L, 5, "bufs");
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        bufs[i + 1].data = luaL_checklstring(L, -1, &bufs[i + 1].len);
        if (lua_getfield(L, 5, "ptr_offsets") != LUA_TTABLE || lua_rawgeti(L, -1, (lua_Integer)i + 1) != LUA_TNUMBER)
            return raise_format(L, "ioctl: bufs and ptr_offsets must have as many entries");
        nested[i] = (struct guest_nested){.parent = 0, .child = i + 1, .offset = (uint64_t)lua_tointeger(L, -1)};
        lua_pop(L, 4);
    }
    s.nested = nested;
    s.nested_count = extra;
    const char *problem = guest_syscall_check(&s);
    if (problem)
        return raise_format(L, "ioctl: %s", problem);
    struct executor x = check_executor(L);
    struct guest *guest = guest_call_begin(L, x.o, "ioctl", DEADLINE_NONE, &deadline);
    int failed = guest_syscall(guest, x.worker, &s, &result, deadline, &e);
    guest_call_end(L, x.o, "ioctl", failed ? &e : NULL);
    push_result(L, &result, s.bufs, s.buf_count);
    lua_getfield(L, -1, "out_bufs");
    if (s.buf_count) { /* the first buffer is the data */
        lua_rawgeti(L, -1, 1);
        lua_setfield(L, -3, "out_data");
        lua_getglobal(L, "table");
        lua_getfield(L, -1, "remove");
        lua_pushvalue(L, -3);
        lua_pushinteger(L, 1);
        lua_call(L, 2, 0);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return 1;
}

/* vm:read_mem(addr, len) → bytes, or nil and the errno */
int read_mem_binding(lua_State *L)
{
    lua_Integer address = luaL_checkinteger(L, 2), n = luaL_checkinteger(L, 3);
    struct err e = ERR_INIT;
    int64_t deadline;
    if (n < 0 || n > READ_MEM_MAX)
        return raise_format(L, "read_mem: len must be 0 to 64 MiB");
    struct executor x = check_executor(L);
    struct guest *guest = guest_call_begin(L, x.o, "read_mem", DEADLINE_NONE, &deadline);
    struct buf out = BUF_INIT(READ_MEM_MAX);
    int failed = guest_read_mem(guest, x.worker, (uint64_t)address, (size_t)n, &out, deadline, &e);
    int code = e.code;
    if (!failed)
        lua_pushlstring(L, (const char *)buf_head(&out), out.len);
    buf_done(&out);
    if (failed && code == 14) { /* EFAULT: nothing is mapped there */
        err_clear(&e);
        guest_call_end(L, x.o, "read_mem", NULL);
        lua_pushnil(L);
        lua_pushinteger(L, code);
        return 2;
    }
    guest_call_end(L, x.o, "read_mem", failed ? &e : NULL);
    return 1;
}

const luaL_Reg vm_kernel_methods[] = {{"syscall", syscall_binding}, {"syscall_async", syscall_async_binding},
                                      {"ioctl", ioctl_binding},     {"read_mem", read_mem_binding},
                                      {NULL, NULL}};

void kernel_open(lua_State *L)
{
    static const luaL_Reg meta[] = {{"__gc", async_collect}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"await", async_await}, {NULL, NULL}};
    luaL_newmetatable(L, "syscall");
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_newtable(L);
    lua_newtable(L);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, PENDING);
    lua_pop(L, 1);
}
