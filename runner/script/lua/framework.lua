-- test, todo, t, the filters and the run of a file's tests (spec: test-framework).
-- Loaded with (core, scopes): the C side, and the part that owns labs and their ends.
local core, scopes = ...
local barriers = scopes.barriers

local framework = {}
local tests, by_name = {}, {}
local todo_reason            -- a string once todo() was called
local running                -- the test whose body runs, or nil
local poisoned               -- why no further test may run, or nil

local SKIP = setmetatable({}, {__tostring = function() return "skip (internal)" end})
local LOG_LIMIT = 1 << 20

---------------------------------------------------------------------------------------------------------- metadata

local WELL_KNOWN = {
    slow = {boolean = true, integer = true},
    skip = {boolean = true, integer = true, string = true},
    tags = {string = true, array = true},
    timeout = {integer = true, float = true, string = true},
    spec = {string = true, array = true},
    touches = {string = true, array = true},
}

local function kind_of(value)
    if type(value) == "number" then return math.type(value) end
    if type(value) ~= "table" then return type(value) end
    for _, item in ipairs(value) do
        if type(item) ~= "string" then return "table" end
    end
    return "array"
end

local function check_meta(name, meta)
    for key, kinds in pairs(WELL_KNOWN) do
        local value = meta[key]
        if value ~= nil and not kinds[kind_of(value)] then
            local accepted = {}
            for kind in pairs(kinds) do accepted[#accepted + 1] = kind == "array" and "array of strings" or kind end
            table.sort(accepted)
            error(('test "%s": meta.%s must be %s (got %s)'):format(
                name, key, table.concat(accepted, " or "), kind_of(value)), 3)
        end
    end
    if meta.timeout ~= nil then
        local ok, problem = pcall(core.duration, meta.timeout)
        if not ok then error(('test "%s": meta.timeout: %s'):format(name, problem), 3) end
    end
    local ok, problem = pcall(core.check_meta, meta)
    if not ok then error(('test "%s": %s'):format(name, problem), 3) end
end

------------------------------------------------------------------------------------------------------ registration

function test(name, meta, body)
    if running then
        error(('test: cannot register "%s" inside a test body'):format(tostring(name)), 2)
    end
    if type(name) ~= "string" or name == "" then
        local got = name == "" and "an empty string" or type(name)
        error(("test: name must be a non-empty string (got %s)"):format(got), 2)
    end
    if body == nil and type(meta) == "function" then
        meta, body = nil, meta
    end
    if meta ~= nil and type(meta) ~= "table" then
        error(('test "%s": meta must be a table (got %s)'):format(name, type(meta)), 2)
    end
    if type(body) ~= "function" then
        error(('test "%s": body must be a function (got %s)'):format(name, type(body)), 2)
    end
    if by_name[name] then
        error(("test: duplicate test name `%s` in this file"):format(name), 2)
    end
    meta = meta or {}
    check_meta(name, meta)
    local file, line = core.position(2)
    local entry = {name = name, meta = meta, body = body, file = file, line = line}
    by_name[name] = entry
    tests[#tests + 1] = entry
end

function todo(reason)
    if running then error("todo: cannot be called inside a test body", 2) end
    if reason ~= nil and type(reason) ~= "string" then
        error(("todo: reason must be a string (got %s)"):format(type(reason)), 2)
    end
    todo_reason = reason or "todo"
end

------------------------------------------------------------------------------------------------------------ filters

local function truthy(value)
    return value == true or (math.type(value) == "integer" and value ~= 0)
end

local function values_of(value)
    if type(value) == "table" then return value end
    if type(value) == "boolean" then return {tostring(value)} end
    return {value}
end

local function matches(value, wanted)
    for _, item in ipairs(values_of(value)) do
        if item == wanted then return true end
    end
    return false
end

local function first_match(value, wanted)
    for _, item in ipairs(wanted) do
        if matches(value, item) then return item end
    end
end

-- filter: {include_slow=bool, tags={...}, no_tags={...}, tag_meta={{key, {values}}...}, no_tag_meta={{key, {values}}...}}
local function why_skipped(entry, filter)
    local meta = entry.meta
    if todo_reason then return todo_reason end
    if type(meta.skip) == "string" then return "skipped: " .. meta.skip end
    if truthy(meta.skip) then return "skipped (meta.skip)" end
    if truthy(meta.slow) and not filter.include_slow then
        return "filtered: slow tests skipped (pass --include-slow)"
    end
    local hit = first_match(meta.tags, filter.no_tags)
    if hit then return "filtered: matched --no-tag " .. hit end
    if #filter.tags > 0 and not first_match(meta.tags, filter.tags) then
        return "filtered: did not match --tag " .. table.concat(filter.tags, ",")
    end
    for _, pair in ipairs(filter.no_tag_meta) do
        hit = first_match(meta[pair[1]], pair[2])
        if hit then return ("filtered: matched --no-tag-meta %s=%s"):format(pair[1], hit) end
    end
    for _, pair in ipairs(filter.tag_meta) do
        if not first_match(meta[pair[1]], pair[2]) then
            return ("filtered: did not match --tag-meta %s=%s"):format(pair[1], table.concat(pair[2], ","))
        end
    end
end

------------------------------------------------------------------------------------------------------------------ t

local methods = {}
local state_of = setmetatable({}, {__mode = "k"}) -- t -> {failure, skip_reason, log, log_bytes, dropped, hooks}
local t_meta = {__index = methods, __name = "t"}

core.class("t", methods)

local function state(t, method)
    local s = state_of[t]
    if not s then error(("t:%s: call it with a colon on the test's t"):format(method), 3) end
    return s
end

local function add_log(s, text)
    if s.log_bytes + #text > LOG_LIMIT then
        s.dropped = s.dropped + 1
        return
    end
    s.log_bytes = s.log_bytes + #text
    s.log[#s.log + 1] = text
end

-- Raises with the caller's position; the first message is kept, so that a pcall cannot hide it.
local function fail(t, s, message)
    local file, line = core.position(3)
    local text = ("%s:%d: %s"):format(file, line, message)
    t._failed = true
    s.failure = s.failure or text
    error(text, 0)
end

local function show(value, quote)
    local text = tostring(value)
    local size = #text
    if type(value) == "string" and (quote or text:find("[^\x20-\x7e]")) then
        if size > 4096 then text = text:sub(1, 4096) end
        text = '"' .. text:gsub("[^\x20-\x7e]", function(c) return ("\\x%02X"):format(c:byte()) end) .. '"'
    elseif size > 4096 then
        text = text:sub(1, 4096)
    end
    if size > 4096 then text = ("%s… (%d bytes)"):format(text, size) end
    return text
end

local function compare(a, b, operator, msg)
    local quote = type(a) ~= type(b)
    local text = ("%s %s %s"):format(show(a, quote), operator, show(b, quote))
    if operator == "~=" and type(a) == "table" and type(b) == "table" then
        text = text .. " (tables compare by identity)"
    end
    return msg ~= nil and ("%s: %s"):format(tostring(msg), text) or text
end

function methods.assert(t, cond, msg)
    local s = state(t, "assert")
    if not cond then fail(t, s, msg ~= nil and tostring(msg) or "assertion failed") end
end

function methods.assert_eq(t, a, b, msg)
    local s = state(t, "assert_eq")
    if a ~= b then fail(t, s, compare(a, b, "~=", msg)) end
end

function methods.assert_neq(t, a, b, msg)
    local s = state(t, "assert_neq")
    if a == b then fail(t, s, compare(a, b, "==", msg)) end
end

function methods.assert_contains(t, hay, needle, msg)
    local s = state(t, "assert_contains")
    if type(hay) ~= "string" or type(needle) ~= "string" then
        fail(t, s, ("assert_contains: both arguments must be strings (got %s, %s)"):format(type(hay), type(needle)))
    end
    if not hay:find(needle, 1, true) then
        local text = ('%s not found in %s'):format(show(needle, true), show(hay, true))
        fail(t, s, msg ~= nil and ("%s: %s"):format(tostring(msg), text) or text)
    end
end

function methods.assert_raises(t, fn, msg)
    local s = state(t, "assert_raises")
    local failed, failure, hold = t._failed, s.failure, core.deadline_passed()
    local returned, value = pcall(fn)
    if returned then
        fail(t, s, msg ~= nil and tostring(msg) .. ": expected to raise" or "assert_raises: expected to raise")
    end
    if value == SKIP or (core.deadline_passed() and not hold) then error(value, 0) end
    t._failed, s.failure = failed, failure
    return value
end

function methods.fail(t, msg)
    fail(t, state(t, "fail"), msg ~= nil and tostring(msg) or "explicit failure (t:fail)")
end

function methods.skip(t, reason)
    local s = state(t, "skip")
    if s.closing then error("t:skip: not possible in a t:defer hook", 2) end
    s.skip_reason = reason ~= nil and tostring(reason) or "skipped"
    error(SKIP, 0)
end

function methods.log(t, value)
    add_log(state(t, "log"), tostring(value))
end

function methods.defer(t, fn)
    local s = state(t, "defer")
    if type(fn) ~= "function" then error(("t:defer: expected a function (got %s)"):format(type(fn)), 2) end
    local file, line = core.position(2)
    s.hooks[#s.hooks + 1] = {fn = fn, where = ("%s:%d"):format(file, line)}
end

-------------------------------------------------------------------------------------------------------------- running

local function describe_error(value)
    if type(value) == "string" then return value end
    local meta = getmetatable(value)
    if type(meta) == "table" and meta.__tostring then
        local ok, text = pcall(tostring, value)
        if ok then return text end
    end
    local ok, text = pcall(json.encode, value)
    if ok and value ~= nil then return text end
    return ("(error object is a %s)"):format(type(value))
end

local raised = {} -- what the handler saw last: value, message, traceback

-- Lua calls it for errors inside of load too: the value goes on as it is, or with its chunk name made whole.
local function handler(value)
    if value == SKIP then return value end
    value = core.whole_message(value, 2)
    raised = {value = value, message = describe_error(value), traceback = core.traceback(2)}
    return value
end

-- Message and traceback of what xpcall returned. Lack of memory, for one, never reaches the handler.
local function explain(value)
    if raised.value == value then return raised.message, raised.traceback end
    return describe_error(value), ""
end

local function run_hooks(t, s)
    s.closing = true
    core.deadline_set(10, "t:defer hooks")
    while #s.hooks > 0 do
        local hook = table.remove(s.hooks)
        local ok, problem = xpcall(hook.fn, handler, t)
        if not ok then
            local text = problem == SKIP and "t:skip: not possible in a t:defer hook" or (explain(problem))
            text = ("defer (%s): %s"):format(hook.where, text)
            if s.failure then add_log(s, text) else s.failure = text end
        end
        if core.deadline_passed() and #s.hooks > 0 then
            local names = {}
            for _, left in ipairs(s.hooks) do names[#names + 1] = left.where end
            add_log(s, "t:defer hooks not run: " .. table.concat(names, ", "))
            break
        end
    end
    core.deadline_clear()
end

local function finish_log(s)
    if s.dropped > 0 then
        s.log[#s.log + 1] = ("(%d more log entries dropped: over %d bytes)"):format(s.dropped, LOG_LIMIT)
    end
    return s.log
end

local function emit(kind, entry, fields)
    fields = fields or {}
    fields.name, fields.meta = entry.name, entry.meta
    core.emit(kind, fields)
end

local function fail_unrun(entry, reason)
    emit("test_started", entry, {file = entry.file, line = entry.line})
    emit("test_failed", entry, {duration_ns = 0, reason = reason, console_excerpt = "", log = {},
                                file = entry.file, line = entry.line, traceback = ""})
end

-- C code that blocks, as a read from io.popen, is freed at the deadline and then just returns.
local function run_body(entry, t)
    local body = entry.body
    body(t)
    barriers.finish()
    core.deadline_check("the body of the test", ("%s:%d"):format(entry.file, entry.line))
end

local function run_one(entry)
    local t = setmetatable({name = entry.name, meta = entry.meta, _failed = false}, t_meta)
    local s = {log = {}, log_bytes = 0, dropped = 0, hooks = {}}
    state_of[t] = s
    running = entry
    emit("test_started", entry, {file = entry.file, line = entry.line})
    local start = core.now_ns()
    core.test_begin(entry.name, function(text) add_log(s, text) end)
    scopes.open(entry.name)
    local timeout = entry.meta.timeout
    if timeout == nil then timeout = scopes.timeout() end
    core.deadline_set(timeout and core.duration(timeout) or 0, entry.name)

    barriers.on_failure = function(failure, traceback)
        if failure == SKIP or s.failure then return end
        s.failure, s.traceback = describe_error(failure), traceback
    end
    local ok, problem = xpcall(run_body, handler, entry, t)
    barriers.reset()
    local late = core.deadline_passed()
    core.deadline_clear()
    local traceback = ""
    if not ok and problem ~= SKIP then
        local message
        message, traceback = explain(problem)
        s.failure = s.failure or message
    elseif late then
        s.failure = s.failure or core.deadline_message()
    end
    traceback = s.traceback or traceback
    if t._failed and not s.failure then s.failure = "t._failed was set" end
    local excerpt = s.failure and scopes.console_excerpt() or ""
    run_hooks(t, s)
    if s.failure and excerpt == "" then excerpt = scopes.console_excerpt() end
    for _, text in ipairs(scopes.close()) do add_log(s, text) end
    if late then poisoned = scopes.check_alive(entry.name) end
    core.test_end()
    running = nil

    local duration = core.now_ns() - start
    local log = finish_log(s)
    if s.failure then
        local line = tonumber(s.failure:match("^.-:(%d+): ")) or entry.line
        emit("test_failed", entry, {duration_ns = duration, reason = s.failure, console_excerpt = excerpt,
                                    log = log, file = entry.file, line = line, traceback = traceback})
    elseif s.skip_reason then
        emit("test_skipped", entry, {reason = s.skip_reason, log = log})
    else
        emit("test_passed", entry, {duration_ns = duration, log = log, file = entry.file, line = entry.line})
    end
end

local function shuffle()
    for i = #tests, 2, -1 do
        local other = math.random(i)
        tests[i], tests[other] = tests[other], tests[i]
    end
end

-- The state that each test begins with, when the file asks for that (reset_between_tests). Returns how many there are.
local function take_baseline(filter)
    local count = 0
    for _, entry in ipairs(tests) do
        if not why_skipped(entry, filter) then count = count + 1 end
    end
    scopes.end_chunk()
    if scopes.wants_reset() and count > 0 then scopes.take_baseline(count > 1) end
    return count
end

-- Brings that state back; what fails poisons the rest of the file.
local function reset(again)
    local ok, problem = pcall(scopes.reset, again)
    if not ok then poisoned = tostring(problem) end
end

-- Runs the registered tests. Returns nothing; every outcome is an event.
function framework.run(filter)
    if filter.shuffle then shuffle() end
    local left = take_baseline(filter)
    local plan = {}
    for i, entry in ipairs(tests) do
        plan[i] = {name = entry.name, meta = entry.meta, file = entry.file, line = entry.line}
    end
    core.emit("worker_tests", {tests = plan})
    local changed = false -- a test has run
    for _, entry in ipairs(tests) do
        local reason = why_skipped(entry, filter)
        local over = core.file_over()
        if reason then
            emit("test_skipped", entry, {reason = reason, log = {}})
        elseif over then
            fail_unrun(entry, "not run: " .. over)
        else
            if changed and scopes.wants_reset() and not poisoned then reset(left > 1) end
            left = left - 1
            if poisoned then
                fail_unrun(entry, "failed-due-to-poisoned-state: " .. poisoned)
            else
                run_one(entry)
                changed = true
            end
        end
    end
end

framework.handler = handler
framework.explain = explain
return framework
