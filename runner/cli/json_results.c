/* The inverse of report/json.c. Bytes from anywhere: a member that is missing or of another type counts as empty. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/merge_input.h"
#include "events/payload.h"

#define LEVELS_MAX 64
#define META_MAX   ((size_t)1 << 20)

static char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? xstrdup(text) : NULL;
}

static int64_t integer_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void pack_json(struct packer *p, const json_t *value, int level)
{
    const char *key;
    size_t i;
    json_t *item;
    switch (level < LEVELS_MAX ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        pack_map(p, (uint32_t)json_object_size(value));
        json_object_foreach((json_t *)value, key, item)
        {
            pack_str(p, key);
            pack_json(p, item, level + 1);
        }
        break;
    case JSON_ARRAY:
        pack_array(p, (uint32_t)json_array_size(value));
        json_array_foreach(value, i, item) pack_json(p, item, level + 1);
        break;
    case JSON_STRING:
        pack_strn(p, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        pack_int(p, json_integer_value(value));
        break;
    case JSON_REAL:
        pack_double(p, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        pack_bool(p, json_is_true(value));
        break;
    case JSON_NULL:
        pack_nil(p);
        break;
    }
}

/* As the event that the test ended with. */
static void take_test(struct file_result *r, const json_t *test)
{
    static const char *const kinds[] = {"test_passed", "test_failed", "test_skipped"};
    static const char *const copied[] = {"name", "traceback", "file", "line", "log", "meta"};
    const char *status = json_string_value(json_object_get(test, "status"));
    bool flaky = json_is_true(json_object_get(test, "flaky"));
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    _cleanup_buf_ struct buf packed = BUF_INIT(EVENT_FRAME_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
        _cleanup_buf_ struct buf value = BUF_INIT(EVENT_FRAME_MAX);
        struct packer to = {.to = &value};
        const json_t *member = json_object_get(test, copied[i]);
        if (!member)
            continue;
        pack_json(&to, member, 0);
        payload_add_packed(&p, copied[i], bytes_of(buf_head(&value), value.len));
    }
    _cleanup_free_ char *message = text_of(test, "message"), *reason = text_of(test, "reason"), *console = text_of(test, "console");
    const char *why = message ? message : reason ? reason : "";
    payload_add_text(&p, "reason", why);
    payload_add_text(&p, "console_excerpt", console);
    payload_add_bool(&p, "flaky", flaky);
    payload_add_text(&p, "earlier", *why ? why : "failed in an earlier attempt");
    payload_add_int(&p, "duration_ns", integer_of(test, "duration_ms") * NS_PER_MS);
    payload_write(&p, &packed);
    struct event ev = {.payload = bytes_of(buf_head(&packed), packed.len)};
    for (int i = TEST_PASSED; i <= TEST_SKIPPED; i++)
        if (status && !strcmp(status, test_status_name(i))) {
            ev.kind = bytes_str(kinds[i]);
            file_result_take(r, &ev);
        }
}

static struct file_result *take_file(const json_t *object)
{
    size_t i;
    json_t *test;
    const char *status = json_string_value(json_object_get(object, "status"));
    struct file_result *r = file_result_new(json_string_value(json_object_get(object, "path")));
    json_array_foreach(json_object_get(object, "tests"), i, test) take_test(r, test);
    r->chunk_error = text_of(object, "chunk_error");
    r->detail = text_of(object, "detail");
    r->duration_ns = integer_of(object, "duration_ms") * NS_PER_MS;
    r->attempt = (unsigned)integer_of(object, "attempts");
    r->repeat = (unsigned)integer_of(object, "repeat");
    for (int s = FILE_PASSED; s <= FILE_CRASHED; s++)
        if (status && !strcmp(status, file_status_name(s)))
            r->status = s;
    return r;
}

static void count(struct run_totals *t, const struct file_result *r)
{
    run_totals_add(t, r);
    t->duration_ns += r->duration_ns; /* when they ran at once is not known */
}

void json_results_add(struct replay *r, const json_t *object)
{
    struct file_result *file = take_file(object);
    count(&r->record.totals, file);
    run_record_add(&r->record, file);
}

/* One line. Its seed is taken out first: it may be larger than what JSON libraries hold. */
static json_t *parse_line(const char *line, size_t n, uint64_t *ret_seed, json_error_t *problem)
{
    static const char key[] = "\"seed\":";
    _cleanup_free_ char *copy = xstrndup(line, n);
    char *seed = NULL;
    for (char *at = copy; (at = strstr(at, key)); at += strlen(key))
        seed = at + strlen(key); /* the last one: earlier ones are a test's meta */
    size_t digits = seed ? strspn(seed, "0123456789") : 0;
    if (digits) {
        *ret_seed = strtoull(seed, NULL, 10);
        memset(seed, ' ', digits);
        *seed = '0';
    }
    return json_loads(copy, 0, problem);
}

int json_results_read(const struct buf *text, struct replay *ret, struct err *e)
{
    struct replay r = {.completed = true};
    size_t line = 0;
    const char *at = (const char *)buf_head(text), *end = at + text->len;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        json_error_t problem;
        json_t *object = parse_line(at, (size_t)((newline ? newline : end) - at), &r.record.seed, &problem);
        line++;
        if (!json_is_string(json_object_get(object, "path"))) {
            err_set(e, EINVAL, "line %zu is no result of a file: %s", line, object ? "it has no path" : problem.text);
            json_decref(object);
            replay_done(&r);
            return -1;
        }
        json_results_add(&r, object);
        if (!r.record.shard) {
            r.record.shard = text_of(object, "shard");
            r.record.input_hash = text_of(object, "input_hash");
        }
        json_decref(object);
        at = newline ? newline + 1 : end;
    }
    if (!r.record.shard || !r.record.input_hash) {
        replay_done(&r);
        return err_set(e, EINVAL, "no result names its shard");
    }
    *ret = r;
    return 0;
}
