/* One interface over zlib, libzstd and liblzma, which differ only in the names of the same four things: where input
 * and output stand, that the unit has ended, and that it is damaged.
 *
 * Memory: a zstd window is limited to 128 MiB and an xz dictionary likewise, whatever the data asks for. */
#include "initrd/decompress.h"

#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/alloc.h"

#define MEMORY_MAX_LOG 27
#define PIECE (1 << 20)
#define LZ4_BLOCK_MAX (8 << 20) /* of the legacy frame */

struct decoder {
    enum magic magic;
    z_stream gzip;
    lzma_stream xz;
    ZSTD_DStream *zstd;
};

struct decoder *decoder_new(enum magic magic)
{
    struct decoder *d = xnew0(struct decoder);
    bool ready = false;
    d->magic = magic;
    d->xz = (lzma_stream)LZMA_STREAM_INIT;
    if (magic == MAGIC_GZIP)
        ready = inflateInit2(&d->gzip, 16 + MAX_WBITS) == Z_OK;
    else if (magic == MAGIC_XZ)
        ready = lzma_stream_decoder(&d->xz, (UINT64_C(1) << MEMORY_MAX_LOG) + (8 << 20), 0) == LZMA_OK;
    else if (magic == MAGIC_ZSTD && (d->zstd = ZSTD_createDStream()))
        ready = !ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, MEMORY_MAX_LOG));
    if (ready)
        return d;
    decoder_free(d);
    return NULL;
}

void decoder_free(struct decoder *d)
{
    if (!d)
        return;
    inflateEnd(&d->gzip);
    lzma_end(&d->xz);
    ZSTD_freeDStream(d->zstd);
    free(d);
}

static int damaged(const char *what, const char *why, struct err *e)
{
    return err_set(e, EINVAL, "damaged %s data: %s", what, why);
}

static int run_gzip(z_stream *z, const uint8_t *in, size_t *in_size, uint8_t *out, size_t *out_size, bool *end,
                    struct err *e)
{
    z->next_in = (uint8_t *)in;
    z->avail_in = (unsigned)*in_size;
    z->next_out = out;
    z->avail_out = (unsigned)*out_size;
    int status = inflate(z, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
        return damaged("gzip", z->msg ? z->msg : "it needs a dictionary", e);
    *in_size -= z->avail_in;
    *out_size -= z->avail_out;
    *end = status == Z_STREAM_END;
    return 0;
}

static int run_xz(lzma_stream *x, const uint8_t *in, size_t *in_size, uint8_t *out, size_t *out_size, bool *end,
                  struct err *e)
{
    x->next_in = in;
    x->avail_in = *in_size;
    x->next_out = out;
    x->avail_out = *out_size;
    lzma_ret status = lzma_code(x, LZMA_RUN);
    if (status == LZMA_MEMLIMIT_ERROR)
        return damaged("xz", "its dictionary is larger than 128 MiB", e);
    if (status != LZMA_OK && status != LZMA_STREAM_END && status != LZMA_BUF_ERROR)
        return damaged("xz", status == LZMA_OPTIONS_ERROR ? "unsupported options" : "it is corrupt", e);
    *in_size -= x->avail_in;
    *out_size -= x->avail_out;
    *end = status == LZMA_STREAM_END;
    return 0;
}

static int run_zstd(ZSTD_DStream *z, const uint8_t *in, size_t *in_size, uint8_t *out, size_t *out_size, bool *end,
                    struct err *e)
{
    ZSTD_inBuffer input = {.src = in, .size = *in_size};
    ZSTD_outBuffer output = {.dst = out, .size = *out_size};
    size_t status = ZSTD_decompressStream(z, &output, &input);
    if (ZSTD_isError(status))
        return damaged("zstd", ZSTD_getErrorName(status), e);
    *in_size = input.pos;
    *out_size = output.pos;
    *end = !status;
    return 0;
}

int decoder_run(struct decoder *d, const uint8_t *in, size_t in_size, size_t *ret_used, uint8_t *out,
                size_t out_size, size_t *ret_made, bool *ret_end, struct err *e)
{
    size_t used = in_size < PIECE ? in_size : PIECE, made = out_size < PIECE ? out_size : PIECE;
    bool end = false;
    int result = d->magic == MAGIC_GZIP ? run_gzip(&d->gzip, in, &used, out, &made, &end, e)
                 : d->magic == MAGIC_XZ ? run_xz(&d->xz, in, &used, out, &made, &end, e)
                                        : run_zstd(d->zstd, in, &used, out, &made, &end, e);
    if (result < 0)
        return -1;
    *ret_used = used;
    *ret_made = made;
    *ret_end = end;
    return 0;
}

/* The legacy frame is its magic and blocks, each with its compressed size in front; it has no end mark, so that what
 * doesn't look like a block ends it. In a kernel that is the uncompressed size, which the build appends. */
static int decompress_lz4(const uint8_t *in, size_t n, struct buf *out, struct err *e)
{
    const uint8_t *end = in + n;
    in += 4;
    while (end - in > 4) {
        size_t size = in[0] | in[1] << 8 | in[2] << 16 | (size_t)in[3] << 24;
        in += 4;
        if (!size || size > (size_t)(end - in))
            break;
        uint8_t *to = buf_reserve(out, LZ4_BLOCK_MAX);
        if (!to)
            return err_set(e, EFBIG, "more than %zu bytes", out->max);
        int made = LZ4_decompress_safe((const char *)in, (char *)to, (int)size, LZ4_BLOCK_MAX);
        if (made < 0)
            return damaged("lz4", "it is corrupt", e);
        buf_commit(out, (size_t)made);
        in += size;
    }
    return 0;
}

int decompress(const uint8_t *in, size_t n, struct buf *out, struct err *e)
{
    enum magic magic = magic_of(in, n);
    if (magic == MAGIC_LZ4_LEGACY)
        return decompress_lz4(in, n, out, e);
    _cleanup_(decoder_freep) struct decoder *d = decoder_new(magic);
    if (!d)
        return err_set(e, EINVAL, "not compressed in a known way");
    for (bool end = false; !end;) {
        size_t used, made, room = out->max - out->len < PIECE ? out->max - out->len : PIECE;
        uint8_t *to = room ? buf_reserve(out, room) : NULL;
        if (!to)
            return err_set(e, EFBIG, "more than %zu bytes", out->max);
        if (decoder_run(d, in, n, &used, to, room, &made, &end, e) < 0)
            return -1;
        if (!used && !made && !end)
            return err_set(e, EINVAL, "the compressed data ends too early");
        buf_commit(out, made);
        in += used;
        n -= used;
    }
    return 0;
}
