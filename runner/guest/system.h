/* The guest as a whole. */
#pragma once

#include "guest/guest.h"

/* Adds entropy to the kernel's random pool, and makes it count at once; for a guest that was restored. */
int guest_reseed(struct guest *g, const void *seed, size_t n, int64_t deadline, struct err *e);
/* Before a snapshot is taken: everything that the agent has sent has come when this returns, and it sends no output of
 * processes until guest_unquiesce, or a new session. */
int guest_quiesce(struct guest *g, int64_t deadline, struct err *e);
int guest_unquiesce(struct guest *g, int64_t deadline, struct err *e);
/* Asks the guest to power off, or to reboot, in order; does not wait for that. */
int guest_poweroff(struct guest *g, bool reboot, int64_t deadline, struct err *e);
