/* Payloads for the gateway's services, in packets with right checksums so that they get through:
 * the first byte chooses the protocol. And whatever comes of it, two guests that are cut from the
 * sender hear nothing from it. */
#include "switch_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARP, DHCP, DNS4, DNS6, TCP4, TCP6, ICMP4, ICMP6, DISCOVERY, ANYWHERE4, ANYWHERE6, KINDS };

static struct frame wrap(struct world *w, const struct ip *from, const struct ip *to,
                         uint8_t protocol, const uint8_t *data, size_t size)
{
    uint8_t *payload;
    struct frame f = packet_new(from, to, protocol, size, &payload);
    memcpy(payload, data, size);
    ethernet_fill(f, w->left->gateway->mac, w->ports[0]->mac);
    return f;
}

static struct frame udp(struct world *w, const struct ip *from, const struct ip *to, uint16_t port,
                        const uint8_t *data, size_t size)
{
    uint8_t bytes[4096] = {0x20, 0};
    put16(bytes + 2, port);
    put16(bytes + 4, (uint16_t)(UDP_SIZE + size));
    memcpy(bytes + UDP_SIZE, data, size);
    struct frame f = wrap(w, from, to, PROTOCOL_UDP, bytes, UDP_SIZE + size);
    packet_seal(f);
    return f;
}

static struct frame make(struct world *w, uint8_t kind, const uint8_t *data, size_t size)
{
    const struct gateway *g = w->left->gateway;
    struct ip four = ip4_of(0x0a01000a), all = ip4_of(UINT32_MAX);
    struct ip six = {.family = 6, .bytes = {0xfd, 0, 0, 1, [15] = 10}};
    struct frame f;
    switch (kind % KINDS) {
    case ARP:
        f = frame_new(ETHERNET_SIZE + size);
        ethernet_fill(f, g->mac, w->ports[0]->mac);
        put16(f.data + 12, ETHERTYPE_ARP);
        memcpy(f.data + ETHERNET_SIZE, data, size);
        return f;
    case DHCP:
        return udp(w, &four, &all, 67, data, size);
    case DNS4:
        return udp(w, &four, &g->ip4, 53, data, size);
    case DNS6:
        return udp(w, &six, &g->ip6, 53, data, size);
    case TCP4:
    case TCP6:
        f = wrap(w, kind % KINDS == TCP4 ? &four : &six, kind % KINDS == TCP4 ? &g->ip4 : &g->ip6,
                 PROTOCOL_TCP, data, size);
        if (size >= 20) {
            put16(f.data + f.len - size + 2, 53);
            packet_seal(f);
        }
        return f;
    case ICMP4:
    case ICMP6:
    case DISCOVERY:
        f = kind % KINDS == ICMP4 ? wrap(w, &four, &g->ip4, PROTOCOL_ICMP4, data, size)
                                  : wrap(w, &six, &g->ip6, PROTOCOL_ICMP6, data, size);
        if (kind % KINDS == DISCOVERY)
            f.data[ETHERNET_SIZE + 7] = 255;
        if (size >= 8)
            packet_seal(f);
        return f;
    default: { /* the destination is the input's, too */
        struct ip to = kind % KINDS == ANYWHERE4 ? ip4_of(0) : six;
        size_t width = to.family == 4 ? 4 : 16, own = size < width ? size : width;
        memcpy(to.bytes, data, own);
        return udp(w, to.family == 4 ? &four : &six, &to, 9, data + own, size - own);
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    world_init(&w);
    must(bridge_partition(w.left, "a", "b", false, NULL) == 0);
    must(bridge_isolate(w.left, "c", true, NULL) == 0);
    while (size >= 3) {
        uint8_t kind = data[0];
        size_t len = get16(data + 1) % 2048;
        data += 3;
        size -= 3;
        if (len > size)
            len = size;
        world_input(&w, w.ports[0], make(&w, kind, data, len));
        w.now += 400000000;
        switch_advance(w.s, w.now);
        world_drain(&w, true);
        data += len;
        size -= len;
    }
    switch_free(w.s);
    return 0;
}
