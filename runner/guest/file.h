/* Open files of the guest. Errors read `file "/x": write: ENOSPC: No space left on device`. */
#pragma once

#include "guest/guest.h"

struct guest_file;
struct guest_worker;

/* `mode`: OPEN_* bits of wire/operation.h. `perm` is exact, for a file that is created. `worker`: who opens it; NULL: the
 * agent. */
struct guest_file *guest_open(struct guest *g, struct guest_worker *worker, const char *path, unsigned mode,
                              unsigned perm, int64_t deadline, struct err *e);
/* Closes it too, without waiting. */
void guest_file_free(struct guest_file *f);
DEFINE_CLEANUP(struct guest_file, guest_file_free)

/* One read of up to `n` bytes, appended to `out`; nothing: end of file. */
int guest_file_read(struct guest_file *f, size_t n, struct buf *out, int64_t deadline, struct err *e);
/* From the cursor to the end; EFBIG over GUEST_FILE_MAX. */
int guest_file_read_all(struct guest_file *f, struct buf *out, int64_t deadline, struct err *e);
/* *ret_written < n only if the guest made a short write. */
int guest_file_write(struct guest_file *f, const void *data, size_t n, size_t *ret_written, int64_t deadline,
                     struct err *e);
/* `whence`: SEEK_SET, SEEK_CUR or SEEK_END. */
int guest_file_seek(struct guest_file *f, int64_t offset, int whence, uint64_t *ret_offset, int64_t deadline,
                    struct err *e);
/* The descriptor's number in the owning process. */
int guest_file_fd(struct guest_file *f, int *ret_fd, int64_t deadline, struct err *e);
int guest_file_close(struct guest_file *f, int64_t deadline, struct err *e);

/* For guest_resync. */
uint64_t guest_file_id(const struct guest_file *f);
struct guest *guest_file_guest(const struct guest_file *f);
/* `file "/x"`. */
const char *guest_file_label(const struct guest_file *f);
