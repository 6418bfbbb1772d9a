/* The names that a guest knows: every member of every bridge of the guest as `<vm>.<bridge>`, and
 * bare `<vm>` for the first bridge that both share. The hosts file and the DNS responder say the
 * same because both ask here. */
#pragma once

#include <stdbool.h>

#include "switch/switch.h"

/* `bare`: the short name goes with this entry too. Returns false to stop. */
typedef bool (*names_fn)(const struct port *member, bool bare, void *arg);

/* In the order of the viewer's bridges, and of attachment within each. */
void names_each(const struct port *viewer, names_fn fn, void *arg);
/* The viewer's VM has these NICs; the i-th in attach order, NULL beyond the last. */
struct port *names_nic_at(const struct netswitch *s, uint32_t vm, size_t i);
