#include "switch_trio.h"

#include "switch/capture.h"

static int setup(void **state)
{
    setup_neighbours(state);
    struct lab *l = *state;
    switch_set_wall_offset(l->s, 1700000000 * NS_PER_S);
    return 0;
}

static struct capture *capture(struct lab *l, struct port *p, struct capture_options o)
{
    struct capture *c = capture_new(l->b, p, &o, NULL);
    assert_non_null(c);
    return c;
}

/* Everything that is buffered, taken out in odd portions. */
static size_t take(struct capture *c, uint8_t *to, size_t max)
{
    struct iovec piece;
    size_t n = 0;
    while (capture_peek(c, &piece, 1)) {
        size_t part = piece.iov_len < 777 ? piece.iov_len : 777;
        assert_true(n + part <= max);
        memcpy(to + n, piece.iov_base, part);
        capture_consume(c, part);
        n += part;
    }
    return n;
}

static unsigned count_records(struct capture *c)
{
    static uint8_t bytes[1 << 20];
    size_t n = take(c, bytes, sizeof(bytes)), at = 24;
    unsigned count = 0;
    for (; at < n; count++) {
        uint32_t len;
        memcpy(&len, bytes + at + 8, 4);
        at += 16 + le32toh(len);
    }
    assert_int_equal(at, n);
    return count;
}

static void the_format_is_classic_pcap(void **state)
{
    struct lab *l = *state;
    uint8_t bytes[256];
    struct capture *us = capture(l, NULL, (struct capture_options){0});
    struct capture *ns = capture(l, NULL, (struct capture_options){.nanoseconds = true});
    lab_send(l->p[0], l->p[1], 60, 7, 123456789);
    assert_int_equal(take(us, bytes, sizeof(bytes)), 24 + 16 + 60);
    assert_memory_equal(
        bytes, "\xd4\xc3\xb2\xa1\x02\x00\x04\x00\0\0\0\0\0\0\0\0\x0d\x00\x01\x00\x01\x00\x00\x00",
        24);
    uint32_t record[4];
    memcpy(record, bytes + 24, 16);
    assert_int_equal(record[0], 1700000000);
    assert_int_equal(record[1], 123456);
    assert_int_equal(record[2], 60);
    assert_int_equal(record[3], 60);
    assert_memory_equal(bytes + 40, l->p[1]->mac, 6);
    take(ns, bytes, sizeof(bytes));
    assert_memory_equal(bytes, "\x4d\x3c\xb2\xa1", 4);
    memcpy(record, bytes + 24, 16);
    assert_int_equal(record[1], 123456789);
}

static void points(void **state)
{
    struct lab *l = *state;
    struct capture *sent = capture(l, NULL, (struct capture_options){0});
    struct capture *delivered = capture(l, NULL, (struct capture_options){.delivered = true});
    struct capture *nic = capture(l, l->p[0], (struct capture_options){0});
    struct impairment loss = {.from = "a", .to = "b", .set = IMPAIR_LOSS, .loss = 100};
    assert_int_equal(impair_set(l->b, &loss, NULL), 0);
    lab_send(l->p[0], NULL, 60, 1, 0);    /* to b: lost; to c: delivered */
    lab_send(l->p[1], l->p[0], 60, 2, 0); /* delivered */
    lab_send(l->p[1], l->p[2], 60, 3, 0); /* delivered, not a's business */
    assert_int_equal(count_records(sent), 3);
    assert_int_equal(count_records(delivered), 3);
    assert_int_equal(count_records(nic), 2);
}

static void filters_are_libpcaps(void **state)
{
    struct lab *l = *state;
    struct capture *c =
        capture(l, NULL, (struct capture_options){.filter = "ether proto 0x88b6 and greater 100"});
    struct capture_stats stats;
    lab_send(l->p[0], l->p[1], 60, 1, 0);
    lab_send(l->p[0], l->p[1], 200, 2, 0);
    assert_int_equal(count_records(c), 1);
    capture_describe(c, &stats);
    assert_int_equal(stats.packets, 1);
    assert_int_equal(stats.bytes, 200);
    assert_int_equal(stats.dropped, 0);
    _cleanup_err_ struct err e = ERR_INIT;
    assert_null(capture_new(l->b, NULL, &(struct capture_options){.filter = "no such thing"}, &e));
    assert_non_null(strstr(e.message, "filter `no such thing`: "));
}

static void a_full_buffer_drops_and_counts(void **state)
{
    struct lab *l = *state;
    struct capture *c = capture(l, NULL, (struct capture_options){0});
    struct capture_stats stats;
    uint64_t fit = (CAPTURE_BUFFER_MAX - 24) / (16 + 60000);
    for (uint64_t i = 0; i < fit + 9; i++) {
        lab_send(l->p[0], l->p[1], 60000, 1, 0);
        lab_drain(l->p[1]);
    }
    capture_describe(c, &stats);
    assert_int_equal(stats.packets, fit);
    assert_int_equal(stats.dropped, 9);
    struct iovec piece;
    while (capture_peek(c, &piece, 1))
        capture_consume(c, piece.iov_len);
    lab_send(l->p[0], l->p[1], 60, 1, 0);
    capture_describe(c, &stats);
    assert_int_equal(stats.packets, fit + 1);
}

static void they_end_with_what_they_belong_to(void **state)
{
    struct lab *l = *state;
    struct capture *bridge = capture(l, NULL, (struct capture_options){0});
    struct capture *nic = capture(l, l->p[0], (struct capture_options){0});
    lab_send(l->p[0], l->p[1], 60, 1, 0);
    assert_int_equal(bridge_detach(l->b, "a", NULL), 0);
    assert_true(capture_is_ended(nic));
    assert_false(capture_is_ended(bridge));
    assert_int_equal(count_records(nic), 1);
    bridge_free(l->b);
    assert_true(capture_is_ended(bridge));
    assert_int_equal(count_records(bridge), 1);
    assert_ptr_equal(switch_capture(l->s, capture_id(bridge)), bridge);
    capture_free(bridge);
    capture_free(nic);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_format_is_classic_pcap),
        TEST(points),
        TEST(filters_are_libpcaps),
        TEST(a_full_buffer_drops_and_counts),
        TEST(they_end_with_what_they_belong_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
