/* Which subnet, addresses and MACs a bridge and its members get: pure rules. IPv4 addresses are in
 * host order. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "switch/types.h"

#define BRIDGE_NUMBERS 16384
#define IPV6_MTU_MIN   1280

struct subnet {
    uint32_t net4;
    unsigned prefix4;
    uint8_t net6[16];
    bool has6; /* the MTU allows IPv6 */
};

/* The number a bridge of that name begins to look from. */
unsigned address_number(const char *bridge);
/* IPv4 and IPv6 of that number. */
void subnet_of_number(unsigned number, struct subnet *ret);
/* "10.9.0.0/24", prefix 8 to 28; "fd00:1::/64". */
int subnet_parse4(const char *text, struct subnet *ret, struct err *e);
int subnet_parse6(const char *text, struct subnet *ret, struct err *e);
/* 4 or 6 for the family that collides, 0 for none. */
int subnet_overlap(const struct subnet *a, const struct subnet *b);

static inline uint32_t subnet_mask(const struct subnet *s)
{
    return UINT32_MAX << (32 - s->prefix4);
}
static inline uint32_t subnet_host4(const struct subnet *s, uint32_t host)
{
    return s->net4 + host;
}
static inline uint32_t subnet_broadcast(const struct subnet *s)
{
    return s->net4 | ~subnet_mask(s);
}
static inline bool subnet_has4(const struct subnet *s, uint32_t address)
{
    return (address & subnet_mask(s)) == s->net4;
}
bool subnet_has6(const struct subnet *s, const uint8_t address[16]);
void subnet_host6(const struct subnet *s, uint32_t host, uint8_t ret[16]);
/* The host number of the first member. */
uint32_t subnet_first_member(const struct subnet *s);

void address_text4(uint32_t address, char ret[ADDR4_TEXT]);
void address_text6(const uint8_t address[16], char ret[ADDR6_TEXT]);

/* 52:54:00 and three bytes of the hash of "<vm>-<bridge>", or "<vm>-<bridge>-<attempt>" from the
 * second attempt on. */
void mac_of_member(const char *vm, const char *bridge, unsigned attempt, uint8_t ret[MAC_SIZE]);
void mac_of_gateway(const char *bridge, uint8_t ret[MAC_SIZE]);
void mac_text(const uint8_t mac[MAC_SIZE], char ret[MAC_TEXT]);
