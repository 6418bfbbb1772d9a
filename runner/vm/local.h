/* A "VM" without a machine (--vmm local): the agent as a process of this host. */
#pragma once

#include "vm/start.h"

/* Starts the agent binary in `agent_fd` (borrowed). *ret has neither monitor nor console nor memory. */
int local_begin(struct loop *loop, int agent_fd, const struct started_events *events, struct started *ret, struct err *e);
/* "<what>: not possible with --vmm local, …" */
int local_refuse(const char *what, struct err *e);
