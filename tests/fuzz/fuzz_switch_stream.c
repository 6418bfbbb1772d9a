/* A port's byte stream, in pieces: frames and errors are those that a plain reading of the framing
 * finds. */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "switch/process.h"
#include "switch_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(const uint8_t *data, size_t size, uint64_t *frames, uint64_t *errors)
{
    while (size >= 4) {
        uint64_t len = get32(data);
        bool good = len >= FRAME_MIN && len <= FRAME_MAX;
        data += 4;
        size -= 4;
        if (good && len > size)
            return;
        *frames += good;
        *errors += !good;
        if (len > size)
            return;
        data += len;
        size -= len;
    }
}

static void serve(struct server *s, struct world *w)
{
    struct epoll_event events[4];
    do {
        int n = epoll_wait(s->epoll_fd, events, 4, 0);
        for (int i = 0; i < n; i++) {
            struct watch *watch = events[i].data.ptr;
            watch->ready(s, watch, events[i].events);
        }
        connections_continue(s);
        world_drain(w, false);
    } while (s->busy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    int pair[2];
    uint64_t frames = 0, errors = 0;
    world_init(&w);
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    struct server s = {.core = w.s, .epoll_fd = epoll_create1(EPOLL_CLOEXEC), .now = 1};
    port_disconnect(w.ports[0]);
    for (int i = 1; i < WORLD_PORTS; i++)
        port_connect(w.ports[i], NULL); /* world_drain takes their frames */
    w.uplink->connection = NULL;
    struct connection *c = connection_new(&s, w.ports[0], NULL, pair[1]);
    port_connect(w.ports[0], c);
    connection_set_outlet(c, port_outlet(w.ports[0]));
    for (size_t at = 0, piece = 1; at < size; at += piece) {
        piece = 1 + data[at] * 16u;
        if (piece > size - at)
            piece = size - at;
        must(send(pair[0], data + at, piece, MSG_NOSIGNAL) == (ssize_t)piece);
        serve(&s, &w);
    }
    serve(&s, &w);
    count(data, size, &frames, &errors);
    must(port_counters(w.ports[0])->tx_packets == frames);
    must(port_counters(w.ports[0])->errors == errors);
    connection_free(&s, c);
    close(pair[0]);
    close(s.epoll_fd);
    switch_free(w.s);
    return 0;
}
