/* Bridges: their options, their subnets, and what they own. Members are in member.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "switch/capture.h"
#include "switch/core.h"
#include "switch/gateway.h"
#include "switch/route.h"

#define MTU_MIN     68
#define MTU_MAX     65535
#define MTU_DEFAULT 1500

/* The subnets asked for, or those of the first number whose default ones are free. */
static int choose_subnet(const struct netswitch *s, const char *name,
                         const struct bridge_options *o, unsigned *ret_number, struct subnet *ret,
                         struct err *e)
{
    struct subnet want = {.has6 = !o->mtu || o->mtu >= IPV6_MTU_MIN};
    if ((o->subnet4 && subnet_parse4(o->subnet4, &want, e) < 0) ||
        (o->subnet6 && subnet_parse6(o->subnet6, &want, e) < 0))
        return -1;
    for (unsigned tries = 0; tries < BRIDGE_NUMBERS; tries++) {
        const struct bridge *other = NULL;
        int family = 0;
        unsigned n = (address_number(name) + tries) % BRIDGE_NUMBERS;
        struct subnet candidate = want, numbered;
        subnet_of_number(n, &numbered);
        if (!o->subnet4) {
            candidate.net4 = numbered.net4;
            candidate.prefix4 = numbered.prefix4;
        }
        if (!o->subnet6)
            memcpy(candidate.net6, numbered.net6, sizeof(candidate.net6));
        for (size_t i = 0; i < s->bridge_count && !family; i++) {
            other = s->bridges[i];
            family = other->number == n ? -1 : subnet_overlap(&candidate, &other->subnet);
        }
        if (!family) {
            *ret_number = n;
            *ret = candidate;
            return 0;
        }
        if ((family == 4 && o->subnet4) || (family == 6 && o->subnet6))
            return err_set(e, EADDRINUSE, "subnet `%s` overlaps that of bridge `%s`",
                           family == 4 ? o->subnet4 : o->subnet6, other->name);
    }
    return err_set(e, ENOSPC, "no subnet is free");
}

static enum toggle resolved(enum toggle asked, bool raw)
{
    return asked != TOGGLE_DEFAULT ? asked : raw ? TOGGLE_OFF : TOGGLE_ON;
}

struct bridge *bridge_make(struct netswitch *s, const char *name, const struct bridge_options *o,
                           unsigned number, const struct subnet *subnet, struct err *e)
{
    if (!*name || strlen(name) >= NAME_TEXT) {
        err_set(e, EINVAL, "`%s` can't be a bridge's name", name);
        return NULL;
    }
    if (s->bridge_count == BRIDGES_MAX) {
        err_set(e, ENOSPC, "there are %d bridges already", BRIDGES_MAX);
        return NULL;
    }
    if (o->mtu && (o->mtu < MTU_MIN || o->mtu > MTU_MAX)) {
        err_set(e, EINVAL, "mtu must be %d to %d, not %u", MTU_MIN, MTU_MAX, o->mtu);
        return NULL;
    }
    struct bridge *b = xnew0(struct bridge);
    b->owner = s;
    b->id = ++s->next_id;
    b->name = xstrdup(name);
    b->seed = xstrdup(name);
    b->number = number;
    b->subnet = *subnet;
    b->mtu = o->mtu ? o->mtu : MTU_DEFAULT;
    b->raw = o->raw;
    b->dhcp = resolved(o->dhcp, o->raw) != TOGGLE_OFF;
    b->dns = resolved(o->dns, o->raw);
    b->rules_tail = &b->rules;
    mac_table_init(&b->macs, s->secret);
    struct port *gateway = bridge_intern(b, GATEWAY_NAME);
    gateway->attached = true;
    mac_of_gateway(name, gateway->mac);
    b->gateway = gateway_new(b);
    s->bridges = xreallocarray(s->bridges, s->bridge_count + 1, sizeof(*s->bridges));
    s->bridges[s->bridge_count++] = b;
    gateway_update(b->gateway);
    return b;
}

struct bridge *bridge_new(struct netswitch *s, const char *name, const struct bridge_options *o,
                          struct err *e)
{
    unsigned number = 0;
    struct subnet subnet;
    if (choose_subnet(s, name, o, &number, &subnet, e) < 0)
        return NULL;
    return bridge_make(s, name, o, number, &subnet, e);
}

void bridge_free(struct bridge *b)
{
    struct netswitch *s = b->owner;
    for (size_t i = 0; i < s->bridge_count; i++) {
        if (s->bridges[i] != b)
            continue;
        memmove(&s->bridges[i], &s->bridges[i + 1],
                (s->bridge_count - i - 1) * sizeof(*s->bridges));
        s->bridge_count--;
        break;
    }
    while (b->route_count)
        bridge_unroute(b, b->routes[0].to);
    free(b->routes);
    gateway_free(b->gateway);
    impair_done(b);
    held_done(&b->held);
    pairs_done(&b->pairs);
    captures_end(b->captures);
    for (size_t i = 0; i < b->port_count; i++) {
        struct port *p = b->ports[i];
        captures_end(p->captures);
        switch_forget_outlet(s, &p->outlet);
        free(p->name);
        free(p);
    }
    mac_table_done(&b->macs);
    free(b->ports);
    free(b->members);
    free(b->up);
    free(b->seed);
    free(b->name);
    free(b);
}

const char *bridge_name(const struct bridge *b)
{
    return b->name;
}

const struct bridge_stats *bridge_stats(const struct bridge *b)
{
    return &b->stats;
}

void bridge_describe(const struct bridge *b, struct bridge_info *ret)
{
    uint8_t gateway6[16];
    char text[ADDR6_TEXT];
    *ret = (struct bridge_info){
        .id = b->id, .mtu = b->mtu, .raw = b->raw, .dhcp = b->dhcp, .dns = b->dns};
    address_text4(b->subnet.net4, text);
    snprintf(ret->subnet4, sizeof(ret->subnet4), "%s/%u", text, b->subnet.prefix4);
    address_text4(subnet_host4(&b->subnet, 1), ret->gateway4);
    if (!b->subnet.has6)
        return;
    address_text6(b->subnet.net6, text);
    snprintf(ret->subnet6, sizeof(ret->subnet6), "%s/64", text);
    subnet_host6(&b->subnet, 1, gateway6);
    address_text6(gateway6, ret->gateway6);
}
