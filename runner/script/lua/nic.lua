-- Nic, captures, and what a VM says of its NICs (spec: network). Loaded with (core, bridges).
local core, bridges = ...
local bridge_methods, fields, of, ask = bridges.methods, bridges.fields, bridges.of, bridges.ask
local fail, fail_in = bridges.fail, bridges.fail_in

local methods = {}
local meta = {__index = methods, __name = "nic"}
local nic_fields = setmetatable({}, {__mode = "k"}) -- nic → {bridge, name}

----------------------------------------------------------------------------------------------------------- captures

local NIC_CAPTURE = {filter = true, precision = true, file = true}
local BRIDGE_CAPTURE = {filter = true, precision = true, point = true, file = true}

local function check_text(call, opts, key)
    if opts[key] ~= nil and type(opts[key]) ~= "string" then
        fail("%s: %s must be a string (got %s)", call, key, type(opts[key]))
    end
end

local function capture(call, f, name, label, opts)
    check_text(call, opts, "filter")
    check_text(call, opts, "file")
    if opts.precision ~= nil and opts.precision ~= "us" and opts.precision ~= "ns" then
        fail('%s: precision must be "us" or "ns"', call)
    end
    if opts.point ~= nil and opts.point ~= "sent" and opts.point ~= "delivered" then
        fail('%s: point must be "sent" or "delivered"', call)
    end
    local stream = ask(call, core.net_capture, f.id, name, label, opts.filter, opts.precision == "ns",
                       opts.point == "delivered", opts.file)
    bridges.captured[stream] = {bridge = f, name = name}
    return stream
end

function bridge_methods.capture(bridge, opts)
    local f = of(bridge, "capture")
    opts = opts == nil and {} or opts
    bridges.check_keys("bridge:capture", opts, BRIDGE_CAPTURE)
    return capture("bridge:capture", f, nil, f.name, opts)
end

--------------------------------------------------------------------------------------------------------------- NICs

local function names_of_bridges(vm)
    local names = {}
    for i, bridge in ipairs(bridges.of_vm(vm)) do names[i] = fields[bridge].name end
    return #names > 0 and table.concat(names, ", ") or "none"
end

function bridge_methods.nic(bridge, who)
    local f = of(bridge, "nic")
    local name, vm = bridges.endpoint("nic", f, who)
    local member = f.members[name]
    if member == nil or (core.kind(who) == "vm" and member ~= who) then
        fail_in("nic", '"%s" is not a member of bridge `%s` (its bridges: %s)', name, f.name, vm and names_of_bridges(vm) or "none")
    end
    local nic = f.nics[name]
    if not nic then
        nic = core.object(meta)
        nic_fields[nic] = {bridge = bridge, name = name}
        f.nics[name] = nic
    end
    return nic
end

-- Fields of the NIC and of its bridge, and its VM if there is one.
local function nic(n, call)
    local g = nic_fields[n]
    if not g then fail("nic:%s: expected a NIC (got %s); call it with a colon", call, type(n)) end
    local f = of(g.bridge, "nic:" .. call)
    return g, f, f.members[g.name] or nil
end

local NOT_PLUGGED = {plugged = false, configured = false}

-- What is known of the device: {plugged, configured, raw, name, reason}.
local function device(f, vm) return vm and core.vm_nic(vm, f.id) or NOT_PLUGGED end

function methods.counters(n) local g, f = nic(n, "counters") return ask("nic:counters", core.net_counters, f.id, g.name) end
function methods.vm_name(n) return nic_fields[n].name end
function methods.bridge(n) return fields[nic_fields[n].bridge].name end
function methods.mac(n) local g, f = nic(n, "mac") return ask("nic:mac", core.net_mac, f.id, g.name) end
function methods.guest_name(n) local _, f, vm = nic(n, "guest_name") return device(f, vm).name end

local function check_family(call, family)
    if family ~= nil and family ~= 4 and family ~= 6 then fail("%s: family must be 4 or 6 (got %s)", call, tostring(family)) end
    return family or 4
end

function methods.ip(n, family)
    local g, f = nic(n, "ip")
    return ask("nic:ip", core.net_ip, f.id, g.name, check_family("nic:ip", family))
end

function methods.status(n)
    local g, f, vm = nic(n, "status")
    local known, up = device(f, vm), ask("nic:status", core.net_link, f.id, g.name)
    local reason = known.reason
    if not vm then
        reason = ("there is no VM `%s` yet"):format(g.name)
    elseif not known.plugged then
        reason = ("VM `%s` is %s"):format(g.name, vm:state())
    elseif known.raw then
        reason = ("bridge `%s` has configure = false"):format(f.name)
    elseif not up then
        reason = "disconnected"
    end
    return {link = known.plugged and up, configured = known.configured, reason = reason}
end

for call, up in pairs{disconnect = false, reconnect = true} do
    methods[call] = function(n)
        local g, f, vm = nic(n, call)
        ask("nic:" .. call, core.net_set_link, f.id, g.name, up)
        if vm then ask("nic:" .. call, core.vm_set_link, vm, f.id, up) end
        return n
    end
end

function methods.capture(n, opts)
    opts = opts == nil and {} or opts
    bridges.check_keys("nic:capture", opts, NIC_CAPTURE)
    local g, f, vm = nic(n, "capture")
    if not device(f, vm).plugged then
        fail("nic:capture: vm `%s` has no NIC on bridge `%s` (not booted?). Call lab:boot() / vm:boot() first.", g.name, f.name)
    end
    return capture("nic:capture", f, g.name, f.name .. ", " .. g.name, opts)
end

core.class("nic", methods)

function meta.__tostring(n) return ("nic of %s on `%s`"):format(nic_fields[n].name, fields[nic_fields[n].bridge].name) end

---------------------------------------------------------------------------------------------------- of a VM's view

-- By bridge; "eth<N>", "enp0s<N>", "ens<N>": the N-th of its bridges sorted by name; or the interface in the guest.
function core.vm_methods.nic(vm, name)
    local list = table.move(bridges.of_vm(vm), 1, #bridges.of_vm(vm), 1, {})
    table.sort(list, function(a, b) return fields[a].name < fields[b].name end)
    for _, bridge in ipairs(list) do
        if fields[bridge].name == name or bridge == name then return bridge:nic(vm) end
    end
    local text = type(name) == "string" and name or ""
    local index = text:match("^eth(%d+)$") or text:match("^enp0s(%d+)$") or text:match("^ens(%d+)$")
    local by_index = index and list[tonumber(index) + 1]
    if by_index then return by_index:nic(vm) end
    for _, bridge in ipairs(list) do
        if device(fields[bridge], vm).name == name then return bridge:nic(vm) end
    end
    fail('vm "%s": nic: no NIC "%s" (bridges: %s)', vm:name(), tostring(name), names_of_bridges(vm))
end

function core.vm_methods.ip(vm, which, family)
    local list = bridges.of_vm(vm)
    local found = which == nil and list[1] or nil
    for _, bridge in ipairs(list) do
        if bridge == which or fields[bridge].name == which then found = bridge end
    end
    if not found then
        fail('vm "%s": ip: not a member of %s (bridges: %s)', vm:name(),
            which == nil and "any bridge" or bridges.is(which) and tostring(which) or ("bridge `%s`"):format(tostring(which)),
            names_of_bridges(vm))
    end
    return ask("vm:ip", core.net_ip, fields[found].id, vm:name(), check_family("vm:ip", family))
end
