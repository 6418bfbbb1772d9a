-- wait_until (spec: test-framework).
local core = ...

local ACCEPTED = {timeout = true, interval = true, desc = true}

local function duration(value, default)
    if value == nil then return default end
    if type(value) == "string" then
        local ok, seconds = pcall(core.duration, value)
        if not ok then error(('wait_until: bad timeout string "%s"'):format(value), 3) end
        return seconds
    end
    local ok, seconds = pcall(core.duration, value)
    if not ok then error("wait_until: " .. seconds, 3) end
    return seconds
end

function wait_until(predicate, opts)
    opts = opts or {}
    if type(opts) ~= "table" then error(("wait_until: options must be a table (got %s)"):format(type(opts)), 2) end
    for key in pairs(opts) do
        if not ACCEPTED[key] then
            error(('wait_until: unknown key "%s" (accepted: timeout, interval, desc)'):format(tostring(key)), 2)
        end
    end
    local timeout = duration(opts.timeout, 10)
    local interval = duration(opts.interval, 0.1)
    local desc = opts.desc == nil and "condition" or tostring(opts.desc)
    local deadline = core.now() + timeout
    while true do
        local last = core.now() >= deadline
        local value = predicate()
        if value then return value end
        if last then
            error(("wait_until: %s not met within %gs"):format(desc, timeout), 2)
        end
        core.sleep(math.max(0, math.min(interval, deadline - core.now())), "wait_until " .. desc)
    end
end
