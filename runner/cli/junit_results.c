/* The inverse of report/junit.c, for what it writes and no other XML: no CDATA, no entities of its own. A file becomes the
 * object that --json would have written, as far as JUnit tells: of meta only scalars, as text. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "cli/merge_input.h"

#define TEXT_MAX ((size_t)64 << 20)

enum token { TOKEN_OPEN, TOKEN_CLOSE, TOKEN_TEXT, TOKEN_END, TOKEN_BAD };

struct reader {
    const char *at, *end;
    char name[32];      /* of the element */
    bool empty;         /* <name/> */
    json_t *attributes; /* of the newest TOKEN_OPEN */
    struct buf text;
};

/* ------------------------------------------------------------------------------------------------- XML */

/* Appends text with its references resolved. */
static void unescape(struct buf *out, const char *s, size_t n)
{
    static const char *const entities[][2] = {{"lt;", "<"}, {"gt;", ">"}, {"amp;", "&"}, {"quot;", "\""}, {"apos;", "'"}};
    const char *end = s + n;
    while (s < end) {
        bool found = *s != '&';
        if (found)
            buf_append_byte(out, (uint8_t)*s++);
        for (size_t i = 0; !found && i < ARRAY_SIZE(entities); i++) {
            size_t size = strlen(entities[i][0]);
            if ((size_t)(end - s) > size && !memcmp(s + 1, entities[i][0], size)) {
                buf_append_str(out, entities[i][1]);
                s += 1 + size;
                found = true;
            }
        }
        if (!found && end - s > 3 && s[1] == '#') {
            char digits[8] = "", utf8[4];
            const char *stop = memchr(s, ';', (size_t)(end - s) < 10 ? (size_t)(end - s) : 10);
            if (stop)
                memcpy(digits, s + 2, (size_t)(stop - s - 2) < 7 ? (size_t)(stop - s - 2) : 7);
            unsigned long code = strtoul(digits, NULL, 10);
            if (stop && code && code <= 0x10ffff) {
                buf_append(out, utf8, utf8_put(utf8, (unsigned)code));
                s = stop + 1;
                found = true;
            }
        }
        if (!found)
            buf_append_byte(out, (uint8_t)*s++);
    }
}

/* ` name="value"` … up to the end of the tag. */
static bool read_attributes(struct reader *r, const char *s, const char *end)
{
    json_object_clear(r->attributes);
    for (;;) {
        while (s < end && strchr(" \n\t\r", *s))
            s++;
        if (s == end)
            return true;
        const char *equals = memchr(s, '=', (size_t)(end - s));
        const char *close = equals && end - equals > 2 && equals[1] == '"' ? memchr(equals + 2, '"', (size_t)(end - equals - 2)) : NULL;
        if (!close)
            return false;
        _cleanup_buf_ struct buf value = BUF_INIT(TEXT_MAX);
        unescape(&value, equals + 2, (size_t)(close - equals - 2));
        _cleanup_free_ char *name = xstrndup(s, (size_t)(equals - s)), *text = buf_steal_str(&value);
        json_object_set_new(r->attributes, name, json_string(text));
        s = close + 1;
    }
}

static enum token next_token(struct reader *r)
{
    if (r->at >= r->end)
        return TOKEN_END;
    if (*r->at != '<') {
        const char *stop = memchr(r->at, '<', (size_t)(r->end - r->at));
        stop = stop ? stop : r->end;
        buf_clear(&r->text);
        unescape(&r->text, r->at, (size_t)(stop - r->at));
        r->at = stop;
        return TOKEN_TEXT;
    }
    const char *start = r->at + 1, *stop = memchr(start, '>', (size_t)(r->end - start));
    if (!stop)
        return TOKEN_BAD;
    r->at = stop + 1;
    if (*start == '?' || *start == '!')
        return next_token(r); /* the declaration, and our comment */
    bool closing = *start == '/';
    start += closing;
    r->empty = !closing && stop > start && stop[-1] == '/';
    stop -= r->empty;
    size_t size = 0;
    while (start + size < stop && !strchr(" \n\t\r", start[size]))
        size++;
    if (!size || size >= sizeof(r->name))
        return TOKEN_BAD;
    memcpy(r->name, start, size);
    r->name[size] = '\0';
    if (closing)
        return TOKEN_CLOSE;
    return read_attributes(r, start + size, stop) ? TOKEN_OPEN : TOKEN_BAD;
}

/* ------------------------------------------------------------------------------------------------- results */

static bool is(const struct reader *r, const char *name)
{
    return !strcmp(r->name, name);
}

static const char *attribute(const struct reader *r, const char *name)
{
    const char *value = json_string_value(json_object_get(r->attributes, name));
    return value ? value : "";
}

static json_t *milliseconds(const struct reader *r)
{
    double seconds = strtod(attribute(r, "time"), NULL);
    return json_integer(seconds > 0 && seconds < 1e12 ? (json_int_t)(seconds * 1000 + 0.5) : 0);
}

/* Of a test, a part of its meta; before the first test, one of the file. */
static void take_property(struct reader *r, json_t *file, json_t *test)
{
    const char *name = attribute(r, "name"), *value = attribute(r, "value");
    json_t *meta = json_object_get(test, "meta");
    if (meta)
        json_object_set_new(meta, name, json_string(value));
    else if (!strcmp(name, "attempts") || !strcmp(name, "repeat"))
        json_object_set_new(file, name, json_integer((json_int_t)strtoul(value, NULL, 10)));
}

static void open_element(struct reader *r, json_t *file, json_t *test)
{
    if (is(r, "testcase")) {
        json_object_clear(test);
        json_object_set_new(test, "name", json_string(attribute(r, "name")));
        json_object_set_new(test, "file", json_string(attribute(r, "file")));
        json_object_set_new(test, "line", json_integer(strtoll(attribute(r, "line"), NULL, 10)));
        json_object_set_new(test, "duration_ms", milliseconds(r));
        json_object_set_new(test, "status", json_string("passed"));
        json_object_set_new(test, "meta", json_object());
    } else if (is(r, "property")) {
        take_property(r, file, test);
    } else if (is(r, "failure")) {
        json_object_set_new(test, "status", json_string("failed"));
    } else if (is(r, "skipped")) {
        json_object_set_new(test, "status", json_string("skipped"));
        json_object_set_new(test, "reason", json_string(attribute(r, "message")));
    } else if (is(r, "flakyFailure")) {
        json_object_set_new(test, "flaky", json_true());
    } else if (is(r, "error")) {
        json_object_set_new(test, "status", json_string("error"));
        json_object_set_new(file, "status", json_string(attribute(r, "type")));
    }
}

static void close_element(struct reader *r, json_t *file, json_t *test)
{
    _cleanup_free_ char *text = xstrndup((const char *)buf_head(&r->text), r->text.len);
    const char *status = json_string_value(json_object_get(file, "status"));
    if (is(r, "failure") || is(r, "flakyFailure")) {
        json_object_set_new(test, "message", json_string(text));
    } else if (is(r, "error")) {
        json_object_set_new(file, status && !strcmp(status, "failed") ? "chunk_error" : "detail", json_string(text));
    } else if (is(r, "system-out")) {
        json_t *log = json_array();
        json_array_append_new(log, json_string(text));
        json_object_set_new(test, "log", log);
    } else if (is(r, "system-err")) {
        json_object_set_new(test, "console", json_string(text));
    } else if (is(r, "testcase")) {
        const char *verdict = json_string_value(json_object_get(test, "status"));
        if (verdict && strcmp(verdict, "error"))
            json_array_append_new(json_object_get(file, "tests"), json_copy(test));
        if (verdict && !strcmp(verdict, "failed") && status && !strcmp(status, "passed"))
            json_object_set_new(file, "status", json_string("failed"));
    }
}

static void begin_suite(struct reader *r, json_t *file, json_t *test)
{
    json_object_clear(file);
    json_object_clear(test);
    json_object_set_new(file, "path", json_string(attribute(r, "name")));
    json_object_set_new(file, "status", json_string("passed"));
    json_object_set_new(file, "duration_ms", milliseconds(r));
    json_object_set_new(file, "attempts", json_integer(1));
    json_object_set_new(file, "repeat", json_integer(1));
    json_object_set_new(file, "tests", json_array());
}

/* <!-- provium shard 1/4 hash … seed … --> */
static bool read_comment(const struct buf *text, struct run_record *record)
{
    static const char begin[] = "<!-- provium shard ";
    char shard[16], hash[80];
    unsigned long long seed;
    _cleanup_free_ char *head = xstrndup((const char *)buf_head(text), text->len < 512 ? text->len : 512);
    const char *at = strstr(head, begin);
    if (!at || sscanf(at + strlen(begin), "%15s hash %79s seed %llu -->", shard, hash, &seed) != 3)
        return false;
    record->shard = xstrdup(shard);
    record->input_hash = xstrdup(hash);
    record->seed = seed;
    return true;
}

int junit_results_read(const struct buf *text, struct replay *ret, struct err *e)
{
    struct replay replay = {.completed = true};
    const char *head = (const char *)buf_head(text);
    struct reader r = {.at = head, .end = head + text->len, .attributes = json_object(), .text = BUF_INIT(TEXT_MAX)};
    json_t *file = json_object(), *test = json_object();
    enum token token = TOKEN_BAD;
    if (read_comment(text, &replay.record)) {
        while ((token = next_token(&r)) < TOKEN_END) {
            if (token == TOKEN_OPEN) {
                buf_clear(&r.text);
                if (is(&r, "testsuite"))
                    begin_suite(&r, file, test);
                else
                    open_element(&r, file, test);
            }
            if ((token == TOKEN_OPEN && r.empty) || token == TOKEN_CLOSE) {
                close_element(&r, file, test);
                if (is(&r, "testsuite") && json_object_get(file, "path")) {
                    json_results_add(&replay, file);
                    json_object_clear(file);
                }
                buf_clear(&r.text);
            }
        }
    }
    json_decref(file);
    json_decref(test);
    json_decref(r.attributes);
    buf_done(&r.text);
    if (token == TOKEN_END) {
        *ret = replay;
        return 0;
    }
    replay_done(&replay);
    return err_set(e, EINVAL, "no JUnit XML of provium");
}
