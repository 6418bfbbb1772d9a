/* The gateway's neighbours: IPv4 by ARP (RFC 826), IPv6 by neighbour discovery (RFC 4861). Answers
 * for the gateway's own addresses and finds the MAC addresses of others, keeping what waits for
 * them. */
#pragma once

#include <stdint.h>

#include "switch/frame.h"
#include "switch/packet.h"

struct gateway;
struct neighbours;

struct neighbours *neighbours_new(struct gateway *g);
void neighbours_free(struct neighbours *n);
/* Sends a packet's frame to `to` on the gateway's own bridge, at once or when its MAC is known; if
 * that fails, the bridge `origin` from which it was routed (0: none) tells its sender. Takes over
 * the reference. */
void neighbours_send(struct neighbours *n, const struct ip *to, struct frame f, uint32_t origin,
                     int64_t now);
/* `mac` has answered for `ip`. */
void neighbours_learn(struct neighbours *n, const struct ip *ip, const uint8_t mac[MAC_SIZE],
                      int64_t now);
void neighbours_forget(struct neighbours *n);
int64_t neighbours_next(const struct neighbours *n);
void neighbours_advance(struct neighbours *n, int64_t now);

/* Protocol: the frame is an ARP packet; the packet is ICMPv6 of type neighbour solicitation or
 * advertisement. `proxy`: answer for every address (on the uplink, where the gateway stands for all
 * guests). The answer, if any, is *ret. */
bool arp_receive(struct gateway *g, struct frame f, bool proxy, struct frame *ret, int64_t now);
bool discovery_receive(struct gateway *g, struct frame f, const struct packet *p, bool proxy,
                       struct frame *ret, int64_t now);
