#include "guest/worker.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "guest/channel.h"

struct guest_worker {
    struct guest *guest;
    struct guest_call *call;
    int64_t pid;
    char *ended;
};

static void on_event(struct guest_call *call, struct bytes name, struct bytes value)
{
    struct guest_worker *w = call->arg;
    struct value_started started;
    if (bytes_is(name, "started") && !shape_unpack(value, &shape_value_started, &started))
        w->pid = (int64_t)started.pid;
}

/* All that changes is the call. */
static void *save(struct guest_call *call)
{
    (void)call;
    return NULL;
}

static void restore(struct guest_call *call, const void *saved)
{
    struct guest_worker *w = call->arg;
    (void)saved;
    free(w->ended);
    w->ended = NULL;
}

struct guest_worker *guest_worker_start(struct guest *g, int64_t deadline, struct err *e)
{
    static const struct guest_call_handlers handlers = {
        .event = on_event, .save = save, .restore = restore};
    struct guest_worker *w = xnew0(struct guest_worker);
    struct guest_call_request request = {.handlers = &handlers, .arg = w, .background = true};
    w->guest = g;
    w->call = guest_call_start(g, OPERATION_worker, &request, "spawn_worker");
    if (guest_call_await_begin(w->call, deadline, e) < 0) {
        guest_worker_free(w);
        return NULL;
    }
    return w;
}

void guest_worker_free(struct guest_worker *w)
{
    if (!w)
        return;
    guest_call_free(w->call);
    free(w->ended);
    free(w);
}

uint64_t guest_worker_id(const struct guest_worker *w)
{
    return w->call->id;
}

int64_t guest_worker_pid(const struct guest_worker *w)
{
    return w->pid;
}

const char *guest_worker_ended(struct guest_worker *w)
{
    struct value_exited value;
    if (!w->call->done)
        return NULL;
    if (w->ended)
        return w->ended;
    if (guest_call_result(w->call, &value, NULL) < 0) {
        w->ended = xstrdup(err_message(&w->call->error));
    } else if (value.signal) {
        const char *name = sigabbrev_np((int)value.signal);
        w->ended = xasprintf("killed by %s%s (%d)", name ? "SIG" : "signal", name ? name : "", (int)value.signal);
    } else {
        w->ended = xasprintf("exited with %d", (int)value.code);
    }
    return w->ended;
}

int guest_worker_close(struct guest_worker *w, int64_t deadline, struct err *e)
{
    struct message m = {.kind = MESSAGE_CANCEL, .id = w->call->id};
    if (w->call->done)
        return 0;
    guest_call_send(w->call, &m);
    return guest_call_await(w->call, deadline, NULL, e);
}

struct guest *guest_worker_guest(const struct guest_worker *w)
{
    return w->guest;
}
