/* Default routes go to the gateway of the first bridge with an uplink. Routed subnets get a route
 * of their own where no default route leads to the right gateway, unless the guest is in that
 * subnet anyway. */
#include "switch/plan.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "switch/core.h"
#include "switch/gateway.h"
#include "switch/names.h"
#include "switch/route.h"

#define HOSTS_MAX  (16u << 20)
#define SEARCH_MAX 6 /* resolv.conf(5) before glibc 2.26 */

struct hosts {
    struct buf text;
    int family;
};

static void add_route(struct guest_nic *nic, const char *destination, const char *gateway)
{
    nic->routes = xreallocarray(nic->routes, nic->route_count + 1, sizeof(*nic->routes));
    struct guest_route *r = &nic->routes[nic->route_count++];
    snprintf(r->destination, sizeof(r->destination), "%s", destination);
    snprintf(r->gateway, sizeof(r->gateway), "%s", gateway);
}

static bool has_route(const struct guest_plan *plan, const char *destination)
{
    for (size_t i = 0; i < plan->nic_count; i++)
        for (size_t k = 0; k < plan->nics[i].route_count; k++)
            if (!strcmp(plan->nics[i].routes[k].destination, destination))
                return true;
    return false;
}

static bool is_member(const struct guest_plan *plan, const struct bridge *b)
{
    for (size_t i = 0; i < plan->nic_count; i++)
        if (plan->nics[i].bridge == b->id && !plan->nics[i].raw)
            return true;
    return false;
}

static void add_subnets(struct guest_plan *plan, struct guest_nic *nic, const struct bridge *b)
{
    struct bridge_info own, other;
    const struct bridge *to;
    bridge_describe(b, &own);
    for (size_t i = 0; (to = bridge_route_at(b, i, true)); i++) {
        if (is_member(plan, to))
            continue;
        bridge_describe(to, &other);
        if (!has_route(plan, other.subnet4))
            add_route(nic, other.subnet4, own.gateway4);
        if (*own.gateway6 && *other.subnet6 && !has_route(plan, other.subnet6))
            add_route(nic, other.subnet6, own.gateway6);
    }
}

static void fill_nic(struct guest_nic *nic, const struct port *p)
{
    struct member_info m;
    port_describe(p, &m);
    *nic = (struct guest_nic){.bridge = p->bridge->id,
                              .mtu = p->bridge->mtu,
                              .raw = p->bridge->raw,
                              .prefix4 = m.prefix4,
                              .prefix6 = m.prefix6};
    snprintf(nic->bridge_name, sizeof(nic->bridge_name), "%s", p->bridge->name);
    memcpy(nic->mac, m.mac, MAC_SIZE);
    memcpy(nic->ip4, m.ip4, sizeof(nic->ip4));
    memcpy(nic->ip6, m.ip6, sizeof(nic->ip6));
}

static void add_routes(const struct netswitch *s, struct guest_plan *plan)
{
    const struct guest_nic *uplink = NULL;
    for (size_t i = 0; i < plan->nic_count; i++) {
        struct guest_nic *nic = &plan->nics[i];
        const struct bridge *b = switch_bridge(s, nic->bridge);
        if (nic->raw || uplink || !bridge_has_uplink(b))
            continue;
        struct bridge_info info;
        bridge_describe(b, &info);
        add_route(nic, "0.0.0.0/0", info.gateway4);
        if (b->gateway->uplink6)
            add_route(nic, "::/0", info.gateway6);
        uplink = nic;
    }
    for (size_t i = 0; i < plan->nic_count; i++)
        if (!plan->nics[i].raw && &plan->nics[i] != uplink)
            add_subnets(plan, &plan->nics[i], switch_bridge(s, plan->nics[i].bridge));
    if (uplink && !has_route(plan, "::/0")) { /* the default route is for IPv4 only */
        struct guest_nic *nic = &plan->nics[uplink - plan->nics];
        add_subnets(plan, nic, switch_bridge(s, nic->bridge));
    }
}

static bool add_host(const struct port *p, bool bare, void *arg)
{
    struct hosts *h = arg;
    struct member_info m;
    port_describe(p, &m);
    const char *address = h->family == 4 ? m.ip4 : m.ip6;
    if (*address)
        buf_printf(&h->text, "%s %s.%s%s%s\n", address, p->name, p->bridge->name, bare ? " " : "",
                   bare ? p->name : "");
    return true;
}

static char *make_hosts(const struct port *viewer)
{
    struct hosts h = {.text = BUF_INIT(HOSTS_MAX), .family = 4};
    names_each(viewer, add_host, &h);
    h.family = 6;
    names_each(viewer, add_host, &h);
    return buf_steal_str(&h.text);
}

static char *make_resolv_conf(const struct netswitch *s, const struct guest_plan *plan,
                              bool *ret_force)
{
    const struct bridge *server = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT(HOSTS_MAX);
    unsigned searched = 0;
    for (size_t i = 0; i < plan->nic_count; i++) {
        const struct bridge *b = switch_bridge(s, plan->nics[i].bridge);
        if (b->raw)
            continue;
        if (b->dns != TOGGLE_OFF &&
            (!server || (bridge_has_uplink(b) && !bridge_has_uplink(server))))
            server = b;
        *ret_force |= b->dns == TOGGLE_FORCE;
        if (searched++ < SEARCH_MAX)
            buf_printf(&text, "%s %s", searched == 1 ? "search" : "", b->name);
    }
    if (!server)
        return NULL;
    struct bridge_info info;
    bridge_describe(server, &info);
    buf_printf(&text, "\nnameserver %s\n", info.gateway4);
    return buf_steal_str(&text);
}

void plan_make(const struct netswitch *s, uint32_t vm, struct guest_plan *ret)
{
    *ret = (struct guest_plan){0};
    const struct port *p, *viewer = names_nic_at(s, vm, 0);
    if (!viewer || !vm)
        return;
    for (size_t i = 0; (p = names_nic_at(s, vm, i)); i++) {
        ret->nics = xreallocarray(ret->nics, ret->nic_count + 1, sizeof(*ret->nics));
        fill_nic(&ret->nics[ret->nic_count++], p);
    }
    add_routes(s, ret);
    ret->hosts = make_hosts(viewer);
    ret->resolv_conf = make_resolv_conf(s, ret, &ret->resolv_force);
}

void guest_plan_done(struct guest_plan *plan)
{
    for (size_t i = 0; i < plan->nic_count; i++)
        free(plan->nics[i].routes);
    free(plan->nics);
    free(plan->hosts);
    free(plan->resolv_conf);
    *plan = (struct guest_plan){0};
}
