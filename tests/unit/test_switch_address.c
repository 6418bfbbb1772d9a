#include "switch_lab.h"

static void numbers_and_subnets(void **state)
{
    (void)state;
    struct bridge_info info;
    struct netswitch *s = switch_new(1);
    /* printf lan | sha256sum: 094a…; 0x094a = 2378 */
    assert_int_equal(address_number("lan"), 2378);
    bridge_describe(lab_bridge(s, "lan", false), &info);
    assert_string_equal(info.subnet4, "10.73.74.0/24");
    assert_string_equal(info.subnet6, "fd70:726f:7669:94a::/64");
    assert_string_equal(info.gateway4, "10.73.74.1");
    assert_string_equal(info.gateway6, "fd70:726f:7669:94a::1");
    bridge_describe(lab_bridge(s, "lan", false), &info); /* another sub-lab's: the next number */
    assert_string_equal(info.subnet4, "10.73.75.0/24");
    assert_string_equal(info.subnet6, "fd70:726f:7669:94b::/64");
    switch_free(s);
}

static void macs(void **state)
{
    (void)state;
    struct netswitch *s = switch_new(1);
    struct bridge *b = lab_bridge(s, "lan", false);
    uint8_t mac[MAC_SIZE];
    char text[MAC_TEXT];
    mac_text(lab_port(b, "web")->mac, text); /* printf web-lan | sha256sum */
    assert_string_equal(text, "52:54:00:d6:84:2a");
    mac_of_member("web", "lan", 1, mac);
    mac_text(mac, text);
    assert_string_equal(text, "52:54:00:00:f0:79");
    mac_of_gateway("lan", mac);
    mac_text(mac, text);
    assert_string_equal(text, "52:54:00:87:c2:38");
    switch_free(s);
}

static void members_are_numbered(void **state)
{
    (void)state;
    struct netswitch *s = switch_new(1);
    struct bridge *b = bridge_new(
        s, "lan", &(struct bridge_options){.subnet4 = "10.9.0.0/24", .subnet6 = "fd00:1::/64"},
        NULL);
    struct member_info info;
    port_describe(lab_port(b, "a"), &info);
    assert_string_equal(info.ip4, "10.9.0.10");
    assert_string_equal(info.ip6, "fd00:1::a");
    port_describe(lab_port(b, "b"), &info);
    assert_string_equal(info.ip4, "10.9.0.11");
    assert_int_equal(bridge_detach(b, "a", NULL), 0);
    port_describe(lab_port(b, "c"), &info);
    assert_string_equal(info.ip4, "10.9.0.12");
    port_describe(lab_port(b, "a"), &info); /* a name keeps its number */
    assert_string_equal(info.ip4, "10.9.0.10");
    assert_ptr_equal(bridge_member_at(b, 2), bridge_find(b, "a")); /* but joins last */
    struct bridge *small = bridge_new(
        s, "small", &(struct bridge_options){.subnet4 = "10.8.0.0/28", .mtu = 576}, NULL);
    port_describe(lab_port(small, "a"), &info);
    assert_string_equal(info.ip4, "10.8.0.2");
    assert_string_equal(info.ip6, ""); /* no IPv6 below 1280 */
    static const struct member_request many[13] = {
        {"1", 0}, {"2", 0}, {"3", 0},  {"4", 0},  {"5", 0},  {"6", 0}, {"7", 0},
        {"8", 0}, {"9", 0}, {"10", 0}, {"11", 0}, {"12", 0}, {"13", 0}};
    _cleanup_err_ struct err e = ERR_INIT;
    assert_int_equal(bridge_attach(small, many, 13, NULL, &e), -1);
    assert_string_equal(e.message, "the subnet of bridge `small` is full");
    assert_null(bridge_find(small, "1")); /* all or none */
    assert_int_equal(bridge_attach(small, many, 12, NULL, NULL), 0);
    switch_free(s);
}

static void membership_belongs_to_a_vm(void **state)
{
    (void)state;
    struct netswitch *s = switch_new(1);
    struct bridge *b = lab_bridge(s, "lan", false);
    _cleanup_err_ struct err e = ERR_INIT;
    assert_int_equal(bridge_attach(b, &(struct member_request){"a", 0}, 1, NULL, NULL),
                     0); /* nobody yet */
    assert_int_equal(bridge_attach(b, &(struct member_request){"a", 5}, 1, NULL, NULL),
                     0); /* here it is */
    assert_int_equal(bridge_attach(b, &(struct member_request){"a", 5}, 1, NULL, NULL), 0);
    assert_int_equal(bridge_attach(b, &(struct member_request){"a", 6}, 1, NULL, &e), -1);
    assert_string_equal(e.message, "another VM named `a` is a member of bridge `lan`");
    static const struct member_request twice[2] = {{"x", 1}, {"x", 2}};
    assert_int_equal(bridge_attach(b, twice, 2, NULL, &e), -1);
    assert_int_equal(bridge_attach(b, &(struct member_request){GATEWAY_NAME, 1}, 1, NULL, &e), -1);
    switch_free(s);
}

static void subnets_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *four, *six, *message;
    } cases[] = {
        {"10.9.0.0", NULL, "subnet `10.9.0.0` is not an IPv4 network"},
        {"10.9.0.0/7", NULL, "subnet `10.9.0.0/7`: the prefix must be 8 to 28"},
        {"10.9.0.0/29", NULL, "subnet `10.9.0.0/29`: the prefix must be 8 to 28"},
        {"10.9.0.1/24", NULL, "subnet `10.9.0.1/24` has bits set beyond its prefix"},
        {"127.0.0.0/8", NULL, "subnet `127.0.0.0/8` can't be used for hosts"},
        {"224.0.0.0/8", NULL, "subnet `224.0.0.0/8` can't be used for hosts"},
        {"10.9.0.0/24x", NULL, "subnet `10.9.0.0/24x` is not an IPv4 network"},
        {NULL, "fd00::/48", "subnet `fd00::/48`: the prefix must be 64"},
        {NULL, "fe80::/64", "subnet `fe80::/64` can't be used for hosts"},
        {NULL, "fd00::1/64", "subnet `fd00::1/64` has bits set beyond its prefix"},
        {"10.9.128.0/17", NULL, "subnet `10.9.128.0/17` overlaps that of bridge `wide`"},
        {NULL, "fd00:7::/64", "subnet `fd00:7::/64` overlaps that of bridge `wide`"},
    };
    struct netswitch *s = switch_new(1);
    assert_non_null(bridge_new(
        s, "wide", &(struct bridge_options){.subnet4 = "10.9.0.0/16", .subnet6 = "fd00:7::/64"},
        NULL));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_err_ struct err e = ERR_INIT;
        struct bridge_options o = {.subnet4 = cases[i].four, .subnet6 = cases[i].six};
        assert_null(bridge_new(s, "x", &o, &e));
        assert_string_equal(e.message, cases[i].message);
    }
    _cleanup_err_ struct err e = ERR_INIT;
    assert_null(bridge_new(s, "x", &(struct bridge_options){.mtu = 67}, &e));
    assert_string_equal(e.message, "mtu must be 68 to 65535, not 67");
    /* a numbered bridge steps aside for one with its subnet */
    struct bridge_info info;
    assert_non_null(
        bridge_new(s, "mine", &(struct bridge_options){.subnet4 = "10.73.74.0/24"}, NULL));
    bridge_describe(lab_bridge(s, "lan", false), &info);
    assert_string_equal(info.subnet4, "10.73.75.0/24");
    switch_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_subnets),  cmocka_unit_test(macs),
        cmocka_unit_test(members_are_numbered), cmocka_unit_test(membership_belongs_to_a_vm),
        cmocka_unit_test(subnets_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
