/* Streams over a source that the test plays, and what is kept of a process's output. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "guest/capture.h"
#include "guest/stream.h"

struct played {
    struct buf coming;
    bool ended, closed;
    size_t frame; /* bytes per take */
};

static size_t take(void *arg, struct buf *to)
{
    struct played *p = arg;
    size_t n = p->coming.len < p->frame ? p->coming.len : p->frame;
    if (n)
        buf_append(to, buf_head(&p->coming), n);
    buf_consume(&p->coming, n);
    return n;
}

static bool ended(void *arg)
{
    struct played *p = arg;
    return p->ended && !p->coming.len;
}

static void closed(void *arg)
{
    struct played *p = arg;
    p->closed = true;
    buf_done(&p->coming);
}

static const struct stream_source source = {.take = take, .ended = ended, .close = closed};

struct fixture {
    struct loop *loop;
    struct played played;
    struct stream *stream;
};

static int setup(void **state)
{
    struct fixture *f = xnew0(struct fixture);
    f->loop = loop_new();
    f->played = (struct played){.coming = BUF_INIT(1 << 26), .frame = 5};
    f->stream = stream_new(f->loop, &source, &f->played, "tail_file", "\"/x\"", "stream closed");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    stream_free(f->stream);
    assert_true(f->played.closed);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void assert_bytes(struct buf *b, const char *text)
{
    assert_int_equal(b->len, strlen(text));
    assert_memory_equal(b->len ? (char *)buf_head(b) : "", text, b->len);
}

static void assert_failure(struct err *e, int code, const char *text)
{
    assert_string_equal(err_message(e), text);
    assert_int_equal(e->code, code);
    err_clear(e);
}

static void frames(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf_ struct buf b = BUF_INIT(100);
    buf_append_str(&f->played.coming, "hello world");
    assert_int_equal(stream_next(f->stream, 0, &b, NULL), 1);
    assert_bytes(&b, "hello");
    assert_int_equal(stream_next(f->stream, 0, &b, NULL), 1);
    assert_bytes(&b, " worl");
    assert_int_equal(stream_next(f->stream, 0, &b, NULL), 1);
    assert_int_equal(stream_next(f->stream, 0, &b, NULL), 0);
    assert_false(stream_eof(f->stream));
    f->played.ended = true;
    assert_true(stream_eof(f->stream));
    assert_int_equal(stream_next(f->stream, DEADLINE_NONE, &b, NULL), 0);
}

static void patterns_straddle_frames(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf_ struct buf b = BUF_INIT(100);
    _cleanup_err_ struct err e = ERR_INIT;
    buf_append(&f->played.coming, "one\0two three", 13);
    assert_int_equal(stream_read_until(f->stream, "\0two t", 6, 0, &b, &e), 0);
    assert_int_equal(b.len, 9);
    assert_memory_equal(buf_head(&b), "one\0two t", 9);
    assert_int_equal(stream_read_until(f->stream, "xyz", 3, 0, &b, &e), -1);
    assert_failure(&e, ETIMEDOUT,
                   "read_until timed out waiting for `xyz`: tail_file(\"/x\") at unknown; last bytes \"hree\"");
    /* Nothing was lost by that. */
    assert_int_equal(stream_read_until(f->stream, "ree", 3, 0, NULL, &e), 0);
    f->played.ended = true;
    buf_append_str(&f->played.coming, "\ttail\"\n");
    stream_set_site(f->stream, "a.test.lua", 7);
    assert_int_equal(stream_read_until(f->stream, "xyz", 3, DEADLINE_NONE, NULL, &e), -1);
    assert_failure(&e, EPIPE, "stream EOF: tail_file(\"/x\") at a.test.lua:7; last bytes \"\\x09tail\\\"\\n\"");
    assert_int_equal(stream_next(f->stream, 0, &b, NULL), 1);
    assert_bytes(&b, "\ttail\"\n");
    assert_true(stream_eof(f->stream));
}

static void count_frame(void *arg, struct buf *frame)
{
    size_t *counts = arg;
    counts[0]++;
    counts[1] += frame->len;
}

static void drain_takes_all(void **state)
{
    struct fixture *f = *state;
    size_t counts[2] = {0};
    buf_append_str(&f->played.coming, "0123456789ab");
    assert_int_equal(stream_read_until(f->stream, "01", 2, 0, NULL, NULL), 0);
    assert_int_equal(stream_drain(f->stream, 0, count_frame, counts, NULL), 0);
    assert_int_equal(counts[0], 3); /* what was pending, and two frames */
    assert_int_equal(counts[1], 10);
}

static void unmatched_is_bounded(void **state)
{
    struct fixture *f = *state;
    _cleanup_err_ struct err e = ERR_INIT;
    size_t n = 20 * 1024 * 1024;
    _cleanup_free_ char *much = xcalloc(1, n);
    f->played.frame = STREAM_FRAME;
    assert_int_equal(buf_append(&f->played.coming, much, n), 0);
    assert_int_equal(stream_read_until(f->stream, "x", 1, 0, NULL, &e), -1);
    assert_int_equal(e.code, EOVERFLOW);
    size_t counts[2] = {0};
    assert_int_equal(stream_drain(f->stream, 0, count_frame, counts, NULL), 0);
    assert_int_equal(counts[1], n);
}

static void closing(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf_ struct buf b = BUF_INIT(100);
    _cleanup_err_ struct err e = ERR_INIT;
    buf_append_str(&f->played.coming, "x");
    stream_close(f->stream);
    stream_close(f->stream);
    assert_true(stream_eof(f->stream));
    assert_int_equal(stream_next(f->stream, DEADLINE_NONE, &b, NULL), 0);
    assert_int_equal(stream_read_until(f->stream, "x", 1, DEADLINE_NONE, NULL, &e), -1);
    assert_failure(&e, EBADF, "stream closed");
}

static void on_timer(struct source *s, void *arg)
{
    struct fixture *f = arg;
    (void)s;
    buf_append_str(&f->played.coming, "late");
    stream_notify(f->stream);
}

static void waiting(void **state)
{
    struct fixture *f = *state;
    loop_add_timer(f->loop, deadline_after(5 * NS_PER_MS), on_timer, f);
    assert_int_equal(stream_read_until(f->stream, "ate", 3, deadline_after(60 * NS_PER_S), NULL, NULL), 0);
}

/* The first bytes for the result, the last ones for a stream, whatever the sizes. */
static void captures(void **state)
{
    (void)state;
    for (size_t step = 1; step < 40; step++) {
        struct capture c;
        uint64_t cursor = 0, late = 0, lost = 0, late_lost = 0;
        size_t sent = 0, seen = 0;
        uint8_t data[64];
        capture_init(&c, 25);
        for (int round = 0; round < 20; round++) {
            _cleanup_buf_ struct buf b = BUF_INIT(1000);
            for (size_t i = 0; i < step; i++)
                data[i] = (uint8_t)(sent + i);
            capture_put(&c, data, step);
            sent += step;
            uint64_t before = lost;
            capture_take(&c, &cursor, &lost, 7, &b);
            seen += lost - before;
            for (size_t i = 0; i < b.len; i++)
                assert_int_equal(buf_head(&b)[i], (uint8_t)seen++);
            assert_int_equal(cursor, seen);
        }
        assert_int_equal(c.total, sent);
        assert_int_equal(c.head.len, sent < 25 ? sent : 25);
        _cleanup_buf_ struct buf rest = BUF_INIT(1000);
        capture_take(&c, &late, &late_lost, 1000, &rest);
        assert_int_equal(rest.len, sent < 25 ? sent : 25);
        assert_int_equal(late_lost + rest.len, sent);
        assert_int_equal(buf_head(&rest)[rest.len - 1], (uint8_t)(sent - 1));
        capture_done(&c);
    }
}

#define WITH_STREAM(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STREAM(frames),
        WITH_STREAM(patterns_straddle_frames),
        WITH_STREAM(drain_takes_all),
        WITH_STREAM(unmatched_is_bounded),
        WITH_STREAM(closing),
        WITH_STREAM(waiting),
        cmocka_unit_test(captures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
