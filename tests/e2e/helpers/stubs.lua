-- The stubs of `provium lsp-setup` as sets of names, and what the running provium has.
local inner = require("helpers.inner")
local stubs = {}

-- {methods = {["vm:boot"] = true}, globals = {}, json = {}, fields = {class = {key = true}}, tables = {class = true}}; the
-- last one: classes without methods that are arguments, or fields of such.
function stubs.parse(t)
    local result = inner.run(t, {}, "lsp-setup .")
    local text = io.open(result.dir .. "/.provium-meta/types.lua"):read("a")
    assert(load(text, "=types.lua", "t", setmetatable({}, {__index = _G})))()
    local out = {methods = {}, globals = {json = true}, json = {}, fields = {}, tables = {}}
    local class, parents = nil, {}
    local objects, arguments, mentions = {}, {}, {} -- sets of classes; of each class, those that its fields name
    for line in text:gmatch("[^\n]*") do
        local name, parent = line:match("^%-%-%-@class provium%.([%w_]+):? ?p?r?o?v?i?u?m?%.?([%w_]*)")
        local field = line:match("^%-%-%-@field ([%w_]+)")
        local object, separator, method = line:match("^function ([%w_]+)([.:])([%w_]+)%(")
        local global = line:match("^function ([%w_]+)%(") or line:match("^([%w_]+) = ")
        local used = line:match("^%-%-%-@param") and arguments or field and class and mentions[class] or {}
        for mentioned in line:gmatch("provium%.([%w_]+)") do used[mentioned] = true end
        if name then
            class = name
            out.fields[class], mentions[class] = {}, {}
            parents[class] = parent ~= "" and parent or nil
        elseif field and class then
            out.fields[class][field] = true
        elseif separator == ":" then
            assert(out.fields[object], "method of an undeclared class: " .. line)
            out.methods[object .. ":" .. method] = true
            objects[object] = true
        elseif separator == "." then
            out.json[method] = true
        elseif global then
            out.globals[global] = true
        end
    end
    for child in pairs(parents) do
        local parent = parents[child]
        while parent do
            for key in pairs(assert(out.fields[parent], parent)) do out.fields[child][key] = true end
            parent = parents[parent]
        end
    end
    local function add(name)
        if objects[name] or out.tables[name] or not out.fields[name] then return end
        out.tables[name] = true
        for mentioned in pairs(mentions[name]) do add(mentioned) end
    end
    for name in pairs(arguments) do add(name) end
    return out
end

-- Names listed by the message for an unknown member.
local function listed(set, class, message)
    for name in message:match("%((.-)%)$"):gmatch("[%w_]+") do set[class .. ":" .. name] = true end
end

-- Every method as "class:method": metatables made in C, classes made in Lua, and the two that look members up.
function stubs.bindings(t)
    local registry, set = debug.getregistry(), {}
    for name, meta in pairs(registry) do
        if type(name) == "string" and type(meta) == "table" and name ~= "FILE*" and rawget(meta, "__name") == name and
            type(meta.__index) == "table" then
            for method in pairs(meta.__index) do set[name .. ":" .. method] = true end
        end
    end
    for class, methods in pairs(registry["provium.classes"]) do
        for method in pairs(methods) do set[class .. ":" .. method] = true end
    end
    set["lab:pack"], set["lab:unpack"] = true, true -- found by the lab's own lookup
    local result = registry["RunResult"].__index
    local ok, message = pcall(result, nil, "no_such_member")
    assert(not ok)
    for name in message:match("%((.-)%)$"):gmatch("[%w_]+") do
        if name == "ok" or name == "assert_ok" then set["RunResult:" .. name] = true end
    end
    ok, message = pcall(registry["provium.batch"].__index, nil, "no_such_method")
    assert(not ok)
    listed(set, "batch", message)
    return set
end

return stubs
