/* Captures: the switch writes pcap into one end of a socket pair, a stream reads the other. */
#include "script/network.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "script/stream.h"

#define CAPTURE_SOCKET_BYTES (4 << 20)

struct capture {
    struct script *s;
    uint32_t id;
    int fd;
    bool ended, ready;
};

static void on_readable(struct source *s, uint32_t events, void *arg)
{
    (void)s, (void)events;
    ((struct capture *)arg)->ready = true;
}

static int capture_read(void *arg, struct buf *out, int64_t deadline, struct err *e)
{
    struct capture *c = arg;
    if (c->ended)
        return 0;
    for (;;) {
        ssize_t got = recv(c->fd, buf_reserve(out, STREAM_FRAME_MAX), STREAM_FRAME_MAX, MSG_DONTWAIT);
        if (got > 0) {
            buf_commit(out, (size_t)got);
            return 1;
        }
        if (!got) {
            c->ended = true;
            return 0;
        }
        c->ready = false;
        struct source *source = loop_add_fd(c->s->loop, c->fd, EPOLLIN, on_readable, c);
        int waited = loop_wait(c->s->loop, &c->ready, deadline);
        int code = errno;
        source_remove(source);
        if (waited < 0)
            return err_set(e, code, "no packet");
    }
}

static bool capture_ended(void *arg)
{
    struct capture *c = arg;
    char byte;
    return c->ended || recv(c->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

static uint64_t capture_lost(void *arg)
{
    struct capture *c = arg;
    struct capture_stats st = {0};
    network_capture_stats(c->s->network, c->id, &st, NULL);
    return st.dropped;
}

static void capture_close(void *arg)
{
    struct capture *c = arg;
    if (c->s->network)
        network_capture_close(c->s->network, c->id, NULL);
    close(c->fd);
    free(c);
}

/* core.net_capture(id, member|nil, detail, filter|nil, nanoseconds, delivered) → stream */
int network_capture_binding(lua_State *L)
{
    static const struct stream_source source = {
        .read = capture_read, .ended = capture_ended, .lost = capture_lost, .close = capture_close};
    struct err e = ERR_INIT;
    const char *name = luaL_optstring(L, 2, NULL);
    const struct capture_options options = {
        .filter = luaL_optstring(L, 4, NULL), .nanoseconds = lua_toboolean(L, 5), .delivered = lua_toboolean(L, 6)};
    struct network *network = network_of(L);
    uint32_t bridge = network_check_bridge(L), id = 0;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return luaL_error(L, "socket pair: %s", strerror(errno));
    setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &(int){CAPTURE_SOCKET_BYTES}, sizeof(int));
    int failed = network_capture(network, bridge, name, &options, pair[1], &id, &e);
    close(pair[1]);
    if (failed) {
        close(pair[0]);
        return network_finish(L, failed, &e);
    }
    struct capture *c = xnew(struct capture);
    *c = (struct capture){.s = script_of(L), .id = id, .fd = pair[0]};
    const struct stream_info info = {.kind = name ? "nic_capture" : "bridge_capture",
                                     .detail = luaL_checkstring(L, 3),
                                     .closed = "capture closed",
                                     .label = "network"};
    push_stream(L, &source, c, &info);
    return 1;
}

