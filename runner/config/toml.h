/* A TOML 1.0 document as a plain C tree. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TOML_TEXT_MAX (1 << 20)

enum toml_type {
    TOML_TABLE,
    TOML_ARRAY,
    TOML_STRING,
    TOML_INTEGER,
    TOML_FLOAT,
    TOML_BOOLEAN,
    TOML_DATE_TIME, /* any of the four; its value is not kept */
};

struct toml_value {
    enum toml_type type;
    unsigned line, column; /* of the value; from 1, columns in characters */
    char *key;             /* member of a table: its name, else NULL */
    size_t key_length;     /* a name or string may hold NUL bytes */
    unsigned key_line, key_column;
    struct toml_value *items; /* table (sorted by key) and array */
    size_t count;
    char *string; /* NUL-terminated */
    size_t length;
    int64_t integer;
    double number;
    bool boolean;
};

/* Fails on anything that is not TOML 1.0; the message ends in "(line L, column C)". */
struct toml_value *toml_parse(const char *text, size_t length, struct err *e);
void toml_free(struct toml_value *root);
/* "a table", "an integer", … */
const char *toml_type_name(enum toml_type type);

DEFINE_CLEANUP(struct toml_value, toml_free)
