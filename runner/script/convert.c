#include "script/convert.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Longest text in an event: a frame holds a handful of them (EVENT_FRAME_MAX). */
#define TEXT_MAX ((size_t)2 << 20)

struct conversion {
    lua_State *L;
    struct packer *p;
    enum convert_text text;
};

static void pack(struct conversion *c, int index, const char *path, int level);

/* Pushes at most TEXT_MAX bytes of a longer text, cut between characters, and what is missing. */
static const char *push_cut(lua_State *L, const char *s, size_t *n)
{
    size_t kept = TEXT_MAX;
    while (kept > TEXT_MAX - 4 && (s[kept] & 0xc0) == 0x80)
        kept--;
    lua_pushlstring(L, s, kept);
    lua_pushfstring(L, "…[cut %I bytes]", (LUAI_UACINT)(*n - kept));
    lua_concat(L, 2);
    return lua_tolstring(L, -1, n);
}

/* Pushes the text with its bad bytes as U+FFFD. */
static const char *push_clean(lua_State *L, const char *s, size_t *n)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (size_t left = *n;;) {
        size_t good = utf8_invalid_offset(s, left);
        luaL_addlstring(&b, s, good);
        if (good == left)
            break;
        luaL_addstring(&b, "\xef\xbf\xbd");
        s += good + 1;
        left -= good + 1;
    }
    luaL_pushresult(&b);
    return lua_tolstring(L, -1, n);
}

static void pack_text(struct conversion *c, const char *s, size_t n)
{
    int top = lua_gettop(c->L);
    bool valid = utf8_invalid_offset(s, n) == n;
    if (c->text == CONVERT_BYTES) {
        if (valid)
            pack_strn(c->p, s, n);
        else
            pack_bin(c->p, s, n);
        return;
    }
    if (n > TEXT_MAX)
        s = push_cut(c->L, s, &n);
    if (!valid)
        s = push_clean(c->L, s, &n);
    pack_strn(c->p, s, n);
    lua_settop(c->L, top);
}

static uint32_t count_pairs(lua_State *L, int index)
{
    uint32_t n = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        n++;
    return n;
}

static bool is_sequence(lua_State *L, int index, uint32_t pairs)
{
    for (uint32_t i = 1; i <= pairs; i++) {
        int type = lua_rawgeti(L, index, i);
        lua_pop(L, 1);
        if (type == LUA_TNIL)
            return false;
    }
    return pairs > 0;
}

static int by_text(const void *a, const void *b)
{
    const struct text_key *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
    return order ? order : x->size < y->size ? -1 : x->size > y->size;
}

const struct text_key *convert_push_keys(lua_State *L, int index, const char *path, uint32_t *ret_count)
{
    uint32_t n = 0;
    lua_newtable(L); /* of the keys by their text, which it keeps alive */
    int originals = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING && lua_type(L, -2) != LUA_TNUMBER)
            luaL_error(L, "%s: a key is a %s", path, luaL_typename(L, -2));
        lua_pushvalue(L, -2);
        lua_tostring(L, -1);
        lua_pushvalue(L, -3);
        lua_rawset(L, originals);
    }
    *ret_count = count_pairs(L, originals);
    struct text_key *keys = lua_newuserdatauv(L, (*ret_count + 1) * sizeof(*keys), 1);
    for (lua_pushnil(L); lua_next(L, originals); lua_pop(L, 1), n++)
        keys[n].text = lua_tolstring(L, -2, &keys[n].size);
    lua_pushvalue(L, originals);
    lua_setiuservalue(L, -2, 1);
    lua_remove(L, originals);
    qsort(keys, n, sizeof(*keys), by_text);
    return keys;
}

void convert_push_value(lua_State *L, int index, int keys, const struct text_key *key)
{
    lua_getiuservalue(L, keys, 1);
    lua_pushlstring(L, key->text, key->size);
    lua_rawget(L, -2);
    lua_rawget(L, index);
    lua_remove(L, -2);
}

static void pack_table(struct conversion *c, int index, const char *path, int level)
{
    lua_State *L = c->L;
    char inner[512];
    if (level > CONVERT_LEVELS)
        luaL_error(L, "%s: more than %d levels, or a cycle", path, CONVERT_LEVELS);
    luaL_checkstack(L, 12, path);
    uint32_t pairs = count_pairs(L, index);
    if (is_sequence(L, index, pairs)) {
        pack_array(c->p, pairs);
        for (uint32_t i = 1; i <= pairs; i++) {
            snprintf(inner, sizeof(inner), "%s[%u]", path, i);
            lua_rawgeti(L, index, i);
            pack(c, lua_gettop(L), inner, level);
            lua_pop(L, 1);
        }
        return;
    }
    const struct text_key *keys = convert_push_keys(L, index, path, &pairs);
    int anchor = lua_gettop(L);
    pack_map(c->p, pairs);
    for (uint32_t i = 0; i < pairs; i++) {
        snprintf(inner, sizeof(inner), "%s.%s", path, keys[i].text);
        pack_text(c, keys[i].text, keys[i].size);
        convert_push_value(L, index, anchor, &keys[i]);
        pack(c, lua_gettop(L), inner, level);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void pack(struct conversion *c, int index, const char *path, int level)
{
    lua_State *L = c->L;
    size_t n;
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        pack_nil(c->p);
        return;
    case LUA_TBOOLEAN:
        pack_bool(c->p, lua_toboolean(L, index));
        return;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            pack_int(c->p, lua_tointeger(L, index));
        else
            pack_double(c->p, lua_tonumber(L, index));
        return;
    case LUA_TSTRING: {
        const char *s = lua_tolstring(L, index, &n);
        pack_text(c, s, n);
        return;
    }
    case LUA_TTABLE:
        pack_table(c, index, path, level + 1);
        return;
    default:
        luaL_error(L, "%s: a %s cannot be converted", path, luaL_typename(L, index));
    }
}

void convert_pack(lua_State *L, int index, enum convert_text text, const char *name, struct packer *p)
{
    struct conversion c = {.L = L, .p = p, .text = text};
    pack(&c, lua_absindex(L, index), name, 0);
}
