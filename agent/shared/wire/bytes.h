/* A borrowed run of bytes: valid as long as the memory it points into. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data;
    size_t len;
};

static inline struct bytes bytes_of(const void *p, size_t n)
{
    return (struct bytes){.data = p, .len = n};
}

static inline struct bytes bytes_str(const char *s)
{
    return bytes_of(s, s ? strlen(s) : 0);
}

static inline bool bytes_is(struct bytes b, const char *s)
{
    return b.len == strlen(s) && !memcmp(b.data, s, b.len);
}
