#include "snapshot/layout.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* The trailer, little-endian:
 *
 *     0  magic (16)      24  memory bytes       56  number of checksums   104  hash of the manifest (32)
 *    16  format (4)      32  state bytes        64  modification time     136  hash of the checksums (32)
 *    20  chunk (4)       40  manifest bytes     72  hash of the state (32)  224  hash of bytes 0 to 223 (32)
 *
 * Magic, format and the last hash keep their places in every format. */
#define MAGIC   "provium snapshot"
#define HASHED  224

static void put64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof(value));
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return le64toh(value);
}

void layout_hash(const void *p, size_t n, uint8_t out[static SHA256_DIGEST_SIZE])
{
    struct sha256_ctx hash;
    sha256_init(&hash);
    sha256_update(&hash, n, p);
    sha256_digest(&hash, SHA256_DIGEST_SIZE, out);
}

void trailer_pack(const struct trailer *t, uint8_t out[static TRAILER_SIZE])
{
    memset(out, 0, TRAILER_SIZE);
    memcpy(out, MAGIC, 16);
    put64(out + 16, (uint64_t)t->chunk << 32 | t->format);
    put64(out + 24, t->memory_bytes);
    put64(out + 32, t->state_size);
    put64(out + 40, t->manifest_size);
    put64(out + 56, t->sum_count);
    put64(out + 64, (uint64_t)t->mtime);
    memcpy(out + 72, t->state_hash, SHA256_DIGEST_SIZE);
    memcpy(out + 104, t->manifest_hash, SHA256_DIGEST_SIZE);
    memcpy(out + 136, t->sums_hash, SHA256_DIGEST_SIZE);
    layout_hash(out, HASHED, out + HASHED);
}

int trailer_unpack(const uint8_t in[static TRAILER_SIZE], uint64_t file_size, struct trailer *ret, struct err *e)
{
    uint8_t hash[SHA256_DIGEST_SIZE];
    if (memcmp(in, MAGIC, 16))
        return err_set(e, SNAPSHOT_UNFIT, "not a snapshot, or truncated: it does not end in a snapshot's trailer");
    layout_hash(in, HASHED, hash);
    if (memcmp(hash, in + HASHED, sizeof(hash)))
        return err_set(e, SNAPSHOT_UNFIT, "damaged: the trailer");
    struct trailer t = {.format = (uint32_t)get64(in + 16),
                        .chunk = (uint32_t)(get64(in + 16) >> 32),
                        .memory_bytes = get64(in + 24),
                        .state_size = get64(in + 32),
                        .manifest_size = get64(in + 40),
                        .sum_count = get64(in + 56),
                        .mtime = (int64_t)get64(in + 64)};
    memcpy(t.state_hash, in + 72, SHA256_DIGEST_SIZE);
    memcpy(t.manifest_hash, in + 104, SHA256_DIGEST_SIZE);
    memcpy(t.sums_hash, in + 136, SHA256_DIGEST_SIZE);
    if (t.format != SNAPSHOT_FORMAT)
        return err_set(e, SNAPSHOT_UNFIT, "format %u; this provium reads format %d", t.format, SNAPSHOT_FORMAT);
    if (t.chunk != SNAPSHOT_CHUNK || !t.memory_bytes || t.memory_bytes > SNAPSHOT_MEMORY_MAX || t.memory_bytes % t.chunk ||
        t.state_size > SNAPSHOT_STATE_MAX || t.manifest_size > MANIFEST_MAX || t.sum_count != t.memory_bytes / t.chunk)
        return err_set(e, SNAPSHOT_UNFIT, "damaged: sizes that no snapshot has");
    uint64_t expected = layout_trailer(&t) + TRAILER_SIZE;
    if (expected != file_size)
        return err_set(e, SNAPSHOT_UNFIT, "damaged: %llu bytes, where %llu belong", (unsigned long long)file_size,
                       (unsigned long long)expected);
    *ret = t;
    return 0;
}

bool page_is_zero(const void *page)
{
    const uint64_t *w = page;
    for (size_t i = 0; i < PAGE / sizeof(*w); i += 8)
        if (w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] | w[i + 7])
            return false;
    return true;
}

static uint64_t mix(uint64_t lane, uint64_t word)
{
    lane ^= word;
    return (lane << 29 | lane >> 35) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Four lanes, so that the multiplications overlap. Each step is a bijection of the lane, and of the word. */
uint64_t chunk_sum(uint64_t sum, unsigned index, const void *page)
{
    const uint64_t *w = page;
    uint64_t lanes[4] = {sum, index + 1, ~sum, UINT64_C(0x6a09e667f3bcc909)};
    for (size_t i = 0; i < PAGE / sizeof(*w); i += 4)
        for (size_t k = 0; k < 4; k++)
            lanes[k] = mix(lanes[k], le64toh(w[i + k]));
    sum = mix(mix(mix(mix(sum, lanes[0]), lanes[1]), lanes[2]), lanes[3]);
    return sum ? sum : 1;
}
