#include "switch_trio.h"

static bool passes(struct port *from, struct port *to)
{
    lab_drain(to);
    lab_send(from, to, 60, 1, 0);
    return lab_drain(to) == 1;
}

static void symmetric(void **state)
{
    struct lab *l = *state;
    assert_int_equal(bridge_partition(l->b, "a", "b", false, NULL), 0);
    assert_false(passes(l->p[0], l->p[1]));
    assert_false(passes(l->p[1], l->p[0]));
    assert_true(passes(l->p[0], l->p[2]));
    assert_true(bridge_is_partitioned(l->b, "b", "a"));
    assert_false(bridge_is_partitioned(l->b, "a", "c"));
    assert_int_equal(bridge_stats(l->b)->dropped_partition, 2);
    lab_send(l->p[0], NULL, 60, 1, 0); /* floods don't leak */
    assert_int_equal(lab_drain(l->p[1]), 0);
    assert_int_equal(lab_drain(l->p[2]), 1);
    assert_int_equal(bridge_unpartition(l->b, "a", "b", true, NULL), 0); /* another form: no-op */
    assert_false(passes(l->p[0], l->p[1]));
    assert_int_equal(bridge_unpartition(l->b, "b", "a", false, NULL), 0);
    assert_true(passes(l->p[0], l->p[1]));
    assert_false(l->b->shaped);
}

static void directional(void **state)
{
    struct lab *l = *state;
    assert_int_equal(bridge_partition(l->b, "a", "b", true, NULL), 0);
    assert_false(passes(l->p[0], l->p[1]));
    assert_true(passes(l->p[1], l->p[0]));
    assert_true(bridge_is_partitioned(l->b, "a", "b"));
    assert_false(bridge_is_partitioned(l->b, "b", "a"));
    assert_int_equal(bridge_unpartition(l->b, "a", "b", false, NULL), 0);
    assert_false(passes(l->p[0], l->p[1]));
    assert_int_equal(bridge_unpartition(l->b, "a", "b", true, NULL), 0);
    assert_true(passes(l->p[0], l->p[1]));
    _cleanup_err_ struct err e = ERR_INIT;
    assert_int_equal(bridge_partition(l->b, "a", "x", true, &e), -1);
    assert_string_equal(e.message, "`x` is not a member of bridge `lan`");
    assert_string_equal(e.hint, "call bridge:attach first");
    assert_int_equal(bridge_partition(l->b, "a", "a", false, &e), -1);
}

static void names_before_members(void **state)
{
    struct lab *l = *state;
    assert_int_equal(bridge_partition(l->b, "a", "late", false, NULL), 0);
    assert_true(bridge_is_partitioned(l->b, "late", "a"));
    struct port *late = lab_port(l->b, "late");
    lab_send(late, NULL, 60, 1, 0);
    assert_int_equal(lab_drain(l->p[0]), 0);
    assert_int_equal(lab_drain(l->p[1]), 1);
}

static void everybody(void **state)
{
    struct lab *l = *state;
    bridge_partition_all(l->b);
    assert_true(bridge_is_partitioned(l->b, "a", "never heard of"));
    assert_false(passes(l->p[0], l->p[1]));
    assert_int_equal(bridge_unpartition(l->b, "a", "b", false, NULL), 0); /* exempts the pair */
    assert_true(passes(l->p[0], l->p[1]));
    assert_true(passes(l->p[1], l->p[0]));
    assert_false(passes(l->p[0], l->p[2]));
    struct port *late = lab_port(l->b, "late");
    assert_false(passes(l->p[0], late));
    assert_int_equal(bridge_partition(l->b, "a", "b", false, NULL), 0);
    assert_false(passes(l->p[0], l->p[1]));
    assert_int_equal(bridge_unpartition(l->b, "a", "b", false, NULL), 0);
    bridge_partition_all(l->b); /* every pair, again */
    assert_false(passes(l->p[0], l->p[1]));
    bridge_restore_all(l->b);
    assert_true(passes(l->p[0], l->p[1]));
    assert_false(l->b->shaped);
}

static void detach_keeps_only_symmetric_ones(void **state)
{
    struct lab *l = *state;
    assert_int_equal(bridge_partition(l->b, "a", "b", false, NULL), 0);
    assert_int_equal(bridge_partition(l->b, "c", "a", true, NULL), 0);
    assert_int_equal(bridge_isolate(l->b, "a", true, NULL), 0);
    assert_int_equal(bridge_detach(l->b, "a", NULL), 0);
    assert_false(l->b->isolated);
    lab_port(l->b, "a");
    assert_true(bridge_is_partitioned(l->b, "a", "b"));
    assert_false(bridge_is_partitioned(l->b, "c", "a"));
    assert_true(passes(l->p[2], l->p[0]));
}

static void isolation_cuts_all(void **state)
{
    struct lab *l = *state;
    assert_int_equal(bridge_isolate(l->b, "a", true, NULL), 0);
    assert_int_equal(bridge_isolate(l->b, "a", true, NULL), 0);
    assert_false(passes(l->p[0], l->p[1]));
    assert_false(passes(l->p[2], l->p[0]));
    assert_true(passes(l->p[1], l->p[2]));
    assert_int_equal(bridge_stats(l->b)->dropped_isolation, 2);
    assert_int_equal(bridge_isolate(l->b, "a", false, NULL), 0);
    assert_true(passes(l->p[0], l->p[1]));
    assert_int_equal(bridge_isolate(l->b, "nobody", true, NULL), -1);
}

static void cuts_catch_held_frames(void **state)
{
    struct lab *l = *state;
    struct impairment slow = {.set = IMPAIR_LATENCY, .latency = 10 * NS_PER_MS};
    assert_int_equal(impair_set(l->b, &slow, NULL), 0);
    lab_send(l->p[0], l->p[1], 60, 1, 0);
    lab_send(l->p[0], l->p[2], 60, 2, 0);
    assert_int_equal(bridge_partition(l->b, "a", "b", false, NULL), 0);
    switch_advance(l->s, 10 * NS_PER_MS);
    assert_int_equal(lab_receive(l->p[1]), -1);
    assert_int_equal(lab_receive(l->p[2]), 2);
    assert_int_equal(l->b->held_bytes, 0);
}

/* A guest that forges whatever it likes: source addresses, the victim's included, and every
 * destination. */
static void no_address_gets_around_a_cut(void **state)
{
    struct lab *l = *state;
    assert_int_equal(bridge_partition(l->b, "a", "b", false, NULL), 0);
    for (int from = 0; from < 3; from++) {
        for (int to = 0; to < 3; to++) {
            lab_send_frame(l->p[0], lab_frame(l->p[from], l->p[to], 60, 1), 0);
            lab_send_frame(l->p[0], lab_frame(l->p[from], NULL, 60, 1), 0);
        }
    }
    assert_int_equal(lab_drain(l->p[1]), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_neighbours, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(symmetric),
        TEST(directional),
        TEST(names_before_members),
        TEST(everybody),
        TEST(detach_keeps_only_symmetric_ones),
        TEST(isolation_cuts_all),
        TEST(cuts_catch_held_frames),
        TEST(no_address_gets_around_a_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
