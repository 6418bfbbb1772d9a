/* Barriers (spec: labs-and-fixtures): coroutines that wait for each other, and for calls in guests. */
#pragma once

#include <lua.h>

#include "guest/guest.h"
#include "script/script.h"

void barrier_init(struct script *s);
void barrier_done(struct script *s);
void barrier_open(lua_State *L); /* with `core` on top of the stack */

/* The main body is about to block: resumes the coroutines that can go on. Raises what one of them raised. */
void barrier_serve(lua_State *L);
/* Raises if this is a coroutine that runs while the main body waits for the object at argument 1, or for something of
 * that VM. For what ends an object. */
void check_unused(lua_State *L, const char *call);

/* The `barrier` option (at `option`) of a call on the VM. Before the call: raises on what is wrong with the option. */
void barrier_check(lua_State *L, int vm, int option, const char *call);
/* Pushes a closed gate for the call to wait at, and returns its id there. */
uint64_t push_gate(lua_State *L, int vm, struct guest *guest);
/* The call waits. */
void barrier_arrive(lua_State *L, int vm, int option, int gate, int handle);
