/* The calls of network.h as requests of the control channel. */
#include "network/network.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "network/private.h"
#include "switch/plan.h"

struct network *network_start(struct loop *loop, int broker, struct err *e)
{
    struct network *n = xnew0(struct network);
    n->uplinks = uplinks_new(loop, broker);
    n->channel = channel_start(loop, e);
    if (!n->channel) {
        network_free(n);
        return NULL;
    }
    return n;
}

void network_free(struct network *n)
{
    if (!n)
        return;
    channel_free(n->channel);
    uplinks_free(n->uplinks);
    free(n);
}

/* ---- bridges ---- */

int network_bridge_new(struct network *n, const char *name, const struct bridge_options *options,
                       struct bridge_info *ret, struct err *e)
{
    struct request r;
    request_init(&r, SWITCH_BRIDGE_NEW);
    pack_str(&r.p, name);
    record_pack(&r.p, &record_bridge_options, options);
    return channel_record(n->channel, &r, &record_bridge_info, ret, e);
}

int network_bridge_close(struct network *n, uint32_t bridge, struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_BRIDGE_CLOSE, bridge, NULL);
    if (channel_do(n->channel, &r, e) < 0)
        return -1;
    uplinks_forget(n->uplinks, bridge);
    return 0;
}

int network_bridge_info(struct network *n, uint32_t bridge, struct bridge_info *ret, struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_BRIDGE_INFO, bridge, NULL);
    return channel_record(n->channel, &r, &record_bridge_info, ret, e);
}

int network_bridge_stats(struct network *n, uint32_t bridge, struct bridge_stats *ret,
                         struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_BRIDGE_STATS, bridge, NULL);
    return channel_record(n->channel, &r, &record_bridge_stats, ret, e);
}

int network_bridge_save(struct network *n, uint32_t bridge, struct buf *out, struct err *e)
{
    struct request r;
    struct bytes saved;
    _cleanup_reply_ struct reply reply = REPLY_INIT;
    request_about(&r, SWITCH_SAVE, bridge, NULL);
    if (channel_call(n->channel, &r, &reply, e) < 0)
        return -1;
    if (unpack_bytes(&reply.u, &saved) < 0)
        return channel_confused(e);
    return buf_append(out, saved.data, saved.len) < 0
               ? err_set(e, E2BIG, "saved bridge is too large")
               : 0;
}

int network_bridge_load(struct network *n, const void *saved, size_t size,
                        const struct member_request *vms, size_t count, struct bridge_info *ret,
                        struct err *e)
{
    struct request r;
    request_init(&r, SWITCH_LOAD);
    pack_bin(&r.p, saved, size);
    records_pack(&r.p, &record_member_request, vms, count);
    return channel_record(n->channel, &r, &record_bridge_info, ret, e);
}

/* ---- members ---- */

int network_attach(struct network *n, uint32_t bridge, const struct member_request *members,
                   size_t count, struct member_info *ret, struct err *e)
{
    struct request r;
    void *info;
    size_t got;
    request_about(&r, SWITCH_ATTACH, bridge, NULL);
    records_pack(&r.p, &record_member_request, members, count);
    if (channel_records(n->channel, &r, &record_member_info, &info, &got, e) < 0)
        return -1;
    int result = got == count ? 0 : channel_confused(e);
    if (result == 0 && ret)
        memcpy(ret, info, count * sizeof(*ret));
    free(info);
    return result;
}

int network_detach(struct network *n, uint32_t bridge, const char *member, struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_DETACH, bridge, member);
    return channel_do(n->channel, &r, e);
}

int network_connect_fd(struct network *n, uint32_t bridge, const char *member, int fd, struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_CONNECT, bridge, member);
    r.fd = fd;
    return channel_do(n->channel, &r, e);
}

int network_connect(struct network *n, uint32_t bridge, const char *member, int *ret_fd,
                    struct err *e)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, "socketpair");
    _cleanup_close_ int ours = pair[0], theirs = pair[1];
    if (network_connect_fd(n, bridge, member, theirs, e) < 0)
        return -1;
    *ret_fd = steal_fd(&ours);
    return 0;
}

int network_set_link(struct network *n, uint32_t bridge, const char *member, bool up, struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_SET_LINK, bridge, member);
    pack_bool(&r.p, up);
    return channel_do(n->channel, &r, e);
}

int network_members(struct network *n, uint32_t bridge, struct member_info **ret, size_t *ret_count,
                    struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_MEMBERS, bridge, NULL);
    return channel_records(n->channel, &r, &record_member_info, (void **)ret, ret_count, e);
}

int network_member(struct network *n, uint32_t bridge, const char *member, struct member_info *ret,
                   struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_MEMBER, bridge, member);
    return channel_record(n->channel, &r, &record_member_info, ret, e);
}

int network_nic_counters(struct network *n, uint32_t bridge, const char *member,
                         struct nic_counters *ret, struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_COUNTERS, bridge, member);
    return channel_record(n->channel, &r, &record_nic_counters, ret, e);
}

static int take_nics(struct unpacker *u, struct guest_plan *plan)
{
    uint32_t count;
    if (unpack_array(u, &count) < 0)
        return -1;
    plan->nics = xnewa(struct guest_nic, count);
    for (; plan->nic_count < count; plan->nic_count++) {
        struct guest_nic *nic = &plan->nics[plan->nic_count];
        void *routes;
        if (record_unpack(u, &record_guest_nic, nic) < 0 ||
            records_unpack(u, &record_guest_route, CONTROL_LIST_MAX, &routes, &nic->route_count) <
                0)
            return -1;
        nic->routes = routes;
    }
    return 0;
}

static int take_plan(struct unpacker *u, struct guest_plan *plan)
{
    struct bytes hosts;
    struct value resolv;
    if (take_nics(u, plan) < 0 || unpack_bytes(u, &hosts) < 0 || unpack_value(u, &resolv) < 0 ||
        unpack_bool(u, &plan->resolv_force) < 0)
        return -1;
    plan->hosts = xstrndup((const char *)hosts.data, hosts.len);
    if (resolv.type == VALUE_STR)
        plan->resolv_conf = xstrndup((const char *)resolv.bytes.data, resolv.bytes.len);
    return 0;
}

int network_guest_plan(struct network *n, uint32_t vm, struct guest_plan *ret, struct err *e)
{
    struct request r;
    struct guest_plan plan = {0};
    _cleanup_reply_ struct reply reply = REPLY_INIT;
    request_init(&r, SWITCH_GUEST_PLAN);
    pack_uint(&r.p, vm);
    if (channel_call(n->channel, &r, &reply, e) < 0)
        return -1;
    if (take_plan(&reply.u, &plan) < 0) {
        guest_plan_done(&plan);
        return channel_confused(e);
    }
    *ret = plan;
    return 0;
}
