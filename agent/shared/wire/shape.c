#include "wire/shape.h"

static const void *at(const struct shape_field *f, const void *object)
{
    return (const char *)object + f->offset;
}

static bool present(const struct shape_field *f, const void *object)
{
    switch (f->type) {
    case SHAPE_BOOL:
        return *(const bool *)at(f, object);
    case SHAPE_INT:
    case SHAPE_UINT:
        return *(const uint64_t *)at(f, object) != 0;
    case SHAPE_TEXT:
    case SHAPE_BYTES:
        return ((const struct bytes *)at(f, object))->len != 0;
    }
    return false;
}

void shape_pack(struct packer *p, const struct shape *shape, const void *object)
{
    uint32_t count = 0;
    for (size_t i = 0; i < shape->count; i++)
        count += present(&shape->fields[i], object);
    pack_map(p, count);
    for (size_t i = 0; i < shape->count; i++) {
        const struct shape_field *f = &shape->fields[i];
        if (!present(f, object))
            continue;
        pack_str(p, f->key);
        const struct bytes *b = at(f, object);
        switch (f->type) {
        case SHAPE_BOOL:
            pack_bool(p, true);
            break;
        case SHAPE_INT:
            pack_int(p, *(const int64_t *)at(f, object));
            break;
        case SHAPE_UINT:
            pack_uint(p, *(const uint64_t *)at(f, object));
            break;
        case SHAPE_TEXT:
            pack_strn(p, b->data, b->len);
            break;
        case SHAPE_BYTES:
            pack_bin(p, b->data, b->len);
            break;
        }
    }
}

static int unpack_field(struct unpacker *u, const struct shape_field *f, void *object)
{
    void *to = (char *)object + f->offset;
    switch (f->type) {
    case SHAPE_BOOL:
        return unpack_bool(u, to);
    case SHAPE_INT:
        return unpack_int(u, to);
    case SHAPE_UINT:
        return unpack_uint(u, to);
    case SHAPE_TEXT:
    case SHAPE_BYTES:
        return unpack_bytes(u, to);
    }
    return -1;
}

int shape_unpack(struct bytes packed, const struct shape *shape, void *ret_object)
{
    struct unpacker u = unpacker_of(packed);
    uint32_t count = 0;
    uint64_t seen = 0;
    memset(ret_object, 0, shape->size);
    if (packed.len && unpack_map(&u, &count) < 0)
        return -1;
    while (count--) {
        struct bytes key;
        size_t i = 0;
        if (unpack_bytes(&u, &key) < 0)
            return -1;
        while (i < shape->count && !bytes_is(key, shape->fields[i].key))
            i++;
        if (i == shape->count || seen & UINT64_C(1) << i)
            return -1;
        seen |= UINT64_C(1) << i;
        if (unpack_field(&u, &shape->fields[i], ret_object) < 0)
            return -1;
    }
    return u.at == u.end ? 0 : -1;
}
