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

struct reader {
    struct script *s;
    struct stream *stream;
    struct source *source;
    uint32_t id;
    int fd;
    bool ended;
};

static void on_readable(struct source *source, uint32_t events, void *arg)
{
    struct reader *r = arg;
    (void)events;
    source_set_events(source, 0); /* until the stream has taken what is there */
    stream_notify(r->stream);
}

static size_t reader_take(void *arg, struct buf *to)
{
    struct reader *r = arg;
    uint8_t *room = buf_reserve(to, STREAM_FRAME);
    ssize_t got = room && !r->ended ? recv(r->fd, room, STREAM_FRAME, MSG_DONTWAIT) : -1;
    if (!got)
        r->ended = true;
    if (!r->ended)
        source_set_events(r->source, EPOLLIN);
    if (got <= 0)
        return 0;
    buf_commit(to, (size_t)got);
    return (size_t)got;
}

static bool reader_ended(void *arg)
{
    struct reader *r = arg;
    char byte;
    return r->ended || recv(r->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

static uint64_t capture_lost(void *arg)
{
    struct reader *c = arg;
    struct capture_stats st = {0};
    network_capture_stats(c->s->network, c->id, &st, NULL);
    return st.dropped;
}

static void capture_close(void *arg)
{
    struct reader *c = arg;
    if (c->s->network)
        network_capture_close(c->s->network, c->id, NULL);
    source_remove(c->source);
    close(c->fd);
    free(c);
}

/* core.net_capture(id, member|nil, detail, filter|nil, nanoseconds, delivered) → stream */
int network_capture_binding(lua_State *L)
{
    static const struct stream_source source = {
        .take = reader_take, .ended = reader_ended, .lost = capture_lost, .close = capture_close};
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
    struct script *script = script_of(L);
    struct reader *r = xnew0(struct reader);
    r->s = script;
    r->id = id;
    r->fd = pair[0];
    r->stream = stream_new(script->loop, &source, r, name ? "nic_capture" : "bridge_capture", luaL_checkstring(L, 3),
                           "capture closed");
    r->source = loop_add_fd(script->loop, r->fd, EPOLLIN, on_readable, r);
    push_stream(L, r->stream, "network", 0);
    return 1;
}

