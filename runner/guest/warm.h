/* Has the agent of a restored machine do once what is asked of every machine, so that the next time is quick: under
 * emulation, code that runs for the first time has to be translated, which takes ten times as long as running it. */
#pragma once

#include "guest/guest.h"

struct guest_warming;
/* It did, or `ok` is false. */
typedef void (*guest_warm_fn)(bool ok, void *arg);

/* Begins a session of its own over duplicates of the descriptors, with `refresh`, and executes a command that does nothing. */
struct guest_warming *guest_warm(struct loop *loop, int virtio_fd, int serial_fd, int line, const struct guest_refresh *refresh,
                                 guest_warm_fn fn, void *arg);
/* At any time but from `fn`. */
void guest_warming_free(struct guest_warming *w);
