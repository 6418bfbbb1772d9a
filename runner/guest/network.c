#include "guest/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "guest/call.h"

/* 4 or 16 bytes. -1: not an address. */
static int pack_address(struct packer *p, const char *text)
{
    uint8_t bytes[16];
    size_t size = strchr(text, ':') ? 16 : 4;
    if (inet_pton(size == 16 ? AF_INET6 : AF_INET, text, bytes) != 1)
        return -1;
    pack_bin(p, bytes, size);
    return 0;
}

static int pack_own(struct packer *p, const char *address, unsigned prefix)
{
    pack_array(p, 3);
    if (pack_address(p, address) < 0)
        return -1;
    pack_uint(p, prefix);
    pack_bin(p, NULL, 0);
    return 0;
}

static int pack_route(struct packer *p, const struct guest_route *route)
{
    char destination[sizeof(route->destination)], *end;
    memcpy(destination, route->destination, sizeof(destination));
    char *slash = strchr(destination, '/');
    if (!slash)
        return -1;
    *slash = '\0';
    unsigned long prefix = strtoul(slash + 1, &end, 10);
    pack_array(p, 3);
    if (end == slash + 1 || *end || pack_address(p, destination) < 0)
        return -1;
    pack_uint(p, prefix);
    return pack_address(p, route->gateway);
}

static int pack_nic(struct packer *p, const struct guest_nic *nic, struct err *e)
{
    static const uint8_t none[MAC_SIZE];
    uint8_t macs[2 * MAC_SIZE];
    bool other = memcmp(nic->device_mac, none, MAC_SIZE);
    memcpy(macs, nic->mac, MAC_SIZE);
    memcpy(macs + MAC_SIZE, nic->device_mac, MAC_SIZE);
    pack_array(p, 4);
    pack_bin(p, macs, other ? sizeof(macs) : MAC_SIZE);
    pack_uint(p, nic->mtu);
    pack_bool(p, nic->raw);
    if (nic->raw) {
        pack_array(p, 0);
        return 0;
    }
    pack_array(p, (uint32_t)(!!*nic->ip4 + !!*nic->ip6 + nic->route_count));
    if (*nic->ip4 && pack_own(p, nic->ip4, nic->prefix4) < 0)
        return err_set(e, EINVAL, "`%s` is no address", nic->ip4);
    if (*nic->ip6 && pack_own(p, nic->ip6, nic->prefix6) < 0)
        return err_set(e, EINVAL, "`%s` is no address", nic->ip6);
    for (size_t i = 0; i < nic->route_count; i++)
        if (pack_route(p, &nic->routes[i]) < 0)
            return err_set(e, EINVAL, "no route: `%s` by `%s`", nic->routes[i].destination, nic->routes[i].gateway);
    return 0;
}

static int pack_plan(struct buf *to, const struct guest_plan *plan, struct err *e)
{
    struct packer p = {.to = to};
    struct bytes hosts = bytes_str(plan->hosts), resolv = bytes_str(plan->resolv_conf);
    pack_array(&p, (uint32_t)plan->nic_count);
    for (size_t i = 0; i < plan->nic_count; i++)
        if (pack_nic(&p, &plan->nics[i], e) < 0)
            return err_prefix(e, "bridge `%s`", plan->nics[i].bridge_name);
    pack_bin(&p, hosts.data, hosts.len);
    pack_bin(&p, resolv.data, resolv.len);
    return p.full ? err_set(e, EFBIG, "the plan is over %zu bytes", to->max) : 0;
}

void guest_network_state_done(struct guest_network_state *s)
{
    for (size_t i = 0; i < s->nic_count; i++)
        free(s->nics[i].reason);
    free(s->nics);
    free(s->warning);
    *s = (struct guest_network_state){0};
}

/* The next string of the records, or NULL. */
static const char *take_string(struct bytes *from)
{
    const uint8_t *end = from->len ? memchr(from->data, 0, from->len) : NULL;
    if (!end)
        return NULL;
    const char *s = (const char *)from->data;
    size_t step = (size_t)(end + 1 - from->data);
    *from = bytes_of(from->data + step, from->len - step);
    return s;
}

static int parse_reply(struct bytes body, size_t nic_count, struct guest_network_state *ret)
{
    ret->nics = xnewa(struct guest_nic_state, nic_count + 1);
    for (; ret->nic_count < nic_count; ret->nic_count++) {
        struct guest_nic_state *nic = &ret->nics[ret->nic_count];
        const char *name = take_string(&body), *reason = take_string(&body);
        if (!name || !reason || strlen(name) >= sizeof(nic->name))
            return -1;
        nic->found = *name;
        memcpy(nic->name, name, strlen(name) + 1);
        nic->reason = *reason ? xstrdup(reason) : NULL;
    }
    return body.len ? -1 : 0;
}

int guest_configure_network(struct guest *g, const struct guest_plan *plan, int64_t wait_ns,
                            struct guest_network_state *ret, int64_t deadline, struct err *e)
{
    _cleanup_buf_ struct buf body = BUF_INIT(NETWORK_PLAN_MAX);
    struct value_warning value;
    if (pack_plan(&body, plan, e) < 0)
        return err_prefix(e, "configure_network");
    struct args_configure_network args = {.wait_ns = wait_ns > 0 ? (uint64_t)wait_ns : 0,
                                          .resolv_force = plan->resolv_force};
    struct guest_call_request request = {
        .args = &args, .data = buf_head(&body), .len = body.len, .body_max = NETWORK_REPLY_MAX};
    _cleanup_(guest_call_freep) struct guest_call *call =
        guest_call_start(g, OPERATION_configure_network, &request, "configure_network");
    if (guest_call_await(call, deadline, &value, e) < 0)
        return -1;
    struct guest_network_state state = {0};
    if (parse_reply(bytes_of(buf_head(&call->body), call->body.len), plan->nic_count, &state) < 0) {
        guest_network_state_done(&state);
        return err_set(e, EPROTO, "%s: malformed reply from the agent", call->label);
    }
    if (value.warning.len)
        state.warning = xstrndup((const char *)value.warning.data, value.warning.len);
    *ret = state;
    return 0;
}
