#pragma once

#include <sys/types.h>

#include "call.h"

/* open(2) flags for OPEN_* bits. */
int files_open_flags(uint64_t mode);
/* open(2) that can be cancelled (of a FIFO it waits for the other end); -1: the call has failed. */
int files_open(struct call *call, const char *path, int flags, mode_t perm);
/* read(2) that waits apart from taking: a call that was cancelled takes nothing away from the next one. */
ssize_t files_read_ready(struct call *call, int fd, void *to, size_t n);
/* Sends everything from the cursor to the end; EFBIG over `limit`. */
void files_send_all(struct call *call, int fd, uint64_t limit);

/* Operations on files by path. */
void files_read(struct call *call);
void files_write(struct call *call);
void files_stat(struct call *call);
void files_listdir(struct call *call);
void files_mkdir(struct call *call);
void files_unlink(struct call *call);
void files_rename(struct call *call);
void files_sync(struct call *call);
