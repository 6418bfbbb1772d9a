#include "wire/msgpack.h"

#include <limits.h>

static void put(struct packer *p, const void *data, size_t n)
{
    if (!p->full && buf_append(p->to, data, n) < 0)
        p->full = true;
}

/* A type byte followed by the `width` low bytes of `value`, big-endian. */
static void put_tagged(struct packer *p, uint8_t tag, uint64_t value, unsigned width)
{
    uint8_t bytes[9] = {tag};
    for (unsigned i = 0; i < width; i++)
        bytes[1 + i] = (uint8_t)(value >> (8 * (width - 1 - i)));
    put(p, bytes, 1 + width);
}

void pack_nil(struct packer *p)
{
    put_tagged(p, 0xc0, 0, 0);
}

void pack_bool(struct packer *p, bool value)
{
    put_tagged(p, value ? 0xc3 : 0xc2, 0, 0);
}

void pack_uint(struct packer *p, uint64_t value)
{
    if (value < 0x80)
        put_tagged(p, (uint8_t)value, 0, 0);
    else if (value <= UINT8_MAX)
        put_tagged(p, 0xcc, value, 1);
    else if (value <= UINT16_MAX)
        put_tagged(p, 0xcd, value, 2);
    else if (value <= UINT32_MAX)
        put_tagged(p, 0xce, value, 4);
    else
        put_tagged(p, 0xcf, value, 8);
}

void pack_int(struct packer *p, int64_t value)
{
    if (value >= 0)
        pack_uint(p, (uint64_t)value);
    else if (value >= -32)
        put_tagged(p, (uint8_t)value, 0, 0);
    else if (value >= INT8_MIN)
        put_tagged(p, 0xd0, (uint64_t)value, 1);
    else if (value >= INT16_MIN)
        put_tagged(p, 0xd1, (uint64_t)value, 2);
    else if (value >= INT32_MIN)
        put_tagged(p, 0xd2, (uint64_t)value, 4);
    else
        put_tagged(p, 0xd3, (uint64_t)value, 8);
}

void pack_double(struct packer *p, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    put_tagged(p, 0xcb, bits, 8);
}

void pack_strn(struct packer *p, const void *s, size_t n)
{
    if (n < 32)
        put_tagged(p, (uint8_t)(0xa0 | n), 0, 0);
    else if (n <= UINT8_MAX)
        put_tagged(p, 0xd9, n, 1);
    else if (n <= UINT16_MAX)
        put_tagged(p, 0xda, n, 2);
    else
        put_tagged(p, 0xdb, n, 4);
    pack_raw(p, s, n);
}

void pack_str(struct packer *p, const char *s)
{
    pack_strn(p, s, strlen(s));
}

void pack_bin(struct packer *p, const void *data, size_t n)
{
    if (n <= UINT8_MAX)
        put_tagged(p, 0xc4, n, 1);
    else if (n <= UINT16_MAX)
        put_tagged(p, 0xc5, n, 2);
    else
        put_tagged(p, 0xc6, n, 4);
    pack_raw(p, data, n);
}

void pack_array(struct packer *p, uint32_t count)
{
    if (count < 16)
        put_tagged(p, (uint8_t)(0x90 | count), 0, 0);
    else if (count <= UINT16_MAX)
        put_tagged(p, 0xdc, count, 2);
    else
        put_tagged(p, 0xdd, count, 4);
}

void pack_map(struct packer *p, uint32_t count)
{
    if (count < 16)
        put_tagged(p, (uint8_t)(0x80 | count), 0, 0);
    else if (count <= UINT16_MAX)
        put_tagged(p, 0xde, count, 2);
    else
        put_tagged(p, 0xdf, count, 4);
}

/* Lengths are 32 bits on the wire: anything longer cannot be packed. */
void pack_raw(struct packer *p, const void *data, size_t n)
{
    if (n > UINT32_MAX)
        p->full = true;
    put(p, data, n);
}

static int take(struct unpacker *u, unsigned width, uint64_t *ret)
{
    uint64_t value = 0;
    if ((size_t)(u->end - u->at) < width)
        return -1;
    while (width--)
        value = value << 8 | *u->at++;
    *ret = value;
    return 0;
}

static int take_uint(struct unpacker *u, unsigned width, struct value *v)
{
    uint64_t n;
    if (take(u, width, &n) < 0)
        return -1;
    if (n > INT64_MAX)
        *v = (struct value){.type = VALUE_UINT, .uinteger = n};
    else
        *v = (struct value){.type = VALUE_INT, .integer = (int64_t)n};
    return 0;
}

static int take_int(struct unpacker *u, unsigned width, struct value *v)
{
    uint64_t n;
    if (take(u, width, &n) < 0)
        return -1;
    unsigned shift = 64 - 8 * width;
    *v = (struct value){.type = VALUE_INT, .integer = (int64_t)(n << shift) >> shift};
    return 0;
}

static int take_float(struct unpacker *u, unsigned width, struct value *v)
{
    uint64_t n;
    if (take(u, width, &n) < 0)
        return -1;
    v->type = VALUE_DOUBLE;
    if (width == 4) {
        uint32_t bits = (uint32_t)n;
        float f;
        memcpy(&f, &bits, sizeof(f));
        v->number = f;
    } else {
        memcpy(&v->number, &n, sizeof(n));
    }
    return 0;
}

static int take_bytes(struct unpacker *u, enum value_type type, uint64_t n, struct value *v)
{
    if ((size_t)(u->end - u->at) < n)
        return -1;
    *v = (struct value){.type = type, .bytes = bytes_of(u->at, n)};
    u->at += n;
    return 0;
}

static int take_count(struct unpacker *u, enum value_type type, uint64_t n, struct value *v)
{
    if ((uint64_t)(u->end - u->at) / (type == VALUE_MAP ? 2 : 1) < n)
        return -1;
    *v = (struct value){.type = type, .count = (uint32_t)n};
    return 0;
}

int unpack_value(struct unpacker *u, struct value *v)
{
    uint64_t n;
    if (u->at >= u->end)
        return -1;
    uint8_t tag = *u->at++;
    switch (tag) {
    case 0x00 ... 0x7f:
        *v = (struct value){.type = VALUE_INT, .integer = tag};
        return 0;
    case 0x80 ... 0x8f:
        return take_count(u, VALUE_MAP, tag & 0xf, v);
    case 0x90 ... 0x9f:
        return take_count(u, VALUE_ARRAY, tag & 0xf, v);
    case 0xa0 ... 0xbf:
        return take_bytes(u, VALUE_STR, tag & 0x1f, v);
    case 0xc0:
        *v = (struct value){.type = VALUE_NIL};
        return 0;
    case 0xc2 ... 0xc3:
        *v = (struct value){.type = VALUE_BOOL, .boolean = tag == 0xc3};
        return 0;
    case 0xc4 ... 0xc6:
        return take(u, 1u << (tag - 0xc4), &n) < 0 ? -1 : take_bytes(u, VALUE_BIN, n, v);
    case 0xca ... 0xcb:
        return take_float(u, tag == 0xca ? 4 : 8, v);
    case 0xcc ... 0xcf:
        return take_uint(u, 1u << (tag - 0xcc), v);
    case 0xd0 ... 0xd3:
        return take_int(u, 1u << (tag - 0xd0), v);
    case 0xd9 ... 0xdb:
        return take(u, 1u << (tag - 0xd9), &n) < 0 ? -1 : take_bytes(u, VALUE_STR, n, v);
    case 0xdc ... 0xdd:
        return take(u, tag == 0xdc ? 2 : 4, &n) < 0 ? -1 : take_count(u, VALUE_ARRAY, n, v);
    case 0xde ... 0xdf:
        return take(u, tag == 0xde ? 2 : 4, &n) < 0 ? -1 : take_count(u, VALUE_MAP, n, v);
    case 0xe0 ... 0xff:
        *v = (struct value){.type = VALUE_INT, .integer = (int8_t)tag};
        return 0;
    default: /* 0xc1 is never used; extension types */
        return -1;
    }
}

int unpack_skip(struct unpacker *u, struct bytes *ret)
{
    const uint8_t *from = u->at;
    for (uint64_t pending = 1; pending; pending--) {
        struct value v;
        if (unpack_value(u, &v) < 0)
            return -1;
        if (v.type == VALUE_ARRAY)
            pending += v.count;
        else if (v.type == VALUE_MAP)
            pending += 2 * (uint64_t)v.count;
        if (pending - 1 > (uint64_t)(u->end - u->at))
            return -1;
    }
    if (ret)
        *ret = bytes_of(from, (size_t)(u->at - from));
    return 0;
}

int unpack_bool(struct unpacker *u, bool *ret)
{
    struct value v;
    if (unpack_value(u, &v) < 0 || v.type != VALUE_BOOL)
        return -1;
    *ret = v.boolean;
    return 0;
}

int unpack_int(struct unpacker *u, int64_t *ret)
{
    struct value v;
    if (unpack_value(u, &v) < 0 || v.type != VALUE_INT)
        return -1;
    *ret = v.integer;
    return 0;
}

int unpack_uint(struct unpacker *u, uint64_t *ret)
{
    struct value v;
    if (unpack_value(u, &v) < 0 || (v.type != VALUE_UINT && (v.type != VALUE_INT || v.integer < 0)))
        return -1;
    *ret = v.type == VALUE_UINT ? v.uinteger : (uint64_t)v.integer;
    return 0;
}

int unpack_bytes(struct unpacker *u, struct bytes *ret)
{
    struct value v;
    if (unpack_value(u, &v) < 0 || (v.type != VALUE_STR && v.type != VALUE_BIN))
        return -1;
    *ret = v.bytes;
    return 0;
}

static int take_container(struct unpacker *u, enum value_type type, uint32_t *ret)
{
    struct value v;
    if (unpack_value(u, &v) < 0 || v.type != type)
        return -1;
    *ret = v.count;
    return 0;
}

int unpack_array(struct unpacker *u, uint32_t *ret)
{
    return take_container(u, VALUE_ARRAY, ret);
}

int unpack_map(struct unpacker *u, uint32_t *ret)
{
    return take_container(u, VALUE_MAP, ret);
}
