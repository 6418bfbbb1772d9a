#pragma once

#include "call.h"

/* In a boot with MACHINE_SEED_PARAMETER (runner/vm/command_line.h), by process 1, before anything else runs: what getrandom
 * returns from here on depends on the seed, for a minute. */
void random_settle(void);

/* Operation reseed: the body goes into the kernel's random pool, as entropy, and takes effect at once. */
void random_reseed(struct call *call);
