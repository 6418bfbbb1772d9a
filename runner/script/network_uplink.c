/* Uplinks of bridges, for lua/link.lua, which has checked the arguments. */
#include "script/network.h"

#include <string.h>

#include "base/alloc.h"

static lua_Integer integer_field(lua_State *L, const char *key)
{
    lua_getfield(L, -1, key);
    lua_Integer value = lua_tointeger(L, -1);
    lua_pop(L, 1);
    return value;
}

/* Anchored by the table on top. */
static const char *text_field(lua_State *L, const char *key)
{
    lua_getfield(L, -1, key);
    const char *text = lua_tostring(L, -1);
    lua_pop(L, 1);
    return text;
}

/* core.net_enable_uplink(id, host_loopback, {{bind=, host=, guest=, vm=, proto=}, …}) */
static int net_enable_uplink(lua_State *L)
{
    struct err e = ERR_INIT;
    uint32_t id = network_check_bridge(L);
    size_t n = lua_rawlen(L, 3);
    struct uplink_forward *forwards = lua_newuserdatauv(L, (n + 1) * sizeof(*forwards), 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 3, (lua_Integer)i + 1);
        forwards[i] = (struct uplink_forward){.bind = text_field(L, "bind"),
                                              .host = (uint16_t)integer_field(L, "host"),
                                              .guest = (uint16_t)integer_field(L, "guest"),
                                              .member = text_field(L, "vm"),
                                              .udp = !strcmp(text_field(L, "proto"), "udp")};
        lua_pop(L, 1);
    }
    const struct uplink_options options = {
        .host_loopback = lua_toboolean(L, 2), .forwards = forwards, .forward_count = n};
    return network_finish(L, network_enable_uplink(network_of(L), id, &options, &e), &e);
}

/* core.net_disable_uplink(id) → was there one? */
static int net_disable_uplink(lua_State *L)
{
    struct err e = ERR_INIT;
    uint32_t id = network_check_bridge(L);
    struct network *n = network_of(L);
    bool was = network_uplink(n, id);
    network_finish(L, network_disable_uplink(n, id, &e), &e);
    lua_pushboolean(L, was);
    return 1;
}

static void push_forward(lua_State *L, const struct uplink_forward *f)
{
    lua_newtable(L);
    network_set_number(L, "host", f->host);
    network_set_number(L, "guest", f->guest);
    network_set_text(L, "vm", f->member);
    network_set_text(L, "proto", f->udp ? "udp" : "tcp");
    network_set_text(L, "bind", f->bind);
}

/* core.net_uplink(id) → nil, or what bridge:uplink returns */
static int net_uplink(lua_State *L)
{
    uint32_t id = network_check_bridge(L);
    const struct uplink_info *info = network_uplink(network_of(L), id);
    if (!info)
        return 0;
    lua_newtable(L);
    network_set_boolean(L, "icmp", info->icmp);
    network_set_boolean(L, "ipv6", info->ipv6);
    if (info->host_loopback)
        network_set_boolean(L, "host_loopback", true);
    if (info->failed)
        network_set_boolean(L, "failed", true);
    lua_createtable(L, (int)info->dns_count, 0);
    for (size_t i = 0; i < info->dns_count; i++) {
        lua_pushstring(L, info->dns[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "dns");
    lua_createtable(L, (int)info->forward_count, 0);
    for (size_t i = 0; i < info->forward_count; i++) {
        push_forward(L, &info->forwards[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "forwards");
    return 1;
}

const luaL_Reg network_uplink_functions[] = {
    {"net_enable_uplink", net_enable_uplink},
    {"net_disable_uplink", net_disable_uplink},
    {"net_uplink", net_uplink},
    {NULL, NULL},
};
