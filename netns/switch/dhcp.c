/* Leases are given from the top of the subnet downward, members' numbers grow from below. A lease
 * is kept by hardware address; one that was only offered runs out after a minute. Relays are not
 * served: every client is on the bridge. */
#include "switch/dhcp.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "switch/bytes.h"
#include "switch/core.h"
#include "switch/gateway.h"
#include "switch/route.h"

#define LEASES_MAX     1024
#define LEASE_S        3600
#define OFFER_NS       (60 * NS_PER_S)
#define HEADER_SIZE    236
#define COOKIE         0x63825363u
#define OPTIONS_AT     (HEADER_SIZE + 4)
#define OPTIONS_MAX    312 /* what every client takes: RFC 2131 2 */
#define MESSAGE_MIN    300 /* RFC 951: clients of old drop less */
#define SERVER_PORT    67
#define CLIENT_PORT    68
#define FLAG_BROADCAST 0x8000

enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM };

struct lease {
    uint8_t mac[MAC_SIZE]; /* all zero: declined by somebody, out of use for a while */
    uint32_t address;
    int64_t expires;
};

struct dhcp {
    struct lease *leases;
    size_t count;
};

struct request {
    const uint8_t *bytes; /* of the fixed part */
    const uint8_t *mac;
    uint8_t type;
    uint32_t client, wanted, server; /* addresses; 0: not given */
};

struct dhcp *dhcp_new(void)
{
    return xnew0(struct dhcp);
}

void dhcp_free(struct dhcp *d)
{
    if (!d)
        return;
    free(d->leases);
    free(d);
}

uint32_t dhcp_lowest_lease(const struct dhcp *d, uint32_t none)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->leases[i].address < none)
            none = d->leases[i].address;
    return none;
}

static void drop_expired(struct dhcp *d, int64_t now)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->count; i++)
        if (d->leases[i].expires > now)
            d->leases[kept++] = d->leases[i];
    d->count = kept;
}

static struct lease *find_lease(const struct dhcp *d, const uint8_t mac[MAC_SIZE])
{
    for (size_t i = 0; i < d->count; i++)
        if (!memcmp(d->leases[i].mac, mac, MAC_SIZE))
            return &d->leases[i];
    return NULL;
}

static const struct port *find_member(const struct bridge *b, const uint8_t mac[MAC_SIZE])
{
    for (size_t i = 1; i < b->port_count; i++)
        if (b->ports[i]->attached && !memcmp(b->ports[i]->mac, mac, MAC_SIZE))
            return b->ports[i];
    return NULL;
}

/* The first address below the broadcast address that is neither leased nor at or below a member's;
 * 0: none. */
static uint32_t free_address(const struct dhcp *d, const struct bridge *b)
{
    bool used[LEASES_MAX] = {false};
    uint32_t highest = subnet_host4(&b->subnet, 1), top = subnet_broadcast(&b->subnet) - 1;
    for (size_t i = 1; i < b->port_count; i++)
        if (subnet_host4(&b->subnet, b->ports[i]->host) > highest)
            highest = subnet_host4(&b->subnet, b->ports[i]->host);
    for (size_t i = 0; i < d->count; i++)
        if (top - d->leases[i].address < LEASES_MAX)
            used[top - d->leases[i].address] = true;
    for (uint32_t i = 0; i < LEASES_MAX && top - i > highest; i++)
        if (!used[i])
            return top - i;
    return 0;
}

/* The address of that hardware address, made now if need be; 0: there is none left. */
static uint32_t address_of(struct dhcp *d, const struct bridge *b, const uint8_t mac[MAC_SIZE],
                           int64_t expires)
{
    const struct port *member = find_member(b, mac);
    if (member)
        return subnet_host4(&b->subnet, member->host);
    struct lease *lease = find_lease(d, mac);
    if (!lease) {
        uint32_t address = d->count < LEASES_MAX ? free_address(d, b) : 0;
        if (!address)
            return 0;
        if (!d->leases)
            d->leases = xnewa(struct lease, LEASES_MAX);
        lease = &d->leases[d->count++];
        *lease = (struct lease){.address = address};
        memcpy(lease->mac, mac, MAC_SIZE);
    }
    if (lease->expires < expires)
        lease->expires = expires;
    return lease->address;
}

/* ---- messages ---- */

static bool parse(const struct packet *p, struct request *r)
{
    const uint8_t *bytes = p->payload + UDP_SIZE, *end = p->payload + get16(p->payload + 4);
    static const uint8_t request_ethernet[3] = {1, 1, MAC_SIZE};
    if (end - bytes < OPTIONS_AT || memcmp(bytes, request_ethernet, 3) ||
        get32(bytes + HEADER_SIZE) != COOKIE || get32(bytes + 24) || bytes[28] & 1)
        return false;
    *r = (struct request){.bytes = bytes, .mac = bytes + 28, .client = get32(bytes + 12)};
    for (const uint8_t *at = bytes + OPTIONS_AT; at < end && *at != 255;) {
        if (!*at) {
            at++;
            continue;
        }
        if (end - at < 2 || end - at < 2 + at[1])
            break;
        if (at[0] == 53 && at[1] == 1)
            r->type = at[2];
        else if (at[0] == 50 && at[1] == 4)
            r->wanted = get32(at + 2);
        else if (at[0] == 54 && at[1] == 4)
            r->server = get32(at + 2);
        at += 2 + at[1];
    }
    return r->type;
}

struct options {
    uint8_t bytes[OPTIONS_MAX];
    size_t size;
};

static void add(struct options *o, uint8_t code, const void *data, size_t size)
{
    if (size > 255 || o->size + 2 + size + 1 > OPTIONS_MAX)
        return;
    o->bytes[o->size++] = code;
    o->bytes[o->size++] = (uint8_t)size;
    memcpy(o->bytes + o->size, data, size);
    o->size += size;
}

static void add32(struct options *o, uint8_t code, uint32_t value)
{
    uint8_t bytes[4];
    put32(bytes, value);
    add(o, code, bytes, sizeof(bytes));
}

/* RFC 3442; a client that takes this option ignores option 3, so that the default route is here
 * too. */
static void add_routes(struct options *o, const struct gateway *g)
{
    uint8_t bytes[255];
    size_t size = 0;
    const struct bridge *other;
    for (size_t i = 0; (other = bridge_route_at(g->bridge, i, true)); i++) {
        size_t significant = (other->subnet.prefix4 + 7) / 8;
        if (size + 1 + significant + 4 > sizeof(bytes) - 5)
            break;
        bytes[size++] = (uint8_t)other->subnet.prefix4;
        uint8_t network[4];
        put32(network, other->subnet.net4);
        memcpy(bytes + size, network, significant);
        size += significant;
        memcpy(bytes + size, g->ip4.bytes, 4);
        size += 4;
    }
    if (!size)
        return;
    if (g->uplink) {
        bytes[size++] = 0;
        memcpy(bytes + size, g->ip4.bytes, 4);
        size += 4;
    }
    add(o, 121, bytes, size);
}

static void add_configuration(struct options *o, const struct gateway *g, const struct port *member)
{
    const struct bridge *b = g->bridge;
    uint8_t mtu[2];
    put16(mtu, (uint16_t)b->mtu);
    add32(o, 1, subnet_mask(&b->subnet));
    add32(o, 28, subnet_broadcast(&b->subnet));
    add(o, 26, mtu, sizeof(mtu));
    add(o, 15, b->name, strlen(b->name));
    if (b->dns != TOGGLE_OFF)
        add32(o, 6, ip4_value(&g->ip4));
    if (g->uplink)
        add32(o, 3, ip4_value(&g->ip4));
    if (member)
        add(o, 12, member->name, strlen(member->name));
    add_routes(o, g);
}

static struct frame reply(const struct gateway *g, const struct request *r, uint8_t type,
                          uint32_t address)
{
    static const uint8_t everybody[MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct options o = {0};
    add(&o, 53, &type, 1);
    add32(&o, 54, ip4_value(&g->ip4));
    if (type != NAK) {
        if (r->type != INFORM)
            add32(&o, 51, LEASE_S);
        add_configuration(&o, g, find_member(g->bridge, r->mac));
    }
    o.bytes[o.size++] = 255;

    bool broadcast = type == NAK || (!r->client && get16(r->bytes + 10) & FLAG_BROADCAST);
    struct ip to = ip4_of(broadcast ? UINT32_MAX : r->client ? r->client : address);
    size_t size = OPTIONS_AT + o.size < MESSAGE_MIN ? MESSAGE_MIN : OPTIONS_AT + o.size;
    uint8_t *udp;
    struct frame f = packet_new(&g->ip4, &to, PROTOCOL_UDP, UDP_SIZE + size, &udp);
    ethernet_fill(f, broadcast ? everybody : r->mac, g->mac);
    put16(udp, SERVER_PORT);
    put16(udp + 2, CLIENT_PORT);
    put16(udp + 4, (uint16_t)(UDP_SIZE + size));
    uint8_t *bytes = udp + UDP_SIZE;
    memset(bytes, 0, size);
    memcpy(bytes, (const uint8_t[3]){2, 1, MAC_SIZE}, 3);
    memcpy(bytes + 4, r->bytes + 4, 4);   /* xid */
    memcpy(bytes + 10, r->bytes + 10, 2); /* flags */
    if (type != NAK) {
        memcpy(bytes + 12, r->bytes + 12, 4); /* ciaddr */
        put32(bytes + 16, r->type == INFORM ? 0 : address);
        memcpy(bytes + 20, g->ip4.bytes, 4);
    }
    memcpy(bytes + 28, r->mac, MAC_SIZE);
    put32(bytes + HEADER_SIZE, COOKIE);
    memcpy(bytes + OPTIONS_AT, o.bytes, o.size);
    packet_seal(f);
    return f;
}

/* DECLINE: somebody else uses the address. RELEASE: the client is done with it. */
static void give_back(struct dhcp *d, const struct request *r, int64_t now)
{
    struct lease *lease = find_lease(d, r->mac);
    if (!lease)
        return;
    memset(lease->mac, 0, MAC_SIZE);
    lease->expires = r->type == DECLINE ? now + LEASE_S * NS_PER_S : now;
}

bool dhcp_receive(struct gateway *g, const struct packet *p, struct frame *ret, int64_t now)
{
    static const uint8_t nobody[MAC_SIZE];
    struct dhcp *d = g->dhcp;
    struct request r;
    if (!parse(p, &r) || !memcmp(r.mac, nobody, MAC_SIZE))
        return false;
    if (r.server && r.server != ip4_value(&g->ip4))
        return false;
    switch_spend(g->bridge->owner, d->count / 4 + g->bridge->port_count + 16);
    drop_expired(d, now);
    switch (r.type) {
    case DISCOVER: {
        uint32_t address = address_of(d, g->bridge, r.mac, now + OFFER_NS);
        if (address)
            *ret = reply(g, &r, OFFER, address);
        return address;
    }
    case REQUEST: {
        uint32_t wanted = r.wanted ? r.wanted : r.client;
        uint32_t address = address_of(d, g->bridge, r.mac, now + LEASE_S * NS_PER_S);
        *ret = reply(g, &r, address && address == wanted ? ACK : NAK, address);
        return true;
    }
    case INFORM:
        if (r.client)
            *ret = reply(g, &r, ACK, 0);
        return r.client;
    case DECLINE:
    case RELEASE:
        give_back(d, &r, now);
        return false;
    default:
        return false;
    }
}
