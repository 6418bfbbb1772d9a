#include "guest/warm.h"

#include <fcntl.h>

#include "base/alloc.h"
#include "guest/exec_call.h"
#include "guest/mark.h"

struct guest_warming {
    struct guest *guest;
    struct guest_call *call;
    guest_warm_fn fn;
    void *arg;
};

static void on_done(struct guest_call *call)
{
    struct guest_warming *w = call->arg;
    w->fn(true, w->arg); /* a guest without a shell has done its best */
}

static void on_guest(struct guest *g, enum guest_event event, const char *why, void *arg)
{
    static const struct guest_call_handlers handlers = {.done = on_done};
    static const char *const argv[] = {"/bin/sh", "-c", "true", NULL};
    static const struct guest_command command = {.argv = argv, .umask = 022};
    struct guest_warming *w = arg;
    const struct exec_mode mode = {.verb = "run", .quiet = true, .handlers = &handlers, .arg = w};
    (void)why;
    if (event == GUEST_GREETED && !w->call)
        w->call = guest_exec_start(g, &command, &mode);
    else
        w->fn(false, w->arg);
}

struct guest_warming *guest_warm(struct loop *loop, int virtio_fd, int serial_fd, int line, const struct guest_refresh *refresh,
                                 guest_warm_fn fn, void *arg)
{
    struct guest_warming *w = xnew0(struct guest_warming);
    w->fn = fn;
    w->arg = arg;
    w->guest = guest_new(loop, -1, -1);
    guest_reconnect(w->guest, fcntl(virtio_fd, F_DUPFD_CLOEXEC, 0), fcntl(serial_fd, F_DUPFD_CLOEXEC, 0), line);
    guest_set_event_fn(w->guest, on_guest, w);
    guest_resync(w->guest, NULL, refresh);
    return w;
}

void guest_warming_free(struct guest_warming *w)
{
    if (!w)
        return;
    guest_set_event_fn(w->guest, NULL, NULL);
    guest_call_free(w->call);
    guest_free(w->guest);
    free(w);
}
