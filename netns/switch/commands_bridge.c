/* What exists: bridges and their members. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "switch/command.h"
#include "switch/plan.h"
#include "switch/save.h"

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
