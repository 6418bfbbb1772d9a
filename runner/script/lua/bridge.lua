-- Bridge (spec: network): what it is and who its members are. What passes between them is link.lua, their NICs are
-- nic.lua. What a bridge does is the switch's; here are arguments, names and VMs. Loaded with (core).
local core = ...

local bridges = {}
local methods = {}
local meta = {__index = methods, __name = "bridge"}
-- bridge → {id, name, lab, opts, closed, members = {name → vm or false}, nics = {name → nic}}
local fields = setmetatable({}, {__mode = "k"})
local of_vm = setmetatable({}, {__mode = "k"}) -- vm → array of bridges in attach order
local captured = setmetatable({}, {__mode = "k"}) -- stream of a capture → {bridge = its fields, name = of the member or nil}
local stale = setmetatable({}, {__mode = "k"}) -- paused VMs that something has changed for

-- Raises where the test made the call.
local function fail(format, ...) core.fail(format:format(...)) end

-- "bridge:attach: …"; a call of a NIC names itself.
local function fail_in(call, format, ...)
    fail("%s%s: " .. format, call:find(":", 1, true) and "" or "bridge:", call, ...)
end

local function of(bridge, call)
    local f = fields[bridge]
    if not f then fail_in(call, "expected a bridge (got %s); call it with a colon", type(bridge)) end
    if f.closed then fail_in(call, "bridge `%s` is closed", f.name) end
    return f
end

-- What C has said, without the place that it may have put in front.
local function words(problem) return (tostring(problem):gsub("^[^:\n]*:%d+: ", "")) end

-- Calls C; its words get the call in front.
local function ask(call, fn, ...)
    local results = table.pack(pcall(fn, ...))
    if not results[1] then fail_in(call, "%s", words(results[2])) end
    return table.unpack(results, 2, results.n)
end

-- Name and VM of an argument that may be either.
local function endpoint(call, f, value, position)
    if core.kind(value) == "vm" then return value:name(), value end
    if type(value) == "string" then
        local ok, vm = pcall(f.lab.vm, f.lab, value)
        return value, ok and vm or nil
    end
    fail_in(call, "%s is a %s; expected a VM or a VM name", position or "argument", type(value))
end

local function check_keys(call, t, accepted)
    if type(t) ~= "table" then fail("%s: expected a table (got %s)", call, type(t)) end
    for key in pairs(t) do
        if not accepted[key] then
            local list = {}
            for name in pairs(accepted) do list[#list + 1] = name end
            table.sort(list)
            fail('%s: unknown key "%s" (accepted: %s)', call, tostring(key), table.concat(list, ", "))
        end
    end
end

-- For link.lua and nic.lua.
bridges.methods, bridges.fields, bridges.captured = methods, fields, captured
bridges.fail, bridges.fail_in, bridges.of, bridges.ask = fail, fail_in, of, ask
bridges.endpoint, bridges.check_keys = endpoint, check_keys

function bridges.is(value) return fields[value] ~= nil end
function bridges.of_vm(vm) return of_vm[vm] or {} end

local OPTIONS = {subnet = true, mtu = true, configure = true, dhcp = true, dns = true}

function bridges.new(lab, name, opts)
    opts = opts == nil and {} or opts
    check_keys("lab:bridge", opts, OPTIONS)
    if type(opts.subnet) == "table" then check_keys("lab:bridge: subnet", opts.subnet, {v4 = true, v6 = true}) end
    local ok, id = pcall(core.net_bridge, name, opts)
    if not ok then fail("lab:bridge: bridge `%s`: %s", name, words(id)) end
    local bridge = core.object(meta)
    fields[bridge] = {id = id, name = name, lab = lab, members = {}, nics = {}, opts = opts}
    core.scope_add("bridge", bridge)
    return bridge
end

local function equal(a, b)
    if type(a) ~= "table" or type(b) ~= "table" then return a == b end
    for key in pairs(b) do if a[key] == nil then return false end end
    for key in pairs(a) do if a[key] ~= b[key] then return false end end
    return true
end

-- An existing bridge asked for with options: they must agree.
function bridges.agree(bridge, opts)
    local f = fields[bridge]
    if opts ~= nil then check_keys("lab:bridge", opts, OPTIONS) end
    for key, value in pairs(opts or {}) do
        if not equal(f.opts[key], value) then fail("lab:bridge: bridge `%s` exists with another %s", f.name, key) end
    end
end

------------------------------------------------------------------------------------------- the guests' configuration

-- Configures the booted members anew; `seen` holds those that were done already.
local function refresh(f, seen)
    seen = seen or {}
    for _, vm in pairs(f.members) do
        local state = vm and not seen[vm] and vm:state()
        seen[vm] = true
        if state == "booted" then core.vm_configure(vm) end
        if state == "paused" then stale[vm] = true end
    end
end
bridges.refresh = refresh

local resume = core.vm_methods.resume
function core.vm_methods.resume(vm)
    local result = resume(vm)
    if stale[vm] then
        stale[vm] = nil
        core.vm_configure(vm)
    end
    return result
end

local function remember(vm, bridge)
    of_vm[vm] = of_vm[vm] or {}
    for _, known in ipairs(of_vm[vm]) do
        if known == bridge then return end
    end
    table.insert(of_vm[vm], bridge)
end

local function forget(vm, bridge)
    for i, known in ipairs(of_vm[vm] or {}) do
        if known == bridge then return table.remove(of_vm[vm], i) end
    end
end

--------------------------------------------------------------------------------------------------------- membership

-- The VMs and names of attach's argument that are not members yet. Raises before anything is changed.
local function check_attach(f, what)
    local list = type(what) == "table" and what or {what}
    if what == nil then fail_in("attach", "expected a VM, a VM name or a list of them") end
    local wanted, by_name = {}, {}
    for i, item in ipairs(list) do
        local name, vm = endpoint("attach", f, item, type(what) == "table" and "element " .. i or nil)
        local known = f.members[name]
        local other = by_name[name] and by_name[name].vm or known or nil
        if vm and other and other ~= vm then
            fail_in("attach", "another VM named `%s` is a member of bridge `%s`; detach it first", name, f.name)
        end
        if not by_name[name] and (known == nil or (vm and not known)) then
            if vm and vm:state() == "paused" then
                fail_in("attach", "bridge `%s`: VM `%s` is paused; resume it first", f.name, name)
            end
            if vm then ask("attach", core.vm_check_plug, vm, f.id) end
            by_name[name] = {name = name, vm = vm}
            wanted[#wanted + 1] = by_name[name]
        end
    end
    return wanted
end

-- Takes back what attach has done so far.
local function undo(f, wanted, before)
    for _, item in ipairs(wanted) do
        if before[item.name] == nil then pcall(core.net_detach, f.id, item.name) end
        if item.vm then pcall(core.vm_unplug, item.vm, f.id, true) end
        f.members[item.name] = before[item.name]
    end
end

function methods.attach(bridge, what)
    local f = of(bridge, "attach")
    local wanted, before = check_attach(f, what), {}
    ask("attach", core.net_attach, f.id, wanted)
    for _, item in ipairs(wanted) do
        before[item.name] = f.members[item.name]
        f.members[item.name] = item.vm or false
    end
    for _, item in ipairs(wanted) do
        local ok, why = true, nil
        if item.vm then ok, why = pcall(core.vm_plug, item.vm, f.id) end
        if not ok then
            undo(f, wanted, before)
            fail_in("attach", "bridge `%s`: VM `%s`: %s", f.name, item.name, words(why))
        end
    end
    for _, item in ipairs(wanted) do
        if item.vm then remember(item.vm, bridge) end
    end
    if #wanted > 0 then refresh(f) end
    return bridge
end

function methods.detach(bridge, who, opts)
    local f = of(bridge, "detach")
    if opts ~= nil then check_keys("bridge:detach", opts, {unplug = true}) end
    local name, vm = endpoint("detach", f, who)
    local member = f.members[name]
    if member == nil or (core.kind(who) == "vm" and member ~= who) then
        fail_in("detach", '"%s" is not a member of bridge `%s`', name, f.name)
    end
    vm = member or vm
    local whole = opts ~= nil and opts.unplug == true
    if vm and whole then ask("detach", core.vm_check_unplug, vm, f.id) end
    ask("detach", core.net_detach, f.id, name)
    f.members[name] = nil
    if vm then
        forget(vm, bridge)
        ask("detach", core.vm_unplug, vm, f.id, whole)
        if vm:state() == "booted" then core.vm_configure(vm) end
    end
    refresh(f)
    return bridge
end

-- A VM was made: names that were attached before it existed become it.
function bridges.bind(vm, lab_sees)
    for bridge, f in pairs(fields) do
        if not f.closed and f.members[vm:name()] == false and lab_sees(f.lab) then bridge:attach(vm) end
    end
end

-- VMs were closed at the end of their scope.
function bridges.leave(vms)
    local changed, seen = {}, {}
    for _, vm in ipairs(vms) do
        for _, bridge in ipairs(of_vm[vm] or {}) do
            local f = fields[bridge]
            if not f.closed then
                pcall(core.net_detach, f.id, vm:name())
                f.members[vm:name()] = nil
                changed[f] = true
            end
        end
        of_vm[vm] = nil
    end
    for f in pairs(changed) do refresh(f, seen) end
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
    for _, vm in pairs(f.members) do
        if vm then
            forget(vm, bridge)
            core.vm_drop_nic(vm, f.id)
            if vm:state() == "booted" then core.vm_configure(vm) end
        end
    end
end

core.class("bridge", methods)

function meta.__tostring(bridge) return ("bridge `%s`"):format(fields[bridge].name) end
meta.__close = methods.close

bridges.remember, bridges.forget = remember, forget

return bridges
