#include "events/result.h"

#include <string.h>

#include "base/alloc.h"

#define META_MAX ((size_t)1 << 20)

struct file_result *file_result_new(const char *path)
{
    struct file_result *r = xnew0(struct file_result);
    r->path = xstrdup(path);
    r->attempt = 1;
    return r;
}

static void test_result_done(struct test_result *t)
{
    free(t->name);
    free(t->message);
    free(t->traceback);
    free(t->console);
    free(t->file);
    strv_done(&t->log);
    buf_done(&t->meta);
}

void file_result_free(struct file_result *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->test_count; i++)
        test_result_done(&r->tests[i]);
    free(r->tests);
    free(r->path);
    free(r->chunk_error);
    free(r->detail);
    free(r->stderr_tail);
    free(r->running);
    strv_done(&r->registered);
    free(r);
}

static struct test_result *add_test(struct file_result *r, enum test_status status)
{
    if (r->test_count == r->test_capacity) {
        r->test_capacity = r->test_capacity ? 2 * r->test_capacity : 8;
        r->tests = xreallocarray(r->tests, r->test_capacity, sizeof(*r->tests));
    }
    struct test_result *t = &r->tests[r->test_count++];
    *t = (struct test_result){.status = status, .meta = BUF_INIT(META_MAX)};
    r->passed += status == TEST_PASSED;
    r->failed += status == TEST_FAILED;
    r->skipped += status == TEST_SKIPPED;
    free(r->running);
    r->running = NULL;
    return t;
}

static void take_strings(struct bytes map, const char *key, struct strv *out)
{
    struct bytes packed, item;
    uint32_t count;
    if (!payload_value(map, key, &packed))
        return;
    struct unpacker u = unpacker_of(packed);
    if (unpack_array(&u, &count) < 0)
        return;
    while (count-- && !unpack_bytes(&u, &item))
        strv_take(out, xstrndup((const char *)item.data, item.len));
}

static void take_outcome(struct file_result *r, const struct event *ev, enum test_status status)
{
    struct test_result *t = add_test(r, status);
    struct bytes meta;
    t->name = payload_string(ev->payload, "name");
    if (status != TEST_PASSED)
        t->message = payload_string(ev->payload, "reason");
    t->traceback = payload_string(ev->payload, "traceback");
    t->console = payload_string(ev->payload, "console_excerpt");
    t->file = payload_string(ev->payload, "file");
    payload_int(ev->payload, "line", &t->line);
    payload_int(ev->payload, "duration_ns", &t->duration_ns);
    take_strings(ev->payload, "log", &t->log);
    if (payload_value(ev->payload, "meta", &meta))
        buf_append(&t->meta, meta.data, meta.len);
}

void file_result_take(struct file_result *r, const struct event *ev)
{
    if (event_is(ev, "worker_tests")) {
        take_strings(ev->payload, "tests", &r->registered);
    } else if (event_is(ev, "worker_chunk_error")) {
        free(r->chunk_error);
        r->chunk_error = payload_string(ev->payload, "message");
    } else if (event_is(ev, "worker_timed_out")) {
        r->status = FILE_TIMED_OUT;
    } else if (event_is(ev, "test_started")) {
        free(r->running);
        r->running = payload_string(ev->payload, "name");
    } else if (event_is(ev, "test_passed")) {
        take_outcome(r, ev, TEST_PASSED);
    } else if (event_is(ev, "test_failed")) {
        take_outcome(r, ev, TEST_FAILED);
    } else if (event_is(ev, "test_skipped")) {
        take_outcome(r, ev, TEST_SKIPPED);
    }
}

static bool has_ended(const struct file_result *r, const char *name)
{
    for (size_t i = 0; i < r->test_count; i++)
        if (!strcmp(r->tests[i].name, name))
            return true;
    return false;
}

void file_result_crash(struct file_result *r, const char *reason)
{
    if (r->status != FILE_TIMED_OUT)
        r->status = FILE_CRASHED;
    free(r->detail);
    r->detail = xstrdup(reason);
    if (r->running) {
        char *name = xstrdup(r->running);
        struct test_result *t = add_test(r, TEST_FAILED);
        t->name = name;
        t->message = xstrdup(reason);
    }
    for (size_t i = 0; i < r->registered.count; i++) {
        if (has_ended(r, r->registered.items[i]))
            continue;
        struct test_result *t = add_test(r, TEST_FAILED);
        t->name = xstrdup(r->registered.items[i]);
        t->message = xasprintf("failed-due-to-poisoned-state: %s", reason);
    }
}

void file_result_settle(struct file_result *r)
{
    if (r->status == FILE_PASSED && (r->failed || r->chunk_error))
        r->status = FILE_FAILED;
}

const char *test_status_name(enum test_status status)
{
    static const char *const names[] = {"passed", "failed", "skipped"};
    return names[status];
}

const char *file_status_name(enum file_status status)
{
    static const char *const names[] = {"passed", "failed", "timed_out", "crashed"};
    return names[status];
}
