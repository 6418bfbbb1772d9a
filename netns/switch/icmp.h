/* ICMP and ICMPv6 (RFC 792, RFC 4443): echo, and errors about packets that could not be forwarded.
 */
#pragma once

#include <stdint.h>

#include "switch/packet.h"

struct gateway;

enum icmp_error {
    ICMP_TIME_EXCEEDED,
    ICMP_NO_ROUTE,
    ICMP_NO_HOST,
    ICMP_NO_PORT,
    ICMP_TOO_BIG,
};

/* The answer to an echo request; false when the packet isn't one. */
bool icmp_echo(struct gateway *g, struct frame f, const struct packet *p, int64_t now);
/* Tells the sender of `p`, which came in the frame `f` from the gateway's bridge. Keeps silent
 * where RFC 1122 3.2.2 and RFC 4443 2.4 say so. */
void icmp_send_error(struct gateway *g, struct frame f, const struct packet *p,
                     enum icmp_error error, uint32_t mtu, int64_t now);
/* `f` waited for a neighbour on the bridge of `g` in vain; it had been routed there from bridge
 * `origin`. */
void icmp_host_unreachable(struct gateway *g, struct frame f, uint32_t origin, int64_t now);
