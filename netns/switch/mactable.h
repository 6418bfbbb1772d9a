/* Which port was a MAC address last seen on: 4096 entries, forgotten after 300 s.
 *
 * An address is 48 bits as loaded little-endian from the frame, so that bit 0 is the group bit. The
 * hash is keyed: a guest that chooses its addresses can't choose their slots. */
#pragma once

#include <stdint.h>

#define MAC_TABLE_MAX    4096
#define MAC_TABLE_AGE_NS (INT64_C(300) * 1000000000)

struct mac_slot {
    uint64_t key; /* address, and the port in the upper 16 bits; 0: free */
    int64_t seen;
};

struct mac_table {
    struct mac_slot *slots;
    uint32_t count; /* slots in use, expired ones included */
    uint64_t secret;
    int64_t swept;
    uint32_t generation; /* changes whenever an address comes, goes or moves */
};

void mac_table_init(struct mac_table *t, uint64_t secret);
void mac_table_done(struct mac_table *t);
/* A full table learns nothing new: its traffic is flooded. */
void mac_table_learn(struct mac_table *t, uint64_t mac, uint16_t port, int64_t now);
/* The port, or -1. *ret_until is the last moment at which that holds, as long as the generation
 * doesn't change. */
int mac_table_find(const struct mac_table *t, uint64_t mac, int64_t now, int64_t *ret_until);
void mac_table_forget_port(struct mac_table *t, uint16_t port);
