#pragma once

#include "config/config.h"

/* The hard checks before a run. 0, or -1 after saying what is amiss, the remedy and `provium
 * doctor`. What is found out about a QEMU binary is remembered. */
int preflight(const struct config *config, const struct environment *env);
