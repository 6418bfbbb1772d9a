/* Between the switch's client (runner/network) and lua/bridge.lua: what is asked of bridges. The switch process starts
 * with the first bridge. */
#include "script/network.h"

#include <string.h>

#include "base/alloc.h"
#include "script/argument.h"

struct network *network_of(lua_State *L)
{
    struct script *s = script_of(L);
    struct err e = ERR_INIT;
    if (!s->network)
        s->network = network_start(s->loop, s->settings->uplink ? steal_fd(s->settings->uplink) : -1, &e);
    if (!s->network)
        raise_err(L, &e);
    return s->network;
}

uint32_t network_check_bridge(lua_State *L)
{
    return (uint32_t)luaL_checkinteger(L, 1);
}

/* The end of every call: raises the bare words, bridge.lua adds the rest. */
int network_finish(lua_State *L, int failed, struct err *e)
{
    if (!failed)
        return 0;
    lua_pushfstring(L, "%s%s%s", err_message(e), e->hint ? "; " : "", e->hint ? e->hint : "");
    err_clear(e);
    return lua_error(L);
}

void network_set_text(lua_State *L, const char *key, const char *text)
{
    if (!*text)
        return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, key);
}

void network_set_number(lua_State *L, const char *key, uint64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, key);
}

static struct vm_object *vm_field(lua_State *L)
{
    lua_getfield(L, -1, "vm");
    struct vm_object *o = luaL_testudata(L, -1, "vm");
    lua_pop(L, 1);
    return o;
}

struct member_request *network_read_members(lua_State *L, int index)
{
    size_t n = lua_rawlen(L, index);
    struct member_request *requests = lua_newuserdatauv(L, (n + 1) * sizeof(*requests), 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        struct vm_object *o = vm_field(L);
        lua_getfield(L, -1, "name");
        requests[i] = (struct member_request){.name = lua_tostring(L, -1), .vm = o ? o->number : 0};
        lua_pop(L, 2);
    }
    return requests;
}

void network_set_boolean(lua_State *L, const char *key, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, key);
}

/* ------------------------------------------------------------------------------------------------- bridges */

static enum toggle option_toggle(lua_State *L, const char *key)
{
    enum toggle value = TOGGLE_DEFAULT;
    if (lua_getfield(L, 2, key) == LUA_TSTRING && !strcmp(lua_tostring(L, -1), "force"))
        value = TOGGLE_FORCE;
    else if (lua_isboolean(L, -1))
        value = lua_toboolean(L, -1) ? TOGGLE_ON : TOGGLE_OFF;
    else if (!lua_isnil(L, -1))
        raise_format(L, "%s must be true or false", key);
    lua_pop(L, 1);
    return value;
}

/* core.net_bridge(name, options) → id */
static int net_bridge(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    struct bridge_options options = {.dhcp = option_toggle(L, "dhcp"), .dns = option_toggle(L, "dns")};
    struct bridge_info info;
    struct err e = ERR_INIT;
    bool configure = true;
    int64_t mtu = 0;
    option_boolean(L, 2, "lab:bridge", "configure", &configure);
    options.raw = !configure;
    if (option_integer(L, 2, "lab:bridge", "mtu", &mtu) && (mtu < 68 || mtu > 65535))
        return raise_format(L, "mtu must be 68 to 65535");
    options.mtu = (unsigned)mtu;
    if (lua_getfield(L, 2, "subnet") == LUA_TTABLE) {
        option_string(L, -1, "lab:bridge: subnet", "v4", &options.subnet4, NULL);
        option_string(L, -1, "lab:bridge: subnet", "v6", &options.subnet6, NULL);
    } else if (!lua_isnil(L, -1)) {
        options.subnet4 = luaL_checkstring(L, -1);
    }
    network_finish(L, network_bridge_new(network_of(L), name, &options, &info, &e), &e);
    lua_pushinteger(L, info.id);
    return 1;
}

static int net_close(lua_State *L)
{
    struct err e = ERR_INIT;
    return network_finish(L, network_bridge_close(network_of(L), network_check_bridge(L), &e), &e);
}

static int net_info(lua_State *L)
{
    struct err e = ERR_INIT;
    struct bridge_info info;
    network_finish(L, network_bridge_info(network_of(L), network_check_bridge(L), &info, &e), &e);
    lua_newtable(L);
    network_set_text(L, "v4", info.subnet4);
    network_set_text(L, "v6", info.subnet6);
    network_set_text(L, "gateway", info.gateway4);
    network_set_text(L, "gateway6", info.gateway6);
    network_set_number(L, "mtu", info.mtu);
    return 1;
}

static int net_stats(lua_State *L)
{
    struct err e = ERR_INIT;
    struct bridge_stats st;
    network_finish(L, network_bridge_stats(network_of(L), network_check_bridge(L), &st, &e), &e);
    lua_newtable(L);
    const struct {
        const char *key;
        uint64_t value;
    } all[] = {{"frames", st.frames},
               {"bytes", st.bytes},
               {"delivered", st.delivered},
               {"duplicated", st.duplicated},
               {"corrupted", st.corrupted},
               {"reordered", st.reordered},
               {"errors", st.errors},
               {"dropped_link", st.dropped_link},
               {"dropped_isolation", st.dropped_isolation},
               {"dropped_partition", st.dropped_partition},
               {"dropped_loss", st.dropped_loss},
               {"dropped_queue", st.dropped_queue}};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        network_set_number(L, all[i].key, all[i].value);
    return 1;
}

/* ------------------------------------------------------------------------------------------------- members */

/* core.net_attach(id, {{name=, vm=}, …}) */
static int net_attach(lua_State *L)
{
    struct err e = ERR_INIT;
    uint32_t id = network_check_bridge(L);
    size_t n = lua_rawlen(L, 2);
    struct member_request *requests = network_read_members(L, 2);
    struct member_info *infos = lua_newuserdatauv(L, (n + 1) * sizeof(*infos), 0);
    network_finish(L, network_attach(network_of(L), id, requests, n, infos, &e), &e);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        struct vm_object *o = vm_field(L);
        if (o)
            network_note_nic(o, id, &infos[i]);
        lua_pop(L, 1);
    }
    return 0;
}

static int net_detach(lua_State *L)
{
    struct err e = ERR_INIT;
    return network_finish(L, network_detach(network_of(L), network_check_bridge(L), luaL_checkstring(L, 2), &e), &e);
}

static int net_members(lua_State *L)
{
    struct err e = ERR_INIT;
    struct member_info *members = NULL;
    size_t n = 0;
    network_finish(L, network_members(network_of(L), network_check_bridge(L), &members, &n, &e), &e);
    lua_createtable(L, (int)n, 0);
    lua_Integer at = 0;
    for (size_t i = 0; i < n; i++) {
        if (!members[i].link)
            continue;
        lua_pushstring(L, members[i].name);
        lua_rawseti(L, -2, ++at);
    }
    free(members);
    return 1;
}

static void member(lua_State *L, struct member_info *ret)
{
    struct err e = ERR_INIT;
    network_finish(L, network_member(network_of(L), network_check_bridge(L), luaL_checkstring(L, 2), ret, &e), &e);
}

static int net_mac(lua_State *L)
{
    struct member_info info;
    member(L, &info);
    lua_pushstring(L, info.mac_text);
    return 1;
}

/* core.net_ip(id, member, family) → address or nil */
static int net_ip(lua_State *L)
{
    struct member_info info;
    member(L, &info);
    const char *text = luaL_checkinteger(L, 3) == 6 ? info.ip6 : info.ip4;
    if (!*text)
        return 0;
    lua_pushstring(L, text);
    return 1;
}

static int net_link(lua_State *L)
{
    struct member_info info;
    member(L, &info);
    lua_pushboolean(L, info.link);
    return 1;
}

static int net_set_link(lua_State *L)
{
    struct err e = ERR_INIT;
    return network_finish(L, network_set_link(network_of(L), network_check_bridge(L), luaL_checkstring(L, 2), lua_toboolean(L, 3), &e), &e);
}

static int net_counters(lua_State *L)
{
    struct err e = ERR_INIT;
    struct nic_counters c;
    network_finish(L, network_nic_counters(network_of(L), network_check_bridge(L), luaL_checkstring(L, 2), &c, &e), &e);
    lua_newtable(L);
    network_set_number(L, "rx_bytes", c.rx_bytes);
    network_set_number(L, "tx_bytes", c.tx_bytes);
    network_set_number(L, "rx_packets", c.rx_packets);
    network_set_number(L, "tx_packets", c.tx_packets);
    network_set_number(L, "errors", c.errors);
    network_set_number(L, "dropped", c.dropped);
    return 1;
}

/* ------------------------------------------------------------------------------------------------- what a link does */

static int net_partition(lua_State *L)
{
    struct err e = ERR_INIT;
    return network_finish(L, network_partition(network_of(L), network_check_bridge(L), luaL_checkstring(L, 2), luaL_checkstring(L, 3),
                                       lua_toboolean(L, 4), &e), &e);
}

static int net_unpartition(lua_State *L)
{
    struct err e = ERR_INIT;
    return network_finish(L, network_unpartition(network_of(L), network_check_bridge(L), luaL_checkstring(L, 2), luaL_checkstring(L, 3),
                                         lua_toboolean(L, 4), &e), &e);
}

static int net_partition_all(lua_State *L)
{
    struct err e = ERR_INIT;
    return network_finish(L, network_partition_all(network_of(L), network_check_bridge(L), &e), &e);
}

static int net_restore_all(lua_State *L)
{
    struct err e = ERR_INIT;
    return network_finish(L, network_restore_all(network_of(L), network_check_bridge(L), &e), &e);
}

static int push_answer(lua_State *L, int answer, struct err *e)
{
    network_finish(L, answer < 0, e);
    lua_pushboolean(L, answer);
    return 1;
}

static int net_is_partitioned(lua_State *L)
{
    struct err e = ERR_INIT;
    return push_answer(L, network_is_partitioned(network_of(L), network_check_bridge(L), luaL_checkstring(L, 2),
                                                 luaL_checkstring(L, 3), &e), &e);
}

static int net_isolate(lua_State *L)
{
    struct err e = ERR_INIT;
    return network_finish(L, network_isolate(network_of(L), network_check_bridge(L), luaL_checkstring(L, 2), lua_toboolean(L, 3), &e), &e);
}

static int net_is_isolated(lua_State *L)
{
    struct err e = ERR_INIT;
    return push_answer(L, network_is_isolated(network_of(L), network_check_bridge(L), luaL_checkstring(L, 2), &e), &e);
}

static double field_number(lua_State *L, const char *key, unsigned bit, unsigned *set)
{
    double value = 0;
    if (lua_getfield(L, 2, key) != LUA_TNIL) {
        value = lua_tonumber(L, -1);
        *set |= bit;
    }
    lua_pop(L, 1);
    return value;
}

/* core.net_impair(id, rule): times in seconds, rate in bits per second */
static int net_impair(lua_State *L)
{
    struct err e = ERR_INIT;
    struct impairment rule = {0};
    luaL_checktype(L, 2, LUA_TTABLE);
    option_string(L, 2, "impair", "from", &rule.from, NULL);
    option_string(L, 2, "impair", "to", &rule.to, NULL);
    rule.latency = (int64_t)(field_number(L, "latency", IMPAIR_LATENCY, &rule.set) * 1e9 + 0.5);
    rule.jitter = (int64_t)(field_number(L, "jitter", IMPAIR_JITTER, &rule.set) * 1e9 + 0.5);
    rule.loss = field_number(L, "loss", IMPAIR_LOSS, &rule.set);
    rule.duplicate = field_number(L, "duplicate", IMPAIR_DUPLICATE, &rule.set);
    rule.reorder = field_number(L, "reorder", IMPAIR_REORDER, &rule.set);
    rule.corrupt = field_number(L, "corrupt", IMPAIR_CORRUPT, &rule.set);
    rule.rate = (uint64_t)field_number(L, "rate", IMPAIR_RATE, &rule.set);
    return network_finish(L, network_impair(network_of(L), network_check_bridge(L), &rule, &e), &e);
}

static void set_float(lua_State *L, const char *key, double value, bool present)
{
    if (!present)
        return;
    lua_pushnumber(L, value);
    lua_setfield(L, -2, key);
}

static int net_impairments(lua_State *L)
{
    struct err e = ERR_INIT;
    struct impairment *rules = NULL;
    size_t n = 0;
    network_finish(L, network_impairments(network_of(L), network_check_bridge(L), &rules, &n, &e), &e);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        const struct impairment *r = &rules[i];
        lua_newtable(L);
        network_set_text(L, "from", r->from ? r->from : "");
        network_set_text(L, "to", r->to ? r->to : "");
        set_float(L, "latency", (double)r->latency / 1e9, r->set & IMPAIR_LATENCY);
        set_float(L, "jitter", (double)r->jitter / 1e9, r->set & IMPAIR_JITTER);
        set_float(L, "loss", r->loss, r->set & IMPAIR_LOSS);
        set_float(L, "duplicate", r->duplicate, r->set & IMPAIR_DUPLICATE);
        set_float(L, "reorder", r->reorder, r->set & IMPAIR_REORDER);
        set_float(L, "corrupt", r->corrupt, r->set & IMPAIR_CORRUPT);
        if (r->set & IMPAIR_RATE)
            network_set_number(L, "rate", r->rate);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    impairments_free(rules, n);
    return 1;
}

static int net_seed(lua_State *L)
{
    struct err e = ERR_INIT;
    return network_finish(L, network_seed(network_of(L), network_check_bridge(L), luaL_checkinteger(L, 2), &e), &e);
}

static int net_reset(lua_State *L)
{
    struct err e = ERR_INIT;
    return network_finish(L, network_reset(network_of(L), network_check_bridge(L), &e), &e);
}

static int net_route(lua_State *L)
{
    struct err e = ERR_INIT;
    uint32_t others[64];
    size_t n = lua_rawlen(L, 2);
    if (n > ARRAY_SIZE(others))
        return luaL_error(L, "more than %d bridges", (int)ARRAY_SIZE(others));
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        others[i] = (uint32_t)lua_tointeger(L, -1);
        lua_pop(L, 1);
    }
    return network_finish(L, network_route(network_of(L), network_check_bridge(L), others, n, &e), &e);
}

static int net_unroute(lua_State *L)
{
    struct err e = ERR_INIT;
    return network_finish(L, network_unroute(network_of(L), network_check_bridge(L), (uint32_t)luaL_checkinteger(L, 2), &e), &e);
}

static int net_routes(lua_State *L)
{
    struct err e = ERR_INIT;
    uint32_t *ids = NULL;
    size_t n = 0;
    network_finish(L, network_routes(network_of(L), network_check_bridge(L), &ids, &n, &e), &e);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushinteger(L, ids[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    free(ids);
    return 1;
}

void network_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"net_bridge", net_bridge},
        {"net_close", net_close},
        {"net_info", net_info},
        {"net_stats", net_stats},
        {"net_attach", net_attach},
        {"net_detach", net_detach},
        {"net_members", net_members},
        {"net_mac", net_mac},
        {"net_ip", net_ip},
        {"net_link", net_link},
        {"net_set_link", net_set_link},
        {"net_counters", net_counters},
        {"net_partition", net_partition},
        {"net_unpartition", net_unpartition},
        {"net_partition_all", net_partition_all},
        {"net_restore_all", net_restore_all},
        {"net_is_partitioned", net_is_partitioned},
        {"net_isolate", net_isolate},
        {"net_is_isolated", net_is_isolated},
        {"net_impair", net_impair},
        {"net_impairments", net_impairments},
        {"net_seed", net_seed},
        {"net_reset", net_reset},
        {"net_route", net_route},
        {"net_unroute", net_unroute},
        {"net_routes", net_routes},
        {NULL, NULL},
    };
    luaL_setfuncs(L, functions, 0);
    luaL_setfuncs(L, network_vm_functions, 0);
    luaL_setfuncs(L, network_uplink_functions, 0);
    luaL_setfuncs(L, network_capture_functions, 0);
    luaL_getmetatable(L, "stream");
    lua_getfield(L, -1, "__index");
    lua_pushcfunction(L, network_capture_stats_binding);
    lua_setfield(L, -2, "stats");
    lua_pop(L, 2);
}
