-- Who resumed whom: the place of a call made in a coroutine may be further out, where the coroutine was resumed. Returns
-- the table {[coroutine] = its last resumer}; what it says of a coroutine is true while that one runs.
local resumers = setmetatable({}, {__mode = "kv"})
local resume, wrap, running = coroutine.resume, coroutine.wrap, coroutine.running
local upvalue = debug.getupvalue

function coroutine.resume(co, ...)
    if type(co) == "thread" then resumers[co] = running() end
    return resume(co, ...)
end

function coroutine.wrap(fn)
    local inner = wrap(fn)
    local _, co = upvalue(inner, 1)
    return function(...)
        resumers[co] = running()
        return inner(...)
    end
end

return resumers
