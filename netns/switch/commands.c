/* Requests of the control channel: unpack, call the core, pack. Each handler reads its values in order; what is left over
 * or missing makes the request malformed, which is told by returning -1 without a message. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "switch/impair.h"
#include "switch/plan.h"
#include "switch/process.h"
#include "switch/protocol.h"
#include "switch/route.h"
#include "switch/save.h"

#define COMMAND(name)                                                                              \
    static int do_##name(struct server *s, struct unpacker *u,                                     \
                         struct packer *reply __attribute__((unused)),                             \
                         struct err *e __attribute__((unused)))

typedef int (*command_fn)(struct server *s, struct unpacker *u, struct packer *reply, struct err *e);

/* ---- values ---- */

static int get_u32(struct unpacker *u, uint32_t *ret)
{
    uint64_t v;
    if (unpack_uint(u, &v) < 0 || v > UINT32_MAX)
        return -1;
    *ret = (uint32_t)v;
    return 0;
}

static int get_name(struct unpacker *u, char name[NAME_TEXT])
{
    struct bytes b;
    if (unpack_bytes(u, &b) < 0 || b.len >= NAME_TEXT || memchr(b.data, 0, b.len))
        return -1;
    memcpy(name, b.data, b.len);
    name[b.len] = '\0';
    return 0;
}

static int get_bridge(struct server *s, struct unpacker *u, struct bridge **ret, struct err *e)
{
    uint32_t id;
    if (get_u32(u, &id) < 0)
        return -1;
    *ret = switch_bridge(s->core, id);
    return *ret ? 0 : err_set(e, ENOENT, "the bridge is closed");
}

static int get_member(struct server *s, struct unpacker *u, struct port **ret, struct err *e)
{
    struct bridge *b;
    char name[NAME_TEXT];
    if (get_bridge(s, u, &b, e) < 0 || get_name(u, name) < 0)
        return -1;
    *ret = bridge_member(b, name, e);
    return *ret ? 0 : -1;
}

/* ---- bridges ---- */

COMMAND(bridge_new)
{
    char name[NAME_TEXT];
    struct bridge_options options;
    if (get_name(u, name) < 0 || record_unpack(u, &record_bridge_options, &options) < 0)
        return -1;
    struct bridge *b = bridge_new(s->core, name, &options, e);
    record_done(&record_bridge_options, &options);
    if (!b)
        return -1;
    struct bridge_info info;
    bridge_describe(b, &info);
    record_pack(reply, &record_bridge_info, &info);
    return 0;
}

COMMAND(bridge_close)
{
    struct bridge *b;
    if (get_bridge(s, u, &b, e) < 0)
        return -1;
    for (struct connection *c = s->connections, *next; c; c = next) {
        next = connection_next(c);
        if (connection_bridge(c) == b)
            connection_free(s, c);
    }
    bridge_free(b);
    return 0;
}

COMMAND(bridge_info)
{
    struct bridge *b;
    struct bridge_info info;
    if (get_bridge(s, u, &b, e) < 0)
        return -1;
    bridge_describe(b, &info);
    record_pack(reply, &record_bridge_info, &info);
    return 0;
}

COMMAND(bridge_stats)
{
    struct bridge *b;
    if (get_bridge(s, u, &b, e) < 0)
        return -1;
    record_pack(reply, &record_bridge_stats, bridge_stats(b));
    return 0;
}

COMMAND(save)
{
    struct bridge *b;
    _cleanup_buf_ struct buf saved = BUF_INIT(CONTROL_MESSAGE_MAX);
    if (get_bridge(s, u, &b, e) < 0 || bridge_save(b, &saved, e) < 0)
        return -1;
    pack_bin(reply, buf_head(&saved), saved.len);
    return 0;
}

COMMAND(load)
{
    struct bytes saved;
    void *members;
    size_t count;
    if (unpack_bytes(u, &saved) < 0 ||
        records_unpack(u, &record_member_request, CONTROL_LIST_MAX, &members, &count) < 0)
        return -1;
    struct bridge *b = bridge_load(s->core, saved, members, count, e);
    records_done(&record_member_request, members, count);
    if (!b)
        return -1;
    struct bridge_info info;
    bridge_describe(b, &info);
    record_pack(reply, &record_bridge_info, &info);
    return 0;
}

/* ---- members ---- */

COMMAND(attach)
{
    struct bridge *b;
    void *members;
    size_t count;
    if (get_bridge(s, u, &b, e) < 0 ||
        records_unpack(u, &record_member_request, CONTROL_LIST_MAX, &members, &count) < 0)
        return -1;
    struct member_info *info = xnewa(struct member_info, count);
    int result = bridge_attach(b, members, count, info, e);
    if (result == 0)
        records_pack(reply, &record_member_info, info, count);
    free(info);
    records_done(&record_member_request, members, count);
    return result;
}

COMMAND(detach)
{
    struct bridge *b;
    char name[NAME_TEXT];
    if (get_bridge(s, u, &b, e) < 0 || get_name(u, name) < 0)
        return -1;
    return bridge_detach(b, name, e);
}

COMMAND(connect)
{
    struct port *p;
    _cleanup_close_ int fd = control_take_fd(s);
    if (fd < 0 || get_member(s, u, &p, e) < 0)
        return -1;
    if (port_outlet(p)->connection)
        connection_free(s, port_outlet(p)->connection);
    struct connection *c = connection_new(s, p, NULL, steal_fd(&fd));
    port_connect(p, c);
    connection_set_outlet(c, port_outlet(p));
    return 0;
}

COMMAND(set_link)
{
    struct port *p;
    bool up;
    if (get_member(s, u, &p, e) < 0 || unpack_bool(u, &up) < 0)
        return -1;
    port_set_link(p, up);
    return 0;
}

COMMAND(members)
{
    struct bridge *b;
    uint32_t count = 0;
    if (get_bridge(s, u, &b, e) < 0)
        return -1;
    while (bridge_member_at(b, count))
        count++;
    pack_array(reply, count);
    for (uint32_t i = 0; i < count; i++) {
        struct member_info info;
        port_describe(bridge_member_at(b, i), &info);
        record_pack(reply, &record_member_info, &info);
    }
    return 0;
}

COMMAND(member)
{
    struct port *p;
    struct member_info info;
    if (get_member(s, u, &p, e) < 0)
        return -1;
    port_describe(p, &info);
    record_pack(reply, &record_member_info, &info);
    return 0;
}

COMMAND(counters)
{
    struct port *p;
    if (get_member(s, u, &p, e) < 0)
        return -1;
    record_pack(reply, &record_nic_counters, port_counters(p));
    return 0;
}

COMMAND(guest_plan)
{
    uint32_t vm;
    struct guest_plan plan;
    if (get_u32(u, &vm) < 0)
        return -1;
    plan_make(s->core, vm, &plan);
    pack_array(reply, (uint32_t)plan.nic_count);
    for (size_t i = 0; i < plan.nic_count; i++) {
        record_pack(reply, &record_guest_nic, &plan.nics[i]);
        records_pack(reply, &record_guest_route, plan.nics[i].routes, plan.nics[i].route_count);
    }
    pack_str(reply, plan.hosts ? plan.hosts : "");
    if (plan.resolv_conf)
        pack_str(reply, plan.resolv_conf);
    else
        pack_nil(reply);
    pack_bool(reply, plan.resolv_force);
    guest_plan_done(&plan);
    return 0;
}

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

/* ---- dispatch ---- */

int command_run(struct server *s, struct bytes request, struct packer *reply, struct err *e)
{
    static const command_fn commands[] = {
#define VERB(name, handler) [SWITCH_##name] = do_##handler,
        SWITCH_VERBS(VERB)
#undef VERB
    };
    struct unpacker u = unpacker_of(request);
    uint64_t verb;
    if (unpack_uint(&u, &verb) < 0 || verb >= SWITCH_VERB_COUNT)
        return -1;
    if (commands[verb](s, &u, reply, e) < 0)
        return -1;
    return u.at == u.end ? 0 : -1;
}
