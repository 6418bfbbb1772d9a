#include "switch/record.h"

#include <string.h>

#include "base/alloc.h"

static uint64_t load(const void *at, size_t size)
{
    uint64_t v = 0; /* little-endian hosts only, as are the guests we run */
    memcpy(&v, at, size);
    return v;
}

void record_pack(struct packer *p, const struct record *r, const void *object)
{
    pack_array(p, r->count);
    for (unsigned i = 0; i < r->count; i++) {
        const struct field *f = &r->fields[i];
        const char *at = (const char *)object + f->offset;
        switch (f->kind) {
        case FIELD_BOOL:
            pack_bool(p, *(const bool *)at);
            break;
        case FIELD_UNSIGNED:
            pack_uint(p, load(at, f->size));
            break;
        case FIELD_SIGNED:
            pack_int(p, *(const int64_t *)at);
            break;
        case FIELD_DOUBLE:
            pack_double(p, *(const double *)at);
            break;
        case FIELD_TEXT:
            pack_str(p, at);
            break;
        case FIELD_BYTES:
            pack_bin(p, at, f->size);
            break;
        case FIELD_STRING:
            if (*(char *const *)at)
                pack_str(p, *(char *const *)at);
            else
                pack_nil(p);
            break;
        }
    }
}

static int unpack_string(struct unpacker *u, char **ret)
{
    struct value v;
    if (unpack_value(u, &v) < 0 || (v.type != VALUE_STR && v.type != VALUE_NIL))
        return -1;
    *ret = v.type == VALUE_STR ? xstrndup((const char *)v.bytes.data, v.bytes.len) : NULL;
    return 0;
}

static int unpack_field(struct unpacker *u, const struct field *f, char *at)
{
    uint64_t number;
    struct bytes bytes;
    switch (f->kind) {
    case FIELD_BOOL:
        return unpack_bool(u, (bool *)at);
    case FIELD_UNSIGNED:
        if (unpack_uint(u, &number) < 0 || (f->size < 8 && number >> (8 * f->size)))
            return -1;
        memcpy(at, &number, f->size);
        return 0;
    case FIELD_SIGNED:
        return unpack_int(u, (int64_t *)at);
    case FIELD_DOUBLE: {
        struct value v;
        if (unpack_value(u, &v) < 0 || v.type != VALUE_DOUBLE)
            return -1;
        *(double *)at = v.number;
        return 0;
    }
    case FIELD_TEXT:
        if (unpack_bytes(u, &bytes) < 0 || bytes.len >= f->size)
            return -1;
        memcpy(at, bytes.data, bytes.len);
        return 0;
    case FIELD_BYTES:
        if (unpack_bytes(u, &bytes) < 0 || bytes.len != f->size)
            return -1;
        memcpy(at, bytes.data, bytes.len);
        return 0;
    case FIELD_STRING:
        return unpack_string(u, (char **)at);
    }
    return -1;
}

int record_unpack(struct unpacker *u, const struct record *r, void *ret)
{
    uint32_t count;
    memset(ret, 0, r->size);
    if (unpack_array(u, &count) < 0 || count != r->count)
        return -1;
    for (unsigned i = 0; i < r->count; i++) {
        if (unpack_field(u, &r->fields[i], (char *)ret + r->fields[i].offset) < 0) {
            record_done(r, ret);
            return -1;
        }
    }
    return 0;
}

void record_done(const struct record *r, void *object)
{
    for (unsigned i = 0; i < r->count; i++)
        if (r->fields[i].kind == FIELD_STRING)
            free(*(char **)((char *)object + r->fields[i].offset));
    memset(object, 0, r->size);
}

void records_pack(struct packer *p, const struct record *r, const void *objects, size_t count)
{
    pack_array(p, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        record_pack(p, r, (const char *)objects + i * r->size);
}

int records_unpack(struct unpacker *u, const struct record *r, size_t max, void **ret,
                   size_t *ret_count)
{
    uint32_t count;
    if (unpack_array(u, &count) < 0 || count > max)
        return -1;
    char *objects = xcalloc(count, r->size);
    for (uint32_t i = 0; i < count; i++) {
        if (record_unpack(u, r, objects + (size_t)i * r->size) < 0) {
            records_done(r, objects, i);
            return -1;
        }
    }
    *ret = objects;
    *ret_count = count;
    return 0;
}

void records_done(const struct record *r, void *objects, size_t count)
{
    for (size_t i = 0; i < count; i++)
        record_done(r, (char *)objects + i * r->size);
    free(objects);
}
