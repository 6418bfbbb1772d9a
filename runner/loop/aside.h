/* Work that blocks, in a process of its own, while the loop goes on. */
#pragma once

#include "base/err.h"
#include "loop/loop.h"

/* Calls fn(arg) in a forked child and waits for it; its error is handed over. Descriptors are shared with the child, so a
 * flock(2) that it takes on one of them is the caller's afterwards; nothing else that it changes is. Past the deadline, or
 * when the loop is interrupted, the child is killed: ETIMEDOUT or ECANCELED. Without a loop it is called here. */
int aside_call(struct loop *loop, int64_t deadline, int (*fn)(void *arg, struct err *e), void *arg, struct err *e);
