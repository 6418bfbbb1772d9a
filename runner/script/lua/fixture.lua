-- vm_fixture and lab_fixture (spec: labs-and-fixtures, "Fixtures"): the cache's part is C (script/fixture.c), here is what
-- happens to the labs. Loaded with (core, scopes, snapshots).
local core, scopes, snapshots = ...

local fixtures = {}
local LAST_LINE = {vm = "return vm:snapshot()", lab = "return provium:snapshot()"}
local RESULT = {vm = "a Snapshot", lab = "a LabSnapshot without a path of its own"}

-- What a fixture's chunk returned must be a snapshot, of that kind if any: its path and kind.
function fixtures.result(value, kind)
    local path, found = snapshots.snapshot_path(value), "vm"
    if not path then path, found = snapshots.lab_snapshot_path(value), "lab" end
    if path and (not kind or found == kind) then return path, found end
    if not kind then
        error(("it returned %s; its last line must be `%s` or `%s`"):format(
            value == nil and "nothing" or "a " .. type(value), LAST_LINE.vm, LAST_LINE.lab), 0)
    end
    local got = path and (found == "vm" and "a Snapshot" or "a LabSnapshot") or
        value == nil and "nothing" or ("a %s"):format(type(value))
    error(("%s_fixture needs %s, and it returned %s; its last line must be `%s`"):format(
        kind, RESULT[kind], got, LAST_LINE[kind]), 0)
end

local function check_options(call, name, opts)
    if type(name) ~= "string" then error(("%s: path must be a string (got %s)"):format(call, type(name)), 4) end
    if opts == nil then return {} end
    if type(opts) ~= "table" then error(("%s: opts must be a table (got %s)"):format(call, type(opts)), 4) end
    for key in pairs(opts) do
        if key ~= "name" and key ~= "scope" then
            error(('%s: unknown key "%s" (accepted: name, scope)'):format(call, tostring(key)), 4)
        end
    end
    if opts.name ~= nil and type(opts.name) ~= "string" then
        error(("%s: name must be a string (got %s)"):format(call, type(opts.name)), 4)
    end
    if opts.scope ~= nil and opts.scope ~= "file" and opts.scope ~= "test" then
        error(('%s: scope must be "file" or "test" (got %s)'):format(call, tostring(opts.scope)), 4)
    end
    return opts
end

local RESTORE = {
    vm = function(lab, path, opts)
        local name = opts.name or scopes.free_name(lab, "vm", core.snapshot_info(path).vm)
        return snapshots.restore_vm(lab, name, path)
    end,
    lab = function(lab, path, opts, fixture)
        local name = opts.name or scopes.free_name(lab, "sub_lab", fixture:match("[^/]+$"))
        local sub = scopes.lab_methods.lab(lab, name)
        local ok, problem = pcall(snapshots.restore_lab, sub, path)
        if not ok then
            scopes.lab_methods.remove(lab, sub)
            error(problem, 0)
        end
        return sub
    end,
}

local function materialise(kind, name, opts)
    local use <close> = core.fixture_new(name, kind)
    while true do
        if not core.fixture_find(use) then core.fixture_build(use) end
        local start = core.now_ns()
        core.restore_source("fixture")
        local ok, made = pcall(scopes.at_scope, opts.scope or "file", function(lab)
            return RESTORE[kind](lab, core.fixture_snapshot(use), opts, name)
        end)
        local refused = core.restore_source("snapshot")
        if ok then
            core.fixture_restored(use, core.now_ns() - start)
            return made
        end
        if not refused or not core.fixture_refuse(use, made) then error(made, 0) end
    end
end

for kind in pairs(RESTORE) do
    local method = kind .. "_fixture"
    scopes.lab_methods[method] = function(lab, name, opts)
        local call = "lab:" .. method
        scopes.fields_of(lab, call)
        opts = check_options(call, name, opts)
        core.note_use(method, name)
        local made
        scopes.at_caller(2, function() made = materialise(kind, name, opts) end)
        return made
    end
end

-- The state is that of a fixture's build.
function fixtures.begin()
    for _, name in ipairs{"test", "todo"} do
        _G[name] = function() error(name .. ": a fixture has no tests", 2) end
    end
    local plain = require
    function require(name)
        if type(name) == "string" and not package.loaded[name] then core.note_use("require", name) end
        return plain(name)
    end
end

return fixtures
