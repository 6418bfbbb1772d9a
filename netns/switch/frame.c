#include "switch/frame.h"

#include <string.h>

#include "base/alloc.h"
#include "switch/bytes.h"

struct slab *slab_new(size_t size)
{
    struct slab *s = xmalloc(sizeof(*s) + size);
    s->references = 1;
    s->size = (uint32_t)size;
    return s;
}

struct frame frame_new(size_t len)
{
    struct slab *s = slab_new(FRAME_PREFIX + len);
    put32(s->bytes, (uint32_t)len);
    return (struct frame){.slab = s, .data = s->bytes + FRAME_PREFIX, .len = (uint32_t)len};
}

struct frame frame_from(const void *data, size_t len)
{
    struct frame f = frame_new(len);
    memcpy(f.data, data, len);
    return f;
}

struct frame frame_copy(struct frame f)
{
    return frame_from(f.data, f.len);
}
