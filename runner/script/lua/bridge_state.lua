-- What snapshots keep of bridges, and how it comes back. Adds to `bridges`; loaded with (core, bridges).
local core, bridges = ...
local fields, of, ask = bridges.fields, bridges.of, bridges.ask

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
    local capture = bridges.captured[stream]
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
    bridges.remember(vm, bridge)
    ask("attach", core.net_set_link, f.id, vm:name(), link)
    return f.id
end

-- The address of a VM on the bridge of that name, or nil.
function bridges.ip_on(vm, name)
    for _, bridge in ipairs(bridges.of_vm(vm)) do
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
            impairments = bridge:impairments(), routes = bridge:routes(), uplink = bridge:uplink(),
            saved = ask("snapshot", core.net_save, f.id)}
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
            core.vm_drop_nic(vm, f.id)
            bridges.forget(vm, bridge)
        end
    end
    if not f.closed then core.net_close(f.id) end
    f.id, f.closed, f.opts, f.members = id, false, record.options, {}
    ask("restore", core.net_attach, id, list)
    for _, item in ipairs(list) do
        f.members[item.name] = item.vm or false
        if item.vm then bridges.remember(item.vm, bridge) end
    end
end

-- NICs of a running VM that its machine has not.
function bridges.plug_missing(vm)
    for _, bridge in ipairs(bridges.of_vm(vm)) do core.vm_plug_missing(vm, fields[bridge].id) end
end
