/* The router: between bridges, and between a bridge and its uplink. */
#pragma once

#include <stdint.h>

#include "switch/packet.h"

struct gateway;
struct port;

/* A packet that a member sent to the gateway's MAC, for somebody else. */
void router_forward(struct gateway *g, struct port *from, struct frame f, const struct packet *p,
                    int64_t now);
/* A packet that belongs to the uplink although it is addressed to the gateway: there, the gateway's
 * address stands for the host. */
void router_to_uplink(struct gateway *g, struct frame f, const struct packet *p, int64_t now);
