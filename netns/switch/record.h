/* Plain structs as MessagePack arrays, field by field in the order of one table that both ends of
 * the control channel share. Both ends are one program, so there are no keys and no versions; but
 * every length is checked. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "wire/msgpack.h"

enum field_kind {
    FIELD_BOOL,
    FIELD_UNSIGNED, /* 2, 4 or 8 bytes */
    FIELD_SIGNED,   /* int64_t */
    FIELD_DOUBLE,
    FIELD_TEXT,   /* char[], NUL-terminated */
    FIELD_BYTES,  /* uint8_t[] */
    FIELD_STRING, /* char *, NULL allowed; malloc'ed when unpacked */
};

struct field {
    enum field_kind kind;
    uint16_t offset, size;
};

struct record {
    const struct field *fields;
    uint16_t count, size;
};

#define FIELD(kind_, type, member)                                                                 \
    {                                                                                              \
        .kind = (kind_), .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)     \
    }
#define RECORD(name, type, ...)                                                                    \
    static const struct field name##_fields[] = {__VA_ARGS__};                                     \
    const struct record name = {name##_fields, ARRAY_SIZE(name##_fields), sizeof(type)}

void record_pack(struct packer *p, const struct record *r, const void *object);
/* -1 with nothing allocated when the bytes don't fit. */
int record_unpack(struct unpacker *u, const struct record *r, void *ret);
/* Frees the strings of an unpacked object. */
void record_done(const struct record *r, void *object);

void records_pack(struct packer *p, const struct record *r, const void *objects, size_t count);
/* At most `max`; *ret is malloc'ed. */
int records_unpack(struct unpacker *u, const struct record *r, size_t max, void **ret,
                   size_t *ret_count);
void records_done(const struct record *r, void *objects, size_t count);
