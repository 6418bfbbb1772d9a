-- Labs (who owns which VM, bridge and sub-lab) and scopes (when they end). Spec: labs-and-fixtures, test-framework.
--
-- The file scope exists from the start; a test scope is laid over it for each test body. A scope holds a lab, bound
-- to the global `provium`, and the handles opened while it was current, by class in closing order.
local core, bridges, barriers = ...

local scopes = {}
local CLASSES = {"stream", "process", "file", "worker", "vm", "bridge", "lab"}
local RESERVED = {pack = true, unpack = true, vm_fixture = true, lab_fixture = true}
local KINDS = {vm = "vm", bridge = "bridge", sub_lab = "sub_lab"}
local DUPLICATE = {vm = "DuplicateVmName", bridge = "DuplicateBridgeName", sub_lab = "DuplicateLabName"}
local NOUN = {vm = "VM", bridge = "bridge", sub_lab = "sub-lab"}

local methods = {}
local lab_meta = {__name = "lab"}
core.class("lab", methods)
local fields = setmetatable({}, {__mode = "k"}) -- lab userdata -> its fields
local settings = {timeout = nil, reset_between_tests = nil}
local root, current_scope, file_scope
local chunk_done -- the tests run
local home = setmetatable({}, {__mode = "k"}) -- VM → the lab that it was made in

local function fields_of(lab, call)
    local f = fields[lab]
    if not f then error(("%s: expected a lab (got %s); call it with a colon"):format(call, type(lab)), 3) end
    return f
end

local function new_lab(name, parent)
    local lab = core.object(lab_meta)
    fields[lab] = {name = name, parent = parent, order = {}, vm = {}, bridge = {}, sub_lab = {}, anonymous = 0}
    return lab
end

-- What `value` is as a member: "vm", "bridge", "sub_lab" or nil.
local function kind_of(value)
    if fields[value] then return "sub_lab" end
    if bridges.is(value) then return "bridge" end
    return core.kind(value)
end

local function name_of(value)
    return fields[value] and fields[value].name or value:name()
end

local function find(lab, kind, name)
    while lab do
        local f = fields[lab]
        local found = f[kind][name]
        if found ~= nil then return found end
        lab = f.parent
    end
end

-- The lab itself, or for that of a test the file's.
local function outermost(lab)
    while fields[lab].parent do lab = fields[lab].parent end
    return lab
end

local function check_name(call, name)
    if type(name) ~= "string" then error(("%s: name must be a string (got %s)"):format(call, type(name)), 3) end
    if #name < 1 or #name > 63 or name:find("[/%c]") then
        error(('%s: bad name "%s": 1 to 63 bytes without "/" and control characters'):format(call, name), 3)
    end
    if RESERVED[name] then error(('%s: "%s" is a reserved name'):format(call, name), 3) end
end

local function check_free(call, lab, kind, name, level)
    local f = fields[lab]
    if f[kind][name] ~= nil then
        error(('%s: %s: lab "%s" already has a %s "%s"'):format(call, DUPLICATE[kind], f.name, NOUN[kind], name), level + 1)
    end
    local outer = f.parent and find(f.parent, kind, name)
    if outer ~= nil then
        local lookup = kind == "sub_lab" and "provium." .. name or ('provium:%s("%s")'):format(kind, name)
        error(('%s: name already declared at parent scope (lab "%s"): pick another name for "%s" or use the existing one: %s')
            :format(call, fields[f.parent].name, name, lookup), level + 1)
    end
end

local function insert(lab, kind, name, value)
    local f = fields[lab]
    f[kind][name] = value
    f.order[#f.order + 1] = {kind = kind, name = name}
end

local function names(lab, kind, call)
    local out = {}
    for _, member in ipairs(fields_of(lab, call).order) do
        if member.kind == kind then out[#out + 1] = member.name end
    end
    return out
end

-- Names that bridges knew already become the VM, where their labs see it.
local function bind(vm)
    bridges.bind(vm, function(lab) return find(lab, "vm", vm:name()) == vm end)
end

local function direct_vms(lab)
    local out = {}
    for _, member in ipairs(fields[lab].order) do
        if member.kind == "vm" then out[#out + 1] = fields[lab].vm[member.name] end
    end
    return out
end

--------------------------------------------------------------------------------------------------------- membership

function methods.vm(lab, name, profile, opts)
    local f = fields_of(lab, "lab:vm")
    if type(name) ~= "string" then error(("lab:vm: name must be a string (got %s)"):format(type(name)), 2) end
    if profile == nil and opts == nil then
        local found = find(lab, "vm", name)
        if found ~= nil then return found end
        local known = names(lab, "vm", "lab:vm")
        error(('no vm "%s" in lab "%s" (VMs: %s); create it with lab:vm("%s", "<profile>")'):format(
            name, f.name, #known > 0 and table.concat(known, ", ") or "none", name), 2)
    end
    check_name("lab:vm", name)
    check_free("lab:vm", lab, "vm", name, 2)
    local origin
    if type(opts) == "table" and opts.from_snapshot ~= nil then origin, profile, opts = scopes.read_origin(profile, opts) end
    local vm = core.vm_new(name, profile, opts)
    scopes.set_origin(vm, origin)
    insert(lab, "vm", name, vm)
    home[vm] = lab
    bind(vm)
    return vm
end

function methods.bridge(lab, name, opts)
    fields_of(lab, "lab:bridge")
    check_name("lab:bridge", name)
    local found = find(lab, "bridge", name)
    if found ~= nil then
        bridges.agree(found, opts)
        return found
    end
    local bridge = bridges.new(lab, name, opts)
    insert(lab, "bridge", name, bridge)
    return bridge
end

function methods.lab(lab, name)
    local f = fields_of(lab, "lab:lab")
    while name == nil do
        local free = "__lab_" .. f.anonymous
        f.anonymous = f.anonymous + 1
        if find(lab, "sub_lab", free) == nil then name = free end
    end
    check_name("lab:lab", name)
    if f.sub_lab[name] ~= nil then
        error(('lab:lab: DuplicateLabName: lab "%s" already has a sub-lab "%s"; look it up with lab.%s'):format(
            f.name, name, name), 2)
    end
    check_free("lab:lab", lab, "sub_lab", name, 2)
    local sub = new_lab(name)
    insert(lab, "sub_lab", name, sub)
    return sub
end

local function contains(lab, wanted)
    if lab == wanted then return true end
    for _, sub in pairs(fields[lab].sub_lab) do
        if contains(sub, wanted) then return true end
    end
    return false
end

function methods.include(lab, what)
    fields_of(lab, "lab:include")
    local list = type(what) == "table" and what or {what}
    local seen = {}
    for i, item in ipairs(list) do
        local kind = kind_of(item)
        if not kind then
            error(("lab:include: element %d is a %s; expected a VM, a bridge or a lab"):format(i, type(item)), 2)
        end
        local name = name_of(item)
        check_name("lab:include", name)
        check_free("lab:include", lab, kind, name, 2)
        if seen[kind .. ":" .. name] then
            error(('lab:include: %s: "%s" is given twice'):format(DUPLICATE[kind], name), 2)
        end
        seen[kind .. ":" .. name] = true
        if kind == "sub_lab" and contains(item, lab) then
            error(('lab:include: lab "%s" cannot be put inside itself'):format(name), 2)
        end
    end
    for _, item in ipairs(list) do
        insert(lab, kind_of(item), name_of(item), item)
        if kind_of(item) == "vm" then bind(item) end
    end
end

function methods.remove(lab, what)
    local f = fields_of(lab, "lab:remove")
    for _, kind in ipairs{"vm", "bridge", "sub_lab"} do
        for i, member in ipairs(f.order) do
            if member.kind == kind and (member.name == what or f[kind][member.name] == what) then
                table.remove(f.order, i)
                f[kind][member.name] = nil
                return
            end
        end
    end
    error(('lab:remove: lab "%s" has no member %s'):format(f.name, tostring(what)), 2)
end

function methods.members(lab)
    local out = {}
    for i, member in ipairs(fields_of(lab, "lab:members").order) do
        out[i] = {kind = KINDS[member.kind], name = member.name}
    end
    return out
end

function methods.vm_names(lab) return names(lab, "vm", "lab:vm_names") end
function methods.bridge_names(lab) return names(lab, "bridge", "lab:bridge_names") end
function methods.sub_lab_names(lab) return names(lab, "sub_lab", "lab:sub_lab_names") end
function methods.name(lab) return fields_of(lab, "lab:name").name end

function methods.depends_on_file(lab, path)
    fields_of(lab, "lab:depends_on_file")
    if type(path) ~= "string" then
        error(("lab:depends_on_file: path must be a string (got %s)"):format(type(path)), 2)
    end
    core.note_use("depends_on_file", path)
end

---------------------------------------------------------------------------------------------------- batch lifecycle

function methods.boot(lab)
    fields_of(lab, "lab:boot")
    local started, problems = {}, {}
    local function attempt(vm, step)
        local ok, problem = pcall(step, vm)
        if not ok then problems[#problems + 1] = problem end
        return ok
    end
    for _, vm in ipairs(direct_vms(lab)) do
        local state = vm:state()
        if scopes.starts_warm(vm) then
            attempt(vm, vm.boot)
        elseif state ~= "booted" and state ~= "paused" and attempt(vm, core.boot_begin) then
            started[#started + 1] = vm
        end
    end
    for _, vm in ipairs(started) do attempt(vm, core.boot_wait) end
    if #problems > 0 then error("lab:boot: " .. table.concat(problems, "\n"), 2) end
    return lab
end

function methods.shutdown(lab)
    fields_of(lab, "lab:shutdown")
    for _, vm in ipairs(direct_vms(lab)) do vm:shutdown() end
end

local function change_all(lab, call, needed, step)
    fields_of(lab, call)
    for _, vm in ipairs(direct_vms(lab)) do
        if vm:state() ~= needed then
            error(('%s: vm "%s" is %s, not %s; nothing was changed'):format(call, vm:name(), vm:state(), needed), 3)
        end
    end
    for _, vm in ipairs(direct_vms(lab)) do step(vm) end
end

function methods.pause(lab) change_all(lab, "lab:pause", "booted", function(vm) vm:pause() end) end
function methods.resume(lab) change_all(lab, "lab:resume", "paused", function(vm) vm:resume() end) end

function methods.claim(lab, amount)
    fields_of(lab, "lab:claim")
    core.claim(amount)
end

function methods.barrier(lab, name, count, timeout)
    fields_of(lab, "lab:barrier")
    barriers.wait(outermost(lab), name, count, timeout)
end

---------------------------------------------------------------------------------------------------------- dot lookup

-- The reserved functions take the lab as an optional first argument.
local function bound(lab, fn)
    return function(first, ...)
        if first == lab then return fn(...) end
        return fn(first, ...)
    end
end

local function bound_method(lab, method)
    return function(first, ...)
        if fields[first] then return method(first, ...) end
        return method(lab, first, ...)
    end
end

function lab_meta.__index(lab, key)
    if key == "pack" then return bound(lab, string.pack) end
    if key == "unpack" then return bound(lab, string.unpack) end
    if key == "vm_fixture" or key == "lab_fixture" then return bound_method(lab, methods[key]) end
    local method = methods[key]
    if method then return method end
    if key == "timeout" or key == "reset_between_tests" then return settings[key] end
    for _, kind in ipairs{"vm", "bridge", "sub_lab"} do
        local found = find(lab, kind, key)
        if found ~= nil then return found end
    end
end

function lab_meta.__newindex(_, key, value)
    if key == "timeout" then
        if value ~= nil then
            local ok, problem = pcall(core.duration, value)
            if not ok then error("provium.timeout: " .. problem, 2) end
        end
        settings.timeout = value
    elseif key == "reset_between_tests" then
        if type(value) ~= "boolean" and value ~= nil then
            error(("provium.reset_between_tests: expected true or false (got %s)"):format(type(value)), 2)
        end
        if current_scope ~= file_scope or chunk_done then
            error("provium.reset_between_tests can only be set while the file is loaded, outside of tests", 2)
        end
        settings.reset_between_tests = value
    else
        error(("provium.%s cannot be assigned; the settings are provium.timeout and provium.reset_between_tests"):format(
            tostring(key)), 2)
    end
end

function lab_meta.__tostring(lab) return ('lab "%s"'):format(fields[lab].name) end

function core.vm_methods.open_file_count(vm)
    local count = 0
    for _, file in ipairs(scopes.handles("file")) do
        if core.is_open_on(file, vm) then count = count + 1 end
    end
    return count
end

function core.vm_methods.open_stream_count(vm)
    local count, vms = 0, {[vm] = true}
    for _, stream in ipairs(scopes.handles("stream")) do
        local description, owner = core.live_stream(stream)
        if description and (owner == vm or bridges.captures(stream, vms)) then count = count + 1 end
    end
    return count
end

function core.vm_methods.is_quiescent(vm)
    return core.calls_in_flight(vm) == 0 and vm:open_file_count() == 0 and vm:open_stream_count() == 0
end

------------------------------------------------------------------------------------------------------------- scopes

local function new_scope(name, parent)
    local scope = {lab = new_lab(name, parent), handles = {}}
    for _, class in ipairs(CLASSES) do scope.handles[class] = {} end
    return scope
end

local function enter(scope)
    current_scope = scope
    provium = scope.lab
    core.set_scope(scope.handles)
end

local function close(scope)
    local log = {}
    for _, class in ipairs(CLASSES) do
        for _, handle in ipairs(scope.handles[class]) do
            local ok, problem = pcall(handle.close, handle)
            if not ok then log[#log + 1] = ("closing %s: %s"):format(tostring(handle), tostring(problem)) end
        end
        if class == "vm" then bridges.leave(scope.handles.vm) end
    end
    return log
end

function scopes.open() enter(new_scope("provium", root)) end

-- Ends the test scope; returns what went wrong, as log lines.
function scopes.close()
    local scope = current_scope
    enter(file_scope)
    return close(scope)
end

-- For lua/snapshot.lua.
scopes.lab_methods, scopes.fields_of, scopes.kind_of = methods, fields_of, kind_of
function scopes.end_chunk() chunk_done = true end
function scopes.root() return root end
function scopes.wants_reset() return settings.reset_between_tests end
function scopes.lab_of(vm) return home[vm] end

-- Every handle of that class, of the file and of the running test.
function scopes.handles(class)
    local out = {}
    for _, scope in ipairs{file_scope, current_scope ~= file_scope and current_scope or nil} do
        table.move(scope.handles[class], 1, #scope.handles[class], #out + 1, out)
    end
    return out
end

-- Calls fn; an error of it that has no position yet gets that of the function at `level` above the caller.
function scopes.at_caller(level, fn)
    local ok, problem = pcall(fn)
    if ok then return end
    if type(problem) == "string" then problem = problem:gsub("^%[provium:%a+%]:%d+: ", "") end
    if type(problem) == "string" and not problem:find("^[^\n]-:%d+: ") then error(problem, level + 1) end
    error(problem, 0)
end

-- Calls fn with the lab of the file's scope ("file") or of the running test ("test"); what it opens is closed with that.
function scopes.at_scope(which, fn)
    local scope = which == "file" and file_scope or current_scope
    core.set_scope(scope.handles)
    local ok, result = pcall(fn, scope.lab)
    core.set_scope(current_scope.handles)
    if not ok then error(result, 0) end
    return result
end

-- The name, or the first of name_2, name_3, … that no member of that kind has.
function scopes.free_name(lab, kind, name)
    local candidate, n = name, 1
    while find(lab, kind, candidate) ~= nil or find(current_scope.lab, kind, candidate) ~= nil do
        n = n + 1
        candidate = name .. "_" .. n
    end
    return candidate
end

function scopes.close_file() return close(file_scope) end
function scopes.timeout() return settings.timeout end

local function each_booted(visit)
    local seen = {}
    for _, scope in ipairs{current_scope, file_scope} do
        for _, vm in ipairs(scope.handles.vm) do
            if not seen[vm] then
                seen[vm] = true
                visit(vm)
            end
        end
    end
end

-- The last 4 KiB of each VM that was booted, each headed by its name.
function scopes.console_excerpt()
    local out = {}
    each_booted(function(vm)
        local tail = core.console_tail(vm, 4096)
        if tail ~= "" then out[#out + 1] = ("--- vm \"%s\"\n%s"):format(vm:name(), tail) end
    end)
    return table.concat(out, "\n")
end

-- After a deadline: do the file's VMs still answer? Returns why not.
function scopes.check_alive(test_name)
    for _, vm in ipairs(file_scope.handles.vm) do
        if vm:state() == "booted" and not core.ping(vm, 2) then
            return ('vm "%s" stopped answering after "%s" timed out'):format(vm:name(), test_name)
        end
    end
end

root = new_lab("provium")
function barriers.home(vm) return outermost(home[vm] or root) end
scopes.barriers = barriers
file_scope = new_scope("provium")
file_scope.lab = root
enter(file_scope)
return scopes
