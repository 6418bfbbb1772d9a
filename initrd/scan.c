/* The kernel's own loop (init/initramfs.c, unpack_to_rootfs) over a file that need not fit into memory: skip NUL
 * bytes; an uncompressed archive has to start at a multiple of 4; anything else has to be a compressed unit, which in
 * turn holds archives and NUL bytes. Every unit ends outside of an archive. */
#include "initrd/scan.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "initrd/decompress.h"
#include "initrd/magic.h"

#define WINDOW (256 << 10)

const char initrd_formats[] = "newc or crc cpio, uncompressed or compressed with gzip, zstd or xz";

struct scan {
    int fd; /* -1: at its end, or there is none and the window is all */
    const uint8_t *window;
    uint8_t *storage, *output;
    size_t start, end; /* what of the window is still to be looked at */
    uint64_t position; /* of window[start] in the file */
    struct cpio_reader *reader;
    struct sha256_ctx *hash;
};

static void scan_done(struct scan *s)
{
    cpio_reader_free(s->reader);
    free(s->storage);
    free(s->output);
}

static void advance(struct scan *s, size_t n)
{
    s->start += n;
    s->position += n;
}

/* Makes `want` bytes available unless the file ends before; returns how many there are. */
static ssize_t available(struct scan *s, size_t want, struct err *e)
{
    if (s->fd >= 0 && s->end - s->start < want) {
        memmove(s->storage, s->storage + s->start, s->end - s->start);
        s->end -= s->start;
        s->start = 0;
        ssize_t got = read_full(s->fd, s->storage + s->end, WINDOW - s->end);
        if (got < 0)
            return err_errno(e, "read");
        if (s->hash)
            sha256_update(s->hash, (size_t)got, s->storage + s->end);
        s->end += (size_t)got;
        if (s->end < WINDOW)
            s->fd = -1;
    }
    return (ssize_t)(s->end - s->start);
}

static int truncated(const char *what, struct err *e)
{
    return err_set(e, EINVAL, "truncated: it ends within %s", what);
}

static int scan_plain(struct scan *s, struct err *e)
{
    if (s->position % CPIO_ALIGN)
        return err_set(e, EINVAL, "the cpio archive at byte %ju does not start at a multiple of 4",
                       (uintmax_t)s->position);
    do {
        size_t used;
        ssize_t n = available(s, 1, e);
        if (n < 0)
            return -1;
        if (!n)
            return truncated("a cpio archive", e);
        if (cpio_reader_feed(s->reader, s->window + s->start, (size_t)n, &used, e) < 0)
            return -1;
        advance(s, used);
    } while (!cpio_reader_between(s->reader));
    return 0;
}

/* What comes out of a compressed unit. */
static int feed_output(struct scan *s, const uint8_t *p, size_t n, struct err *e)
{
    while (n) {
        size_t used = 1;
        if (cpio_reader_between(s->reader) && *p && *p != '0')
            return err_set(e, EINVAL, "what is compressed is not a cpio archive");
        if ((!cpio_reader_between(s->reader) || *p) && cpio_reader_feed(s->reader, p, n, &used, e) < 0)
            return -1;
        p += used;
        n -= used;
    }
    return 0;
}

static int scan_compressed(struct scan *s, enum magic magic, const char *name, struct err *e)
{
    _cleanup_(decoder_freep) struct decoder *decoder = decoder_new(magic);
    if (!decoder)
        return err_set(e, ENOMEM, "no memory to unpack %s", name);
    if (!s->output)
        s->output = xmalloc(WINDOW);
    for (bool end = false; !end;) {
        size_t used, made;
        ssize_t n = available(s, 1, e);
        if (n < 0 || decoder_run(decoder, s->window + s->start, (size_t)n, &used, s->output, WINDOW, &made,
                                 &end, e) < 0)
            return -1;
        if (!n && !made && !end)
            return truncated(name, e);
        advance(s, used);
        if (feed_output(s, s->output, made, e) < 0)
            return -1;
    }
    return cpio_reader_between(s->reader) ? 0 : truncated("a cpio archive", e);
}

static int scan_unit(struct scan *s, size_t n, struct err *e)
{
    char description[64];
    enum magic magic = magic_of(s->window + s->start, n);
    magic_describe(s->window + s->start, n, description);
    if (magic == MAGIC_CPIO)
        return scan_plain(s, e);
    if (magic == MAGIC_GZIP || magic == MAGIC_ZSTD || magic == MAGIC_XZ)
        return scan_compressed(s, magic, description, e);
    if (!s->position)
        err_set(e, EINVAL, "it is %s, not an initrd", description);
    else
        err_set(e, EINVAL, "what follows at byte %ju is not an archive: %s", (uintmax_t)s->position, description);
    return err_hint(e, "accepted: %s", initrd_formats);
}

static int scan_all(struct scan *s, struct err *e)
{
    bool found = false;
    for (;;) {
        ssize_t n = available(s, MAGIC_SIZE, e);
        if (n <= 0) {
            if (!n && !found) {
                err_set(e, EINVAL, s->position ? "it holds only zeros" : "it is empty");
                return err_hint(e, "accepted: %s", initrd_formats);
            }
            return (int)n;
        }
        if (!s->window[s->start]) {
            advance(s, 1);
            continue;
        }
        if (scan_unit(s, (size_t)n, e) < 0)
            return -1;
        found = true;
    }
}

int initrd_scan(int fd, const struct cpio_visitor *visitor, struct sha256_ctx *hash, struct err *e)
{
    uint8_t *storage = xmalloc(WINDOW);
    _cleanup_(scan_done) struct scan s = {
        .fd = fd, .storage = storage, .window = storage, .reader = cpio_reader_new(visitor), .hash = hash};
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_errno(e, "seek");
    return scan_all(&s, e);
}

int initrd_scan_bytes(const uint8_t *p, size_t n, const struct cpio_visitor *visitor, struct err *e)
{
    _cleanup_(scan_done) struct scan s = {
        .fd = -1, .window = p, .end = n, .reader = cpio_reader_new(visitor)};
    return scan_all(&s, e);
}
