/* DNS on the gateway: answers what it knows, passes other questions to the uplink when there is
 * one, over UDP and TCP.
 *
 * On the uplink's link a question travels as an Ethernet frame of type DNS_RELAY_ETHERTYPE: a
 * 16-bit token, a byte that says whether the client came by TCP, a zero byte, the message. The
 * answer comes back in the same form. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "switch/packet.h"

#define DNS_RELAY_ETHERTYPE 0x88b5 /* IEEE 802: local experiments */
#define DNS_RELAY_HEADER    4
#define DNS_RELAY_MAX       (FRAME_MAX - ETHERNET_SIZE - DNS_RELAY_HEADER)

struct dns_proxy;
struct gateway;
struct port;

/* Where the answer goes. */
struct dns_client {
    struct port *port;
    uint32_t connection; /* of the TCP server; 0: UDP, to … */
    uint8_t mac[MAC_SIZE];
    struct ip local, remote;
    uint16_t remote_port;
};

struct dns_proxy *dns_proxy_new(struct gateway *g);
void dns_proxy_free(struct dns_proxy *d);
void dns_proxy_query(struct dns_proxy *d, const struct dns_client *client, const uint8_t *query,
                     size_t size, int64_t now);
/* A frame of the relay's type came from the uplink. */
void dns_proxy_relayed(struct dns_proxy *d, struct frame f, int64_t now);
int64_t dns_proxy_next(const struct dns_proxy *d);
void dns_proxy_advance(struct dns_proxy *d, int64_t now);
