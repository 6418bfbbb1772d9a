/* Descriptor input and output. Every descriptor made here is close-on-exec. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* Write all / read exactly `n` bytes, retrying EINTR. read_full returns the count, short only at end of file;
 * both -1 with errno. For blocking descriptors. */
int write_full(int fd, const void *p, size_t n);
ssize_t read_full(int fd, void *p, size_t n);

/* Appends everything up to end of file; fails with EFBIG once `out` would pass its maximum. */
int fd_read_all(int fd, struct buf *out, struct err *e);
/* Whole file; errors name the path. */
int file_read(const char *path, struct buf *out, struct err *e);
/* Writes to a temporary file in the same directory and renames it over `path`. `durable`: all of that is on the disk. */
int file_write_atomic(const char *path, const void *p, size_t n, mode_t mode, bool durable,
                      struct err *e);
/* mkdir -p; an existing directory is success. */
int dir_create_all(const char *path, mode_t mode, struct err *e);
/* Brings a file's content, or a directory's names, to the disk. */
int path_sync(const char *path, struct err *e);
/* Is the descriptor's file the one at `path`? */
bool fd_is_at(int fd, const char *path);

int fd_set_nonblock(int fd, bool on);
int fd_set_cloexec(int fd, bool on);

/* One message of at least one byte with up to 8 descriptors (unix(7) SCM_RIGHTS); -1 with errno.
 * fds_recv stores how many descriptors came in *ret_count and returns the byte count. */
int fds_send(int socket, const void *p, size_t n, const int *fds, size_t count);
ssize_t fds_recv(int socket, void *p, size_t n, int *fds, size_t max, size_t *ret_count);
