#include "events/event.h"

#include <errno.h>

#include "base/clock.h"
#include "base/io.h"
#include "events/payload.h"

static const uint8_t *load_u32(const uint8_t *p, uint32_t *ret)
{
    *ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    return p + 4;
}

int event_append(struct buf *out, int64_t ts, struct bytes kind, struct bytes payload)
{
    struct packer p = {.to = out};
    size_t before = out->len;
    buf_append(out, "\0\0\0\0", 4);
    pack_map(&p, 3);
    pack_str(&p, "ts");
    pack_int(&p, ts);
    pack_str(&p, "kind");
    pack_strn(&p, kind.data, kind.len);
    pack_str(&p, "payload");
    pack_raw(&p, payload.data, payload.len);
    size_t n = out->len - before - 4;
    if (p.full || n > EVENT_FRAME_MAX) {
        out->len = before;
        return -1;
    }
    uint8_t *head = buf_head(out) + before;
    for (int i = 0; i < 4; i++)
        head[i] = (uint8_t)(n >> (24 - 8 * i));
    return 0;
}

bool event_write(int fd, const char *kind, const struct buf *payload)
{
    return event_write_passing(fd, kind, payload, -1);
}

bool event_write_passing(int fd, const char *kind, const struct buf *payload, int passed)
{
    _cleanup_buf_ struct buf frame = BUF_INIT(EVENT_FRAME_MAX + 4096);
    if (event_append(&frame, clock_realtime_ns(), bytes_str(kind), bytes_of(buf_head(payload), payload->len)) < 0) {
        errno = EMSGSIZE;
        return false;
    }
    int rc = passed < 0 ? write_full(fd, buf_head(&frame), frame.len) : fds_send(fd, buf_head(&frame), frame.len, &passed, 1);
    return rc == 0;
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
