/* The guest's CLOCK_REALTIME, in nanoseconds since the epoch. */
#pragma once

#include "guest/guest.h"

int guest_clock_get(struct guest *g, int64_t *ret_ns, int64_t deadline, struct err *e);
int guest_clock_set(struct guest *g, int64_t ns, int64_t deadline, struct err *e);
/* Jumps by `ns`, which may be negative. */
int guest_clock_advance(struct guest *g, int64_t ns, int64_t deadline, struct err *e);
/* Waits for that much of the guest's monotonic time. */
int guest_clock_sleep(struct guest *g, int64_t ns, int64_t deadline, struct err *e);
