/* Lua values to MessagePack, for events (spec: test-framework "meta", scheduler-and-events "framing"). */
#pragma once

#include <lua.h>

#include "wire/msgpack.h"

#define CONVERT_LEVELS 16

enum convert_text {
    CONVERT_TEXT,  /* strings are text: bad UTF-8 becomes U+FFFD, all but the first 2 MiB is cut */
    CONVERT_BYTES, /* strings that are not UTF-8 become bin */
};

/* Packs the value at `index`. nil, booleans, numbers, strings; a table with exactly the keys 1..n (n > 0) is an
 * array, any other a map with keys as strings. Raises on functions, userdata, threads, other keys, cycles and more
 * than CONVERT_LEVELS levels, naming the path from `name` on. Nothing but Lua's own memory and `p` is in use. */
void convert_pack(lua_State *L, int index, enum convert_text text, const char *name, struct packer *p);

/* The keys of a table in the order in which they are packed: bytewise. So equal tables give equal bytes. */
struct text_key {
    const char *text;
    size_t size;
};

/* Pushes one value, which owns the keys; raises, naming `path`, on keys that are neither strings nor numbers. `index` is
 * absolute. */
const struct text_key *convert_push_keys(lua_State *L, int index, const char *path, uint32_t *ret_count);
/* Pushes the value of a key; `keys` is where convert_push_keys has left what it pushed. */
void convert_push_value(lua_State *L, int index, int keys, const struct text_key *key);
