#include "switch/icmp.h"

#include <string.h>

#include "switch/bytes.h"
#include "switch/core.h"
#include "switch/gateway.h"

#define ICMP_SIZE     8
#define ECHO_REQUEST4 8
#define ECHO_REPLY4   0
#define ECHO_REQUEST6 128
#define ECHO_REPLY6   129
#define QUOTE_MAX4    (576 - IP4_SIZE - ICMP_SIZE)  /* RFC 1812 4.3.2.3 */
#define QUOTE_MAX6    (1280 - IP6_SIZE - ICMP_SIZE) /* RFC 4443 2.4(c) */

bool icmp_echo(struct gateway *g, struct frame f, const struct packet *p, int64_t now)
{
    uint8_t protocol = p->family == 6 ? PROTOCOL_ICMP6 : PROTOCOL_ICMP4;
    if (p->protocol != protocol || p->payload_size < ICMP_SIZE ||
        p->payload[0] != (p->family == 6 ? ECHO_REQUEST6 : ECHO_REQUEST4) || p->payload[1] ||
        packet_checksum(p))
        return false;
    uint8_t *icmp;
    struct frame reply = packet_new(&p->destination, &p->source, protocol, p->payload_size, &icmp);
    memcpy(icmp, p->payload, p->payload_size);
    icmp[0] = p->family == 6 ? ECHO_REPLY6 : ECHO_REPLY4;
    packet_seal(reply);
    gateway_reply(g, f, reply, now);
    return true;
}

static bool may_answer(struct frame f, const struct packet *p)
{
    if (f.data[0] & 1 || p->later_fragment || !ip_is_host(&p->source) ||
        !ip_is_host(&p->destination))
        return false;
    if (p->family == 4 && p->protocol == PROTOCOL_ICMP4)
        return p->payload_size && (p->payload[0] == ECHO_REQUEST4 || p->payload[0] == ECHO_REPLY4);
    if (p->family == 6 && p->protocol == PROTOCOL_ICMP6)
        return p->payload_size && p->payload[0] >= ECHO_REQUEST6;
    return true;
}

void icmp_send_error(struct gateway *g, struct frame f, const struct packet *p,
                     enum icmp_error error, uint32_t mtu, int64_t now)
{
    static const uint8_t types[2][5][2] = {
        {{11, 0}, {3, 0}, {3, 1}, {3, 3}, {3, 4}},
        {{3, 0}, {1, 0}, {1, 3}, {1, 4}, {2, 0}},
    };
    bool six = p->family == 6;
    if (!may_answer(f, p))
        return;
    size_t quote = p->size, quote_max = six ? QUOTE_MAX6 : QUOTE_MAX4;
    if (quote > quote_max)
        quote = quote_max;
    uint8_t *icmp;
    struct frame reply =
        packet_new(six ? &g->ip6 : &g->ip4, &p->source, six ? PROTOCOL_ICMP6 : PROTOCOL_ICMP4,
                   ICMP_SIZE + quote, &icmp);
    memset(icmp, 0, ICMP_SIZE);
    memcpy(icmp, types[six][error], 2);
    if (error == ICMP_TOO_BIG)
        put32(icmp + 4, mtu);
    memcpy(icmp + ICMP_SIZE, p->start, quote);
    packet_seal(reply);
    gateway_reply(g, f, reply, now);
}

void icmp_host_unreachable(struct gateway *g, struct frame f, uint32_t origin, int64_t now)
{
    struct bridge *b = origin ? switch_bridge(g->bridge->owner, origin) : NULL;
    struct packet p;
    if (!b || !b->gateway->on || !packet_parse(f.data + ETHERNET_SIZE, f.len - ETHERNET_SIZE, &p))
        return;
    icmp_send_error(b->gateway, f, &p, ICMP_NO_HOST, 0, now);
}
