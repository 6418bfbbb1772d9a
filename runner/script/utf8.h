#pragma once

#include <stddef.h>

/* Offset of the first byte that does not begin a well-formed UTF-8 sequence (RFC 3629: no surrogates, no overlong
 * forms, at most U+10FFFF), or `n` when all is well. */
size_t utf8_invalid_offset(const char *s, size_t n);
/* Writes the encoding of a code point (at most 0x10FFFF); returns 1 to 4. */
size_t utf8_put(char out[4], unsigned code_point);
