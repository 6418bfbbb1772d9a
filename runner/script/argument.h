/* Arguments of Lua calls: positions, option tables, durations, sizes, byte strings. All raise on bad input. */
#pragma once

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The whole chunk name of a frame ("tests/x.test.lua"), not Lua's shortened one. `buffer` may be used. */
const char *chunk_name(const lua_Debug *ar);
/* Is it code of lua/? */
bool is_framework(const lua_Debug *ar);
/* Pushes "<file>:<line>: " of the innermost Lua function at `level` or above; "" when there is none. */
void push_position(lua_State *L, int level);

/* Pushes the error value at `index`. Lua begins a run-time error with the chunk name cut to 59 bytes: when it is that of
 * the function at `level`, the whole name is put in its place. */
void push_whole_message(lua_State *L, int index, int level);

/* Raise with the position of the caller in Lua. raise_err takes the error's message (and drops the error). */
int raise_format(lua_State *L, const char *format, ...);
int raise_err(lua_State *L, struct err *e);

/* Makes the metatable of userdata that end by `end`, at the latest when they are collected. */
void register_closable(lua_State *L, const char *name, lua_CFunction end);

/* Raises when the table at `index` has a key not in the NULL-terminated `accepted`, or is no table. nil is fine. */
void check_options(lua_State *L, int index, const char *call, const char *const *accepted);

/* Duration at `index` (number of seconds or text), in ns; `what` heads the message. Negative raises. */
int64_t check_duration(lua_State *L, int index, const char *what);
uint64_t check_size(lua_State *L, int index, const char *what);
/* String without NUL bytes. */
const char *check_path(lua_State *L, int index, const char *what);

/* Pushes a host path as it is to be opened: a relative one is looked for beside the Lua file that holds the call, then, with
 * `existing`, beside the running file. */
const char *push_beside_caller(lua_State *L, const char *path, bool existing);

/* Fields of an option table (or nil): each returns whether the key is there. The value stays on the Lua stack
 * nowhere: strings are anchored by the table. */
bool option_string(lua_State *L, int index, const char *call, const char *key, const char **ret, size_t *ret_size);
bool option_boolean(lua_State *L, int index, const char *call, const char *key, bool *ret);
bool option_integer(lua_State *L, int index, const char *call, const char *key, int64_t *ret);
bool option_duration(lua_State *L, int index, const char *call, const char *key, int64_t *ret_ns);
bool option_size(lua_State *L, int index, const char *call, const char *key, uint64_t *ret);
