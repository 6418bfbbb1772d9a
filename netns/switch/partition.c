/* Partitions and isolation. Three kinds of partition are kept apart because each is lifted by the
 * call of its own form: symmetric ones belong to names and outlive a detach, directional ones
 * belong to members, partition_all belongs to the bridge and knows exemptions. The gateway is no
 * party to any of them. */
#include <errno.h>
#include <string.h>

#include "switch/core.h"

bool partition_drops(const struct bridge *b, const struct port *from, const struct port *to)
{
    if (!from->id || !to->id || (!b->partition_all && !b->partitions))
        return false;
    const struct pair *pair = pairs_find(&b->pairs, from->id, to->id);
    uint8_t flags = pair ? pair->partition : 0;
    return (flags & (PAIR_SYMMETRIC | PAIR_DIRECTIONAL)) ||
           (b->partition_all && !(flags & PAIR_EXEMPT));
}

static void change(struct bridge *b, const struct port *from, const struct port *to, uint8_t add,
                   uint8_t remove)
{
    struct pair *pair = pairs_get(&b->pairs, from->id, to->id);
    bool before = pair->partition & (PAIR_SYMMETRIC | PAIR_DIRECTIONAL);
    pair->partition = (uint8_t)((pair->partition | add) & ~remove);
    bool after = pair->partition & (PAIR_SYMMETRIC | PAIR_DIRECTIONAL);
    b->partitions += (unsigned)after - (unsigned)before;
}

static int check_names(const char *a, const char *to, struct err *e)
{
    if (!strcmp(a, GATEWAY_NAME) || !strcmp(to, GATEWAY_NAME)) {
        err_set(e, EINVAL, "partitions concern members, not the gateway");
        return err_hint(e, "use isolate, or impair with from or to `" GATEWAY_NAME "`");
    }
    if (!strcmp(a, to))
        return err_set(e, EINVAL, "`%s` can't be partitioned from itself", a);
    return 0;
}

int bridge_partition(struct bridge *b, const char *a, const char *to, bool directional,
                     struct err *e)
{
    if (check_names(a, to, e) < 0)
        return -1;
    struct port *from_port, *to_port;
    if (directional) {
        from_port = bridge_endpoint(b, a, e);
        to_port = from_port ? bridge_endpoint(b, to, e) : NULL;
        if (!to_port)
            return -1;
        change(b, from_port, to_port, PAIR_DIRECTIONAL, 0);
    } else {
        from_port = bridge_intern(b, a);
        to_port = bridge_intern(b, to);
        change(b, from_port, to_port, PAIR_SYMMETRIC, 0);
        change(b, to_port, from_port, PAIR_SYMMETRIC, 0);
    }
    bridge_update_shaped(b);
    return 0;
}

int bridge_unpartition(struct bridge *b, const char *a, const char *to, bool directional,
                       struct err *e)
{
    if (check_names(a, to, e) < 0)
        return -1;
    struct port *from_port = bridge_find(b, a), *to_port = bridge_find(b, to);
    if (directional) {
        if (from_port && to_port)
            change(b, from_port, to_port, 0, PAIR_DIRECTIONAL);
    } else if (b->partition_all || (from_port && to_port)) {
        from_port = bridge_intern(b, a);
        to_port = bridge_intern(b, to);
        uint8_t exempt = b->partition_all ? PAIR_EXEMPT : 0;
        change(b, from_port, to_port, exempt, PAIR_SYMMETRIC);
        change(b, to_port, from_port, exempt, PAIR_SYMMETRIC);
    }
    bridge_update_shaped(b);
    return 0;
}

static void remove_everywhere(struct bridge *b, uint8_t flags)
{
    for (size_t i = 0; i < b->pairs.cap; i++) {
        struct pair *pair = b->pairs.slots[i];
        if (pair && pair->partition & flags)
            change(b, b->ports[pair->from], b->ports[pair->to], 0, flags);
    }
}

void bridge_partition_all(struct bridge *b)
{
    remove_everywhere(b, PAIR_EXEMPT);
    b->partition_all = true;
    bridge_update_shaped(b);
}

void bridge_restore_all(struct bridge *b)
{
    remove_everywhere(b, PAIR_SYMMETRIC | PAIR_DIRECTIONAL | PAIR_EXEMPT);
    b->partition_all = false;
    bridge_update_shaped(b);
}

void partition_forget_port(struct bridge *b, struct port *p)
{
    for (size_t i = 0; i < b->pairs.cap; i++) {
        struct pair *pair = b->pairs.slots[i];
        if (pair && pair->partition & PAIR_DIRECTIONAL &&
            (pair->from == p->id || pair->to == p->id))
            change(b, b->ports[pair->from], b->ports[pair->to], 0, PAIR_DIRECTIONAL);
    }
    if (p->isolated)
        b->isolated--;
    p->isolated = false;
    bridge_update_shaped(b);
}

void partition_clear(struct bridge *b)
{
    bridge_restore_all(b);
    for (size_t i = 0; i < b->port_count; i++)
        b->ports[i]->isolated = false;
    b->isolated = 0;
    bridge_update_shaped(b);
}

bool bridge_is_partitioned(const struct bridge *b, const char *a, const char *to)
{
    const struct port *from_port = bridge_find(b, a), *to_port = bridge_find(b, to);
    if (!strcmp(a, to) || !strcmp(a, GATEWAY_NAME) || !strcmp(to, GATEWAY_NAME))
        return false;
    if (!from_port || !to_port) /* a name never heard of has no exemption */
        return b->partition_all;
    return partition_drops(b, from_port, to_port);
}

int bridge_isolate(struct bridge *b, const char *name, bool on, struct err *e)
{
    struct port *p = bridge_member(b, name, e);
    if (!p)
        return -1;
    if (p->isolated != on) {
        p->isolated = on;
        b->isolated += on ? 1 : -1u;
    }
    bridge_update_shaped(b);
    return 0;
}
