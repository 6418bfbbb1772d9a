/* Members of a bridge: names, numbers, addresses, and whether frames pass.
 *
 * A port is made the first time its name is heard of (attach, or a partition of names that aren't
 * there yet) and stays until the bridge closes: its id, host number and MAC never change. `up` is
 * the list of ports that frames pass; it is rebuilt whenever one of the conditions changes, which
 * is rare. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "switch/capture.h"
#include "switch/core.h"
#include "switch/dhcp.h"
#include "switch/gateway.h"

#define PORTS_MAX 65535

struct port *bridge_find(const struct bridge *b, const char *name)
{
    for (size_t i = 0; i < b->port_count; i++)
        if (!strcmp(b->ports[i]->name, name))
            return b->ports[i];
    return NULL;
}

struct port *bridge_intern(struct bridge *b, const char *name)
{
    struct port *p = bridge_find(b, name);
    if (p)
        return p;
    p = xnew0(struct port);
    p->bridge = b;
    p->id = (uint16_t)b->port_count;
    p->name = xstrdup(name);
    p->link = true;
    p->recent.generation = ~b->macs.generation;
    b->ports = xreallocarray(b->ports, b->port_count + 1, sizeof(*b->ports));
    b->ports[b->port_count++] = p;
    return p;
}

struct port *bridge_member(const struct bridge *b, const char *name, struct err *e)
{
    struct port *p = bridge_find(b, name);
    if (p && p->id && p->attached)
        return p;
    err_set(e, ENOENT, "`%s` is not a member of bridge `%s`", name, b->name);
    err_hint(e, "call bridge:attach first");
    return NULL;
}

struct port *bridge_endpoint(const struct bridge *b, const char *name, struct err *e)
{
    return strcmp(name, GATEWAY_NAME) ? bridge_member(b, name, e) : b->ports[0];
}

static int by_order(const void *a, const void *b)
{
    const struct port *const *x = a, *const *y = b;
    return (*x)->order < (*y)->order ? -1 : (*x)->order > (*y)->order;
}

void bridge_update_members(struct bridge *b)
{
    b->member_count = 0;
    b->members = xreallocarray(b->members, b->port_count, sizeof(*b->members));
    for (size_t i = 1; i < b->port_count; i++)
        if (b->ports[i]->attached)
            b->members[b->member_count++] = b->ports[i];
    qsort(b->members, b->member_count, sizeof(*b->members), by_order);
    bridge_update_up(b);
}

void bridge_update_up(struct bridge *b)
{
    b->up_count = 0;
    b->up = xreallocarray(b->up, b->port_count, sizeof(*b->up));
    for (size_t i = 0; i < b->port_count; i++) {
        struct port *p = b->ports[i];
        if (p->attached && p->connected && p->link)
            b->up[b->up_count++] = p;
    }
}

void bridge_update_shaped(struct bridge *b)
{
    b->shaped = b->rules || b->partition_all || b->partitions || b->isolated;
}

/* ---- membership ---- */

static bool mac_taken(const struct bridge *b, const uint8_t mac[MAC_SIZE])
{
    for (size_t i = 0; i < b->port_count; i++)
        if ((b->ports[i]->host || !i) && !memcmp(b->ports[i]->mac, mac, MAC_SIZE))
            return true;
    return false;
}

static uint32_t next_host(const struct bridge *b)
{
    uint32_t next = subnet_first_member(&b->subnet);
    for (size_t i = 1; i < b->port_count; i++)
        if (b->ports[i]->host >= next)
            next = b->ports[i]->host + 1;
    return next;
}

/* How many host numbers are left between the last member and the lowest lease. */
static uint32_t hosts_left(const struct bridge *b)
{
    uint32_t next = next_host(b);
    uint32_t end =
        dhcp_lowest_lease(b->gateway->dhcp, subnet_broadcast(&b->subnet)) - b->subnet.net4;
    return next < end ? end - next : 0;
}

static int check_attach(const struct bridge *b, const struct member_request *list, size_t count,
                        struct err *e)
{
    uint32_t fresh = 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = list[i].name;
        const struct port *p = bridge_find(b, name);
        if (!*name || strlen(name) >= NAME_TEXT || !strcmp(name, GATEWAY_NAME))
            return err_set(e, EINVAL, "`%s` can't be a member's name", name);
        uint32_t vm = p && p->attached ? p->vm : 0;
        bool seen = false;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(list[j].name, name))
                continue;
            seen = true;
            vm = vm ? vm : list[j].vm;
        }
        if (vm && list[i].vm && vm != list[i].vm) {
            err_set(e, EEXIST, "another VM named `%s` is a member of bridge `%s`", name, b->name);
            return err_hint(e, "detach it first, or give one of them another name");
        }
        fresh += !seen && (!p || !p->host);
    }
    if (fresh > hosts_left(b)) {
        err_set(e, ENOSPC, "the subnet of bridge `%s` is full", b->name);
        return err_hint(e, "give the bridge a larger `subnet`");
    }
    if (b->port_count + fresh > PORTS_MAX)
        return err_set(e, ENOSPC, "bridge `%s` knows too many names", b->name);
    return 0;
}

static struct port *attach_one(struct bridge *b, const struct member_request *request)
{
    struct port *p = bridge_intern(b, request->name);
    if (!p->host) {
        unsigned attempt = 0;
        do
            mac_of_member(p->name, b->name, attempt++, p->mac);
        while (mac_taken(b, p->mac));
        p->host = next_host(b);
    }
    if (!p->attached) {
        p->attached = true;
        p->link = true;
        p->vm = 0;
        p->order = ++b->owner->attach_sequence;
    }
    if (request->vm)
        p->vm = request->vm;
    return p;
}

int bridge_attach(struct bridge *b, const struct member_request *members, size_t count,
                  struct member_info *ret, struct err *e)
{
    if (check_attach(b, members, count, e) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct port *p = attach_one(b, &members[i]);
        if (ret)
            port_describe(p, &ret[i]);
    }
    bridge_update_members(b);
    return 0;
}

int bridge_detach(struct bridge *b, const char *name, struct err *e)
{
    struct port *p = bridge_member(b, name, e);
    if (!p)
        return -1;
    p->attached = false;
    partition_forget_port(b, p);
    impair_forget_port(b, p);
    mac_table_forget_port(&b->macs, p->id);
    captures_end(p->captures);
    queue_drop_unsent(&p->outlet.queue);
    bridge_update_members(b);
    return 0;
}

struct port *bridge_member_at(const struct bridge *b, size_t i)
{
    return i < b->member_count ? b->members[i] : NULL;
}

void port_describe(const struct port *p, struct member_info *ret)
{
    const struct bridge *b = p->bridge;
    *ret = (struct member_info){
        .vm = p->vm,
        .connected = p->connected,
        .link = p->link,
        .isolated = p->isolated,
    };
    snprintf(ret->name, sizeof(ret->name), "%s", p->name);
    memcpy(ret->mac, p->mac, MAC_SIZE);
    mac_text(p->mac, ret->mac_text);
    address_text4(subnet_host4(&b->subnet, p->host), ret->reserved4);
    if (b->subnet.has6) {
        uint8_t address[16];
        subnet_host6(&b->subnet, p->host, address);
        address_text6(address, ret->reserved6);
    }
    if (b->raw)
        return;
    memcpy(ret->ip4, ret->reserved4, sizeof(ret->ip4));
    memcpy(ret->ip6, ret->reserved6, sizeof(ret->ip6));
    ret->prefix4 = b->subnet.prefix4;
    ret->prefix6 = b->subnet.has6 ? 64 : 0;
}

struct bridge *port_bridge(const struct port *p)
{
    return p->bridge;
}

const char *port_name(const struct port *p)
{
    return p->name;
}

struct outlet *port_outlet(struct port *p)
{
    return &p->outlet;
}

const struct nic_counters *port_counters(const struct port *p)
{
    return &p->counters;
}

void port_count_received(struct port *p, uint64_t frames, uint64_t bytes)
{
    p->counters.rx_packets += frames;
    p->counters.rx_bytes += bytes;
}

void port_connect(struct port *p, void *connection)
{
    p->connected = true;
    p->outlet.connection = connection;
    p->counters = (struct nic_counters){0};
    bridge_update_up(p->bridge);
}

void port_disconnect(struct port *p)
{
    p->connected = false;
    p->outlet.connection = NULL;
    queue_clear(&p->outlet.queue);
    mac_table_forget_port(&p->bridge->macs, p->id);
    bridge_update_up(p->bridge);
}

void port_set_link(struct port *p, bool up)
{
    p->link = up;
    if (!up)
        mac_table_forget_port(&p->bridge->macs, p->id);
    bridge_update_up(p->bridge);
}
