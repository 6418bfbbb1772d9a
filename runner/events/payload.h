/* Payloads of events: maps of MessagePack, written and read by field. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/strv.h"
#include "wire/msgpack.h"

struct payload {
    struct buf pairs;
    uint32_t count;
    bool full; /* something did not fit: the payload is useless */
};

#define PAYLOAD_INIT ((struct payload){.pairs = BUF_INIT((size_t)16 << 20)})
void payload_done(struct payload *p);
#define _cleanup_payload_ _cleanup_(payload_done)

/* NULL is written as nil; bytes that are not UTF-8 become U+FFFD. */
void payload_add_text(struct payload *p, const char *key, const char *value);
void payload_add_int(struct payload *p, const char *key, int64_t value);
void payload_add_uint(struct payload *p, const char *key, uint64_t value);
void payload_add_double(struct payload *p, const char *key, double value);
void payload_add_bool(struct payload *p, const char *key, bool value);
void payload_add_nil(struct payload *p, const char *key);
void payload_add_strings(struct payload *p, const char *key, const struct strv *values);
void payload_add_amount(struct payload *p, const char *key, uint64_t memory_bytes, uint64_t cpus);
/* A packed value. */
void payload_add_packed(struct payload *p, const char *key, struct bytes value);
/* All fields of a packed map that are not there yet; false when it is no map. */
bool payload_add_all(struct payload *p, struct bytes map);
/* Appends the map. */
void payload_write(const struct payload *p, struct buf *out);

/* A field of a packed map: false when it is absent or of another type; outputs are then untouched. */
bool payload_value(struct bytes map, const char *key, struct bytes *ret_packed);
bool payload_bytes(struct bytes map, const char *key, struct bytes *ret);
bool payload_int(struct bytes map, const char *key, int64_t *ret);
bool payload_bool(struct bytes map, const char *key, bool *ret);
bool payload_double(struct bytes map, const char *key, double *ret);
/* As a malloc'ed string, "" when absent. */
char *payload_string(struct bytes map, const char *key);
/* Appends the strings of an array. */
void payload_strings(struct bytes map, const char *key, struct strv *out);

/* Appends a packed value as JSON. Bytes that are not UTF-8 become U+FFFD, numbers that JSON lacks null; what is
 * malformed, or deeper than 64 levels, ends as null. */
void json_append_packed(struct buf *out, struct bytes packed);
