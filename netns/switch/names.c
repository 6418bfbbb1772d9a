#include "switch/names.h"

#include <string.h>

#include "switch/core.h"

#define NAME_COST 8 /* a DNS question compares several texts per name */

struct port *names_nic_at(const struct netswitch *s, uint32_t vm, size_t i)
{
    struct port *best = NULL;
    for (uint64_t after = 0;; after = best->order) {
        best = NULL;
        for (size_t b = 0; b < s->bridge_count; b++) {
            const struct bridge *bridge = s->bridges[b];
            for (size_t k = 0; k < bridge->member_count; k++) {
                struct port *p = bridge->members[k];
                if (p->vm == vm && p->order > after && (!best || p->order < best->order))
                    best = p;
            }
        }
        if (!best || !i--)
            return best;
    }
}

static bool has_name(const struct bridge *b, const struct port *p)
{
    return !b->raw && p->id && p->attached && p->link && !strpbrk(p->name, " \t\r\n\v\f#");
}

/* One of the viewer's bridges before `limit` has a member of that name too. */
static bool seen_before(struct port *const *nics, size_t limit, const char *name)
{
    for (size_t i = 0; i < limit; i++) {
        const struct port *p = bridge_find(nics[i]->bridge, name);
        if (p && has_name(nics[i]->bridge, p))
            return true;
    }
    return false;
}

void names_each(const struct port *viewer, names_fn fn, void *arg)
{
    struct port *nics[BRIDGES_MAX];
    size_t count = 0;
    if (viewer->vm)
        while (count < BRIDGES_MAX &&
               (nics[count] = names_nic_at(viewer->bridge->owner, viewer->vm, count)))
            count++;
    else
        nics[count++] = viewer->bridge->ports[viewer->id];
    for (size_t i = 0; i < count; i++) {
        const struct bridge *b = nics[i]->bridge;
        switch_spend(b->owner, b->member_count * (i + 1) * NAME_COST);
        for (size_t k = 0; k < b->member_count; k++) {
            const struct port *p = b->members[k];
            if (has_name(b, p) && !fn(p, !seen_before(nics, i, p->name), arg))
                return;
        }
    }
}
