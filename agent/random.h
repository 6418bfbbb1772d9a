#pragma once

#include "wire/bytes.h"

/* In a boot with MACHINE_SEED_PARAMETER (runner/vm/command_line.h), by process 1, before anything else runs: what getrandom
 * returns from here on depends on the seed, for a minute. */
void random_settle(void);

/* Puts `seed` into the kernel's random pool, as entropy that takes effect at once. 0, or -1 with errno. */
int random_add(struct bytes seed);
