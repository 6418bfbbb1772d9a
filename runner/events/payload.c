#include "events/payload.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/utf8.h"

#define JSON_LEVELS_MAX 64

/* ------------------------------------------------------------------------------------------------- writing */

void payload_done(struct payload *p)
{
    buf_done(&p->pairs);
}

static struct packer begin(struct payload *p, const char *key)
{
    struct packer packer = {.to = &p->pairs, .full = p->full};
    pack_str(&packer, key);
    p->count++;
    return packer;
}

static void pack_clean(struct packer *packer, const char *s)
{
    _cleanup_free_ char *clean = utf8_clean(s);
    pack_str(packer, clean);
}

void payload_add_text(struct payload *p, const char *key, const char *value)
{
    struct packer packer = begin(p, key);
    if (value)
        pack_clean(&packer, value);
    else
        pack_nil(&packer);
    p->full = packer.full;
}

void payload_add_int(struct payload *p, const char *key, int64_t value)
{
    struct packer packer = begin(p, key);
    pack_int(&packer, value);
    p->full = packer.full;
}

void payload_add_uint(struct payload *p, const char *key, uint64_t value)
{
    struct packer packer = begin(p, key);
    pack_uint(&packer, value);
    p->full = packer.full;
}

void payload_add_double(struct payload *p, const char *key, double value)
{
    struct packer packer = begin(p, key);
    pack_double(&packer, value);
    p->full = packer.full;
}

void payload_add_bool(struct payload *p, const char *key, bool value)
{
    struct packer packer = begin(p, key);
    pack_bool(&packer, value);
    p->full = packer.full;
}

void payload_add_nil(struct payload *p, const char *key)
{
    payload_add_text(p, key, NULL);
}

void payload_add_strings(struct payload *p, const char *key, const struct strv *values)
{
    struct packer packer = begin(p, key);
    pack_array(&packer, (uint32_t)values->count);
    for (size_t i = 0; i < values->count; i++)
        pack_clean(&packer, values->items[i]);
    p->full = packer.full;
}

void payload_add_amount(struct payload *p, const char *key, uint64_t memory_bytes, uint64_t cpus)
{
    struct packer packer = begin(p, key);
    pack_map(&packer, 2);
    pack_str(&packer, "memory_bytes");
    pack_uint(&packer, memory_bytes);
    pack_str(&packer, "cpus");
    pack_uint(&packer, cpus);
    p->full = packer.full;
}

void payload_add_packed(struct payload *p, const char *key, struct bytes value)
{
    struct packer packer = begin(p, key);
    pack_raw(&packer, value.data, value.len);
    p->full = packer.full;
}

static bool has_key(const struct payload *p, struct bytes wanted)
{
    struct unpacker u = unpacker_of(bytes_of(buf_head(&p->pairs), p->pairs.len));
    struct bytes key;
    for (uint32_t i = 0; i < p->count; i++) {
        if (unpack_bytes(&u, &key) < 0 || unpack_skip(&u, NULL) < 0)
            return false;
        if (key.len == wanted.len && !memcmp(key.data, wanted.data, key.len))
            return true;
    }
    return false;
}

bool payload_add_all(struct payload *p, struct bytes map)
{
    struct unpacker u = unpacker_of(map);
    uint32_t pairs;
    struct bytes key, value;
    if (unpack_map(&u, &pairs) < 0)
        return false;
    while (pairs--) {
        if (unpack_bytes(&u, &key) < 0 || unpack_skip(&u, &value) < 0)
            return false;
        if (has_key(p, key))
            continue;
        struct packer packer = {.to = &p->pairs, .full = p->full};
        pack_strn(&packer, key.data, key.len);
        pack_raw(&packer, value.data, value.len);
        p->full = packer.full;
        p->count++;
    }
    return true;
}

void payload_write(const struct payload *p, struct buf *out)
{
    struct packer packer = {.to = out};
    pack_map(&packer, p->count);
    if (p->pairs.len)
        pack_raw(&packer, buf_head(&p->pairs), p->pairs.len);
}

/* ------------------------------------------------------------------------------------------------- reading */

bool payload_value(struct bytes map, const char *key, struct bytes *ret_packed)
{
    struct unpacker u = unpacker_of(map);
    uint32_t pairs;
    struct bytes name, value;
    if (unpack_map(&u, &pairs) < 0)
        return false;
    while (pairs--) {
        if (unpack_bytes(&u, &name) < 0 || unpack_skip(&u, &value) < 0)
            return false;
        if (bytes_is(name, key)) {
            *ret_packed = value;
            return true;
        }
    }
    return false;
}

/* A reader of `key`, standing before its value. */
#define READ_FIELD(map, key, reader, ret)                                                                              \
    ({                                                                                                                 \
        struct bytes packed_;                                                                                          \
        __typeof__(*(ret)) value_;                                                                                     \
        bool found_ = payload_value(map, key, &packed_);                                                               \
        struct unpacker u_ = unpacker_of(found_ ? packed_ : (struct bytes){0});                                        \
        found_ = found_ && reader(&u_, &value_) == 0;                                                                  \
        if (found_)                                                                                                    \
            *(ret) = value_;                                                                                           \
        found_;                                                                                                        \
    })

bool payload_bytes(struct bytes map, const char *key, struct bytes *ret)
{
    return READ_FIELD(map, key, unpack_bytes, ret);
}

bool payload_int(struct bytes map, const char *key, int64_t *ret)
{
    return READ_FIELD(map, key, unpack_int, ret);
}

bool payload_bool(struct bytes map, const char *key, bool *ret)
{
    return READ_FIELD(map, key, unpack_bool, ret);
}

bool payload_double(struct bytes map, const char *key, double *ret)
{
    struct value v;
    if (!READ_FIELD(map, key, unpack_value, &v) || (v.type != VALUE_DOUBLE && v.type != VALUE_INT))
        return false;
    *ret = v.type == VALUE_INT ? (double)v.integer : v.number;
    return true;
}

char *payload_string(struct bytes map, const char *key)
{
    struct bytes value = {0};
    payload_bytes(map, key, &value);
    return value.len ? xstrndup((const char *)value.data, value.len) : xstrdup("");
}

void payload_strings(struct bytes map, const char *key, struct strv *out)
{
    struct bytes item;
    uint32_t count;
    struct bytes packed;
    if (!payload_value(map, key, &packed))
        return;
    struct unpacker u = unpacker_of(packed);
    if (unpack_array(&u, &count) < 0)
        return;
    while (count-- && !unpack_bytes(&u, &item))
        strv_take(out, xstrndup((const char *)item.data, item.len));
}

/* ------------------------------------------------------------------------------------------------- JSON */

static bool append_value(struct buf *out, struct unpacker *u, int level);

static bool append_container(struct buf *out, struct unpacker *u, const struct value *v, int level)
{
    bool map = v->type == VALUE_MAP, whole = level < JSON_LEVELS_MAX;
    buf_append_str(out, map ? "{" : "[");
    for (uint32_t i = 0; whole && i < v->count; i++) {
        struct bytes key;
        if (i)
            buf_append_byte(out, ',');
        if (map) {
            whole = unpack_bytes(u, &key) == 0;
            json_append_string(out, whole ? (const char *)key.data : "", whole ? key.len : 0);
            buf_append_byte(out, ':');
        }
        if (whole)
            whole = append_value(out, u, level + 1);
        else
            buf_append_str(out, "null");
    }
    buf_append_str(out, map ? "}" : "]");
    return whole;
}

/* False when nothing behind it can be read; what was written is JSON all the same. */
static bool append_value(struct buf *out, struct unpacker *u, int level)
{
    struct value v;
    if (unpack_value(u, &v) < 0) {
        buf_append_str(out, "null");
        return false;
    }
    switch (v.type) {
    case VALUE_NIL:
        buf_append_str(out, "null");
        break;
    case VALUE_BOOL:
        buf_append_str(out, v.boolean ? "true" : "false");
        break;
    case VALUE_INT:
        buf_printf(out, "%" PRId64, v.integer);
        break;
    case VALUE_UINT:
        buf_printf(out, "%" PRIu64, v.uinteger);
        break;
    case VALUE_DOUBLE:
        if (isfinite(v.number))
            buf_printf(out, "%.17g", v.number);
        else
            buf_append_str(out, "null");
        break;
    case VALUE_STR:
    case VALUE_BIN:
        json_append_string(out, (const char *)v.bytes.data, v.bytes.len);
        break;
    case VALUE_ARRAY:
    case VALUE_MAP:
        return append_container(out, u, &v, level);
    }
    return true;
}

void json_append_packed(struct buf *out, struct bytes packed)
{
    struct unpacker u = unpacker_of(packed);
    append_value(out, &u, 0);
}
