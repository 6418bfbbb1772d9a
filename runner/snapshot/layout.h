/* What reader and writer of the snapshot file share. */
#pragma once

#include <nettle/sha2.h>
#include <stdint.h>

#include "snapshot/snapshot_file.h"

#define PAGE              4096
#define STATE_ALIGN       4096
#define TRAILER_SIZE      256
#define MANIFEST_MAX      (1 << 20)

struct trailer {
    uint32_t format, chunk;
    uint64_t memory_bytes, state_size, manifest_size, sum_count;
    int64_t mtime; /* of the file, whole seconds: file systems agree on those */
    uint8_t state_hash[SHA256_DIGEST_SIZE], manifest_hash[SHA256_DIGEST_SIZE], sums_hash[SHA256_DIGEST_SIZE];
};

/* Where the parts begin. */
static inline uint64_t layout_manifest(const struct trailer *t)
{
    return t->memory_bytes + t->state_size;
}
static inline uint64_t layout_sums(const struct trailer *t)
{
    return layout_manifest(t) + t->manifest_size;
}
static inline uint64_t layout_trailer(const struct trailer *t)
{
    return layout_sums(t) + t->sum_count * sizeof(uint64_t);
}

void trailer_pack(const struct trailer *t, uint8_t out[static TRAILER_SIZE]);
/* Checks the magic, its own hash, the format, the sizes. Errors do not name the file. */
int trailer_unpack(const uint8_t in[static TRAILER_SIZE], uint64_t file_size, struct trailer *ret, struct err *e);

void layout_hash(const void *p, size_t n, uint8_t out[static SHA256_DIGEST_SIZE]);
bool page_is_zero(const void *page);
/* Adds one page, which is not zero, to its chunk's checksum; that of a chunk without such pages is 0. `index` is that of
 * the page in the chunk. Any change within 8 bytes changes the result; it is no defence against intent. */
uint64_t chunk_sum(uint64_t sum, unsigned index, const void *page);
