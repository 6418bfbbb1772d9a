#include "switch_trio.h"

#define MS NS_PER_MS

static void impair(struct lab *l, struct impairment rule)
{
    assert_int_equal(impair_set(l->b, &rule, NULL), 0);
}

/* Sends frames 0…n-1 from a to b, one per millisecond from `now`, and lists which arrived at once.
 */
static unsigned send_many(struct lab *l, uint32_t n, int64_t now, bool *arrived)
{
    unsigned count = 0;
    memset(arrived, 0, n);
    for (uint32_t i = 0; i < n; i++) {
        lab_send(l->p[0], l->p[1], 60, i, now + i * MS);
        for (int64_t got; (got = lab_receive(l->p[1])) >= 0; count++)
            arrived[got] = true;
    }
    return count;
}

static void loss_is_exact_with_a_seed(void **state)
{
    struct lab *l = *state;
    bool first[1000], second[1000], third[1000];
    impair(l, (struct impairment){.from = "a", .to = "b", .set = IMPAIR_LOSS, .loss = 10});
    impair_seed(l->b, "42");
    unsigned arrived = send_many(l, 1000, 0, first);
    assert_int_equal(arrived, 890); /* pinned: the same seed gives the same drops, for ever */
    assert_int_equal(bridge_stats(l->b)->dropped_loss, 1000 - arrived);
    impair_seed(l->b, "42");
    impair(l, (struct impairment){.from = "c", .set = IMPAIR_LOSS, .loss = 50});
    for (int i = 0; i < 77; i++) /* what others do doesn't matter */
        lab_send(l->p[2], l->p[1], 60, 0, 0);
    lab_drain(l->p[1]);
    send_many(l, 1000, 0, second);
    assert_memory_equal(first, second, sizeof(first));
    impair_seed(l->b, "43");
    send_many(l, 1000, 0, third);
    assert_memory_not_equal(first, third, sizeof(first));
}

static void streams_begin_at_the_name(void **state)
{
    struct lab *l = *state;
    bool mine[500], other[500];
    impair(l, (struct impairment){.from = "a", .to = "b", .set = IMPAIR_LOSS, .loss = 30});
    send_many(l, 500, 0, mine);
    struct lab again;
    again.s = switch_new(2);
    again.b = lab_bridge(again.s, "lan", true);
    again.p[1] = lab_port(again.b, "b"); /* another order of attachment */
    again.p[0] = lab_port(again.b, "a");
    lab_learn(again.p, 2, 0);
    impair(&again, (struct impairment){.set = IMPAIR_LOSS, .loss = 30});
    send_many(&again, 500, 0, other);
    assert_memory_equal(mine, other, sizeof(mine));
    switch_free(again.s);
}

static void certain_and_impossible(void **state)
{
    struct lab *l = *state;
    bool arrived[100];
    impair(l, (struct impairment){.set = IMPAIR_LOSS, .loss = 100});
    assert_int_equal(send_many(l, 100, 0, arrived), 0);
    impair(l, (struct impairment){.set = IMPAIR_LOSS, .loss = 0});
    assert_int_equal(send_many(l, 100, 0, arrived), 100);
    struct impairment rule;
    assert_int_equal(impair_get(l->b, 0, &rule), -1); /* a rule without knobs is gone */
    assert_false(l->b->shaped);
}

static void matching_rules_all_apply(void **state)
{
    struct lab *l = *state;
    static bool arrived[20000];
    impair(l, (struct impairment){.from = "a", .to = "b", .set = IMPAIR_LOSS, .loss = 50});
    impair(l, (struct impairment){.from = "a", .set = IMPAIR_LOSS, .loss = 50});
    impair(l, (struct impairment){.to = "b", .set = IMPAIR_LOSS, .loss = 50});
    impair(l, (struct impairment){.set = IMPAIR_LOSS, .loss = 50});
    unsigned n = send_many(l, 20000, 0, arrived); /* 1/16 = 1250; the seed makes it exact */
    assert_in_range(n, 1100, 1400);
    impair_reset(l->b, 0);
    impair(l,
           (struct impairment){.from = "a", .to = "b", .set = IMPAIR_LATENCY, .latency = 1 * MS});
    impair(l, (struct impairment){.from = "a", .set = IMPAIR_LATENCY, .latency = 2 * MS});
    impair(l, (struct impairment){.to = "b", .set = IMPAIR_LATENCY, .latency = 4 * MS});
    impair(l, (struct impairment){.set = IMPAIR_LATENCY, .latency = 8 * MS});
    lab_send(l->p[0], l->p[1], 60, 1, 0);
    lab_send(l->p[1], l->p[0], 60, 2, 0);
    assert_int_equal(switch_next(l->s), 8 * MS);
    switch_advance(l->s, 8 * MS);
    assert_int_equal(lab_receive(l->p[0]), 2);
    assert_int_equal(switch_next(l->s), 15 * MS);
    switch_advance(l->s, 15 * MS - 1);
    assert_int_equal(lab_receive(l->p[1]), -1);
    switch_advance(l->s, 15 * MS);
    assert_int_equal(lab_receive(l->p[1]), 1);
}

static void one_way_means_one_way(void **state)
{
    struct lab *l = *state;
    impair(l,
           (struct impairment){.from = "a", .to = "b", .set = IMPAIR_LATENCY, .latency = 5 * MS});
    lab_send(l->p[1], l->p[0], 60, 1, 0);
    assert_int_equal(lab_receive(l->p[0]), 1);
    lab_send(l->p[0], l->p[2], 60, 2, 0);
    assert_int_equal(lab_receive(l->p[2]), 2);
    lab_send(l->p[0], l->p[1], 60, 3, 0);
    assert_int_equal(lab_receive(l->p[1]), -1);
}

static void jitter_stays_in_bounds_and_in_order(void **state)
{
    struct lab *l = *state;
    int64_t least = INT64_MAX, most = 0;
    impair(l, (struct impairment){
                  .set = IMPAIR_LATENCY | IMPAIR_JITTER, .latency = 20 * MS, .jitter = 5 * MS});
    for (uint32_t i = 0; i < 2000; i++) { /* far apart: order can't push them */
        int64_t sent = i * 100 * MS;
        lab_send(l->p[0], l->p[1], 60, i, sent);
        int64_t due = switch_next(l->s);
        switch_advance(l->s, due);
        assert_int_equal(lab_receive(l->p[1]), i);
        least = due - sent < least ? due - sent : least;
        most = due - sent > most ? due - sent : most;
    }
    assert_in_range(least, 15 * MS, 15 * MS + MS / 10);
    assert_in_range(most, 25 * MS - MS / 10, 25 * MS);
    int64_t base = 1000000 * MS;
    for (uint32_t i = 0; i < 1000; i++) /* close together: none overtakes another */
        lab_send(l->p[0], l->p[1], 60, i, base + i);
    uint32_t expected = 0;
    while (switch_next(l->s) != INT64_MAX) {
        switch_advance(l->s, switch_next(l->s));
        for (int64_t got; (got = lab_receive(l->p[1])) >= 0;)
            assert_int_equal(got, expected++);
    }
    assert_int_equal(expected, 1000);
}

static void jitter_never_goes_below_zero(void **state)
{
    struct lab *l = *state;
    impair(l, (struct impairment){.set = IMPAIR_JITTER, .jitter = 5 * MS});
    unsigned at_once = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        lab_send(l->p[0], l->p[1], 60, i, i * 100 * MS);
        at_once += lab_drain(l->p[1]);
        switch_advance(l->s, i * 100 * MS + 5 * MS);
        lab_drain(l->p[1]);
    }
    assert_in_range(at_once, 400, 600);
}

static void rate_is_a_serial_queue(void **state)
{
    struct lab *l = *state;
    impair(l, (struct impairment){
                  .from = "a", .to = "b", .set = IMPAIR_RATE, .rate = 8000000}); /* 1 byte/us */
    for (uint32_t i = 0; i < 100; i++)
        lab_send(l->p[0], l->p[1], 1000, i, 0);
    /* the queue is max(64 KiB, 200 ms = 200000 bytes) */
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(switch_next(l->s), (i + 1) * MS);
        switch_advance(l->s, switch_next(l->s));
        assert_int_equal(lab_receive(l->p[1]), i);
    }
    for (uint32_t i = 0; i < 300; i++)
        lab_send(l->p[0], l->p[1], 1000, i, 100 * MS);
    assert_int_equal(bridge_stats(l->b)->dropped_queue, 100);
    switch_advance(l->s, 1000 * MS);
    assert_int_equal(lab_drain(l->p[1]), 200);
    /* idle time is not saved up */
    lab_send(l->p[0], l->p[1], 1000, 1, 2000 * MS);
    assert_int_equal(switch_next(l->s), 2001 * MS);
}

static void slow_rates_queue_64_kib(void **state)
{
    struct lab *l = *state;
    impair(l, (struct impairment){.set = IMPAIR_RATE, .rate = 8000}); /* 1 byte/ms */
    for (uint32_t i = 0; i < 100; i++)
        lab_send(l->p[0], l->p[1], 1024, i, 0);
    assert_int_equal(bridge_stats(l->b)->dropped_queue, 36);
    impair_reset(l->b, 0);
    lab_drain(l->p[1]);
    impair(l, (struct impairment){.set = IMPAIR_RATE, .rate = 8000});
    lab_send(l->p[0], l->p[1], FRAME_MAX, 7, 0); /* larger than the queue, but alone */
    switch_advance(l->s, 100000 * MS);
    assert_int_equal(lab_receive(l->p[1]), 7);
}

static void fractions_of_nanoseconds_add_up(void **state)
{
    struct lab *l = *state;
    impair(l, (struct impairment){.set = IMPAIR_RATE, .rate = 7000000000});
    int64_t now = 0;
    for (uint32_t i = 0; i < 7000; i++) {
        lab_send(l->p[0], l->p[1], 125, i, now);
        if (i % 100 == 99) {
            now = switch_next(l->s);
            while (switch_next(l->s) != INT64_MAX)
                switch_advance(l->s, now = switch_next(l->s));
            lab_drain(l->p[1]);
            now -= 1; /* never idle */
        }
    }
    assert_int_equal(now + 1, 1000000); /* 7000 × 1000 bit at 7 Gbit/s */
}

static void each_rate_has_to_admit(void **state)
{
    struct lab *l = *state;
    impair(l, (struct impairment){.from = "a", .set = IMPAIR_RATE, .rate = 8000000});
    impair(l, (struct impairment){.from = "a", .to = "b", .set = IMPAIR_RATE, .rate = 4000000});
    lab_send(l->p[0], l->p[1], 1000, 1, 0);
    lab_send(l->p[0], l->p[2], 1000, 2, 0);
    assert_int_equal(switch_next(l->s), 2 * MS); /* the slower of the two */
    switch_advance(l->s, 2 * MS);
    assert_int_equal(lab_receive(l->p[1]), 1);
    assert_int_equal(lab_receive(l->p[2]), 2); /* behind the first in the shared bucket */
}

static void an_open_receiver_charges_a_flood_once(void **state)
{
    struct lab *l = *state;
    impair(l, (struct impairment){.from = "a", .set = IMPAIR_RATE, .rate = 8000000});
    lab_send(l->p[0], NULL, 1000, 1, 0);
    switch_advance(l->s, MS);
    assert_int_equal(lab_receive(l->p[1]), 1);
    assert_int_equal(lab_receive(l->p[2]), 1);
    assert_int_equal(switch_next(l->s), INT64_MAX);
    impair_reset(l->b, MS);
    impair(l, (struct impairment){.to = "b", .set = IMPAIR_RATE, .rate = 8000000});
    lab_send(l->p[0], l->p[1], 1000, 1, 10 * MS);
    lab_send(l->p[2], l->p[1], 1000, 2, 10 * MS); /* one bucket for all senders */
    switch_advance(l->s, 11 * MS);
    assert_int_equal(lab_receive(l->p[1]), 1);
    assert_int_equal(lab_receive(l->p[1]), -1);
    switch_advance(l->s, 12 * MS);
    assert_int_equal(lab_receive(l->p[1]), 2);
}

static void duplicates(void **state)
{
    struct lab *l = *state;
    impair(l, (struct impairment){.set = IMPAIR_DUPLICATE, .duplicate = 100});
    lab_send(l->p[0], l->p[1], 60, 5, 0);
    assert_int_equal(lab_receive(l->p[1]), 5);
    assert_int_equal(lab_receive(l->p[1]), 5);
    assert_int_equal(lab_receive(l->p[1]), -1);
    assert_int_equal(bridge_stats(l->b)->duplicated, 1);
    assert_int_equal(bridge_stats(l->b)->delivered, 6 + 2);
}

static void corruption_flips_one_bit_behind_the_header(void **state)
{
    struct lab *l = *state;
    impair(l, (struct impairment){.set = IMPAIR_CORRUPT, .corrupt = 100});
    for (uint32_t i = 0; i < 500; i++) {
        struct frame f = lab_frame(l->p[0], NULL, 64, i), g;
        unsigned bits[2] = {0};
        bridge_input(l->p[0], f, 0);
        for (int k = 0; k < 2; k++) {
            assert_true(queue_pop(&l->p[k + 1]->outlet.queue, &g));
            assert_memory_equal(f.data, g.data, 14);
            for (size_t at = 14; at < f.len; at++)
                bits[k] += (unsigned)__builtin_popcount(f.data[at] ^ g.data[at]);
            assert_int_equal(bits[k], 1);
            frame_unref(g);
        }
        frame_unref(f);
    }
    assert_int_equal(bridge_stats(l->b)->corrupted, 1000);
    lab_send(l->p[0], l->p[1], 14, 0, 0); /* nothing to flip */
    assert_int_equal(lab_receive(l->p[1]), 0);
}

static void reordered_frames_skip_latency(void **state)
{
    struct lab *l = *state;
    impair(l, (struct impairment){
                  .set = IMPAIR_LATENCY | IMPAIR_REORDER, .latency = 10 * MS, .reorder = 25});
    unsigned early = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        lab_send(l->p[0], l->p[1], 60, i, i * 1000);
        early += lab_drain(l->p[1]);
    }
    assert_int_equal(bridge_stats(l->b)->reordered, early);
    assert_in_range(early, 200, 300);
    switch_advance(l->s, 100 * MS);
    assert_int_equal(lab_drain(l->p[1]), 1000 - early);
}

static void without_latency_it_follows_its_successor(void **state)
{
    struct lab *l = *state;
    impair(l, (struct impairment){.set = IMPAIR_REORDER, .reorder = 100});
    lab_send(l->p[0], l->p[1], 60, 1, 0);
    assert_int_equal(lab_receive(l->p[1]), -1);
    lab_send(l->p[0], l->p[1], 60, 2, MS);
    assert_int_equal(lab_receive(l->p[1]), 2);
    assert_int_equal(lab_receive(l->p[1]), 1);
    lab_send(l->p[0], l->p[1], 60, 3, 2 * MS);
    lab_send(l->p[2], l->p[1], 60, 9, 3 * MS); /* another pair's frame is no successor */
    assert_int_equal(lab_receive(l->p[1]), -1);
    switch_advance(l->s, 12 * MS - 1);
    assert_int_equal(lab_receive(l->p[1]), -1);
    switch_advance(l->s, 12 * MS);
    assert_int_equal(lab_receive(l->p[1]), 3);
    switch_advance(l->s, 13 * MS);
    assert_int_equal(lab_receive(l->p[1]), 9);
    assert_int_equal(l->b->held_bytes, 0);
    assert_int_equal(bridge_stats(l->b)->reordered, 3);
}

static void changed_rules_affect_new_frames(void **state)
{
    struct lab *l = *state;
    impair(l, (struct impairment){.set = IMPAIR_LATENCY, .latency = 100 * MS});
    lab_send(l->p[0], l->p[1], 60, 1, 0);
    impair(l, (struct impairment){.set = IMPAIR_LATENCY, .latency = 1 * MS});
    lab_send(l->p[0], l->p[1], 60, 2, 0);
    switch_advance(l->s, MS);
    assert_int_equal(lab_receive(l->p[1]), 2);
    switch_advance(l->s, 100 * MS);
    assert_int_equal(lab_receive(l->p[1]), 1);
}

static void reset_delivers_in_due_order(void **state)
{
    struct lab *l = *state;
    impair(l,
           (struct impairment){.from = "a", .to = "b", .set = IMPAIR_LATENCY, .latency = 100 * MS});
    impair(l, (struct impairment){.from = "c", .set = IMPAIR_LATENCY, .latency = 50 * MS});
    assert_int_equal(bridge_isolate(l->b, "c", true, NULL), 0);
    assert_int_equal(bridge_isolate(l->b, "c", false, NULL), 0);
    lab_send(l->p[0], l->p[1], 60, 1, 0);
    lab_send(l->p[2], l->p[1], 60, 2, 0);
    lab_send(l->p[0], l->p[1], 60, 3, 0);
    impair_reset(l->b, MS);
    assert_int_equal(lab_receive(l->p[1]), 2);
    assert_int_equal(lab_receive(l->p[1]), 1);
    assert_int_equal(lab_receive(l->p[1]), 3);
    assert_int_equal(l->b->held_bytes, 0);
    struct impairment rule;
    assert_int_equal(impair_get(l->b, 0, &rule), -1);
}

static void held_frames_are_bounded(void **state)
{
    struct lab *l = *state;
    impair(l, (struct impairment){.set = IMPAIR_LATENCY, .latency = 1000 * MS});
    uint32_t fit = HELD_BYTES_MAX / 60000;
    for (uint32_t i = 0; i < fit + 5; i++)
        lab_send(l->p[0], l->p[1], 60000, i, 0);
    assert_int_equal(bridge_stats(l->b)->dropped_queue, 5);
    assert_true(l->b->held_bytes <= HELD_BYTES_MAX);
}

static void rules_are_merged_and_listed(void **state)
{
    struct lab *l = *state;
    impair(
        l,
        (struct impairment){
            .from = "a", .to = "b", .set = IMPAIR_LOSS | IMPAIR_RATE, .loss = 1.5, .rate = 1000});
    impair(l, (struct impairment){.from = GATEWAY_NAME, .set = IMPAIR_LATENCY, .latency = 7});
    impair(
        l,
        (struct impairment){
            .from = "a", .to = "b", .set = IMPAIR_LOSS | IMPAIR_CORRUPT, .loss = 0, .corrupt = 2});
    struct impairment rule;
    assert_int_equal(impair_get(l->b, 0, &rule), 0);
    assert_string_equal(rule.from, "a");
    assert_int_equal(rule.set, IMPAIR_RATE | IMPAIR_CORRUPT);
    assert_int_equal(rule.rate, 1000);
    assert_int_equal(impair_get(l->b, 1, &rule), 0);
    assert_string_equal(rule.from, GATEWAY_NAME);
    assert_null(rule.to);
    assert_int_equal(bridge_detach(l->b, "a", NULL), 0); /* takes its pair rules along */
    assert_int_equal(impair_get(l->b, 0, &rule), 0);
    assert_string_equal(rule.from, GATEWAY_NAME);
    assert_int_equal(impair_get(l->b, 1, &rule), -1);
}

static void nonsense_is_refused(void **state)
{
    struct lab *l = *state;
    static const struct {
        struct impairment rule;
        const char *message;
    } cases[] = {
        {{.set = IMPAIR_LOSS, .loss = 101}, "loss must be 0 to 100 percent, not 101"},
        {{.set = IMPAIR_LOSS, .loss = -0.5}, "loss must be 0 to 100 percent, not -0.5"},
        {{.set = IMPAIR_CORRUPT, .corrupt = __builtin_nan("")},
         "corrupt must be 0 to 100 percent, not nan"},
        {{.set = IMPAIR_LATENCY, .latency = -1}, "latency must not be negative"},
        {{.from = "a", .to = "a", .set = IMPAIR_LOSS, .loss = 1}, "from and to are both `a`"},
        {{.from = "x", .set = IMPAIR_LOSS, .loss = 1}, "`x` is not a member of bridge `lan`"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_err_ struct err e = ERR_INIT;
        assert_int_equal(impair_set(l->b, &cases[i].rule, &e), -1);
        assert_string_equal(e.message, cases[i].message);
    }
    struct impairment rule;
    assert_int_equal(impair_get(l->b, 0, &rule), -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_neighbours, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(loss_is_exact_with_a_seed),
        TEST(streams_begin_at_the_name),
        TEST(certain_and_impossible),
        TEST(matching_rules_all_apply),
        TEST(one_way_means_one_way),
        TEST(jitter_stays_in_bounds_and_in_order),
        TEST(jitter_never_goes_below_zero),
        TEST(rate_is_a_serial_queue),
        TEST(slow_rates_queue_64_kib),
        TEST(fractions_of_nanoseconds_add_up),
        TEST(each_rate_has_to_admit),
        TEST(an_open_receiver_charges_a_flood_once),
        TEST(duplicates),
        TEST(corruption_flips_one_bit_behind_the_header),
        TEST(reordered_frames_skip_latency),
        TEST(without_latency_it_follows_its_successor),
        TEST(changed_rules_affect_new_frames),
        TEST(reset_delivers_in_due_order),
        TEST(held_frames_are_bounded),
        TEST(rules_are_merged_and_listed),
        TEST(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
