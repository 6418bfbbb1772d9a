/* JSON lines (spec: cli "Output shapes"). */
#include <jansson.h>
#include <math.h>

#include "base/clock.h"
#include "report/report.h"
#include "wire/msgpack.h"

#define LEVELS_MAX 64

static json_t *text_or_null(const char *s)
{
    return s && *s ? json_string(s) : json_null();
}

/* A packed value as JSON; bytes that are not UTF-8 become null. */
static json_t *unpacked(struct unpacker *u, int level)
{
    struct value v;
    if (level > LEVELS_MAX || unpack_value(u, &v) < 0)
        return NULL;
    json_t *out = NULL, *item = NULL;
    switch (v.type) {
    case VALUE_NIL:
        return json_null();
    case VALUE_BOOL:
        return json_boolean(v.boolean);
    case VALUE_INT:
        return json_integer(v.integer);
    case VALUE_UINT:
        return json_integer((json_int_t)v.uinteger);
    case VALUE_DOUBLE:
        return isfinite(v.number) ? json_real(v.number) : json_null();
    case VALUE_STR:
    case VALUE_BIN:
        out = json_stringn((const char *)v.bytes.data, v.bytes.len);
        return out ? out : json_null();
    case VALUE_ARRAY:
        out = json_array();
        for (uint32_t i = 0; i < v.count && (item = unpacked(u, level + 1)); i++)
            json_array_append_new(out, item);
        return out;
    case VALUE_MAP:
        out = json_object();
        for (uint32_t i = 0; i < v.count; i++) {
            struct bytes key;
            if (unpack_bytes(u, &key) < 0 || !(item = unpacked(u, level + 1)))
                break;
            json_object_setn_new(out, (const char *)key.data, key.len, item);
        }
        return out;
    }
    return NULL;
}

static json_t *test_object(const struct test_result *t)
{
    json_t *log = json_array();
    for (size_t i = 0; i < t->log.count; i++)
        json_array_append_new(log, json_string(t->log.items[i]));
    struct unpacker u = {.at = buf_head(&t->meta), .end = buf_head(&t->meta) + t->meta.len};
    json_t *meta = t->meta.len ? unpacked(&u, 0) : json_object();
    return json_pack("{s:s, s:s, s:o, s:o, s:I, s:o, s:o, s:o, s:I, s:o}", "name", t->name, "status",
                     test_status_name(t->status), "message",
                     t->status == TEST_FAILED ? text_or_null(t->message) : json_null(), "log", log, "duration_ms",
                     (json_int_t)(t->duration_ns / NS_PER_MS), "reason",
                     t->status == TEST_SKIPPED ? text_or_null(t->message) : json_null(), "meta",
                     meta ? meta : json_object(), "file", text_or_null(t->file), "line", (json_int_t)t->line,
                     "console", text_or_null(t->console));
}

bool json_report_file(FILE *out, const struct file_result *r, uint64_t seed)
{
    json_t *tests = json_array();
    for (size_t i = 0; i < r->test_count; i++)
        json_array_append_new(tests, test_object(&r->tests[i]));
    json_t *object = json_pack(
        "{s:s, s:s, s:b, s:o, s:o, s:s, s:o, s:I, s:i, s:I}", "path", r->path, "timeout",
        r->status == FILE_TIMED_OUT ? "timed_out" : "in_time", "passed", r->status == FILE_PASSED, "chunk_error",
        text_or_null(r->chunk_error), "tests", tests, "status", file_status_name(r->status), "detail",
        text_or_null(r->detail), "duration_ms", (json_int_t)(r->duration_ns / NS_PER_MS), "attempts",
        (int)r->attempt, "seed", (json_int_t)seed);
    bool written = object && json_dumpf(object, out, JSON_COMPACT) == 0 && fputc('\n', out) != EOF && !fflush(out);
    json_decref(object);
    return written;
}
