-- What the prompt of `provium repl` does with a line, and with Tab.
local framework = ...
local repl = {}

local ITEMS_MAX, LEVELS_MAX = 64, 3

local function show(value, level)
    level = (level or 0) + 1
    if type(value) == "string" then return ("%q"):format(value):gsub("\\\n", "\\n") end
    if type(value) ~= "table" or level > LEVELS_MAX or getmetatable(value) then return tostring(value) end
    local items, n = {}, #value
    for i = 1, math.min(n, ITEMS_MAX) do items[i] = show(value[i], level) end
    for key, item in pairs(value) do
        if #items >= ITEMS_MAX then
            items[#items + 1] = "…"
            break
        end
        if math.type(key) ~= "integer" or key < 1 or key > n then
            local name = type(key) == "string" and key:match("^[%a_][%w_]*$") or "[" .. show(key, level) .. "]"
            items[#items + 1] = name .. " = " .. show(item, level)
        end
    end
    return "{" .. table.concat(items, ", ") .. "}"
end

-- Runs a line, or several that belong together: "done", "more" (it is not finished) or "failed" and why.
function repl.eval(text)
    local chunk, problem = load("return " .. text, "=repl", "t")
    if not chunk then chunk, problem = load(text, "=repl", "t") end
    if not chunk then
        if problem:find("<eof>", 1, true) then return "more" end
        return "failed", problem
    end
    local results = table.pack(xpcall(chunk, framework.handler))
    if not results[1] then return "failed", (framework.explain(results[2])) end
    for i = 2, results.n do results[i] = show(results[i]) end
    if results.n > 1 then print(table.concat(results, "\t", 2)) end
    return "done"
end

-- Tables that hold the members of a value.
local function sources(value)
    local out = {}
    if type(value) == "table" then out[1] = value end
    local meta = debug.getmetatable(value)
    local index = meta and rawget(meta, "__index")
    if type(index) == "table" then out[#out + 1] = index end
    for i = 1, type(index) == "function" and 20 or 0 do
        local name, upvalue = debug.getupvalue(index, i)
        if name == "methods" and type(upvalue) == "table" then out[#out + 1] = upvalue end
    end
    return out
end

-- What a word such as `provium.web:re` may become. Calls are not followed.
function repl.complete(word)
    local path, last = word:match("^(.*[.:])([%w_]*)$")
    local value, names, seen = _G, {}, {}
    for name in (path or ""):gmatch("[%w_]+") do
        local ok, member = pcall(function() return value[name] end)
        if not ok or member == nil then return names end
        value = member
    end
    for _, source in ipairs(sources(value)) do
        for name in pairs(source) do
            local fits = type(name) == "string" and name:find("^[%a_][%w_]*$") and name:sub(1, #(last or word)) == (last or word)
            if fits and not seen[name] and (last ~= "" or name:sub(1, 2) ~= "__") then
                seen[name] = true
                names[#names + 1] = (path or "") .. name
            end
        end
    end
    table.sort(names)
    return names
end

return repl
