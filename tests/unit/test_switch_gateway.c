#include "switch_lab.h"

struct lab {
    struct netswitch *s;
    struct bridge *b;
    struct gateway *g;
    struct port *a, *c;
};

static int setup(void **state)
{
    struct lab *l = xnew0(struct lab);
    l->s = switch_new(1);
    l->b = lab_bridge(l->s, "lan", false);
    l->g = l->b->gateway;
    l->a = lab_port(l->b, "a");
    l->c = lab_port(l->b, "c");
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

static struct frame arp_request(const struct port *from, const struct ip *source,
                                const struct ip *target)
{
    struct frame f = frame_new(42);
    memset(f.data, 0, 42);
    memset(f.data, 0xff, 6);
    memcpy(f.data + 6, from->mac, 6);
    put16(f.data + 12, ETHERTYPE_ARP);
    memcpy(f.data + 14, "\x00\x01\x08\x00\x06\x04\x00\x01", 8);
    memcpy(f.data + 22, from->mac, 6);
    memcpy(f.data + 28, source->bytes, 4);
    memcpy(f.data + 38, target->bytes, 4);
    return f;
}

static void answers_arp(void **state)
{
    struct lab *l = *state;
    struct ip own = lab_ip_of(l->a, 4), other = lab_ip_of(l->c, 4);
    lab_send_frame(l->a, arp_request(l->a, &own, &l->g->ip4), 0);
    struct frame f = lab_take(l->a);
    assert_memory_equal(f.data, l->a->mac, 6);
    assert_memory_equal(f.data + 6, l->g->mac, 6);
    assert_int_equal(get16(f.data + 20), 2);
    assert_memory_equal(f.data + 22, l->g->mac, 6);
    assert_memory_equal(f.data + 28, l->g->ip4.bytes, 4);
    frame_unref(f);
    assert_int_equal(lab_drain(l->c), 1); /* the broadcast, not the answer */
    lab_send_frame(l->a, arp_request(l->a, &own, &other), 0);
    assert_int_equal(lab_drain(l->a), 0);
    lab_send_frame(l->a, arp_request(l->a, &own, &own), 0); /* gratuitous */
    assert_int_equal(lab_drain(l->a), 0);
}

static void answers_neighbour_solicitations(void **state)
{
    struct lab *l = *state;
    struct ip own = lab_ip_of(l->a, 6);
    struct ip group = lab_ip6("ff02::1:ff00:1");
    struct packet p;
    uint8_t nd[32] = {135, [24] = 1, [25] = 1}, *at;
    for (int probe = 0; probe < 2; probe++) {
        struct ip source = probe ? lab_ip6("::") : own;
        memcpy(nd + 8, l->g->ip6.bytes, 16);
        memcpy(nd + 26, l->a->mac, 6);
        struct frame f = packet_new(&source, &group, PROTOCOL_ICMP6, probe ? 24 : 32, &at);
        memcpy(at, nd, probe ? 24 : 32);
        f.data[ETHERNET_SIZE + 7] = 255;
        packet_seal(f);
        ethernet_fill(f, (const uint8_t *)"\x33\x33\xff\x00\x00\x01", l->a->mac);
        lab_send_frame(l->a, f, 0);
        f = lab_take_packet(l->a, &p);
        assert_int_equal(p.ttl, 255);
        assert_int_equal(p.payload[0], 136);
        assert_int_equal(p.payload[4], probe ? 0x20 : 0x60);
        assert_memory_equal(p.payload + 8, l->g->ip6.bytes, 16);
        assert_memory_equal(p.payload + 26, l->g->mac, 6);
        struct ip expected = probe ? lab_ip6("ff02::1") : own;
        assert_true(ip_equal(&p.destination, &expected));
        frame_unref(f);
    }
}

static void answers_echo(void **state)
{
    struct lab *l = *state;
    struct packet p;
    static const struct {
        int family;
        uint8_t protocol, request, reply;
    } cases[] = {{4, PROTOCOL_ICMP4, 8, 0}, {6, PROTOCOL_ICMP6, 128, 129}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t icmp[40] = {cases[i].request, 0, 0, 0, 1, 2, 3, 4, [39] = 99};
        struct ip own = lab_ip_of(l->a, cases[i].family);
        const struct ip *gateway = i ? &l->g->ip6 : &l->g->ip4;
        lab_send_ip(l->a, &own, gateway, cases[i].protocol, icmp, sizeof(icmp), 0);
        struct frame f = lab_take_packet(l->a, &p);
        assert_true(ip_equal(&p.source, gateway));
        assert_true(ip_equal(&p.destination, &own));
        assert_int_equal(p.payload[0], cases[i].reply);
        assert_memory_equal(p.payload + 4, icmp + 4, 36);
        frame_unref(f);
    }
}

static void refuses_what_nobody_serves(void **state)
{
    struct lab *l = *state;
    struct packet p;
    lab_send_udp(l->a, &l->g->ip4, 1000, 9, "x", 1, 0);
    struct frame f = lab_take_packet(l->a, &p);
    assert_int_equal(p.payload[0], 3);
    assert_int_equal(p.payload[1], 3);
    frame_unref(f);
    lab_send_udp(l->a, &l->g->ip6, 1000, 9, "x", 1, 0);
    f = lab_take_packet(l->a, &p);
    assert_int_equal(p.payload[0], 1);
    assert_int_equal(p.payload[1], 4);
    frame_unref(f);
    uint8_t syn[20] = {0x10, 0, 0, 80, 0, 0, 0, 7, 0, 0, 0, 0, 0x50, 2};
    struct ip own = lab_ip_of(l->a, 4);
    lab_send_ip(l->a, &own, &l->g->ip4, PROTOCOL_TCP, syn, sizeof(syn), 0);
    f = lab_take_packet(l->a, &p);
    assert_int_equal(p.payload[13], 4 | 16); /* RST, ACK */
    assert_int_equal(get32(p.payload + 8), 8);
    frame_unref(f);
    /* errors are never answered with errors, nor is what went to everybody */
    uint8_t error[36] = {3, 1};
    lab_send_ip(l->a, &own, &l->g->ip4, PROTOCOL_ICMP4, error, sizeof(error), 0);
    struct ip everybody = ip4_of(UINT32_MAX);
    lab_send_udp(l->a, &everybody, 1000, 9, "x", 1, 0);
    assert_int_equal(lab_drain(l->a), 0);
}

static void keeps_its_address(void **state)
{
    struct lab *l = *state;
    struct frame f = lab_frame(l->c, NULL, 60, 0);
    memcpy(f.data + 6, l->g->mac, 6); /* c pretends to be the gateway */
    lab_send_frame(l->c, f, 0);
    lab_drain(l->a);
    uint8_t icmp[8] = {8};
    struct ip own = lab_ip_of(l->a, 4);
    lab_send_ip(l->a, &own, &l->g->ip4, PROTOCOL_ICMP4, icmp, 8, 0);
    assert_int_equal(lab_drain(l->c), 0);
    assert_int_equal(lab_drain(l->a), 1);
}

static void isolation_includes_it_and_partitions_do_not(void **state)
{
    struct lab *l = *state;
    uint8_t icmp[8] = {8};
    struct ip own = lab_ip_of(l->a, 4);
    bridge_partition_all(l->b);
    lab_send_ip(l->a, &own, &l->g->ip4, PROTOCOL_ICMP4, icmp, 8, 0);
    assert_int_equal(lab_drain(l->a), 1);
    assert_int_equal(bridge_isolate(l->b, "a", true, NULL), 0);
    lab_send_ip(l->a, &own, &l->g->ip4, PROTOCOL_ICMP4, icmp, 8, 0);
    assert_int_equal(lab_drain(l->a), 0);
}

static void impairments_name_it(void **state)
{
    struct lab *l = *state;
    uint8_t icmp[8] = {8};
    struct ip own = lab_ip_of(l->a, 4);
    struct impairment rule = {.from = GATEWAY_NAME, .to = "a", .set = IMPAIR_LATENCY, .latency = 5};
    assert_int_equal(impair_set(l->b, &rule, NULL), 0);
    lab_send_ip(l->a, &own, &l->g->ip4, PROTOCOL_ICMP4, icmp, 8, 0);
    assert_int_equal(lab_drain(l->a), 0);
    switch_advance(l->s, 5);
    assert_int_equal(lab_drain(l->a), 1);
}

static void a_raw_bridge_has_none(void **state)
{
    struct lab *l = *state;
    struct bridge *raw = lab_bridge(l->s, "raw", true);
    struct port *p = lab_port(raw, "a");
    uint8_t icmp[8] = {8};
    struct ip own = lab_ip_of(p, 4);
    lab_send_ip(p, &own, &raw->gateway->ip4, PROTOCOL_ICMP4, icmp, 8, 0);
    assert_int_equal(lab_drain(p), 0);
    struct bridge *some =
        bridge_new(l->s, "some", &(struct bridge_options){.raw = true, .dhcp = TOGGLE_ON}, NULL);
    p = lab_port(some, "a");
    own = lab_ip_of(p, 4);
    lab_send_ip(p, &own, &some->gateway->ip4, PROTOCOL_ICMP4, icmp, 8, 0);
    assert_int_equal(lab_drain(p), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_arp),         TEST(answers_neighbour_solicitations),
        TEST(answers_echo),        TEST(refuses_what_nobody_serves),
        TEST(keeps_its_address),   TEST(isolation_includes_it_and_partitions_do_not),
        TEST(impairments_name_it), TEST(a_raw_bridge_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
