/* The memory of a stopped guest: into a snapshot, or kept and put back. */
#pragma once

#include <sys/types.h>

#include "snapshot/snapshot_file.h"

/* `fd`: the file that is the guest's memory, or, with `base`, under it: then what QEMU (process `pid`) has changed is read
 * from its private mapping. Pages of zeros are left out. `deadline` is looked at between chunks. */
int memory_copy(int fd, bool base, pid_t pid, uint64_t memory_bytes, struct snapshot_writer *to, int64_t deadline,
                struct err *e);

/* Open for reading and writing in place. */
struct memory {
    int fd;
    uint64_t address, bytes; /* where it begins in there */
    bool has_holes;          /* where the guest never wrote */
};
#define MEMORY_INIT ((struct memory){.fd = -1})

int memory_open(struct memory *m, int fd, bool base, pid_t pid, uint64_t bytes, struct err *e);
void memory_done(struct memory *m);
/* Copies all of it; *ret_fd is the copy. */
int memory_keep(const struct memory *m, int *ret_fd, int64_t deadline, struct err *e);
/* Makes it the same as the copy again; QEMU does not see these writes: translated code would have to be dropped. */
int memory_put_back(const struct memory *m, int kept_fd, struct err *e);
