#include "unit.h"

#include <string.h>

#include "events/event.h"
#include "events/payload.h"
#include "events/result.h"

static void put(struct buf *stream, const char *kind, const char *name, const char *reason)
{
    _cleanup_buf_ struct buf payload = BUF_INIT(4096);
    struct packer p = {.to = &payload};
    pack_map(&p, 3);
    pack_str(&p, "name");
    pack_str(&p, name);
    pack_str(&p, "reason");
    pack_str(&p, reason);
    pack_str(&p, "tests");
    pack_array(&p, 2);
    for (const char *test = "a"; *test <= 'b'; test = *test == 'a' ? "b" : "c") {
        pack_map(&p, 1);
        pack_str(&p, "name");
        pack_str(&p, test);
    }
    event_append(stream, 1, bytes_str(kind), bytes_of(buf_head(&payload), payload.len));
}

static void feed(struct file_result *r, struct buf *stream)
{
    struct event ev;
    while (event_next(stream, &ev, NULL) > 0) {
        file_result_take(r, &ev);
        buf_consume(stream, ev.frame.len);
    }
}

static void frames_are_whole_or_not_there(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf stream = BUF_INIT(1 << 16);
    struct event ev;
    put(&stream, "test_failed", "a", "why");
    size_t whole = stream.len;
    for (size_t n = 0; n < whole; n++) {
        struct buf cut = stream;
        cut.len = n;
        assert_int_equal(event_next(&cut, &ev, NULL), 0);
    }
    assert_int_equal(event_next(&stream, &ev, NULL), 1);
    assert_int_equal(ev.frame.len, whole);
    assert_true(event_is(&ev, "test_failed"));
    char *reason = payload_string(ev.payload, "reason");
    assert_string_equal(reason, "why");
    free(reason);
    int64_t missing = 7;
    assert_false(payload_int(ev.payload, "line", &missing));
    assert_int_equal(missing, 7);
}

static void what_is_no_frame_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xff\xff\xff\xff", "\0\0\0\1\x90", "\0\0\0\1\x80", "\0\0\0\3\x81\xa1x"};
    static const size_t sizes[] = {4, 5, 5, 7};
    for (size_t i = 0; i < 4; i++) {
        _cleanup_buf_ struct buf stream = BUF_INIT(64);
        struct event ev;
        buf_append(&stream, bad[i], sizes[i]);
        assert_int_equal(event_next(&stream, &ev, NULL), -1);
    }
}

static void plans_are_known_until_settled(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf stream = BUF_INIT(1 << 16);
    _cleanup_(file_result_freep) struct file_result *r = file_result_new("x.test.lua");
    put(&stream, "worker_tests", "", "");
    put(&stream, "test_started", "a", "");
    feed(r, &stream);
    assert_string_equal(r->running, "a");
    assert_int_equal(r->planned_count, 2);
    assert_non_null(file_result_planned(r, "b"));
    assert_null(file_result_planned(r, "c"));
    put(&stream, "test_failed", "a", "why");
    feed(r, &stream);
    assert_null(r->running);
    assert_true(file_result_has_ended(r, "a"));
    assert_false(file_result_has_ended(r, "b"));
    file_result_settle(r);
    assert_int_equal(r->status, FILE_FAILED);
    assert_int_equal(r->planned_count, 0);
}

static void outcomes_are_counted(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf stream = BUF_INIT(1 << 16);
    _cleanup_(file_result_freep) struct file_result *r = file_result_new("x.test.lua");
    put(&stream, "test_started", "a", "");
    put(&stream, "test_passed", "a", "");
    put(&stream, "test_skipped", "b", "later");
    put(&stream, "vm_spawned", "", "");
    feed(r, &stream);
    file_result_settle(r);
    assert_int_equal(r->status, FILE_PASSED);
    assert_int_equal(r->passed, 1);
    assert_int_equal(r->skipped, 1);
    assert_string_equal(r->tests[1].message, "later");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_whole_or_not_there),
        cmocka_unit_test(what_is_no_frame_is_refused),
        cmocka_unit_test(plans_are_known_until_settled),
        cmocka_unit_test(outcomes_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
