#include "switch/route.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "switch/core.h"
#include "switch/gateway.h"

static size_t find(const struct bridge *b, const struct bridge *other)
{
    size_t i = 0;
    while (i < b->route_count && b->routes[i].to != other)
        i++;
    return i;
}

static void add(struct bridge *b, struct bridge *other, bool declared)
{
    size_t i = find(b, other);
    if (i == b->route_count) {
        b->routes = xreallocarray(b->routes, b->route_count + 1, sizeof(*b->routes));
        b->routes[b->route_count++] = (struct route){.to = other};
    }
    b->routes[i].declared |= declared;
}

int bridge_route(struct bridge *b, struct bridge *const *others, size_t count, struct err *e)
{
    for (size_t i = 0; i < count; i++) {
        if (others[i] == b)
            return err_set(e, EINVAL, "bridge `%s` can't be routed to itself", b->name);
        if (subnet_overlap(&b->subnet, &others[i]->subnet))
            return err_set(e, EADDRINUSE, "bridges `%s` and `%s` have the same addresses", b->name,
                           others[i]->name);
    }
    for (size_t i = 0; i < count; i++) {
        add(b, others[i], true);
        add(others[i], b, false);
        gateway_update(others[i]->gateway);
    }
    gateway_update(b->gateway);
    return 0;
}

static void forget(struct bridge *b, const struct bridge *other)
{
    size_t i = find(b, other);
    if (i == b->route_count)
        return;
    b->route_count--;
    memmove(&b->routes[i], &b->routes[i + 1], (b->route_count - i) * sizeof(*b->routes));
    gateway_update(b->gateway);
}

void bridge_unroute(struct bridge *b, struct bridge *other)
{
    forget(b, other);
    forget(other, b);
}

struct bridge *bridge_route_at(const struct bridge *b, size_t i, bool any)
{
    for (size_t k = 0; k < b->route_count; k++)
        if ((any || b->routes[k].declared) && !i--)
            return b->routes[k].to;
    return NULL;
}
