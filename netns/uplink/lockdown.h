/* System call filters of the broker and its helpers. What isn't listed fails with EPERM. */
#pragma once

#include "base/err.h"

/* May fork, open files and talk over sockets; may not execute, trace, or touch namespaces and
 * mounts. */
int lockdown_broker(struct err *e);
/* On top of that: no fork, no files, sockets of the Internet families only. */
int lockdown_helper(struct err *e);
