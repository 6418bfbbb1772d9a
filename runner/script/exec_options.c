#include "script/exec_options.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "script/argument.h"

#define ARGUMENTS_MAX  100000
#define CALL_SHOWN     200

#define EXEC_KEYS "args", "env", "env_clear", "cwd", "stdin", "user", "group", "groups", "umask", "max_output"
static const char *const run_keys[] = {EXEC_KEYS, "timeout", "timeout_ms", NULL};
static const char *const async_keys[] = {EXEC_KEYS, "barrier", NULL};

/* Number of items of the pure array at `index`; raises when it has other keys. */
static size_t check_array(lua_State *L, int index, const char *what)
{
    size_t n = lua_rawlen(L, index), keys = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (!lua_isinteger(L, -2))
            raise_format(L, "%s: array entries mixed with the key \"%s\"; use {args = {...}, ...}", what,
                         luaL_tolstring(L, -2, NULL));
        keys++;
    }
    if (keys != n || n > ARGUMENTS_MAX)
        raise_format(L, "%s: not an array of 1 to %d items without gaps", what, ARGUMENTS_MAX);
    return n;
}

/* Strings (numbers are converted) of the array at `index`, after `first` if that is given. The result and the strings are
 * anchored on the stack by one value. */
static const char **push_strings(lua_State *L, int index, const char *what, const char *first, size_t *ret_count)
{
    size_t n = check_array(L, index, what), extra = first != NULL;
    const char **items = lua_newuserdatauv(L, (n + extra + 1) * sizeof(char *), 1);
    lua_newtable(L);
    if (first)
        items[0] = first;
    for (size_t i = 0; i < n; i++) {
        char item[128];
        snprintf(item, sizeof(item), "%s: argument %zu", what, i + 1);
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        if (lua_type(L, -1) == LUA_TNUMBER)
            lua_tostring(L, -1);
        items[i + extra] = check_path(L, -1, item);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setiuservalue(L, -2, 1);
    items[n + extra] = NULL;
    *ret_count = n + extra;
    return items;
}

/* "NAME=value" of the map on top, or "NAME" for false; anchored on the stack. */
static const char **push_environment(lua_State *L, const char *what)
{
    int index = lua_gettop(L);
    size_t n = 0;
    if (!lua_istable(L, index))
        raise_format(L, "%s: env must be a table (got %s)", what, luaL_typename(L, index));
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        n++;
    const char **items = lua_newuserdatauv(L, (n + 1) * sizeof(char *), 1);
    lua_newtable(L);
    size_t i = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || !*lua_tostring(L, -2) || strchr(lua_tostring(L, -2), '='))
            raise_format(L, "%s: env: bad variable name \"%s\"", what, luaL_tolstring(L, -2, NULL));
        if (lua_isboolean(L, -1) && !lua_toboolean(L, -1)) {
            lua_pushvalue(L, -2);
        } else if (lua_type(L, -1) == LUA_TSTRING || lua_type(L, -1) == LUA_TNUMBER) {
            lua_pushvalue(L, -2);
            lua_pushliteral(L, "=");
            lua_pushvalue(L, -3);
            lua_concat(L, 3);
        } else {
            raise_format(L, "%s: env.%s must be a string or false (got %s)", what, lua_tostring(L, -2),
                         luaL_typename(L, -1));
        }
        items[i++] = check_path(L, -1, what);
        lua_rawseti(L, index + 2, (lua_Integer)i);
    }
    lua_setiuservalue(L, -2, 1);
    items[i] = NULL;
    return items;
}

/* A user or group: a name, or an id in decimal. Anchored on the stack. */
static const char *push_identity(lua_State *L, int options, const char *what, const char *key)
{
    lua_getfield(L, options, key);
    if (lua_isnil(L, -1))
        return NULL;
    if (lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 0 && lua_tointeger(L, -1) < UINT32_MAX)
        lua_tostring(L, -1);
    if (lua_type(L, -1) != LUA_TSTRING || !lua_rawlen(L, -1))
        raise_format(L, "%s: %s must be a name or an id (got %s)", what, key, luaL_tolstring(L, -1, NULL));
    return check_path(L, -1, what);
}

static void read_timeout(lua_State *L, int options, const char *what, bool waits, struct guest_command *out)
{
    int64_t ns = 0, ms = 0;
    bool has_ns = option_duration(L, options, what, "timeout", &ns);
    bool has_ms = option_integer(L, options, what, "timeout_ms", &ms);
    if ((has_ns || has_ms) && !waits)
        raise_format(L, "%s: timeout is not possible here; use proc:wait(timeout)", what);
    if (has_ns && has_ms)
        raise_format(L, "%s: timeout and timeout_ms exclude each other", what);
    if (has_ms && (ms <= 0 || ms > INT64_MAX / 1000000))
        raise_format(L, "%s: timeout_ms must be positive (got %lld)", what, (long long)ms);
    if (has_ns && ns <= 0)
        raise_format(L, "%s: timeout must be positive", what);
    out->timeout_ns = has_ms ? ms * 1000000 : ns;
}

static void read_options(lua_State *L, int options, const char *what, bool waits, struct guest_command *out)
{
    int64_t mask = out->umask;
    size_t n;
    read_timeout(L, options, what, waits, out);
    check_options(L, options, what, waits ? run_keys : async_keys);
    option_boolean(L, options, what, "env_clear", &out->env_clear);
    if (option_string(L, options, what, "cwd", &out->cwd, &n) && strlen(out->cwd) != n)
        raise_format(L, "%s: cwd: the string holds a NUL byte", what);
    const char *input;
    if (option_string(L, options, what, "stdin", &input, &out->input_len))
        out->input = input;
    option_size(L, options, what, "max_output", &out->max_output);
    if (option_integer(L, options, what, "umask", &mask) && (mask < 0 || mask > 0777))
        raise_format(L, "%s: umask must be 0 to 511 (0o777)", what);
    out->umask = (unsigned)mask;
    out->user = push_identity(L, options, what, "user");
    out->group = push_identity(L, options, what, "group");
    lua_getfield(L, options, "env");
    if (!lua_isnil(L, -1))
        out->env = push_environment(L, what);
    lua_getfield(L, options, "groups");
    if (!lua_isnil(L, -1)) {
        if (!lua_istable(L, -1))
            raise_format(L, "%s: groups must be an array (got %s)", what, luaL_typename(L, -1));
        out->groups = push_strings(L, lua_gettop(L), what, NULL, &n);
    }
}

/* The command without control characters and not too long, and `run "…"` of it. */
static void push_call(lua_State *L, const char *name, const char *command)
{
    char shown[CALL_SHOWN + 8];
    size_t n = 0;
    for (; command[n] && n < CALL_SHOWN; n++)
        shown[n] = (unsigned char)command[n] < 0x20 ? ' ' : command[n];
    strcpy(shown + n, command[n] ? "…" : "");
    lua_pushstring(L, shown);
    lua_pushfstring(L, "%s \"%s\"", name, shown);
}

int read_exec_options(lua_State *L, const char *name, bool waits, struct guest_command *out)
{
    size_t argc;
    bool is_shell = false;
    *out = GUEST_COMMAND_INIT;
    lua_settop(L, 3);
    luaL_checkstack(L, 20, name);
    int options = 3;
    bool empty = lua_istable(L, 3) && (lua_pushnil(L), !lua_next(L, 3));
    lua_settop(L, 3);
    if (lua_istable(L, 2)) { /* run({prog, args…}, options) */
        out->argv = push_strings(L, 2, name, NULL, &argc);
        if (!argc)
            raise_format(L, "%s: the command is empty", name);
        lua_getfield(L, 3 - lua_isnoneornil(L, 3), "args");
        if (lua_istable(L, 3) && !lua_isnil(L, -1))
            raise_format(L, "%s: args are given twice", name);
    } else {
        const char *text = check_path(L, 2, name);
        if (lua_isnil(L, 3) || empty) {
            options = 0;
        } else if (!lua_istable(L, 3)) {
            raise_format(L, "%s: options must be a table (got %s)", name, luaL_typename(L, 3));
        } else if (lua_rawlen(L, 3)) { /* run("prog", {args…}) */
            out->argv = push_strings(L, 3, name, text, &argc);
            options = 0;
        } else if (lua_getfield(L, 3, "args") == LUA_TTABLE) {
            out->argv = push_strings(L, lua_gettop(L), name, text, &argc);
        } else if (!lua_isnil(L, -1)) {
            raise_format(L, "%s: args must be an array (got %s)", name, luaL_typename(L, -1));
        }
        if (!out->argv) {
            const char **argv = lua_newuserdatauv(L, 4 * sizeof(char *), 0);
            argv[0] = "/bin/sh";
            argv[1] = "-c";
            argv[2] = text;
            argv[3] = NULL;
            out->argv = argv;
            is_shell = true;
        }
    }
    bool has_options = options && lua_istable(L, options);
    if (has_options)
        read_options(L, options, name, waits, out);
    int barrier = has_options && lua_getfield(L, options, "barrier") != LUA_TNIL ? lua_gettop(L) : 0;
    push_call(L, name, is_shell ? out->argv[2] : out->argv[0]);
    out->name = lua_tostring(L, -2);
    return barrier;
}
