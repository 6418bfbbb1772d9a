/* Messages, their arguments and values: whatever is accepted encodes back to something that decodes to the same. */
#include <stdlib.h>

#include "wire/operation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void try_shape(struct bytes packed, const struct shape *shape)
{
    union operation_object object, again;
    struct buf b = BUF_INIT(FRAME_MAX);
    struct packer p = {.to = &b};
    if (!shape_unpack(packed, shape, &object)) {
        shape_pack(&p, shape, &object);
        check(p.full || !shape_unpack(bytes_of(buf_head(&b), b.len), shape, &again));
    }
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct unpacker u = unpacker_of(in);
    struct bytes all;
    if (!unpack_skip(&u, &all))
        check(all.len <= size);
    for (size_t i = 0; i < OPERATION_COUNT; i++) {
        try_shape(in, operations[i].args);
        try_shape(in, operations[i].value);
    }
    try_shape(in, &shape_value_err);
    struct message m, back;
    if (size > FRAME_MAX - FRAME_HEADER || message_get(in, &m) < 0)
        return 0;
    struct buf b = BUF_INIT(FRAME_MAX);
    ssize_t taken = message_put(&b, &m);
    if (taken >= 0) {
        check(!message_get(bytes_of(buf_head(&b) + FRAME_HEADER, b.len - FRAME_HEADER), &back));
        check(back.kind == m.kind && back.id == m.id && back.data.len == (size_t)taken);
    }
    buf_done(&b);
    return 0;
}
