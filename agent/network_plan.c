#include "network_plan.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "wire/msgpack.h"

#define NICS_MAX     1024
#define SETTINGS_MAX 16384

static int take_address(struct unpacker *u, uint8_t ret[16], uint32_t *ret_size)
{
    struct bytes b;
    if (unpack_bytes(u, &b) < 0 || (b.len && b.len != 4 && b.len != 16))
        return -1;
    if (b.len)
        memcpy(ret, b.data, b.len);
    *ret_size = (uint32_t)b.len;
    return 0;
}

/* [address, prefix, gateway]; without a gateway it is an address of the interface, else a route. */
static int take_setting(struct unpacker *u, struct network_setting *ret)
{
    uint32_t items, gateway_size;
    uint64_t prefix;
    if (unpack_array(u, &items) < 0 || items != 3 || take_address(u, ret->address, &ret->size) < 0 || !ret->size ||
        unpack_uint(u, &prefix) < 0 || prefix > 8 * ret->size || take_address(u, ret->gateway, &gateway_size) < 0 ||
        (gateway_size && gateway_size != ret->size))
        return -1;
    ret->prefix = (uint32_t)prefix;
    ret->route = gateway_size > 0;
    return 0;
}

/* [mac, mtu, raw, settings]; the MAC may be followed by the device's. */
static int take_nic(struct unpacker *u, struct network_plan *plan, struct network_nic *ret)
{
    uint32_t items, count;
    uint64_t mtu;
    struct bytes mac;
    if (unpack_array(u, &items) < 0 || items != 4 || unpack_bytes(u, &mac) < 0 || (mac.len != MAC_SIZE && mac.len != 2 * MAC_SIZE) ||
        unpack_uint(u, &mtu) < 0 || mtu > UINT32_MAX || unpack_bool(u, &ret->raw) < 0 ||
        unpack_array(u, &count) < 0 || count > SETTINGS_MAX - plan->setting_count)
        return -1;
    memcpy(ret->mac, mac.data, MAC_SIZE);
    memcpy(ret->device_mac, mac.data + mac.len - MAC_SIZE, MAC_SIZE);
    ret->mtu = (uint32_t)mtu;
    ret->first = plan->setting_count;
    plan->settings = xreallocarray(plan->settings, plan->setting_count + count + 1, sizeof(*plan->settings));
    for (; ret->count < count; ret->count++) {
        struct network_setting *s = &plan->settings[plan->setting_count++];
        *s = (struct network_setting){0};
        if (take_setting(u, s) < 0)
            return -1;
    }
    return 0;
}

static int take_plan(struct unpacker *u, struct network_plan *plan)
{
    uint32_t count;
    if (unpack_array(u, &count) < 0 || count > NICS_MAX)
        return -1;
    plan->nics = xnewa(struct network_nic, count + 1);
    for (; plan->nic_count < count; plan->nic_count++)
        if (take_nic(u, plan, &plan->nics[plan->nic_count]) < 0)
            return -1;
    if (unpack_bytes(u, &plan->hosts) < 0 || unpack_bytes(u, &plan->resolv_conf) < 0)
        return -1;
    return u->at == u->end ? 0 : -1;
}

int network_plan_parse(struct bytes body, struct network_plan *ret)
{
    struct unpacker u = unpacker_of(body);
    struct network_plan plan = {0};
    if (take_plan(&u, &plan) < 0) {
        network_plan_done(&plan);
        return -1;
    }
    *ret = plan;
    return 0;
}

void network_plan_done(struct network_plan *plan)
{
    free(plan->nics);
    free(plan->settings);
    *plan = (struct network_plan){0};
}
