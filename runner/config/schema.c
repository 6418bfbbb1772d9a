#include "config/schema.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "config/values.h"

static const char *const expected_names[] = {
    [SCHEMA_STRING] = "a string",
    [SCHEMA_TEXT] = "a string",
    [SCHEMA_STRINGS] = "an array of strings",
    [SCHEMA_BOOLEAN] = "true or false",
    [SCHEMA_SIZE] = "a size such as \"512M\" or a number of bytes",
    [SCHEMA_DURATION] = "a number of seconds or a duration such as \"30s\"",
    [SCHEMA_COUNT] = "an integer",
    [SCHEMA_WORD] = "a string",
    [SCHEMA_TEXT_WORD] = "a string",
};

void schema_invalid(const struct schema_report *report, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    _cleanup_free_ char *message = xvasprintf(format, args);
    va_end(args);
    strv_addf(report->lines, "invalid config in `%s`: %s", report->file, message);
}

void schema_wrong_type(const struct schema_report *report, const struct toml_value *value,
                       const char *where, const char *expected)
{
    bool wrong_items = value->type == TOML_ARRAY && str_starts_with(expected, "an array");
    strv_addf(report->lines, "parse `%s`: `%s` in %s must be %s, not %s (line %u, column %u)",
              report->file, value->key, where, expected,
              wrong_items ? "an array of other values" : toml_type_name(value->type), value->line,
              value->column);
}

static void bad_value(const struct schema_report *report, const struct toml_value *value,
                      const char *where, const char *what)
{
    schema_invalid(report, "`%s` in %s: %s (line %u, column %u)", value->key, where, what,
                   value->line, value->column);
}

static bool key_is(const struct toml_value *value, const char *name)
{
    return !strcmp(value->key, name) && value->key_length == strlen(name);
}

const struct toml_value *schema_find(const struct toml_value *table, const char *key)
{
    for (size_t i = 0; i < table->count; i++)
        if (key_is(&table->items[i], key))
            return &table->items[i];
    return NULL;
}

/* The problem of a string, or NULL. */
static const char *string_problem(const struct toml_value *string, bool may_be_empty)
{
    if (strlen(string->string) != string->length)
        return "holds a NUL character";
    if (!string->length && !may_be_empty)
        return "is empty";
    return NULL;
}

static bool type_fits(enum schema_kind kind, const struct toml_value *value)
{
    switch (kind) {
    case SCHEMA_STRINGS:
        for (size_t i = 0; value->type == TOML_ARRAY && i < value->count; i++)
            if (value->items[i].type != TOML_STRING)
                return false;
        return value->type == TOML_ARRAY;
    case SCHEMA_BOOLEAN:
        return value->type == TOML_BOOLEAN;
    case SCHEMA_SIZE:
        return value->type == TOML_INTEGER || value->type == TOML_STRING;
    case SCHEMA_DURATION:
        return value->type == TOML_INTEGER || value->type == TOML_FLOAT ||
               value->type == TOML_STRING;
    case SCHEMA_COUNT:
        return value->type == TOML_INTEGER;
    default:
        return value->type == TOML_STRING;
    }
}

static int read_size(const struct toml_value *value, uint64_t *into, struct err *e)
{
    if (value->type == TOML_STRING)
        return size_parse(value->string, into, e);
    if (value->integer < 0)
        return err_set(
            e, 0, "invalid size `%" PRId64 "`, expected for example \"512M\", \"1.5G\" or 4096",
            value->integer);
    *into = (uint64_t)value->integer;
    return 0;
}

static int read_duration(const struct toml_value *value, int64_t *into, struct err *e)
{
    if (value->type == TOML_STRING)
        return duration_parse(value->string, into, e);
    return duration_from_seconds(value->type == TOML_FLOAT ? value->number : (double)value->integer,
                                 into, e);
}

static int read_strings(const struct toml_value *value, struct strv *into, struct err *e)
{
    for (size_t i = 0; i < value->count; i++) {
        const char *problem = string_problem(&value->items[i], false);
        if (problem)
            return err_set(e, 0, "entry %zu %s", i + 1, problem);
        strv_add(into, value->items[i].string);
    }
    return 0;
}

static int read_value(const struct schema_key *key, const struct toml_value *value, void *field,
                      struct err *e)
{
    int index;
    const char *problem =
        value->type == TOML_STRING ? string_problem(value, key->kind == SCHEMA_TEXT) : NULL;
    if (problem)
        return err_set(e, 0, "%s", problem);
    switch (key->kind) {
    case SCHEMA_STRINGS:
        return read_strings(value, field, e);
    case SCHEMA_BOOLEAN:
        *(bool *)field = value->boolean;
        return 0;
    case SCHEMA_SIZE:
        return read_size(value, field, e);
    case SCHEMA_DURATION:
        return read_duration(value, field, e);
    case SCHEMA_COUNT:
        if (value->integer < 1 || value->integer > key->max)
            return err_set(e, 0, "invalid value `%" PRId64 "`, accepted: 1 to %u", value->integer,
                           key->max);
        *(unsigned *)field = (unsigned)value->integer;
        return 0;
    case SCHEMA_WORD:
        return word_parse(value->string, key->words, field, e);
    case SCHEMA_TEXT_WORD:
        if (word_parse(value->string, key->words, &index, e) < 0)
            return -1;
        break;
    default:
        break;
    }
    free(*(char **)field);
    *(char **)field = xstrdup(value->string);
    return 0;
}

static void unknown_key(const struct schema_report *report, const struct toml_value *value,
                        const char *where, const struct schema_key *keys, size_t count)
{
    const char *names[64];
    _cleanup_strv_ struct strv accepted = STRV_INIT;
    for (size_t i = 0; i < count; i++) {
        names[i] = keys[i].name;
        strv_add(&accepted, names[i]);
    }
    _cleanup_free_ char *list = strv_join(&accepted, ", ");
    const char *nearest = str_nearest(value->key, names, count);
    schema_invalid(report, "unknown key `%s` in %s; accepted: %s%s%s%s (line %u, column %u)",
                   value->key, where, list, nearest ? "; did you mean `" : "",
                   nearest ? nearest : "", nearest ? "`?" : "", value->key_line, value->key_column);
}

void schema_read(const struct schema_report *report, const struct toml_value *table,
                 const char *where, const struct schema_key *keys, size_t count, void *into)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct toml_value *value = &table->items[i];
        const struct schema_key *key = NULL;
        for (size_t k = 0; k < count && !key; k++)
            if (key_is(value, keys[k].name))
                key = &keys[k];
        if (!key) {
            unknown_key(report, value, where, keys, count);
        } else if (key->kind == SCHEMA_IGNORE) {
            continue;
        } else if (!type_fits(key->kind, value)) {
            schema_wrong_type(report, value, where, expected_names[key->kind]);
        } else {
            _cleanup_err_ struct err e = ERR_INIT;
            if (read_value(key, value, (char *)into + key->offset, &e) < 0)
                bad_value(report, value, where, err_message(&e));
        }
    }
}
