/* Questions under way are kept in a fixed table; a full one forgets its oldest, whose client asks
 * again. An answer must carry the token of its question, and an answer that fits no question is
 * dropped. */
#include "switch/dnsproxy.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "switch/bytes.h"
#include "switch/core.h"
#include "switch/dns.h"
#include "switch/gateway.h"
#include "switch/tcp.h"

#define PENDING_MAX 256
#define TIMEOUT_NS  (10 * NS_PER_S)
#define DNS_PORT    53

struct pending {
    int64_t deadline; /* 0: free */
    uint16_t token;
    struct dns_client client;
    uint8_t head[DNS_ANSWER_MAX]; /* of the query, for SERVFAIL */
    size_t head_size;
};

struct dns_proxy {
    struct gateway *gateway;
    struct pending pending[PENDING_MAX];
    unsigned next_slot;
    uint16_t next_token;
    int64_t next; /* nothing times out before; it may be too early */
};

struct dns_proxy *dns_proxy_new(struct gateway *g)
{
    struct dns_proxy *d = xnew0(struct dns_proxy);
    d->gateway = g;
    d->next = INT64_MAX;
    return d;
}

void dns_proxy_free(struct dns_proxy *d)
{
    free(d);
}

static void answer_client(struct dns_proxy *d, const struct dns_client *c, const uint8_t *message,
                          size_t size, int64_t now)
{
    struct gateway *g = d->gateway;
    if (c->connection) {
        tcp_respond(g->tcp, c->connection, message, size, now);
        return;
    }
    uint8_t *udp;
    if (UDP_SIZE + size + IP6_SIZE > UINT16_MAX)
        return;
    struct frame f = packet_new(&c->local, &c->remote, PROTOCOL_UDP, UDP_SIZE + size, &udp);
    ethernet_fill(f, c->mac, g->mac);
    put16(udp, DNS_PORT);
    put16(udp + 2, c->remote_port);
    put16(udp + 4, (uint16_t)(UDP_SIZE + size));
    memcpy(udp + UDP_SIZE, message, size);
    packet_seal(f);
    gateway_send(g, f, now);
}

static void relay(struct dns_proxy *d, const struct dns_client *client, const uint8_t *query,
                  size_t size, int64_t now)
{
    struct gateway *g = d->gateway;
    struct pending *p = &d->pending[d->next_slot++ % PENDING_MAX];
    *p =
        (struct pending){.deadline = now + TIMEOUT_NS, .token = d->next_token++, .client = *client};
    if (p->deadline < d->next)
        d->next = p->deadline;
    p->head_size = size < sizeof(p->head) ? size : sizeof(p->head);
    memcpy(p->head, query, p->head_size);

    struct frame f = frame_new(ETHERNET_SIZE + DNS_RELAY_HEADER + size);
    uint8_t *to = f.data + ETHERNET_SIZE;
    ethernet_fill(f, g->mac, g->mac);
    put16(f.data + 12, DNS_RELAY_ETHERTYPE);
    put16(to, p->token);
    to[2] = client->connection != 0;
    to[3] = 0;
    memcpy(to + DNS_RELAY_HEADER, query, size);
    if (queue_push(&g->uplink_outlet.queue, f))
        switch_make_ready(g->bridge->owner, &g->uplink_outlet);
    frame_unref(f);
}

void dns_proxy_query(struct dns_proxy *d, const struct dns_client *client, const uint8_t *query,
                     size_t size, int64_t now)
{
    uint8_t answer[DNS_ANSWER_MAX];
    size_t answer_size;
    switch (dns_answer(client->port, query, size, answer, &answer_size)) {
    case DNS_DROP:
        return;
    case DNS_ANSWERED:
        break;
    case DNS_UNKNOWN:
        if (d->gateway->uplink && size <= DNS_RELAY_MAX) {
            relay(d, client, query, size, now);
            return;
        }
        answer_size = dns_refuse(query, size, DNS_NXDOMAIN, answer);
        break;
    }
    answer_client(d, client, answer, answer_size, now);
}

void dns_proxy_relayed(struct dns_proxy *d, struct frame f, int64_t now)
{
    size_t size = f.len - ETHERNET_SIZE;
    const uint8_t *bytes = f.data + ETHERNET_SIZE;
    if (size < DNS_RELAY_HEADER + DNS_HEADER_SIZE)
        return;
    for (unsigned i = 0; i < PENDING_MAX; i++) {
        struct pending *p = &d->pending[i];
        if (!p->deadline || p->token != get16(bytes))
            continue;
        struct dns_client client = p->client;
        p->deadline = 0;
        answer_client(d, &client, bytes + DNS_RELAY_HEADER, size - DNS_RELAY_HEADER, now);
        return;
    }
}

int64_t dns_proxy_next(const struct dns_proxy *d)
{
    return d->next;
}

void dns_proxy_advance(struct dns_proxy *d, int64_t now)
{
    uint8_t answer[DNS_ANSWER_MAX];
    if (now < d->next)
        return;
    d->next = INT64_MAX;
    for (unsigned i = 0; i < PENDING_MAX; i++) {
        struct pending *p = &d->pending[i];
        if (p->deadline > now && p->deadline < d->next)
            d->next = p->deadline;
        if (!p->deadline || p->deadline > now)
            continue;
        struct dns_client client = p->client;
        p->deadline = 0;
        size_t size = dns_refuse(p->head, p->head_size, DNS_SERVFAIL, answer);
        answer_client(d, &client, answer, size, now);
    }
}
