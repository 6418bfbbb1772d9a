/* Open addressing with linear probing over twice as many slots as entries. Nothing is deleted in
 * place: an expired slot is reused when a new address probes across it, and a full table is rebuilt
 * without its expired entries at most once a second. */
#include "switch/mactable.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"

#define SLOT_BITS 13
#define SLOTS     (1u << SLOT_BITS)
#define MAC_MASK  ((UINT64_C(1) << 48) - 1)

void mac_table_init(struct mac_table *t, uint64_t secret)
{
    *t = (struct mac_table){
        .slots = xnewa(struct mac_slot, SLOTS), .secret = secret | 1, .swept = -NS_PER_S};
}

void mac_table_done(struct mac_table *t)
{
    free(t->slots);
    *t = (struct mac_table){0};
}

static uint32_t slot_of(const struct mac_table *t, uint64_t mac)
{
    uint64_t x = mac * t->secret;
    x ^= x >> 32;
    return (uint32_t)((x * t->secret) >> (64 - SLOT_BITS));
}

static bool expired(const struct mac_slot *s, int64_t now)
{
    return now - s->seen > MAC_TABLE_AGE_NS;
}

/* Keeps the entries that are neither of `port` (-1: any) nor older than the age at `now`. */
static void rebuild(struct mac_table *t, int port, int64_t now)
{
    struct mac_slot *old = t->slots;
    t->generation++;
    t->slots = xnewa(struct mac_slot, SLOTS);
    t->count = 0;
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (!old[i].key || expired(&old[i], now) || (int)(old[i].key >> 48) == port)
            continue;
        uint32_t at = slot_of(t, old[i].key & MAC_MASK);
        while (t->slots[at].key)
            at = (at + 1) & (SLOTS - 1);
        t->slots[at] = old[i];
        t->count++;
    }
    free(old);
}

void mac_table_learn(struct mac_table *t, uint64_t mac, uint16_t port, int64_t now)
{
    if (!mac || mac & 1)
        return;
    uint64_t key = mac | (uint64_t)port << 48;
    struct mac_slot *reuse = NULL;
    uint32_t at = slot_of(t, mac);
    for (; t->slots[at].key; at = (at + 1) & (SLOTS - 1)) {
        struct mac_slot *s = &t->slots[at];
        if ((s->key & MAC_MASK) == mac) {
            t->generation += s->key != key || expired(s, now);
            *s = (struct mac_slot){.key = key, .seen = now};
            return;
        }
        if (!reuse && expired(s, now))
            reuse = s;
    }
    t->generation++;
    if (reuse) {
        *reuse = (struct mac_slot){.key = key, .seen = now};
    } else if (t->count < MAC_TABLE_MAX) {
        t->slots[at] = (struct mac_slot){.key = key, .seen = now};
        t->count++;
    } else if (now - t->swept >= NS_PER_S) {
        t->swept = now;
        rebuild(t, -1, now);
        if (t->count < MAC_TABLE_MAX)
            mac_table_learn(t, mac, port, now);
    }
}

int mac_table_find(const struct mac_table *t, uint64_t mac, int64_t now, int64_t *ret_until)
{
    *ret_until = INT64_MAX;
    for (uint32_t at = slot_of(t, mac); t->slots[at].key; at = (at + 1) & (SLOTS - 1)) {
        const struct mac_slot *s = &t->slots[at];
        if ((s->key & MAC_MASK) != mac)
            continue;
        if (expired(s, now))
            return -1;
        *ret_until = s->seen + MAC_TABLE_AGE_NS;
        return (int)(s->key >> 48);
    }
    return -1;
}

void mac_table_forget_port(struct mac_table *t, uint16_t port)
{
    rebuild(t, port, 0);
}
