/* Decompression of gzip, zstd and xz as a stream, and of whole buffers, lz4's legacy frame included. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "initrd/magic.h"

/* Decodes one compressed unit: a gzip member, a zstd frame, an xz stream. */
struct decoder;
/* NULL unless `magic` is MAGIC_GZIP, MAGIC_ZSTD or MAGIC_XZ. */
struct decoder *decoder_new(enum magic magic);
void decoder_free(struct decoder *d);
DEFINE_CLEANUP(struct decoder, decoder_free)

/* Takes bytes from `in` and puts bytes into `out`, as many as it can; `*ret_end` becomes true with the unit's last
 * byte, what follows in `in` is left. Given room for output and input it makes progress or fails. */
int decoder_run(struct decoder *d, const uint8_t *in, size_t in_size, size_t *ret_used, uint8_t *out,
                size_t out_size, size_t *ret_made, bool *ret_end, struct err *e);

/* Decodes the unit at the start of `in` and appends it to `out`; bytes after it are ignored. */
int decompress(const uint8_t *in, size_t n, struct buf *out, struct err *e);
