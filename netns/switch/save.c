/* One MessagePack array: version, the bridge's own values, then lists of ports, pairs and rules.
 * Ports are in the order of their ids and pairs name them by position, so that ids are the same
 * after loading. */
#include "switch/save.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "switch/core.h"
#include "switch/dhcp.h"
#include "switch/gateway.h"
#include "switch/impair.h"
#include "switch/protocol.h"

#define VERSION 1

struct saved_bridge {
    uint32_t version;
    char name[NAME_TEXT], seed[NAME_TEXT];
    unsigned mtu, number, prefix4;
    bool raw, dhcp, partition_all;
    enum toggle dns;
    uint32_t net4;
    uint8_t net6[16];
};

struct saved_port {
    char name[NAME_TEXT];
    uint8_t mac[MAC_SIZE];
    uint32_t host;
    uint64_t order; /* of attachment; 0: not attached */
    bool link, isolated;
};

struct saved_pair {
    uint16_t from, to;
    uint8_t partition;
    bool seeded;
    uint64_t random[RANDOM_KINDS];
};

#define T struct saved_bridge
RECORD(record_bridge, T, FIELD(FIELD_UNSIGNED, T, version), FIELD(FIELD_TEXT, T, name),
       FIELD(FIELD_TEXT, T, seed), FIELD(FIELD_UNSIGNED, T, mtu), FIELD(FIELD_UNSIGNED, T, number),
       FIELD(FIELD_UNSIGNED, T, prefix4), FIELD(FIELD_BOOL, T, raw), FIELD(FIELD_BOOL, T, dhcp),
       FIELD(FIELD_BOOL, T, partition_all), FIELD(FIELD_UNSIGNED, T, dns),
       FIELD(FIELD_UNSIGNED, T, net4), FIELD(FIELD_BYTES, T, net6));
#undef T
#define T struct saved_port
RECORD(record_port, T, FIELD(FIELD_TEXT, T, name), FIELD(FIELD_BYTES, T, mac),
       FIELD(FIELD_UNSIGNED, T, host), FIELD(FIELD_UNSIGNED, T, order), FIELD(FIELD_BOOL, T, link),
       FIELD(FIELD_BOOL, T, isolated));
#undef T
#define T struct saved_pair
RECORD(record_pair, T, FIELD(FIELD_UNSIGNED, T, from), FIELD(FIELD_UNSIGNED, T, to),
       FIELD(FIELD_UNSIGNED, T, partition), FIELD(FIELD_BOOL, T, seeded),
       FIELD(FIELD_UNSIGNED, T, random[0]), FIELD(FIELD_UNSIGNED, T, random[1]),
       FIELD(FIELD_UNSIGNED, T, random[2]), FIELD(FIELD_UNSIGNED, T, random[3]),
       FIELD(FIELD_UNSIGNED, T, random[4]));
#undef T
_Static_assert(RANDOM_KINDS == 5, "the table names each stream");

static void save_own(const struct bridge *b, struct packer *p)
{
    struct saved_bridge s = {.version = VERSION,
                             .mtu = b->mtu,
                             .number = b->number,
                             .prefix4 = b->subnet.prefix4,
                             .raw = b->raw,
                             .dhcp = b->dhcp,
                             .partition_all = b->partition_all,
                             .dns = b->dns,
                             .net4 = b->subnet.net4};
    strcpy(s.name, b->name);
    strcpy(s.seed, b->seed);
    memcpy(s.net6, b->subnet.net6, sizeof(s.net6));
    record_pack(p, &record_bridge, &s);
}

static void save_ports(const struct bridge *b, struct packer *p)
{
    pack_array(p, (uint32_t)b->port_count - 1);
    for (size_t i = 1; i < b->port_count; i++) {
        const struct port *port = b->ports[i];
        struct saved_port s = {.host = port->host,
                               .order = port->attached ? port->order : 0,
                               .link = port->link,
                               .isolated = port->isolated};
        strcpy(s.name, port->name);
        memcpy(s.mac, port->mac, MAC_SIZE);
        record_pack(p, &record_port, &s);
    }
}

static void save_pairs(const struct bridge *b, struct packer *p)
{
    pack_array(p, (uint32_t)b->pairs.count);
    for (size_t i = 0; i < b->pairs.cap; i++) {
        const struct pair *pair = b->pairs.slots[i];
        if (!pair)
            continue;
        struct saved_pair s = {.from = pair->from,
                               .to = pair->to,
                               .partition = pair->partition,
                               .seeded = pair->seeded};
        memcpy(s.random, pair->random, sizeof(s.random));
        record_pack(p, &record_pair, &s);
    }
}

int bridge_save(const struct bridge *b, struct buf *out, struct err *e)
{
    struct packer p = {.to = out};
    struct impairment rule;
    uint32_t rules = 0;
    while (impair_get(b, rules, &rule) == 0)
        rules++;
    save_own(b, &p);
    save_ports(b, &p);
    save_pairs(b, &p);
    pack_array(&p, rules);
    for (uint32_t i = 0; i < rules; i++) {
        impair_get(b, i, &rule);
        record_pack(&p, &record_impairment, &rule);
    }
    return p.full ? err_set(e, E2BIG, "bridge `%s` is too large to be saved", b->name) : 0;
}

/* ---- loading ---- */

/* Gives the attached ports new places in the switch's order, in the sequence of the old ones. */
static void renumber(struct bridge *b)
{
    bridge_update_members(b);
    for (size_t i = 0; i < b->member_count; i++)
        b->members[i]->order = ++b->owner->attach_sequence;
}

static int load_ports(struct bridge *b, struct unpacker *u, const struct member_request *vms,
                      size_t count)
{
    uint32_t ports;
    uint32_t last = subnet_broadcast(&b->subnet) - b->subnet.net4;
    if (unpack_array(u, &ports) < 0 || ports > UINT16_MAX)
        return -1;
    for (uint32_t i = 0; i < ports; i++) {
        struct saved_port s;
        if (record_unpack(u, &record_port, &s) < 0 || !*s.name || bridge_find(b, s.name) ||
            s.host >= last || s.host == 1 || (s.order && !s.host))
            return -1;
        struct port *p = bridge_intern(b, s.name);
        memcpy(p->mac, s.mac, MAC_SIZE);
        p->host = s.host;
        p->order = s.order;
        p->attached = s.order;
        p->link = s.link;
        p->isolated = s.isolated;
        b->isolated += s.isolated;
        for (size_t k = 0; k < count; k++)
            if (!strcmp(vms[k].name, p->name))
                p->vm = vms[k].vm;
    }
    renumber(b);
    return 0;
}

static int load_pairs(struct bridge *b, struct unpacker *u)
{
    uint32_t pairs;
    if (unpack_array(u, &pairs) < 0)
        return -1;
    while (pairs--) {
        struct saved_pair s;
        if (record_unpack(u, &record_pair, &s) < 0 || s.from >= b->port_count ||
            s.to >= b->port_count || s.from == s.to)
            return -1;
        struct pair *pair = pairs_get(&b->pairs, s.from, s.to);
        pair->partition = s.partition;
        pair->seeded = s.seeded;
        memcpy(pair->random, s.random, sizeof(s.random));
        b->partitions += (s.partition & (PAIR_SYMMETRIC | PAIR_DIRECTIONAL)) != 0;
    }
    return 0;
}

static int load_rules(struct bridge *b, struct unpacker *u, struct err *e)
{
    uint32_t rules;
    if (unpack_array(u, &rules) < 0)
        return -1;
    while (rules--) {
        struct impairment rule;
        if (record_unpack(u, &record_impairment, &rule) < 0)
            return -1;
        int result = impair_set(b, &rule, e);
        record_done(&record_impairment, &rule);
        if (result < 0)
            return -1;
    }
    return u->at == u->end ? 0 : -1;
}

static struct bridge *make(struct netswitch *s, const struct saved_bridge *saved, struct err *e)
{
    struct bridge_options options = {.mtu = saved->mtu,
                                     .raw = saved->raw,
                                     .dhcp = saved->dhcp ? TOGGLE_ON : TOGGLE_OFF,
                                     .dns = saved->dns};
    struct subnet subnet = {.net4 = saved->net4, .prefix4 = saved->prefix4};
    memcpy(subnet.net6, saved->net6, sizeof(subnet.net6));
    if (saved->prefix4 < 8 || saved->prefix4 > 28 || saved->net4 & ~subnet_mask(&subnet) ||
        saved->number >= BRIDGE_NUMBERS || saved->dns > TOGGLE_FORCE || !saved->mtu)
        return NULL;
    subnet.has6 = saved->mtu >= IPV6_MTU_MIN;
    return bridge_make(s, saved->name, &options, saved->number, &subnet, e);
}

struct bridge *bridge_load(struct netswitch *s, struct bytes saved,
                           const struct member_request *vms, size_t count, struct err *e)
{
    struct unpacker u = unpacker_of(saved);
    struct saved_bridge own;
    struct bridge *b = NULL;
    if (record_unpack(&u, &record_bridge, &own) == 0 && own.version == VERSION &&
        (b = make(s, &own, e))) {
        impair_seed(b, own.seed);
        b->partition_all = own.partition_all;
        if (load_ports(b, &u, vms, count) == 0 && load_pairs(b, &u) == 0 &&
            load_rules(b, &u, e) == 0) {
            bridge_update_shaped(b);
            return b;
        }
        bridge_free(b);
    }
    if (!e || !e->message)
        err_set(e, EINVAL, "the saved state of the bridge is damaged");
    return NULL;
}
