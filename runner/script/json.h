#pragma once

#include <lua.h>

/* Sets the global `json` (encode, decode, array). */
void json_open(lua_State *L);
/* Encoder and decoder as C functions, each in its file. */
int json_encode(lua_State *L);
int json_decode(lua_State *L);
/* Gives the table on top of the stack the mark of an array. */
void json_mark_array(lua_State *L);
int json_is_marked_array(lua_State *L, int index);

#define JSON_DEPTH_MAX 128
#define JSON_GAPS_MAX  1000000
