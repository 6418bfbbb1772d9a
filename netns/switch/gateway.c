/* What the gateway does with a frame that the bridge delivered to it: address resolution, its own
 * services, else the router. Answers to a station on the bridge go back to the MAC address that
 * asked; only routed packets need the neighbour table. */
#include "switch/gateway.h"

#include <string.h>

#include "base/alloc.h"
#include "switch/bytes.h"
#include "switch/core.h"
#include "switch/dhcp.h"
#include "switch/dnsproxy.h"
#include "switch/icmp.h"
#include "switch/neighbour.h"
#include "switch/router.h"
#include "switch/tcp.h"

#define PORT_DNS         53
#define PORT_DHCP_SERVER 67

struct gateway *gateway_new(struct bridge *b)
{
    struct gateway *g = xnew0(struct gateway);
    uint8_t address[16] = {0xfe, 0x80};
    g->bridge = b;
    g->port = b->ports[0];
    memcpy(g->mac, g->port->mac, MAC_SIZE);
    g->ip4 = ip4_of(subnet_host4(&b->subnet, 1));
    memcpy(address + 8,
           (const uint8_t[8]){g->mac[0] ^ 2, g->mac[1], g->mac[2], 0xff, 0xfe, g->mac[3], g->mac[4],
                              g->mac[5]},
           8);
    g->link_local = ip6_of(address);
    subnet_host6(&b->subnet, 1, address);
    g->ip6 = ip6_of(address);
    g->neighbours = neighbours_new(g);
    g->dhcp = dhcp_new();
    g->dns = dns_proxy_new(g);
    g->tcp = tcp_server_new(g);
    return g;
}

void gateway_free(struct gateway *g)
{
    if (!g)
        return;
    switch_forget_outlet(g->bridge->owner, &g->uplink_outlet);
    neighbours_free(g->neighbours);
    dhcp_free(g->dhcp);
    dns_proxy_free(g->dns);
    tcp_server_free(g->tcp);
    free(g);
}

void gateway_update(struct gateway *g)
{
    struct bridge *b = g->bridge;
    g->on = !b->raw || b->dhcp || b->dns != TOGGLE_OFF || b->route_count || g->uplink;
    b->gateway_mac = g->on ? mac_value(g->mac) : 0;
    g->port->connected = g->on;
    if (!g->on)
        neighbours_forget(g->neighbours);
    bridge_update_up(b);
}

struct outlet *bridge_uplink_start(struct bridge *b, bool ipv6, void *connection)
{
    b->gateway->uplink = true;
    b->gateway->uplink6 = ipv6 && b->subnet.has6;
    b->gateway->uplink_outlet.connection = connection;
    gateway_update(b->gateway);
    return &b->gateway->uplink_outlet;
}

void bridge_uplink_stop(struct bridge *b)
{
    struct gateway *g = b->gateway;
    g->uplink = g->uplink6 = false;
    switch_forget_outlet(b->owner, &g->uplink_outlet);
    g->uplink_outlet = (struct outlet){0};
    gateway_update(g);
}

struct outlet *bridge_uplink_outlet(const struct bridge *b)
{
    return b->gateway->uplink ? &b->gateway->uplink_outlet : NULL;
}

bool bridge_has_uplink(const struct bridge *b)
{
    return b->gateway->uplink;
}

int64_t gateway_next(const struct gateway *g)
{
    int64_t next = neighbours_next(g->neighbours);
    int64_t dns = dns_proxy_next(g->dns), tcp = tcp_next(g->tcp);
    next = dns < next ? dns : next;
    return tcp < next ? tcp : next;
}

void gateway_advance(struct gateway *g, int64_t now)
{
    neighbours_advance(g->neighbours, now);
    dns_proxy_advance(g->dns, now);
    tcp_advance(g->tcp, now);
}

void gateway_send(struct gateway *g, struct frame f, int64_t now)
{
    bridge_input(g->port, f, now);
    frame_unref(f);
}

void gateway_reply(struct gateway *g, struct frame request, struct frame f, int64_t now)
{
    ethernet_fill(f, request.data + MAC_SIZE, g->mac);
    gateway_send(g, f, now);
}

bool gateway_is_address(const struct gateway *g, const struct ip *ip)
{
    if (ip->family == 4)
        return ip_equal(ip, &g->ip4);
    return g->bridge->subnet.has6 && (ip_equal(ip, &g->ip6) || ip_equal(ip, &g->link_local));
}

/* ---- services ---- */

static void receive_dns(struct gateway *g, struct port *from, struct frame f,
                        const struct packet *p, int64_t now)
{
    struct dns_client client = {
        .port = from,
        .local = p->destination,
        .remote = p->source,
        .remote_port = get16(p->payload),
    };
    memcpy(client.mac, f.data + MAC_SIZE, MAC_SIZE);
    dns_proxy_query(g->dns, &client, p->payload + UDP_SIZE, get16(p->payload + 4) - UDP_SIZE, now);
}

static bool valid_udp(const struct packet *p)
{
    if (p->payload_size < UDP_SIZE)
        return false;
    size_t size = get16(p->payload + 4);
    bool unchecked = p->family == 4 && !get16(p->payload + 6);
    return size >= UDP_SIZE && size <= p->payload_size && (unchecked || !packet_checksum(p));
}

/* True when the packet was for a service that runs here. */
static bool serve(struct gateway *g, struct port *from, struct frame f, const struct packet *p,
                  int64_t now)
{
    struct bridge *b = g->bridge;
    struct frame reply;
    if (p->payload_size < 4)
        return false;
    uint16_t port = get16(p->payload + 2);
    if (p->protocol == PROTOCOL_UDP && valid_udp(p)) {
        if (port == PORT_DHCP_SERVER && p->family == 4 && b->dhcp) {
            if (dhcp_receive(g, p, &reply, now))
                gateway_send(g, reply, now);
            return true;
        }
        if (port == PORT_DNS && b->dns != TOGGLE_OFF && gateway_is_address(g, &p->destination)) {
            receive_dns(g, from, f, p, now);
            return true;
        }
    }
    if (p->protocol == PROTOCOL_TCP && port == PORT_DNS && b->dns != TOGGLE_OFF &&
        gateway_is_address(g, &p->destination)) {
        if (!packet_checksum(p))
            tcp_receive(g->tcp, from, f, p, now);
        return true;
    }
    return false;
}

void gateway_local(struct gateway *g, struct gateway *at, struct port *from, struct frame f,
                   const struct packet *p, int64_t now)
{
    bool own = at == g, to_address = gateway_is_address(at, &p->destination);
    if (!p->fragment) {
        if ((to_address && icmp_echo(g, f, p, now)) || (own && serve(g, from, f, p, now)))
            return;
    }
    if (!to_address || p->protocol == PROTOCOL_ICMP4 || p->protocol == PROTOCOL_ICMP6)
        return;
    if (own && g->uplink && !ip_equal(&p->destination, &g->link_local))
        router_to_uplink(g, f, p, now);
    else if (p->protocol == PROTOCOL_TCP && !p->fragment)
        tcp_refuse(g, f, p, now);
    else
        icmp_send_error(g, f, p, ICMP_NO_PORT, 0, now);
}

static bool is_local(const struct gateway *g, const struct packet *p)
{
    if (gateway_is_address(g, &p->destination))
        return true;
    if (p->family == 6)
        return false;
    uint32_t to = ip4_value(&p->destination);
    return to == UINT32_MAX || to == subnet_broadcast(&g->bridge->subnet);
}

static bool is_discovery(const struct packet *p)
{
    return p->family == 6 && p->protocol == PROTOCOL_ICMP6 && p->payload_size &&
           (p->payload[0] == 135 || p->payload[0] == 136);
}

void gateway_receive(struct gateway *g, struct port *from, struct frame f, int64_t now)
{
    struct packet p;
    struct frame reply;
    uint16_t type = get16(f.data + 12);
    if (type == ETHERTYPE_ARP) {
        if (arp_receive(g, f, false, &reply, now))
            gateway_send(g, reply, now);
        return;
    }
    if ((type != ETHERTYPE_IP4 && type != ETHERTYPE_IP6) ||
        !packet_parse(f.data + ETHERNET_SIZE, f.len - ETHERNET_SIZE, &p) ||
        p.family != (type == ETHERTYPE_IP4 ? 4 : 6) || (p.family == 6 && !g->bridge->subnet.has6))
        return;
    if (is_discovery(&p)) {
        if (discovery_receive(g, f, &p, false, &reply, now))
            gateway_send(g, reply, now);
    } else if (is_local(g, &p)) {
        gateway_local(g, g, from, f, &p, now);
    } else if (!memcmp(f.data, g->mac, MAC_SIZE)) {
        router_forward(g, from, f, &p, now);
    }
}
