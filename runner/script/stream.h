/* The stream userdata: tails, console readers, process output and captures (spec: guest-handles, "Streams"). What it does
 * is guest/stream.h; here are arguments, messages and the site of creation. */
#pragma once

#include <lua.h>

#include "guest/stream.h"
#include "script/script.h"

/* Pushes the stream (taken, even when this raises) and adds it to the scope. `label` heads messages: vm "a". The value
 * at `keep` (0: none) lives at least as long: the userdata that the source works on. */
void push_stream(lua_State *L, struct stream *stream, const char *label, int keep);
/* Is it a stream that is neither closed nor at its end? */
bool stream_is_live(lua_State *L, int index);
/* "kind(detail) at file:line" of the stream there. */
const char *stream_describe_at(lua_State *L, int index);
/* The `window` option; GUEST_WINDOW_DEFAULT without it. */
uint64_t option_window(lua_State *L, int index, const char *call);
/* The metatable. */
void stream_open(lua_State *L);
