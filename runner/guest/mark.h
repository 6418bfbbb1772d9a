/* What the host knows of the guest's processes, workers and open files at one moment, for a restore to it: they exist on
 * both sides, and both have to go back. To be made after guest_quiesce, before the machine's state is saved; then
 *
 *     guest_resync(g, mark, …)   the descriptors lead to the restored machine: the marked objects are as they were,
 *                                even if they have ended since; what came later is lost
 *     guest_resync(g, NULL, …)   another machine's state, or the host began anew: nothing is kept
 *
 * A mark does not keep objects alive: one that its owner has freed meanwhile is let go in the guest too. */
#pragma once

#include "guest/guest.h"

struct guest_mark;

struct guest_mark *guest_mark_new(struct guest *g);
bool guest_mark_is_empty(const struct guest_mark *mark);
void guest_mark_free(struct guest_mark *mark);
DEFINE_CLEANUP(struct guest_mark, guest_mark_free)

/* Begins a new session with the agent that runs in the restored machine, and (unless NULL) tells it `refresh`;
 * guest_wait_ready waits for it. */
void guest_resync(struct guest *g, const struct guest_mark *mark, const struct guest_refresh *refresh);
