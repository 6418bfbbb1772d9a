/* vm:console() and vm:clock(): thin handles whose user value is their VM. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "guest/clock.h"
#include "script/argument.h"
#include "script/stream.h"
#include "script/vm.h"

#define EXPECT_TIMEOUT_NS (30 * NS_PER_S)
#define WRITE_TIMEOUT_NS  (10 * NS_PER_S)
#define EXPECT_SHOWN      1024
#define SCAN_CHUNK        65536

static int push_handle(lua_State *L, const char *kind)
{
    check_vm(L);
    lua_newuserdatauv(L, 0, 1);
    luaL_setmetatable(L, kind);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    return 1;
}

/* The VM of the handle at argument 1, which its VM replaces there. */
static struct vm_object *handle_vm(lua_State *L, const char *kind)
{
    if (!luaL_testudata(L, 1, kind))
        raise_format(L, "expected a %s as first argument; call methods with a colon", kind);
    lua_getiuservalue(L, 1, 1);
    lua_replace(L, 1);
    return check_vm(L);
}

static int handle_tostring(lua_State *L)
{
    const char *kind = lua_tostring(L, lua_upvalueindex(1));
    struct vm_object *o = handle_vm(L, kind);
    lua_pushfstring(L, "%s of %s", kind, o->label);
    return 1;
}

/* ------------------------------------------------------------------------------------------------- console */

/* The expect cursor; a new boot or a reset moves it to that boot's first byte. */
static uint64_t *expect_cursor(struct vm_object *o)
{
    if (o->expect_generation != vm_generation(o->vm)) {
        o->expect_generation = vm_generation(o->vm);
        o->expected = console_boot_start(vm_console(o->vm));
    }
    uint64_t oldest = console_start(vm_console(o->vm));
    if (o->expected < oldest)
        o->expected = oldest;
    return &o->expected;
}

static int console_read_log(lua_State *L)
{
    struct vm_object *o = handle_vm(L, "console");
    struct console *c = vm_console(o->vm);
    uint64_t from = console_start(c), end = console_end(c);
    luaL_Buffer b;
    char *to = luaL_buffinitsize(L, &b, (size_t)(end - from));
    ssize_t got = end > from ? console_read(c, from, to, (size_t)(end - from)) : 0;
    luaL_pushresultsize(&b, got > 0 ? (size_t)got : 0);
    return 1;
}

/* Looks for the pattern from `*at` on; moves `*at` as far as no match can begin before it. */
static bool scan_console(struct console *c, uint64_t *at, const char *pattern, size_t n, uint64_t *ret_match)
{
    size_t size = SCAN_CHUNK + n;
    char *chunk = xmalloc(size);
    ssize_t got;
    const char *hit = NULL;
    while (!hit && (got = console_read(c, *at, chunk, size)) >= (ssize_t)n) {
        hit = memmem(chunk, (size_t)got, pattern, n);
        if (hit)
            *ret_match = *at + (uint64_t)(hit - chunk);
        else
            *at += (uint64_t)got - n + 1;
    }
    free(chunk);
    return hit;
}

static int fail_expect(lua_State *L, struct vm_object *o, const char *pattern, const char *reason)
{
    char *tail = console_tail(vm_console(o->vm), 0, EXPECT_SHOWN);
    push_position(L, 1);
    lua_pushfstring(L, "%s: console: expect \"%s\": %s; the console's end:\n%s", o->label, pattern, reason, tail);
    free(tail);
    lua_concat(L, 2);
    return lua_error(L);
}

static int console_expect(lua_State *L)
{
    struct vm_object *o = handle_vm(L, "console");
    struct script *s = script_of(L);
    struct console *c = vm_console(o->vm);
    size_t n;
    if (lua_type(L, 2) != LUA_TSTRING || !lua_rawlen(L, 2))
        return raise_format(L, "console: expect: the pattern must be a string that is not empty");
    const char *pattern = lua_tolstring(L, 2, &n);
    int64_t limit = lua_isnoneornil(L, 3) ? EXPECT_TIMEOUT_NS : check_duration(L, 3, "console: expect: timeout");
    lua_pushfstring(L, "%s: console: expect \"%s\"", o->label, pattern);
    int64_t own = deadline_after(limit);
    int64_t deadline = deadline_enter(L, &s->deadline, lua_tostring(L, -1), own);
    uint64_t at = *expect_cursor(o), match;
    int waited = 1;
    for (;;) {
        uint64_t seen = console_end(c);
        if (scan_console(c, &at, pattern, n, &match)) {
            deadline_leave(L, &s->deadline, false);
            o->expected = match + n;
            lua_pushvalue(L, 2);
            return 1;
        }
        if (waited <= 0)
            break;
        waited = console_wait(c, seen, deadline);
    }
    deadline_leave(L, &s->deadline, waited < 0 && deadline < own);
    return fail_expect(L, o, pattern, waited ? "timed out" : "the console has ended");
}

static int console_write_binding(lua_State *L)
{
    static const char *const keys[] = {"timeout", NULL};
    struct vm_object *o = handle_vm(L, "console");
    struct script *s = script_of(L);
    size_t n, sent;
    int64_t limit = WRITE_TIMEOUT_NS;
    if (lua_type(L, 2) != LUA_TSTRING)
        return raise_format(L, "console: write: data must be a string (got %s)", luaL_typename(L, 2));
    if (lua_istable(L, 3) && lua_getfield(L, 3, "timeout_ms") != LUA_TNIL)
        return raise_format(L, "opts.timeout_ms is not supported (use timeout = \"500ms\" or timeout = 0.5)");
    check_options(L, 3, "console: write", keys);
    option_duration(L, 3, "console: write", "timeout", &limit);
    const char *data = lua_tolstring(L, 2, &n);
    lua_pushfstring(L, "%s: console: write", o->label);
    int64_t deadline = deadline_enter(L, &s->deadline, lua_tostring(L, -1), limit ? deadline_after(limit) : DEADLINE_NONE);
    struct err e = ERR_INIT;
    int failed = console_write(vm_console(o->vm), data, n, deadline, &sent, &e);
    if (failed && deadline_is_over(&s->deadline))
        err_clear(&e);
    deadline_leave(L, &s->deadline, failed);
    if (failed) {
        err_prefix(&e, "%s: console: write", o->label);
        return raise_err(L, &e);
    }
    return 0;
}

/* A console stream: a cursor over the log. */
struct console_reader {
    struct vm_object *o; /* lives at least as long: the stream keeps it */
    struct stream *stream;
    uint64_t at;
};

static size_t reader_take(void *arg, struct buf *to)
{
    struct console_reader *r = arg;
    struct console *c = vm_console(r->o->vm);
    if (r->at < console_start(c))
        r->at = console_start(c);
    uint8_t *room = buf_reserve(to, STREAM_FRAME);
    ssize_t got = room ? console_read(c, r->at, room, STREAM_FRAME) : 0;
    if (got <= 0)
        return 0;
    buf_commit(to, (size_t)got);
    r->at += (uint64_t)got;
    r->o->reader = r->at;
    return (size_t)got;
}

static bool reader_ended(void *arg)
{
    struct console_reader *r = arg;
    struct console *c = vm_console(r->o->vm);
    return !console_connected(c) && r->at >= console_end(c);
}

static void reader_close(void *arg)
{
    struct console_reader *r = arg;
    vm_watch_output(r->o->vm, r->stream, false);
    free(r);
}

static int console_read_binding(lua_State *L)
{
    static const char *const keys[] = {"from", NULL};
    static const struct stream_source source = {.take = reader_take, .ended = reader_ended, .close = reader_close};
    struct vm_object *o = handle_vm(L, "console");
    struct console *c = vm_console(o->vm);
    const char *from = "unread";
    check_options(L, 2, "console: read", keys);
    option_string(L, 2, "console: read", "from", &from, NULL);
    if (vm_state(o->vm) == VM_CREATED)
        return raise_format(L, "%s: console: read: VM is created; call vm:boot() first", o->label);
    uint64_t at = !strcmp(from, "start") ? console_start(c) : !strcmp(from, "end") ? console_end(c) : o->reader;
    if (strcmp(from, "start") && strcmp(from, "end") && strcmp(from, "unread"))
        return raise_format(L, "console: read: from must be start, unread or end (got `%s`)", from);
    struct console_reader *r = xnew(struct console_reader);
    *r = (struct console_reader){.o = o, .at = at};
    r->stream = stream_new(script_of(L)->loop, &source, r, "console_read", o->name, "console closed");
    vm_watch_output(o->vm, r->stream, true);
    push_stream(L, r->stream, o->label, 1);
    return 1;
}

static int console_close(lua_State *L)
{
    handle_vm(L, "console");
    return 0;
}

static int vm_console_binding(lua_State *L)
{
    return push_handle(L, "console");
}

/* ------------------------------------------------------------------------------------------------- clock */

static int64_t seconds_to_ns(lua_State *L, int index, const char *what)
{
    if (lua_type(L, index) != LUA_TNUMBER)
        return raise_format(L, "%s: value must be a number (got %s)", what, luaL_typename(L, index));
    lua_Number seconds = lua_tonumber(L, index);
    if (!isfinite(seconds))
        return raise_format(L, "%s: value must be a finite number (got NaN/inf)", what);
    if (fabs(seconds) >= 9.2e9)
        return raise_format(L, "%s: %g s is outside the range of 64-bit nanoseconds", what, seconds);
    if (lua_isinteger(L, index))
        return lua_tointeger(L, index) * NS_PER_S;
    lua_Number whole = floor(seconds);
    return (int64_t)whole * NS_PER_S + (int64_t)((seconds - whole) * 1e9 + 0.5);
}

/* One clock operation of the agent; `operation` gets and sets *ns. */
static int64_t clock_call(lua_State *L, const char *call, int64_t ns,
                          int (*operation)(struct guest *, int64_t *, int64_t, struct err *))
{
    struct vm_object *o = handle_vm(L, "clock");
    struct err e = ERR_INIT;
    int64_t deadline;
    struct guest *guest = guest_call_begin(L, o, call, DEADLINE_NONE, &deadline);
    int failed = operation(guest, &ns, deadline, &e);
    guest_call_end(L, o, call, failed ? &e : NULL);
    return ns;
}

static int get(struct guest *g, int64_t *ns, int64_t deadline, struct err *e)
{
    return guest_clock_get(g, ns, deadline, e);
}

static int set(struct guest *g, int64_t *ns, int64_t deadline, struct err *e)
{
    return guest_clock_set(g, *ns, deadline, e);
}

static int advance(struct guest *g, int64_t *ns, int64_t deadline, struct err *e)
{
    return guest_clock_advance(g, *ns, deadline, e);
}

static int nap(struct guest *g, int64_t *ns, int64_t deadline, struct err *e)
{
    return guest_clock_sleep(g, *ns, deadline, e);
}

static int clock_get(lua_State *L)
{
    lua_pushnumber(L, (double)clock_call(L, "clock: get", 0, get) / 1e9);
    return 1;
}

static int clock_get_ns(lua_State *L)
{
    lua_pushinteger(L, clock_call(L, "clock: get_ns", 0, get));
    return 1;
}

/* The test decides the guest's time from now on: a restore leaves it alone. */
static int change_clock(lua_State *L, const char *call, int64_t ns, int (*operation)(struct guest *, int64_t *, int64_t, struct err *))
{
    clock_call(L, call, ns, operation);
    check_vm(L)->time_pinned = true;
    return 0;
}

static int clock_set(lua_State *L)
{
    return change_clock(L, "clock: set", seconds_to_ns(L, 2, "clock:set"), set);
}

static int clock_set_ns(lua_State *L)
{
    if (!lua_isinteger(L, 2))
        return raise_format(L, "clock:set_ns: value must be an integer (got %s)", luaL_tolstring(L, 2, NULL));
    return change_clock(L, "clock: set_ns", lua_tointeger(L, 2), set);
}

static int clock_advance(lua_State *L)
{
    int64_t ns;
    if (lua_type(L, 2) == LUA_TSTRING && *lua_tostring(L, 2) == '-') {
        lua_pushstring(L, lua_tostring(L, 2) + 1);
        ns = -check_duration(L, -1, "clock:advance");
    } else if (lua_type(L, 2) == LUA_TSTRING) {
        ns = check_duration(L, 2, "clock:advance");
    } else {
        ns = seconds_to_ns(L, 2, "clock:advance");
    }
    return change_clock(L, "clock: advance", ns, advance);
}

static int clock_sleep(lua_State *L)
{
    clock_call(L, "clock: sleep", check_duration(L, 2, "clock:sleep"), nap);
    return 0;
}

static int vm_clock_binding(lua_State *L)
{
    return push_handle(L, "clock");
}

const luaL_Reg vm_handle_methods[] = {{"console", vm_console_binding}, {"clock", vm_clock_binding}, {NULL, NULL}};

static void open_kind(lua_State *L, const char *kind, const luaL_Reg *methods)
{
    luaL_newmetatable(L, kind);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, kind);
    lua_pushcclosure(L, handle_tostring, 1);
    lua_setfield(L, -2, "__tostring");
    lua_pop(L, 1);
}

void vm_handles_open(lua_State *L)
{
    static const luaL_Reg console_methods[] = {{"read_log", console_read_log}, {"expect", console_expect},
                                               {"read", console_read_binding},
                                               {"write", console_write_binding}, {"close", console_close},
                                               {NULL, NULL}};
    static const luaL_Reg clock_methods[] = {{"get", clock_get},         {"get_ns", clock_get_ns},
                                             {"set", clock_set},         {"set_ns", clock_set_ns},
                                             {"advance", clock_advance}, {"sleep", clock_sleep},
                                             {NULL, NULL}};
    open_kind(L, "console", console_methods);
    open_kind(L, "clock", clock_methods);
}
