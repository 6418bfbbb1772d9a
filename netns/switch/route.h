/* Which bridges forward to each other: pairs, declared by either side, not transitive. */
#pragma once

#include <stddef.h>

#include "switch/switch.h"

/* All or none. */
int bridge_route(struct bridge *b, struct bridge *const *others, size_t count, struct err *e);
/* Whichever side declared it; none is no error. */
void bridge_unroute(struct bridge *b, struct bridge *other);
/* The i-th neighbour that `b` declared (or, `any`, that it forwards to), NULL beyond the last. */
struct bridge *bridge_route_at(const struct bridge *b, size_t i, bool any);
