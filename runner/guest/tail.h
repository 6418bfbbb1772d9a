/* Streams whose bytes the agent sends: files that grow, and descriptors. */
#pragma once

#include "guest/file.h"
#include "guest/stream.h"

#define GUEST_WINDOW_DEFAULT (1024 * 1024)
#define GUEST_WINDOW_MIN     (64 * 1024)
#define GUEST_WINDOW_MAX     (64 * 1024 * 1024)

/* From `offset` on; with `from_end`, counted from the end (0: what is written after the call has returned). */
struct stream *guest_tail(struct guest *g, const char *path, int64_t offset, bool from_end, uint64_t window,
                          int64_t deadline, struct err *e);
/* Of a file: from its cursor, without moving it, if it is regular; else consuming. `kind`: fd_stream or
 * file_tail_stream, `detail` as stream_new. */
struct stream *guest_file_stream(struct guest_file *f, const char *kind, const char *detail, uint64_t window,
                                 int64_t deadline, struct err *e);
/* Of a descriptor of the process for kernel calls. */
struct stream *guest_fd_stream(struct guest *g, int64_t fd, uint64_t window, int64_t deadline, struct err *e);
