/* Writing JSON text (RFC 8259). */
#pragma once

#include <stddef.h>

#include "base/buf.h"

/* A quoted string. Control characters are escaped; bytes that are not UTF-8 become U+FFFD. */
int json_append_string(struct buf *b, const char *bytes, size_t n);
/* The same for a NUL-terminated string; NULL is written as null. */
int json_append_text(struct buf *b, const char *s);
