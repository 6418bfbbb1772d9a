/* What happens between members: partitions, impairments, routes, uplinks, captures. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "switch/command.h"
#include "switch/impair.h"
#include "switch/route.h"

/* ---- partitions and impairments ---- */

COMMAND(partition)
{
    struct bridge *b;
    char from[NAME_TEXT], to[NAME_TEXT];
    bool directional, on;
    if (get_bridge(s, u, &b, e) < 0 || get_name(u, from) < 0 || get_name(u, to) < 0 ||
        unpack_bool(u, &directional) < 0 || unpack_bool(u, &on) < 0)
        return -1;
    return on ? bridge_partition(b, from, to, directional, e)
              : bridge_unpartition(b, from, to, directional, e);
}

COMMAND(partition_all)
{
    struct bridge *b;
    bool on;
    if (get_bridge(s, u, &b, e) < 0 || unpack_bool(u, &on) < 0)
        return -1;
    if (on)
        bridge_partition_all(b);
    else
        bridge_restore_all(b);
    return 0;
}

COMMAND(is_partitioned)
{
    struct bridge *b;
    char from[NAME_TEXT], to[NAME_TEXT];
    if (get_bridge(s, u, &b, e) < 0 || get_name(u, from) < 0 || get_name(u, to) < 0)
        return -1;
    pack_bool(reply, bridge_is_partitioned(b, from, to));
    return 0;
}

COMMAND(isolate)
{
    struct bridge *b;
    char name[NAME_TEXT];
    bool on;
    if (get_bridge(s, u, &b, e) < 0 || get_name(u, name) < 0 || unpack_bool(u, &on) < 0)
        return -1;
    return bridge_isolate(b, name, on, e);
}

COMMAND(impair)
{
    struct bridge *b;
    struct impairment rule;
    if (get_bridge(s, u, &b, e) < 0 || record_unpack(u, &record_impairment, &rule) < 0)
        return -1;
    int result = impair_set(b, &rule, e);
    record_done(&record_impairment, &rule);
    return result;
}

COMMAND(impairments)
{
    struct bridge *b;
    struct impairment rule;
    uint32_t count = 0;
    if (get_bridge(s, u, &b, e) < 0)
        return -1;
    while (impair_get(b, count, &rule) == 0)
        count++;
    pack_array(reply, count);
    for (uint32_t i = 0; i < count; i++) {
        impair_get(b, i, &rule);
        record_pack(reply, &record_impairment, &rule);
    }
    return 0;
}

COMMAND(seed)
{
    struct bridge *b;
    int64_t seed;
    char text[24];
    if (get_bridge(s, u, &b, e) < 0 || unpack_int(u, &seed) < 0)
        return -1;
    snprintf(text, sizeof(text), "%lld", (long long)seed);
    impair_seed(b, text);
    return 0;
}

COMMAND(reset)
{
    struct bridge *b;
    if (get_bridge(s, u, &b, e) < 0)
        return -1;
    impair_reset(b, s->now);
    connections_flush(s);
    return 0;
}

/* ---- routes and uplink ---- */

COMMAND(route)
{
    struct bridge *b, *others[BRIDGES_MAX];
    uint32_t count;
    if (get_bridge(s, u, &b, e) < 0 || unpack_array(u, &count) < 0 || count > BRIDGES_MAX)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        if (get_bridge(s, u, &others[i], e) < 0)
            return -1;
    return bridge_route(b, others, count, e);
}

COMMAND(unroute)
{
    struct bridge *b, *other;
    if (get_bridge(s, u, &b, e) < 0 || get_bridge(s, u, &other, e) < 0)
        return -1;
    bridge_unroute(b, other);
    return 0;
}

COMMAND(routes)
{
    struct bridge *b;
    uint32_t count = 0;
    if (get_bridge(s, u, &b, e) < 0)
        return -1;
    while (bridge_route_at(b, count, false))
        count++;
    pack_array(reply, count);
    for (uint32_t i = 0; i < count; i++) {
        struct bridge_info info;
        bridge_describe(bridge_route_at(b, i, false), &info);
        record_pack(reply, &record_id, &info.id);
    }
    return 0;
}

static struct connection *uplink_of(const struct bridge *b)
{
    struct outlet *o = bridge_uplink_outlet(b);
    return o ? o->connection : NULL;
}

COMMAND(uplink_start)
{
    struct bridge *b;
    bool ipv6;
    _cleanup_close_ int fd = control_take_fd(s);
    if (fd < 0 || get_bridge(s, u, &b, e) < 0 || unpack_bool(u, &ipv6) < 0)
        return -1;
    if (uplink_of(b))
        connection_free(s, uplink_of(b));
    struct connection *c = connection_new(s, NULL, b, steal_fd(&fd));
    connection_set_outlet(c, bridge_uplink_start(b, ipv6, c));
    return 0;
}

COMMAND(uplink_stop)
{
    struct bridge *b;
    if (get_bridge(s, u, &b, e) < 0)
        return -1;
    if (uplink_of(b))
        connection_free(s, uplink_of(b));
    return 0;
}

/* ---- captures ---- */

COMMAND(capture)
{
    struct bridge *b;
    char name[NAME_TEXT];
    struct capture_options options;
    _cleanup_close_ int fd = control_take_fd(s);
    if (fd < 0 || get_bridge(s, u, &b, e) < 0 || get_name(u, name) < 0)
        return -1;
    struct port *p = *name ? bridge_member(b, name, e) : NULL;
    if ((*name && !p) || record_unpack(u, &record_capture_options, &options) < 0)
        return -1;
    struct capture *c = capture_new(b, p, &options, e);
    record_done(&record_capture_options, &options);
    if (!c)
        return -1;
    drain_new(s, c, steal_fd(&fd));
    pack_uint(reply, capture_id(c));
    return 0;
}

static int get_capture(struct server *s, struct unpacker *u, struct capture **ret, struct err *e)
{
    uint32_t id;
    if (get_u32(u, &id) < 0)
        return -1;
    *ret = switch_capture(s->core, id);
    return *ret ? 0 : err_set(e, ENOENT, "the capture is closed");
}

COMMAND(capture_stats)
{
    struct capture *c;
    struct capture_stats stats;
    if (get_capture(s, u, &c, e) < 0)
        return -1;
    capture_describe(c, &stats);
    record_pack(reply, &record_capture_stats, &stats);
    return 0;
}

COMMAND(capture_close)
{
    struct capture *c;
    if (get_capture(s, u, &c, e) < 0)
        return -1;
    drain_release(s, c);
    return 0;
}
