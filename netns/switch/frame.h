/* Ethernet frames by value: a slice of reference-counted memory.
 *
 * A slab holds one frame, or a whole batch as it came from a socket. The four bytes before each
 * frame's data are its length, big-endian, which is QEMU's framing: frames that lie next to each
 * other in a slab can go out again as one piece. A frame's bytes never change once a second
 * reference exists; frame_copy gives bytes of one's own. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define FRAME_MIN    14
#define FRAME_MAX    (65535 + 14)
#define FRAME_PREFIX 4 /* bytes of length in front of the data */

struct slab {
    uint32_t references;
    uint32_t size;
    uint8_t bytes[];
};

struct frame {
    struct slab *slab;
    uint8_t *data;
    uint32_t len;
};

/* One reference, the caller's. */
struct slab *slab_new(size_t size);

static inline struct slab *slab_ref(struct slab *s)
{
    s->references++;
    return s;
}

static inline void slab_unref(struct slab *s)
{
    if (s && !--s->references)
        free(s);
}

/* A frame of its own slab, length prefix written, data uninitialised. */
struct frame frame_new(size_t len);
struct frame frame_copy(struct frame f);
/* frame_new with these bytes. */
struct frame frame_from(const void *data, size_t len);

static inline struct frame frame_ref(struct frame f)
{
    f.slab->references++;
    return f;
}

static inline void frame_unref(struct frame f)
{
    slab_unref(f.slab);
}
