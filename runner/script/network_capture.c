/* Captures: the switch writes pcap into one end of a socket pair, a stream reads the other; or into a file that is opened
 * here, and the stream has nothing to read. */
#include "script/network.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "script/argument.h"
#include "script/stream.h"

#define CAPTURE_SOCKET_BYTES (4 << 20)

struct reader {
    struct script *s;
    struct stream *stream;
    struct source *source; /* NULL: into a file */
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
    close_fd(&c->fd);
    free(c);
}

/* Where the switch writes; *ret_read is where it is read, or -1. */
static int open_target(lua_State *L, const char *file, int *ret_read)
{
    int pair[2];
    if (file) {
        pair[1] = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (pair[1] < 0)
            return luaL_error(L, "open %s: %s", file, strerror(errno));
        *ret_read = -1;
        return pair[1];
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return luaL_error(L, "socket pair: %s", strerror(errno));
    setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &(int){CAPTURE_SOCKET_BYTES}, sizeof(int));
    *ret_read = pair[0];
    return pair[1];
}

/* core.net_capture(id, member|nil, detail, filter|nil, nanoseconds, delivered, file|nil) → stream, with the capture's id
 * as what it keeps */
static int net_capture(lua_State *L)
{
    static const struct stream_source source = {
        .take = reader_take, .ended = reader_ended, .lost = capture_lost, .close = capture_close};
    struct err e = ERR_INIT;
    const char *name = luaL_optstring(L, 2, NULL), *detail = luaL_checkstring(L, 3);
    const struct capture_options options = {
        .filter = luaL_optstring(L, 4, NULL), .nanoseconds = lua_toboolean(L, 5), .delivered = lua_toboolean(L, 6)};
    const char *file = lua_isnoneornil(L, 7) ? NULL : check_path(L, 7, "file");
    struct network *network = network_of(L);
    uint32_t bridge = network_check_bridge(L), id = 0;
    int read_end = -1, write_end = open_target(L, file, &read_end);
    int failed = network_capture(network, bridge, name, &options, write_end, &id, &e);
    close(write_end);
    if (failed) {
        close_fd(&read_end);
        return network_finish(L, failed, &e);
    }
    struct script *script = script_of(L);
    struct reader *r = xnew0(struct reader);
    *r = (struct reader){.s = script, .id = id, .fd = read_end, .ended = file};
    r->stream = stream_new(script->loop, &source, r, name ? "nic_capture" : "bridge_capture", detail, "capture closed");
    if (!file)
        r->source = loop_add_fd(script->loop, r->fd, EPOLLIN, on_readable, r);
    lua_pushinteger(L, id);
    push_stream(L, r->stream, "network", -1);
    return 1;
}

int network_capture_stats_binding(lua_State *L)
{
    struct err e = ERR_INIT;
    struct capture_stats st;
    luaL_checkudata(L, 1, "stream");
    if (lua_getiuservalue(L, 1, 1) != LUA_TNUMBER)
        return raise_format(L, "stats: the stream is no capture");
    if (network_capture_stats(network_of(L), (uint32_t)lua_tointeger(L, -1), &st, &e) < 0)
        return raise_err(L, &e);
    lua_newtable(L);
    network_set_number(L, "packets", st.packets);
    network_set_number(L, "bytes", st.bytes);
    network_set_number(L, "dropped", st.dropped);
    return 1;
}

const luaL_Reg network_capture_functions[] = {
    {"net_capture", net_capture},
    {NULL, NULL},
};
