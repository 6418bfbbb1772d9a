/* The arguments of vm:run and its relatives (spec: vm, "Running commands"). */
#pragma once

#include <lua.h>

#include "guest/exec.h"

/* Reads the command at argument 2 and the options after it. Everything `out` points to is anchored on the Lua stack,
 * which is left with the call's text (`run "echo x"`) on top. `waits`: timeout and timeout_ms are allowed, and else
 * `barrier`, whose stack index is returned (0: none). */
int read_exec_options(lua_State *L, const char *name, bool waits, struct guest_command *out);
