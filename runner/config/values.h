/* The value rules shared by provium.toml, the command line and the Lua boundary: sizes, durations,
 * paths and words from a fixed list. Pure functions; errors quote the input and give an example. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

/* Bytes from "4096", "512M", "1.5GiB", "20gb": digits, or digits with an optional fraction and K,
 * M, G or T (powers of 1024), optionally followed by B or iB. A fraction of a byte is dropped. */
int size_parse(const char *text, uint64_t *ret_bytes, struct err *e);
/* "512MiB", "1.50GiB", "17B"; malloc'ed. */
char *size_format(uint64_t bytes);

/* Nanoseconds from "250ms", "1.5s", "5m", "2h" or a bare number of seconds. */
int duration_parse(const char *text, int64_t *ret_ns, struct err *e);
/* Refuses negative numbers, NaN and what does not fit. */
int duration_from_seconds(double seconds, int64_t *ret_ns, struct err *e);
/* "300s", "1.5s", "250ms"; malloc'ed. */
char *duration_format(int64_t ns);

/* Index of `text` in the NULL-terminated `words`; the error lists them. */
int word_parse(const char *text, const char *const *words, int *ret_index, struct err *e);

/* A path as written by the user: relative to `directory`, a leading "~/" is `home` (NULL: error),
 * empty refused. Nothing else is expanded. *ret_path is malloc'ed. */
int path_resolve(const char *text, const char *directory, const char *home, char **ret_path,
                 struct err *e);
/* `text` with each `token` replaced by `value`; malloc'ed. */
char *text_replace(const char *text, const char *token, const char *value);
