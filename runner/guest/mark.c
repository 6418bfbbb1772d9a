#include "guest/mark.h"

#include "base/alloc.h"
#include "guest/channel.h"

struct marked {
    struct guest_call *call; /* NULL: freed meanwhile */
    uint64_t credit[2];
    void *saved; /* by its handlers */
};

struct guest_mark {
    struct guest *guest;
    struct guest_mark *next;
    struct marked *objects;
    size_t object_count;
    uint64_t *files; /* ids */
    size_t file_count;
};

struct guest_mark *guest_mark_new(struct guest *g)
{
    struct guest_mark *mark = xnew0(struct guest_mark);
    size_t cap = 0;
    mark->guest = g;
    mark->next = g->marks;
    g->marks = mark;
    for (size_t i = 0; i < GUEST_BUCKETS; i++) {
        for (struct guest_call *call = g->calls[i]; call; call = call->next) {
            if (call->abandoned || !call->handlers || !call->handlers->save)
                continue;
            if (mark->object_count == cap) {
                cap = cap ? 2 * cap : 16;
                mark->objects = xreallocarray(mark->objects, cap, sizeof(*mark->objects));
            }
            call->marks++;
            mark->objects[mark->object_count++] = (struct marked){
                .call = call, .credit = {call->credit[0], call->credit[1]}, .saved = call->handlers->save(call)};
        }
    }
    for (struct guest_file *f = g->files; f; f = guest_file_next(f))
        mark->file_count++;
    mark->files = xnewa(uint64_t, mark->file_count);
    size_t n = 0;
    for (struct guest_file *f = g->files; f; f = guest_file_next(f))
        mark->files[n++] = guest_file_id(f);
    return mark;
}

bool guest_mark_is_empty(const struct guest_mark *mark)
{
    return !mark->object_count && !mark->file_count;
}

void guest_mark_free(struct guest_mark *mark)
{
    if (!mark)
        return;
    if (mark->guest) {
        struct guest_mark **at = &mark->guest->marks;
        while (*at != mark)
            at = &(*at)->next;
        *at = mark->next;
    }
    for (size_t i = 0; i < mark->object_count; i++) {
        if (mark->guest && mark->objects[i].call)
            mark->objects[i].call->marks--;
        free(mark->objects[i].saved);
    }
    free(mark->objects);
    free(mark->files);
    free(mark);
}

void guest_mark_forget(struct guest *g, const struct guest_call *call)
{
    for (struct guest_mark *mark = g->marks; mark; mark = mark->next)
        for (size_t i = 0; i < mark->object_count; i++)
            if (mark->objects[i].call == call)
                mark->objects[i].call = NULL;
}

void guest_mark_orphan(struct guest *g)
{
    for (struct guest_mark *mark = g->marks; mark; mark = mark->next) {
        for (size_t i = 0; i < mark->object_count; i++)
            if (mark->objects[i].call)
                mark->objects[i].call->marks = 0;
        mark->guest = NULL;
    }
}

static bool is_open(const struct guest *g, uint64_t id)
{
    struct guest_file *f = g->files;
    while (f && guest_file_id(f) != id)
        f = guest_file_next(f);
    return f;
}

void guest_resync(struct guest *g, const struct guest_mark *mark, const struct guest_refresh *refresh)
{
    if (g->state == GUEST_CLOSED)
        return;
    size_t n = 0, objects = mark ? mark->object_count : 0, files = mark ? mark->file_count : 0;
    _cleanup_free_ uint64_t *keep = xnewa(uint64_t, objects + files);
    guest_call_fail_all(g, "the machine was restored");
    for (size_t i = 0; i < objects; i++) {
        const struct marked *m = &mark->objects[i];
        if (!m->call)
            continue;
        guest_call_revive(m->call, m->credit);
        m->call->handlers->restore(m->call, m->saved);
        keep[n++] = m->call->id;
    }
    for (size_t i = 0; i < files; i++)
        if (is_open(g, mark->files[i]))
            keep[n++] = mark->files[i];
    guest_channel_resync(g, keep, n, refresh);
}
