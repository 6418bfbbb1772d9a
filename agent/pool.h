/* Threads for calls that may block: each runs one call at a time, and as many are made as there are calls, so that a
 * blocked one never delays another. */
#pragma once

#include "call.h"

/* Makes the first thread, so that there is always one. */
int pool_init(struct agent *a);
void pool_submit(struct call *call);
/* Interrupts the system call that a running, cancelled call may be blocked in. */
void pool_interrupt(struct call *call);
