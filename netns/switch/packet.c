#include "switch/packet.h"

#include <string.h>

#include "switch/bytes.h"

#define TTL_DEFAULT       64
#define FRAGMENT_HEADER6  44
#define IP4_DONT_FRAGMENT 0x4000
#define IP4_MORE          0x2000
#define IP4_OFFSET        0x1fff

struct ip ip4_of(uint32_t address)
{
    struct ip ip = {.family = 4};
    put32(ip.bytes, address);
    return ip;
}

struct ip ip6_of(const uint8_t address[16])
{
    struct ip ip = {.family = 6};
    memcpy(ip.bytes, address, 16);
    return ip;
}

uint32_t ip4_value(const struct ip *ip)
{
    return get32(ip->bytes);
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
    return a->family == b->family && !memcmp(a->bytes, b->bytes, 16);
}

bool ip_is_host(const struct ip *ip)
{
    static const uint8_t loopback[16] = {[15] = 1}, unspecified[16];
    if (ip->family == 4)
        return ip->bytes[0] && ip->bytes[0] != 127 && ip->bytes[0] < 224;
    return ip->bytes[0] != 0xff && memcmp(ip->bytes, loopback, 16) &&
           memcmp(ip->bytes, unspecified, 16);
}

uint32_t checksum_add(uint32_t sum, const void *data, size_t size)
{
    const uint8_t *p = data;
    uint64_t wide = sum;
    for (; size > 1; p += 2, size -= 2)
        wide += get16(p);
    if (size)
        wide += (uint32_t)*p << 8;
    while (wide >> 32)
        wide = (wide & UINT32_MAX) + (wide >> 32);
    return (uint32_t)wide;
}

uint16_t checksum_fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static bool parse4(const uint8_t *data, size_t size, struct packet *ret)
{
    if (size < IP4_SIZE)
        return false;
    size_t header = (data[0] & 15) * 4u, total = get16(data + 2);
    if (header < IP4_SIZE || total < header || total > size ||
        checksum_fold(checksum_add(0, data, header)))
        return false;
    uint16_t fragment = get16(data + 6);
    *ret = (struct packet){
        .family = 4,
        .ttl = data[8],
        .protocol = data[9],
        .fragment = fragment & (IP4_MORE | IP4_OFFSET),
        .later_fragment = fragment & IP4_OFFSET,
        .dont_fragment = fragment & IP4_DONT_FRAGMENT,
        .source = ip4_of(get32(data + 12)),
        .destination = ip4_of(get32(data + 16)),
        .start = data,
        .payload = data + header,
        .size = total,
        .payload_size = total - header,
    };
    return true;
}

static bool parse6(const uint8_t *data, size_t size, struct packet *ret)
{
    if (size < IP6_SIZE || size - IP6_SIZE < get16(data + 4))
        return false;
    size_t payload = get16(data + 4);
    *ret = (struct packet){
        .family = 6,
        .ttl = data[7],
        .protocol = data[6],
        .dont_fragment = true,
        .source = ip6_of(data + 8),
        .destination = ip6_of(data + 24),
        .start = data,
        .payload = data + IP6_SIZE,
        .size = IP6_SIZE + payload,
        .payload_size = payload,
    };
    if (ret->protocol == FRAGMENT_HEADER6) {
        ret->fragment = true;
        ret->later_fragment = payload < 4 || get16(ret->payload + 2) >> 3;
    }
    return true;
}

bool packet_parse(const uint8_t *data, size_t size, struct packet *ret)
{
    if (!size)
        return false;
    switch (data[0] >> 4) {
    case 4:
        return parse4(data, size, ret);
    case 6:
        return parse6(data, size, ret);
    default:
        return false;
    }
}

struct frame packet_new(const struct ip *from, const struct ip *to, uint8_t protocol, size_t size,
                        uint8_t **ret_payload)
{
    bool six = from->family == 6;
    size_t header = six ? IP6_SIZE : IP4_SIZE;
    struct frame f = frame_new(ETHERNET_SIZE + header + size);
    uint8_t *ip = f.data + ETHERNET_SIZE;
    put16(f.data + 12, six ? ETHERTYPE_IP6 : ETHERTYPE_IP4);
    memset(ip, 0, header);
    if (six) {
        ip[0] = 6 << 4;
        put16(ip + 4, (uint16_t)size);
        ip[6] = protocol;
        ip[7] = TTL_DEFAULT;
        memcpy(ip + 8, from->bytes, 16);
        memcpy(ip + 24, to->bytes, 16);
    } else {
        ip[0] = 4 << 4 | IP4_SIZE / 4;
        put16(ip + 2, (uint16_t)(header + size));
        put16(ip + 6, IP4_DONT_FRAGMENT);
        ip[8] = TTL_DEFAULT;
        ip[9] = protocol;
        memcpy(ip + 12, from->bytes, 4);
        memcpy(ip + 16, to->bytes, 4);
        put16(ip + 10, checksum_fold(checksum_add(0, ip, IP4_SIZE)));
    }
    *ret_payload = ip + header;
    return f;
}

uint16_t packet_checksum(const struct packet *p)
{
    uint32_t sum = 0;
    if (p->protocol != PROTOCOL_ICMP4) { /* the pseudo-header of RFC 768 and RFC 8200 8.1 */
        size_t width = p->family == 6 ? 16 : 4;
        sum = checksum_add(sum, p->source.bytes, width);
        sum = checksum_add(sum, p->destination.bytes, width);
        sum += p->protocol + (uint32_t)p->payload_size;
    }
    return checksum_fold(checksum_add(sum, p->payload, p->payload_size));
}

void packet_seal(struct frame f)
{
    struct packet p;
    if (!packet_parse(f.data + ETHERNET_SIZE, f.len - ETHERNET_SIZE, &p))
        return;
    size_t at = p.protocol == PROTOCOL_UDP ? 6 : p.protocol == PROTOCOL_TCP ? 16 : 2;
    uint8_t *payload = f.data + (p.payload - f.data);
    put16(payload + at, 0);
    uint16_t sum = packet_checksum(&p);
    put16(payload + at, sum || p.protocol != PROTOCOL_UDP ? sum : 0xffff);
}
