#include "switch_lab.h"

enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM };

struct lab {
    struct netswitch *s;
    struct bridge *b;
    struct port *a, *c;
};

static int setup(void **state)
{
    struct lab *l = xnew0(struct lab);
    l->s = switch_new(1);
    l->b = bridge_new(l->s, "lan", &(struct bridge_options){.subnet4 = "10.9.0.0/28", .mtu = 1400},
                      NULL);
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

struct answer {
    uint8_t type;
    uint32_t address;
    bool broadcast;
    uint8_t options[256][64], sizes[256];
};

static void send_dhcp(struct port *from, const uint8_t mac[6], uint8_t type, uint32_t wanted,
                      uint32_t client, int64_t now)
{
    uint8_t udp[8 + 240 + 32] = {0}, *at = udp + 8 + 240;
    struct ip source = ip4_of(client), everybody = ip4_of(UINT32_MAX);
    put16(udp, 68);
    put16(udp + 2, 67);
    put16(udp + 4, sizeof(udp));
    memcpy(udp + 8, "\x01\x01\x06\x00\xde\xad\xbe\xef", 8);
    put32(udp + 8 + 12, client);
    memcpy(udp + 8 + 28, mac, 6);
    put32(udp + 8 + 236, 0x63825363);
    memcpy(at, (uint8_t[3]){53, 1, type}, 3);
    at += 3;
    if (wanted) {
        memcpy(at, (uint8_t[2]){50, 4}, 2);
        put32(at + 2, wanted);
        at += 6;
    }
    *at = 255;
    lab_send_ip(from, &source, &everybody, PROTOCOL_UDP, udp, sizeof(udp), now);
}

static bool take_answer(struct port *p, struct answer *a)
{
    struct packet packet;
    if (!p->outlet.queue.frames)
        return false;
    struct frame f = lab_take_packet(p, &packet);
    const uint8_t *m = packet.payload + 8, *end = packet.payload + packet.payload_size;
    memset(a, 0, sizeof(*a));
    assert_int_equal(get16(packet.payload), 67);
    assert_int_equal(get16(packet.payload + 2), 68);
    assert_memory_equal(m, "\x02\x01\x06\x00\xde\xad\xbe\xef", 8);
    assert_true(end - m >= 300);
    a->address = get32(m + 16);
    a->broadcast = f.data[0] == 0xff;
    for (m += 240; m < end && *m != 255; m += 2 + m[1]) {
        a->sizes[m[0]] = m[1];
        memcpy(a->options[m[0]], m + 2, m[1] < 64 ? m[1] : 64);
    }
    a->type = a->options[53][0];
    frame_unref(f);
    return true;
}

static void members_get_their_own(void **state)
{
    struct lab *l = *state;
    struct answer a;
    send_dhcp(l->a, l->a->mac, DISCOVER, 0, 0, 0);
    assert_true(take_answer(l->a, &a));
    assert_int_equal(a.type, OFFER);
    assert_int_equal(a.address, 0x0a090002);
    assert_int_equal(get32(a.options[1]), 0xfffffff0);
    assert_int_equal(get32(a.options[28]), 0x0a09000f);
    assert_int_equal(get16(a.options[26]), 1400);
    assert_int_equal(get32(a.options[51]), 3600);
    assert_int_equal(get32(a.options[54]), 0x0a090001);
    assert_int_equal(get32(a.options[6]), 0x0a090001);
    assert_string_equal((char *)a.options[15], "lan");
    assert_string_equal((char *)a.options[12], "a");
    assert_int_equal(a.sizes[3], 0);
    assert_int_equal(a.sizes[121], 0);
    send_dhcp(l->a, l->a->mac, REQUEST, 0x0a090002, 0, 0);
    assert_true(take_answer(l->a, &a));
    assert_int_equal(a.type, ACK);
    send_dhcp(l->a, l->a->mac, REQUEST, 0x0a090003, 0, 0); /* another one's */
    assert_true(take_answer(l->a, &a));
    assert_int_equal(a.type, NAK);
    assert_true(a.broadcast);
    send_dhcp(l->a, l->a->mac, REQUEST, 0, 0x0a090002, 0); /* renewal */
    assert_true(take_answer(l->a, &a));
    assert_int_equal(a.type, ACK);
    assert_int_equal(lab_drain(l->c), 1); /* only the NAK went to everybody */
}

static void others_get_leases_from_the_top(void **state)
{
    struct lab *l = *state;
    struct answer a;
    uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
    send_dhcp(l->a, mac, DISCOVER, 0, 0, 0);
    assert_true(take_answer(l->a, &a));
    assert_int_equal(a.address, 0x0a09000e);
    assert_int_equal(a.sizes[12], 0);
    for (uint8_t i = 2; i <= 10; i++) { /* .13 down to .4; .2 and .3 are the members' */
        mac[5] = i;
        send_dhcp(l->a, mac, DISCOVER, 0, 0, 0);
        assert_true(take_answer(l->a, &a));
        assert_int_equal(a.address, 0x0a09000f - i);
    }
    mac[5] = 11;
    send_dhcp(l->a, mac, DISCOVER, 0, 0, 0);
    assert_true(take_answer(l->a, &a));
    assert_int_equal(a.address, 0x0a090004);
    mac[5] = 12;
    send_dhcp(l->a, mac, DISCOVER, 0, 0, 0);
    assert_false(take_answer(l->a, &a));
    _cleanup_err_ struct err e = ERR_INIT;
    assert_int_equal(bridge_attach(l->b, &(struct member_request){"late", 0}, 1, NULL, &e), -1);
    mac[5] = 1; /* its offer was taken; the others' run out */
    send_dhcp(l->a, mac, REQUEST, 0x0a09000e, 0, 0);
    assert_true(take_answer(l->a, &a));
    assert_int_equal(a.type, ACK);
    mac[5] = 12;
    send_dhcp(l->a, mac, DISCOVER, 0, 0, 61 * NS_PER_S);
    assert_true(take_answer(l->a, &a));
    assert_int_equal(a.address, 0x0a09000d);
    send_dhcp(l->a, mac, DISCOVER, 0, 0, 3601 * NS_PER_S);
    assert_true(take_answer(l->a, &a));
    assert_int_equal(a.address, 0x0a09000e);
}

static void given_back_and_declined(void **state)
{
    struct lab *l = *state;
    struct answer a;
    uint8_t one[6] = {2, 0, 0, 0, 0, 1}, two[6] = {2, 0, 0, 0, 0, 2};
    send_dhcp(l->a, one, REQUEST, 0x0a09000e, 0,
              0); /* after a restart of ours, say: granted if it fits */
    assert_true(take_answer(l->a, &a));
    assert_int_equal(a.type, ACK);
    send_dhcp(l->a, one, RELEASE, 0, 0x0a09000e, 1);
    send_dhcp(l->a, two, DISCOVER, 0, 0, 2);
    assert_true(take_answer(l->a, &a));
    assert_int_equal(a.address, 0x0a09000e);
    send_dhcp(l->a, two, DECLINE, 0x0a09000e, 0, 3); /* somebody else has it */
    send_dhcp(l->a, two, DISCOVER, 0, 0, 4);
    assert_true(take_answer(l->a, &a));
    assert_int_equal(a.address, 0x0a09000d);
    send_dhcp(l->a, two, INFORM, 0, 0x0a090009, 5);
    assert_true(take_answer(l->a, &a));
    assert_int_equal(a.type, ACK);
    assert_int_equal(a.address, 0);
    assert_int_equal(a.sizes[51], 0);
}

static void routes_and_uplink_are_told(void **state)
{
    struct lab *l = *state;
    struct answer a;
    struct bridge *other =
        bridge_new(l->s, "other", &(struct bridge_options){.subnet4 = "10.128.0.0/9"}, NULL);
    assert_int_equal(bridge_route(other, &l->b, 1, NULL), 0);
    send_dhcp(l->a, l->a->mac, DISCOVER, 0, 0, 0);
    assert_true(take_answer(l->a, &a));
    assert_int_equal(a.sizes[121], 7);
    assert_memory_equal(a.options[121], "\x09\x0a\x80\x0a\x09\x00\x01", 7);
    bridge_uplink_start(l->b, false, l);
    send_dhcp(l->a, l->a->mac, DISCOVER, 0, 0, 0);
    assert_true(take_answer(l->a, &a));
    assert_int_equal(get32(a.options[3]), 0x0a090001);
    assert_int_equal(a.sizes[121], 12);
    assert_memory_equal(a.options[121] + 7, "\x00\x0a\x09\x00\x01", 5);
}

static void garbage_is_ignored(void **state)
{
    struct lab *l = *state;
    uint8_t udp[300] = {0};
    struct ip everybody = ip4_of(UINT32_MAX), source = ip4_of(0);
    put16(udp, 68);
    put16(udp + 2, 67);
    for (uint16_t size = 8; size < sizeof(udp); size++) {
        put16(udp + 4, size);
        memcpy(udp + 8, "\x01\x01\x06\x00", 4);
        put32(udp + 8 + 236, 0x63825363);
        memset(udp + 8 + 240, 53, sizeof(udp) - 248);
        lab_send_ip(l->a, &source, &everybody, PROTOCOL_UDP, udp, size, 0);
    }
    assert_int_equal(lab_drain(l->a), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(members_get_their_own),   TEST(others_get_leases_from_the_top),
        TEST(given_back_and_declined), TEST(routes_and_uplink_are_told),
        TEST(garbage_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
