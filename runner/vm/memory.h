/* The memory of a stopped guest, into a snapshot. */
#pragma once

#include <sys/types.h>

#include "snapshot/snapshot_file.h"

/* `fd`: the file that is the guest's memory, or, with `base`, under it: then what QEMU (process `pid`) has changed is read
 * from its private mapping. Pages of zeros are left out. `deadline` is looked at between chunks. */
int memory_copy(int fd, bool base, pid_t pid, uint64_t memory_bytes, struct snapshot_writer *to, int64_t deadline,
                struct err *e);
