/* A byte stream cut at places that the input chooses: however it is cut, the same frames come out. */
#include <stdlib.h>

#include "wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t hash, frames;
};

static void note(struct seen *s, enum frame_status status, struct bytes body)
{
    s->hash = s->hash * 31 + status;
    if (status == FRAME_SYNC) /* whether frames before it are seen depends on when it came */
        s->hash = s->frames = 0;
    for (size_t i = 0; status == FRAME_READY && i < body.len; i++)
        s->hash = s->hash * 31 + body.data[i];
    s->frames += status == FRAME_READY;
}

static struct seen run(const uint8_t *data, size_t size, size_t step, bool hunting)
{
    struct frame_reader r;
    struct seen seen = {0};
    struct bytes body = {0};
    frame_reader_init(&r, hunting);
    while (size) {
        size_t room, n = step < size ? step : size;
        uint8_t *to = frame_reader_space(&r, &room);
        n = n < room ? n : room;
        memcpy(to, data, n);
        frame_reader_fed(&r, n);
        data += n;
        size -= n;
        for (enum frame_status status; (status = frame_reader_next(&r, &body)) != FRAME_NONE;)
            if (status != FRAME_BAD)
                note(&seen, status, body);
    }
    frame_reader_done(&r);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct seen one = run(data + 1, size - 1, SIZE_MAX, data[0] & 1);
    struct seen two = run(data + 1, size - 1, (size_t)(data[0] >> 1) + 1, data[0] & 1);
    if (one.hash != two.hash || one.frames != two.frames)
        abort();
    return 0;
}
