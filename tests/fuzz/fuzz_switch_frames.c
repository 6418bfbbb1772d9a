/* Raw frames by any port and from the uplink, time, and changing rules. The input is a list of: an
 * operation byte, a length byte, that many bytes. */
#include "switch_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void change_rules(struct world *w, const uint8_t *p, size_t size)
{
    static const char *const names[] = {NULL, "a", "b", "c", GATEWAY_NAME};
    if (size < 4)
        return;
    struct impairment rule = {.from = names[p[0] % 5],
                              .to = names[p[1] % 5],
                              .set = p[2],
                              .latency = (int64_t)p[3] * 1000000,
                              .jitter = (int64_t)p[3] * 500000,
                              .loss = p[3] % 101,
                              .duplicate = p[3] % 101,
                              .reorder = p[3] % 101,
                              .corrupt = p[3] % 101,
                              .rate = (uint64_t)p[3] * 1000};
    impair_set(w->left, &rule, NULL);
    if (p[0] == 255)
        impair_reset(w->left, w->now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    world_init(&w);
    while (size >= 2) {
        uint8_t operation = data[0];
        size_t len = data[1];
        data += 2;
        size -= 2;
        if (len > size)
            len = size;
        if (operation < 8) {
            world_input(&w, w.ports[operation % WORLD_PORTS], frame_from(data, len));
        } else if (operation == 8) {
            struct frame f = frame_from(data, len);
            bridge_uplink_input(w.left, f, w.now);
            frame_unref(f);
        } else if (operation == 9) {
            change_rules(&w, data, len);
        } else {
            w.now += (int64_t)operation * 1000000 * (int64_t)(len + 1);
            switch_advance(w.s, w.now);
        }
        world_drain(&w, false);
        data += len;
        size -= len;
    }
    switch_free(w.s);
    return 0;
}
