/* Forwarding: look up the way out, lower the TTL, keep to the MTU there (fragmenting IPv4 where
 * allowed), and hand the packet to that side's neighbours. Each bridge's gateway sends on its own
 * bridge only; that way a packet meets the impairments of both bridges, as traffic from and to
 * "@gateway".
 *
 * A packet never leaves by the bridge that it came from: two members that are partitioned or
 * isolated can't meet at the gateway. Routes are not transitive: what came from the uplink or
 * another bridge goes to this bridge's own subnet. */
#include "switch/router.h"

#include <string.h>

#include "switch/bytes.h"
#include "switch/core.h"
#include "switch/dnsproxy.h"
#include "switch/gateway.h"
#include "switch/icmp.h"
#include "switch/neighbour.h"
#include "switch/route.h"

/* A way out: a neighbour on a bridge, or the uplink (`to` NULL). */
struct way {
    struct gateway *gateway; /* whose bridge, or whose uplink */
    const struct ip *to;
    uint32_t origin;
};

static bool contains(const struct bridge *b, const struct ip *ip)
{
    return ip->family == 4 ? subnet_has4(&b->subnet, ip4_value(ip))
                           : subnet_has6(&b->subnet, ip->bytes);
}

/* A copy with the sender's MAC kept (for errors) and the TTL lowered. */
static struct frame forwarded(struct frame f, const struct packet *p)
{
    struct frame copy = frame_from(f.data, ETHERNET_SIZE + p->size);
    uint8_t *ip = copy.data + ETHERNET_SIZE;
    if (p->family == 6) {
        ip[7]--;
    } else {
        ip[8]--;
        uint32_t sum = get16(ip + 10) + 0x100u; /* RFC 1141 */
        put16(ip + 10, (uint16_t)(sum + (sum >> 16)));
    }
    return copy;
}

static void leave(const struct way *way, struct frame f, int64_t now)
{
    struct gateway *g = way->gateway;
    if (way->to) {
        neighbours_send(g->neighbours, way->to, f, way->origin, now);
        return;
    }
    ethernet_fill(f, (uint8_t[MAC_SIZE]){0x52, 0x55, [5] = 2}, g->mac);
    if (queue_push(&g->uplink_outlet.queue, f))
        switch_make_ready(g->bridge->owner, &g->uplink_outlet);
    else
        g->bridge->stats.dropped_queue++;
    frame_unref(f);
}

/* RFC 791 3.2. Options are copied to all pieces, which the receiver must bear. */
static void leave_in_fragments(const struct way *way, struct frame f, size_t mtu, int64_t now)
{
    const uint8_t *ip = f.data + ETHERNET_SIZE;
    size_t header = (ip[0] & 15) * 4u, total = get16(ip + 2), step = (mtu - header) & ~(size_t)7;
    uint16_t flags = get16(ip + 6);
    for (size_t at = header; at < total; at += step) {
        size_t part = total - at < step ? total - at : step;
        struct frame piece = frame_new(ETHERNET_SIZE + header + part);
        uint8_t *to = piece.data + ETHERNET_SIZE;
        memcpy(piece.data, f.data, ETHERNET_SIZE + header);
        memcpy(to + header, ip + at, part);
        put16(to + 2, (uint16_t)(header + part));
        uint16_t more = at + part < total ? 0x2000 : flags & 0x2000;
        put16(to + 6, (uint16_t)(more | ((flags & 0x1fff) + (at - header) / 8)));
        put16(to + 10, 0);
        put16(to + 10, checksum_fold(checksum_add(0, to, header)));
        leave(way, piece, now);
    }
    frame_unref(f);
}

/* `g` is the gateway that tells the sender of errors. */
static void pass_on(struct gateway *g, const struct way *way, struct frame f,
                    const struct packet *p, int64_t now)
{
    size_t mtu = way->gateway->bridge->mtu;
    if (p->ttl <= 1) {
        icmp_send_error(g, f, p, ICMP_TIME_EXCEEDED, 0, now);
        return;
    }
    if (p->size <= mtu)
        leave(way, forwarded(f, p), now);
    else if (p->dont_fragment || mtu < (p->start[0] & 15) * 4u + 8)
        icmp_send_error(g, f, p, ICMP_TOO_BIG, (uint32_t)mtu, now);
    else
        leave_in_fragments(way, forwarded(f, p), mtu, now);
}

void router_to_uplink(struct gateway *g, struct frame f, const struct packet *p, int64_t now)
{
    pass_on(g, &(struct way){.gateway = g}, f, p, now);
}

static bool is_link_local(const struct ip *ip)
{
    return ip->family == 6 ? ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80
                           : ip->bytes[0] == 169 && ip->bytes[1] == 254;
}

void router_forward(struct gateway *g, struct port *from, struct frame f, const struct packet *p,
                    int64_t now)
{
    if (!ip_is_host(&p->source) || !ip_is_host(&p->destination) || is_link_local(&p->source) ||
        is_link_local(&p->destination))
        return;
    if (contains(g->bridge, &p->destination)) {
        icmp_send_error(g, f, p, ICMP_NO_HOST, 0, now);
        return;
    }
    struct bridge *other;
    for (size_t i = 0; (other = bridge_route_at(g->bridge, i, true)); i++) {
        if (!contains(other, &p->destination))
            continue;
        if (gateway_is_address(other->gateway, &p->destination)) {
            gateway_local(g, other->gateway, from, f, p, now);
            return;
        }
        if (p->family == 4 && (ip4_value(&p->destination) == subnet_broadcast(&other->subnet) ||
                               ip4_value(&p->destination) == other->subnet.net4))
            return;
        struct way way = {
            .gateway = other->gateway, .to = &p->destination, .origin = g->bridge->id};
        pass_on(g, &way, f, p, now);
        return;
    }
    if (p->family == 6 ? g->uplink6 : g->uplink)
        router_to_uplink(g, f, p, now);
    else
        icmp_send_error(g, f, p, ICMP_NO_ROUTE, 0, now);
}

/* ---- the uplink's side ---- */

static void uplink_send(struct gateway *g, struct frame f)
{
    if (queue_push(&g->uplink_outlet.queue, f))
        switch_make_ready(g->bridge->owner, &g->uplink_outlet);
    frame_unref(f);
}

void bridge_uplink_input(struct bridge *b, struct frame f, int64_t now)
{
    struct gateway *g = b->gateway;
    struct frame reply;
    struct packet p;
    if (f.len < FRAME_MIN || f.len > FRAME_MAX || !g->uplink)
        return;
    if (get16(f.data + 12) == DNS_RELAY_ETHERTYPE) {
        dns_proxy_relayed(g->dns, f, now);
        return;
    }
    if (get16(f.data + 12) == ETHERTYPE_ARP) {
        if (arp_receive(g, f, true, &reply, now))
            uplink_send(g, reply);
        return;
    }
    if (!packet_parse(f.data + ETHERNET_SIZE, f.len - ETHERNET_SIZE, &p))
        return;
    if (p.family == 6 && p.protocol == PROTOCOL_ICMP6 &&
        discovery_receive(g, f, &p, true, &reply, now)) {
        uplink_send(g, reply);
        return;
    }
    if (!contains(b, &p.destination) || !ip_is_host(&p.destination) ||
        gateway_is_address(g, &p.destination) || p.ttl <= 1 || p.size > b->mtu)
        return;
    struct way way = {.gateway = g, .to = &p.destination};
    pass_on(g, &way, f, &p, now);
}
