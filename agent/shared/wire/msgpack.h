/* MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md), the subset without extension types.
 *
 * The packer appends to a buf and always chooses the shortest form. The unpacker is a cursor over borrowed bytes: it
 * allocates nothing, never recurses, and rejects a container that claims more items than there are bytes left. */
#pragma once

#include "base/buf.h"
#include "wire/bytes.h"

struct packer {
    struct buf *to;
    bool full; /* something did not fit the buffer's maximum: what was packed is useless */
};

void pack_nil(struct packer *p);
void pack_bool(struct packer *p, bool value);
void pack_int(struct packer *p, int64_t value);
void pack_uint(struct packer *p, uint64_t value);
void pack_double(struct packer *p, double value);
void pack_str(struct packer *p, const char *s);
void pack_strn(struct packer *p, const void *s, size_t n);
void pack_bin(struct packer *p, const void *data, size_t n);
/* To be followed by `count` values, or `count` pairs of key and value. */
void pack_array(struct packer *p, uint32_t count);
void pack_map(struct packer *p, uint32_t count);
/* Values that are packed already. */
void pack_raw(struct packer *p, const void *data, size_t n);

enum value_type {
    VALUE_NIL,
    VALUE_BOOL,
    VALUE_INT,  /* anything that fits int64_t */
    VALUE_UINT, /* above INT64_MAX */
    VALUE_DOUBLE,
    VALUE_STR,
    VALUE_BIN,
    VALUE_ARRAY, /* the items follow */
    VALUE_MAP,   /* the pairs follow */
};

struct value {
    enum value_type type;
    union {
        bool boolean;
        int64_t integer;
        uint64_t uinteger;
        double number;
        struct bytes bytes;
        uint32_t count;
    };
};

struct unpacker {
    const uint8_t *at, *end;
};

static inline struct unpacker unpacker_of(struct bytes b)
{
    return (struct unpacker){.at = b.data, .end = b.data ? b.data + b.len : NULL};
}

/* Each returns 0, or -1 when the bytes are malformed, cut short or of another type; the cursor is then undefined. */
int unpack_value(struct unpacker *u, struct value *ret);
/* One whole value, with everything inside it; `ret` (may be NULL) gets its bytes. */
int unpack_skip(struct unpacker *u, struct bytes *ret);
int unpack_bool(struct unpacker *u, bool *ret);
int unpack_int(struct unpacker *u, int64_t *ret);
int unpack_uint(struct unpacker *u, uint64_t *ret);
/* str or bin. */
int unpack_bytes(struct unpacker *u, struct bytes *ret);
int unpack_array(struct unpacker *u, uint32_t *ret);
int unpack_map(struct unpacker *u, uint32_t *ret);
