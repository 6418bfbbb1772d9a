/* The table `core`: what the Lua part (lua/framework.lua, lab.lua, wait.lua) needs from C. Tests never see it. */
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "script/argument.h"
#include "script/convert.h"
#include "script/script.h"

#define TRACEBACK_FRAMES 20

static int core_now(lua_State *L)
{
    lua_pushnumber(L, (double)clock_monotonic_ns() / 1e9);
    return 1;
}

static int core_now_ns(lua_State *L)
{
    lua_pushinteger(L, clock_monotonic_ns());
    return 1;
}

/* core.fail(message): raises with the position of the innermost function that is no part of the framework */
static int core_fail(lua_State *L)
{
    push_position(L, 1);
    lua_pushvalue(L, 1);
    lua_concat(L, 2);
    return lua_error(L);
}

/* core.position(level) → file, line of the function at that level above the caller */
static int core_position(lua_State *L)
{
    lua_Debug ar;
    int level = (int)luaL_checkinteger(L, 1);
    for (; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0) {
            lua_pushstring(L, chunk_name(&ar));
            lua_pushinteger(L, ar.currentline);
            return 2;
        }
    }
    lua_pushliteral(L, "?");
    lua_pushinteger(L, 0);
    return 2;
}

/* core.duration(value) → seconds */
static int core_duration(lua_State *L)
{
    lua_pushnumber(L, (double)check_duration(L, 1, "duration") / 1e9);
    return 1;
}

/* core.size(value) → bytes */
static int core_size(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_size(L, 1, "size"));
    return 1;
}

static void add_frame(lua_State *L, luaL_Buffer *b, lua_Debug *ar)
{
    lua_pushfstring(L, "\n    %s:", *ar->what == 'C' ? "[C]" : chunk_name(ar));
    luaL_addvalue(b);
    if (ar->currentline > 0) {
        lua_pushfstring(L, "%d:", ar->currentline);
        luaL_addvalue(b);
    }
    if (*ar->namewhat)
        lua_pushfstring(L, " in %s '%s'", ar->namewhat, ar->name);
    else if (*ar->what == 'm')
        lua_pushliteral(L, " in the main chunk");
    else
        lua_pushfstring(L, " in a function <line %d>", ar->linedefined);
    luaL_addvalue(b);
}

/* Is the frame the framework's, or of C at its edges: called by it, or by nobody who has a name? */
static bool is_inner_frame(lua_State *of, int level, const lua_Debug *ar)
{
    lua_Debug caller;
    if (*ar->what != 'C')
        return is_framework(ar);
    if (!*ar->namewhat || !strcmp(ar->name, "xpcall"))
        return true;
    return lua_getstack(of, level + 1, &caller) && lua_getinfo(of, "S", &caller) && is_framework(&caller);
}

/* core.traceback(level, thread?) → text: at most TRACEBACK_FRAMES frames, none of the framework */
static int core_traceback(lua_State *L)
{
    lua_Debug ar;
    int frames = 0;
    luaL_Buffer b;
    int level = (int)luaL_checkinteger(L, 1);
    lua_State *of = lua_isthread(L, 2) ? lua_tothread(L, 2) : L;
    luaL_buffinit(L, &b);
    for (; lua_getstack(of, level, &ar); level++) {
        lua_getinfo(of, "Sln", &ar);
        if (is_inner_frame(of, level, &ar))
            continue;
        if (frames++ == TRACEBACK_FRAMES) {
            luaL_addstring(&b, "\n    ...");
            break;
        }
        add_frame(L, &b, &ar);
    }
    luaL_pushresult(&b);
    return 1;
}

/* core.whole_message(value, level) → the value; of a text that begins with the shortened chunk name of the function at
 * that level, with the whole one */
static int core_whole_message(lua_State *L)
{
    push_whole_message(L, 1, (int)luaL_checkinteger(L, 2));
    return 1;
}

/* ------------------------------------------------------------------------------------------------- events */

static int free_buf(lua_State *L)
{
    buf_done(lua_touserdata(L, 1));
    return 0;
}

/* A buffer that Lua frees, on top of the stack: conversions raise. */
static struct buf *push_buf(lua_State *L, size_t max)
{
    struct buf *b = lua_newuserdatauv(L, sizeof(*b), 0);
    *b = BUF_INIT(max);
    if (luaL_newmetatable(L, "provium.buf")) {
        lua_pushcfunction(L, free_buf);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return b;
}

/* core.check_meta(meta): raises when it cannot be carried by an event */
static int core_check_meta(lua_State *L)
{
    struct packer p = {.to = push_buf(L, 1 << 20)};
    convert_pack(L, 1, CONVERT_BYTES, "meta", &p);
    if (p.full)
        return luaL_error(L, "meta: more than 1 MiB");
    return 0;
}

static bool is_empty_table(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    if (!lua_istable(L, index))
        return false;
    lua_pushnil(L);
    if (!lua_next(L, index))
        return true;
    lua_pop(L, 2);
    return false;
}

/* core.emit(kind, fields): `meta` keeps its bytes, everything else is text and
 * lists. The dispatcher adds the file's path. */
static int core_emit(lua_State *L)
{
    struct script *s = script_of(L);
    const char *kind = luaL_checkstring(L, 1);
    uint32_t pairs;
    const struct text_key *keys = convert_push_keys(L, 2, kind, &pairs);
    int anchor = lua_gettop(L);
    struct buf *payload = push_buf(L, 16 << 20);
    struct packer p = {.to = payload};
    pack_map(&p, pairs);
    for (uint32_t i = 0; i < pairs; i++, lua_pop(L, 1)) {
        const char *key = keys[i].text;
        pack_str(&p, key);
        convert_push_value(L, 2, anchor, &keys[i]);
        if (!strcmp(key, "meta"))
            convert_pack(L, -1, CONVERT_BYTES, key, &p);
        else if (is_empty_table(L, -1))
            pack_array(&p, 0);
        else
            convert_pack(L, -1, CONVERT_TEXT, key, &p);
    }
    if (p.full)
        return luaL_error(L, "event %s: more than 16 MiB", kind);
    pool_client_emit(s->pool, kind, payload);
    return 0;
}

/* ---------------------------------------------------------------------------------------------- deadlines */

/* core.deadline_set(seconds, name): 0 means none */
static int core_deadline_set(lua_State *L)
{
    int64_t ns = (int64_t)(luaL_checknumber(L, 1) * 1e9);
    deadline_start_test(&script_of(L)->deadline, luaL_checkstring(L, 2), ns);
    return 0;
}

static int core_deadline_clear(lua_State *L)
{
    deadline_stop_test(L, &script_of(L)->deadline);
    return 0;
}

/* core.deadline_check(call, where): raises if a deadline has passed and nobody was told yet */
static int core_deadline_check(lua_State *L)
{
    deadline_check(L, &script_of(L)->deadline, luaL_checkstring(L, 1), luaL_checkstring(L, 2));
    return 0;
}

static int core_deadline_passed(lua_State *L)
{
    lua_pushboolean(L, script_of(L)->deadline.expired);
    return 1;
}

static int core_deadline_message(lua_State *L)
{
    lua_pushstring(L, script_of(L)->deadline.message);
    return 1;
}

/* core.file_over() → how the file's limit was hit, or nil */
static int core_file_over(lua_State *L)
{
    const char *message = script_of(L)->deadline.file_message;
    if (!*message)
        return 0;
    lua_pushstring(L, message);
    return 1;
}

/* core.sleep(seconds, what): a blocking call */
static int core_sleep(lua_State *L)
{
    struct script *s = script_of(L);
    const bool never = false;
    int64_t until = deadline_after((int64_t)(luaL_checknumber(L, 1) * 1e9));
    int64_t deadline = deadline_enter(L, &s->deadline, luaL_checkstring(L, 2), until);
    loop_wait(s->loop, &never, deadline);
    deadline_leave(L, &s->deadline, deadline < until);
    return 0;
}

/* ---------------------------------------------------------------------------------------- tests and scopes */

/* core.test_begin(name, log): `log` takes the lines of script_log */
static int core_test_begin(lua_State *L)
{
    struct script *s = script_of(L);
    lua_settop(L, 2);
    s->log_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int core_test_end(lua_State *L)
{
    struct script *s = script_of(L);
    luaL_unref(L, LUA_REGISTRYINDEX, s->log_ref);
    s->log_ref = LUA_NOREF;
    return 0;
}

static const char scope_key;

/* core.set_scope(handles): a table of arrays by class */
static int core_set_scope(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &scope_key);
    return 0;
}

void scope_add(lua_State *L, const char *class_name, int index)
{
    index = lua_absindex(L, index);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &scope_key);
    lua_getfield(L, -1, class_name);
    lua_pushvalue(L, index);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 2);
}

/* core.scope_add(class, object) */
static int core_scope_add(lua_State *L)
{
    scope_add(L, luaL_checkstring(L, 1), 2);
    return 0;
}

/* core.object(metatable) → a userdata without contents */
static int core_object(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_newuserdatauv(L, 0, 0);
    lua_pushvalue(L, 1);
    lua_setmetatable(L, -2);
    return 1;
}

/* core.class(name, methods): for the comparison of the types in stubs/ with what there is */
static int core_class(lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, "provium.classes");
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_rawset(L, -3);
    return 0;
}

/* core.kind(value) → "vm" or nil */
static int core_kind(lua_State *L)
{
    if (!luaL_testudata(L, 1, "vm"))
        return 0;
    lua_pushliteral(L, "vm");
    return 1;
}

/* core.claim{memory=, cpus=} */
static int core_claim(lua_State *L)
{
    static const char *const keys[] = {"memory", "cpus", NULL};
    struct script *s = script_of(L);
    uint64_t memory = 0;
    int64_t cpus = 0;
    luaL_checktype(L, 1, LUA_TTABLE);
    check_options(L, 1, "lab:claim", keys);
    option_size(L, 1, "lab:claim", "memory", &memory);
    option_integer(L, 1, "lab:claim", "cpus", &cpus);
    if (cpus < 0 || cpus > 65535)
        return raise_format(L, "lab:claim: cpus must not be negative");
    if (s->claim.taken)
        return raise_format(L, "lab:claim: claim already taken");
    struct err e = ERR_INIT;
    int64_t start = clock_monotonic_ns();
    int failed = pool_client_acquire(s->pool, "claim", memory, (unsigned)cpus, &e);
    deadline_shift(&s->deadline, clock_monotonic_ns() - start);
    if (failed) {
        err_prefix(&e, "lab:claim");
        return raise_err(L, &e);
    }
    s->claim = (struct claim){.taken = true, .memory_bytes = memory, .cpus = (uint64_t)cpus};
    return 0;
}

void core_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"now", core_now},
        {"now_ns", core_now_ns},
        {"fail", core_fail},
        {"position", core_position},
        {"duration", core_duration},
        {"size", core_size},
        {"traceback", core_traceback},
        {"whole_message", core_whole_message},
        {"check_meta", core_check_meta},
        {"emit", core_emit},
        {"deadline_set", core_deadline_set},
        {"deadline_clear", core_deadline_clear},
        {"deadline_check", core_deadline_check},
        {"deadline_passed", core_deadline_passed},
        {"deadline_message", core_deadline_message},
        {"file_over", core_file_over},
        {"sleep", core_sleep},
        {"test_begin", core_test_begin},
        {"test_end", core_test_end},
        {"set_scope", core_set_scope},
        {"scope_add", core_scope_add},
        {"object", core_object},
        {"class", core_class},
        {"kind", core_kind},
        {"claim", core_claim},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
}
