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
local function path_argument(call, meta, what)
    if type(what) == "string" then return what end
    if paths[what] and getmetatable(what) == meta.__name then return paths[what] end
    error(("%s: expected a %s or its path (got %s)"):format(call, meta.__name, type(what)), 3)
end

------------------------------------------------------------------------------------------------------------ saving

-- What would go on in the host while the guest goes back: nothing may be live on these VMs.
local function refuse_live(call, vms)
    local concerned, lines = {}, {}
    for _, vm in ipairs(vms) do concerned[vm] = true end
    for _, stream in ipairs(scopes.handles("stream")) do
        local description, owner = core.live_stream(stream)
        if description and (concerned[owner] or bridges.captures(stream, concerned)) then
            lines[#lines + 1] = description
        end
    end
    if #lines > 0 then
        error(("%s: live streams in %s; close them first:\n    %s"):format(call, core.file_path(),
            table.concat(lines, "\n    ")), 0)
    end
    for _, vm in ipairs(vms) do
        local n = core.calls_in_flight(vm)
        if n > 0 then
            error(('%s: vm "%s" has %d asynchronous call%s in flight; await %s first'):format(call, vm:name(), n,
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
        if is_running(vm) then refuse_live(call, {vm}) end
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

-- Several steps each for all VMs: `list` holds {vm=, path=, info=}.
local function restore_all(list)
    for _, one in ipairs(list) do core.vm_restore_begin(one.vm, one.path, place(one.vm, one.info.nics)) end
    for _, one in ipairs(list) do core.vm_restore_load(one.vm) end
    for _, one in ipairs(list) do core.vm_restore_run(one.vm) end
    for _, one in ipairs(list) do bridges.plug_missing(one.vm) end
end

function core.vm_methods.restore(vm, what)
    local call = ('vm "%s": restore'):format(vm:name())
    local path = path_argument(call, SNAPSHOT, what)
    local state = vm:state()
    if state ~= "created" and state ~= "shutdown" then
        error(("%s: VM is %s; call vm:shutdown() first"):format(call, state), 2)
    end
    scopes.at_caller(2, function() restore_all{{vm = vm, path = path, info = core.snapshot_info(path)}} end)
    return vm
end

-- For lua/fixture.lua: the path of a handle and what it is of; a new VM of the lab, restored.
local fixtures = {}
function fixtures.path_of(value)
    local kind = paths[value] and (getmetatable(value) == SNAPSHOT.__name and "vm" or "lab")
    return kind and paths[value], kind
end
function fixtures.restore_vm(lab, name, path)
    local info = core.snapshot_info(path)
    local vm = scopes.lab_methods.vm(lab, name, info.profile)
    restore_all{{vm = vm, path = path, info = info}}
    return vm
end
return fixtures
