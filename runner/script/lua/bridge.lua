-- Bridge and Nic (spec: network). What a bridge does is the switch's; here are the arguments, names and VMs.
-- Loaded with (core); returns {new, is, vm_moved}.
local core = ...

local bridges = {}
local methods, nic_methods = {}, {}
local meta, nic_meta = {__index = methods, __name = "bridge"}, {__index = nic_methods, __name = "nic"}
local fields = setmetatable({}, {__mode = "k"})     -- bridge → {id, name, lab, members = {name → vm or false}, nics}
local nic_fields = setmetatable({}, {__mode = "k"}) -- nic → {bridge, vm}
local of_vm = setmetatable({}, {__mode = "k"})      -- vm → array of bridges in attach order
local captured = setmetatable({}, {__mode = "k"})   -- stream of a capture → {bridge fields, name of the member or nil}

local function of(bridge, call)
    local f = fields[bridge]
    if not f then error(("bridge:%s: expected a bridge (got %s); call it with a colon"):format(call, type(bridge)), 3) end
    if f.closed then error(("bridge:%s: bridge `%s` is closed"):format(call, f.name), 3) end
    return f
end

-- Calls the switch; its words get the call in front and the caller's place.
local function ask(call, fn, ...)
    local results = table.pack(pcall(fn, ...))
    if not results[1] then error(("bridge:%s: %s"):format(call, results[2]), 3) end
    return table.unpack(results, 2, results.n)
end

-- Name and VM of an argument that may be either.
local function endpoint(call, f, value, position)
    if core.kind(value) == "vm" then return value:name(), value end
    if type(value) == "string" then
        local ok, vm = pcall(function() return f.lab:vm(value) end)
        return value, ok and vm or nil
    end
    error(("bridge:%s: %s is a %s; expected a VM or a VM name"):format(call, position or "argument", type(value)), 3)
end

local function name_of(call, f, value) return (endpoint(call, f, value)) end

local OPTIONS = {subnet = true, mtu = true, configure = true, dhcp = true, dns = true}

local function check_keys(call, t, accepted, level)
    for key in pairs(t) do
        if not accepted[key] then
            local list = {}
            for name in pairs(accepted) do list[#list + 1] = name end
            table.sort(list)
            error(('%s: unknown key "%s" (accepted: %s)'):format(call, tostring(key), table.concat(list, ", ")), level + 1)
        end
    end
end

function bridges.is(value) return fields[value] ~= nil end

function bridges.new(lab, name, opts)
    opts = opts or {}
    if type(opts) ~= "table" then error(("lab:bridge: opts must be a table (got %s)"):format(type(opts)), 3) end
    check_keys("lab:bridge", opts, OPTIONS, 3)
    local id = ask("new", core.net_bridge, name, opts)
    local bridge = core.object(meta)
    fields[bridge] = {id = id, name = name, lab = lab, members = {}, nics = {}, opts = opts}
    core.scope_add("bridge", bridge)
    return bridge
end

-- An existing bridge asked for with options: they must agree.
function bridges.agree(bridge, opts)
    for key, value in pairs(opts or {}) do
        if fields[bridge].opts[key] ~= value then
            error(("lab:bridge: bridge `%s` exists with another %s"):format(fields[bridge].name, tostring(key)), 3)
        end
    end
end

--------------------------------------------------------------------------------------------------------- membership

-- Configures the booted VMs among a bridge's members anew.
local function refresh(f)
    for _, vm in pairs(f.members) do
        if vm and vm:state() == "booted" then core.vm_configure(vm) end
    end
end

local function remember(vm, bridge)
    of_vm[vm] = of_vm[vm] or {}
    for _, known in ipairs(of_vm[vm]) do
        if known == bridge then return end
    end
    table.insert(of_vm[vm], bridge)
end

function methods.attach(bridge, what)
    local f = of(bridge, "attach")
    local list = type(what) == "table" and what or {what}
    local wanted = {}
    for i, item in ipairs(list) do
        local name, vm = endpoint("attach", f, item, type(what) == "table" and "element " .. i or nil)
        if vm and vm:state() == "paused" then
            error(('bridge:attach: vm "%s" is paused; resume it first'):format(name), 2)
        end
        local known = f.members[name]
        if known and vm and known ~= vm then
            error(('bridge:attach: another VM named "%s" is a member of bridge `%s`'):format(name, f.name), 2)
        end
        wanted[i] = {name = name, vm = vm}
    end
    ask("attach", core.net_attach, f.id, wanted)
    for _, item in ipairs(wanted) do
        f.members[item.name] = item.vm or f.members[item.name] or false
        if item.vm then
            remember(item.vm, bridge)
            ask("attach", core.vm_plug, item.vm, f.id)
        end
    end
    refresh(f)
    return bridge
end

function methods.detach(bridge, who, opts)
    local f = of(bridge, "detach")
    if opts ~= nil then check_keys("bridge:detach", opts, {unplug = true}, 2) end
    local name, vm = endpoint("detach", f, who)
    if f.members[name] == nil then error(('bridge:detach: "%s" is not a member of bridge `%s`'):format(name, f.name), 2) end
    vm = vm or f.members[name] or nil
    ask("detach", core.net_detach, f.id, name)
    f.members[name] = nil
    if vm then
        ask("detach", core.vm_unplug, vm, f.id, opts ~= nil and opts.unplug == true)
        for i, known in ipairs(of_vm[vm] or {}) do
            if known == bridge then table.remove(of_vm[vm], i) break end
        end
    end
    refresh(f)
    return bridge
end

function methods.members(bridge) return ask("members", core.net_members, of(bridge, "members").id) end
function methods.name(bridge) return fields[bridge].name end
function methods.subnet(bridge) return ask("subnet", core.net_info, of(bridge, "subnet").id) end
function methods.stats(bridge) return ask("stats", core.net_stats, of(bridge, "stats").id) end

function methods.close(bridge)
    local f = fields[bridge]
    if f.closed then return end
    f.closed = true
    core.net_close(f.id)
end

------------------------------------------------------------------------------------------- partitions and isolation

local function pair_of(call, f, a, b)
    if type(a) == "table" then
        check_keys("bridge:" .. call, a, {from = true, to = true}, 3)
        return name_of(call, f, a.from), name_of(call, f, a.to), true
    end
    return name_of(call, f, a), name_of(call, f, b), false
end

function methods.partition(bridge, a, b)
    local f = of(bridge, "partition")
    local from, to, directional = pair_of("partition", f, a, b)
    ask("partition", core.net_partition, f.id, from, to, directional)
    return bridge
end

function methods.unpartition(bridge, a, b)
    local f = of(bridge, "unpartition")
    local from, to, directional = pair_of("unpartition", f, a, b)
    ask("unpartition", core.net_unpartition, f.id, from, to, directional)
    return bridge
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

function methods.isolate(bridge, vm)
    local f = of(bridge, "isolate")
    ask("isolate", core.net_isolate, f.id, name_of("isolate", f, vm), true)
    return bridge
end

function methods.unisolate(bridge, vm)
    local f = of(bridge, "unisolate")
    ask("unisolate", core.net_isolate, f.id, name_of("unisolate", f, vm), false)
    return bridge
end

function methods.is_isolated(bridge, vm)
    local f = of(bridge, "is_isolated")
    return ask("is_isolated", core.net_is_isolated, f.id, name_of("is_isolated", f, vm))
end

-------------------------------------------------------------------------------------------------------- impairments

local RATES = {k = 1e3, M = 1e6, G = 1e9}

local function rate(call, value)
    if type(value) == "number" and value >= 0 and value == value then return math.floor(value) end
    local digits, unit = tostring(value):match("^(%d+%.?%d*)([kMG]?)b?i?t?$")
    if not digits then error(('bridge:%s: bad rate %s; say bits per second or "10M"'):format(call, tostring(value)), 3) end
    return math.floor(tonumber(digits) * (RATES[unit] or 1))
end

local function percent(call, key, value)
    if type(value) ~= "number" or value ~= value or value < 0 or value > 100 then
        error(("bridge:%s: %s must be 0 to 100 percent (got %s)"):format(call, key, tostring(value)), 3)
    end
    return value + 0.0
end

local function seconds(call, key, value)
    local ok, result = pcall(core.duration, value)
    if not ok then error(("bridge:%s: %s: %s"):format(call, key, result), 3) end
    return result
end

local IMPAIR = {from = true, to = true, latency = true, jitter = true, loss = true, duplicate = true, reorder = true,
                corrupt = true, rate = true}

local function impair(call, bridge, f, t)
    local rule = {}
    for _, key in ipairs{"from", "to"} do
        if t[key] ~= nil then rule[key] = t[key] == "@gateway" and t[key] or name_of(call, f, t[key]) end
    end
    for _, key in ipairs{"latency", "jitter"} do
        if t[key] ~= nil then rule[key] = t[key] == false and 0.0 or seconds(call, key, t[key]) end
    end
    for _, key in ipairs{"loss", "duplicate", "reorder", "corrupt"} do
        if t[key] ~= nil then rule[key] = t[key] == false and 0.0 or percent(call, key, t[key]) end
    end
    if t.rate ~= nil then rule.rate = t.rate == false and 0 or rate(call, t.rate) end
    ask(call, core.net_impair, f.id, rule)
    return bridge
end

function methods.impair(bridge, t)
    local f = of(bridge, "impair")
    if type(t) ~= "table" then error(("bridge:impair: expected a table (got %s)"):format(type(t)), 2) end
    check_keys("bridge:impair", t, IMPAIR, 2)
    return impair("impair", bridge, f, t)
end

-- Milliseconds as a number, or a duration as text.
local function milliseconds(value) return type(value) == "number" and value / 1000 or value end

function methods.add_latency(bridge, what)
    local f = of(bridge, "add_latency")
    if type(what) ~= "table" then return impair("add_latency", bridge, f, {latency = milliseconds(what)}) end
    check_keys("bridge:add_latency", what, {from = true, to = true, ms = true, jitter_ms = true}, 2)
    return impair("add_latency", bridge, f, {from = what.from, to = what.to, latency = milliseconds(what.ms),
                                             jitter = milliseconds(what.jitter_ms)})
end
methods.add_directional_latency = methods.add_latency

function methods.drop_rate(bridge, what)
    local f = of(bridge, "drop_rate")
    if type(what) ~= "table" then return impair("drop_rate", bridge, f, {loss = what}) end
    check_keys("bridge:drop_rate", what, {from = true, to = true, p = true}, 2)
    return impair("drop_rate", bridge, f, {from = what.from, to = what.to, loss = what.p})
end
methods.directional_drop_rate = methods.drop_rate

function methods.bandwidth_limit(bridge, what)
    local f = of(bridge, "bandwidth_limit")
    if type(what) ~= "table" then return impair("bandwidth_limit", bridge, f, {rate = what}) end
    check_keys("bridge:bandwidth_limit", what, {from = true, to = true, bps = true}, 2)
    return impair("bandwidth_limit", bridge, f, {from = what.from, to = what.to, rate = what.bps})
end

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
    if math.type(n) ~= "integer" then error("bridge:seed: expected an integer", 2) end
    ask("seed", core.net_seed, f.id, n)
    return bridge
end

------------------------------------------------------------------------------------------------------------ routing

local function other_bridges(call, f, what)
    local ids = {}
    for i, other in ipairs(fields[what] and {what} or type(what) == "table" and what or {what}) do
        local g = fields[other]
        if not g then error(("bridge:%s: element %d is a %s; expected a bridge"):format(call, i, type(other)), 3) end
        if g.closed then error(("bridge:%s: bridge `%s` is closed"):format(call, g.name), 3) end
        if g == f then error(("bridge:%s: bridge `%s` itself"):format(call, f.name), 3) end
        ids[i] = g
    end
    return ids
end

function methods.route(bridge, what)
    local f = of(bridge, "route")
    local others, ids = other_bridges("route", f, what), {}
    for i, g in ipairs(others) do ids[i] = g.id end
    ask("route", core.net_route, f.id, ids)
    refresh(f)
    for _, g in ipairs(others) do refresh(g) end
    return bridge
end

function methods.unroute(bridge, other)
    local f = of(bridge, "unroute")
    local g = other_bridges("unroute", f, other)[1]
    ask("unroute", core.net_unroute, f.id, g.id)
    refresh(f)
    refresh(g)
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

-------------------------------------------------------------------------------------------------- captures and NICs

local CAPTURE = {filter = true, precision = true, point = true}

local function capture(call, f, name, label, opts)
    opts = opts or {}
    check_keys(call, opts, CAPTURE, 3)
    if opts.precision ~= nil and opts.precision ~= "us" and opts.precision ~= "ns" then
        error(('%s: precision must be "us" or "ns"'):format(call), 3)
    end
    if opts.point ~= nil and (name or (opts.point ~= "sent" and opts.point ~= "delivered")) then
        error(('%s: point must be "sent" or "delivered", and is for bridges'):format(call), 3)
    end
    local stream = ask("capture", core.net_capture, f.id, name, label, opts.filter, opts.precision == "ns",
                       opts.point == "delivered")
    captured[stream] = {bridge = f, name = name}
    return stream
end

function methods.capture(bridge, opts)
    local f = of(bridge, "capture")
    return capture("bridge:capture", f, nil, f.name, opts)
end

function methods.nic(bridge, who)
    local f = of(bridge, "nic")
    local name, vm = endpoint("nic", f, who)
    if f.members[name] == nil then error(('bridge:nic: "%s" is not a member of bridge `%s`'):format(name, f.name), 2) end
    local nic = f.nics[name]
    if not nic then
        nic = core.object(nic_meta)
        nic_fields[nic] = {bridge = bridge, name = name, vm = vm}
        f.nics[name] = nic
    end
    return nic
end

-- vm:nic("lan"), or "eth<N>", "enp0s<N>", "ens<N>": the N-th of its bridges sorted by name.
function bridges.nic_of(vm, name)
    local list = {}
    for i, bridge in ipairs(of_vm[vm] or {}) do list[i] = bridge end
    table.sort(list, function(a, b) return fields[a].name < fields[b].name end)
    for _, bridge in ipairs(list) do
        if fields[bridge].name == name then return bridge:nic(vm) end
    end
    local index = type(name) == "string" and (name:match("^eth(%d+)$") or name:match("^enp0s(%d+)$") or name:match("^ens(%d+)$"))
    local bridge = index and list[tonumber(index) + 1]
    if bridge then return bridge:nic(vm) end
    local names = {}
    for i, known in ipairs(list) do names[i] = fields[known].name end
    error(('vm "%s": nic: no NIC "%s" (bridges: %s)'):format(vm:name(), tostring(name),
        #names > 0 and table.concat(names, ", ") or "none"), 2)
end

-- vm:ip(bridge?, family?)
function bridges.ip_of(vm, which, family)
    local list = of_vm[vm] or {}
    local bridge = which
    if which == nil then
        bridge = list[1]
    elseif type(which) == "string" then
        bridge = nil
        for _, known in ipairs(list) do
            if fields[known].name == which then bridge = known end
        end
    end
    if not bridge or not fields[bridge] then
        error(('vm "%s": ip: not a member of %s'):format(vm:name(), which == nil and "any bridge" or tostring(which)), 2)
    end
    return ask("ip", core.net_ip, fields[bridge].id, vm:name(), family or 4)
end

local function nic(n, call)
    local g = nic_fields[n]
    if not g then error(("nic:%s: expected a NIC (got %s); call it with a colon"):format(call, type(n)), 3) end
    return g, of(g.bridge, call)
end

function nic_methods.counters(n) local g, f = nic(n, "counters") return ask("counters", core.net_counters, f.id, g.name) end
function nic_methods.vm_name(n) return nic_fields[n].name end
function nic_methods.bridge(n) return fields[nic_fields[n].bridge].name end
function nic_methods.mac(n) local g, f = nic(n, "mac") return ask("mac", core.net_mac, f.id, g.name) end
function nic_methods.ip(n, family) local g, f = nic(n, "ip") return ask("ip", core.net_ip, f.id, g.name, family or 4) end

function nic_methods.disconnect(n)
    local g, f = nic(n, "disconnect")
    ask("disconnect", core.net_set_link, f.id, g.name, false)
    if g.vm then core.vm_set_link(g.vm, f.id, false) end
    return n
end

function nic_methods.reconnect(n)
    local g, f = nic(n, "reconnect")
    ask("reconnect", core.net_set_link, f.id, g.name, true)
    if g.vm then core.vm_set_link(g.vm, f.id, true) end
    return n
end

function nic_methods.capture(n, opts)
    local g, f = nic(n, "capture")
    if not g.vm or (g.vm:state() ~= "booted" and g.vm:state() ~= "paused") then
        error(("nic:capture: vm `%s` has no NIC on bridge `%s` (not booted?). Call lab:boot() / vm:boot() first."):format(
            g.name, f.name), 2)
    end
    return capture("nic:capture", f, g.name, f.name .. ", " .. g.name, opts)
end

core.class("bridge", methods)
core.class("nic", nic_methods)

function meta.__tostring(bridge) return ("bridge `%s`"):format(fields[bridge].name) end
function nic_meta.__tostring(n) return ("nic of %s on `%s`"):format(nic_fields[n].name, fields[nic_fields[n].bridge].name) end

-- A VM is about to boot: names that were attached before it existed become it.
function bridges.bind(vm, lab_sees)
    for bridge, f in pairs(fields) do
        if not f.closed and f.members[vm:name()] == false and lab_sees(f.lab) then
            f.members[vm:name()] = vm
            ask("attach", core.net_attach, f.id, {{name = vm:name(), vm = vm}})
            remember(vm, bridge)
            core.vm_plug(vm, f.id)
        end
    end
end

------------------------------------------------------------------------------------------------ for lua/snapshot.lua

-- {[id] = name} of the open bridges.
function bridges.names()
    local out = {}
    for _, f in pairs(fields) do
        if not f.closed then out[f.id] = f.name end
    end
    return out
end

-- Is the stream a capture on a bridge or a NIC of one of these VMs (a set)?
function bridges.captures(stream, vms)
    local capture = captured[stream]
    for name, vm in pairs(capture and capture.bridge.members or {}) do
        if vms[vm] and (not capture.name or capture.name == name) then return true end
    end
    return false
end

-- The VM is a member of the bridge, with that link; returns the bridge's id.
function bridges.put_back(bridge, vm, link)
    local f = of(bridge, "attach")
    ask("attach", core.net_attach, f.id, {{name = vm:name(), vm = vm}})
    f.members[vm:name()] = vm
    remember(vm, bridge)
    ask("attach", core.net_set_link, f.id, vm:name(), link)
    return f.id
end

-- The address of a VM on the bridge of that name, or nil.
function bridges.ip_on(vm, name)
    for _, bridge in ipairs(of_vm[vm] or {}) do
        if fields[bridge].name == name then return core.net_ip(fields[bridge].id, vm:name(), 4) end
    end
end

-- What a snapshot keeps of a bridge. `saved` is what the switch reads; the rest is for people.
function bridges.save(bridge)
    local f = of(bridge, "snapshot")
    local members, partitions, isolated = {}, {}, {}
    for name in pairs(f.members) do members[#members + 1] = name end
    table.sort(members)
    for _, from in ipairs(members) do
        if ask("snapshot", core.net_is_isolated, f.id, from) then isolated[#isolated + 1] = from end
        for _, to in ipairs(members) do
            if from ~= to and ask("snapshot", core.net_is_partitioned, f.id, from, to) then
                partitions[#partitions + 1] = {from = from, to = to}
            end
        end
    end
    return {name = f.name, options = f.opts, members = members, partitions = partitions, isolated = isolated,
            impairments = bridge:impairments(), routes = bridge:routes(), saved = ask("snapshot", core.net_save, f.id)}
end

-- Raises when a VM that runs on would lose its network by bridges.replace.
function bridges.check_replace(call, bridge, concerned)
    for name, vm in pairs(fields[bridge].members) do
        if vm and not concerned[vm] and (vm:state() == "booted" or vm:state() == "paused") then
            error(('%s: vm "%s" runs on bridge `%s`, whose state is to be replaced; shut it down or detach it first')
                :format(call, name, fields[bridge].name), 0)
        end
    end
end

-- The bridge becomes what it was when `record` was saved, with these VMs (by name) as members; none of them runs.
function bridges.replace(bridge, record, vms)
    local f, list = fields[bridge], {}
    for i, name in ipairs(record.members) do list[i] = {name = name, vm = vms[name]} end
    local id = ask("restore", core.net_load, record.saved, list)
    for _, vm in pairs(f.closed and {} or f.members) do
        if vm then
            core.vm_unplug(vm, f.id, true)
            for i, known in ipairs(of_vm[vm]) do
                if known == bridge then table.remove(of_vm[vm], i) break end
            end
        end
    end
    if not f.closed then core.net_close(f.id) end
    f.id, f.closed, f.opts, f.members = id, false, record.options, {}
    ask("restore", core.net_attach, id, list)
    for _, item in ipairs(list) do
        f.members[item.name] = item.vm or false
        if item.vm then remember(item.vm, bridge) end
    end
end

-- NICs of a running VM that its machine has not.
function bridges.plug_missing(vm)
    for _, bridge in ipairs(of_vm[vm] or {}) do core.vm_plug_missing(vm, fields[bridge].id) end
end

return bridges
