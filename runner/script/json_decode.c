/* json.decode (spec: test-framework; RFC 8259): straight from bytes to Lua values. All memory is Lua's. */
#include <errno.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "script/json.h"
#include "base/utf8.h"

struct decoder {
    lua_State *L;
    const char *start, *at, *end;
};

static int decode_value(struct decoder *d, int depth);

static int fail(struct decoder *d, const char *problem)
{
    int line = 1, column = 1;
    for (const char *p = d->start; p < d->at && p < d->end; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else {
            column++;
        }
    }
    return luaL_error(d->L, "json.decode: %s at line %d column %d", problem, line, column);
}

static void skip_space(struct decoder *d)
{
    while (d->at < d->end && strchr(" \t\r\n", *d->at) && *d->at)
        d->at++;
}

static char peek(const struct decoder *d)
{
    return d->at < d->end ? *d->at : '\0';
}

static unsigned decode_hex4(struct decoder *d)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++, d->at++) {
        char c = peek(d);
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 16;
        if (digit > 15)
            fail(d, "bad \\u escape");
        value = value << 4 | digit;
    }
    return value;
}

static void decode_escape(struct decoder *d, luaL_Buffer *b)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = peek(d);
    const char *hit = c ? strchr(from, c) : NULL;
    d->at++;
    if (hit) {
        luaL_addchar(b, to[hit - from]);
        return;
    }
    if (c != 'u') {
        d->at--;
        fail(d, "bad escape");
    }
    unsigned code = decode_hex4(d);
    if (code >= 0xd800 && code < 0xdc00 && d->end - d->at >= 2 && d->at[0] == '\\' && d->at[1] == 'u') {
        d->at += 2;
        unsigned low = decode_hex4(d);
        if (low < 0xdc00 || low > 0xdfff)
            fail(d, "unpaired surrogate");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xd800 && code < 0xe000) {
        fail(d, "unpaired surrogate");
    }
    char out[4];
    luaL_addlstring(b, out, utf8_put(out, code));
}

static void decode_string(struct decoder *d)
{
    luaL_Buffer b;
    d->at++;
    luaL_buffinit(d->L, &b);
    for (;;) {
        const char *plain = d->at;
        while (d->at < d->end && *d->at != '"' && *d->at != '\\' && (unsigned char)*d->at >= 0x20)
            d->at++;
        size_t n = (size_t)(d->at - plain), bad = utf8_invalid_offset(plain, n);
        if (bad < n) {
            d->at = plain + bad;
            fail(d, "invalid UTF-8");
        }
        luaL_addlstring(&b, plain, n);
        if (d->at >= d->end)
            fail(d, "unfinished string");
        if (*d->at == '"')
            break;
        if (*d->at != '\\')
            fail(d, "control character in a string");
        d->at++;
        decode_escape(d, &b);
    }
    d->at++;
    luaL_pushresult(&b);
}

static void skip_digits(struct decoder *d)
{
    if (peek(d) < '0' || peek(d) > '9')
        fail(d, "bad number");
    while (peek(d) >= '0' && peek(d) <= '9')
        d->at++;
}

static void decode_number(struct decoder *d)
{
    const char *start = d->at;
    bool integer = true;
    if (peek(d) == '-')
        d->at++;
    if (peek(d) == '0')
        d->at++;
    else
        skip_digits(d);
    if (peek(d) == '.') {
        integer = false;
        d->at++;
        skip_digits(d);
    }
    if (peek(d) == 'e' || peek(d) == 'E') {
        integer = false;
        d->at++;
        if (peek(d) == '+' || peek(d) == '-')
            d->at++;
        skip_digits(d);
    }
    /* Lua strings end in a NUL and what follows a number is none of its characters: strto* stops there. */
    errno = 0;
    if (integer && *start == '-') {
        long long value = strtoll(start, NULL, 10);
        if (!errno) {
            lua_pushinteger(d->L, value);
            return;
        }
    } else if (integer) {
        unsigned long long value = strtoull(start, NULL, 10);
        if (!errno) {
            lua_pushinteger(d->L, (lua_Integer)value);
            return;
        }
    }
    lua_pushnumber(d->L, strtod(start, NULL));
}

static void decode_array(struct decoder *d, int depth)
{
    lua_State *L = d->L;
    lua_newtable(L);
    json_mark_array(L);
    d->at++;
    skip_space(d);
    if (peek(d) == ']') {
        d->at++;
        return;
    }
    for (lua_Integer i = 1;; i++) {
        decode_value(d, depth);
        lua_rawseti(L, -2, i);
        skip_space(d);
        char c = peek(d);
        if (c != ',' && c != ']')
            fail(d, "expected `,` or `]`");
        d->at++;
        if (c == ']')
            return;
    }
}

static void decode_object(struct decoder *d, int depth)
{
    lua_State *L = d->L;
    lua_newtable(L);
    d->at++;
    skip_space(d);
    if (peek(d) == '}') {
        d->at++;
        return;
    }
    for (;;) {
        skip_space(d);
        if (peek(d) != '"')
            fail(d, "expected a string as key");
        decode_string(d);
        skip_space(d);
        if (peek(d) != ':')
            fail(d, "expected `:`");
        d->at++;
        decode_value(d, depth);
        lua_rawset(L, -3);
        skip_space(d);
        char c = peek(d);
        if (c != ',' && c != '}')
            fail(d, "expected `,` or `}`");
        d->at++;
        if (c == '}')
            return;
    }
}

static bool take_word(struct decoder *d, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(d->end - d->at) < n || memcmp(d->at, word, n))
        return false;
    d->at += n;
    return true;
}

static int decode_value(struct decoder *d, int depth)
{
    lua_State *L = d->L;
    luaL_checkstack(L, 8, "json.decode");
    skip_space(d);
    char c = peek(d);
    if ((c == '{' || c == '[') && depth >= JSON_DEPTH_MAX)
        return fail(d, "more than 128 levels");
    if (c == '{')
        decode_object(d, depth + 1);
    else if (c == '[')
        decode_array(d, depth + 1);
    else if (c == '"')
        decode_string(d);
    else if (c == '-' || (c >= '0' && c <= '9'))
        decode_number(d);
    else if (take_word(d, "true"))
        lua_pushboolean(L, 1);
    else if (take_word(d, "false"))
        lua_pushboolean(L, 0);
    else if (take_word(d, "null"))
        lua_pushnil(L);
    else
        return fail(d, d->at >= d->end ? "unexpected end" : "unexpected character");
    return 1;
}

int json_decode(lua_State *L)
{
    size_t n;
    const char *s = luaL_checklstring(L, 1, &n);
    struct decoder d = {.L = L, .start = s, .at = s, .end = s + n};
    decode_value(&d, 0);
    skip_space(&d);
    if (d.at < d.end)
        fail(&d, "text after the value");
    return 1;
}
