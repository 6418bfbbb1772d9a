/* The path of a frame: in by a port, to one port or many, out by their outlets.
 *
 * A frame is never copied here: each port's queue takes a reference. On a bridge without rules,
 * partitions and isolation a copy costs a queue slot; on others it goes through partition_drops and
 * impair_copy and may be held. The port by which a frame came decides whose frame it is; its source
 * address only teaches the MAC table. The gateway's address is fixed: no guest can learn it away.
 * Link, isolation and partition are looked at again when a held frame is due, so that both take
 * effect at once. */
#include <string.h>

#include "base/clock.h"
#include "switch/bytes.h"
#include "switch/capture.h"
#include "switch/core.h"
#include "switch/gateway.h"

#define PAUSE_MAC       UINT64_C(0x010000c28001) /* 01:80:c2:00:00:01, little-endian */
#define PAUSE_ETHERTYPE 0x8808
#define REFRESH_NS      NS_PER_S
#define ADVANCE_MAX     2048 /* held frames per bridge and call: other bridges want their turn */

/* An address of a frame; the two bytes behind it are there too. */
static uint64_t load_mac(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return le64toh(v) & ((UINT64_C(1) << 48) - 1);
}

uint64_t mac_value(const uint8_t mac[MAC_SIZE])
{
    uint64_t v = 0;
    memcpy(&v, mac, MAC_SIZE);
    return le64toh(v);
}

static bool is_up(const struct port *p)
{
    return p->attached && p->connected && p->link;
}

static bool is_pause(struct frame f, uint64_t destination)
{
    return destination == PAUSE_MAC && f.data[12] == PAUSE_ETHERTYPE >> 8 &&
           f.data[13] == (PAUSE_ETHERTYPE & 0xff);
}

bool bridge_passes(struct bridge *b, const struct port *from, const struct port *to)
{
    if (!is_up(to)) {
        b->stats.dropped_link++;
        return false;
    }
    if (!b->shaped)
        return true;
    if (from->isolated || to->isolated) {
        b->stats.dropped_isolation++;
        return false;
    }
    if (partition_drops(b, from, to)) {
        b->stats.dropped_partition++;
        return false;
    }
    return true;
}

static void forward_copy(struct bridge *b, struct port *from, struct port *to, struct frame f,
                         int64_t now)
{
    if (!bridge_passes(b, from, to))
        return;
    if (b->shaped)
        impair_copy(b, from, to, f, now);
    else
        bridge_deliver(b, from, to, f, now);
}

static unsigned flood(struct bridge *b, struct port *from, struct frame f, int64_t now)
{
    uint64_t serial = b->serial;
    for (size_t i = 0; i < b->up_count; i++) {
        b->serial = serial; /* the gateway may have answered meanwhile */
        if (b->up[i] != from)
            forward_copy(b, from, b->up[i], f, now);
    }
    return (unsigned)b->up_count;
}

/* Teaches the table the source, and finds the destination's port, or -1. Frames come in streams:
 * most repeat their predecessor's addresses. An address that keeps talking is refreshed once a
 * second. */
static int look_up(struct bridge *b, struct port *from, uint64_t source, uint64_t destination,
                   int64_t now)
{
    if (source != from->recent.source || from->recent.generation != b->macs.generation ||
        now - from->recent.learned >= REFRESH_NS) {
        if (source != b->gateway_mac)
            mac_table_learn(&b->macs, source, from->id, now);
        from->recent.source = source;
        from->recent.learned = now;
        from->recent.until = INT64_MIN;
        from->recent.generation = b->macs.generation;
    }
    if (destination != from->recent.destination || now > from->recent.until) {
        from->recent.to = mac_table_find(&b->macs, destination, now, &from->recent.until);
        from->recent.destination = destination;
    }
    return from->recent.to;
}

static unsigned input(struct bridge *b, struct port *from, struct frame f, int64_t now)
{
    if (f.len < FRAME_MIN || f.len > FRAME_MAX) {
        port_count_error(from);
        return 1;
    }
    if (!is_up(from)) {
        b->stats.dropped_link++;
        return 1;
    }
    from->counters.tx_packets++;
    from->counters.tx_bytes += f.len;
    b->stats.frames++;
    b->stats.bytes += f.len;
    b->serial = ++b->serials;
    if (b->captures)
        capture_record(b->captures, CAPTURE_SENT, f, now);
    if (from->captures)
        capture_record(from->captures, CAPTURE_NIC, f, now);

    uint64_t destination = load_mac(f.data), source = load_mac(f.data + 6);
    if (is_pause(f, destination))
        return 1;
    int known = look_up(b, from, source, destination, now);
    if (destination == b->gateway_mac)
        known = 0;
    if (known < 0 || destination & 1)
        return flood(b, from, f, now);
    if (known != from->id)
        forward_copy(b, from, b->ports[known], f, now);
    return 1;
}

unsigned bridge_input(struct port *from, struct frame f, int64_t now)
{
    uint64_t before = from->bridge->owner->spent;
    unsigned copies = input(from->bridge, from, f, now);
    return copies + (unsigned)(from->bridge->owner->spent - before);
}

/* A known receiver and nothing to look at in between: the frames can go as one. */
static bool pass_run(struct bridge *b, struct port *from, const struct run *r, int64_t now)
{
    const uint8_t *data = r->at + FRAME_PREFIX;
    uint64_t destination = load_mac(data), bytes = r->size - (uint64_t)r->frames * FRAME_PREFIX;
    if (b->shaped || b->captures || from->captures || !is_up(from) || destination & 1)
        return false;
    int known = look_up(b, from, load_mac(data + 6), destination, now);
    if (known <= 0 || known == from->id || destination == b->gateway_mac)
        return false;
    struct port *to = b->ports[known];
    if (to->captures || !is_up(to) || !queue_push_run(&to->outlet.queue, r))
        return false;
    from->counters.tx_packets += r->frames;
    from->counters.tx_bytes += bytes;
    b->stats.frames += r->frames;
    b->stats.bytes += bytes;
    b->stats.delivered += r->frames;
    switch_make_ready(b->owner, &to->outlet);
    return true;
}

unsigned bridge_input_run(struct port *from, const struct run *r, int64_t now)
{
    unsigned copies = 0;
    if (r->frames > 1 && pass_run(from->bridge, from, r, now))
        return r->frames;
    for (uint8_t *at = r->at; at < r->at + r->size;) {
        struct frame f = {r->slab, at + FRAME_PREFIX, get32(at)};
        copies += bridge_input(from, f, now);
        at += FRAME_PREFIX + f.len;
    }
    return copies;
}

void bridge_deliver(struct bridge *b, struct port *from, struct port *to, struct frame f,
                    int64_t now)
{
    if (to->id && !queue_push(&to->outlet.queue, f)) {
        b->stats.dropped_queue++;
        to->counters.dropped++;
        return;
    }
    b->stats.delivered++;
    if (b->captures)
        capture_record(b->captures, CAPTURE_DELIVERED, f, now);
    if (to->captures)
        capture_record(to->captures, CAPTURE_NIC, f, now);
    if (to->id)
        switch_make_ready(b->owner, &to->outlet);
    else
        gateway_receive(b->gateway, from, f, now);
}

void bridge_advance(struct bridge *b, int64_t now)
{
    struct held h;
    for (unsigned i = 0; i < ADVANCE_MAX && held_pop(&b->held, now, &h); i++)
        impair_due(b, &h, now);
}

void port_count_error(struct port *p)
{
    p->counters.errors++;
    p->bridge->stats.errors++;
}
