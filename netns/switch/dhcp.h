/* The DHCPv4 server (RFC 2131): members get their own address, others a lease of 3600 s. */
#pragma once

#include <stdint.h>

#include "switch/packet.h"

struct dhcp;
struct gateway;

struct dhcp *dhcp_new(void);
void dhcp_free(struct dhcp *d);
/* A UDP packet to port 67; *ret is the answer's frame, if any. */
bool dhcp_receive(struct gateway *g, const struct packet *p, struct frame *ret, int64_t now);
/* The lowest leased address, or `none`. */
uint32_t dhcp_lowest_lease(const struct dhcp *d, uint32_t none);
