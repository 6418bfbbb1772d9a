#include "switch_lab.h"

struct lab {
    struct netswitch *s;
    struct bridge *left, *right;
    struct port *a, *z, *b; /* a, z on the left; b on the right */
};

static int setup(void **state)
{
    struct lab *l = xnew0(struct lab);
    l->s = switch_new(1);
    l->left = bridge_new(
        l->s, "left", &(struct bridge_options){.subnet4 = "10.1.0.0/24", .subnet6 = "fd00:1::/64"},
        NULL);
    l->right = bridge_new(
        l->s, "right",
        &(struct bridge_options){.subnet4 = "10.2.0.0/24", .subnet6 = "fd00:2::/64", .mtu = 1300},
        NULL);
    l->a = lab_port(l->left, "a");
    l->z = lab_port(l->left, "z");
    l->b = lab_port(l->right, "b");
    assert_int_equal(bridge_route(l->left, &l->right, 1, NULL), 0);
    *state = l;
    return 0;
}

static int teardown(void **state)
{
    struct lab *l = *state;
    switch_free(l->s);
    free(l);
    return 0;
}

/* a → b, past address resolution. */
static void meet(struct lab *l, int family)
{
    struct ip to = lab_ip_of(l->b, family);
    lab_send_udp(l->a, &to, 1, 2, "hello", 5, 0);
    lab_answer(l->b, 0);
    assert_int_equal(lab_drain(l->b), 1);
}

static void forwards_both_families(void **state)
{
    struct lab *l = *state;
    for (int family = 4; family <= 6; family += 2) {
        struct packet p;
        struct ip to = lab_ip_of(l->b, family), from = lab_ip_of(l->a, family);
        meet(l, family);
        lab_send_udp(l->a, &to, 1000, 7, "hello", 5, 0);
        struct frame f = lab_take_packet(l->b, &p); /* the neighbour is known now */
        assert_int_equal(p.ttl, 63);
        assert_true(ip_equal(&p.source, &from));
        assert_memory_equal(f.data, l->b->mac, 6);
        assert_memory_equal(f.data + 6, l->right->gateway->mac, 6);
        assert_memory_equal(p.payload + 8, "hello", 5);
        frame_unref(f);
        lab_send_udp(l->b, &from, 7, 1000, "back", 4, 0);
        lab_answer(l->a, 0);
        f = lab_take_packet(l->a, &p);
        assert_memory_equal(p.payload + 8, "back", 4);
        frame_unref(f);
    }
}

static void expect_error(struct port *p, uint8_t type, uint8_t code)
{
    struct packet packet;
    struct frame f = lab_take_packet(p, &packet);
    assert_int_equal(packet.payload[0], type);
    assert_int_equal(packet.payload[1], code);
    assert_true(gateway_is_address(p->bridge->gateway, &packet.source));
    frame_unref(f);
}

static void send_ttl(struct lab *l, const struct ip *to, uint8_t ttl)
{
    uint8_t *udp;
    struct ip from = lab_ip_of(l->a, to->family);
    struct frame f = packet_new(&from, to, PROTOCOL_UDP, 8, &udp);
    memset(udp, 0, 8);
    put16(udp + 4, 8);
    f.data[ETHERNET_SIZE + (to->family == 6 ? 7 : 8)] = ttl;
    if (to->family == 4) {
        put16(f.data + ETHERNET_SIZE + 10, 0);
        put16(f.data + ETHERNET_SIZE + 10,
              checksum_fold(checksum_add(0, f.data + ETHERNET_SIZE, 20)));
    }
    packet_seal(f);
    ethernet_fill(f, l->left->gateway->mac, l->a->mac);
    lab_send_frame(l->a, f, 0);
}

static void lowers_the_ttl(void **state)
{
    struct lab *l = *state;
    for (int family = 4; family <= 6; family += 2) {
        struct ip to = lab_ip_of(l->b, family);
        meet(l, family);
        send_ttl(l, &to, 1);
        expect_error(l->a, family == 4 ? 11 : 3, 0);
        send_ttl(l, &to, 2);
        assert_int_equal(lab_drain(l->b), 1);
    }
}

static void tells_what_is_unreachable(void **state)
{
    struct lab *l = *state;
    struct ip nowhere = lab_ip4("192.0.2.1"), nowhere6 = lab_ip6("2001:db8::1");
    struct ip absent = lab_ip4("10.2.0.99"), absent6 = lab_ip6("fd00:2::99");
    struct ip own = lab_ip_of(l->z, 4);
    lab_send_udp(l->a, &nowhere, 1, 2, "x", 1, 0);
    expect_error(l->a, 3, 0);
    lab_send_udp(l->a, &nowhere6, 1, 2, "x", 1, 0);
    expect_error(l->a, 1, 0);
    /* three questions, a second apart, then host unreachable */
    lab_send_udp(l->a, &absent, 1, 2, "x", 1, 0);
    lab_send_udp(l->a, &absent6, 1, 2, "x", 1, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lab_drain(l->b), 2);
        assert_int_equal(lab_drain(l->a), 0);
        switch_advance(l->s, (i + 1) * NS_PER_S);
    }
    assert_int_equal(switch_next(l->s), INT64_MAX);
    struct packet p;
    struct frame f = lab_take_packet(l->a, &p);
    assert_int_equal(p.payload[0], p.family == 4 ? 3 : 1);
    assert_int_equal(p.payload[1], p.family == 4 ? 1 : 3);
    frame_unref(f);
    assert_int_equal(lab_drain(l->a), 1);
    /* a member is no way around: two that are cut from each other can't meet at the gateway */
    lab_send_udp(l->a, &own, 1, 2, "x", 1, 0);
    assert_int_equal(lab_drain(l->z), 0);
    expect_error(l->a, 3, 1);
}

static void fragments_and_reports_size(void **state)
{
    struct lab *l = *state;
    static const uint8_t data[1400] = {1, 2, 3};
    struct ip to = lab_ip_of(l->b, 4), to6 = lab_ip_of(l->b, 6), from = lab_ip_of(l->a, 4);
    struct packet p;
    uint8_t *udp;
    meet(l, 4);
    meet(l, 6);
    lab_send_udp(l->a, &to, 1, 2, data, sizeof(data), 0); /* packet_new sets "don't fragment" */
    struct frame f = lab_take_packet(l->a, &p);
    assert_int_equal(p.payload[0], 3);
    assert_int_equal(p.payload[1], 4);
    assert_int_equal(get32(p.payload + 4), 1300);
    frame_unref(f);
    lab_send_udp(l->a, &to6, 1, 2, data, sizeof(data), 0);
    f = lab_take_packet(l->a, &p);
    assert_int_equal(p.payload[0], 2);
    assert_int_equal(get32(p.payload + 4), 1300);
    frame_unref(f);

    f = packet_new(&from, &to, PROTOCOL_UDP, 8 + sizeof(data), &udp);
    memset(udp, 0, 8);
    put16(udp + 4, 8 + sizeof(data));
    memcpy(udp + 8, data, sizeof(data));
    packet_seal(f);
    put16(f.data + ETHERNET_SIZE + 6, 0);
    put16(f.data + ETHERNET_SIZE + 10, 0);
    put16(f.data + ETHERNET_SIZE + 10, checksum_fold(checksum_add(0, f.data + ETHERNET_SIZE, 20)));
    ethernet_fill(f, l->left->gateway->mac, l->a->mac);
    lab_send_frame(l->a, f, 0);
    uint8_t whole[8 + sizeof(data)];
    size_t at = 0;
    for (int i = 0; i < 2; i++) {
        f = lab_take_packet(l->b, &p);
        uint16_t field = get16(f.data + ETHERNET_SIZE + 6);
        assert_true(p.size <= 1300);
        assert_int_equal((field & 0x1fff) * 8, at);
        assert_int_equal(field & 0x2000, i ? 0 : 0x2000);
        memcpy(whole + at, p.payload, p.payload_size);
        at += p.payload_size;
        frame_unref(f);
    }
    assert_int_equal(at, sizeof(whole));
    assert_memory_equal(whole + 8, data, sizeof(data));
}

static void is_not_transitive_and_can_be_undone(void **state)
{
    struct lab *l = *state;
    struct bridge *far =
        bridge_new(l->s, "far", &(struct bridge_options){.subnet4 = "10.3.0.0/24"}, NULL);
    struct port *f = lab_port(far, "f");
    struct ip to = lab_ip_of(f, 4), b = lab_ip_of(l->b, 4);
    assert_int_equal(bridge_route(l->right, &far, 1, NULL), 0);
    lab_send_udp(l->a, &to, 1, 2, "x", 1, 0);
    expect_error(l->a, 3, 0);
    assert_ptr_equal(bridge_route_at(l->right, 0, false), far);
    assert_null(bridge_route_at(l->right, 1, false)); /* the other one was declared on the left */
    assert_ptr_equal(bridge_route_at(l->right, 0, true), l->left);
    bridge_unroute(l->right, l->left);
    lab_send_udp(l->a, &b, 1, 2, "x", 1, 0);
    expect_error(l->a, 3, 0);
    bridge_free(l->right);
    assert_null(bridge_route_at(far, 0, true));
    _cleanup_err_ struct err e = ERR_INIT;
    assert_int_equal(bridge_route(far, &far, 1, &e), -1);
    assert_string_equal(e.message, "bridge `far` can't be routed to itself");
}

static void the_far_gateway_answers_echo_only(void **state)
{
    struct lab *l = *state;
    uint8_t icmp[8] = {8};
    struct ip own = lab_ip_of(l->a, 4);
    struct packet p;
    lab_send_ip(l->a, &own, &l->right->gateway->ip4, PROTOCOL_ICMP4, icmp, 8, 0);
    struct frame f = lab_take_packet(l->a, &p);
    assert_true(ip_equal(&p.source, &l->right->gateway->ip4));
    frame_unref(f);
    lab_send_udp(l->a, &l->right->gateway->ip4, 1, 53, "x", 1, 0);
    expect_error(l->a, 3, 3);
}

static void nobody_can_crowd_out_neighbours(void **state)
{
    struct lab *l = *state;
    meet(l, 4);
    for (uint32_t i = 0; i < 5000; i++) { /* a scan: each address gets a question, none an answer */
        struct ip to = ip4_of(ip4_value(&l->right->gateway->ip4) + 20 + i % 200);
        lab_send_udp(l->a, &to, 1, 2, "x", 1, 0);
    }
    lab_drain(l->b);
    struct ip to = lab_ip_of(l->b, 4);
    lab_send_udp(l->a, &to, 1, 2, "x", 1, 0);
    struct packet p;
    struct frame f = lab_take_packet(l->b, &p);
    assert_int_equal(p.protocol, PROTOCOL_UDP);
    frame_unref(f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(forwards_both_families),
        TEST(lowers_the_ttl),
        TEST(tells_what_is_unreachable),
        TEST(fragments_and_reports_size),
        TEST(is_not_transitive_and_can_be_undone),
        TEST(the_far_gateway_answers_echo_only),
        TEST(nobody_can_crowd_out_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
