/* The scan of Lua files: tokens cover the text in order, and whatever it finds is in the text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "fixture/lexer.h"
#include "fixture/scan.h"

static void check_tokens(const char *text, size_t size)
{
    struct lua_lexer l;
    lua_lexer_init(&l, text, size);
    const char *after = text;
    unsigned line = 1;
    for (;;) {
        struct lua_token t = lua_lexer_next(&l);
        if (t.text < after || t.text + t.size > text + size || t.line < line)
            abort();
        after = t.text + t.size;
        line = t.line;
        if (t.kind == LUA_TOKEN_END || t.kind == LUA_TOKEN_BAD)
            return;
        if (!t.size)
            abort();
        size_t n;
        if (t.kind == LUA_TOKEN_STRING)
            free(lua_token_string(&t, &n));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = size ? xmemdup(data, size) : NULL; /* its end is the sanitizer's */
    const char *start = text ? text : "";
    struct lua_uses uses;
    check_tokens(start, size);
    lua_scan(start, size, &uses);
    if (uses.count > size)
        abort();
    lua_uses_done(&uses);
    return 0;
}
