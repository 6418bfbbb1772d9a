/* Connections live in a fixed table; a full one gives up the connection that was silent longest.
 * Segments are taken in order only and acknowledged at once; what is sent stays in the buffer until
 * it is acknowledged, and is sent again from there (go-back-N) after a timeout that doubles. No
 * options but the segment size, no window scaling, no urgent data: requests are small, and answers
 * are at most 64 KiB each. */
#include "switch/tcp.h"

#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "switch/bytes.h"
#include "switch/dnsproxy.h"
#include "switch/core.h"
#include "switch/gateway.h"

#define CONNECTIONS_MAX 64
#define HEADER_SIZE     20
#define WINDOW          16384 /* what we take: requests under way */
#define BUFFER_MAX      (256u << 10)
#define MSS_DEFAULT     536
#define IN_FLIGHT_MAX   16384
#define RETRY_NS        NS_PER_S
#define RETRIES_MAX     6
#define IDLE_NS         (30 * NS_PER_S)

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

struct connection {
    uint32_t id; /* 0: free */
    struct port *port;
    uint8_t mac[MAC_SIZE];
    struct ip local, remote;
    uint16_t local_port, remote_port;
    bool established, peer_closed, fin_sent;
    uint32_t expected;    /* RCV.NXT */
    uint32_t first, next; /* SND.UNA, SND.NXT; `out` begins at `first`, or one later before our SYN
                             is acknowledged */
    uint32_t window, mss; /* of the peer */
    unsigned asked;       /* requests without an answer yet */
    struct buf in, out;
    int64_t retry, heard; /* retry: INT64_MAX when nothing is in flight */
    unsigned retries;
};

struct tcp_server {
    struct gateway *gateway;
    struct connection connections[CONNECTIONS_MAX];
    uint32_t last_id;
    int64_t next; /* no timer is due before; it may be too early */
};

struct tcp_server *tcp_server_new(struct gateway *g)
{
    struct tcp_server *s = xnew0(struct tcp_server);
    s->gateway = g;
    s->next = INT64_MAX;
    return s;
}

static void drop(struct connection *c)
{
    buf_done(&c->in);
    buf_done(&c->out);
    *c = (struct connection){0};
}

void tcp_server_free(struct tcp_server *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
        drop(&s->connections[i]);
    free(s);
}

static struct frame segment(const struct ip *from, const struct ip *to, uint16_t from_port,
                            uint16_t to_port, uint32_t sequence, uint32_t acknowledged,
                            uint8_t flags, const void *data, size_t size)
{
    uint8_t *tcp;
    size_t header = HEADER_SIZE + (flags & SYN ? 4 : 0);
    struct frame f = packet_new(from, to, PROTOCOL_TCP, header + size, &tcp);
    memset(tcp, 0, header);
    put16(tcp, from_port);
    put16(tcp + 2, to_port);
    put32(tcp + 4, sequence);
    put32(tcp + 8, acknowledged);
    tcp[12] = (uint8_t)(header / 4 << 4);
    tcp[13] = flags;
    put16(tcp + 14, flags & RST ? 0 : WINDOW);
    if (size)
        memcpy(tcp + header, data, size);
    return f;
}

static void transmit(struct tcp_server *s, struct connection *c, uint32_t sequence, uint8_t flags,
                     const void *data, size_t size, int64_t now)
{
    struct frame f = segment(&c->local, &c->remote, c->local_port, c->remote_port, sequence,
                             c->expected, flags, data, size);
    if (flags & SYN) {
        uint8_t *option = f.data + f.len - 4;
        size_t headers = HEADER_SIZE + (c->local.family == 6 ? IP6_SIZE : IP4_SIZE);
        memcpy(option, (const uint8_t[2]){2, 4}, 2);
        put16(option + 2, (uint16_t)(s->gateway->bridge->mtu - headers));
    }
    packet_seal(f);
    ethernet_fill(f, c->mac, s->gateway->mac);
    gateway_send(s->gateway, f, now);
}

void tcp_refuse(struct gateway *g, struct frame f, const struct packet *p, int64_t now)
{
    if (p->payload_size < HEADER_SIZE || p->payload[13] & RST || packet_checksum(p))
        return;
    const uint8_t *tcp = p->payload;
    size_t header = (tcp[12] >> 4) * 4u;
    if (header > p->payload_size)
        return;
    uint32_t length = (uint32_t)(p->payload_size - header) + !!(tcp[13] & SYN) + !!(tcp[13] & FIN);
    bool acknowledges = tcp[13] & ACK;
    struct frame reply = segment(
        &p->destination, &p->source, get16(tcp + 2), get16(tcp), acknowledges ? get32(tcp + 8) : 0,
        acknowledges ? 0 : get32(tcp + 4) + length, acknowledges ? RST : RST | ACK, NULL, 0);
    packet_seal(reply);
    gateway_reply(g, f, reply, now);
}

static void set_retry(struct tcp_server *s, struct connection *c, int64_t now)
{
    c->retry = now + (RETRY_NS << c->retries);
    if (c->retry < s->next)
        s->next = c->retry;
}

/* Sends what the window allows from `next` on, and the FIN when all is said. */
static void push(struct tcp_server *s, struct connection *c, int64_t now)
{
    uint32_t limit = c->window < IN_FLIGHT_MAX ? c->window : IN_FLIGHT_MAX;
    while (c->established && !c->fin_sent) {
        uint32_t at = c->next - c->first;
        size_t left = c->out.len - at, part = left < c->mss ? left : c->mss;
        if (!left || at + part > limit)
            break;
        transmit(s, c, c->next, ACK | (part == left ? PSH : 0), buf_head(&c->out) + at, part, now);
        c->next += (uint32_t)part;
    }
    bool all_sent = c->next - c->first == c->out.len;
    if (c->established && c->peer_closed && !c->asked && all_sent && !c->fin_sent) {
        transmit(s, c, c->next++, FIN | ACK, NULL, 0, now);
        c->fin_sent = true;
    }
    if (c->next != c->first && c->retry == INT64_MAX)
        set_retry(s, c, now);
}

static struct connection *find(struct tcp_server *s, const struct packet *p)
{
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = &s->connections[i];
        if (c->id && c->remote_port == get16(p->payload) && ip_equal(&c->remote, &p->source) &&
            ip_equal(&c->local, &p->destination))
            return c;
    }
    return NULL;
}

static struct connection *find_free(struct tcp_server *s)
{
    struct connection *oldest = &s->connections[0];
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = &s->connections[i];
        if (!c->id)
            return c;
        if (c->heard < oldest->heard)
            oldest = c;
    }
    drop(oldest);
    return oldest;
}

static uint32_t peer_mss(const uint8_t *tcp, size_t header)
{
    for (size_t at = HEADER_SIZE; at < header && tcp[at];) {
        if (tcp[at] == 1) {
            at++;
            continue;
        }
        if (at + 1 >= header || tcp[at + 1] < 2 || at + tcp[at + 1] > header)
            break;
        if (tcp[at] == 2 && tcp[at + 1] == 4)
            return get16(tcp + at + 2) < 64 ? 64 : get16(tcp + at + 2);
        at += tcp[at + 1];
    }
    return MSS_DEFAULT;
}

static void open_connection(struct tcp_server *s, struct port *from, struct frame f,
                            const struct packet *p, size_t header, int64_t now)
{
    struct connection *c = find_free(s);
    uint32_t largest =
        s->gateway->bridge->mtu - HEADER_SIZE - (p->family == 6 ? IP6_SIZE : IP4_SIZE);
    *c = (struct connection){
        .id = ++s->last_id ? s->last_id : ++s->last_id,
        .port = from,
        .local = p->destination,
        .remote = p->source,
        .local_port = get16(p->payload + 2),
        .remote_port = get16(p->payload),
        .expected = get32(p->payload + 4) + 1,
        .first = (uint32_t)(now >> 12) * 2654435761u,
        .window = get16(p->payload + 14),
        .mss = peer_mss(p->payload, header),
        .in = BUF_INIT(WINDOW),
        .out = BUF_INIT(BUFFER_MAX),
        .heard = now,
    };
    set_retry(s, c, now);
    if (c->mss > largest)
        c->mss = largest;
    memcpy(c->mac, f.data + MAC_SIZE, MAC_SIZE);
    c->next = c->first + 1;
    transmit(s, c, c->first, SYN | ACK, NULL, 0, now);
}

static void take_acknowledgement(struct connection *c, uint32_t acknowledged, uint32_t window)
{
    uint32_t n = acknowledged - c->first;
    c->window = window;
    if (!n || n > c->next - c->first)
        return;
    if (!c->established) { /* the first octet is our SYN */
        c->established = true;
        n--;
        c->first++;
    }
    c->first += n;
    buf_consume(&c->out, n < c->out.len ? n : c->out.len);
    c->retry = INT64_MAX;
    c->retries = 0;
}

/* Hands complete requests over. The answer may come at once, or drop the connection. */
static void take_requests(struct tcp_server *s, struct connection *c, int64_t now)
{
    uint32_t id = c->id;
    while (c->id == id && c->in.len >= 2 && c->in.len >= 2u + get16(buf_head(&c->in))) {
        size_t size = get16(buf_head(&c->in));
        _cleanup_free_ uint8_t *query = xmemdup(buf_head(&c->in) + 2, size);
        struct dns_client client = {.port = c->port, .connection = id};
        buf_consume(&c->in, 2 + size);
        c->asked++;
        dns_proxy_query(s->gateway->dns, &client, query, size, now);
    }
}

void tcp_receive(struct tcp_server *s, struct port *from, struct frame f, const struct packet *p,
                 int64_t now)
{
    const uint8_t *tcp = p->payload;
    size_t header = p->payload_size < HEADER_SIZE ? 0 : (tcp[12] >> 4) * 4u;
    if (header < HEADER_SIZE || header > p->payload_size)
        return;
    uint8_t flags = tcp[13];
    struct connection *c = find(s, p);
    if (!c) {
        if ((flags & (SYN | ACK | RST | FIN)) == SYN)
            open_connection(s, from, f, p, header, now);
        else
            tcp_refuse(s->gateway, f, p, now);
        return;
    }
    uint32_t sequence = get32(tcp + 4);
    if (flags & (RST | SYN)) {
        if (flags & RST && sequence == c->expected)
            drop(c);
        else if (flags & SYN && !c->established)
            transmit(s, c, c->first, SYN | ACK, NULL, 0, now);
        return;
    }
    c->heard = now;
    if (flags & ACK)
        take_acknowledgement(c, get32(tcp + 8), get16(tcp + 14));
    if (c->fin_sent && c->first == c->next) {
        drop(c);
        return;
    }
    size_t size = p->payload_size - header;
    bool in_order = sequence == c->expected && c->established && !c->peer_closed;
    if (in_order && size && buf_append(&c->in, tcp + header, size) == 0)
        c->expected += (uint32_t)size;
    if (in_order && flags & FIN && c->expected == sequence + size) {
        c->expected++;
        c->peer_closed = true;
    }
    if (size || flags & FIN)
        transmit(s, c, c->next, ACK, NULL, 0, now);
    take_requests(s, c, now);
    if (c->id)
        push(s, c, now);
}

void tcp_respond(struct tcp_server *s, uint32_t connection, const uint8_t *message, size_t size,
                 int64_t now)
{
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = &s->connections[i];
        if (c->id != connection)
            continue;
        uint8_t length[2];
        put16(length, (uint16_t)size);
        if (!buf_reserve(&c->out, 2 + size)) { /* it asks and doesn't listen */
            drop(c);
            return;
        }
        buf_append(&c->out, length, 2);
        buf_append(&c->out, message, size);
        c->asked--;
        push(s, c, now);
        return;
    }
}

int64_t tcp_next(const struct tcp_server *s)
{
    return s->next;
}

static void retry(struct tcp_server *s, struct connection *c, int64_t now)
{
    c->retries++;
    set_retry(s, c, now);
    if (!c->established) {
        transmit(s, c, c->first, SYN | ACK, NULL, 0, now);
        return;
    }
    c->next = c->first;
    c->fin_sent = false;
    push(s, c, now);
}

void tcp_advance(struct tcp_server *s, int64_t now)
{
    if (now < s->next)
        return;
    s->next = INT64_MAX;
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = &s->connections[i];
        if (!c->id)
            continue;
        if (now - c->heard >= IDLE_NS || (c->retry <= now && c->retries == RETRIES_MAX)) {
            drop(c);
            continue;
        }
        if (c->retry <= now)
            retry(s, c, now);
        int64_t due = c->retry < c->heard + IDLE_NS ? c->retry : c->heard + IDLE_NS;
        s->next = due < s->next ? due : s->next;
    }
}
