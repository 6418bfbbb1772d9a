-- lab:barrier, and the `barrier` option of calls in guests (spec: labs-and-fixtures, "Barriers"). Loaded with (core).
--
-- An arrival is a parked coroutine, the main body (which blocks), or a call that waits at a gate of its guest. The last
-- arrival opens the gates; coroutines become runnable and are resumed by `serve`, which the C side calls whenever the
-- main body blocks, and from the loop while it does. The scopes of a file are one lab here: what a test calls
-- `provium` and what the file does meet at the same barrier.
local core = ...

-- on_failure(problem, traceback): of the running test, or nil; home(vm): the lab whose names it shares
local barriers = {on_failure = nil, home = nil}
local open = setmetatable({}, {__mode = "k"})  -- lab → {name → {lab, name, count, arrivals}}
local parked = {}   -- arrivals of coroutines that were not resumed yet, in order of arrival
local failure       -- {problem}: of a coroutine, to be raised in the main body

local ACCEPTED = {name = true, count = true, timeout = true}

local function describe(barrier) return ('barrier "%s"'):format(barrier.name) end

-- Validates, and returns the open barrier (or a new one that nobody has arrived at).
local function find(call, lab, name, count, timeout, level)
    if type(name) ~= "string" or name == "" then
        error(("%s: name must be a string that is not empty (got %s)"):format(call, type(name)), level + 1)
    end
    if math.type(count) ~= "integer" or count < 1 then
        error(("%s: count must be an integer of at least 1 (got %s)"):format(call, tostring(count)), level + 1)
    end
    local ok, seconds = pcall(core.duration, timeout == nil and 60 or timeout)
    if not ok then error(("%s: timeout: %s"):format(call, seconds), level + 1) end
    open[lab] = open[lab] or {}
    local barrier = open[lab][name] or {lab = lab, name = name, count = count, arrivals = {}}
    if barrier.count ~= count then
        error(("%s: %s is open with count %d, not %d"):format(call, describe(barrier), barrier.count, count), level + 1)
    end
    return barrier, seconds
end

local function remove(list, item)
    for i, other in ipairs(list) do
        if other == item then
            table.remove(list, i)
            return
        end
    end
end

-- The moment at which somebody has to be told that time is up.
local function arm()
    local first
    for _, of_lab in pairs(open) do
        for _, barrier in pairs(of_lab) do
            for _, arrival in ipairs(barrier.arrivals) do
                first = first and math.min(first, arrival.deadline) or arrival.deadline
            end
        end
    end
    core.serve_at(first and math.max(0, first - core.now()), failure ~= nil)
end

local function withdraw(arrival)
    local barrier = arrival.barrier
    remove(barrier.arrivals, arrival)
    if #barrier.arrivals == 0 then open[barrier.lab][barrier.name] = nil end
end

local function late(arrival)
    local barrier = arrival.barrier
    return ("%s: %d of %d arrived within %gs"):format(describe(barrier), #barrier.arrivals, barrier.count, arrival.seconds)
end

local function join(barrier, seconds, arrival)
    arrival.barrier, arrival.seconds, arrival.deadline = barrier, seconds, core.now() + seconds
    open[barrier.lab][barrier.name] = barrier
    table.insert(barrier.arrivals, arrival)
    if #barrier.arrivals < barrier.count then
        arm()
        return
    end
    open[barrier.lab][barrier.name] = nil
    for _, each in ipairs(barrier.arrivals) do
        each.met = true
        if each.gate then core.gate_open(each.gate) end
    end
    core.wake()
    core.serve_at(0)
end

function barriers.wait(lab, name, count, timeout)
    local barrier, seconds = find("lab:barrier", lab, name, count, timeout, 3)
    local thread, is_main = coroutine.running()
    local arrival = {thread = not is_main and thread or nil}
    join(barrier, seconds, arrival)
    if arrival.thread and not arrival.met then parked[#parked + 1] = arrival end
    while not arrival.met do
        if core.now() >= arrival.deadline then
            local message = "lab:barrier: " .. late(arrival)
            withdraw(arrival)
            remove(parked, arrival)
            error(message, 3)
        end
        if is_main then
            core.park(arrival.deadline - core.now(), describe(barrier))
        else
            coroutine.yield()
        end
    end
    remove(parked, arrival)
end

-- For C: checks the option of a call on the VM; raises before anything is sent.
function barriers.check(vm, spec, call)
    if type(spec) ~= "table" then error(("%s: barrier must be a table (got %s)"):format(call, type(spec)), 3) end
    for key in pairs(spec) do
        if not ACCEPTED[key] then
            error(('%s: barrier: unknown key "%s" (accepted: count, name, timeout)'):format(call, tostring(key)), 3)
        end
    end
    find(call .. ": barrier", barriers.home(vm), spec.name, spec.count, spec.timeout, 3)
end

-- For C: the call waits at `gate`; `handle` is its Process or asynchronous call.
function barriers.arrive(vm, spec, gate, handle)
    local barrier, seconds = find("barrier", barriers.home(vm), spec.name, spec.count, spec.timeout, 3)
    join(barrier, seconds, {gate = gate, handle = handle})
end

-- Calls in guests whose time is up.
local function expire()
    local now = core.now()
    for _, of_lab in pairs(open) do
        for _, barrier in pairs(of_lab) do
            for i = #barrier.arrivals, 1, -1 do
                local arrival = barrier.arrivals[i]
                if arrival.gate and now >= arrival.deadline then
                    core.gate_withdraw(arrival.gate, arrival.handle, late(arrival))
                    withdraw(arrival)
                end
            end
        end
    end
end

local function is_due(arrival) return arrival.met or core.now() >= arrival.deadline end

local function next_due()
    for i, arrival in ipairs(parked) do
        if coroutine.status(arrival.thread) == "dead" then
            table.remove(parked, i)
            if not arrival.met then withdraw(arrival) end
            return next_due()
        end
        if is_due(arrival) and coroutine.status(arrival.thread) == "suspended" then return table.remove(parked, i) end
    end
end

-- Resumes every coroutine that can go on. `may_raise`: the main body is at a place where it can take an error.
local function serve(may_raise)
    expire()
    local arrival = next_due()
    while arrival do
        local ok, problem = coroutine.resume(arrival.thread)
        if not ok then
            failure = failure or {problem}
            core.wake()
            if barriers.on_failure then barriers.on_failure(problem, core.traceback(0, arrival.thread)) end
        end
        arrival = next_due()
    end
    arm()
    if failure and may_raise then
        local problem = failure[1]
        failure = nil
        error(problem, 0)
    end
end

-- The body returned: waits until no coroutine is parked.
function barriers.finish()
    serve(true)
    while #parked > 0 do
        local first = parked[1]
        for _, arrival in ipairs(parked) do
            if arrival.deadline < first.deadline then first = arrival end
        end
        core.park(math.max(0, first.deadline - core.now()), describe(first.barrier))
        serve(true)
    end
end

-- A test's end: whoever still waits does so no longer.
function barriers.reset()
    for _, of_lab in pairs(open) do
        for name, barrier in pairs(of_lab) do
            of_lab[name] = nil
            for _, arrival in ipairs(barrier.arrivals) do
                if arrival.gate then core.gate_withdraw(arrival.gate, arrival.handle, describe(barrier) .. ": the test ended") end
            end
        end
    end
    parked, failure, barriers.on_failure = {}, nil, nil
    core.serve_at(nil)
end

core.on_serve(serve)
core.on_barrier(barriers.check, barriers.arrive)
return barriers
