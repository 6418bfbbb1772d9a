/* The frame of our HTML pages: one file without anything from elsewhere. A Content-Security-Policy keeps it from
 * loading anything, whatever tests have printed. */
#pragma once

#include "base/buf.h"

void page_begin(struct buf *out, const char *title);
void page_end(struct buf *out);
/* The filter: by text, and by the data-status of tests (`kinds` ends in NULL). */
void page_tools(struct buf *out, const char *text, const char *const *kinds);
/* A part of a bar, as wide as `n`. */
void page_share(struct buf *out, const char *status, size_t n);
