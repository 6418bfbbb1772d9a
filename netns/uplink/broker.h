/* The uplink broker: a process that stays in the host's network namespace and runs one libslirp
 * instance per bridge, each in a helper process of its own. Runners inside the sandbox reach it
 * over a connection that they inherit. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

/* Forks the broker: without capabilities and new privileges, killed with its parent. Call it before
 * any namespace is entered, in a single-threaded process. Returns a descriptor for
 * uplink_broker_connect, whose closing ends the broker; *ret_pid is to be reaped. */
int uplink_broker_start(pid_t *ret_pid, struct err *e);
/* A new connection, for one runner. Returns the descriptor, or -1. */
int uplink_broker_connect(int broker, struct err *e);
