/* Reading a TOML table into a struct by a table of its keys. */
#pragma once

#include <stddef.h>

#include "base/strv.h"
#include "config/toml.h"

enum schema_kind {
    SCHEMA_STRING,    /* char *; not empty */
    SCHEMA_TEXT,      /* char *; may be empty */
    SCHEMA_STRINGS,   /* struct strv of non-empty strings */
    SCHEMA_BOOLEAN,   /* bool */
    SCHEMA_SIZE,      /* uint64_t bytes */
    SCHEMA_DURATION,  /* int64_t ns */
    SCHEMA_COUNT,     /* unsigned, 1 to `max` */
    SCHEMA_WORD,      /* int: index into `words` */
    SCHEMA_TEXT_WORD, /* char *: one of `words` */
    SCHEMA_IGNORE,    /* accepted here, read by the caller */
};

struct schema_key {
    const char *name;
    enum schema_kind kind;
    size_t offset;
    const char *const *words;
    unsigned max;
};

/* Where problems of one file go: complete lines. Wrong types are found while parsing, the rest
 * while validating; the line says which. */
struct schema_report {
    const char *file;
    struct strv *lines;
};

void schema_invalid(const struct schema_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Stores the keys that are there and right; `where` names the table in messages ("[profiles.web]").
 */
void schema_read(const struct schema_report *report, const struct toml_value *table,
                 const char *where, const struct schema_key *keys, size_t count, void *into);
/* Reports a value of the wrong type. */
void schema_wrong_type(const struct schema_report *report, const struct toml_value *value,
                       const char *where, const char *expected);
const struct toml_value *schema_find(const struct toml_value *table, const char *key);
