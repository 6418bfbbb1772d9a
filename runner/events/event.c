#include "events/event.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"

static const uint8_t *load_u32(const uint8_t *p, uint32_t *ret)
{
    *ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    return p + 4;
}

void event_append(struct buf *out, const char *kind, const struct buf *payload)
{
    struct packer p = {.to = out};
    size_t before = out->len;
    buf_append(out, "\0\0\0\0", 4);
    pack_map(&p, 3);
    pack_str(&p, "ts");
    pack_int(&p, clock_realtime_ns());
    pack_str(&p, "kind");
    pack_str(&p, kind);
    pack_str(&p, "payload");
    pack_raw(&p, buf_head(payload), payload->len);
    uint8_t *head = buf_head(out) + before;
    size_t n = out->len - before - 4;
    for (int i = 0; i < 4; i++)
        head[i] = (uint8_t)(n >> (24 - 8 * i));
}

bool event_write(int fd, const char *kind, const struct buf *payload)
{
    _cleanup_buf_ struct buf frame = BUF_INIT(EVENT_FRAME_MAX + 4096);
    event_append(&frame, kind, payload);
    return write_full(fd, buf_head(&frame), frame.len) == 0;
}

int event_next(const struct buf *in, struct event *ret, struct err *e)
{
    uint32_t size, pairs;
    if (in->len < 4)
        return 0;
    const uint8_t *body = load_u32(buf_head(in), &size);
    if (size > EVENT_FRAME_MAX)
        return err_set(e, 0, "a frame of %u bytes (at most %zu)", size, EVENT_FRAME_MAX);
    if (in->len - 4 < size)
        return 0;
    struct unpacker u = {.at = body, .end = body + size};
    struct event ev = {.frame = {buf_head(in), 4 + (size_t)size}};
    if (unpack_map(&u, &pairs) < 0)
        return err_set(e, 0, "a frame that is no map");
    struct bytes map = {body, size};
    if (!payload_int(map, "ts", &ev.ts) || !payload_bytes(map, "kind", &ev.kind) ||
        !payload_value(map, "payload", &ev.payload))
        return err_set(e, 0, "a frame without ts, kind and payload");
    *ret = ev;
    return 1;
}

bool event_is(const struct event *ev, const char *kind)
{
    return bytes_is(ev->kind, kind);
}

bool payload_value(struct bytes map, const char *key, struct bytes *ret_packed)
{
    struct unpacker u = unpacker_of(map);
    uint32_t pairs;
    struct bytes name, value;
    if (unpack_map(&u, &pairs) < 0)
        return false;
    while (pairs--) {
        if (unpack_bytes(&u, &name) < 0 || unpack_skip(&u, &value) < 0)
            return false;
        if (bytes_is(name, key)) {
            *ret_packed = value;
            return true;
        }
    }
    return false;
}

bool payload_bytes(struct bytes map, const char *key, struct bytes *ret)
{
    struct bytes packed;
    if (!payload_value(map, key, &packed))
        return false;
    struct unpacker u = unpacker_of(packed);
    struct bytes value;
    if (unpack_bytes(&u, &value) < 0)
        return false;
    *ret = value;
    return true;
}

bool payload_int(struct bytes map, const char *key, int64_t *ret)
{
    struct bytes packed;
    if (!payload_value(map, key, &packed))
        return false;
    struct unpacker u = unpacker_of(packed);
    int64_t value;
    if (unpack_int(&u, &value) < 0)
        return false;
    *ret = value;
    return true;
}

bool payload_bool(struct bytes map, const char *key, bool *ret)
{
    struct bytes packed;
    if (!payload_value(map, key, &packed))
        return false;
    struct unpacker u = unpacker_of(packed);
    bool value;
    if (unpack_bool(&u, &value) < 0)
        return false;
    *ret = value;
    return true;
}

char *payload_string(struct bytes map, const char *key)
{
    struct bytes value = {0};
    payload_bytes(map, key, &value);
    return value.len ? xstrndup((const char *)value.data, value.len) : xstrdup("");
}
