/* Growable arrays of owned strings, always NULL-terminated so that they can serve as argv, and a few
 * questions about strings. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

struct strv {
    char **items; /* NULL, or count strings and a NULL */
    size_t count, cap;
};

#define STRV_INIT ((struct strv){0})

void strv_done(struct strv *v);
void strv_add(struct strv *v, const char *s);
void strv_take(struct strv *v, char *s);
void strv_addf(struct strv *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool strv_contains(const struct strv *v, const char *s);
/* Bytewise ascending; strv_unique expects a sorted vector. */
void strv_sort(struct strv *v);
void strv_unique(struct strv *v);
/* "a, b, c"; malloc'ed. */
char *strv_join(const struct strv *v, const char *separator);

bool str_starts_with(const char *s, const char *prefix);
bool str_ends_with(const char *s, const char *suffix);
/* The candidate nearest to `s` by edit distance, for "did you mean"; NULL when none is near. */
const char *str_nearest(const char *s, const char *const *candidates, size_t count);
/* Joins with one slash unless `name` is absolute. malloc'ed. */
char *path_join(const char *directory, const char *name);
/* Relative to the current directory unless absolute. malloc'ed. */
char *path_absolute(const char *path);
/* Directory part without the final slash ("." when there is none). malloc'ed. */
char *path_directory(const char *path);

#define _cleanup_strv_ _cleanup_(strv_done)
