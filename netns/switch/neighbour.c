/* A bounded table of addresses. An entry is ASKING (up to eight packets wait for it; asked again
 * every second, given up after three) or KNOWN (used for a minute after its last confirmation,
 * asked for anew after half of it). A full table evicts the entry that was used longest ago. Only
 * addresses that the gateway itself asked for get an entry: nobody can fill the table by talking.
 */
#include "switch/neighbour.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "switch/bytes.h"
#include "switch/core.h"
#include "switch/gateway.h"
#include "switch/icmp.h"

#define ENTRIES_MAX 1024
#define BUCKETS     256
#define PENDING_MAX 8
#define ASKS_MAX    3
#define ASK_NS      NS_PER_S
#define FRESH_NS    (30 * NS_PER_S)
#define KNOWN_NS    (60 * NS_PER_S)

#define ARP_SIZE    28
#define ARP_REQUEST 1
#define ARP_REPLY   2

#define ND_SOLICITATION  135
#define ND_ADVERTISEMENT 136
#define ND_SIZE          24
#define ND_OPTION_SOURCE 1
#define ND_OPTION_TARGET 2
#define ND_SOLICITED     0x40
#define ND_OVERRIDE      0x20
#define ND_TTL           255

struct entry {
    struct entry *next;
    struct ip ip;
    bool known;
    uint8_t mac[MAC_SIZE];
    int64_t confirmed, asked, used;
    unsigned asks, pending_count;
    struct {
        struct frame frame; /* its source MAC is still the original sender's */
        uint32_t origin;
    } pending[PENDING_MAX];
};

struct neighbours {
    struct gateway *gateway;
    struct entry *buckets[BUCKETS];
    unsigned count;
    int64_t next;
};

static const uint8_t broadcast[MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

struct neighbours *neighbours_new(struct gateway *g)
{
    struct neighbours *n = xnew0(struct neighbours);
    n->gateway = g;
    n->next = INT64_MAX;
    return n;
}

static void entry_free(struct entry *e)
{
    for (unsigned i = 0; i < e->pending_count; i++)
        frame_unref(e->pending[i].frame);
    free(e);
}

void neighbours_forget(struct neighbours *n)
{
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (n->buckets[i]) {
            struct entry *e = n->buckets[i];
            n->buckets[i] = e->next;
            entry_free(e);
        }
    }
    n->count = 0;
    n->next = INT64_MAX;
}

void neighbours_free(struct neighbours *n)
{
    if (!n)
        return;
    neighbours_forget(n);
    free(n);
}

/* The link that points to the entry, or to the end of its bucket. */
static struct entry **find(struct neighbours *n, const struct ip *ip)
{
    uint32_t hash =
        ip->family == 4 ? get32(ip->bytes) : get32(ip->bytes + 8) ^ get32(ip->bytes + 12);
    struct entry **at = &n->buckets[hash * 0x9e3779b1u >> 24];
    while (*at && !ip_equal(&(*at)->ip, ip))
        at = &(*at)->next;
    return at;
}

static void evict(struct neighbours *n)
{
    struct entry **oldest = NULL;
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct entry **at = &n->buckets[i]; *at; at = &(*at)->next)
            if (!oldest || (*at)->used < (*oldest)->used)
                oldest = at;
    switch_spend(n->gateway->bridge->owner, ENTRIES_MAX / 8);
    struct entry *e = *oldest;
    *oldest = e->next;
    n->count--;
    entry_free(e);
}

/* ---- asking ---- */

static struct frame arp_packet(const struct gateway *g, uint16_t operation,
                               const uint8_t to[MAC_SIZE], uint32_t from_ip, uint32_t to_ip)
{
    struct frame f = frame_new(ETHERNET_SIZE + ARP_SIZE);
    uint8_t *arp = f.data + ETHERNET_SIZE;
    ethernet_fill(f, to, g->mac);
    put16(f.data + 12, ETHERTYPE_ARP);
    put16(arp, 1);
    put16(arp + 2, ETHERTYPE_IP4);
    arp[4] = MAC_SIZE;
    arp[5] = 4;
    put16(arp + 6, operation);
    memcpy(arp + 8, g->mac, MAC_SIZE);
    put32(arp + 14, from_ip);
    memcpy(arp + 18, operation == ARP_REQUEST ? (const uint8_t[MAC_SIZE]){0} : to, MAC_SIZE);
    put32(arp + 24, to_ip);
    return f;
}

static struct frame discovery_packet(const struct gateway *g, uint8_t type, const struct ip *from,
                                     const struct ip *to, const struct ip *target, uint8_t flags)
{
    uint8_t *nd;
    struct frame f = packet_new(from, to, PROTOCOL_ICMP6, ND_SIZE + 8, &nd);
    f.data[ETHERNET_SIZE + 7] = ND_TTL;
    memset(nd, 0, ND_SIZE + 8);
    nd[0] = type;
    nd[4] = flags;
    memcpy(nd + 8, target->bytes, 16);
    nd[24] = type == ND_SOLICITATION ? ND_OPTION_SOURCE : ND_OPTION_TARGET;
    nd[25] = 1;
    memcpy(nd + 26, g->mac, MAC_SIZE);
    packet_seal(f);
    return f;
}

static void ask(struct neighbours *n, struct entry *e, int64_t now)
{
    struct gateway *g = n->gateway;
    e->asked = now;
    e->asks++;
    if (now + ASK_NS < n->next)
        n->next = now + ASK_NS;
    if (e->ip.family == 4) {
        gateway_send(
            g, arp_packet(g, ARP_REQUEST, broadcast, ip4_value(&g->ip4), ip4_value(&e->ip)), now);
        return;
    }
    struct ip group = {.family = 6, .bytes = {0xff, 2, [11] = 1, [12] = 0xff}};
    memcpy(group.bytes + 13, e->ip.bytes + 13, 3);
    struct frame f = discovery_packet(g, ND_SOLICITATION, &g->ip6, &group, &e->ip, 0);
    ethernet_fill(
        f, (uint8_t[MAC_SIZE]){0x33, 0x33, 0xff, group.bytes[13], group.bytes[14], group.bytes[15]},
        g->mac);
    gateway_send(g, f, now);
}

void neighbours_send(struct neighbours *n, const struct ip *to, struct frame f, uint32_t origin,
                     int64_t now)
{
    struct entry **at = find(n, to), *e = *at;
    if (!e) {
        if (n->count == ENTRIES_MAX) {
            evict(n);
            at = find(n, to);
        }
        *at = e = xnew0(struct entry);
        e->ip = *to;
        n->count++;
    }
    e->used = now;
    if (e->known && now - e->confirmed >= KNOWN_NS)
        e->known = false;
    if (e->known) {
        if (now - e->confirmed >= FRESH_NS && now - e->asked >= ASK_NS) {
            e->asks = 0;
            ask(n, e, now);
        }
        ethernet_fill(f, e->mac, n->gateway->mac);
        gateway_send(n->gateway, f, now);
        return;
    }
    if (e->pending_count == PENDING_MAX) {
        frame_unref(f);
        return;
    }
    e->pending[e->pending_count].frame = f;
    e->pending[e->pending_count++].origin = origin;
    if (e->pending_count == 1) {
        e->asks = 0;
        ask(n, e, now);
    }
}

void neighbours_learn(struct neighbours *n, const struct ip *ip, const uint8_t mac[MAC_SIZE],
                      int64_t now)
{
    struct entry *e = *find(n, ip);
    if (!e || mac[0] & 1)
        return;
    unsigned pending = e->pending_count;
    e->known = true;
    e->confirmed = now;
    memcpy(e->mac, mac, MAC_SIZE);
    e->pending_count = 0;
    struct frame frames[PENDING_MAX]; /* sending may come back here */
    for (unsigned i = 0; i < pending; i++)
        frames[i] = e->pending[i].frame;
    for (unsigned i = 0; i < pending; i++) {
        ethernet_fill(frames[i], mac, n->gateway->mac);
        gateway_send(n->gateway, frames[i], now);
    }
}

int64_t neighbours_next(const struct neighbours *n)
{
    return n->next;
}

static void give_up(struct neighbours *n, struct entry **at, int64_t now)
{
    struct entry *e = *at;
    *at = e->next;
    n->count--;
    for (unsigned i = 0; i < e->pending_count; i++)
        icmp_host_unreachable(n->gateway, e->pending[i].frame, e->pending[i].origin, now);
    entry_free(e);
}

void neighbours_advance(struct neighbours *n, int64_t now)
{
    if (now < n->next)
        return;
    n->next = INT64_MAX;
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct entry **at = &n->buckets[i]; *at;) {
            struct entry *e = *at;
            if (e->pending_count && now - e->asked >= ASK_NS) {
                if (e->asks >= ASKS_MAX) {
                    give_up(n, at, now);
                    continue;
                }
                ask(n, e, now);
            } else if (e->pending_count && e->asked + ASK_NS < n->next) {
                n->next = e->asked + ASK_NS;
            }
            at = &e->next;
        }
    }
}

/* ---- answering ---- */

bool arp_receive(struct gateway *g, struct frame f, bool proxy, struct frame *ret, int64_t now)
{
    static const uint8_t ethernet_ip4[6] = {0, 1, ETHERTYPE_IP4 >> 8, 0, MAC_SIZE, 4};
    const uint8_t *arp = f.data + ETHERNET_SIZE;
    if (f.len < ETHERNET_SIZE + ARP_SIZE || memcmp(arp, ethernet_ip4, sizeof(ethernet_ip4)))
        return false;
    uint16_t operation = get16(arp + 6);
    uint32_t sender = get32(arp + 14), target = get32(arp + 24);
    struct ip sender_ip = ip4_of(sender);
    if (!proxy)
        neighbours_learn(g->neighbours, &sender_ip, arp + 8, now);
    if (operation != ARP_REQUEST || sender == target || (!proxy && target != ip4_value(&g->ip4)))
        return false;
    *ret = arp_packet(g, ARP_REPLY, arp + 8, target, sender);
    return true;
}

/* The link-layer address option of that type, or NULL. */
static const uint8_t *discovery_option(const struct packet *p, uint8_t type)
{
    const uint8_t *at = p->payload + ND_SIZE, *end = p->payload + p->payload_size;
    while (end - at >= 8 && at[1] && end - at >= at[1] * 8) {
        if (at[0] == type)
            return at + 2;
        at += at[1] * 8;
    }
    return NULL;
}

bool discovery_receive(struct gateway *g, struct frame f, const struct packet *p, bool proxy,
                       struct frame *ret, int64_t now)
{
    static const struct ip all_nodes = {.family = 6, .bytes = {0xff, 2, [15] = 1}};
    if (p->ttl != ND_TTL || p->payload_size < ND_SIZE || packet_checksum(p))
        return false;
    struct ip target = ip6_of(p->payload + 8);
    bool probe =
        !ip_is_host(&p->source); /* duplicate address detection: there is nobody to answer to */
    const uint8_t *mac =
        discovery_option(p, p->payload[0] == ND_SOLICITATION ? ND_OPTION_SOURCE : ND_OPTION_TARGET);
    mac = mac ? mac : f.data + MAC_SIZE;
    if (p->payload[0] == ND_ADVERTISEMENT) {
        if (!proxy)
            neighbours_learn(g->neighbours, &target, mac, now);
        return false;
    }
    if (p->payload[0] != ND_SOLICITATION || (!proxy && !gateway_is_address(g, &target)) ||
        (proxy && probe))
        return false;
    if (!proxy && !probe)
        neighbours_learn(g->neighbours, &p->source, mac, now);
    *ret = discovery_packet(g, ND_ADVERTISEMENT, &target, probe ? &all_nodes : &p->source, &target,
                            probe ? ND_OVERRIDE : ND_SOLICITED | ND_OVERRIDE);
    ethernet_fill(*ret, probe ? (uint8_t[MAC_SIZE]){0x33, 0x33, [5] = 1} : mac, g->mac);
    return true;
}
