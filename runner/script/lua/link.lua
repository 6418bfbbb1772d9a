-- Bridge (spec: network): what passes between the members. Loaded with (core, bridges).
local core, bridges = ...
local methods, fields, of, ask = bridges.methods, bridges.fields, bridges.of, bridges.ask
local fail_in, check_keys, refresh = bridges.fail_in, bridges.check_keys, bridges.refresh

local function name_of(call, f, value) return (bridges.endpoint(call, f, value)) end

------------------------------------------------------------------------------------------- partitions and isolation

local function pair_of(call, f, a, b)
    if type(a) == "table" then
        check_keys("bridge:" .. call, a, {from = true, to = true})
        return name_of(call, f, a.from), name_of(call, f, a.to), true
    end
    return name_of(call, f, a), name_of(call, f, b), false
end

for _, call in ipairs{"partition", "unpartition"} do
    methods[call] = function(bridge, a, b)
        local f = of(bridge, call)
        ask(call, core["net_" .. call], f.id, pair_of(call, f, a, b))
        return bridge
    end
end

for _, call in ipairs{"partition_all", "restore_all", "reset"} do
    methods[call] = function(bridge)
        ask(call, core["net_" .. call], of(bridge, call).id)
        return bridge
    end
end

function methods.is_partitioned(bridge, a, b)
    local f = of(bridge, "is_partitioned")
    return ask("is_partitioned", core.net_is_partitioned, f.id, name_of("is_partitioned", f, a), name_of("is_partitioned", f, b))
end

for call, on in pairs{isolate = true, unisolate = false} do
    methods[call] = function(bridge, vm)
        local f = of(bridge, call)
        ask(call, core.net_isolate, f.id, name_of(call, f, vm), on)
        return bridge
    end
end

function methods.is_isolated(bridge, vm)
    local f = of(bridge, "is_isolated")
    return ask("is_isolated", core.net_is_isolated, f.id, name_of("is_isolated", f, vm))
end

-------------------------------------------------------------------------------------------------------- impairments

local RATES = {k = 1e3, M = 1e6, G = 1e9}

local function rate(call, key, value)
    local number = value
    if type(value) == "string" then
        local digits, unit = value:match("^(%d+%.?%d*)([kMG]?)$")
        if not digits then digits, unit = value:match("^(%d+%.?%d*)([kMG]?)bit$") end
        number = digits and tonumber(digits) * (RATES[unit] or 1)
    end
    if type(number) ~= "number" or not (number >= 0 and number < 2^53) then
        fail_in(call, '%s: bad rate %s; say bits per second or "10M"', key, tostring(value))
    end
    return math.floor(number)
end

local function percent(call, key, value)
    if type(value) ~= "number" or value ~= value or value < 0 or value > 100 then
        fail_in(call, "%s must be 0 to 100 percent (got %s)", key, tostring(value))
    end
    return value + 0.0
end

local function seconds(call, key, value)
    local ok, result = pcall(core.duration, value)
    if not ok then fail_in(call, "%s: %s", key, tostring(result)) end
    return result
end

local KNOBS = {latency = seconds, jitter = seconds, loss = percent, duplicate = percent, reorder = percent,
               corrupt = percent, rate = rate}
local IMPAIR = {from = true, to = true}
for key in pairs(KNOBS) do IMPAIR[key] = true end

local function impair(call, bridge, f, t)
    local rule = {}
    for _, key in ipairs{"from", "to"} do
        if t[key] ~= nil then rule[key] = t[key] == "@gateway" and t[key] or name_of(call, f, t[key]) end
    end
    for key, check in pairs(KNOBS) do
        if t[key] ~= nil then rule[key] = t[key] == false and 0 or check(call, key, t[key]) end
    end
    ask(call, core.net_impair, f.id, rule)
    return bridge
end

function methods.impair(bridge, t)
    local f = of(bridge, "impair")
    check_keys("bridge:impair", t, IMPAIR)
    return impair("impair", bridge, f, t)
end

-- Milliseconds as a number, or a duration as text.
local function milliseconds(value) return type(value) == "number" and value / 1000 or value end
local function same(value) return value end

-- A call about one knob: of the whole bridge, or with a table of one pair.
local function single(call, knob, key, convert, extra)
    local accepted = {from = true, to = true, [key] = true, [extra] = true}
    methods[call] = function(bridge, what)
        local f = of(bridge, call)
        local t = type(what) == "table" and what or {[key] = what}
        check_keys("bridge:" .. call, t, accepted)
        if t[key] == nil then fail_in(call, "%s is missing", key) end
        return impair(call, bridge, f, {from = t.from, to = t.to, [knob] = convert(t[key]), jitter = milliseconds(t.jitter_ms)})
    end
end

single("add_latency", "latency", "ms", milliseconds, "jitter_ms")
single("drop_rate", "loss", "p", same, "p")
single("bandwidth_limit", "rate", "bps", same, "bps")
methods.add_directional_latency = methods.add_latency
methods.directional_drop_rate = methods.drop_rate

function methods.impairments(bridge) return ask("impairments", core.net_impairments, of(bridge, "impairments").id) end

local function whole_bridge(bridge, call, key)
    for _, rule in ipairs(ask(call, core.net_impairments, of(bridge, call).id)) do
        if rule.from == nil and rule.to == nil then return rule[key] end
    end
end

function methods.latency_ms(bridge) return (whole_bridge(bridge, "latency_ms", "latency") or 0) * 1000 end
function methods.drop_rate_pct(bridge) return whole_bridge(bridge, "drop_rate_pct", "loss") or 0 end
function methods.bandwidth_bps(bridge) return whole_bridge(bridge, "bandwidth_bps", "rate") end

function methods.seed(bridge, n)
    local f = of(bridge, "seed")
    if math.type(n) ~= "integer" then fail_in("seed", "expected an integer (got %s)", tostring(n)) end
    ask("seed", core.net_seed, f.id, n)
    return bridge
end

------------------------------------------------------------------------------------------------------------ routing

local function other_bridges(call, f, what)
    local list = {}
    for i, other in ipairs(type(what) == "table" and what or {what}) do
        local g = fields[other]
        if not g then fail_in(call, "element %d is a %s; expected a bridge", i, type(other)) end
        if g.closed then fail_in(call, "bridge `%s` is closed", g.name) end
        if g == f then fail_in(call, "bridge `%s` itself", f.name) end
        list[i] = g
    end
    if #list == 0 then fail_in(call, "expected a bridge or a list of them (got %s)", type(what)) end
    return list
end

function methods.route(bridge, what)
    local f = of(bridge, "route")
    local others, ids, seen = other_bridges("route", f, what), {}, {}
    for i, g in ipairs(others) do ids[i] = g.id end
    ask("route", core.net_route, f.id, ids)
    refresh(f, seen)
    for _, g in ipairs(others) do refresh(g, seen) end
    return bridge
end

function methods.unroute(bridge, other)
    local f, seen = of(bridge, "unroute"), {}
    local g = other_bridges("unroute", f, other)[1]
    ask("unroute", core.net_unroute, f.id, g.id)
    refresh(f, seen)
    refresh(g, seen)
    return bridge
end

function methods.routes(bridge)
    local names = {}
    for _, id in ipairs(ask("routes", core.net_routes, of(bridge, "routes").id)) do
        for _, f in pairs(fields) do
            if f.id == id then names[#names + 1] = f.name end
        end
    end
    return names
end

------------------------------------------------------------------------------------------------------------- uplink

local FORWARD = {host = true, guest = true, vm = true, proto = true, bind = true}

local function port(position, forward, key, lowest)
    local value = forward[key]
    if math.type(value) ~= "integer" or value < lowest or value > 65535 then
        fail_in("enable_uplink", "%s: %s must be a port of %d to 65535 (got %s)", position, key, lowest, tostring(value))
    end
    return value
end

local function forwards(f, list)
    if type(list) ~= "table" then fail_in("enable_uplink", "forward must be a list (got %s)", type(list)) end
    local out = {}
    for i, forward in ipairs(list) do
        local position = ("forward %d"):format(i)
        check_keys("bridge:enable_uplink: " .. position, forward, FORWARD)
        if forward.proto ~= nil and forward.proto ~= "tcp" and forward.proto ~= "udp" then
            fail_in("enable_uplink", '%s: proto must be "tcp" or "udp" (got %s)', position, tostring(forward.proto))
        end
        local bind = forward.bind == nil and "127.0.0.1" or forward.bind
        if type(bind) ~= "string" then fail_in("enable_uplink", "%s: bind must be an address", position) end
        out[i] = {host = port(position, forward, "host", 0), guest = port(position, forward, "guest", 1),
                  vm = name_of("enable_uplink", f, forward.vm), proto = forward.proto or "tcp", bind = bind}
    end
    return out
end

function methods.enable_uplink(bridge, opts)
    local f = of(bridge, "enable_uplink")
    opts = opts == nil and {} or opts
    check_keys("bridge:enable_uplink", opts, {host_loopback = true, forward = true})
    if opts.host_loopback ~= nil and type(opts.host_loopback) ~= "boolean" then
        fail_in("enable_uplink", "host_loopback must be true or false")
    end
    ask("enable_uplink", core.net_enable_uplink, f.id, opts.host_loopback == true, forwards(f, opts.forward or {}))
    refresh(f)
    return bridge
end

function methods.disable_uplink(bridge)
    local f = of(bridge, "disable_uplink")
    if ask("disable_uplink", core.net_disable_uplink, f.id) then refresh(f) end
    return bridge
end

function methods.uplink(bridge) return ask("uplink", core.net_uplink, of(bridge, "uplink").id) end
