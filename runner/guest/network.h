/* The guest's end of its bridges: interfaces, /etc/hosts and /etc/resolv.conf. */
#pragma once

#include "guest/guest.h"
#include "switch/types.h"

struct guest_nic_state {
    bool found;    /* an interface with the NIC's MAC is there */
    char name[32]; /* of the interface; empty: not found */
    char *reason;  /* why not everything of it is configured; NULL: it is (or it is raw) */
};

struct guest_network_state {
    struct guest_nic_state *nics; /* in the plan's order */
    size_t nic_count;
    char *warning; /* lines about files that could not be written, or NULL */
};

void guest_network_state_done(struct guest_network_state *s);

/* Makes the guest be as the plan says. May be called again, with the same plan or another: what the agent set for an
 * earlier one goes if it is not wanted any more, and nothing else does. Interfaces that are not there yet are waited
 * for, `wait_ns` at most; one that does not come is no error, nor is one that cannot be configured: see `ret`. */
int guest_configure_network(struct guest *g, const struct guest_plan *plan, int64_t wait_ns,
                            struct guest_network_state *ret, int64_t deadline, struct err *e);
