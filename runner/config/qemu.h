/* Which QEMU binary runs a profile's guests. */
#pragma once

#include "base/err.h"
#include "config/config.h"

/* --qemu or PROVIUM_QEMU (with a slash: that file; without: a name in PATH), else
 * qemu-system-<arch> from PATH. malloc'ed; NULL when there is none that can be executed. */
char *qemu_find(const struct environment *env, enum guest_arch arch, struct err *e);
/* Tells this state of the binary from any other, without blanks; NULL when it is not there.
 * malloc'ed. */
char *qemu_identity(const char *qemu);
