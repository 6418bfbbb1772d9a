/* Plain values that cross the switch's boundary: what a caller asks for and what it is told. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_TEXT   256
#define MAC_SIZE    6
#define MAC_TEXT    18
#define ADDR4_TEXT  16
#define ADDR6_TEXT  46
#define SUBNET_TEXT 50

#define GATEWAY_NAME "@gateway" /* the gateway as an endpoint of impairments */

enum toggle { TOGGLE_DEFAULT, TOGGLE_OFF, TOGGLE_ON, TOGGLE_FORCE };

struct bridge_options {
    const char *subnet4;   /* "10.9.0.0/24", or NULL: by the bridge's number */
    const char *subnet6;   /* "fd00:1::/64", or NULL likewise */
    unsigned mtu;          /* 68 to 65535; 0: 1500 */
    bool raw;              /* configure=false */
    enum toggle dhcp, dns; /* default: on unless raw; FORCE only for dns */
};

struct bridge_info {
    uint32_t id;
    unsigned mtu;
    bool raw, dhcp;
    enum toggle dns;
    char subnet4[SUBNET_TEXT],
        subnet6[SUBNET_TEXT]; /* subnet6 is empty when the MTU is below 1280 */
    char gateway4[ADDR4_TEXT], gateway6[ADDR6_TEXT];
};

struct bridge_stats {
    uint64_t frames, bytes; /* accepted from all ports */
    uint64_t delivered;     /* copies handed to ports */
    uint64_t duplicated, corrupted, reordered, errors;
    uint64_t dropped_link, dropped_isolation, dropped_partition, dropped_loss, dropped_queue;
};

struct member_request {
    const char *name;
    uint32_t vm;
};

struct member_info {
    char name[NAME_TEXT];
    uint32_t vm;
    bool connected, link, isolated;
    uint8_t mac[MAC_SIZE];
    char mac_text[MAC_TEXT];
    char ip4[ADDR4_TEXT], ip6[ADDR6_TEXT]; /* empty: none (raw bridge, or no IPv6) */
    unsigned prefix4, prefix6;
    char reserved4[ADDR4_TEXT], reserved6[ADDR6_TEXT]; /* as ip4 and ip6, but on a raw bridge too */
};

struct nic_counters { /* as the guest sees them */
    uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets, errors, dropped;
};

struct capture_options {
    const char *filter; /* pcap-filter(7), or NULL */
    bool nanoseconds;
    bool delivered; /* of a bridge: one record per delivered copy, not one per accepted frame */
};

struct capture_stats {
    uint64_t packets, bytes, dropped;
};

struct guest_route {
    char destination[SUBNET_TEXT]; /* "0.0.0.0/0", "10.70.2.0/24", "::/0", … */
    char gateway[ADDR6_TEXT];
};

struct guest_nic {
    uint32_t bridge;
    char bridge_name[NAME_TEXT];
    uint8_t mac[MAC_SIZE];
    uint8_t device_mac[MAC_SIZE]; /* that its device came with when that is another one; else zeros. The caller's. */
    unsigned mtu;
    bool raw; /* leave it alone: no addresses, no routes */
    char ip4[ADDR4_TEXT], ip6[ADDR6_TEXT];
    unsigned prefix4, prefix6;
    struct guest_route *routes;
    size_t route_count;
};

struct guest_plan {
    struct guest_nic *nics;
    size_t nic_count;
    char *hosts;       /* lines for the marked block */
    char *resolv_conf; /* NULL: leave it alone */
    bool resolv_force; /* overwrite whatever is there */
};
