#include "events/result.h"

#include <string.h>

#include "base/alloc.h"
#include "events/payload.h"

#define META_MAX ((size_t)1 << 20)

void run_totals_add(struct run_totals *t, const struct file_result *r)
{
    t->files++;
    t->files_bad += r->status != FILE_PASSED;
    t->passed += r->passed;
    t->failed += r->failed;
    t->skipped += r->skipped;
    t->flaky += r->flaky;
}

struct file_result *file_result_new(const char *path)
{
    struct file_result *r = xnew0(struct file_result);
    r->path = xstrdup(path);
    r->attempt = r->repeat = 1;
    r->running_meta = BUF_INIT(META_MAX);
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

static void forget_plan(struct file_result *r)
{
    for (size_t i = 0; i < r->planned_count; i++) {
        free(r->planned[i].name);
        free(r->planned[i].file);
        buf_done(&r->planned[i].meta);
    }
    free(r->planned);
    r->planned = NULL;
    r->planned_count = 0;
}

void file_result_free(struct file_result *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->test_count; i++)
        test_result_done(&r->tests[i]);
    free(r->tests);
    free(r->path);
    free(r->source);
    free(r->chunk_error);
    free(r->detail);
    free(r->stdout_tail);
    free(r->stderr_tail);
    free(r->running);
    buf_done(&r->running_meta);
    forget_plan(r);
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

static void take_start(struct file_result *r, const struct event *ev)
{
    struct bytes meta;
    free(r->running);
    r->running = payload_string(ev->payload, "name");
    r->running_since = ev->ts;
    buf_clear(&r->running_meta);
    if (payload_value(ev->payload, "meta", &meta))
        buf_append(&r->running_meta, meta.data, meta.len);
}

static void take_outcome(struct file_result *r, const struct event *ev, enum test_status status)
{
    struct test_result *t = add_test(r, status);
    struct bytes meta;
    t->name = payload_string(ev->payload, "name");
    payload_bool(ev->payload, "flaky", &t->flaky);
    if (status != TEST_PASSED || t->flaky)
        t->message = payload_string(ev->payload, t->flaky ? "earlier" : "reason");
    r->flaky += t->flaky;
    t->traceback = payload_string(ev->payload, "traceback");
    t->console = payload_string(ev->payload, "console_excerpt");
    t->file = payload_string(ev->payload, "file");
    payload_int(ev->payload, "line", &t->line);
    payload_int(ev->payload, "duration_ns", &t->duration_ns);
    payload_strings(ev->payload, "log", &t->log);
    if (payload_value(ev->payload, "meta", &meta))
        buf_append(&t->meta, meta.data, meta.len);
}

static void take_plan(struct file_result *r, const struct event *ev)
{
    struct bytes packed, test, meta;
    uint32_t count;
    if (r->planned || !payload_value(ev->payload, "tests", &packed))
        return;
    struct unpacker u = unpacker_of(packed);
    if (unpack_array(&u, &count) < 0)
        return;
    r->planned = xnewa(struct planned_test, (size_t)count + 1);
    while (count-- && unpack_skip(&u, &test) == 0) {
        struct planned_test *t = &r->planned[r->planned_count++];
        *t = (struct planned_test){.meta = BUF_INIT(META_MAX)};
        t->name = payload_string(test, "name");
        t->file = payload_string(test, "file");
        payload_int(test, "line", &t->line);
        if (payload_value(test, "meta", &meta))
            buf_append(&t->meta, meta.data, meta.len);
    }
}

static void take_dispatch(struct file_result *r, const struct event *ev)
{
    int64_t attempt = 1, worker = 0;
    payload_int(ev->payload, "attempt", &attempt);
    payload_int(ev->payload, "worker", &worker);
    r->attempt = (unsigned)attempt;
    r->worker = (unsigned)worker;
    r->started = ev->ts;
}

static void take_completion(struct file_result *r, const struct event *ev)
{
    struct bytes status = {0};
    payload_bytes(ev->payload, "status", &status);
    for (int i = FILE_PASSED; i <= FILE_CRASHED; i++)
        if (bytes_is(status, file_status_name(i)))
            r->status = i;
    payload_int(ev->payload, "duration_ns", &r->duration_ns);
    payload_int(ev->payload, "waited_ns", &r->waited_ns);
    r->ended = ev->ts;
    if (!r->started)
        r->started = ev->ts;
    _cleanup_free_ char *detail = payload_string(ev->payload, "detail");
    char **where = r->status == FILE_FAILED ? &r->chunk_error : &r->detail;
    if (*detail && !r->chunk_error && !r->detail)
        *where = steal_ptr(detail);
}

void file_result_take(struct file_result *r, const struct event *ev)
{
    if (event_is(ev, "worker_tests")) {
        take_plan(r, ev);
    } else if (event_is(ev, "worker_chunk_error")) {
        free(r->chunk_error);
        r->chunk_error = payload_string(ev->payload, "message");
    } else if (event_is(ev, "worker_timed_out")) {
        r->status = FILE_TIMED_OUT;
    } else if (event_is(ev, "worker_interrupted")) {
        r->status = FILE_FAILED;
        free(r->detail);
        r->detail = payload_string(ev->payload, "message");
    } else if (event_is(ev, "test_started")) {
        take_start(r, ev);
    } else if (event_is(ev, "test_passed")) {
        take_outcome(r, ev, TEST_PASSED);
    } else if (event_is(ev, "test_failed")) {
        take_outcome(r, ev, TEST_FAILED);
    } else if (event_is(ev, "test_skipped")) {
        take_outcome(r, ev, TEST_SKIPPED);
    } else if (event_is(ev, "file_dispatched")) {
        take_dispatch(r, ev);
    } else if (event_is(ev, "file_completed")) {
        take_completion(r, ev);
    }
}

const struct planned_test *file_result_planned(const struct file_result *r, const char *name)
{
    for (size_t i = 0; i < r->planned_count; i++)
        if (!strcmp(r->planned[i].name, name))
            return &r->planned[i];
    return NULL;
}

bool file_result_has_ended(const struct file_result *r, const char *name)
{
    for (size_t i = 0; i < r->test_count; i++)
        if (!strcmp(r->tests[i].name, name))
            return true;
    return false;
}

void file_result_settle(struct file_result *r)
{
    if (r->status == FILE_PASSED && (r->failed || r->chunk_error))
        r->status = FILE_FAILED;
    forget_plan(r);
}

void run_totals_describe(struct payload *p, const struct run_totals *t, int exit_code, bool interrupted)
{
    payload_add_int(p, "exit_code", exit_code);
    payload_add_int(p, "duration_ns", t->duration_ns);
    payload_add_uint(p, "files", t->files);
    payload_add_uint(p, "files_failed", t->files_bad);
    payload_add_uint(p, "passed", t->passed);
    payload_add_uint(p, "failed", t->failed);
    payload_add_uint(p, "skipped", t->skipped);
    payload_add_uint(p, "flaky", t->flaky);
    payload_add_uint(p, "not_run", t->files_not_run);
    payload_add_bool(p, "interrupted", interrupted);
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
