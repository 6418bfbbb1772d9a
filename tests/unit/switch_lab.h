/* A switch with one bridge and ports whose frames the test takes out by hand. */
#pragma once

#include "unit.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "switch/bytes.h"
#include "switch/core.h"
#include "switch/gateway.h"
#include "switch/impair.h"
#include "switch/route.h"

static inline struct bridge *lab_bridge(struct netswitch *s, const char *name, bool raw)
{
    struct bridge *b = bridge_new(s, name, &(struct bridge_options){.raw = raw}, NULL);
    assert_non_null(b);
    return b;
}

/* Attached and connected. */
static inline struct port *lab_port(struct bridge *b, const char *name)
{
    assert_int_equal(bridge_attach(b, &(struct member_request){.name = name}, 1, NULL, NULL), 0);
    struct port *p = bridge_member(b, name, NULL);
    port_connect(p, p);
    return p;
}

/* A frame of `len` bytes to a port's MAC (NULL: broadcast) from another's, with a number in it. */
static inline struct frame lab_frame(const struct port *from, const struct port *to, size_t len,
                                     uint32_t number)
{
    struct frame f = frame_new(len);
    memset(f.data, 0, len);
    if (to)
        memcpy(f.data, to->mac, MAC_SIZE);
    else
        memset(f.data, 0xff, MAC_SIZE);
    memcpy(f.data + MAC_SIZE, from->mac, MAC_SIZE);
    put16(f.data + 12, 0x88b6);
    if (len >= 18)
        put32(f.data + 14, number);
    return f;
}

static inline void lab_send_frame(struct port *from, struct frame f, int64_t now)
{
    bridge_input(from, f, now);
    frame_unref(f);
}

static inline void lab_send(struct port *from, const struct port *to, size_t len, uint32_t number,
                            int64_t now)
{
    lab_send_frame(from, lab_frame(from, to, len, number), now);
}

/* The number in the next frame that waits for the port, or -1. */
static inline int64_t lab_receive(struct port *p)
{
    struct frame f;
    if (!queue_pop(&p->outlet.queue, &f))
        return -1;
    int64_t number = f.len >= 18 ? get32(f.data + 14) : 0;
    frame_unref(f);
    return number;
}

static inline unsigned lab_drain(struct port *p)
{
    unsigned n = 0;
    while (lab_receive(p) >= 0)
        n++;
    return n;
}

/* Lets each MAC be learned, and empties the queues. */
static inline void lab_learn(struct port *const *ports, size_t count, int64_t now)
{
    for (size_t i = 0; i < count; i++)
        lab_send(ports[i], NULL, 60, 0, now);
    for (size_t i = 0; i < count; i++)
        lab_drain(ports[i]);
}

/* ---- IP ---- */

static inline struct ip lab_ip4(const char *text)
{
    struct in_addr in;
    assert_int_equal(inet_pton(AF_INET, text, &in), 1);
    return ip4_of(ntohl(in.s_addr));
}

static inline struct ip lab_ip6(const char *text)
{
    struct in6_addr in;
    assert_int_equal(inet_pton(AF_INET6, text, &in), 1);
    return ip6_of(in.s6_addr);
}

static inline struct ip lab_ip_of(const struct port *p, int family)
{
    struct member_info info;
    port_describe(p, &info);
    return family == 4 ? lab_ip4(info.reserved4) : lab_ip6(info.reserved6);
}

/* Sends `payload` to the MAC of the bridge's gateway. */
static inline void lab_send_ip(struct port *from, const struct ip *source, const struct ip *to,
                               uint8_t protocol, const void *payload, size_t size, int64_t now)
{
    uint8_t *at;
    struct frame f = packet_new(source, to, protocol, size, &at);
    memcpy(at, payload, size);
    packet_seal(f);
    ethernet_fill(f, from->bridge->gateway->mac, from->mac);
    lab_send_frame(from, f, now);
}

static inline void lab_send_udp(struct port *from, const struct ip *to, uint16_t source_port,
                                uint16_t port, const void *data, size_t size, int64_t now)
{
    uint8_t udp[2048];
    struct ip source = lab_ip_of(from, to->family);
    put16(udp, source_port);
    put16(udp + 2, port);
    put16(udp + 4, (uint16_t)(8 + size));
    put16(udp + 6, 0);
    memcpy(udp + 8, data, size);
    lab_send_ip(from, &source, to, PROTOCOL_UDP, udp, 8 + size, now);
}

/* The next frame for the port; the caller drops it. Fails the test when there is none. */
static inline struct frame lab_take(struct port *p)
{
    struct frame f;
    assert_true(queue_pop(&p->outlet.queue, &f));
    return f;
}

/* … which is an IP packet with right checksums. */
static inline struct frame lab_take_packet(struct port *p, struct packet *ret)
{
    struct frame f = lab_take(p);
    assert_true(packet_parse(f.data + ETHERNET_SIZE, f.len - ETHERNET_SIZE, ret));
    if (!ret->fragment)
        assert_int_equal(packet_checksum(ret), 0);
    return f;
}

/* Answers the ARP request or neighbour solicitation that waits for `p`, which must be about its own
 * address. */
static inline void lab_answer(struct port *p, int64_t now)
{
    struct frame f = lab_take(p);
    const struct gateway *g = p->bridge->gateway;
    if (get16(f.data + 12) == ETHERTYPE_ARP) {
        struct ip own = lab_ip_of(p, 4);
        assert_memory_equal(f.data + 38, own.bytes, 4);
        struct frame r = frame_copy(f);
        ethernet_fill(r, f.data + 6, p->mac);
        put16(r.data + 20, 2);
        memcpy(r.data + 22, p->mac, 6);
        memcpy(r.data + 28, own.bytes, 4);
        memcpy(r.data + 32, f.data + 22, 10);
        lab_send_frame(p, r, now);
    } else {
        struct ip own = lab_ip_of(p, 6);
        uint8_t nd[32] = {136, [4] = 0x60, [24] = 2, [25] = 1};
        uint8_t *at;
        assert_memory_equal(f.data + ETHERNET_SIZE + IP6_SIZE + 8, own.bytes, 16);
        memcpy(nd + 8, own.bytes, 16);
        memcpy(nd + 26, p->mac, 6);
        struct frame r = packet_new(&own, &g->ip6, PROTOCOL_ICMP6, sizeof(nd), &at);
        memcpy(at, nd, sizeof(nd));
        r.data[ETHERNET_SIZE + 7] = 255;
        packet_seal(r);
        ethernet_fill(r, g->mac, p->mac);
        lab_send_frame(p, r, now);
    }
    frame_unref(f);
}
