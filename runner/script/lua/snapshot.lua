-- Snapshots of VMs and labs (spec: labs-and-fixtures). The steps are C's (script/snapshot.c); here is what they are taken
-- with, in which order, and what is undone when one fails.
-- Loaded with (core, scopes, bridges); adds vm:snapshot, vm:restore, lab:snapshot, lab:restore.
local core, scopes, bridges = ...

local paths = setmetatable({}, {__mode = "k"}) -- Snapshot or LabSnapshot → its path

------------------------------------------------------------------------------------------------------ the handles

local function handle_kind(name)
    local methods = {}
    local function path_of(handle, call)
        local path = getmetatable(handle) == name and paths[handle]
        if not path then error(("%s:%s: expected a %s; call it with a colon"):format(name, call, name), 3) end
        return path
    end
    function methods.path(handle) return path_of(handle, "path") end
    function methods.size(handle) return core.path_size(path_of(handle, "size")) end
    function methods.delete(handle) core.path_delete(path_of(handle, "delete")) end
    core.class((name:gsub(" ", "_")), methods)
    return {__index = methods, __name = name, __metatable = name,
            __tostring = function(handle) return ("%s `%s`"):format(name, tostring(paths[handle])) end}
end

local SNAPSHOT, LAB_SNAPSHOT = handle_kind("snapshot"), handle_kind("lab snapshot")

local function new_handle(meta, path)
    local handle = core.object(meta)
    paths[handle] = core.absolute_path(path)
    return handle
end

-- The path of an argument that may be a handle of that kind.
local function path_argument(call, meta, what, level)
    if type(what) == "string" then return what end
    if paths[what] and getmetatable(what) == meta.__name then return paths[what] end
    error(("%s: expected a %s or its path (got %s)"):format(call, meta.__name, type(what)), level or 3)
end

------------------------------------------------------------------------------------------------------------ saving

local LIVE, CLOSE = "live streams", "close them first"

-- What would go on in the host while the guest goes back: nothing may be live on these VMs.
local function refuse_live(call, vms, what, remedy)
    local concerned, lines = {}, {}
    for _, vm in ipairs(vms) do concerned[vm] = true end
    for _, stream in ipairs(scopes.handles("stream")) do
        local description, owner = core.live_stream(stream)
        if description and (concerned[owner] or bridges.captures(stream, concerned)) then
            lines[#lines + 1] = description
        end
    end
    if #lines > 0 then
        error(("%s: %s in %s; %s:\n    %s"):format(call, what, core.file_path(), remedy, table.concat(lines, "\n    ")), 0)
    end
    for _, vm in ipairs(vms) do
        local n = core.unawaited(vm)
        if n > 0 then
            error(('%s: vm "%s" has %d asynchronous call%s that nobody has awaited; await %s first'):format(call, vm:name(), n,
                n == 1 and "" or "s", n == 1 and "it" or "them"), 0)
        end
    end
end

local function is_running(vm)
    local state = vm:state()
    return state == "booted" or state == "paused"
end

-- Freezes all, then calls fn, then thaws all, whatever happened.
local function while_frozen(vms, fn)
    local frozen = {}
    local ok, problem = pcall(function()
        for _, vm in ipairs(vms) do
            core.vm_freeze(vm)
            frozen[#frozen + 1] = vm
        end
        fn()
    end)
    for _, vm in ipairs(frozen) do core.vm_thaw(vm) end
    if not ok then error(problem, 0) end
end

function core.vm_methods.snapshot(vm, path)
    local call = ('vm "%s": snapshot'):format(vm:name())
    if path ~= nil and type(path) ~= "string" then
        error(("%s: path must be a string (got %s)"):format(call, type(path)), 2)
    end
    scopes.at_caller(2, function()
        if is_running(vm) then refuse_live(call, {vm}, LIVE, CLOSE) end
        local target = path or core.temporary_path(".snap")
        while_frozen({vm}, function() core.vm_capture(vm, target, path ~= nil, bridges.names()) end)
        path = target
    end)
    return new_handle(SNAPSHOT, path)
end

---------------------------------------------------------------------------------------------------------- restoring

-- The ids of the bridges of a snapshot's NICs, found or made in the VM's lab, with the VM as their member.
local function place(vm, nics)
    local ids = {}
    for i, nic in ipairs(nics) do
        ids[i] = bridges.put_back(scopes.lab_of(vm):bridge(nic.bridge), vm, nic.link)
    end
    return ids
end

-- Several steps each for all VMs: `list` holds {vm=, path=, info=}. `again`: they are likely to be restored once more.
local function restore_all(list, marked, again)
    local alone = #list == 1
    for _, one in ipairs(list) do core.vm_restore_begin(one.vm, one.path, place(one.vm, one.info.nics), marked, alone) end
    for _, one in ipairs(list) do core.vm_restore_load(one.vm) end
    for _, one in ipairs(list) do core.vm_restore_run(one.vm, marked) end
    for _, one in ipairs(list) do
        bridges.plug_missing(one.vm)
        if again then core.vm_ahead(one.vm, one.path, marked, alone) end
    end
end

function core.vm_methods.restore(vm, what)
    local call = ('vm "%s": restore'):format(vm:name())
    local path = path_argument(call, SNAPSHOT, what)
    local state = vm:state()
    if state ~= "created" and state ~= "shutdown" then
        error(("%s: VM is %s; call vm:shutdown() first"):format(call, state), 2)
    end
    scopes.at_caller(2, function() restore_all({{vm = vm, path = path, info = core.snapshot_info(path)}}, false, true) end)
    return vm
end

------------------------------------------------------------------------------------------------------ from_snapshot

local origins = setmetatable({}, {__mode = "k"}) -- VM → {path, info} of the snapshot that its first boot goes on from
local cold_boot = core.vm_methods.boot
local MIB = 1 << 20

-- Raises for an option that says otherwise than the snapshot: a machine that goes on cannot be given another.
local function check_agreement(call, origin, opts, level)
    local info = origin.info
    local recorded = {memory = info.memory, cpus = info.cpus, kernel_cmdline = info.cmdline, rng_seed = info.rng_seed}
    for _, key in ipairs{"memory", "cpus", "kernel_cmdline", "kernel_cmdline_append", "rng_seed", "initial_time", "files"} do
        local value = opts[key]
        if key == "memory" and value ~= nil then value = -(-core.size(value) // MIB) * MIB end
        if value ~= nil and value ~= recorded[key] then
            error(("%s: %s contradicts from_snapshot: %s"):format(call, key, recorded[key] == nil and
                "a machine that goes on takes none" or ("the snapshot has %s"):format(recorded[key])), level + 1)
        end
    end
end

-- For lab:vm with from_snapshot: the origin, the profile, and the options for a later cold boot.
function scopes.read_origin(profile, opts)
    local call, from = "lab:vm: from_snapshot", opts.from_snapshot
    local path = path_argument(call, SNAPSHOT, from, 4)
    if path == from and not path:find("/", 1, true) then
        error(('%s: "%s" is no path: write "./%s"'):format(call, path, path), 3)
    end
    local origin = {path = path}
    scopes.at_caller(3, function() origin.info = core.snapshot_info(path) end)
    if profile ~= nil and profile ~= origin.info.profile then
        error(("%s: the snapshot is one of profile `%s`, not `%s`"):format(call, origin.info.profile, tostring(profile)), 3)
    end
    check_agreement("lab:vm", origin, opts, 3)
    local rest = {}
    for key, value in pairs(opts) do rest[key] = value end
    rest.from_snapshot, rest.memory, rest.cpus = nil, origin.info.memory, origin.info.cpus
    return origin, origin.info.profile, rest
end

function scopes.set_origin(vm, origin) origins[vm] = origin end

-- Does the next boot of the VM go on from a snapshot?
function scopes.starts_warm(vm) return origins[vm] ~= nil and vm:state() == "created" end

function core.vm_methods.boot(vm, opts)
    if not scopes.starts_warm(vm) then return cold_boot(vm, opts) end
    core.check_boot_options(opts)
    check_agreement("vm:boot", origins[vm], opts or {}, 2)
    return vm:restore(origins[vm].path)
end

--------------------------------------------------------------------------------------------------------------- labs

local encode, decode, array = json.encode, json.decode, json.array

local function escape(name)
    return (name:gsub("[^%w._-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function hex(bytes) return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end

local function bytes(text)
    if #text % 2 ~= 0 or text:find("%X") then error("the saved state of a bridge is damaged", 0) end
    return (text:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end))
end

-- The lab and its sub-labs as a list of {lab, dir, vms, bridges, sub_labs}; each VM is in the first lab that has it.
local function survey(lab, dir, list, seen)
    local f = scopes.fields_of(lab)
    local one = {lab = lab, name = f.name, dir = dir, vms = {}, bridges = {}, sub_labs = {}}
    list[#list + 1] = one
    for _, member in ipairs(f.order) do
        local value = f[member.kind][member.name]
        if not seen[value] then
            seen[value] = true
            if member.kind == "vm" then
                one.vms[#one.vms + 1] = value
            elseif member.kind == "bridge" then
                one.bridges[#one.bridges + 1] = value
            else
                local sub = {name = member.name, dir = escape(member.name) .. ".lab"}
                one.sub_labs[#one.sub_labs + 1] = sub
                survey(value, dir .. "/" .. sub.dir, list, seen)
            end
        end
    end
    return list
end

local function each_vm(list)
    local out = {}
    for _, one in ipairs(list) do table.move(one.vms, 1, #one.vms, #out + 1, out) end
    return out
end

-- What lab.json says of a VM. `file` is nil for one that does not run.
local function vm_record(vm, state, dir, file)
    local record = {name = vm:name(), profile = vm:profile(), file = file, state = state, memory_bytes = 0,
                    cpus = 0, kernel_cmdline = "", nics = array{}, disks = array{}}
    if not file then return record end
    local info = core.snapshot_info(dir .. "/" .. file)
    record.memory_bytes, record.cpus, record.kernel_cmdline = info.memory, info.cpus, info.cmdline
    record.rng_seed = info.rng_seed
    for i, nic in ipairs(info.nics) do
        record.nics[i] = {bridge = nic.bridge, mac = nic.mac, ip = bridges.ip_on(vm, nic.bridge) or nil, link = nic.link}
    end
    return record, info
end

local function bridge_record(bridge)
    local record = bridges.save(bridge)
    record.saved = hex(record.saved)
    for _, key in ipairs{"members", "partitions", "isolated", "impairments", "routes"} do
        record[key] = array(record[key])
    end
    return record
end

local function write_index(one, states, durable)
    local index = {format = 1, lab = one.name, agent = "", hypervisor = "", vms = array{}, bridges = array{},
                   sub_labs = array(one.sub_labs)}
    for i, vm in ipairs(one.vms) do
        local running = states[vm] == "booted" or states[vm] == "paused"
        local record, info = vm_record(vm, states[vm], one.dir, running and escape(vm:name()) .. ".snap" or nil)
        index.vms[i] = record
        if info then index.agent, index.hypervisor = info.agent, info.hypervisor end
    end
    for i, bridge in ipairs(one.bridges) do index.bridges[i] = bridge_record(bridge) end
    core.lab_write(one.dir, encode(index), durable)
end

-- Writes the surveyed labs; `states` holds the state of each VM.
local function save(list, states, durable)
    local running = {}
    for _, vm in ipairs(each_vm(list)) do
        if states[vm] == "booted" or states[vm] == "paused" then running[#running + 1] = vm end
    end
    for _, one in ipairs(list) do core.make_directory(one.dir) end
    while_frozen(running, function()
        for _, one in ipairs(list) do
            for _, vm in ipairs(one.vms) do
                if states[vm] == "booted" or states[vm] == "paused" then
                    core.vm_capture(vm, one.dir .. "/" .. escape(vm:name()) .. ".snap", durable, bridges.names())
                end
            end
        end
    end)
    for i = #list, 1, -1 do write_index(list[i], states, durable) end
end

local function states_of(call, vms)
    local states = {}
    for _, vm in ipairs(vms) do
        states[vm] = vm:state()
        if states[vm] == "dead" then
            error(('%s: vm "%s" is dead; shut it down or remove it from the lab'):format(call, vm:name()), 0)
        end
    end
    return states
end

function scopes.lab_methods.snapshot(lab, dir)
    scopes.fields_of(lab, "lab:snapshot")
    if dir ~= nil and type(dir) ~= "string" then
        error(("lab:snapshot: the directory must be a string (got %s)"):format(type(dir)), 2)
    end
    local target
    scopes.at_caller(2, function()
        local vms = each_vm(survey(lab, "", {}, {}))
        local states = states_of("lab:snapshot", vms)
        refuse_live("lab:snapshot", vms, LIVE, CLOSE)
        if dir then
            local staged <close>, place = core.lab_stage(dir)
            save(survey(lab, place, {}, {}), states, true)
            core.lab_install(staged, dir)
        else
            target = core.temporary_path(".lab")
            local ok, problem = pcall(save, survey(lab, target, {}, {}), states, false)
            if not ok then
                core.path_delete(target)
                error(problem, 0)
            end
        end
    end)
    return dir or new_handle(LAB_SNAPSHOT, target)
end

-- The index of a directory and those of its sub-labs. Everything that can be found out is, before anything is touched.
local function read_lab(dir)
    local index = decode(core.lab_read(dir))
    for _, record in ipairs(index.vms) do
        if type(record.file) == "string" then
            record.path = dir .. "/" .. record.file
            record.info = core.snapshot_info(record.path)
        end
    end
    for _, record in ipairs(index.bridges) do record.saved = bytes(record.saved) end
    for _, sub in ipairs(index.sub_labs) do sub.index = read_lab(dir .. "/" .. sub.dir) end
    return index
end

-- Finds or makes what the index names. `all` collects {vm, record} and {bridge, record, lab}.
local function match(lab, index, all)
    local f, methods = scopes.fields_of(lab), scopes.lab_methods
    local vms = {}
    for _, record in ipairs(index.vms) do
        local vm = f.vm[record.name] or methods.vm(lab, record.name, record.profile)
        vms[record.name] = vm
        all.vms[#all.vms + 1] = {vm = vm, record = record, path = record.path, info = record.info}
    end
    for _, record in ipairs(index.bridges) do
        local bridge = f.bridge[record.name] or methods.bridge(lab, record.name)
        all.bridges[#all.bridges + 1] = {bridge = bridge, record = record, vms = vms, lab = lab}
    end
    for _, sub in ipairs(index.sub_labs) do match(f.sub_lab[sub.name] or methods.lab(lab, sub.name), sub.index, all) end
    return all
end

local function replace_bridges(list)
    for _, one in ipairs(list) do bridges.replace(one.bridge, one.record, one.vms) end
    for _, one in ipairs(list) do
        local others = {}
        for i, name in ipairs(one.record.routes) do others[i] = one.lab[name] end
        if #others > 0 then one.bridge:route(others) end
        local uplink = one.record.uplink
        if uplink then
            one.bridge:enable_uplink{host_loopback = uplink.host_loopback == true, forward = uplink.forwards or {}}
        end
    end
end

-- Brings everything into the recorded state. `marked`: the VMs' own marks are used, so that handles stay valid; `again` as above.
local function bring_back(all, marked, again)
    local concerned, running = {}, {}
    for _, one in ipairs(all.vms) do concerned[one.vm] = true end
    for _, one in ipairs(all.bridges) do bridges.check_replace("lab:restore", one.bridge, concerned) end
    for _, one in ipairs(all.vms) do
        if one.record.state == "created" then core.vm_unboot(one.vm) else one.vm:shutdown() end
        if one.path then running[#running + 1] = one end
    end
    replace_bridges(all.bridges)
    local ok, problem = pcall(restore_all, running, marked, again)
    if not ok then
        for _, one in ipairs(running) do one.vm:shutdown() end
        error(problem, 0)
    end
    for _, one in ipairs(running) do
        if one.record.state == "paused" then one.vm:pause() end
    end
end

local function restore_lab(lab, dir) bring_back(match(lab, read_lab(dir), {vms = {}, bridges = {}}), false, true) end

function scopes.lab_methods.restore(lab, what)
    scopes.fields_of(lab, "lab:restore")
    local dir = path_argument("lab:restore", LAB_SNAPSHOT, what)
    scopes.at_caller(2, function() restore_lab(lab, dir) end)
    return lab
end

------------------------------------------------------------------------------------------------ reset_between_tests

local baseline -- {all, members}: what the root lab was when the file's chunk had run

local function copy_members(lab, out)
    local f = scopes.fields_of(lab)
    local copy = {order = {}, vm = {}, bridge = {}, sub_lab = {}}
    for i, member in ipairs(f.order) do
        copy.order[i] = member
        copy[member.kind][member.name] = f[member.kind][member.name]
        if member.kind == "sub_lab" then copy_members(f.sub_lab[member.name], out) end
    end
    out[lab] = copy
    return out
end

-- Members of before are members again; what came since is closed.
local function bring_members_back(members)
    for lab, copy in pairs(members) do
        local f = scopes.fields_of(lab)
        for _, member in ipairs(f.order) do
            local value = f[member.kind][member.name]
            if copy[member.kind][member.name] ~= value and member.kind ~= "sub_lab" then value:close() end
        end
        f.order = table.move(copy.order, 1, #copy.order, 1, {})
        for _, kind in ipairs{"vm", "bridge", "sub_lab"} do
            f[kind] = {}
            for name, value in pairs(copy[kind]) do f[kind][name] = value end
        end
    end
end

-- Refuses streams; with `keep`, takes the baseline.
function scopes.take_baseline(keep)
    local list = survey(scopes.root(), "", {}, {})
    local vms = each_vm(list)
    refuse_live("reset_between_tests", vms, "would auto-snapshot a live stream", "open it inside a test")
    if not keep then return end
    local target = core.temporary_path(".lab")
    local states = states_of("reset_between_tests", vms)
    list = survey(scopes.root(), target, {}, {})
    for _, vm in ipairs(vms) do
        if states[vm] == "paused" then vm:resume() end
        if is_running(vm) then core.vm_mark(vm) end
    end
    save(list, states, false)
    for _, vm in ipairs(vms) do
        if is_running(vm) then core.vm_mark_release(vm) end
        if states[vm] == "paused" then vm:pause() end
    end
    baseline = {dir = target, index = read_lab(target), members = copy_members(scopes.root(), {})}
    local running = match(scopes.root(), baseline.index, {vms = {}, bridges = {}}).vms
    for i = #running, 1, -1 do
        if not running[i].path then table.remove(running, i) end
    end
    for _, one in ipairs(running) do core.vm_ahead(one.vm, one.path, true, #running == 1) end
end

-- `again`: there will be another one.
function scopes.reset(again)
    bring_members_back(baseline.members)
    bring_back(match(scopes.root(), baseline.index, {vms = {}, bridges = {}}), true, again)
    if not again then core.ahead_forget(baseline.dir) end
end

------------------------------------------------------------------------------------------------------- for fixtures

-- restore_vm(lab, name, path): a new VM of the lab, out of a snapshot; restore_lab(lab, dir): members of the lab, likewise;
-- snapshot_path(value), lab_snapshot_path(value): the path of a handle, or nil for anything else.
local function path_of(meta)
    return function(value) return getmetatable(value) == meta.__name and paths[value] or nil end
end

local function restore_vm(lab, name, path)
    local vm = scopes.lab_methods.vm(lab, name, core.snapshot_info(path).profile)
    local ok, problem = pcall(vm.restore, vm, path)
    if not ok then
        scopes.lab_methods.remove(lab, vm)
        vm:close()
        error(problem, 0)
    end
    return vm
end

return {restore_vm = restore_vm, restore_lab = restore_lab, snapshot_path = path_of(SNAPSHOT),
        lab_snapshot_path = path_of(LAB_SNAPSHOT)}
