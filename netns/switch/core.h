/* The switch's insides, shared by the files of the core and by nobody else. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "switch/address.h"
#include "switch/frame.h"
#include "switch/held.h"
#include "switch/mactable.h"
#include "switch/pairs.h"
#include "switch/queue.h"
#include "switch/switch.h"
#include "switch/types.h"

struct capture;
struct gateway;

struct netswitch {
    struct bridge **bridges;
    size_t bridge_count;
    uint32_t next_id;
    uint64_t secret;          /* keys the MAC tables */
    uint64_t attach_sequence; /* orders a VM's NICs across bridges */
    int64_t wall_offset;      /* real time minus monotonic time, for captures */
    uint64_t spent;           /* work done beyond forwarding, in copies' worth: see switch_spend */
    struct outlet *ready, **ready_tail;
    struct capture *captures; /* all of them, closed ones that still drain included */
    uint32_t next_capture;
};

/* A name's place on a bridge; it stays until the bridge closes, so that ids, numbers and partitions
 * survive a detach. Frames pass only when it is attached (a member), connected (a QEMU holds the
 * other end) and its link is up. */
struct port {
    struct bridge *bridge;
    uint16_t id;
    char *name;
    uint32_t vm;
    uint64_t order; /* of attachment, across the switch */
    uint32_t host;  /* host number in the subnet; 0: never attached */
    uint8_t mac[MAC_SIZE];
    bool attached, connected, link, isolated;
    struct outlet outlet;
    struct nic_counters counters;
    struct { /* the last lookups, good while the MAC table's generation is the same */
        uint32_t generation;
        uint64_t source, destination;
        int64_t learned, until;
        int to;
    } recent;
    struct rule *rule_out, *rule_in; /* (this, open) and (open, this) */
    struct capture *captures;
};

struct route {
    struct bridge *to;
    bool declared; /* by this side */
};

struct bridge {
    struct netswitch *owner;
    uint32_t id;
    char *name;
    char *seed;
    unsigned mtu;
    bool raw, dhcp;
    enum toggle dns;
    unsigned number;
    struct subnet subnet;

    struct port **ports; /* by id; [0] is the gateway */
    size_t port_count;
    struct port **members; /* attached ones, in the order of attachment */
    size_t member_count;
    struct port **up; /* those that frames pass, in order of id */
    size_t up_count;
    uint64_t gateway_mac; /* 0 while there is no gateway */
    struct gateway *gateway;
    struct mac_table macs;

    bool shaped; /* any rule, partition or isolation: the fast path is off */
    bool partition_all;
    unsigned partitions, isolated; /* how many */
    struct pair_table pairs;
    struct rule *rules, **rules_tail, *rule_all;
    uint32_t rules_generation; /* order within a pair is kept between changes of rules */
    uint64_t serials, serial;  /* frames so far; the one being forwarded */

    struct held_heap held;
    size_t held_bytes;
    struct bridge_stats stats;
    struct capture *captures;
    struct route *routes;
    size_t route_count;
};

/* switch.c */
void switch_forget_outlet(struct netswitch *s, struct outlet *o);
/* Charges whoever sent the frame at hand for work that takes as long as forwarding that many
 * copies. */
static inline void switch_spend(struct netswitch *s, size_t copies)
{
    s->spent += copies;
}

/* bridge.c: with a number and a subnet that are decided already */
struct bridge *bridge_make(struct netswitch *s, const char *name, const struct bridge_options *o,
                           unsigned number, const struct subnet *subnet, struct err *e);

/* member.c */
struct port *bridge_intern(struct bridge *b, const char *name);
struct port *bridge_find(const struct bridge *b, const char *name);
/* A named endpoint of a rule or directional partition: attached, or the gateway; else an error with
 * the remedy. */
struct port *bridge_endpoint(const struct bridge *b, const char *name, struct err *e);
/* After a change of attached, its order, connected or link. */
void bridge_update_members(struct bridge *b);
void bridge_update_up(struct bridge *b);
void bridge_update_shaped(struct bridge *b);

/* forward.c */
/* The address as the MAC table wants it. */
uint64_t mac_value(const uint8_t mac[MAC_SIZE]);
/* Link, isolation and partition let a copy pass; else it has been counted as dropped. */
bool bridge_passes(struct bridge *b, const struct port *from, const struct port *to);
void bridge_deliver(struct bridge *b, struct port *from, struct port *to, struct frame f,
                    int64_t now);
void bridge_advance(struct bridge *b, int64_t now);

/* impair.c: the copy's fate. `*f` stays the caller's. */
void impair_copy(struct bridge *b, struct port *from, struct port *to, struct frame f, int64_t now);
void impair_forget_port(struct bridge *b, struct port *p);
void impair_done(struct bridge *b);
/* Delivers what held entry `h` stands for. */
void impair_due(struct bridge *b, struct held *h, int64_t now);

/* partition.c */
bool partition_drops(const struct bridge *b, const struct port *from, const struct port *to);
void partition_forget_port(struct bridge *b, struct port *p);
void partition_clear(struct bridge *b);
