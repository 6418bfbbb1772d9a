/* The Lua part of the framework (lua/), as text or, for the many processes of a run, compiled once. */
#pragma once

#include <lua.h>

struct library;

/* Compiles all parts into a sealed memfd for workers; -1 when that fails: they then compile for themselves. */
int library_compile(void);
/* Maps what library_compile has made, and closes it. NULL for -1 and when it cannot be mapped. */
struct library *library_open(int fd);
void library_close(struct library *l);

/* Pushes the function of lua/NAME.lua; raises when it does not compile. `l` may be NULL. */
void library_push(lua_State *L, const struct library *l, const char *name);
