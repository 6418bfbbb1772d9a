/* Two routed bridges with members, an uplink, and everything that impairs; and what must hold
 * whatever a guest sends. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "switch/bytes.h"
#include "switch/core.h"
#include "switch/gateway.h"
#include "switch/impair.h"
#include "switch/packet.h"
#include "switch/route.h"

#define WORLD_PORTS                                                                                \
    4 /* a hostile, b its partitioned peer, c isolated, all on `left`; d on `right` */

struct world {
    struct netswitch *s;
    struct bridge *left, *right;
    struct port *ports[WORLD_PORTS];
    struct outlet *uplink;
    int64_t now;
};

static inline void must(bool ok)
{
    if (!ok)
        abort();
}

static inline struct port *world_port(struct bridge *b, const char *name, uint32_t vm)
{
    must(bridge_attach(b, &(struct member_request){name, vm}, 1, NULL, NULL) == 0);
    struct port *p = bridge_member(b, name, NULL);
    port_connect(p, p);
    return p;
}

static inline void world_init(struct world *w)
{
    *w = (struct world){.s = switch_new(7), .now = 1};
    w->left = bridge_new(
        w->s, "left", &(struct bridge_options){.subnet4 = "10.1.0.0/24", .subnet6 = "fd00:1::/64"},
        NULL);
    w->right = bridge_new(
        w->s, "right",
        &(struct bridge_options){.subnet4 = "10.2.0.0/24", .subnet6 = "fd00:2::/64", .mtu = 1300},
        NULL);
    w->ports[0] = world_port(w->left, "a", 1);
    w->ports[1] = world_port(w->left, "b", 2);
    w->ports[2] = world_port(w->left, "c", 3);
    w->ports[3] = world_port(w->right, "d", 4);
    must(bridge_route(w->left, &w->right, 1, NULL) == 0);
    w->uplink = bridge_uplink_start(w->left, true, w);
}

/* Empties all outlets. From `a` nothing may reach b or c, over no way: their queues must be empty
 * unless they sent. */
static inline void world_drain(struct world *w, bool only_a_sent)
{
    struct frame f;
    if (only_a_sent)
        must(!w->ports[2]->outlet.queue.frames);
    for (int i = 0; i < WORLD_PORTS; i++) {
        while (queue_pop(&w->ports[i]->outlet.queue, &f)) {
            must(f.len >= FRAME_MIN && f.len <= FRAME_MAX && get32(f.data - FRAME_PREFIX) == f.len);
            if (only_a_sent && i == 1) /* only the gateway may talk to b */
                must(!memcmp(f.data + 6, w->left->gateway->mac, 6));
            frame_unref(f);
        }
        must(!w->ports[i]->outlet.queue.bytes);
    }
    while (queue_pop(&w->uplink->queue, &f))
        frame_unref(f);
    while (switch_take_ready(w->s))
        ;
    must(w->left->held_bytes <= HELD_BYTES_MAX && w->right->held_bytes <= HELD_BYTES_MAX);
}

static inline void world_input(struct world *w, struct port *from, struct frame f)
{
    bridge_input(from, f, w->now);
    frame_unref(f);
}
