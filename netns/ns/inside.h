/* The steps of entering that happen inside the new namespaces: for the sandbox, and for a process that has its own. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Caller: the outer process. Maps ids of `pid`, which has unshared its user namespace: all ids of
 * this namespace to themselves where that is allowed (root), else only the caller's own. */
int ids_map(pid_t pid, struct err *e);
/* Bit set of the capabilities over files that this process has now. */
uint64_t capabilities_over_files(void);

/* Caller: pid 1 of the new namespaces. */
/* Mounts from here on are not seen outside; /proc is the pid namespace's, where the kernel allows that. */
int mounts_separate(struct err *e);
int loopback_up(struct err *e);
/* Drops all others for good, in this process and whatever it executes. */
int capabilities_keep(uint64_t keep, struct err *e);
