/* IP packets in Ethernet frames: parsed, checked, made. For both families at once wherever they
 * don't differ. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "switch/frame.h"
#include "switch/types.h"

#define ETHERNET_SIZE 14
#define IP4_SIZE      20
#define IP6_SIZE      40
#define UDP_SIZE      8

#define ETHERTYPE_IP4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_IP6 0x86dd

#define PROTOCOL_ICMP4 1
#define PROTOCOL_TCP   6
#define PROTOCOL_UDP   17
#define PROTOCOL_ICMP6 58

struct ip {
    uint8_t family;    /* 4 or 6 */
    uint8_t bytes[16]; /* IPv4: the first four, the rest zero */
};

struct packet {
    uint8_t family, ttl, protocol;
    bool fragment;       /* any but a whole packet */
    bool later_fragment; /* not the first one */
    bool dont_fragment;
    struct ip source, destination;
    const uint8_t *start, *payload; /* payload: behind the (basic, IPv6) header */
    size_t size, payload_size;      /* without what Ethernet padded */
};

struct ip ip4_of(uint32_t address);
struct ip ip6_of(const uint8_t address[16]);
uint32_t ip4_value(const struct ip *ip);
bool ip_equal(const struct ip *a, const struct ip *b);
/* Neither multicast, broadcast (255.255.255.255), unspecified nor loopback. */
bool ip_is_host(const struct ip *ip);

/* Validates the header, its checksum and the lengths. */
bool packet_parse(const uint8_t *data, size_t size, struct packet *ret);
/* A frame with an IP header around `size` bytes of payload, which *ret_payload points to. MAC
 * addresses and payload are the caller's to fill; then packet_seal. */
struct frame packet_new(const struct ip *from, const struct ip *to, uint8_t protocol, size_t size,
                        uint8_t **ret_payload);
/* Fills in the checksum of an ICMP, UDP or TCP payload. */
void packet_seal(struct frame f);
/* The transport checksum over a whole (unfragmented) packet; 0 when right. */
uint16_t packet_checksum(const struct packet *p);

/* The Internet checksum (RFC 1071), continued from `sum`. */
uint32_t checksum_add(uint32_t sum, const void *data, size_t size);
uint16_t checksum_fold(uint32_t sum);

static inline void ethernet_fill(struct frame f, const uint8_t to[MAC_SIZE],
                                 const uint8_t from[MAC_SIZE])
{
    __builtin_memcpy(f.data, to, MAC_SIZE);
    __builtin_memcpy(f.data + MAC_SIZE, from, MAC_SIZE);
}
