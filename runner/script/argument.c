#include "script/argument.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/values.h"

const char *chunk_name(const lua_Debug *ar)
{
    return *ar->source == '@' || *ar->source == '=' ? ar->source + 1 : ar->short_src;
}

bool is_framework(const lua_Debug *ar)
{
    return !strncmp(ar->source, "=[provium", 9);
}

void push_position(lua_State *L, int level)
{
    lua_Debug ar;
    for (; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0 && !is_framework(&ar)) {
            lua_pushfstring(L, "%s:%d: ", chunk_name(&ar), ar.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

void push_whole_message(lua_State *L, int index, int level)
{
    lua_Debug ar;
    lua_pushvalue(L, index);
    if (lua_type(L, -1) != LUA_TSTRING || !lua_getstack(L, level, &ar) || !lua_getinfo(L, "S", &ar))
        return;
    const char *text = lua_tostring(L, -1), *whole = chunk_name(&ar);
    size_t shortened = strlen(ar.short_src);
    if (strncmp(text, ar.short_src, shortened) != 0 || text[shortened] != ':' || !strcmp(whole, ar.short_src))
        return;
    lua_pushfstring(L, "%s%s", whole, text + shortened);
    lua_remove(L, -2);
}

int raise_format(lua_State *L, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    push_position(L, 1);
    lua_pushstring(L, text);
    lua_concat(L, 2);
    return lua_error(L);
}

int raise_err(lua_State *L, struct err *e)
{
    push_position(L, 1);
    lua_pushstring(L, err_message(e));
    if (e->hint)
        lua_pushfstring(L, "; %s", e->hint);
    else
        lua_pushliteral(L, "");
    err_clear(e);
    lua_concat(L, 3);
    return lua_error(L);
}

void register_closable(lua_State *L, const char *name, lua_CFunction end)
{
    const luaL_Reg meta[] = {{"__gc", end}, {"__close", end}, {NULL, NULL}};
    luaL_newmetatable(L, name);
    luaL_setfuncs(L, meta, 0);
    lua_pop(L, 1);
}

static bool is_accepted(const char *key, const char *const *accepted)
{
    for (; *accepted; accepted++)
        if (!strcmp(key, *accepted))
            return true;
    return false;
}

void check_options(lua_State *L, int index, const char *call, const char *const *accepted)
{
    if (lua_isnoneornil(L, index))
        return;
    if (!lua_istable(L, index))
        raise_format(L, "%s: options must be a table (got %s)", call, luaL_typename(L, index));
    index = lua_absindex(L, index);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TSTRING && is_accepted(lua_tostring(L, -2), accepted))
            continue;
        char list[512] = "";
        size_t n = 0;
        for (const char *const *at = accepted; *at && n < sizeof(list); at++)
            n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", at == accepted ? "" : ", ", *at);
        lua_pushvalue(L, -2);
        raise_format(L, "%s: unknown key \"%s\" (accepted: %s)", call, luaL_tolstring(L, -1, NULL), list);
    }
}

int64_t check_duration(lua_State *L, int index, const char *what)
{
    struct err e = ERR_INIT;
    int64_t ns = 0;
    int failed;
    if (lua_type(L, index) == LUA_TNUMBER)
        failed = duration_from_seconds(lua_tonumber(L, index), &ns, &e);
    else if (lua_type(L, index) == LUA_TSTRING)
        failed = duration_parse(lua_tostring(L, index), &ns, &e);
    else
        return raise_format(L, "%s: expected a duration (got %s)", what, luaL_typename(L, index));
    if (failed) {
        err_prefix(&e, "%s", what);
        raise_err(L, &e);
    }
    return ns;
}

uint64_t check_size(lua_State *L, int index, const char *what)
{
    struct err e = ERR_INIT;
    uint64_t bytes = 0;
    if (lua_isinteger(L, index) && lua_tointeger(L, index) >= 0)
        return (uint64_t)lua_tointeger(L, index);
    if (lua_type(L, index) != LUA_TSTRING)
        raise_format(L, "%s: expected a size such as 4096 or \"512M\" (got %s)", what, luaL_tolstring(L, index, NULL));
    if (size_parse(lua_tostring(L, index), &bytes, &e) < 0) {
        err_prefix(&e, "%s", what);
        raise_err(L, &e);
    }
    return bytes;
}

const char *check_path(lua_State *L, int index, const char *what)
{
    size_t n;
    if (lua_type(L, index) != LUA_TSTRING)
        raise_format(L, "%s: expected a string (got %s)", what, luaL_typename(L, index));
    const char *s = lua_tolstring(L, index, &n);
    if (strlen(s) != n)
        raise_format(L, "%s: the string holds a NUL byte", what);
    return s;
}

/* Pushes the field; false (and nothing pushed) when there is none. */
static bool push_option(lua_State *L, int index, const char *key)
{
    if (!lua_istable(L, index))
        return false;
    if (lua_getfield(L, index, key) != LUA_TNIL)
        return true;
    lua_pop(L, 1);
    return false;
}

bool option_string(lua_State *L, int index, const char *call, const char *key, const char **ret, size_t *ret_size)
{
    if (!push_option(L, index, key))
        return false;
    if (lua_type(L, -1) != LUA_TSTRING)
        raise_format(L, "%s: %s must be a string (got %s)", call, key, luaL_typename(L, -1));
    *ret = lua_tolstring(L, -1, ret_size);
    lua_pop(L, 1);
    return true;
}

bool option_boolean(lua_State *L, int index, const char *call, const char *key, bool *ret)
{
    if (!push_option(L, index, key))
        return false;
    if (!lua_isboolean(L, -1))
        raise_format(L, "%s: %s must be true or false (got %s)", call, key, luaL_typename(L, -1));
    *ret = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return true;
}

bool option_integer(lua_State *L, int index, const char *call, const char *key, int64_t *ret)
{
    if (!push_option(L, index, key))
        return false;
    if (!lua_isinteger(L, -1))
        raise_format(L, "%s: %s must be an integer (got %s)", call, key, luaL_tolstring(L, -1, NULL));
    *ret = lua_tointeger(L, -1);
    lua_pop(L, 1);
    return true;
}

bool option_duration(lua_State *L, int index, const char *call, const char *key, int64_t *ret_ns)
{
    char what[128];
    if (!push_option(L, index, key))
        return false;
    snprintf(what, sizeof(what), "%s: %s", call, key);
    *ret_ns = check_duration(L, -1, what);
    lua_pop(L, 1);
    return true;
}

bool option_size(lua_State *L, int index, const char *call, const char *key, uint64_t *ret)
{
    char what[128];
    if (!push_option(L, index, key))
        return false;
    snprintf(what, sizeof(what), "%s: %s", call, key);
    *ret = check_size(L, -1, what);
    lua_pop(L, 1);
    return true;
}
