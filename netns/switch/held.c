/* Four children per node: half the levels of a binary heap, and siblings share cache lines. */
#include "switch/held.h"

#include "base/alloc.h"

void held_done(struct held_heap *h)
{
    for (size_t i = 0; i < h->count; i++)
        frame_unref(h->items[i].frame);
    free(h->items);
    *h = (struct held_heap){0};
}

static bool before(const struct held *a, const struct held *b)
{
    return a->due != b->due ? a->due < b->due : a->sequence < b->sequence;
}

uint64_t held_push(struct held_heap *h, int64_t due, struct frame f, uint16_t from, uint16_t to)
{
    if (h->count == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 64;
        h->items = xreallocarray(h->items, h->cap, sizeof(*h->items));
    }
    struct held item = {due, h->sequence++, f, from, to};
    size_t at = h->count++;
    while (at) {
        size_t parent = (at - 1) / 4;
        if (!before(&item, &h->items[parent]))
            break;
        h->items[at] = h->items[parent];
        at = parent;
    }
    h->items[at] = item;
    return item.sequence;
}

static void sift_down(struct held_heap *h, struct held item)
{
    size_t at = 0;
    for (;;) {
        size_t first = at * 4 + 1, least = first;
        if (first >= h->count)
            break;
        for (size_t child = first + 1; child < first + 4 && child < h->count; child++)
            if (before(&h->items[child], &h->items[least]))
                least = child;
        if (!before(&h->items[least], &item))
            break;
        h->items[at] = h->items[least];
        at = least;
    }
    h->items[at] = item;
}

bool held_pop(struct held_heap *h, int64_t now, struct held *ret)
{
    if (!h->count || h->items[0].due > now)
        return false;
    *ret = h->items[0];
    struct held last = h->items[--h->count];
    if (h->count) {
        sift_down(h, last);
    } else if (h->cap > 4096) { /* a burst is over: give its memory back */
        free(h->items);
        h->items = NULL;
        h->cap = 0;
    }
    return true;
}
