/* The guest as a whole. */
#pragma once

#include "guest/guest.h"

/* What the agent would do for itself later is done when this returns, so that no restored guest does it again. */
int guest_settle(struct guest *g, int64_t deadline, struct err *e);
/* Before a snapshot is taken: everything that the agent has sent has come when this returns, and it sends no output of
 * processes until guest_unquiesce, or a new session. */
int guest_quiesce(struct guest *g, int64_t deadline, struct err *e);
int guest_unquiesce(struct guest *g, int64_t deadline, struct err *e);
/* Asks the guest to power off, or to reboot, in order; does not wait for that. */
int guest_poweroff(struct guest *g, bool reboot, int64_t deadline, struct err *e);
