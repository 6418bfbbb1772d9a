#include "switch/core.h"

#include "base/alloc.h"
#include "switch/capture.h"
#include "switch/gateway.h"

struct netswitch *switch_new(uint64_t secret)
{
    struct netswitch *s = xnew0(struct netswitch);
    s->secret = secret;
    s->ready_tail = &s->ready;
    return s;
}

void switch_free(struct netswitch *s)
{
    if (!s)
        return;
    while (s->bridge_count)
        bridge_free(s->bridges[s->bridge_count - 1]);
    while (s->captures)
        capture_free(s->captures);
    free(s->bridges);
    free(s);
}

struct bridge *switch_bridge(const struct netswitch *s, uint32_t id)
{
    for (size_t i = 0; i < s->bridge_count; i++)
        if (s->bridges[i]->id == id)
            return s->bridges[i];
    return NULL;
}

int64_t switch_next(const struct netswitch *s)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < s->bridge_count; i++) {
        int64_t held = held_next(&s->bridges[i]->held);
        int64_t gateway = gateway_next(s->bridges[i]->gateway);
        next = held < next ? held : next;
        next = gateway < next ? gateway : next;
    }
    return next;
}

void switch_advance(struct netswitch *s, int64_t now)
{
    for (size_t i = 0; i < s->bridge_count; i++) {
        bridge_advance(s->bridges[i], now);
        gateway_advance(s->bridges[i]->gateway, now);
    }
}

void switch_set_wall_offset(struct netswitch *s, int64_t offset)
{
    s->wall_offset = offset;
}

void switch_make_ready(struct netswitch *s, struct outlet *o)
{
    if (o->ready)
        return;
    o->ready = true;
    o->next_ready = NULL;
    *s->ready_tail = o;
    s->ready_tail = &o->next_ready;
}

struct outlet *switch_take_ready(struct netswitch *s)
{
    struct outlet *o = s->ready;
    if (!o)
        return NULL;
    s->ready = o->next_ready;
    if (!s->ready)
        s->ready_tail = &s->ready;
    o->ready = false;
    return o;
}

void switch_forget_outlet(struct netswitch *s, struct outlet *o)
{
    queue_done(&o->queue);
    for (struct outlet **at = &s->ready; o->ready && *at; at = &(*at)->next_ready) {
        if (*at != o)
            continue;
        *at = o->next_ready;
        if (!*at)
            s->ready_tail = at;
        o->ready = false;
        break;
    }
}
