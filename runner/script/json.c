#include "script/json.h"

#include <lauxlib.h>

#define ARRAY_MARK "provium.json.array"

void json_mark_array(lua_State *L)
{
    luaL_newmetatable(L, ARRAY_MARK);
    lua_setmetatable(L, -2);
}

int json_is_marked_array(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index))
        return 0;
    luaL_getmetatable(L, ARRAY_MARK);
    int same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

static int json_array(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    json_mark_array(L);
    return 1;
}

void json_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"encode", json_encode}, {"decode", json_decode}, {"array", json_array}, {NULL, NULL}};
    luaL_newlib(L, functions);
    lua_setglobal(L, "json");
}
