/* json.encode (spec: test-framework): straight from Lua values to bytes, since the treatment of integers, gaps and
 * key order is specified exactly. Lua may raise anywhere, so the output buffer is a userdata with __gc. */
#include <lauxlib.h>
#include <stdbool.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "script/json.h"
#include "base/utf8.h"

#define OUTPUT_MAX ((size_t)1 << 30)

struct encoder {
    lua_State *L;
    struct buf *out;
};

static void encode_value(struct encoder *en, int index, int depth);

static void put(struct encoder *en, const char *s, size_t n)
{
    if (buf_append(en->out, s, n) < 0)
        luaL_error(en->L, "json.encode: more than %d bytes", (int)OUTPUT_MAX);
}

static void put_text(struct encoder *en, const char *s)
{
    put(en, s, strlen(s));
}

static void encode_string(struct encoder *en, const char *s, size_t n)
{
    static const char *const shorts[] = {
        ['"'] = "\\\"", ['\\'] = "\\\\", ['\b'] = "\\b", ['\f'] = "\\f",
        ['\n'] = "\\n", ['\r'] = "\\r",  ['\t'] = "\\t",
    };
    size_t bad = utf8_invalid_offset(s, n);
    if (bad < n)
        luaL_error(en->L, "json.encode: invalid UTF-8 at offset %d", (int)bad);
    put_text(en, "\"");
    size_t plain = 0;
    for (size_t i = 0; i <= n; i++) {
        unsigned char c = i < n ? (unsigned char)s[i] : 0;
        bool special = i < n && (c < 0x20 || c == '"' || c == '\\');
        if (i < n && !special)
            continue;
        put(en, s + plain, i - plain);
        plain = i + 1;
        if (special && c < ARRAY_SIZE(shorts) && shorts[c]) {
            put_text(en, shorts[c]);
        } else if (special) {
            char text[8];
            snprintf(text, sizeof(text), "\\u%04x", c);
            put_text(en, text);
        }
    }
    put_text(en, "\"");
}

/* The shortest text that reads back equal; a float keeps a mark of being one. */
static void encode_number(struct encoder *en, int index)
{
    char text[40];
    if (lua_isinteger(en->L, index)) {
        snprintf(text, sizeof(text), "%lld", (long long)lua_tointeger(en->L, index));
        put_text(en, text);
        return;
    }
    lua_Number value = lua_tonumber(en->L, index);
    if (!isfinite(value))
        luaL_error(en->L, "json.encode: %s cannot be represented", isnan(value) ? "NaN" : "infinity");
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*g", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    put_text(en, text);
    if (!strpbrk(text, ".e"))
        put_text(en, ".0");
}

/* True for an array, with its length. */
static bool is_array(struct encoder *en, int index, lua_Integer *ret_length)
{
    lua_State *L = en->L;
    bool marked = json_is_marked_array(L, index), only_positive = true;
    lua_Integer highest = 0, count = 0;
    for (lua_pushnil(L); lua_next(L, index); count++) {
        lua_pop(L, 1);
        lua_Integer key = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
        if (key > highest)
            highest = key;
        if (key > 0)
            continue;
        only_positive = false;
        if (marked)
            luaL_error(L, "json.encode: an array has the key %s", luaL_tolstring(L, -1, NULL));
        if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER)
            luaL_error(L, "json.encode: a key is a %s", luaL_typename(L, -1));
    }
    if (!marked && (!count || !only_positive))
        return false;
    if (highest - count > JSON_GAPS_MAX)
        luaL_error(L, "json.encode: an array with over %d gaps", JSON_GAPS_MAX);
    *ret_length = highest;
    return true;
}

static void encode_array(struct encoder *en, int index, lua_Integer length, int depth)
{
    put_text(en, "[");
    for (lua_Integer i = 1; i <= length; i++) {
        if (i > 1)
            put_text(en, ",");
        lua_rawgeti(en->L, index, i);
        encode_value(en, lua_gettop(en->L), depth);
        lua_pop(en->L, 1);
    }
    put_text(en, "]");
}

struct key {
    const char *text; /* anchored in the table of texts */
    size_t size;
    lua_Integer number; /* its index there */
};

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
    return order ? order : x->size < y->size ? -1 : x->size > y->size;
}

/* Pushes three values (texts, original keys, the sorted struct key array as a userdata); returns the count. */
static lua_Integer push_sorted_keys(lua_State *L, int index, struct key **ret)
{
    lua_Integer n = 0;
    lua_newtable(L);
    lua_newtable(L);
    int texts = lua_gettop(L) - 1, originals = texts + 1;
    for (lua_pushnil(L); lua_next(L, index);) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_rawseti(L, originals, ++n);
        lua_pushvalue(L, -1);
        lua_tostring(L, -1); /* converts the copy, never the key lua_next needs */
        lua_rawseti(L, texts, n);
    }
    struct key *keys = lua_newuserdatauv(L, (size_t)n * sizeof(*keys) + 1, 0);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, texts, i);
        keys[i - 1].text = lua_tolstring(L, -1, &keys[i - 1].size);
        keys[i - 1].number = i;
        lua_pop(L, 1);
    }
    qsort(keys, (size_t)n, sizeof(*keys), compare_keys);
    *ret = keys;
    return n;
}

static void encode_object(struct encoder *en, int index, int depth)
{
    lua_State *L = en->L;
    struct key *keys;
    lua_Integer n = push_sorted_keys(L, index, &keys);
    int originals = lua_gettop(L) - 1;
    put_text(en, "{");
    for (lua_Integer i = 0; i < n; i++) {
        if (i)
            put_text(en, ",");
        encode_string(en, keys[i].text, keys[i].size);
        put_text(en, ":");
        lua_rawgeti(L, originals, keys[i].number);
        lua_rawget(L, index);
        encode_value(en, lua_gettop(L), depth);
        lua_pop(L, 1);
    }
    put_text(en, "}");
    lua_pop(L, 3);
}

static void encode_value(struct encoder *en, int index, int depth)
{
    lua_State *L = en->L;
    luaL_checkstack(L, 16, "json.encode");
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        put_text(en, "null");
        return;
    case LUA_TBOOLEAN:
        put_text(en, lua_toboolean(L, index) ? "true" : "false");
        return;
    case LUA_TNUMBER:
        encode_number(en, index);
        return;
    case LUA_TSTRING: {
        size_t n;
        const char *s = lua_tolstring(L, index, &n);
        encode_string(en, s, n);
        return;
    }
    case LUA_TTABLE: {
        lua_Integer length;
        if (depth >= JSON_DEPTH_MAX)
            luaL_error(L, "json.encode: more than %d levels, or a cycle", JSON_DEPTH_MAX);
        if (is_array(en, index, &length))
            encode_array(en, index, length, depth + 1);
        else
            encode_object(en, index, depth + 1);
        return;
    }
    default:
        luaL_error(L, "json.encode: a %s cannot be represented", luaL_typename(L, index));
    }
}

static int free_output(lua_State *L)
{
    buf_done(lua_touserdata(L, 1));
    return 0;
}

int json_encode(lua_State *L)
{
    lua_settop(L, 1);
    struct buf *out = lua_newuserdatauv(L, sizeof(*out), 0);
    *out = BUF_INIT(OUTPUT_MAX);
    if (luaL_newmetatable(L, "provium.json.output")) {
        lua_pushcfunction(L, free_output);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, 2);
    struct encoder en = {.L = L, .out = out};
    encode_value(&en, 1, 0);
    lua_pushlstring(L, (const char *)buf_head(out), out->len);
    return 1;
}
