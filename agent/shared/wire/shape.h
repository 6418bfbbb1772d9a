/* Shapes: how a plain C struct of scalars is a MessagePack map, from one table used by both ends.
 *
 * A field that is zero, false or empty is left out of the map, and one that is missing reads as that; so a struct has
 * exactly one encoding. Unknown or repeated keys and values of another type are malformed: both ends are built
 * together, and PROTOCOL_VERSION tells when they are not. */
#pragma once

#include "wire/msgpack.h"

enum shape_type {
    SHAPE_BOOL,  /* bool */
    SHAPE_INT,   /* int64_t */
    SHAPE_UINT,  /* uint64_t */
    SHAPE_TEXT,  /* struct bytes, str on the wire: words chosen by us */
    SHAPE_BYTES, /* struct bytes, bin on the wire: paths and other bytes of the guest */
};

struct shape_field {
    const char *key;
    enum shape_type type;
    size_t offset;
};

struct shape {
    const struct shape_field *fields;
    size_t count;
    size_t size; /* of the struct */
};

void shape_pack(struct packer *p, const struct shape *shape, const void *object);
/* Empty input is an empty map. Byte fields borrow from `packed`. */
int shape_unpack(struct bytes packed, const struct shape *shape, void *ret_object);
