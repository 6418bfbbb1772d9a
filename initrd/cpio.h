/* cpio archives in the "newc" format, as the kernel unpacks them
 * (Documentation/driver-api/early-userspace/buffer-format.rst). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define CPIO_MAGIC_SIZE 6
#define CPIO_ALIGN      4

struct cpio_entry {
    const char *name; /* as stored: "a/b", "/a/b" or "./a/b" */
    uint32_t inode, mode, uid, gid, links, mtime, size;
    uint32_t rdev_major, rdev_minor;
};

/* The name without leading "/" and "./"; "" or "." is the root directory itself. */
const char *cpio_name(const struct cpio_entry *entry);

/* --- writer --- */

/* Appends one member; `out` has to start at a multiple of 4 bytes of the image. Fails only when `out` is full. */
int cpio_append(struct buf *out, const struct cpio_entry *entry, const void *data);
/* Appends the end marker; the length stays a multiple of 4. */
int cpio_finish(struct buf *out);

/* --- reader --- */

/* Callbacks return 0, or -1 with an error to stop. `data` comes in pieces of the entry last seen. Either may be NULL. */
struct cpio_visitor {
    int (*entry)(void *arg, const struct cpio_entry *entry, struct err *e);
    int (*data)(void *arg, const uint8_t *p, size_t n, struct err *e);
    void *arg;
};

struct cpio_reader;
struct cpio_reader *cpio_reader_new(const struct cpio_visitor *visitor);
void cpio_reader_free(struct cpio_reader *r);
DEFINE_CLEANUP(struct cpio_reader, cpio_reader_free)

/* Takes bytes, `*ret_used` of them: all, unless an archive ends among them, when the rest is left to the caller.
 * Archives may follow one another; cpio_reader_between says whether the reader stands outside of one. */
int cpio_reader_feed(struct cpio_reader *r, const uint8_t *p, size_t n, size_t *ret_used, struct err *e);
bool cpio_reader_between(const struct cpio_reader *r);

/* True for "070701" (newc) and "070702" (crc). */
bool cpio_is_magic(const uint8_t *p, size_t n);
