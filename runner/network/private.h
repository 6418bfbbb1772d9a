/* The network's insides, shared by its files. */
#pragma once

#include "network/channel.h"
#include "network/network.h"

struct uplinks;

struct network {
    struct channel *channel;
    struct uplinks *uplinks;
};

/* uplink.c: what the switch does not know of uplinks: their options, and the broker. */
struct uplinks *uplinks_new(struct loop *loop, int broker);
void uplinks_free(struct uplinks *u);
/* Once the switch has closed the link. */
void uplinks_forget(struct uplinks *u, uint32_t bridge);
