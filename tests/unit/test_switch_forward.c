#include "switch_trio.h"

static void learns_and_floods(void **state)
{
    struct lab *l = *state;
    lab_send(l->p[0], l->p[1], 60, 1, 0); /* b is unknown yet */
    assert_int_equal(lab_receive(l->p[1]), 1);
    assert_int_equal(lab_receive(l->p[2]), 1);
    assert_int_equal(lab_receive(l->p[0]), -1);
    lab_send(l->p[1], l->p[0], 60, 2, 0);
    assert_int_equal(lab_receive(l->p[0]), 2);
    assert_int_equal(lab_receive(l->p[2]), -1);
    lab_send(l->p[0], l->p[1], 60, 3, 0);
    assert_int_equal(lab_receive(l->p[1]), 3);
    assert_int_equal(lab_receive(l->p[2]), -1);
    lab_send(l->p[0], NULL, 60, 4, 0);
    assert_int_equal(lab_receive(l->p[1]), 4);
    assert_int_equal(lab_receive(l->p[2]), 4);
    const struct bridge_stats *stats = bridge_stats(l->b);
    assert_int_equal(stats->frames, 4);
    assert_int_equal(stats->bytes, 240);
    assert_int_equal(stats->delivered, 6);
}

static void flooding_shares_the_bytes(void **state)
{
    struct lab *l = *state;
    struct frame f = lab_frame(l->p[0], NULL, 1500, 1), g;
    bridge_input(l->p[0], f, 0);
    assert_int_equal(f.slab->references, 3);
    for (int i = 1; i < 3; i++) {
        assert_true(queue_pop(&l->p[i]->outlet.queue, &g));
        assert_ptr_equal(g.data, f.data);
        frame_unref(g);
    }
    frame_unref(f);
}

static void addresses_age_and_move(void **state)
{
    struct lab *l = *state;
    lab_learn(l->p, 3, 0);
    lab_send(l->p[0], l->p[1], 60, 1, MAC_TABLE_AGE_NS);
    assert_int_equal(lab_receive(l->p[2]), -1);
    lab_drain(l->p[1]);
    lab_send(l->p[0], l->p[1], 60, 1, MAC_TABLE_AGE_NS + 1);
    assert_int_equal(lab_receive(l->p[2]), 1);
    lab_drain(l->p[1]);
    /* c speaks with b's address: from now on it gets b's frames */
    struct frame f = lab_frame(l->p[1], NULL, 60, 0);
    bridge_input(l->p[2], f, MAC_TABLE_AGE_NS + 2);
    frame_unref(f);
    lab_drain(l->p[0]);
    lab_drain(l->p[1]);
    lab_send(l->p[0], l->p[1], 60, 5, MAC_TABLE_AGE_NS + 3);
    assert_int_equal(lab_receive(l->p[2]), 5);
    assert_int_equal(lab_receive(l->p[1]), -1);
}

static void a_full_table_floods(void **state)
{
    struct lab *l = *state;
    lab_learn(l->p, 3, 0);
    struct frame f = lab_frame(l->p[0], l->p[0], 60, 0);
    for (uint32_t i = 0; i < 2 * MAC_TABLE_MAX; i++) {
        put32(f.data + 8, i);
        bridge_input(l->p[0], f, 1);
        lab_drain(l->p[1]);
        lab_drain(l->p[2]);
    }
    frame_unref(f);
    assert_int_equal(l->b->macs.count, MAC_TABLE_MAX);
    lab_send(l->p[0], l->p[1], 60, 1, 2); /* learned before the flood: still known */
    assert_int_equal(lab_receive(l->p[1]), 1);
    assert_int_equal(lab_receive(l->p[2]), -1);
    struct port *late = lab_port(l->b, "late");
    lab_send(late, NULL, 60, 0, 3);
    lab_learn(l->p, 0, 0);
    for (int i = 0; i < 3; i++)
        lab_drain(l->p[i]);
    lab_send(l->p[0], late, 60, 7, 4);
    assert_int_equal(lab_receive(l->p[1]), 7);
    assert_int_equal(lab_receive(late), 7);
    /* when the old ones have expired there is room again */
    lab_send(late, NULL, 60, 0, MAC_TABLE_AGE_NS + 5);
    for (int i = 0; i < 3; i++)
        lab_drain(l->p[i]);
    lab_send(l->p[0], late, 60, 8, MAC_TABLE_AGE_NS + 5);
    assert_int_equal(lab_receive(l->p[1]), -1);
    assert_int_equal(lab_receive(late), 8);
}

static void limits_of_length(void **state)
{
    struct lab *l = *state;
    static const struct {
        size_t len;
        bool passes;
    } cases[] = {{13, false}, {14, true}, {60, true}, {FRAME_MAX, true}, {FRAME_MAX + 1, false}};
    unsigned errors = 0;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct frame f = frame_new(cases[i].len);
        memset(f.data, 0xff, cases[i].len);
        bridge_input(l->p[0], f, 0);
        frame_unref(f);
        errors += !cases[i].passes;
        assert_int_equal(lab_drain(l->p[1]), cases[i].passes);
        lab_drain(l->p[2]);
        assert_int_equal(bridge_stats(l->b)->errors, errors);
        assert_int_equal(port_counters(l->p[0])->errors, errors);
    }
}

static void bytes_pass_untouched(void **state)
{
    struct lab *l = *state;
    struct frame f = lab_frame(l->p[0], NULL, 9018, 0), g;
    put16(f.data + 12, 0x8100); /* VLAN tag, jumbo */
    for (size_t i = 14; i < f.len; i++)
        f.data[i] = (uint8_t)(i * 7);
    struct frame copy = frame_copy(f);
    lab_send_frame(l->p[0], f, 0);
    assert_true(queue_pop(&l->p[1]->outlet.queue, &g));
    assert_int_equal(g.len, copy.len);
    assert_memory_equal(g.data, copy.data, copy.len);
    frame_unref(g);
    frame_unref(copy);
}

static void only_pause_is_consumed(void **state)
{
    struct lab *l = *state;
    static const uint8_t group[MAC_SIZE] = {0x01, 0x80, 0xc2, 0, 0, 1};
    struct frame f = lab_frame(l->p[0], NULL, 60, 0);
    memcpy(f.data, group, MAC_SIZE);
    put16(f.data + 12, 0x8808);
    bridge_input(l->p[0], f, 0);
    assert_int_equal(lab_drain(l->p[1]), 0);
    put16(f.data + 12, 0x888e);
    bridge_input(l->p[0], f, 0);
    f.data[5] = 0; /* a spanning tree BPDU's group */
    put16(f.data + 12, 0x8808);
    bridge_input(l->p[0], f, 0);
    frame_unref(f);
    assert_int_equal(lab_drain(l->p[1]), 2);
}

static void a_slow_port_drops_the_newest(void **state)
{
    struct lab *l = *state;
    lab_learn(l->p, 3, 0);
    for (uint32_t i = 0; i < QUEUE_FRAMES_MAX + 10; i++)
        lab_send(l->p[0], l->p[1], 60, i, 0);
    assert_int_equal(bridge_stats(l->b)->dropped_queue, 10);
    assert_int_equal(port_counters(l->p[1])->dropped, 10);
    for (uint32_t i = 0; i < QUEUE_FRAMES_MAX; i++)
        assert_int_equal(lab_receive(l->p[1]), i);
    assert_int_equal(lab_receive(l->p[1]), -1);
    for (uint32_t i = 0; i < 300; i++)
        lab_send(l->p[0], l->p[1], FRAME_MAX, i, 0);
    assert_int_equal(lab_drain(l->p[1]), QUEUE_BYTES_MAX / FRAME_MAX);
}

static void links_down_pass_nothing(void **state)
{
    struct lab *l = *state;
    lab_learn(l->p, 3, 0);
    port_set_link(l->p[1], false);
    lab_send(l->p[1], NULL, 60, 1, 0);
    assert_int_equal(bridge_stats(l->b)->dropped_link, 1);
    lab_send(l->p[0], l->p[1], 60, 2, 0);
    assert_int_equal(lab_receive(l->p[1]), -1);
    assert_int_equal(lab_receive(l->p[2]), 2); /* forgotten, so flooded */
    port_set_link(l->p[1], true);
    lab_send(l->p[1], NULL, 60, 3, 0);
    assert_int_equal(lab_receive(l->p[0]), 3);
    assert_int_equal(bridge_detach(l->b, "b", NULL), 0);
    lab_send(l->p[1], NULL, 60, 4, 0);
    assert_int_equal(lab_receive(l->p[0]), -1);
    assert_int_equal(bridge_detach(l->b, "b", NULL), -1);
}

static void counters_restart_at_connect(void **state)
{
    struct lab *l = *state;
    uint64_t frames = 0, bytes = 0;
    struct iovec piece[4];
    lab_send(l->p[0], NULL, 100, 1, 0);
    lab_send(l->p[0], NULL, 50, 1, 0);
    assert_int_equal(port_counters(l->p[0])->tx_packets, 2);
    assert_int_equal(port_counters(l->p[0])->tx_bytes, 150);
    assert_int_equal(queue_peek(&l->p[1]->outlet.queue, piece, 4), 2);
    queue_consume(&l->p[1]->outlet.queue, 104 + 3, &frames, &bytes);
    assert_int_equal(frames, 1);
    assert_int_equal(bytes, 100);
    assert_int_equal(queue_peek(&l->p[1]->outlet.queue, piece, 4), 1);
    assert_int_equal(piece[0].iov_len, 51);
    queue_drop_unsent(&l->p[1]->outlet.queue); /* what is half written must be finished */
    assert_int_equal(queue_peek(&l->p[1]->outlet.queue, piece, 4), 1);
    port_disconnect(l->p[0]);
    port_connect(l->p[0], l);
    assert_int_equal(port_counters(l->p[0])->tx_packets, 0);
}

static void batches_leave_as_one_piece(void **state)
{
    struct lab *l = *state;
    lab_learn(l->p, 3, 0);
    struct slab *slab = slab_new(4096);
    size_t at = 0;
    for (uint32_t i = 0; i < 10; i++) {
        struct frame whole = lab_frame(l->p[0], l->p[1], 60 + i, i);
        memcpy(slab->bytes + at, whole.data - FRAME_PREFIX, whole.len + FRAME_PREFIX);
        struct frame f = {slab, slab->bytes + at + FRAME_PREFIX, whole.len};
        at += whole.len + FRAME_PREFIX;
        bridge_input(l->p[0], f, 0);
        frame_unref(whole);
    }
    struct iovec piece[4];
    assert_int_equal(queue_peek(&l->p[1]->outlet.queue, piece, 4), 1);
    assert_int_equal(piece[0].iov_len, at);
    assert_int_equal(slab->references, 2);
    lab_drain(l->p[1]);
    assert_int_equal(slab->references, 1);
    slab_unref(slab);
}

static void ready_outlets_come_once(void **state)
{
    struct lab *l = *state;
    lab_learn(l->p, 3, 0);
    while (switch_take_ready(l->s))
        ;
    lab_send(l->p[0], l->p[1], 60, 1, 0);
    lab_send(l->p[0], l->p[1], 60, 2, 0);
    assert_ptr_equal(switch_take_ready(l->s), port_outlet(l->p[1]));
    assert_null(switch_take_ready(l->s));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_strangers, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(learns_and_floods),          TEST(flooding_shares_the_bytes),
        TEST(addresses_age_and_move),     TEST(a_full_table_floods),
        TEST(limits_of_length),           TEST(bytes_pass_untouched),
        TEST(only_pause_is_consumed),     TEST(a_slow_port_drops_the_newest),
        TEST(links_down_pass_nothing),    TEST(counters_restart_at_connect),
        TEST(batches_leave_as_one_piece), TEST(ready_outlets_come_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
