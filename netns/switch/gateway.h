/* The gateway of a bridge: port 0, host number 1. It answers ARP, neighbour discovery and echo,
 * serves DHCP and DNS, routes to other bridges and to the uplink. It exists while anything needs
 * it. Shared by the core's files. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "switch/packet.h"
#include "switch/switch.h"

struct dhcp;
struct dns_proxy;
struct neighbours;
struct tcp_server;

struct gateway {
    struct bridge *bridge;
    struct port *port;
    bool on;
    uint8_t mac[MAC_SIZE];
    struct ip ip4, ip6, link_local;
    struct neighbours *neighbours;
    struct dhcp *dhcp;
    struct dns_proxy *dns;
    struct tcp_server *tcp;
    bool uplink, uplink6; /* the latter: for IPv6 too */
    struct outlet uplink_outlet;
};

struct gateway *gateway_new(struct bridge *b);
void gateway_free(struct gateway *g);
/* After a change of options, routes or uplink: comes or goes. */
void gateway_update(struct gateway *g);
/* A frame was delivered to the gateway's port. */
void gateway_receive(struct gateway *g, struct port *from, struct frame f, int64_t now);
int64_t gateway_next(const struct gateway *g);
void gateway_advance(struct gateway *g, int64_t now);

/* Sends a frame whose MAC addresses are filled in, and drops the reference. */
void gateway_send(struct gateway *g, struct frame f, int64_t now);
/* As gateway_send, to the station that sent `request`. */
void gateway_reply(struct gateway *g, struct frame request, struct frame f, int64_t now);
/* One of the gateway's own addresses. */
bool gateway_is_address(const struct gateway *g, const struct ip *ip);
/* A packet for the gateway itself, which came in `f` from the bridge of `g`. `at` is the gateway
 * that it is for: `g`, or that of a bridge routed to it. */
void gateway_local(struct gateway *g, struct gateway *at, struct port *from, struct frame f,
                   const struct packet *p, int64_t now);
