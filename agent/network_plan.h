/* The plan of operation configure_network, as it comes in the request's body. */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/bytes.h"

#define MAC_SIZE 6

/* An address or a route of an interface. */
struct network_setting {
    uint32_t index; /* of the interface; 0: it was not found */
    uint32_t size;  /* of an address: 4 or 16 bytes */
    uint32_t prefix;
    uint32_t route; /* else an address */
    uint8_t address[16], gateway[16];
    bool ours; /* the agent has set it */
};

struct network_nic {
    uint8_t mac[MAC_SIZE];
    uint8_t device_mac[MAC_SIZE]; /* its device may have come with this one: then it gets the other */
    bool other_mac; /* it has its device's, and is to get the other */
    uint32_t mtu;   /* 0: as it is */
    bool raw;     /* to be left alone */
    size_t first, count; /* of its settings, addresses before routes */
    uint32_t index;      /* 0: not found */
    char name[IF_NAMESIZE];
    char reason[128]; /* why not everything of it is set */
};

struct network_plan {
    struct network_nic *nics;
    size_t nic_count;
    struct network_setting *settings;
    size_t setting_count;
    struct bytes hosts, resolv_conf; /* borrowed from the body; no resolv_conf: left alone */
};

/* -1: malformed. */
int network_plan_parse(struct bytes body, struct network_plan *ret);
void network_plan_done(struct network_plan *plan);
