/* Bodies of requests, on their way to the agent: as far as its credit goes, and as long as not too much is queued. They
 * come from memory, or block by block from a source. */
#include "guest/upload.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"

#define SOURCE_BLOCK (256 * 1024)

/* Gets more of the body into memory. -1: that failed, and the call with it. */
static int refill(struct guest_call *call)
{
    if (call->upload_left || !call->source)
        return 0;
    if (!call->own)
        call->own = xmalloc(SOURCE_BLOCK);
    ssize_t got = call->source(call->arg, call->own, SOURCE_BLOCK);
    if (got < 0) {
        int code = errno;
        const char *name = errno_name(code);
        struct message m = {.kind = MESSAGE_CANCEL, .id = call->id};
        guest_channel_put(call->guest, &m);
        call->source = NULL;
        err_set(&call->error, code, "host: %s: %s", name ? name : "?", strerror(code));
        return -1;
    }
    call->upload = call->own;
    call->upload_left = (size_t)got;
    if (!got)
        call->source = NULL;
    return 0;
}

bool guest_upload_next(struct guest_call *call, struct message *m)
{
    bool had_source = call->source;
    if (refill(call) < 0)
        return false;
    size_t n = call->upload_left < call->upload_window ? call->upload_left : call->upload_window;
    m->data = bytes_of(call->upload, n);
    m->more = n < call->upload_left || call->source;
    return n || (had_source && !call->source); /* the latter: its end was not known before */
}

void guest_upload_sent(struct guest_call *call, ssize_t taken)
{
    if (!taken)
        return;
    call->upload += taken;
    call->upload_left -= (size_t)taken;
    call->upload_window -= (size_t)taken;
}

void guest_upload_pump(struct guest_call *call)
{
    struct message m = {.kind = MESSAGE_DATA, .id = call->id};
    while ((call->upload_left || call->source) && call->upload_window && guest_channel_has_room(call->guest)) {
        ssize_t taken = guest_upload_next(call, &m) ? guest_channel_put(call->guest, &m) : -1;
        if (taken < 0)
            return;
        guest_upload_sent(call, taken);
    }
}

void guest_upload_pump_all(struct guest *g)
{
    for (size_t i = 0; i < GUEST_BUCKETS; i++)
        for (struct guest_call *call = g->calls[i]; call; call = call->next)
            guest_upload_pump(call);
}
