/* UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
#pragma once

#include <stddef.h>

#include "base/buf.h"

/* Bytes of the well-formed sequence that `s` begins with, or 0. */
size_t utf8_length(const char *s, size_t n);
/* Offset of the first byte that does not begin a well-formed sequence, or `n` when all is well. */
size_t utf8_invalid_offset(const char *s, size_t n);
/* Writes the encoding of a code point (at most 0x10FFFF); returns 1 to 4. */
size_t utf8_put(char out[4], unsigned code_point);
/* Appends the text with each bad byte as U+FFFD; -1 when `out` is full. */
int utf8_append_clean(struct buf *out, const char *s, size_t n);
/* The same as a malloc'ed string. */
char *utf8_clean(const char *s);
