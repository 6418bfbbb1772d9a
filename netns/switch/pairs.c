#include "switch/pairs.h"

#include <nettle/sha2.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "switch/bytes.h"

void pairs_done(struct pair_table *t)
{
    for (size_t i = 0; i < t->cap; i++) {
        if (!t->slots[i])
            continue;
        frame_unref(t->slots[i]->parked);
        free(t->slots[i]);
    }
    free(t->slots);
    *t = (struct pair_table){0};
}

/* The slot of the pair, or the free one where it belongs. */
static struct pair **probe(const struct pair_table *t, uint16_t from, uint16_t to)
{
    uint32_t hash = ((uint32_t)from << 16 | to) * 0x9e3779b1u;
    size_t at = (hash ^ hash >> 15) & (t->cap - 1);
    while (t->slots[at] && (t->slots[at]->from != from || t->slots[at]->to != to))
        at = (at + 1) & (t->cap - 1);
    return &t->slots[at];
}

struct pair *pairs_find(const struct pair_table *t, uint16_t from, uint16_t to)
{
    return t->count ? *probe(t, from, to) : NULL;
}

static void grow(struct pair_table *t)
{
    struct pair_table bigger = {.count = t->count, .cap = t->cap ? t->cap * 2 : 64};
    bigger.slots = xnewa(struct pair *, bigger.cap);
    for (size_t i = 0; i < t->cap; i++)
        if (t->slots[i])
            *probe(&bigger, t->slots[i]->from, t->slots[i]->to) = t->slots[i];
    free(t->slots);
    *t = bigger;
}

struct pair *pairs_get(struct pair_table *t, uint16_t from, uint16_t to)
{
    if (t->count * 2 >= t->cap)
        grow(t);
    struct pair **slot = probe(t, from, to);
    if (!*slot) {
        *slot = xnew0(struct pair);
        (*slot)->from = from;
        (*slot)->to = to;
        t->count++;
    }
    return *slot;
}

void pair_seed(struct pair *pair, const char *seed, const char *from, const char *to)
{
    const char *parts[] = {seed, from, to};
    for (unsigned kind = 0; kind < RANDOM_KINDS; kind++) {
        uint8_t digest[SHA256_DIGEST_SIZE], kind_byte = (uint8_t)kind;
        struct sha256_ctx context;
        sha256_init(&context);
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
            sha256_update(&context, strlen(parts[i]) + 1, (const uint8_t *)parts[i]);
        sha256_update(&context, 1, &kind_byte);
        sha256_digest(&context, SHA256_DIGEST_SIZE, digest);
        pair->random[kind] = (uint64_t)get32(digest) << 32 | get32(digest + 4);
    }
    pair->seeded = true;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
uint64_t pair_draw(struct pair *pair, enum random_kind kind)
{
    uint64_t z = pair->random[kind] += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
