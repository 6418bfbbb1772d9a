/* Saved bridges: what loads can be used, saved, and loaded again. */
#include "switch_world.h"

#include "switch/save.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct netswitch *s = switch_new(7);
    struct buf saved = BUF_INIT(1 << 24);
    struct err e = ERR_INIT;
    struct bridge *b = bridge_load(s, bytes_of(data, size), NULL, 0, &e);
    if (b) {
        struct port *first = bridge_member_at(b, 0);
        if (first) {
            port_connect(first, first);
            struct frame f =
                frame_from("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x08\x06", 14);
            bridge_input(first, f, 1);
            frame_unref(f);
        }
        must(bridge_save(b, &saved, NULL) == 0);
        must(bridge_load(s, bytes_of(buf_head(&saved), saved.len), NULL, 0, NULL) != NULL);
    } else {
        must(e.message != NULL);
    }
    err_clear(&e);
    buf_done(&saved);
    switch_free(s);
    return 0;
}
